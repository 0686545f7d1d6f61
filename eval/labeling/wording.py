"""What `isl predict` would say of an image, in the keys of an evaluation's configuration."""

_KEYS = (
    ("give --resample, --pixel-size UM if the file is wrong", "mend 'pixel_size' in the dataset"),
    ("tell it with --pixel-size UM", "give 'pixel_size' in the dataset"),
    ("give --planes interpolate to blend neighbours, --planes LIST", "give planes = [...]"),
    ("--planes LIST", "planes = [...]"),
    ("--planes", "'planes'"),
    ("--allow-mismatch", "allow_mismatch = true"),
    ("; --normalize auto mends that", ""),
)


def in_keys(text: str) -> str:
    """A message whose remedies are what a configuration or a dataset can say.

    Args:
        text: Of `isl.labeling.contract` or `isl.imaging.normalize`, whose remedies are options of
            the command line.
    """
    for option, key in _KEYS:
        text = text.replace(option, key)
    return text
