"""Viability as a kind of model."""

from isl.model_kinds import ModelKind
from isl.viability.inspect import describe_model, summary
from isl.viability.model import load_viability_model
from isl.viability.predict import predict

KIND = ModelKind(
    load=load_viability_model, summary=summary, describe=describe_model, predict=predict
)
