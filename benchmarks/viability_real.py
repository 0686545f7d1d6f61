"""Real films: phases of two human embryos, and a zebrafish embryo that dies among six that live.

    python benchmarks/viability_real.py ISL_DATA [--out DIR]

Neither has anything to do with a transfer's outcome, and no figure here says how well anything
tells one: two recordings and seven are too few to say anything about embryos at all. What is shown
is that recordings are read, embryos found and followed, and that features of a frozen ImageNet
encoder of the embryo cut out, frame by frame, know how far development has come.

gomez: logistic regression of the phase, trained on one recording and asked about the other; then
the likeliest course in which phases follow each other in their order. Of it and of what it has to
beat (the other recording's most frequent phase; its phase at the same frame number) the share of
frames called rightly.

embryonet: ridge regression of the hour from a frame, trained on living embryos alone. A living
embryo is judged by a regression that has not seen it; how far it is off, with the deviation over
living embryos at that hour, gives the probability that a living embryo would look that odd. Of the
one that dies nothing was seen.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isl.viability.films import FilmConfig
from isl.viability.frame_features import frame_encoder
from isl.viability.recording import WHOLE_FRAME, Place, open_recording
from isl.viability.survey import Survey, key_film, survey

# The recordings do not say how many minutes lie between frames: hours of gomez are nominal.
GOMEZ = FilmConfig(window_hours=(0.0, 72.0), count=32, size=112, key_frames="events")
GOMEZ_MINUTES = 15.0
ZEBRAFISH = FilmConfig(window_hours=(0.0, 24.0), count=32, size=112, key_frames="events")
ZEBRAFISH_MINUTES = 6.0
SIDE = 112
ENCODER = "efficientnet-lite0"
# Hours over which an embryo's oddity is averaged.
_SMOOTH = 5


def main() -> None:
    """Prints figures, key frames by number (from 0), and leaves pictures of them and curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("viability_real"))
    settings = parser.parse_args()
    settings.out.mkdir(parents=True, exist_ok=True)
    human(settings.data / "gomez", settings.out)
    zebrafish(settings.data / "embryonet", settings.out)


def human(folder: Path, out: Path) -> None:
    """The phase of each frame, one recording against the other."""
    features, phases, whole, numbers = {}, {}, {}, {}
    for table in sorted(folder.glob("*_phases.csv")):
        name = table.name.removesuffix("_phases.csv")
        place = Place(name=name, path=folder / name, start=0.0, interval=GOMEZ_MINUTES)
        recording = open_recording(place)
        seen = survey(recording, _every_frame(GOMEZ, GOMEZ_MINUTES))
        features[name] = frame_encoder(ENCODER, SIDE).features(seen.cut_outs)
        whole[name], numbers[name] = _phases(table, len(recording)), seen.indices
        phases[name] = whole[name][seen.indices]
        _draw_key_frames(
            survey(recording, GOMEZ), GOMEZ, whole[name], out / f"{name}.key_frames.png"
        )
    order = list(dict.fromkeys(p for own in phases.values() for p in own if p))
    order.sort(key=lambda phase: ("tPB2", "tPNa", "tPNf").index(phase) if phase[1] == "P" else 99)
    print("gomez: share of frames whose phase is told")
    for name in features:
        (other,) = (n for n in features if n != name)
        learned = phases[other] != ""
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=500))
        model.fit(features[other][learned], phases[other][learned])
        classes = list(model.classes_)
        log_p = model.predict_log_proba(features[name])
        ranks = [classes.index(p) for p in order if p in classes]
        course = [order.index(classes[i]) for i in _course(log_p, ranks)]
        same = whole[other][np.minimum(numbers[name], len(whole[other]) - 1)]
        usual = max(set(phases[other][learned]), key=lambda p: int((phases[other] == p).sum()))
        ask = phases[name] != ""
        answers = {
            "features": model.predict(features[name]),
            "features, phases in order": np.array(order)[course],
            "same frame number of the other": same,
            "most frequent": np.full(len(ask), usual),
        }
        known = np.isin(phases[name], classes)[ask].mean()
        print(f"  {name}, learned from {other} ({ask.sum()} frames, {known:.0%} of phases in both)")
        for what, answer in answers.items():
            print(f"    {what:32s} {np.mean(answer[ask] == phases[name][ask]):.3f}")


