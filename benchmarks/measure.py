"""Cells measured in predicted DAPI beside cells measured in the stain, on held-out ground.

For every experiment a model is trained with a block of the published field (condition_b_A4) left
out, and that block alone is judged: nuclei are found in predicted and in measured DAPI by the same
rule (`isl measure`), matched by overlap, and compared one by one and as populations, with intervals
over blocks of 128 pixels. Run it as

    ISL_DATA=... python benchmarks/measure.py RUN:MANIFEST [RUN:MANIFEST ...]

where RUN is the folder that `isl train` wrote and MANIFEST the set with the block as
`validation_region`. measure.txt says which runs were judged, and what was printed.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import stats
from skimage.measure import regionprops_table
from skimage.metrics import contingency_table
from skimage.segmentation import relabel_sequential

import isl
from isl.imaging.normalize import normalize_label
from isl.imaging.nuclei import segment_nuclei
from isl.labeling.dataset import load_manifest
from isl.labeling.fields import load_field
from isl.measure.objects import Frame, measure_objects
from isl_eval.metrics.object_matching import figures_of_table, tabulate_objects
from isl_eval.statistics.bootstrap import bootstrap
from isl_eval.statistics.classification import auc

NUCLEI = "DAPI_CONFOCAL"
SIDE = 128
MATCHED = 0.5
FEATURES = ("area", "eccentricity", "DAPI_CONFOCAL", "MAP2_CONFOCAL", "NFH_CONFOCAL")


def judged(run: Path, manifest: Path) -> Mapping[str, np.ndarray | dict]:
    """Objects of the block that a run never saw, in predicted and measured images."""
    field = load_field(load_manifest(manifest).fields[0])
    labels = field.labels.labels
    y0, y1, x0, x1 = load_manifest(manifest).fields[0].validation_region or (0, 0, 0, 0)
    truth = normalize_label(field.labels.channels)
    inside = np.zeros(truth.shape[1:], bool)
    inside[y0:y1, x0:x1] = True
    measured = field.labels.measured
    assert measured is not None
    inside &= measured[labels.index(NUCLEI)]
    model = isl.load_model(run / "model")
    made = model.predict(field.transmitted, statistics=("mean", "standard_deviation"))
    images = {
        "true": Frame(intensities=dict(zip(labels, truth, strict=True))),
        "predicted": Frame(
            intensities=dict(zip(made.labels, made.statistics["mean"], strict=True)),
            deviations=dict(zip(made.labels, made.statistics["standard_deviation"], strict=True)),
        ),
    }
    found: dict = {"inside": inside}
    size = field.transmitted.pixel_size
    for side, frame in images.items():
        # In the block alone, as the rest was learned from.
        objects = segment_nuclei(frame.intensities[NUCLEI], mask=inside, pixel_size=size)
        objects, _, _ = relabel_sequential(objects)
        found[side] = objects
        found[f"{side} cells"] = measure_objects(objects, frame, nuclei=NUCLEI)
    # What the true image says in the predicted outlines, and the share of them that is nucleus.
    found["within"] = measure_objects(found["predicted"], images["true"], nuclei=NUCLEI)
    found["nucleus"] = regionprops_table(
        found["predicted"], (found["true"] > 0).astype(float), properties=("intensity_mean",)
    )["intensity_mean"]
    return found


def pairs_of(found: Mapping) -> list[tuple[int, int]]:
    """Indices of true and predicted objects that share more than half of their union."""
    shared = contingency_table(found["true"], found["predicted"]).tocoo()
    sizes = [np.bincount(found[side].ravel()) for side in ("true", "predicted")]
    both = (shared.row > 0) & (shared.col > 0)
    one, other, common = shared.row[both], shared.col[both], shared.data[both]
    union = sizes[0][one] + sizes[1][other] - common
    keep = common / union > MATCHED
    return list(zip((one[keep] - 1).tolist(), (other[keep] - 1).tolist(), strict=True))


def block_of(cells: Mapping[str, np.ndarray], run: int) -> list[str]:
    """The block of 128 pixels in which each object's centre lies."""
    return [
        f"{run} {int(y // SIDE)} {int(x // SIDE)}"
        for y, x in zip(cells["y"], cells["x"], strict=True)
    ]


def shown(name: str, interval) -> str:
    """One line."""
    if interval.estimate is None:
        return f"{name:46} undefined ({interval.note})"
    bounds = "" if interval.low is None else f"  [{interval.low:.3f}, {interval.high:.3f}]"
    return f"{name:46} {interval.estimate:8.3f}{bounds}"


