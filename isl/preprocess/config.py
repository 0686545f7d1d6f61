"""The TOML of `isl preprocess`: where the tiles are, which stages run, and with what parameters."""

from pathlib import Path
from typing import Any, Literal, get_args

import pydantic

from isl.config import Config
from isl.data.splits import Split
from isl.preprocess.layout.fields import LayoutConfig
from isl.preprocess.quality import QualityConfig

Stage = Literal[
    "salt_and_pepper",
    "additive_dust",
    "downscale",
    "flat_field",
    "multiplicative_dust",
    "stitching",
    "projection",
    "normalization",
    "quality",
]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""The paper's nine stages, in its order."""


def _later(default: Any) -> Any:
    """A key that came after the first runs: not in records where it is not set, so these stay."""
    return pydantic.Field(default=default, exclude_if=lambda value: value == default)


class SampleConfig(Config):
    """Which images set-wide estimates are made from.

    Attributes:
        images: At most so many of a channel's images, evenly spread over the set; a median of this
            many is known to a few percent of their scatter, and time and memory stay bounded.
        least: With fewer images a median would show the cells themselves; it is refused.
    """

    images: int = pydantic.Field(default=100, ge=1)
    least: int = pydantic.Field(default=9, ge=3)


class SaltAndPepperConfig(Config):
    """Stage 1, on fluorescence: see `isl.preprocess.stages.salt_and_pepper`.

    Attributes:
        size: Width of the median filter, pixels.
        most_passes: How often it is repeated at most.
    """

    size: int = pydantic.Field(default=5, ge=3)
    most_passes: int = pydantic.Field(default=32, ge=1)


class AdditiveDustConfig(Config):
    """Stage 2, on fluorescence: see `isl.preprocess.stages.additive_dust`.

    Attributes:
        disk_diameter: Micrometres; needs a pixel size.
        most_share: Of the pixels that dust may cover.
        fill: What stands where dust was, before the background is blurred: "nearby", the mean of
            the pixels around it, or "mean", that of all clean pixels, as in the paper.
        subtract: "disks", so that what chance left in the mean is not taken off every image; or
            "everywhere", all that the mean differs from its background by.
    """

    disk_diameter: float = pydantic.Field(default=50.0, gt=0)
    most_share: float = pydantic.Field(default=0.1, gt=0, lt=1)
    fill: Literal["nearby", "mean"] = _later("nearby")
    subtract: Literal["disks", "everywhere"] = _later("disks")


class FlatFieldConfig(Config):
    """Stage 4: see `isl.preprocess.stages.flat_field`.

    Attributes:
        transmitted_divisor: The blur's deviation is the image's height divided by this.
        fluorescence_divisor: The same, for fluorescence.
        places: From so many tiles on; of fewer, blurs are widened by the root of what is missing,
            or else the cells of single tiles would show.
        method: "surface": a surface of low order is taken off before the blur and put back after
            it, so that corners are right; or "blur", the paper's blur alone.
        clip: "below": negative counts become 0; or "full": and what division lifts above a full
            pixel becomes one, after stage 4 and after stage 5.
    """

    transmitted_divisor: float = pydantic.Field(default=32.0, gt=0)
    fluorescence_divisor: float = pydantic.Field(default=16.0, gt=0)
    places: int = pydantic.Field(default=100, ge=1)
    method: Literal["surface", "blur"] = _later("surface")
    clip: Literal["below", "full"] = _later("below")


class StitchingConfig(Config):
    """Stage 6: see `isl.preprocess.stages.offsets` and `isl.preprocess.stages.springs`.

    Attributes:
        channel: Whose pictures are compared; None: the transmitted one.
        plane: Which of its planes; None: the middle one.
        search: How far tiles may lie from where they should, in pixels as acquired.
        least_confidence: Offsets below it are not believed.
        equalize: Which channels' tiles are divided by their gains, as what they share with their
            neighbours shows: see `isl.preprocess.stages.gains`. A label's gains are less well
            known, the more so the smaller the set and the overlap; take "all" where a lamp
            flickers.
    """

    channel: str | None = None
    plane: int | None = pydantic.Field(default=None, ge=0)
    search: int = pydantic.Field(default=60, ge=1)
    least_confidence: float = pydantic.Field(default=0.3, ge=0, le=1)
    equalize: Literal["all", "transmitted", "none"] = "transmitted"


class RegistrationConfig(Config):
    """Whether fluorescence lies where transmitted light does.

    See `isl.preprocess.stages.registration`.

    Attributes:
        correct: Move each label by its measured shift, where that is known. Otherwise the shift is
            only reported.
        search: The farthest shift looked for, pixels of the result.
    """

    correct: bool = False
    search: int = pydantic.Field(default=32, ge=1)


class PlanesConfig(Config):
    """Which planes of the transmitted stack are kept: see `isl.preprocess.plane_choice`.

    Attributes:
        count: So many, evenly spaced and centred on the sharpest; None: all of them.
        spacing: Planes from one to the next; None: as far apart as fits.
    """

    count: int | None = pydantic.Field(default=None, ge=1)
    spacing: int | None = pydantic.Field(default=None, ge=1)


