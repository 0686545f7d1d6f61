"""Labeling as a kind of model."""

from isl.labeling.inspect import describe_model, fits, summary
from isl.labeling.model import load_model
from isl.model_kinds import ModelKind

KIND = ModelKind(load=load_model, summary=summary, describe=describe_model, fits=fits)
