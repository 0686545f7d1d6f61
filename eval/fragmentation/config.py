"""What `isl eval` reads for the fragmentation task."""

from pathlib import Path
from typing import Literal

import pydantic

from isl.config import Config
from isl.data.splits import Split


class Variant(Config):
    """Networks trained alike, one a seed.

    Attributes:
        name: In the tables.
        experiment: A training configuration, relative to the evaluation's; or else:
        models: Model folders or bundled names, which are judged as they are.
        changes: `key=value` texts for the training configuration.
    """

    name: str = pydantic.Field(min_length=1)
    experiment: Path | None = None
    models: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    @pydantic.model_validator(mode="after")
    def _one_source(self) -> "Variant":
        if (self.experiment is None) == (not self.models):
            raise ValueError("give an experiment to train by, or models")
        return self


class FragmentationEvaluation(Config):
    """An evaluation of fragmentation models.

    Attributes:
        task: "fragmentation".
        description: For the report.
        dataset: The examples' file, relative to the configuration.
        split: Which embryos are judged.
        variant: What is compared.
        reference: The variant that others are compared with; the first unless given.
        seeds: With which every experiment is trained.
        by_site: Whether figures are also given by site.
        replicates: Of the bootstrap over embryos.
    """

    task: Literal["fragmentation"] = "fragmentation"
    description: str = ""
    dataset: Path
    split: Split = "test"
    variant: tuple[Variant, ...] = pydantic.Field(min_length=1)
    reference: str = ""
    seeds: tuple[pydantic.NonNegativeInt, ...] = pydantic.Field(default=(0, 1, 2), min_length=1)
    by_site: bool = True
    replicates: int = pydantic.Field(default=2000, ge=1)

    @pydantic.model_validator(mode="after")
    def _names_fit(self) -> "FragmentationEvaluation":
        names = [variant.name for variant in self.variant]
        if len(set(names)) != len(names):
            raise ValueError("two variants have one name")
        if self.reference and self.reference not in names:
            raise ValueError(f"reference '{self.reference}' is no variant ({', '.join(names)})")
        return self