class SplitConfig(Config):
    """Who is for training, validation and test: see `isl.preprocess.split`.

    Attributes:
        train: Share of the groups.
        validation: Share of the groups.
        test: Share of the groups.
        seed: Who goes where follows from it.
        groups: Groups that are put by hand, e.g. { B2 = "validation" }.
        region: For a set of one group: rows and columns [y0, y1, x0, x1] of the result that are
            for validation. Neighbouring ground is like what was trained on, so scores on it are
            optimistic.
    """

    train: float = pydantic.Field(default=1.0, ge=0)
    validation: float = pydantic.Field(default=0.0, ge=0)
    test: float = pydantic.Field(default=0.0, ge=0)
    seed: int = pydantic.Field(default=0, ge=0)
    groups: dict[str, Split] = pydantic.Field(default_factory=dict)
    region: tuple[int, int, int, int] | None = None

    @pydantic.model_validator(mode="after")
    def _somebody_is_somewhere(self) -> "SplitConfig":
        if self.train + self.validation + self.test <= 0:
            raise ValueError("train, validation and test are all 0; give one a share")
        return self

    @pydantic.model_validator(mode="after")
    def _region_is_of_training_fields(self) -> "SplitConfig":
        if self.region is None:
            return self
        y0, y1, x0, x1 = self.region
        if not (0 <= y0 < y1 and 0 <= x0 < x1):
            raise ValueError("region is empty; give [y0, y1, x0, x1] with y0 < y1 and x0 < x1")
        if self.validation or self.test or {*self.groups.values()} - {"train"}:
            raise ValueError(
                "region is for sets that are all for training; leave it out, or validation, test "
                "and groups"
            )
        return self


class PreprocessConfig(Config):
    """What `isl preprocess` does.

    Attributes:
        description: What the set is.
        layout: Where the tiles are and what their names say.
        transmitted: The channel of transmitted light.
        modality: "PHASE_CONTRAST", "BRIGHTFIELD" or "DIC".
        labels: The fluorescence channels; empty: every other channel that is found.
        pixel_size: Micrometres as acquired, instead of what the files say.
        z_step: Micrometres between the planes acquired, instead of what the files say.
        sensor_offset: What the camera counts in the dark, in one exposure. It is no light, and is
            taken off before anything is divided; None: 0.
        full_pixel: Counts of a full pixel in one exposure, where the camera has fewer bits than its
            files (4095 for 12); None: the most that the files can hold.
        stages: Which of the paper's stages run; their order is always the paper's.
        estimates: Folder of an earlier run whose flat fields and dust are taken, relative to the
            configuration's file; see `isl.preprocess.earlier_estimates`. None: made of this set.
        sample: Which images set-wide estimates are made from.
        salt_and_pepper: Stage 1.
        additive_dust: Stage 2.
        downscale: Stage 3: pixels a side that become one.
        flat_field: Stage 4.
        stitching: Stage 6.
        registration: Between transmitted light and each label.
        percentile: Stage 7: of the intensities over z.
        planes: Which transmitted planes are kept.
        quality: Stage 9: what a field must be like to be kept.
        decisions: A CSV like the quality.csv that a run writes, edited; what it says of a field
            counts, whatever was measured.
        split: Who is for training, validation and test.
    """

    description: str = ""
    layout: LayoutConfig
    transmitted: str
    modality: Literal["PHASE_CONTRAST", "BRIGHTFIELD", "DIC"] | None = None
    labels: tuple[str, ...] = ()
    pixel_size: pydantic.PositiveFloat | None = None
    z_step: pydantic.PositiveFloat | None = None
    sensor_offset: float | None = pydantic.Field(default=None, ge=0)
    full_pixel: pydantic.PositiveFloat | None = None
    stages: tuple[Stage, ...] = STAGES
    estimates: Path | None = pydantic.Field(default=None, exclude_if=lambda run: run is None)
    sample: SampleConfig = SampleConfig()
    salt_and_pepper: SaltAndPepperConfig = SaltAndPepperConfig()
    additive_dust: AdditiveDustConfig = AdditiveDustConfig()
    downscale: int = pydantic.Field(default=2, ge=1)
    flat_field: FlatFieldConfig = FlatFieldConfig()
    stitching: StitchingConfig = StitchingConfig()
    registration: RegistrationConfig = RegistrationConfig()
    percentile: float = pydantic.Field(default=90.0, ge=0, le=100)
    planes: PlanesConfig = PlanesConfig()
    quality: QualityConfig = QualityConfig()
    decisions: Path | None = None
    split: SplitConfig = SplitConfig()

    def runs(self, stage: Stage) -> bool:
        """Whether a stage runs."""
        return stage in self.stages

    @property
    def factor(self) -> int:
        """Raw pixels a side that become one pixel of the result."""
        return self.downscale if self.runs("downscale") else 1
