"""The demonstration: z-stacks become fluorescence images, are scored against truth, and shown.

A simulated z-stack always, and the real field of the in silico labeling paper where its folder is
at hand. Everything goes through the same code as `isl predict`.
"""

import dataclasses
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isl.errors import InputError
from isl.files.whole import write_text
from isl.imaging.agreement import pearson
from isl.imaging.colors import label_color
from isl.imaging.display import LIGHT_BRIGHTEST, LIGHT_DARKEST, shown_range, stretched
from isl.imaging.formats.imagej_tiff import write_stack
from isl.imaging.formats.ome_tiff import write_ome_tiff
from isl.imaging.formats.published import is_published_folder, read_published
from isl.imaging.image import FluorescenceImage, ZStack
from isl.imaging.inputs.read import read_fluorescence
from isl.imaging.normalize import normalize_label
from isl.labeling.run.fields import Request, predict_fields
from isl.labeling.run.one_field import UNCERTAINTY
from isl.phantom import PhantomConfig, make_phantom
from isl.report import Block, figure, page, paragraph, records, section
from isl.report.preview import Panel, write_preview

# The bundled phantom model was trained on other seeds.
PHANTOM_SEED = 20_260
PHANTOM_MODEL = "phantom"
REAL_FIELD = "condition_b_A4"
REAL_MODEL = "neurons-phase"
# The block of the real field that was held out until neurons-phase's last stage (see its card).
REAL_BLOCK = (slice(637, 1024), slice(0, 388))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Shown:
    """One field of the demonstration.

    Attributes:
        title: What it is.
        note: What the figures were measured on.
        picture: A PNG: input, measured, predicted, uncertainty.
        seconds: What predicting took, from opening the file to the last image.
        pearson: By label, predicted against measured.
        files: What was written.
    """

    title: str
    note: str
    picture: Path
    seconds: float
    pearson: dict[str, float]
    files: tuple[Path, ...]


