"""The command `isl polarity`."""

from pathlib import Path
from typing import Annotated

import typer

from isl.commands.parameters import (
    Axes,
    Channel,
    Device,
    IntervalMinutes,
    Out,
    Overwrite,
    PixelSize,
    Resume,
    Scheduler,
    gibibytes,
    model_option,
)
from isl.errors import unknown


def polarity(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="INPUT...",
            help="Movies of stacks or of all-in-focus frames, folders of one embryo's frames, "
            "or folders of such things.",
        ),
    ],
    out: Out,
    model: Annotated[
        str | None,
        model_option("polarity by default"),
    ] = None,
    interval_minutes: IntervalMinutes = None,
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="A:B|TABLE.csv",
            help="Frames to use, from 0 (B excluded), such as those of the 8-cell stage; or a "
            "table with the columns embryo and frames (A:B).",
        ),
    ] = None,
    onset: Annotated[
        str | None,
        typer.Option(
            metavar="smoothed|change_point|posterior",
            help="How the onset follows from P(t): the first smoothed call, the most likely "
            "single change, or the median of where that may be; as the model says by default.",
        ),
    ] = None,
    activation: Annotated[
        str,
        typer.Option(
            metavar="class|difference",
            help="What maps are made of: the weights of the class that a frame is called, as in "
            "the paper, or what these have over the other class's.",
        ),
    ] = "class",
    leave_out: Annotated[
        str | None,
        typer.Option(
            metavar="DEFECT,...",
            help="Recordings with such a defect are not assessed: exposure, focus, motion, missing "
            "(a frame that repeats the one before). They are warned about by default.",
        ),
    ] = None,
    embryo_diameter: Annotated[
        float | None,
        typer.Option(
            metavar="UM",
            min=0,
            help="Micrometres across an embryo, 75 by default. A field over three of them wide "
            "is searched for embryos where its pixel size is known, and each is assessed on its "
            "own; 0: every recording is of one embryo.",
        ),
    ] = None,
    pixel_size: PixelSize = None,
    axes: Axes = None,
    channel: Channel = None,
    device: Device = "auto",
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Processes on this machine that share the embryos."),
    ] = None,
    scheduler: Scheduler = None,
    memory: Annotated[
        float | None,
        gibibytes(
            "Memory that prediction may take; frames of longer recordings are read one by one."
        ),
    ] = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
) -> int:
    """Tells when embryos polarized, with the pictures to judge it by; for research only."""
    from isl.polarity.assess import ACTIVATIONS, RULES
    from isl.polarity.defects import DEFECTS
    from isl.polarity.frame_range import parse_frames, read_frame_table
    from isl.polarity.run import Request, assess_recordings

    if onset is not None and onset not in RULES:
        raise unknown("onset rule", onset, RULES)
    if activation not in ACTIVATIONS:
        raise unknown("activation", activation, ACTIVATIONS)
    kinds = [] if leave_out is None else [kind.strip() for kind in leave_out.split(",")]
    for kind in kinds:
        if kind not in DEFECTS:
            raise unknown("defect", kind, DEFECTS)
    request = Request(
        inputs=tuple(inputs),
        out=out,
        model=model,
        interval=interval_minutes,
        frames=None if frames is None else parse_frames(frames) or read_frame_table(Path(frames)),
        rule=next((rule for rule in RULES if rule == onset), None),
        activation=ACTIVATIONS[ACTIVATIONS.index(activation)],
        leave_out=tuple(kind for kind in DEFECTS if kind in kinds),
        diameter=embryo_diameter,
        pixel_size=pixel_size,
        axes=axes,
        channel=channel,
        device=device,
        workers=workers,
        scheduler=scheduler,
        memory=memory,
        overwrite=overwrite,
        resume=resume,
    )
    return assess_recordings(request)
