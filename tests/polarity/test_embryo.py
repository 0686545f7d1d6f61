"""Embryos to learn from: what a manifest and its table say, and all they may not say."""

import numpy as np
import pytest
from PIL import Image
from simulated_embryos import draw_frames, save_frame, write_embryos

from isl.errors import InputError
from isl.labeling.dataset import Manifest, load_manifest
from isl.polarity.embryo import load_embryos
from isl.polarity.focus import stretched

LABELS = {"A": (0, 1, 1), "B": (0, 0, 0), "C": (1, 1)}


@pytest.fixture
def folder(tmp_path):
    write_embryos(tmp_path, LABELS, more={"A": 'interval = 20\ngroup = "g"\nsplit = "test"'})
    return tmp_path


def load(folder):
    return load_embryos(load_manifest(folder / "manifest.toml"))


def refusal(folder):
    with pytest.raises(InputError) as error:
        load(folder)
    return str(error.value)


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_embryos_are_read_with_their_onsets(folder):
    first, second, third = load(folder)
    assert [each.name for each in (first, second, third)] == ["A", "B", "C"]
    assert (first.group, first.split, first.interval) == ("g", "test", 20)
    assert (second.group, second.split, second.interval) == ("B", "train", None)
    assert [each.onset for each in (first, second, third)] == [1, None, 0]
    assert first.after.tolist() == [False, True, True]
    assert not second.after.any()
    assert [each.compaction for each in (first, second, third)] == [None] * 3
    dic, ezrin = draw_frames(LABELS["A"], seed=0)
    np.testing.assert_allclose(first.dic, stretched(dic), atol=1e-7)
    assert (first.dic.min(axis=(1, 2)) == 0).all()
    assert (first.dic.max(axis=(1, 2)) == 1).all()
    np.testing.assert_allclose(first.measured, ezrin / np.float32(255), atol=1e-7)
    assert first.dic.dtype == first.measured.dtype == np.float32
    np.testing.assert_array_equal(first.stacks, dic[:, None])


def test_stacks_are_fused_and_one_plane_is_used_as_it_is(tmp_path):
    write_embryos(tmp_path, {"A": (0, 1)}, planes=2)
    (embryo,) = load(tmp_path)
    dic, _ = draw_frames((0, 1), seed=0)
    assert embryo.stacks.shape == (2, 2, *dic.shape[1:])
    # Planes that are all alike fuse to what each of them is.
    np.testing.assert_allclose(embryo.dic, stretched(dic), atol=0.01)


def test_compaction_where_somebody_looked_for_it(tmp_path):
    compacted = {"A": (0, 1, 1), "B": (0, 0, 0), "C": (1, 1)}
    write_embryos(tmp_path, LABELS, compacted=compacted)
    # B never compacts: the frame after its last one counts, as it does for its onset.
    assert [embryo.compaction for embryo in load(tmp_path)] == [1, 3, 0]


def test_an_embryo_may_have_no_measured_ezrin(folder):
    rewrite(folder / "manifest.toml", 'labels = { EZRIN = "ezrin/B" }\n', "")
    assert [embryo.measured is None for embryo in load(folder)] == [False, True, False]


def test_labels_that_go_back_to_before_are_refused_by_name(folder):
    rewrite(folder / "labels.csv", "A,7,1", "A,7,0")
    line = refusal(folder)
    assert "embryo 'A' in " in line
    assert "labels.csv: label of frame 7 goes back to 0 (before) after the onset at frame 6" in line


def test_labels_that_are_missing_or_no_labels_are_refused_by_frame(folder):
    rewrite(folder / "labels.csv", "B,6,0\n", "")
    assert "column 'polarized' says nothing of t = 6 (t6.png)" in refusal(folder)
    rewrite(folder / "labels.csv", "A,6,1", "A,6,yes")
    assert "column 'polarized' says 'yes' of t = 6" in refusal(folder)


def test_frames_missing_from_a_sequence_are_refused_by_name(folder):
    for kind in ("dic", "ezrin"):
        (folder / kind / "A" / "t6.png").unlink()
    line = refusal(folder)
    assert "time-lapse 'A': 1 frame is missing between t5.png and t7.png" in line


def test_a_label_image_without_its_frame_is_refused(folder):
    (folder / "dic" / "A" / "t6.png").unlink()
    line = refusal(folder)
    assert "time-lapse 'A': label 'EZRIN' has an image" in line
    assert "has no frame of that name" in line


def test_a_split_that_shares_an_embryo_is_refused(folder):
    """Two recordings of one embryo, of which one is held out."""
    text = (folder / "manifest.toml").read_text()
    (folder / "manifest.toml").write_text(text + '\ngroup = "g"\n')
    line = refusal(folder)
    assert "group 'g' is on two sides: field 'A/t5' in 'test', field 'C/t5' in 'train'" in line


def test_frames_of_differing_sizes_are_refused(folder):
    smaller = draw_frames((0,), seed=0, size=40)
    for kind, image in zip(("dic", "ezrin"), smaller, strict=True):
        save_frame(folder / kind / "B" / "t6.png", image[0])
    line = refusal(folder)
    assert "t6.png: is 40 x 40, but B/t5 is 48 x 48; frames of one recording must agree" in line


def test_a_frame_that_cannot_be_read_is_named(folder):
    (folder / "dic" / "C" / "t5.png").write_bytes(b"\x89PNG nothing")
    assert "t5.png: cannot be read as PNG" in refusal(folder)


def test_time_lapses_need_labels(folder):
    rewrite(folder / "labels.csv", "polarized", "polarised")
    line = refusal(folder)
    assert "time-lapse 'A' has no annotation with a column 'polarized'" in line


def test_a_dataset_of_fields_holds_no_onsets(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    path = tmp_path / "manifest.toml"
    path.write_text('[[field]]\nname = "a"\ntransmitted = "a.png"\n')
    with pytest.raises(InputError, match=r"manifest\.toml: has no \[\[time_lapse\]\]"):
        load_embryos(load_manifest(path))
    with pytest.raises(InputError, match="the dataset: has no"):
        load_embryos(Manifest(fields=()))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"A": "interval = 20", "B": "interval = 20"}, None),
        ({"A": "interval = 20", "B": "interval = 30"}, "every 20 min in 'A' and 30 min in 'B'"),
        ({"A": "pixel_size = 0.5", "B": "pixel_size = 0.7"}, "pixel size is 0.5 um in 'A/t5'"),
        ({"A": "pixel_size = 0.5"}, "'B/t5' does not say its pixel size"),
    ],
)
def test_recordings_that_were_made_otherwise_are_named(tmp_path, caplog, more, said):
    write_embryos(tmp_path, LABELS, more=more)
    (tmp_path / "manifest.toml").write_text(
        (tmp_path / "manifest.toml").read_text().partition('[[time_lapse]]\nname = "C"')[0]
    )
    load(tmp_path)
    assert caplog.text == "" if said is None else said in caplog.text


def test_a_recording_under_two_names_is_named_or_refused(tmp_path, caplog):
    write_embryos(tmp_path, LABELS)
    for file in (tmp_path / "dic" / "A").iterdir():
        (tmp_path / "dic" / "B" / file.name).write_bytes(file.read_bytes())
    load(tmp_path)
    assert "'A' and 'B' are the same recording under two names" in caplog.text
    rewrite(tmp_path / "manifest.toml", 'dic/B"\n', 'dic/B"\nsplit = "validation"\n')
    assert "are the same recording, in train and validation; leave one out" in refusal(tmp_path)