def run(*, out: Path, data: Path | None) -> None:
    """Makes the demonstration and prints what was written and measured.

    Args:
        out: Folder for everything; what an earlier demonstration left there is replaced.
        data: Folder that holds the real field `condition_b_A4`, or None.

    Raises:
        InputError: `data` does not hold it, or `out` cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"`out={out}`: is a file; name a folder")
    if data is not None and not is_published_folder(data / REAL_FIELD):
        raise InputError(f"{data}: holds no folder {REAL_FIELD} of published images")
    shown = [_show_phantom(out)]
    if data is not None:
        shown.append(_show_real(out, data / REAL_FIELD))
    index = out / "index.html"
    write_text(index, _page(shown), overwrite=True)
    for field in shown:
        print(f"\n{field.title} ({field.seconds:.1f} s). {field.note}")
        for label, value in field.pearson.items():
            print(f"  Pearson {label:<16} {value:.3f}")
        for path in field.files:
            print(f"  {path}")
    print(f"\nLook at {index}")
    print("\n".join(("", *_next(data is not None))))


def _next(seen_real: bool) -> list[str]:
    """What to type now, as it can be typed here."""
    isl = called()
    real = [] if seen_real else [("published images to try it on", "data get neurons")]
    lines = (
        ("what models there are", "models"),
        *real,
        ("your own z-stack", f"predict STACK.tif --out predicted --model {REAL_MODEL}"),
        (
            "a model from your own images (README: how to name them)",
            "train neurons_quick --set dataset=IMAGES.toml --workdir run --budget 20min",
        ),
    )
    return ["Next:", *(f"  {isl} {words}  # {what}" for what, words in lines)]


def called() -> str:
    """What to type for `isl` here: that, or the path of the one that runs."""
    beside = Path(sys.executable).with_name("isl")
    found = shutil.which("isl")
    if found is not None and Path(found).resolve() == beside.resolve():
        return "isl"
    try:
        return str(beside.relative_to(Path.cwd()))
    except ValueError:
        return str(beside)


def _show_phantom(out: Path) -> Shown:
    stack, truth = make_phantom(PhantomConfig(), PHANTOM_SEED)
    stack_file, truth_file = out / "phantom.tif", out / "phantom.truth.ome.tif"
    write_stack(stack_file, stack, overwrite=True)
    write_ome_tiff(truth_file, truth, overwrite=True)
    return _show(
        "Simulated cells",
        "A simulated field that the model has not seen; all pixels.",
        stack_file,
        stack,
        truth,
        model=PHANTOM_MODEL,
        out=out,
        made=(stack_file, truth_file),
    )


def _show_real(out: Path, folder: Path) -> Shown:
    stack, truth = read_published(folder)
    if truth is None:
        raise InputError(f"{folder}: holds no measured labels to compare with")
    return _show(
        "Human motor neurons, phase contrast",
        "Pixels of rows 637 to 1023, columns 0 to 387. The last stage of training saw them, so "
        "these figures flatter; the model's card has those from when they were held out.",
        folder,
        stack,
        truth,
        model=REAL_MODEL,
        out=out,
        block=REAL_BLOCK,
    )


def _show(
    title: str,
    note: str,
    source: Path,
    stack: ZStack,
    truth: FluorescenceImage,
    *,
    model: str,
    out: Path,
    block: tuple[slice, slice] = (slice(None), slice(None)),
    made: tuple[Path, ...] = (),
) -> Shown:
    """Predicts one field, scores it on `block` and draws that part."""
    started = time.monotonic()
    predict_fields(
        Request(
            inputs=(source,),
            out=out / "predicted",
            model=model,
            statistics=("mean", UNCERTAINTY),
            overwrite=True,
        )
    )
    seconds = time.monotonic() - started
    image = out / "predicted" / f"{stack.name}.ome.tif"
    spread = out / "predicted" / f"{stack.name}.{UNCERTAINTY}.ome.tif"
    predicted, uncertain = (_by_label(read_fluorescence(path)) for path in (image, spread))
    measured = {label: array for label, array in _by_label(truth).items() if label in predicted}
    picture = out / f"{stack.name}.png"
    plane = stack.planes[len(stack.planes) // 2]
    panels = [_panels(label, measured, predicted, uncertain, plane, block) for label in measured]
    write_preview(
        picture,
        [panel for row in panels for panel in row],
        columns=4,
        panel_size=384,
        pixel_size=stack.pixel_size,
        overwrite=True,
    )
    masks = (
        dict(zip(truth.labels, truth.measured, strict=True)) if truth.measured is not None else {}
    )
    scores = {
        label: pearson(
            array[block],
            predicted[label][block],
            masks[label][block] if label in masks else None,
        )
        for label, array in measured.items()
    }
    return Shown(
        title=title,
        note=note,
        picture=picture,
        seconds=seconds,
        pearson=scores,
        files=(*made, image, spread, picture),
    )


def _by_label(image: FluorescenceImage) -> dict[str, np.ndarray]:
    channels = (normalize_label(channel, source=image.name) for channel in image.channels)
    return dict(zip(image.labels, channels, strict=True))


def _panels(
    label: str,
    measured: dict[str, np.ndarray],
    predicted: dict[str, np.ndarray],
    uncertain: dict[str, np.ndarray],
    plane: np.ndarray,
    block: tuple[slice, slice],
) -> list[Panel]:
    """Input, measured, predicted (equally bright) and uncertainty, side by side."""
    shown = shown_range(measured[label][block])
    between = f"{shown[0]:.2f} to {shown[1]:.2f}"
    color = "#{:02x}{:02x}{:02x}".format(*label_color(label))
    light = plane[block]
    spread = uncertain[label][block]
    return [
        Panel(
            "transmitted light, middle plane",
            stretched(light, shown_range(light, (LIGHT_DARKEST, LIGHT_BRIGHTEST))),
        ),
        Panel(f"{label} measured, {between}", stretched(measured[label][block], shown), color),
        Panel(f"{label} predicted, {between}", stretched(predicted[label][block], shown), color),
        Panel(f"uncertainty, up to {spread.max():.2f}", spread / spread.max(), "magma"),
    ]


def _page(fields: Sequence[Shown]) -> str:
    return page(
        "Fluorescence predicted from transmitted light",
        [
            paragraph(
                "Each row: what the microscope saw without stain, what was measured, what the "
                "model predicts from the unstained planes alone, and how unsure it is (standard "
                "deviation of each pixel's distribution)."
            ),
            *map(_section, fields),
        ],
    )


def _section(field: Shown) -> Block:
    return section(
        field.title,
        [
            paragraph(f"{field.note} Predicted in {field.seconds:.1f} s."),
            records(
                field.pearson.items(),
                {"Label": lambda each: each[0], "Pearson": lambda each: f"{each[1]:.3f}"},
            ),
            figure(
                field.picture.read_bytes(),
                alt=f"{field.title}: input, measured, predicted, uncertainty",
                wide=True,
            ),
        ],
    )
