from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from simulated_recordings import (
    PatchEnsemble,
    make_frames,
    recording_of,
    tiny_ezrin_model,
    write_movie,
)

from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.polarity import assess as module
from isl.polarity import predict as module_of_arrays
from isl.polarity.assess import SHOWN, all_in_focus, assess, frames_to_show
from isl.polarity.defects import SILENT
from isl.polarity.embryos_in_field import Window
from isl.polarity.model import PolarityModel
from isl.polarity.recording import FramesOnDisk, read_recording


@pytest.mark.usefixtures("quick_ezrin")
def test_the_onset_follows_from_the_frames(ezrin_model):
    model = PatchEnsemble()
    found = assess(recording_of(make_frames(8, onset=5)), model, ezrin_model)
    assert found.onset.verdict == "onset"
    assert found.onset.frame == 5
    assert found.rule == "smoothed"
    assert found.onsets["change_point"].frame == 5
    assert found.member_probabilities.shape == (3, 8)
    np.testing.assert_allclose(found.member_probabilities[:, 6], 1 / (1 + np.exp(-3.0)), rtol=1e-6)
    assert found.warnings == ()


@pytest.mark.usefixtures("quick_ezrin")
def test_another_rule_counts_when_asked_for(ezrin_model):
    found = assess(
        recording_of(make_frames(6, onset=2)), PatchEnsemble(), ezrin_model, rule="change_point"
    )
    assert found.rule == "change_point"
    assert found.onset is found.onsets["change_point"]


def test_the_ensemble_is_given_the_frames_and_their_ezrin(ezrin_model):
    recording = recording_of(make_frames(4, onset=2))
    model = PatchEnsemble()
    found = assess(recording, model, ezrin_model)
    assert found.ezrin.statistics["mean"].shape == (4, 1, *recording.frames.shape[2:])
    assert found.ezrin.labels == ("EZRIN",)
    assert model.given is not None
    np.testing.assert_array_equal(model.given[0], found.frames)
    np.testing.assert_array_equal(model.given[1], found.ezrin.statistics["mean"][:, 0])


@pytest.mark.usefixtures("quick_ezrin")
def test_the_ensemble_is_told_the_size_of_pixels_and_its_refusal_names_the_file(
    ezrin_model, monkeypatch
):
    recording = recording_of(make_frames(4), pixel_size=PixelSize(y=0.4, x=0.9))
    model = PatchEnsemble()
    assess(recording, model, ezrin_model)
    assert model.pixel_size == pytest.approx(0.6)

    def refuse(*_):
        raise InputError("correct the pixel size")

    monkeypatch.setattr(model, "member_logits", refuse)
    with pytest.raises(InputError, match=r"^E1: correct the pixel size$"):
        assess(recording, model, ezrin_model)


def test_frames_are_stretched_one_by_one():
    frames = make_frames(3)
    stretched = all_in_focus(recording_of(frames))
    # These reach 0 and 255 already, as published frames do.
    np.testing.assert_allclose(stretched, frames / np.float32(255), atol=1e-7)
    darker = (frames.astype(np.uint16) * 7 + 300).astype(np.uint16)
    np.testing.assert_allclose(all_in_focus(recording_of(darker)), stretched, atol=1e-6)


