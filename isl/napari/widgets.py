"""The tools' panels in napari: an image, a model, a few settings, run, progress, cancel."""

import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from isl.errors import InputError
from isl.imaging.image import PixelSize
from isl.model_folder import model_kind
from isl.model_kinds import installed_models
from isl.napari.jobs import Job, OpenImage, Progress, Result, Stopped, commanding, predicting
from isl.napari.layers import UNIT, laid_over
from isl.packages import needed

RESEARCH = "For research only; it decides nothing about an embryo."
_GUESSED = "as its dimensions suggest"
_napari = functools.partial(needed, extra="napari", what="the napari plugin")
_WIDEST = 320
"""Pixels of a sentence."""
Start = Callable[["Panel", OpenImage, threading.Event], Job]


class Panel:
    """One tool: its widgets, and the job that runs.

    Attributes:
        widget: What napari shows.
        fields: Settings, by name.
        worker: The job that runs in the background, or None.
    """

    def __init__(
        self, viewer: Any, start: Start, *, kind: str, fields: dict[str, Any], note: str = ""
    ) -> None:
        """Builds the panel.

        Args:
            viewer: napari's.
            start: Begins a job from this panel's settings.
            kind: Models of which kind are offered.
            fields: Further widgets of magicgui, by name.
            note: Shown above, where there is something to say.
        """
        widgets = _napari("magicgui.widgets")
        image = _napari("napari.layers").Image
        # napari gives functions none.
        self._viewer = viewer or _napari("napari").current_viewer()
        self._start = start
        self._stop = threading.Event()
        self._of: Any = None
        self.worker: Any = None
        models = sorted(
            name for name, folder in installed_models().items() if model_kind(folder) == kind
        )
        self.layer = widgets.create_widget(annotation=image, label="image")
        # The task's own first: that is the one the command takes where none is named.
        self.model = widgets.ComboBox(
            choices=sorted(models, key=lambda name: name != kind), label="model"
        )
        self.folder = widgets.FileEdit(mode="d", label="or a model folder", nullable=True)
        self.pixel_size = widgets.FloatSpinBox(
            label="pixel size (um), 0: the layer's", max=1000, step=0.01
        )
        self.fields = fields
        self.run_button = widgets.PushButton(text="Run")
        self.cancel_button = widgets.PushButton(text="Cancel", enabled=False)
        self.bar = widgets.ProgressBar(visible=False)
        self.said = widgets.Label(value=note)
        self.widget = widgets.Container(
            widgets=[
                self.layer,
                self.model,
                self.folder,
                self.pixel_size,
                *fields.values(),
                self.run_button,
                self.cancel_button,
                self.bar,
                self.said,
            ]
        )
        self.said.native.setWordWrap(True)
        # A long sentence would take the place of the image.
        self.said.native.setMaximumWidth(_WIDEST)
        self.widget.isl_panel = self
        self.run_button.changed.connect(self.run)
        self.cancel_button.changed.connect(self.cancel)

    @property
    def chosen_model(self) -> str:
        """The folder, where one is given; else the bundled model's name."""
        folder = self.folder.value
        return str(self.model.value) if folder in (None, Path()) else str(folder)

    def axes(self, three: str) -> str:
        """The image's axes; three dimensions are `three` unless the person says otherwise."""
        said = self.fields["axes"].value if "axes" in self.fields else _GUESSED
        guessed = {2: "YX", 3: three, 4: "TZYX"}
        if said != _GUESSED:
            return str(said)
        dimensions = self.layer.value.ndim
        if dimensions not in guessed:
            raise InputError(f"layer '{self.layer.value.name}': has {dimensions} dimensions")
        return guessed[dimensions]

    def run(self) -> None:
        """Starts the job on the chosen layer."""
        try:
            job = self._job()
        except InputError as error:
            self._say(str(error))
            return
        create_worker = _napari("napari.qt.threading").create_worker
        self.run_button.enabled, self.cancel_button.enabled = False, True
        self.bar.visible, self.bar.max, self.bar.value = True, 0, 0
        self._say("starting ...")

        def work() -> Iterator[Progress | Result | Exception]:
            # What a person mends is no error of the worker, which napari would show as one.
            try:
                yield from job
            except (Stopped, InputError) as refusal:
                yield refusal

        worker: Any = create_worker(work, _start_thread=False)
        worker.yielded.connect(self._tell)
        worker.errored.connect(self._fail)
        worker.finished.connect(self._end)
        self.worker = worker
        worker.start()

    def cancel(self) -> None:
        """Asks the job to stop; what it has so far is dropped."""
        self._stop.set()
        self._say("stopping ...")

    def _job(self) -> Job:
        layer = self.layer.value
        if layer is None:
            raise InputError("open an image first, and choose its layer")
        if layer.rgb or layer.multiscale:
            what = "in colour" if layer.rgb else "multiscale"
            raise InputError(f"layer '{layer.name}': is {what}; choose one in grey, at one scale")
        size = float(self.pixel_size.value)
        given = OpenImage(
            name=layer.name,
            data=layer.data,
            pixel_size=PixelSize(y=size, x=size) if size > 0 else pixel_size_of(layer),
            modality=layer.metadata.get("isl", {}).get("modality"),
        )
        self._stop, self._of = threading.Event(), layer
        return self._start(self, given, self._stop)

    def _tell(self, found: Progress | Result | Exception) -> None:
        if isinstance(found, Exception):
            self._say("cancelled" if isinstance(found, Stopped) else str(found))
            return
        if isinstance(found, Progress):
            if found.total:
                self.bar.max, self.bar.value = found.total, found.done
                self._say(f"{found.done} of {found.total} tiles")
            elif found.said:
                self._say(found.said)
            return
        layer_type = _napari("napari.layers").Layer
        for data in found.layers:
            self._viewer.add_layer(layer_type.create(*laid_over(self._of, data)))
        self._say("\n".join(found.said) or "done")

    def _fail(self, error: Exception) -> None:
        self._say(f"failed: {error!r}")

    def _end(self) -> None:
        self.run_button.enabled, self.cancel_button.enabled = True, False
        self.bar.visible = False
        self.worker = None

    def _say(self, text: str) -> None:
        self.said.value = text


