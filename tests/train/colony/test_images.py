"""Images to learn from: folders, tables, arrays, phantoms; splits; augmentation."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tifffile
from stripes import experiment, write_stripes

from isl.colony.patches import standardized
from isl.errors import InputError
from isl_train.colony.augment import augmented, blurred, rotated, seen
from isl_train.colony.config import AugmentConfig, ColonyExperiment, SplitConfig
from isl_train.colony.images import agreement, load_images, majority
from isl_train.colony.split import split


def with_data(tmp_path: Path, **data) -> ColonyExperiment:
    return experiment(tmp_path, data=data)


def write_pictures(folder: Path, count: int, seed: int = 0) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        picture = rng.integers(0, 255, (20 + i, 18)).astype(np.uint8)
        tifffile.imwrite(folder / f"well{i % 2}_{i}.tif", picture)


def test_a_folder_of_class_folders(tmp_path: Path) -> None:
    write_pictures(tmp_path / "dense", 3)
    write_pictures(tmp_path / "Spread", 2, seed=1)
    write_pictures(tmp_path / "multi-label", 2, seed=2)
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "dense" / ".DS_Store").write_bytes(b"")
    (tmp_path / "dense" / "Thumbs.db").write_bytes(b"")
    images = load_images(with_data(tmp_path, kind="folder", path=".", group=r"^(well\d)"), tmp_path)
    assert images.classes == ("Spread", "dense")
    assert images.labels.tolist() == [0, 0, 1, 1, 1, -1, -1]
    assert images.groups[:2] == ("well0", "well1")
    assert images.grouped
    assert all(min(image.mask.shape) >= 16 for image in images.images)


@pytest.mark.parametrize(
    ("make", "data", "message"),
    [
        (("a",), {}, "two classes or more are needed to tell apart; found only 'a'"),
        (("a", "b"), {"classes": ("a", "c")}, "unknown class 'c'"),
        (("a", "b"), {"group": "x("}, "is no regular expression"),
        (("a", "b"), {"group": "x"}, "needs one bracket"),
        (("a", "b"), {"group": "(plate)"}, "finds no group in this name"),
        (("a", "b", "-empty"), {}, "holds no picture"),
        (("dense", "Dense", "b"), {}, "'Dense' and 'dense' differ in capitals or spaces only"),
    ],
)
def test_folders_that_do_not_fit(tmp_path: Path, make, data, message: str) -> None:
    for name in make:
        write_pictures(tmp_path / name.strip("-"), 0 if name.startswith("-") else 2)
    with pytest.raises(InputError, match=message):
        load_images(with_data(tmp_path, kind="folder", path=".", **data), tmp_path)


def test_photographs_that_are_left_out_are_told(tmp_path: Path, caplog) -> None:
    for seed, name in enumerate(("a", "b")):
        write_pictures(tmp_path / name, 2, seed=seed)
    (tmp_path / "b" / "late.JPG").write_bytes(b"")
    images = load_images(with_data(tmp_path, kind="folder", path="."), tmp_path)
    assert len(images.names) == 4
    assert "1 pictures are left out, such as late.JPG; save them as PNG or TIFF" in caplog.text


def test_a_table_with_annotators(tmp_path: Path) -> None:
    write_pictures(tmp_path / "p", 4)
    names = [f"p/well{i % 2}_{i}.tif" for i in range(4)]
    rows = ["image,one,two,three,well"]
    votes = [("a", "a", "b"), ("a", "b", ""), ("b", "b", "b"), ("", "", "")]
    rows += [
        f"{name},{','.join(vote)},w{i}"
        for i, (name, vote) in enumerate(zip(names, votes, strict=True))
    ]
    (tmp_path / "table.csv").write_text("\n".join(rows))
    said: list[str] = []
    images = load_images(
        with_data(
            tmp_path, kind="table", path="table.csv", labels=("one", "two", "three"), group="well"
        ),
        tmp_path,
        said.append,
    )
    assert images.labels.tolist() == [0, -1, 1, -1]
    assert images.groups == ("w0", "w1", "w2", "w3")
    # Pairs that agree: 1 of 3, 0 of 1, 3 of 3.
    assert said[0] == "annotators agree on 57.1% of pairs; 1 images are ties"


def test_rows_without_their_last_empty_cells_are_read(tmp_path: Path) -> None:
    """As spreadsheet programs may write them."""
    write_pictures(tmp_path / "p", 3)
    rows = "image,class,note\np/well0_0.tif,a,blurred\np/well1_1.tif,b\np/well0_2.tif\n"
    (tmp_path / "table.csv").write_text(rows)
    images = load_images(with_data(tmp_path, kind="table", path="table.csv"), tmp_path)
    assert images.labels.tolist() == [0, 1, -1]


def test_votes() -> None:
    assert majority(["a", "b", "a"]) == "a"
    assert majority(["a", "b", ""]) is None
    assert majority(["", ""]) is None
    assert agreement([["a", "a"], ["a", "b"]]) == 0.5


def test_phantoms_are_cut_along_their_outlines() -> None:
    well = {
        "size": 200,
        "colonies": 4,
        "diameter": 60,
        "smallest": [30, 30],
        "largest": [80, 90],
        "zoom": 0.5,
        "gap": 6,
    }
    settings = experiment(Path(), data={"kind": "phantom", "wells": 2, "well": well}, patch=32)
    images = load_images(settings, Path())
    assert images.grouped
    assert set(images.groups) == {"well-0-000", "well-0-001"}
    assert images.classes == ("debris", "dense", "differentiated", "spread")
    for image in images.images:
        assert image.pixels.shape[:2] == image.mask.shape
        assert min(image.mask.shape) >= 32
        assert 0.3 < image.mask.mean() <= 1


def test_phantoms_have_the_pixels_of_the_model() -> None:
    """Wells of half the model's pixel size are halved, as `isl colony` does with a person's."""
    well = {
        "size": 400,
        "pixel_size": 0.8,
        "colonies": 4,
        "diameter": 120,
        "smallest": [90, 90],
        "largest": [160, 180],
    }
    data = {"kind": "phantom", "wells": 1, "well": well}
    same, half = (
        load_images(experiment(Path(), data=data, patch=32, pixel_size=size), Path())
        for size in (0.8, 1.6)
    )
    assert len(half.images) == len(same.images) > 1
    for large, small in zip(same.images, half.images, strict=True):
        assert np.abs(np.array(large.mask.shape) / 2 - small.mask.shape).max() <= 0.5
        assert small.mask.mean() == pytest.approx(large.mask.mean(), abs=0.03)
        rows, columns = (side // 2 * 2 for side in large.mask.shape)
        blocks = large.pixels[:rows, :columns, 0].reshape(rows // 2, 2, columns // 2, 2)
        smaller = small.pixels[: rows // 2, : columns // 2, 0]
        assert np.corrcoef(blocks.mean(axis=(1, 3)).ravel(), smaller.ravel())[0, 1] > 0.8


def test_splits_lend_evenly_and_never_overlap(tmp_path: Path) -> None:
    images = load_images(experiment(write_stripes(tmp_path / "s.npz", (60, 5))), tmp_path)
    parts = split(images, SplitConfig(labelled=0.4, validation=0.25), 0)
    everything = np.concatenate([parts.labelled, parts.validation, parts.unlabelled])
    np.testing.assert_array_equal(np.sort(everything), np.arange(65))
    lent = np.concatenate([parts.labelled, parts.validation])
    assert [(images.labels[lent] == kind).sum() for kind in (0, 1)] == [24, 2]
    assert (images.labels[parts.labelled] == 1).sum() == 1
    again = split(images, SplitConfig(labelled=0.4, validation=0.25), 0)
    np.testing.assert_array_equal(parts.labelled, again.labelled)


def test_a_class_with_one_example_is_learned_and_named(tmp_path: Path) -> None:
    images = load_images(experiment(write_stripes(tmp_path / "s.npz", (30, 1))), tmp_path)
    said: list[str] = []
    parts = split(images, SplitConfig(labelled=0.5), 0, said.append)
    assert (images.labels[parts.labelled] == 1).sum() == 1
    assert any("'along' has one labelled example" in line for line in said)
    assert any("'along' has no example for validation" in line for line in said)


def test_groups_are_on_one_side(tmp_path: Path) -> None:
    import dataclasses

    images = load_images(experiment(write_stripes(tmp_path / "s.npz")), tmp_path)
    groups = tuple(f"g{i % 6}" for i in range(60))
    images = dataclasses.replace(images, groups=groups, grouped=True)
    parts = split(images, SplitConfig(labelled=0.8, validation=0.3, leave_out=("g5",)), 0)
    of = [{groups[i] for i in which} for which in (parts.labelled, parts.validation)]
    assert of[0]
    assert of[1]
    assert not of[0] & of[1]
    assert "g5" not in {groups[i] for i in parts.unlabelled} | of[0] | of[1]


def test_names_to_leave_out_are_known(tmp_path: Path) -> None:
    images = load_images(experiment(write_stripes(tmp_path / "s.npz")), tmp_path)
    with pytest.raises(InputError, match="unknown image or group to leave out 'well 9'"):
        split(images, SplitConfig(leave_out=("well 9",)), 0)
    everyone = tuple(n for n, k in zip(images.names, images.labels, strict=True) if k == 1)
    with pytest.raises(InputError, match="class 'along' has no example"):
        split(images, SplitConfig(leave_out=everyone), 0)


def test_the_network_sees_in_training_what_it_sees_in_use() -> None:
    patches = np.random.default_rng(0).integers(0, 255, (3, 12, 12, 2)).astype(np.uint8)
    np.testing.assert_allclose(seen(jnp.asarray(patches)), standardized(patches), atol=1e-5)


def test_nothing_happens_with_probability_0() -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 12, 12, 1)), jnp.float32)
    same = augmented(x, AugmentConfig(probability=0.0), jax.random.key(0))
    np.testing.assert_allclose(same, x, atol=1e-5)
    changed = augmented(x, AugmentConfig(probability=1.0), jax.random.key(0))
    assert np.isfinite(changed).all()
    assert np.abs(changed - x).mean() > 0.1


def test_turning_by_right_angles_moves_pixels_exactly() -> None:
    x = np.random.default_rng(0).normal(size=(2, 9, 9, 1)).astype(np.float32)
    turned = rotated(jnp.asarray(x), jnp.asarray([np.pi / 2, np.pi], jnp.float32))
    np.testing.assert_allclose(turned[0], np.rot90(x[0], -1), atol=1e-4)
    np.testing.assert_allclose(turned[1], np.rot90(x[1], 2), atol=1e-4)


def test_blur_is_that_of_scipy() -> None:
    from scipy.ndimage import gaussian_filter

    x = np.random.default_rng(0).normal(size=(1, 16, 16, 1)).astype(np.float32)
    found = blurred(jnp.asarray(x), jnp.full((1, 1, 1, 1), 0.9))
    expected = gaussian_filter(x[0, ..., 0], 0.9, radius=3, mode="mirror")
    np.testing.assert_allclose(found[0, ..., 0], expected, atol=1e-5)
    np.testing.assert_allclose(blurred(jnp.asarray(x), jnp.zeros((1, 1, 1, 1))), x, atol=1e-6)


def test_one_picture_twice_is_used_once(tmp_path: Path) -> None:
    write_pictures(tmp_path / "dense", 3)
    write_pictures(tmp_path / "Spread", 2, seed=1)
    pictures = {name: sorted((tmp_path / name).iterdir()) for name in ("dense", "Spread")}
    (tmp_path / "dense" / "z_copy.tif").write_bytes(pictures["dense"][0].read_bytes())
    said: list[str] = []
    data = with_data(tmp_path, kind="folder", path=".")
    images = load_images(data, tmp_path, said.append)
    assert len(images.names) == 5
    assert "1 images occur twice" in said[-1]
    assert "z_copy" in said[-1]
    # A copy of another class contradicts the first: neither is learned.
    (tmp_path / "dense" / "z_copy.tif").write_bytes(pictures["Spread"][0].read_bytes())
    images = load_images(data, tmp_path, said.append)
    assert len(images.names) == 4
    assert "1 of them are of several classes" in said[-1]


def write_sized(path: Path, seed: int, size: float | None) -> None:
    picture = np.random.default_rng(seed).integers(0, 255, (20, 18)).astype(np.uint8)
    metadata = {"axes": "YX"} | (
        {} if size is None else {"PhysicalSizeY": size, "PhysicalSizeX": size}
    )
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, picture, ome=True, metadata=metadata)


@pytest.mark.parametrize(
    ("sizes", "stated", "line"),
    [
        ((1.0, 1.0), None, None),
        ((None, None), 1.0, None),
        ((1.0, 1.4), None, "pixel size is 1 um in 'a/0.ome.tif' and 1.4 um in 'b/1.ome.tif'"),
        ((1.0, None), None, "'b/1.ome.tif' does not say its pixel size, others do"),
        ((1.0, 2.0), 2.0, "pixel_size is 2 um, but 1 pictures say otherwise, such as a/0.ome.tif"),
    ],
)
def test_sizes_of_pixels_are_compared(tmp_path: Path, sizes, stated, line) -> None:
    for seed, (name, size) in enumerate(zip("ab", sizes, strict=True)):
        write_sized(tmp_path / name / f"{seed}.ome.tif", seed, size)
    settings = experiment(tmp_path, data={"kind": "folder", "path": "."}, pixel_size=stated)
    said: list[str] = []
    load_images(settings, tmp_path, said.append)
    assert [line in text for text in said] == ([] if line is None else [True])


def test_pixels_of_more_than_twice_the_size_are_refused(tmp_path: Path) -> None:
    for seed, (name, size) in enumerate(zip("ab", (1.0, 2.1), strict=True)):
        write_sized(tmp_path / name / f"{seed}.ome.tif", seed, size)
    with pytest.raises(InputError, match=r"train on images of one pixel size"):
        load_images(with_data(tmp_path, kind="folder", path="."), tmp_path)


def test_one_picture_in_other_contrast_is_named(tmp_path: Path) -> None:
    picture = np.random.default_rng(3).integers(0, 120, (20, 18)).astype(np.uint8)
    for name, pixels in (("a", picture), ("b", picture * 2), ("a", picture.T)):
        (tmp_path / name).mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / name / f"{pixels.shape[0]}{pixels.max()}.tif", pixels)
    said: list[str] = []
    load_images(with_data(tmp_path, kind="folder", path="."), tmp_path, said.append)
    (line,) = said
    assert "are the same picture, in the groups" in line
