"""Polarity models as they are, on embryos that they do not know."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isl.errors import InputError
from isl.polarity.embryo import Embryo
from isl_train.polarity.crossfit import predicted_ezrin, seen_by_labeling

from ..statistics.folds import check_apart
from ..writing.progress import PartsProgress
from .crossval import CrossValidation, check_measured, held_out_logits
from .examples import (
    Example,
    Explain,
    candidates_of,
    explained,
    held_out_maps,
    keep,
    kept_examples,
    typical,
)
from .ezrin import ezrin_figures
from .predictions import HeldOut, KeptPredictions

FOLD = "all"


@dataclasses.dataclass(frozen=True, kw_only=True)
class SavedModel:
    """A polarity model that is to be judged.

    Attributes:
        name: What it is called in the report.
        folder: Its folder.
        config: What its `model.toml` says.
        ezrin: Name or folder of the labeling model.
        planes: That EZRIN is predicted from.
        ezrin_embryos: Whom the labeling model was trained on, as far as it says.
        identity: Hashes of its weights and of the labeling model's.
    """

    name: str
    folder: Path
    config: Any
    ezrin: str | Path
    planes: int
    ezrin_embryos: tuple[str, ...]
    identity: tuple[str, str]


def find_models(names: Sequence[str], folder: Path) -> tuple[SavedModel, ...]:
    """Looks up models, beside the configuration first and then among the bundled ones.

    Raises:
        InputError: There is no such model, it is damaged, or two have one name.
    """
    from isl.labeling.model import load_model
    from isl.polarity.model import EZRIN_FOLDER, load_polarity_model

    found: dict[str, SavedModel] = {}
    for name in names:
        beside = folder / name
        model = load_polarity_model(beside if beside.is_dir() else name)
        ezrin = model.config.ezrin or model.directory / EZRIN_FOLDER
        labeling = load_model(ezrin)
        called = model.name if model.name not in found else name
        if called in found:
            raise InputError(f"model '{name}' is named twice; name it once")
        found[called] = SavedModel(
            name=called,
            folder=model.directory,
            config=model.config,
            ezrin=ezrin,
            planes=labeling.config.input.planes,
            ezrin_embryos=tuple(labeling.config.trained_on or ()),
            identity=(model.hash, labeling.hash),
        )
    return tuple(found.values())


def check_embryos(models: Sequence[SavedModel], embryos: Sequence[Embryo]) -> None:
    """Refuses embryos that a model, or the one behind its EZRIN, says it was trained on.

    And those whose measured Ezrin it needs and lacks.

    Raises:
        InputError: Names them, or an embryo whose stacks do not fit.
    """
    for model in models:
        check_measured((model.config.arm,), embryos)
        for embryo in embryos:
            seen_by_labeling(model.planes, embryo)
        learned = {
            str(model.folder): model.config.embryos,
            f"{model.folder}: its EZRIN model {model.ezrin}": model.ezrin_embryos,
        }
        for where, known in learned.items():
            check_apart(
                (embryo.name for embryo in embryos),
                (e.name for e in embryos if {e.name, e.group} & set(known)),
                where=where,
                remedy="name them in leave_out, or judge another model",
                noun="embryo",
            )


def judge_saved(
    models: Sequence[SavedModel],
    embryos: Sequence[Embryo],
    kept: KeptPredictions,
    *,
    say: Callable[[str], None],
    predict: Callable[[SavedModel, Embryo], np.ndarray] | None = None,
    explain: Explain = held_out_maps,
) -> CrossValidation:
    """Asks every model about every embryo; what is kept is not done again.

    Args:
        models: Which models.
        embryos: Which embryos.
        kept: Where predictions are kept.
        say: Called with a line for every part that is done.
        predict: EZRIN float32 [T, Y, X] of an embryo by a model's labeling model; None: that.
        explain: Where class activation maps come from.
    """
    predict = predict or _predict
    progress = PartsProgress({"embryos": len(models) * len(embryos)}, say)
    predictions: dict[str, list[HeldOut]] = {}
    agreement: dict[str, np.ndarray] = {}
    for model in models:
        stored = kept.take(FOLD, model.name), kept.take_agreement(f"{FOLD}.{model.name}")
        if stored[0] is not None and stored[1] is not None:
            made, found = stored[0], stored[1]
            progress.skip("embryos", len(embryos), model.name)
        else:
            made, found, examples = _ask(model, embryos, predict, explain, progress)
            if examples:
                keep(kept, FOLD, model.name, examples)
            kept.put(FOLD, model.name, made)
            kept.put_agreement(f"{FOLD}.{model.name}", found)
        predictions[model.name] = [made]
        # Models of one evaluation share a labeling model as a rule; else the first one's counts.
        agreement = found | agreement
    examples = {model.name: kept_examples(kept, [FOLD], model.name) for model in models}
    return CrossValidation(predictions=predictions, agreement=agreement, examples=examples)


def _ask(
    model: SavedModel,
    embryos: Sequence[Embryo],
    predict: Callable[[SavedModel, Embryo], np.ndarray],
    explain: Explain,
    progress: PartsProgress,
) -> tuple[HeldOut, dict[str, np.ndarray], list[Example]]:
    started = time.monotonic()
    logits: dict[str, np.ndarray] = {}
    agreement: dict[str, np.ndarray] = {}
    candidates: list[Example] = []
    for embryo in embryos:
        progress.begin()
        ezrin = predict(model, embryo)
        logits[embryo.name] = held_out_logits(model.folder, embryo, ezrin)
        candidates += candidates_of(embryo, _held_out(model, logits), ezrin)
        if embryo.measured is not None:
            agreement[embryo.name] = ezrin_figures(ezrin, embryo.measured)
        progress.end("embryos", 1, f"{model.name}: {embryo.name}, {len(embryo.dic)} frames")
    made = _held_out(model, logits, time.monotonic() - started)
    examples = []
    if model.config.arm != "measured":
        chosen = typical(candidates, [made], embryos)
        examples = explained(chosen, model.folder, embryos, explain)
    return made, agreement, examples


def _held_out(model: SavedModel, logits: Mapping[str, np.ndarray], seconds: float = 0.0) -> HeldOut:
    return HeldOut(
        logits=logits,
        combine=model.config.combine,
        threshold=model.config.threshold,
        seconds=seconds,
        **model.config.for_intervals,
    )


def _predict(model: SavedModel, embryo: Embryo) -> np.ndarray:
    from isl.labeling.model import load_model

    return predicted_ezrin(load_model(model.ezrin), embryo)