def pixel_size_of(layer: Any) -> PixelSize | None:
    """A layer's scale in micrometres, where its units are lengths; else None."""
    units = tuple(getattr(layer, "units", None) or ())[-3:]
    # Pixels are no lengths.
    lengths = [
        float((1 * unit).to(UNIT).magnitude) * float(scale)
        if (1 * unit).check("[length]")
        else None
        for unit, scale in zip(units, layer.scale[-len(units) :] if units else (), strict=True)
    ]
    if len(lengths) < 2 or lengths[-1] is None or lengths[-2] is None:
        return None
    return PixelSize(y=lengths[-2], x=lengths[-1], z=lengths[0] if len(lengths) == 3 else None)


def predict_widget(napari_viewer: Any = None) -> Any:
    """Predicts fluorescence on the open layer."""
    widgets = _napari("magicgui.widgets")
    fields = {
        "statistic": widgets.ComboBox(choices=["median", "mean", "mode"], label="show"),
        "uncertainty": widgets.ComboBox(
            choices=["standard_deviation", "entropy", "interval_90", "none"],
            label="uncertainty beside",
        ),
        "axes": widgets.ComboBox(choices=[_GUESSED, "YX", "ZYX", "TYX", "TZYX"], label="axes"),
        "resample": widgets.CheckBox(text="resample to the model's pixel size"),
        "mismatch": widgets.CheckBox(text="predict even where the image is known not to fit"),
    }

    def start(panel: Panel, image: OpenImage, stop: threading.Event) -> Job:
        uncertainty = str(fields["uncertainty"].value)
        return predicting(
            image,
            stop,
            model=panel.chosen_model,
            axes=panel.axes("ZYX"),
            uncertainty="" if uncertainty == "none" else uncertainty,
            statistics=str(fields["statistic"].value),
            resample=bool(fields["resample"].value),
            allow_mismatch=bool(fields["mismatch"].value),
        )

    return Panel(napari_viewer, start, kind="labeling", fields=fields).widget


def polarity_widget(napari_viewer: Any = None) -> Any:
    """When the embryo of an open recording polarizes."""
    widgets = _napari("magicgui.widgets")
    interval = widgets.FloatSpinBox(label="minutes between frames, 0: not known", max=1e5)

    def options() -> list[str]:
        return ["--interval-minutes", f"{interval.value:g}"] if interval.value > 0 else []

    return _command_panel(
        napari_viewer, "polarity", {"interval": interval}, options=options, note=RESEARCH
    )


def colony_widget(napari_viewer: Any = None) -> Any:
    """Colonies of an open well, and their classes."""
    return _command_panel(napari_viewer, "colony", {})


def fragmentation_widget(napari_viewer: Any = None) -> Any:
    """Fragments of the embryos on open frames, and their share."""
    return _command_panel(napari_viewer, "fragmentation", {}, note=RESEARCH)


def _command_panel(
    viewer: Any,
    command: str,
    fields: dict[str, Any],
    *,
    options: Callable[[], list[str]] = list,
    note: str = "",
) -> Any:
    def start(panel: Panel, image: OpenImage, stop: threading.Event) -> Job:
        words = ["--model", panel.chosen_model, *options()]
        return commanding(command, image, stop, axes=panel.axes("TYX"), options=words)

    return Panel(viewer, start, kind=command, fields=fields, note=note).widget
