"""What tasks of one network over the fields of a labeling experiment have in common."""

import functools
from typing import Any, TypeVar, cast

import jax

from isl.labeling.network import LabelingNetwork

from ..network_task import NetworkTask
from ..task import Batch, Evaluation, Tree
from .config import LabelingConfig
from .fields import Fields
from .validation import PredictTile

Seeing = TypeVar("Seeing", bound=LabelingNetwork)


class FieldsTask(NetworkTask[Seeing]):
    """A network that is shown crops of fields and judged on tiles of others.

    Attributes:
        config: The experiment.
        fields: What is learned from.
        ground: The fields themselves.
    """

    def __init__(self, network: Seeing, config: LabelingConfig, fields: Fields) -> None:
        """Lays out the network; with shapes or arrays, which are not kept."""
        self.config = config
        self.fields = fields
        self.ground = fields.ground
        batches = config.validation.reestimate_batches
        super().__init__(network, config, settling_batches=batches)

    @property
    def pixels_per_example(self) -> int:
        """Input pixels of a crop."""
        return self.config.training.crop**2

    def examples(self, seed: int) -> Any:
        """Augmented crops without end."""
        return self.fields.examples(seed)

    def ground_hash(self) -> str:
        """Of the fields."""
        return self.ground.sha256

    def describe(self, batch: Batch) -> str:
        """Names of the fields in a batch."""
        return self.fields.names_in(batch)

    def evaluate(self, params: Tree, model_state: Tree, *, pictures: bool) -> Evaluation:
        """Predicts held-out ground and compares it label by label."""
        if self.ground.validation:
            model_state = self.settled(params, model_state)
        predict: PredictTile = functools.partial(self._predict_tile, params, model_state)
        return self.fields.judge(predict, pictures=pictures)

    def in_training(self, network: Seeing) -> Seeing:
        """Padded if the experiment says so."""
        return cast(Seeing, network.padded()) if self.config.training.padded else network

    def said_of(
        self, network: Seeing, transmitted: jax.Array, targets: jax.Array, measured: jax.Array
    ) -> dict[str, jax.Array]:
        """What the network says of a tile; see `isl_train.labeling.validation.PredictTile`."""
        raise NotImplementedError

    @functools.partial(jax.jit, static_argnums=0)
    def _predict_tile(
        self,
        params: Tree,
        model_state: Tree,
        transmitted: jax.Array,
        targets: jax.Array,
        measured: jax.Array,
    ) -> dict[str, jax.Array]:
        network = self.predicting(params, model_state)
        if self.config.stitch == "exact":
            network = cast(Seeing, network.exactly())
        return self.said_of(network, transmitted, targets, measured)
