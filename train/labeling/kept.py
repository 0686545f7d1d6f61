"""Fields whose pixels lie in files, for training on more than fits in memory.

A file is mapped anew whenever its array is looked at, and let go at once: what was read stays in
the system's page cache for as long as there is room, in one copy for all processes, and counts as
no process's memory. Processes are sent paths, never pixels.
"""
# Frozen dataclasses, of which pyright cannot see that a property may take an attribute's place.
# pyright: reportIncompatibleVariableOverride=false

import dataclasses
from pathlib import Path

import numpy as np

from isl.imaging.image import FluorescenceImage, ZStack
from isl.labeling.fields import LoadedField

from .crops import Box, TrainingField, only_in
from .validation_field import ValidationField
from .warp import Look


@dataclasses.dataclass(frozen=True)
class ArrayFile:
    """An array in a file of its own, in NumPy's format.

    Attributes:
        path: The file.
        dtype: Of the array.
        shape: Likewise.
        offset: Bytes before its first element.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int

    @classmethod
    def at(cls, path: Path) -> "ArrayFile":
        """What a file says of its array.

        Raises:
            OSError: It cannot be read.
            ValueError: It is not one of NumPy's, or shorter than its array.
        """
        mapped = np.load(path, mmap_mode="r")
        assert isinstance(mapped, np.memmap)
        return cls(path, mapped.dtype.str, mapped.shape, mapped.offset)

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize

    def mapped(self) -> np.ndarray:
        """The array, read where it is looked at, until nothing refers to it."""
        found = np.memmap(self.path, self.dtype, "r", self.offset, self.shape)
        return found.view(np.ndarray)


def written(path: Path, array: np.ndarray) -> ArrayFile:
    """Writes an array to a new file.

    Raises:
        OSError: It cannot be written.
    """
    with path.open("xb") as file:
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return ArrayFile.at(path)


class KeptTrainingField(TrainingField):
    """A field to be cropped whose arrays lie in files; attributes as of `TrainingField`."""

    def __init__(
        self,
        *,
        name: str,
        group: str,
        weight: float,
        files: dict[str, ArrayFile],
        box: Box | None = None,
    ) -> None:
        """Takes what is not an array, the files of the arrays by name, and where labels count."""
        self.__dict__.update(name=name, group=group, weight=weight, _files=files, _box=box)
        self._files: dict[str, ArrayFile]
        self._box: Box | None

    @property
    def transmitted(self) -> np.ndarray:
        """See `TrainingField`."""
        return self._files["transmitted"].mapped()

    @property
    def targets(self) -> np.ndarray:
        """See `TrainingField`."""
        return self._files["targets"].mapped()

    @property
    def measured(self) -> np.ndarray:
        """See `TrainingField`."""
        return self.measured_at(slice(None), slice(None))

    @property
    def measured_at(self) -> Look:
        """See `TrainingField`."""
        mapped = self._files["measured"].mapped()
        if self._box is None:
            return lambda rows, columns: mapped[rows, columns]
        return only_in(mapped, self._box)

    @property
    def visible(self) -> np.ndarray:
        """See `TrainingField`."""
        return self._files["visible"].mapped()

    @property
    def in_files(self) -> bool:
        """They are."""
        return True

    @property
    def nbytes(self) -> int:
        """Bytes of its arrays."""
        return sum(file.nbytes for file in self._files.values())

    def with_labels_in(self, box: Box) -> "KeptTrainingField":
        """The field with labels in a rectangle only."""
        return KeptTrainingField(
            name=self.name, group=self.group, weight=self.weight, files=self._files, box=box
        )


class KeptValidationField(ValidationField):
    """Ground to judge on whose arrays lie in files; attributes as of `ValidationField`."""

    def __init__(self, *, name: str, region: Box, files: dict[str, ArrayFile]) -> None:
        """Takes what is not an array, and the files of the arrays by name."""
        self.__dict__.update(name=name, region=region, _files=files)
        self._files: dict[str, ArrayFile]

    @property
    def transmitted(self) -> np.ndarray:
        """See `ValidationField`; the file's planes come last."""
        return np.moveaxis(self._files["transmitted"].mapped(), -1, 0)

    @property
    def targets(self) -> np.ndarray:
        """See `ValidationField`."""
        return self._files["targets"].mapped()

    @property
    def measured(self) -> np.ndarray:
        """See `ValidationField`."""
        return self._files["measured"].mapped()


class KeptLoadedField(LoadedField):
    """A field as it was read whose pixels lie in files; attributes as of `LoadedField`."""

    def __init__(self, loaded: LoadedField, folder: Path) -> None:
        """Writes the pixels of a field to a new folder.

        Raises:
            OSError: They cannot be written.
        """
        assert loaded.labels.measured is not None
        folder.mkdir(parents=True)
        arrays = {
            "planes": loaded.transmitted.planes,
            "channels": loaded.labels.channels,
            "measured": loaded.labels.measured,
        }
        files = {name: written(folder / f"{name}.npy", array) for name, array in arrays.items()}
        nothing = np.zeros(0, np.uint8)
        stack = dataclasses.replace(loaded.transmitted, planes=nothing)
        labels = dataclasses.replace(loaded.labels, channels=nothing, measured=None)
        others = {
            field.name: getattr(loaded, field.name)
            for field in dataclasses.fields(loaded)
            if field.name not in ("transmitted", "labels")
        }
        self.__dict__.update(others, _files=files, _stack=stack, _labels=labels)
        self._files: dict[str, ArrayFile]
        self._stack: ZStack
        self._labels: FluorescenceImage

    @property
    def transmitted(self) -> ZStack:
        """See `LoadedField`."""
        return dataclasses.replace(self._stack, planes=self._files["planes"].mapped())

    @property
    def labels(self) -> FluorescenceImage:
        """See `LoadedField`."""
        return dataclasses.replace(
            self._labels,
            channels=self._files["channels"].mapped(),
            measured=self._files["measured"].mapped(),
        )
