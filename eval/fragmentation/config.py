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
        after: An earlier variant: each network begins with that one's of the same seed (`start`).
    """

    name: str = pydantic.Field(min_length=1)
    experiment: Path | None = None
    models: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    after: str = ""

    @pydantic.model_validator(mode="after")
    def _one_source(self) -> "Variant":
        if (self.experiment is None) == (not self.models):
            raise ValueError("give an experiment to train by, or models")
        if self.after and self.experiment is None:
            raise ValueError("`after` is for a variant that is trained")
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
        leave_one_site_out: Whether every experiment is trained once for each site, on the other
            sites' examples, and judged on all of that site's with a mask or share, whatever their
            split.
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
    leave_one_site_out: bool = False
    replicates: int = pydantic.Field(default=2000, ge=1)

    @pydantic.model_validator(mode="after")
    def _names_fit(self) -> "FragmentationEvaluation":
        names = [variant.name for variant in self.variant]
        if len(set(names)) != len(names):
            raise ValueError("two variants have one name")
        folders = {name.replace("/", "_"): name for name in names}
        for name in names:
            if (other := folders[name.replace("/", "_")]) != name:
                raise ValueError(f"'{name}' and '{other}' would have one folder; rename one")
        if self.reference and self.reference not in names:
            raise ValueError(f"reference '{self.reference}' is no variant ({', '.join(names)})")
        if self.leave_one_site_out and (ready := [v.name for v in self.variant if v.models]):
            raise ValueError(
                f"leave_one_site_out trains every network; '{ready[0]}' names models that are there"
            )
        trained = [variant.name for variant in self.variant if variant.experiment is not None]
        for variant in self.variant:
            if variant.after and variant.after not in trained[: trained.index(variant.name)]:
                raise ValueError(
                    f"'{variant.name}' is after '{variant.after}', which is no trained variant "
                    "before it"
                )
        return self
