"""What prediction would say of an image, in the keys of an evaluation's configuration."""

from isl.errors import spelled

_KEYS = {
    "`pixel_size=UM`": "'pixel_size' in the dataset",
    "`z_step=UM`": "'z_step' in the dataset",
    "`modality=NAME`": "'modality' in the dataset",
    "`allow_mismatch`": "allow_mismatch = true",
    # What an evaluation cannot do: its images are judged as they were measured.
    "`resample`": "another model",
    "`planes=interpolate`": 'planes = "interpolate"',
    "`planes=LIST`": "planes = [...]",
}


def in_keys(text: str) -> str:
    """A message whose remedies are what a configuration or a dataset can say."""

    def key(name: str, value: str) -> str:
        return _KEYS.get(f"`{name}={value}`" if value else f"`{name}`", f"'{name}'")

    return spelled(text, key)
