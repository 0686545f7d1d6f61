"""Polarity as a kind of model."""

from isl.model_kinds import ModelKind
from isl.polarity.inspect import describe_model, summary
from isl.polarity.model import load_polarity_model
from isl.polarity.predict import predict

KIND = ModelKind(
    load=load_polarity_model, summary=summary, describe=describe_model, predict=predict
)
