"""Frames of one recording are normalized by one choice, in training as in prediction."""

import numpy as np
import pytest
from PIL import Image

from isl.imaging.image import Movie
from isl.labeling.dataset import load_manifest
from isl.labeling.source import field_of, measure, normalized
from isl_train.labeling.ground import load_ground

MEAN, DEVIATION = 0.5 * 255, 0.125 * 255


def frames_with(contrasts):
    """uint8 [T, 64, 64] about a normal plane's mean, each frame with its own contrast."""
    noise = np.random.default_rng(0).normal(size=(len(contrasts), 64, 64))
    scale = DEVIATION * np.array(contrasts)[:, None, None]
    return np.clip(np.rint(MEAN + scale * noise), 0, 255).astype(np.uint8)


def ground_of(folder, frames):
    for kind, images in (("dic", frames), ("ezrin", frames[:, ::-1])):
        (folder / kind).mkdir(parents=True)
        for t, image in enumerate(images):
            Image.fromarray(np.ascontiguousarray(image)).save(folder / kind / f"t{t:03d}.png")
    (folder / "set.toml").write_text(
        '[[time_lapse]]\nname = "A"\nframes = "dic"\nlabels = { EZRIN = "ezrin" }\n'
    )
    manifest = load_manifest(folder / "set.toml")
    assert {field.recording for field in manifest.fields} == {"A"}
    return load_ground(manifest)


@pytest.mark.parametrize("contrasts", [(1.0, 1.0, 1.05), (1.0, 1.0, 0.4)])
def test_a_network_is_trained_on_what_it_is_shown_of_a_movie(tmp_path, contrasts):
    frames = frames_with(contrasts)
    learned = [field.transmitted[..., 0] for field in ground_of(tmp_path, frames).training]
    movie = field_of(Movie(name="A", frames=frames[:, None]))
    records = measure(movie, (0,), "auto")
    whole = ((0, 64), (0, 64))
    for t, (frame, record) in enumerate(zip(learned, records, strict=True)):
        np.testing.assert_array_equal(frame, normalized(movie, t, record, whole)[0])
    # One frame that is not normal, and none is left as it is.
    kept = [np.array_equal(learned[t], frames[t] / np.float32(255)) for t in range(3)]
    assert kept == [min(contrasts) > 0.9] * 3