def test_stacks_are_fused(monkeypatch):
    frames = make_frames(3, size=(40, 48))
    stacks = np.stack([frames // 2, frames], axis=1)
    monkeypatch.setattr(module, "fuse", lambda planes, source: SimpleNamespace(image=planes[-1]))
    expected = all_in_focus(recording_of(frames))
    np.testing.assert_array_equal(all_in_focus(recording_of(stacks)), expected)


def test_a_stack_of_one_plane_is_used_as_it_is():
    frames = make_frames(2)
    expected = (frames - frames.min(axis=(1, 2), keepdims=True)).astype(np.float32)
    expected /= expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(all_in_focus(recording_of(frames[:, None])), expected, atol=1e-6)


def test_frames_that_stay_on_disk_are_assessed_as_those_in_memory(tmp_path):
    model = tiny_ezrin_model(tmp_path / "stacks", planes=2)
    frames = make_frames(3, size=(40, 48))
    stacks = np.stack([frames, frames // 2], axis=1)
    path = write_movie(tmp_path / "E1.ome.tif", stacks, "TZYX")
    in_memory, on_disk = (read_recording(path, memory=memory) for memory in (None, 1))
    assert isinstance(in_memory.frames, np.ndarray)
    assert isinstance(on_disk.frames, FramesOnDisk)
    one, other = (assess(each, PatchEnsemble(), model) for each in (in_memory, on_disk))
    np.testing.assert_array_equal(one.frames, other.frames)
    np.testing.assert_array_equal(one.member_probabilities, other.member_probabilities)
    for name, statistic in one.ezrin.statistics.items():
        np.testing.assert_array_equal(statistic, other.ezrin.statistics[name])
    assert (one.defects, one.onset.frame) == (other.defects, other.onset.frame)


def test_stacks_that_fit_the_ezrin_model_are_given_to_it_whole(tmp_path):
    model = tiny_ezrin_model(tmp_path / "stacks", planes=2)
    frames = make_frames(3, size=(40, 48))
    recording = recording_of(np.stack([frames, frames // 2], axis=1))
    found = assess(recording, PatchEnsemble(), model)
    assert found.ezrin.planes == (0, 1)
    wrong = recording_of(np.stack([frames] * 3, axis=1))
    with pytest.raises(InputError, match="has 3 planes; model 'tiny-ezrin' predicts EZRIN from 2"):
        assess(wrong, PatchEnsemble(), model)


@pytest.mark.usefixtures("quick_ezrin")
def test_an_embryo_that_leaves_is_refused_by_frame(ezrin_model):
    frames = make_frames(12, size=(160, 192), onset=None, drift=12.0)
    recording = recording_of(frames, numbers=tuple(range(20, 32)))
    with pytest.raises(
        InputError, match=r"leaves the field: at frame 2[789] \(t\d\.png\)"
    ) as error:
        assess(recording, PatchEnsemble(), ezrin_model)
    assert "give `frames=20:2" in str(error.value)


@pytest.mark.usefixtures("quick_ezrin")
def test_warnings_name_what_is_odd(ezrin_model):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (3, 40, 40), dtype=np.uint8)
    recording = recording_of(noise, modality="PHASE_CONTRAST")
    first, second = assess(recording, PatchEnsemble(), ezrin_model).warnings
    assert "PHASE_CONTRAST; the models were made for DIC" in first
    assert "no embryo was told from its surroundings" in second


@pytest.mark.usefixtures("quick_ezrin")
def test_where_every_frame_has_a_defect_all_are_heard(ezrin_model):
    frames = np.stack([make_frames(6, onset=3)[0]] * 6)
    found = assess(recording_of(frames), PatchEnsemble(), ezrin_model)
    silent = {each.frame for each in found.defects if each.kind in SILENT}
    assert silent == {1, 2, 3, 4, 5}
    assert any("has no say" in line for line in found.warnings)
    frames = np.stack([make_frames(6, onset=3)[0]] * 6)
    frames[:, :, :6] = 0
    found = assess(recording_of(frames), PatchEnsemble(), ezrin_model)
    assert {each.frame for each in found.defects if each.kind in SILENT} == set(range(6))
    assert not any("has no say" in line for line in found.warnings)


def test_an_embryo_beside_another_is_warned_about(ezrin_model, quick_ezrin):
    square = Window(number=1, corners=np.zeros((6, 2), int), side=40, beside=(2, 4))
    recording = recording_of(make_frames(6, onset=3), window=square)
    (line,) = assess(recording, PatchEnsemble(), ezrin_model).warnings
    assert line.startswith("its square shows parts of embryo 2 and 4, too")


@pytest.mark.parametrize(
    ("onset", "count"),
    [(None, 2), (None, SHOWN), (None, 30), (0, 2), (1, 2), (0, 30), (3, 30), (10, 30), (29, 30)],
)
def test_frames_that_are_shown(onset, count):
    shown = frames_to_show(onset, count)
    assert len(shown) == min(count, SHOWN)
    assert all(0 <= t < count for t in shown)
    assert list(shown) == sorted(set(shown))
    if onset is not None:
        assert onset in shown
        assert shown[-1] - shown[0] == len(shown) - 1
    else:
        assert (shown[0], shown[-1]) == (0, count - 1)


@pytest.mark.usefixtures("quick_ezrin")
def test_activation_is_asked_for_of_the_frames_shown(ezrin_model):
    found = assess(recording_of(make_frames(14, onset=8)), PatchEnsemble(), ezrin_model)
    assert found.shown == (4, 5, 6, 7, 8, 9, 10, 11, 12)
    assert found.activation.shape == (SHOWN, 4, 4)


@pytest.mark.usefixtures("quick_ezrin")
def test_activation_is_of_the_calls_that_pictures_show(ezrin_model):
    """Those after smoothing: a single frame called before onset is shown as after it."""
    frames = make_frames(9, onset=4)
    frames[6, :6, :6] = 0
    model = PatchEnsemble()
    found = assess(recording_of(frames), model, ezrin_model)
    assert found.onset.calls.tolist() == [False] * 4 + [True, True, False, True, True]
    np.testing.assert_array_equal(model.called, found.onset.smoothed[list(found.shown)])
    assert model.called[6]
    assert not model.difference
    assess(recording_of(frames), model, ezrin_model, activation="difference")
    assert model.difference


@pytest.mark.usefixtures("quick_ezrin")
def test_defects_are_warned_about_or_leave_the_recording_out(ezrin_model):
    frames = make_frames(8, onset=5)
    frames[3] = frames[2]
    recording = recording_of(frames, numbers=tuple(range(10, 18)))
    found = assess(recording, PatchEnsemble(), ezrin_model)
    line = "missing: frame 13 (t3.png): it repeats the frame before it, pixel by pixel"
    silent = "has no say in the onset, for its defect: frame 13 (t3.png)"
    assert found.warnings == (line, silent)
    assert [(each.kind, each.frame) for each in found.defects] == [("missing", 3)]
    assert assess(recording, PatchEnsemble(), ezrin_model, leave_out=("focus",)).defects
    with pytest.raises(InputError, match=r"E1: is left out, as asked for; missing: frame 13"):
        assess(recording, PatchEnsemble(), ezrin_model, leave_out=("missing",))


@pytest.mark.usefixtures("quick_ezrin")
def test_frames_badly_exposed_have_no_say(ezrin_model):
    frames = make_frames(10, onset=5)
    # What the ensemble reads says "after" of them.
    frames[[1, 2], :12] = 255
    found = assess(recording_of(frames), PatchEnsemble(), ezrin_model)
    assert {each.frame for each in found.defects if each.kind == "exposure"} == {1, 2}
    assert (found.member_probabilities[:, [1, 2]] > 0.9).all()
    assert found.onset.frame == 5
    assert not found.onset.smoothed[:5].any()
    assert any("no say in the onset" in warning for warning in found.warnings)


@pytest.mark.usefixtures("quick_ezrin")
def test_steps_of_brightness_change_nothing(ezrin_model):
    frames = make_frames(8, onset=5)
    model = PatchEnsemble()
    plain = assess(recording_of(frames), model, ezrin_model)
    gain = np.array([2, 2, 3, 3, 3, 2, 3, 3], np.uint16)[:, None, None]
    stepped = (100 * np.arange(8, dtype=np.uint16))[:, None, None] + gain * frames
    found = assess(recording_of(stepped.astype(np.uint16)), model, ezrin_model)
    np.testing.assert_allclose(found.frames, plain.frames, atol=1e-6)
    np.testing.assert_allclose(found.member_probabilities, plain.member_probabilities)
    assert (found.onset.frame, found.onset.verdict) == (5, plain.onset.verdict)


def test_a_recording_unlike_all_it_learned_from_cannot_be_told(ezrin_model, quick_ezrin):
    model = PatchEnsemble()
    model.refused = "no embryo that it knows"
    found = assess(recording_of(make_frames(6, onset=3)), model, ezrin_model)
    assert found.refused == "no embryo that it knows"
    assert {onset.verdict for onset in found.onsets.values()} == {"cannot_tell"}


def test_an_embryo_of_training_is_named(ezrin_model, quick_ezrin, caplog):
    frames = make_frames(6, onset=3)
    known = assess(recording_of(frames, name="E1-of-training"), PatchEnsemble(), ezrin_model)
    assert any("patches learned from" in warning for warning in known.warnings)
    assert caplog.text.count("patches learned from") == 1
    new = assess(recording_of(frames), PatchEnsemble(), ezrin_model)
    assert not any("learned from" in warning for warning in new.warnings)


@pytest.mark.usefixtures("quick_ezrin")
def test_an_array_is_assessed_as_a_recording_is(ezrin_model):
    class Whole(PatchEnsemble):
        def ezrin_model(self):
            return ezrin_model

    def predict(model, movie, **said):
        return module_of_arrays.predict(cast("PolarityModel", model), movie, **said)

    frames = make_frames(8, onset=5)
    found = predict(Whole(), frames, interval=20)
    assert found.onset.frame == 5
    assert found.recording.minutes(5) == 100
    turned = predict(Whole(), np.moveaxis(frames, 0, -1), axes="YXT", rule="change_point")
    assert turned.onset.frame == 5
    assert turned.recording.minutes(5) is None
    with pytest.raises(InputError, match="holds one frame to use"):
        predict(Whole(), frames[:1])
    with pytest.raises(InputError, match="frame 2 is empty"):
        predict(Whole(), np.concatenate([frames[:2], 0 * frames[2:]]))
