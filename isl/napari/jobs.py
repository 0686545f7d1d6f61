"""What the tools do with an open image, in the background: they say how far they are, and stop.

Predicting runs in this process, which keeps models and their programs. Polarity, colonies and
fragmentation are the commands themselves, in a process of their own that writes into a folder which
is read and removed: they say and give what the command line would.
"""

import dataclasses
import functools
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isl.errors import InputError, as_options
from isl.imaging.formats.ome_tiff import write_movie
from isl.imaging.image import Movie, PixelSize
from isl.labeling.model import load_models
from isl.labeling.options import Asked
from isl.napari.layers import LayerData, image_layers
from isl.napari.reader import read, reader_of

_POLL = 0.1
"""Seconds."""
_ISL = "import sys; from isl.cli import main; sys.exit(main())"
_AXES = {"YX": 2, "TYX": 3, "ZYX": 3, "TZYX": 4}


class Stopped(Exception):
    """Somebody cancelled."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class OpenImage:
    """An image layer as it is given to a tool.

    Attributes:
        name: The layer's.
        data: Grey, 2 to 4 dimensions.
        pixel_size: Micrometres; None where the layer's scale is in pixels.
        modality: PHASE_CONTRAST, BRIGHTFIELD, DIC, or None.
    """

    name: str
    data: np.ndarray
    pixel_size: PixelSize | None = None
    modality: str | None = None

    def planes(self, axes: str) -> np.ndarray:
        """All of it as [T, Z, Y, X].

        Raises:
            InputError: `axes` does not fit it.
        """
        data = np.asarray(self.data)
        if _AXES.get(axes) != data.ndim:
            raise InputError(
                f"layer '{self.name}': has {data.ndim} dimensions, which {axes} does not name"
            )
        if data.dtype == np.float64:
            data = data.astype(np.float32)
        shape = {"YX": (1, 1), "TYX": (len(data), 1), "ZYX": (1, len(data))}.get(axes)
        return data if shape is None else data.reshape(*shape, *data.shape[-2:])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a tool is.

    Attributes:
        done: Tiles; 0 where nobody knows.
        total: Of all; 0 where nobody knows.
        said: One line, or "".
    """

    done: int = 0
    total: int = 0
    said: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What a tool gives.

    Attributes:
        layers: For napari.
        said: Lines for the person: what was found, and warnings.
    """

    layers: list[LayerData]
    said: tuple[str, ...] = ()


Job = Iterator[Progress | Result]
"""Progress now and then, and the result as the last."""


def predicting(
    image: OpenImage,
    stop: threading.Event,
    *,
    model: str,
    axes: str,
    uncertainty: str = "standard_deviation",
    **asked: Any,
) -> Job:
    """Predicts fluorescence, with its uncertainty beside.

    Args:
        image: The open image.
        stop: Set by whoever cancels.
        model: A bundled model's name, or a model folder.
        axes: What the image's dimensions are.
        uncertainty: A statistic; "" for none.
        **asked: As for `isl.labeling.predict.predict`; `statistics` is the first one, a name.
    """
    first = str(asked.pop("statistics", "median"))
    statistics = (first, uncertainty) if uncertainty not in ("", first) else (first,)
    told: queue.Queue[Progress] = queue.Queue()

    def progress(done: int, total: int) -> None:
        if stop.is_set():
            raise Stopped
        told.put(Progress(done=done, total=total))

    def compute() -> Result:
        planes = image.planes(axes)
        stack = Movie(
            name=image.name,
            frames=planes,
            pixel_size=image.pixel_size,
            modality=image.modality,
        )
        # What is asked for was checked by the panel; its values are of any type.
        whole: Asked = {"statistics": statistics, **asked}  # pyright: ignore[reportAssignmentType]
        one = stack.stack(0) if planes.shape[0] == 1 else stack
        prediction = _loaded(model).predict(one, progress=progress, **whole)
        layers = [
            layer
            for name in statistics
            for layer in image_layers(
                prediction.image(name), statistic=name, told={"model": model, "of": image.name}
            )
        ]
        return Result(layers=layers, said=tuple(map(as_options, prediction.warnings)))

    yield from _in_a_thread(compute, told, stop)


def commanding(
    command: str, image: OpenImage, stop: threading.Event, *, axes: str, options: Sequence[str] = ()
) -> Job:
    """Runs a command on the open image.

    Args:
        command: polarity, colony or fragmentation.
        image: The open image.
        stop: Set by whoever cancels.
        axes: What its dimensions are.
        options: Further words for the command.
    """
    with tempfile.TemporaryDirectory(prefix="isl-") as scratch:
        folder = Path(scratch)
        name = "".join(c if c.isalnum() or c in "-_" else "_" for c in image.name) or "image"
        given = folder / f"{name}.ome.tif"
        movie = Movie(
            name=name,
            frames=image.planes(axes),
            pixel_size=image.pixel_size,
            modality=image.modality,
        )
        write_movie(given, movie)
        out = folder / "out"
        words = [sys.executable, "-c", _ISL, command, str(given), "--out", str(out), *options]
        with (folder / "said.txt").open("w+b") as said:
            process = subprocess.Popen(words, stdout=said, stderr=subprocess.STDOUT)
            try:
                while process.poll() is None:
                    if stop.wait(_POLL):
                        raise Stopped
                    yield Progress(said=_last_line(folder / "said.txt"))
            finally:
                if process.poll() is None:
                    _interrupt(process)
        lines = (folder / "said.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        told = tuple(line for line in lines if line.strip() and str(folder) not in line)
        if process.returncode:
            why = [line for line in lines if line.strip()][-1:] or ["stopped without saying why"]
            raise InputError(why[0].replace(str(given), f"layer '{image.name}'"))
        results = sorted(path for path in out.glob("*.ome.tif") if reader_of(str(path)))
        layers = [layer for path in results for layer in read(str(path))]
        yield Result(layers=layers, said=told)


@functools.lru_cache(maxsize=4)
def _loaded(model: str) -> Any:
    return load_models(model)


def _in_a_thread(
    compute: Callable[[], Result], told: "queue.Queue[Progress]", stop: threading.Event
) -> Job:
    """Yields what is told until the thread that computes is done."""
    found: dict[str, Any] = {}

    def run() -> None:
        try:
            found["result"] = compute()
        except BaseException as error:
            found["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        try:
            yield told.get(timeout=_POLL)
        except queue.Empty:
            yield Progress()
    if "error" in found:
        raise found["error"]
    if stop.is_set():
        raise Stopped
    yield found["result"]


def _interrupt(process: "subprocess.Popen[bytes]") -> None:
    """As Ctrl-C does, so that nothing half written is left; by force if that takes long."""
    if sys.platform == "win32":
        process.terminate()
    else:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
