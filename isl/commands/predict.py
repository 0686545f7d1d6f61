"""The command `isl predict`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from isl.commands.parameters import (
    AllowMismatch,
    Axes,
    Channel,
    Device,
    LabelNames,
    Modality,
    Overwrite,
    PixelSize,
    Resume,
    Scheduler,
    ZStep,
    gibibytes,
    model_option,
    names_in,
)
from isl.errors import InputError


def predict(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="INPUT...",
            help="Image files, folders of published PNGs, folders of such things, datasets "
            "(dataset.toml) or what isl preprocess wrote; with --preprocess folders of raw tiles.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; or give --into.")
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            metavar="COPY.ome.zarr",
            help="A copy of the one image, or plate, with predicted channels beside the measured.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        model_option(
            "neurons-phase by default; several have their distributions averaged",
            metavar="NAME[,NAME]",
        ),
    ] = None,
    labels: LabelNames = None,
    statistics: Annotated[
        str,
        typer.Option(
            metavar="A,B|all",
            help="median, mean, mode, standard_deviation, probability_nonzero, entropy, or all of "
            "these; interval_90, the width of the 90 % interval; sample, one possible image, whose "
            "neighbours are drawn together (--seed); the first is NAME.ome.tif, each further one "
            "NAME.STATISTIC.ome.tif.",
        ),
    ] = "median",
    abstain: Annotated[
        float | None,
        typer.Option(
            metavar="WIDTH",
            help="Besides, NAME.abstained.ome.tif: 255 where the 90 % interval is wider than this "
            "intensity (above 0, at most 1), else 0. Abstention in the report of isl eval tells "
            "the error that each width leaves.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Another seed, another image for `sample`.")
    ] = 0,
    median: Annotated[
        str | None,
        typer.Option(
            help="interpolated within one of the 256 bins, or published: whole bins, as the "
            "published code's (by default with exact stitching only)."
        ),
    ] = None,
    stitch: Annotated[
        str | None,
        typer.Option(
            help="dense, or exact: what the published code's patches give (towers only, about 2.5 "
            "times the work); what the model was trained for by default."
        ),
    ] = None,
    border: Annotated[
        str,
        typer.Option(
            help="reflect: results of the input's size. valid: only what is seen in full."
        ),
    ] = "reflect",
    normalize: Annotated[
        str | None,
        typer.Option(help="auto or off; what the model was trained with by default."),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="uint16, float32 or uint8; full scale of integers is 1.0.")
    ] = "uint16",
    format: Annotated[
        str,
        typer.Option(
            help="ome-tiff (ImageJ and Fiji open it, too, up to 1 GiB); ome-zarr, fields of a "
            "plate then become a plate; or imagej, a hyperstack NAME.tif with slice labels."
        ),
    ] = "ome-tiff",
    tile: Annotated[
        str,
        typer.Option(
            metavar="auto|N", help="Widest tile, in pixels of output; memory grows by it."
        ),
    ] = "auto",
    memory: Annotated[
        float | None,
        gibibytes("Memory that pixels may take, however large the image."),
    ] = None,
    axes: Axes = None,
    channel: Channel = None,
    planes: Annotated[
        str | None,
        typer.Option(
            metavar="LIST|interpolate",
            help="Planes to use, from 0: 0,2,4 or 4:17 (17 excluded); interpolate: blended where "
            "the model's lie. By default those whose z step fits, or all.",
        ),
    ] = None,
    pixel_size: PixelSize = None,
    z_step: ZStep = None,
    modality: Modality = None,
    resample: Annotated[
        bool,
        typer.Option("--resample", help="Predict at the model's pixel size, return the input's."),
    ] = False,
    allow_mismatch: AllowMismatch = False,
    symmetries: Annotated[
        bool,
        typer.Option(
            "--symmetries",
            help="Average the distributions of the image turned and flipped in all eight ways; "
            "about seven times the work.",
        ),
    ] = False,
    renormalize: Annotated[
        bool,
        typer.Option(
            "--renormalize",
            help="Bring predicted intensities to the training images' mean and deviation.",
        ),
    ] = False,
    original_unit: Annotated[
        bool,
        typer.Option(
            "--original-unit",
            help="Give intensities in the training images' unit, where the model stretched its "
            "labels (label_scale).",
        ),
    ] = False,
    device: Device = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; compute and write nothing.")
    ] = False,
    overwrite: Overwrite = False,
    resume: Resume = False,
    workers: Annotated[
        int | None,
        typer.Option(metavar="N", help="Processes on this machine that share the fields."),
    ] = None,
    scheduler: Scheduler = None,
    preprocess: Annotated[
        Path | None,
        typer.Option(
            metavar="CONFIG.toml",
            help="Preprocess raw tiles first, into OUT/preprocessed; INPUT is then the folder of "
            "tiles, in place of the configuration's.",
        ),
    ] = None,
    reproduce: Annotated[
        Path | None,
        typer.Option(
            metavar="NAME.json", help="Make a result again from its record, instead of INPUT."
        ),
    ] = None,
) -> int:
    """Predicts fluorescence from transmitted-light z-stacks and movies."""
    from isl.imaging.inputs.stated import parse_modality
    from isl.labeling.bins import STATISTICS
    from isl.labeling.contract import parse_planes
    from isl.labeling.run.fields import Request, check_request, predict_fields

    if not inputs and reproduce is None and preprocess is None:
        raise InputError("no INPUT: name image files, or folders of them")
    if preprocess is not None and (dry_run or reproduce is not None):
        raise InputError(
            "--preprocess makes the fields first, which --dry-run and --reproduce do not; give isl "
            f"preprocess {preprocess} --dry-run, or leave one out"
        )
    chosen = STATISTICS if statistics == "all" else names_in(statistics, "--statistics")
    request = Request(
        inputs=tuple(inputs or ()),
        out=_folder(out, into),
        model=model,
        labels=names_in(labels, "--labels"),
        statistics=chosen or (),
        stitch=stitch,
        border=border,
        normalize=normalize,
        dtype=dtype,
        format=format,
        into=into,
        tile=tile,
        memory=memory,
        axes=axes,
        channel=channel,
        planes=None if planes is None else parse_planes(planes),
        pixel_size=pixel_size,
        z_step=z_step,
        modality=None if modality is None else parse_modality(modality),
        resample=resample,
        allow_mismatch=allow_mismatch,
        symmetries=symmetries,
        abstain=abstain,
        seed=seed,
        median=median,
        renormalize=renormalize,
        original_unit=original_unit,
        device=device,
        dry_run=dry_run,
        overwrite=overwrite,
        resume=resume,
        workers=workers,
        scheduler=scheduler,
    )
    if preprocess is not None:
        from isl.commands.preprocess import preprocess_first

        # What is wrong with the request is said before hours of preprocessing.
        check_request(request)
        fields = preprocess_first(preprocess, request.inputs, request.out / "preprocessed")
        request = dataclasses.replace(request, inputs=tuple(fields))
    if reproduce is not None:
        from isl.labeling.run import reproduce as again

        return again.reproduce(reproduce, request)
    return predict_fields(request)


def _folder(out: Path | None, into: Path | None) -> Path:
    """Where results go: beside a copy that predicted channels are added to."""
    if (out is None) == (into is None):
        raise InputError(
            "give --out DIR for images of the predicted channels, or --into COPY.ome.zarr for a "
            "copy of the input that holds them too" + (", not both" if out is not None else "")
        )
    return out if out is not None else Path(into or ".").parent
