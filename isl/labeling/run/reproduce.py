"""`isl predict --reproduce`: a result again, from the record that was written beside it."""

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from isl.devices import use_device
from isl.errors import InputError
from isl.files.provenance import versions
from isl.imaging.inputs.read import find_inputs
from isl.imaging.inputs.steady import content_hash
from isl.labeling.model import load_models
from isl.labeling.run.fields import Request, predict_fields
from isl.labeling.run.outputs import files_of
from isl.labeling.run.provenance import FORMERLY

# What may be given besides the record; all else is as it was.
_GIVEN = ("inputs", "out", "into", "model", "memory", "device", "dry_run", "overwrite")

logger = logging.getLogger(__name__)


def reproduce(record: Path, request: Request) -> int:
    """Makes a field's images again, byte for byte where the machine allows it.

    What may change bytes (versions, device) is warned about, and so are images that came out
    different.

    Args:
        record: A field's NAME.json.
        request: Where to, and what moved: inputs and model where they lie elsewhere now.

    Returns:
        The exit code.

    Raises:
        InputError: The record is none, options are given besides, the input or the model is another
            or not there, or the prediction fails.
    """
    _check_given(request)
    made = _read(record)
    try:
        again = _request(made, request)
        name, path = _only_input(again)
        _check_same(made, again, path)
        sha256 = made["outputs"].get("sha256", {})
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{record}: is no record of isl predict, or one of another version ({error!r})"
        ) from error
    code = predict_fields(again)
    if not code and not request.dry_run:
        # An input or a plate that was renamed gives its name to the results.
        images = files_of(
            again.out, name, again.statistics, source=path, format=again.format, into=again.into
        ).images
        for statistic, expected in sha256.items():
            if content_hash(images[statistic]) != expected:
                logger.warning(
                    "%s: differs from the image that %s describes", images[statistic], record
                )
    return code


def _check_given(request: Request) -> None:
    for field in dataclasses.fields(Request):
        if field.name in _GIVEN or field.name == "batch":
            continue
        if getattr(request, field.name) != field.default:
            raise InputError(
                f"`reproduce` takes everything from the record; leave out `{field.name}`"
            )


def _read(record: Path) -> Mapping[str, Any]:
    try:
        made = json.loads(record.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{record}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InputError(f"{record}: is no record of isl predict ({error})") from error
    if not isinstance(made, dict) or made.get("made_by") != "isl predict":
        raise InputError(f"{record}: is no record of isl predict")
    return made


def _request(made: Mapping[str, Any], request: Request) -> Request:
    """What was asked for then, and where things are now."""
    known = {field.name for field in dataclasses.fields(Request)}
    settings = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in {**FORMERLY, **made["settings"]}.items()
    }
    into = settings.pop("into", False)
    if into and request.into is None:
        raise InputError("the record is of channels added to a copy; name one with `into`")
    if request.into is not None and not into:
        raise InputError(
            "the record is of images of predicted channels alone; give `out`, not `into`"
        )
    unknown = sorted(settings.keys() - known)
    if unknown:
        raise ValueError(f"setting '{unknown[0]}' is not known")
    model = request.model or made["model"].get("origin") or made["model"]["name"]
    return dataclasses.replace(
        request,
        **settings,
        inputs=request.inputs or (Path(made["input"]["path"]),),
        model=model,
        tile=str(made["tiles"].get("width", "auto")),
        batch=made["tiles"].get("batch"),
    )


def _only_input(request: Request) -> tuple[str, Path]:
    found = find_inputs(request.inputs, axes=request.axes)
    if len(found) > 1:
        raise InputError(f"{request.inputs[0]}: is {len(found)} fields; the record is of one")
    return found[0]


def _check_same(made: Mapping[str, Any], request: Request, path: Path) -> None:
    """Refuses another model or input; warns about all else that may change the result."""
    # The device is chosen before the model is loaded on it.
    device = use_device(request.device)
    model = load_models(str(request.model))
    if model.hash != made["model"]["sha256"]:
        raise InputError(
            f"{request.model}: is not the record's model '{made['model']['name']}' (sha256 "
            f"{model.hash[:12]}, not {made['model']['sha256'][:12]}); name that one with `model`"
        )
    sha256 = content_hash(path)
    if sha256 != made["input"]["sha256"]:
        raise InputError(
            f"{path}: is not what the record was made from (sha256 {sha256[:12]}, not "
            f"{made['input']['sha256'][:12]}); name that input"
        )
    now = {**versions(), "device": device}
    then = {**made["versions"], "device": made["device"]}
    for name in sorted(then.keys() | now.keys()):
        if now.get(name) != then.get(name):
            logger.warning(
                "%s was %s and is %s: results may differ", name, then.get(name), now.get(name)
            )
