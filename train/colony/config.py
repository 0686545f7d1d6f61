"""The TOML of a colony experiment: classes from few labels and many unlabelled images."""

from typing import Annotated, Literal

import pydantic

from isl.colony.network import NetworkConfig
from isl.config import Config
from isl.model_folder import KernelType
from isl.phantom.colonies.well import ColonyWellConfig

from ..experiment import ExperimentConfig, TrainingConfig
from ..optimizer import OptimizerConfig
from .balance import Balance, EpochSize
from .meta import MetaConfig

Method = Literal["supervised", "ceiling", "fixmatch", "simclr", "clustering", "simtriplet", "meta"]


class FolderSource(Config):
    """A folder with a folder of pictures for every class.

    Attributes:
        path: The folder, relative to the configuration's file; ${NAME} is an environment variable.
        unlabelled: Folders whose pictures carry no class, such as those of several classes.
        classes: Names in order; those of the folders, sorted, unless given.
        masks: A folder with masks under the same names, white where the colony is; without it a
            colony is wherever detection finds one in its picture, or else everywhere.
        group: A regular expression with one bracket that finds a picture's well or recording in
            its name; "": not known.
    """

    kind: Literal["folder"] = "folder"
    path: str
    unlabelled: tuple[str, ...] = ("multi-label",)
    classes: tuple[str, ...] = ()
    masks: str = ""
    group: str = ""


class TableSource(Config):
    """A CSV table with one picture a row.

    Attributes:
        path: The table, relative to the configuration's file.
        image: Column of the picture's path, relative to the table.
        labels: Columns of the class, one for every annotator; the majority counts, and a tie or an
            empty cell is no label.
        mask: Column of a mask's path; "": see `FolderSource.masks`.
        group: Column of the well or recording; "": not known.
        classes: Names in order; all that occur, sorted, unless given.
    """

    kind: Literal["table"] = "table"
    path: str
    image: str = "image"
    labels: tuple[str, ...] = ("class",)
    mask: str = ""
    group: str = ""
    classes: tuple[str, ...] = ()


class ArraysSource(Config):
    """Arrays of small pictures of one size in a file of NumPy's, such as cells in flow.

    Attributes:
        path: The .npz, relative to the configuration's file; ${NAME} is an environment variable.
        channels: Names of arrays [N, Y, X], one a channel.
        labels: Name of the array [N] of classes; an empty text is no label.
        classes: Names in order; all that occur, sorted, unless given.
    """

    kind: Literal["arrays"] = "arrays"
    path: str
    channels: tuple[str, ...] = pydantic.Field(min_length=1)
    labels: str
    classes: tuple[str, ...] = ()


class PhantomSource(Config):
    """Simulated wells, each a group.

    Attributes:
        wells: How many.
        first: Number of the first one.
        seed: Well number i depends on this, the settings and i alone.
        well: What is simulated.
    """

    kind: Literal["phantom"] = "phantom"
    wells: int = pydantic.Field(default=40, ge=1)
    first: int = pydantic.Field(default=0, ge=0)
    seed: int = pydantic.Field(default=0, ge=0)
    well: ColonyWellConfig = ColonyWellConfig()


Source = Annotated[
    FolderSource | TableSource | ArraysSource | PhantomSource, pydantic.Field(discriminator="kind")
]


class SplitConfig(Config):
    """Which images lend their labels.

    Attributes:
        labelled: Share of the single-class images whose labels may be used, evenly by class; at
            least one of each class.
        validation: Share of these that is kept for choosing the student and for calibration.
        multi_label: Whether images of several classes are among the unlabelled ones.
        leave_out: Groups, or names of images, that are not looked at.
        seed: Of the split; the experiment's unless given.
    """

    labelled: float = pydantic.Field(default=0.1, gt=0, le=1)
    validation: float = pydantic.Field(default=0.2, ge=0, lt=1)
    multi_label: bool = True
    leave_out: tuple[str, ...] = ()
    seed: int | None = None


class AugmentConfig(Config):
    """What may happen to a patch, each with its probability (paper: 0.25).

    Attributes:
        probability: Of each.
        rotation: Turned by up to this many degrees.
        contrast: Multiplied by 1 plus or minus up to this, about the patch's mean.
        brightness: Moved by up to this many deviations of the patch.
        blur: Standard deviation of the Gaussian, in pixels, up to this.
    """

    probability: float = pydantic.Field(default=0.25, ge=0, le=1)
    rotation: float = pydantic.Field(default=180.0, ge=0, le=360)
    contrast: float = pydantic.Field(default=0.4, ge=0)
    brightness: float = pydantic.Field(default=0.4, ge=0)
    blur: float = pydantic.Field(default=2.0, ge=0)


