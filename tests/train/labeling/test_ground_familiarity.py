"""What a trained model says that its ground looks like: whole groups are left out, not frames."""

import dataclasses

import numpy as np
import scipy.ndimage
from simulated_fields import write_dataset

from isl.labeling.dataset import load_manifest
from isl_train.labeling.crops import TrainingField
from isl_train.labeling.ground import load_ground
from isl_train.labeling.model_folder import familiarity_of


def frame(group: str, seed: int, blur: float) -> TrainingField:
    noise = np.random.default_rng(seed).random((128, 128))
    image = scipy.ndimage.gaussian_filter(noise, blur)
    image = 0.5 + 0.125 * (image - image.mean()) / image.std()
    return TrainingField(
        name=f"{group}/{seed}",
        group=group,
        transmitted=image.astype(np.float32)[..., None],
        targets=np.zeros((128, 128, 1), np.float32),
        measured=np.ones((128, 128, 1), bool),
        visible=np.ones((128, 128), bool),
    )


def test_frames_of_one_embryo_do_not_stand_for_each_other() -> None:
    frames = [
        frame(group, seed, blur)
        for group, blur in (("A", 1.0), ("B", 1.3), ("C", 3.0))
        for seed in range(8)
    ]
    as_strangers = [dataclasses.replace(field, group=field.name) for field in frames]
    by_embryo, by_frame = familiarity_of(frames), familiarity_of(as_strangers)
    assert by_embryo is not None
    assert by_frame is not None
    assert by_embryo.statistics == by_frame.statistics
    assert by_embryo.limit > 1.2 * by_frame.limit


def test_fields_know_their_group(tmp_path) -> None:
    path = write_dataset(tmp_path, {"a": ["DAPI"], "b": ["DAPI"]})
    manifest = load_manifest(path)
    fields = tuple(f.model_copy(update={"group": f"of {f.name}"}) for f in manifest.fields)
    ground = load_ground(dataclasses.replace(manifest, fields=fields))
    assert [field.group for field in ground.training] == ["of a", "of b"]
