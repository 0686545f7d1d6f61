"""Fields of blobs on disk, with a manifest, and a model, for the tests of labeling evaluations."""

from pathlib import Path

import numpy as np
import scipy.ndimage
import tifffile
from flax import nnx

from isl.backbones.unet import UNetConfig
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.image import FluorescenceImage
from isl.labeling.dataset import Field, LabelFile, Manifest, write_manifest
from isl.labeling.model import save_model
from isl.labeling.model_config import InputContract, ModelConfig
from isl.labeling.network import build_network

SIZE = (70, 60)


def blobs(seed, size=SIZE, count=12, width=3.0):
    """float32 [Y, X] in [0, 1]: round spots on a dark ground with a little noise."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(size)
    image = np.zeros(size)
    for y, x in rng.uniform(8, np.array(size) - 8, (count, 2)):
        image = np.maximum(image, np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 2 / width**2))
    return np.clip(0.05 + 0.8 * image + 0.01 * rng.normal(size=size), 0, 1).astype(np.float32)


def stored(image):
    return np.rint(image * 65535).astype(np.uint16)


def write_field(
    folder: Path, name: str, seed: int, *, labels=("DAPI",), mask=None, size=SIZE, **stated
):
    """One field: two planes, labels that depend on them, and a mask of every label."""
    truth = {label: blobs(seed + 100 * n, size) for n, label in enumerate(labels)}
    planes = [scipy.ndimage.gaussian_filter(blobs(seed, size), sigma) for sigma in (1, 2)]
    stack = stored(np.stack(planes))
    tifffile.imwrite(folder / f"{name}.tif", stack, metadata={"axes": "ZYX"})
    for label, image in truth.items():
        tifffile.imwrite(folder / f"{name}-{label}.tif", stored(image))
    masks = {}
    if mask is not None:
        tifffile.imwrite(folder / f"{name}-mask.tif", mask.astype(np.uint8))
        masks = {label: Path(f"{name}-mask.tif") for label in labels}
    return Field.model_validate(
        {
            "name": name,
            "transmitted": f"{name}.tif",
            "axes": "ZYX",
            "labels": {label: LabelFile(file=Path(f"{name}-{label}.tif")) for label in labels},
            "masks": masks,
            "pixel_size": 0.5,
            **stated,
        }
    ), truth


def write_prediction(folder: Path, name: str, images):
    """Images as `isl predict` leaves them: one channel a label."""
    folder.mkdir(exist_ok=True)
    channels = np.stack(list(images.values())).astype(np.float32)
    image = FluorescenceImage(name=name, channels=channels, labels=tuple(images))
    write_ome_tiff(folder / f"{name}.ome.tif", image, overwrite=True)


def write_ground(folder: Path, count=2, *, labels=("DAPI",), **options):
    """A manifest of fields, and predictions "blurred" of them; returns the true images."""
    fields, truths = [], {}
    for number in range(count):
        name = f"f{number}"
        field, truth = write_field(
            folder, name, number, labels=labels, group=f"g{number}", **options
        )
        fields.append(field)
        truths[name] = truth
        blurred = {k: scipy.ndimage.gaussian_filter(v, 1.5) for k, v in truth.items()}
        write_prediction(folder / "blurred", name, blurred)
    write_manifest(folder / "dataset.toml", Manifest(fields=tuple(fields)), overwrite=True)
    return truths


def write_model(
    folder,
    name="tiny",
    *,
    seed=0,
    planes=2,
    trained_on=("g7",),
    chosen_on=(),
    familiarity=None,
    statistics=None,
):
    """A small network of fresh weights, as a model folder."""
    architecture = UNetConfig(levels=2, width=2)
    network = build_network(architecture, planes=planes, labels=("DAPI",), rngs=nnx.Rngs(seed))
    network.eval()
    config = ModelConfig(
        name=name,
        labels=("DAPI",),
        architecture=architecture,
        input=InputContract(planes=planes, modality="DIC", pixel_size=0.5),
        trained_on=trained_on,
        chosen_on=chosen_on,
        familiarity=familiarity,
        label_statistics={} if statistics is None else {"DAPI": statistics},
    )
    save_model(folder, network, config, f"# {name}\n\nA card.\n")