def main(runs: list[str]) -> None:
    """Prints every figure."""
    rng = np.random.default_rng(0)
    grounds = [judged(*map(Path, text.split(":"))) for text in runs]
    tables = [tabulate_objects(g["true"], g["predicted"], mask=g["inside"]) for g in grounds]
    print(f"{len(grounds)} blocks never seen in training")
    for text, table in zip(runs, tables, strict=True):
        f = figures_of_table(table)
        print(
            f"{text}: {f.true_count} true, {f.predicted_count} predicted, {f.split} split, "
            f"{f.merged} merged, {f.added} added, {f.missing} missing"
        )
    detection(grounds, rng)
    features(grounds, rng)
    certainty(grounds, rng)
    populations(grounds)


def detection(grounds: list, rng: np.random.Generator) -> None:
    """Precision and recall at an overlap of half, over all objects."""
    side, matched, groups = [], [], []
    for number, ground in enumerate(grounds):
        pairs = pairs_of(ground)
        for kind, at in (("true", 0), ("predicted", 1)):
            cells = ground[f"{kind} cells"]
            hit = {pair[at] for pair in pairs}
            groups += block_of(cells, number)
            side += [kind] * len(cells["y"])
            matched += [index in hit for index in range(len(cells["y"]))]

    def share(kinds, hits):
        of = {kind: hits[kinds == kind] for kind in ("true", "predicted")}
        return {
            "recall": of["true"].mean() if of["true"].size else None,
            "precision": of["predicted"].mean() if of["predicted"].size else None,
            "predicted over true count": of["predicted"].size / max(of["true"].size, 1),
        }

    found = bootstrap(share, [np.array(side), np.array(matched, float)], groups=groups, rng=rng)
    print("\nnuclei (intersection over union above 0.5)")
    for name, interval in found.items():
        print(shown(name, interval))


def features(grounds: list, rng: np.random.Generator) -> None:
    """Measures of matched pairs: own outline and own intensities on either side."""
    print("\nmatched nuclei, predicted against true: correlation, bias (predicted - true) and")
    print("95 % limits of agreement, relative to the true mean")
    for feature in FEATURES:
        true, predicted, groups = [], [], []
        for number, ground in enumerate(grounds):
            blocks = block_of(ground["true cells"], number)
            for one, other in pairs_of(ground):
                true.append(ground["true cells"][feature][one])
                predicted.append(ground["predicted cells"][feature][other])
                groups.append(blocks[one])

        def agree(a, b):
            enough = len(a) > 2 and np.ptp(a) > 0 and np.ptp(b) > 0
            return {
                "correlation": float(np.corrcoef(a, b)[0, 1]) if enough else None,
                "relative bias": float((b - a).mean() / a.mean()),
                "half width of limits": float(1.96 * (b - a).std(ddof=1) / a.mean()),
            }

        found = bootstrap(agree, [np.array(true), np.array(predicted)], groups=groups, rng=rng)
        for name, interval in found.items():
            print(shown(f"{feature} {name} (n = {len(true)})", interval))


def certainty(grounds: list, rng: np.random.Generator) -> None:
    """Whether certainty tells which predicted nuclei are there, and areas hold the true ones."""
    said, real, hit, held, groups = [], [], [], [], []
    for number, ground in enumerate(grounds):
        cells = ground["predicted cells"]
        pairs = dict((other, one) for one, other in pairs_of(ground))
        groups += block_of(cells, number)
        for index in range(len(cells["y"])):
            said.append(cells["certainty"][index])
            real.append(ground["nucleus"][index])
            hit.append(index in pairs)
            area = ground["true cells"]["area"][pairs[index]] if index in pairs else np.nan
            held.append(
                np.nan
                if np.isnan(area)
                else float(cells["area_low"][index] <= area <= cells["area_high"][index])
            )

    def judge(s, r, h, a):
        known = a[~np.isnan(a)]
        return {
            "certainty, mean": s.mean(),
            "share of predicted nuclei that is nucleus": r.mean(),
            "AUC of certainty for being matched": auc(h.astype(int), s),
            "rank correlation of certainty and that share": stats.spearmanr(s, r).statistic,
            "true area within area_low to area_high": known.mean() if known.size else None,
        }

    arrays = [np.array(each, float) for each in (said, real, hit, held)]
    print("\nhow sure a predicted nucleus is")
    for name, interval in bootstrap(judge, arrays, groups=groups, rng=rng).items():
        print(shown(name, interval))


def populations(grounds: list) -> None:
    """Counts and means of whole blocks, and what of them the outlines alone change."""
    print("\npopulations: all nuclei of the judged ground, true / predicted / true intensity in")
    print("predicted outlines")
    for feature in FEATURES:
        values = [
            np.concatenate([ground[side][feature] for ground in grounds])
            for side in ("true cells", "predicted cells", "within")
        ]
        test = stats.ks_2samp(values[0], values[1])
        print(
            f"{feature:16} means {values[0].mean():9.4f} {values[1].mean():9.4f} "
            f"{values[2].mean():9.4f}   medians {np.median(values[0]):9.4f} "
            f"{np.median(values[1]):9.4f}   KS {test.statistic:.3f} (p {test.pvalue:.2g})"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