def zebrafish(folder: Path, out: Path) -> None:
    """How odd each embryo looks for its hour."""
    with (folder / "outcomes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    features, looked, hours = {}, {}, np.zeros(0)
    for row in rows:
        path = folder / f"zebrafish_{row['embryo']}.tif"
        place = Place(
            name=path.stem,
            path=path,
            start=0.0,
            interval=ZEBRAFISH_MINUTES,
            embryo=WHOLE_FRAME,
        )
        recording = open_recording(place)
        seen = survey(recording, _every_frame(ZEBRAFISH, ZEBRAFISH_MINUTES))
        features[row["embryo"]] = frame_encoder(ENCODER, SIDE).features(seen.cut_outs)
        looked[row["embryo"]], hours = seen.frames.hours, recording.hours
        if row["outcome"] == "died":
            own = survey(recording, ZEBRAFISH)
            _draw_key_frames(own, ZEBRAFISH, None, out / "zebrafish_died.key_frames.png")
    living = [row["embryo"] for row in rows if row["outcome"] == "lived"]
    off = {}
    for embryo in features:
        model = make_pipeline(StandardScaler(), Ridge(alpha=1e4))
        learned = [name for name in living if name != embryo]
        model.fit(*(np.concatenate([of[n] for n in learned]) for of in (features, looked)))
        late = model.predict(features[embryo]) - looked[embryo]
        # Blank frames were not looked at: curves are of all, by their number.
        off[embryo] = _smoothed(np.interp(hours, looked[embryo], late))
    print("embryonet: probability that an embryo that lives would look so odd for its hour")
    curves = {}
    for row in rows:
        others = np.stack([off[name] for name in living if name != row["embryo"]])
        score = np.abs(off[row["embryo"]] - others.mean(axis=0)) / others.std(axis=0, ddof=1)
        score /= np.sqrt(1 + 1 / len(others))
        curves[row["embryo"]] = 2 * student.sf(score, len(others) - 1)
    for row in rows:
        p = curves[row["embryo"]]
        event = f", dies at frame {row['death_frame']}" if row["death_frame"] else ""
        below = np.flatnonzero(p < 0.01)
        first = f"first below 0.01 at frame {below[0]}" if len(below) else "never below 0.01"
        print(
            f"  {row['embryo']} ({row['outcome']}{event}): {first}, "
            f"{len(below) / len(p):.0%} of frames; lowest {p.min():.4f}"
        )
    _draw_curves(rows, hours, curves, out / "zebrafish.png")


def _every_frame(config: FilmConfig, minutes: float) -> FilmConfig:
    """With so many key frames that every frame is looked at."""
    first, last = config.window_hours
    return config.model_copy(update={"count": round(60 * (last - first) / minutes)})


def _phases(table: Path, frames: int) -> np.ndarray:
    """The phase of each frame; "" where none is given. Frames are counted from 1 in the table."""
    found = np.full(frames, "", dtype="U8")
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            found[int(row["first"]) - 1 : int(row["last"])] = row["phase"]
    return found


def _course(log_p: np.ndarray, ranks: list[int]) -> list[int]:
    """The likeliest course through classes in which each frame's is the last one's or a later one.

    Args:
        log_p: float [T, classes].
        ranks: Classes in the order in which they follow each other.
    """
    ordered = log_p[:, ranks]
    best, came = ordered[0].copy(), []
    for row in ordered[1:]:
        came.append([int(np.argmax(best[: i + 1])) for i in range(len(ranks))])
        best = row + np.maximum.accumulate(best)
    state = int(np.argmax(best))
    course = [state]
    for step in reversed(came):
        state = step[state]
        course.append(state)
    return [ranks[i] for i in reversed(course)]


def _smoothed(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, (_SMOOTH, 0), mode="edge")
    return np.array([padded[t + 1 : t + 1 + _SMOOTH].mean() for t in range(len(values))])


def _draw_key_frames(
    seen: Survey, config: FilmConfig, phases: np.ndarray | None, path: Path
) -> None:
    film = key_film(seen, config)
    titles = [f"{t} {'' if phases is None else phases[t]}".strip() for t in film.indices.tolist()]
    print(f"key frames of {seen.recording.place.name}, {config.key_frames}: {', '.join(titles)}")
    found = [title for title, why in zip(titles, film.why, strict=True) if why == "event"]
    print(f"  of these events: {', '.join(found) or 'none'}")
    figure = Figure(figsize=(16, 2 * 1.25), dpi=90, layout="constrained")
    for number, axes in enumerate(figure.subplots(2, 16).ravel()):
        axes.imshow(film.pictures[number], cmap="gray", vmin=0, vmax=255)
        color = "#b3123f" if film.why[number] == "event" else "#1d232b"
        axes.set_title(titles[number], fontsize=8, color=color)
        axes.set(xticks=[], yticks=[])
    FigureCanvasAgg(figure).print_png(path)


def _draw_curves(
    rows: list[dict[str, str]], hours: np.ndarray, curves: dict[str, np.ndarray], path: Path
) -> None:
    figure = Figure(figsize=(8, 3.4), dpi=90, layout="constrained")
    axes = figure.add_subplot()
    for row in rows:
        died = row["outcome"] == "died"
        axes.plot(
            hours,
            curves[row["embryo"]],
            color="#b3123f" if died else "#9aa4ae",
            lw=2 if died else 1,
            label="dies" if died else None,
        )
        if died:
            axes.axvline(hours[int(row["death_frame"])], color="#b3123f", ls=":", lw=1)
    axes.set(yscale="log", ylim=(1e-4, 1), xlabel="hours filmed", ylabel="P(as odd | lives)")
    axes.set_title("Seven zebrafish embryos: a demonstration, no evidence", fontsize=9)
    axes.legend(frameon=False)
    FigureCanvasAgg(figure).print_png(path)


if __name__ == "__main__":
    main()