class BalanceConfig(Config):
    """How an epoch is drawn from the unlabelled images; see `isl_train.colony.balance`.

    Attributes:
        balance: By which weights.
        proportions_from: Whose pseudo-labels are counted.
        epoch_size: How many are drawn.
        labelled: Whether labelled batches hold the classes equally often.
    """

    balance: Balance = "inverse"
    proportions_from: Literal["unlabelled", "labelled"] = "unlabelled"
    epoch_size: EpochSize = "all"
    labelled: bool = True


class PretrainingConfig(Config):
    """What goes before: the teacher on labels alone, or a contrastive network on all images.

    Attributes:
        steps: Updates.
        optimizer: The experiment's unless given.
        temperature: Of the contrast.
        projection: Length of the vectors that are compared.
        head: What is trained on labels after a contrastive network: a dense layer alone, or all.
    """

    steps: int = pydantic.Field(default=1000, ge=1)
    optimizer: OptimizerConfig | None = None
    temperature: float = pydantic.Field(default=0.5, gt=0)
    projection: int = pydantic.Field(default=64, ge=2)
    head: Literal["linear", "finetuned"] = "finetuned"


class FrozenConfig(Config):
    """A backbone that stays as it is: what it makes of patches is computed once and kept.

    Every method then trains what stands behind it, in seconds. The batch norm holds mean and
    deviation of all images that are not left out, and takes no statistics of batches.

    Attributes:
        views: Augmented views of every patch. A backbone that averages over turned patches sees a
            view in one position only.
        places: Patches of every image.
        seed: Of views.
    """

    views: int = pydantic.Field(default=8, ge=1)
    places: int = pydantic.Field(default=1, ge=1)
    seed: int = pydantic.Field(default=0, ge=0)


class StartConfig(Config):
    """A model to begin with.

    Attributes:
        model: A model folder, relative to the configuration's file, or a bundled model; its classes
            come first, and new ones are added behind them. "": fresh weights.
    """

    model: str = ""


class ColonyTraining(TrainingConfig):
    """The table `training` of a colony experiment.

    Attributes:
        batch_norm_decay: Memory of the running batch statistics for one step.
    """

    batch_norm_decay: float = pydantic.Field(default=0.9, ge=0, lt=1)


class ColonyExperiment(ExperimentConfig):
    """A colony experiment.

    Attributes:
        name: Of the model; the name of the configuration's file unless given.
        data: Where images come from.
        split: Which of them lend their labels.
        network: What is trained.
        patch: Side of a patch.
        pixel_size: Micrometres of a pixel, for the model folder.
        subject: What a picture shows.
        method: supervised: labels alone; ceiling: with the true labels of all images; fixmatch,
            simclr, clustering, simtriplet, meta: with images that have none.
        meta: How teacher and student teach each other.
        balance: How epochs are drawn.
        augment: What may happen to patches.
        pretraining: What goes before.
        frozen: That the backbone stays as it is; None: it is trained like the rest.
        start: A model to begin with.
        patches: Patches a colony, in validation and in the finished model.
        undecided: Below this probability the finished model cannot tell.
        kernels: What the finished model's kernels are stored as.
    """

    # Narrowed, as a frozen value may be.
    task: Literal["colony"]  # pyright: ignore[reportIncompatibleVariableOverride]
    name: str = ""
    data: Source
    split: SplitConfig = SplitConfig()
    network: NetworkConfig = NetworkConfig()
    patch: int = pydantic.Field(default=224, ge=8)
    pixel_size: float | None = pydantic.Field(default=None, gt=0)
    subject: Literal["colony", "cell"] = "colony"
    method: Method = "meta"
    meta: MetaConfig = MetaConfig()
    balance: BalanceConfig = BalanceConfig()
    augment: AugmentConfig = AugmentConfig()
    pretraining: PretrainingConfig = PretrainingConfig()
    frozen: FrozenConfig | None = None
    start: StartConfig = StartConfig()
    patches: int = pydantic.Field(default=1, ge=1)
    undecided: float = pydantic.Field(default=0.5, ge=0, lt=1)
    kernels: KernelType = "float32"
    # Narrowed, as a frozen value may be.
    training: ColonyTraining  # pyright: ignore[reportIncompatibleVariableOverride]

    @pydantic.model_validator(mode="after")
    def _frozen_fits(self) -> "ColonyExperiment":
        if self.frozen is None:
            return self
        if self.patches > self.frozen.places:
            raise ValueError(
                f"patches = {self.patches} are more than frozen.places = {self.frozen.places}, "
                "which is how many have vectors"
            )
        if self.method in ("simclr", "clustering", "simtriplet") and not self.network.hidden:
            raise ValueError(
                f"method '{self.method}' has nothing to train in front of the dense layer, since "
                "the backbone is frozen; give network.hidden, or leave out [frozen]"
            )
        return self

    @property
    def split_seed(self) -> int:
        """What the split depends on."""
        return self.seed if self.split.seed is None else self.split.seed
