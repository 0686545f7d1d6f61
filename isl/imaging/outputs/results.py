"""The files that a field, an embryo or a well becomes: what is there, and writing them whole."""

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

from isl.errors import InputError
from isl.files import provenance
from isl.files.folders import put_in_place
from isl.files.staging import staging_folder
from isl.files.whole import settle, sync_folder


class Repeated(Protocol):
    """What was asked for, where results may be there already."""

    @property
    def overwrite(self) -> bool:
        """Whether results are replaced."""
        ...

    @property
    def resume(self) -> bool:
        """Whether results that were made in the same way are kept."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResultFiles:
    """Where the results of one input belong.

    Attributes:
        images: One for every statistic, in order; the first has the input's plain name. Only one
            where predicted channels go into a copy, none where nothing but a preview is made.
        preview: A PNG to look at.
        record: The provenance, in JSON; written last, so an input that has it is done.
        format: "ome-tiff", "imagej" (files) or "ome-zarr" (folders).
        like: The plate that is mirrored where images are fields of plates, else None.
        into: Whether the image is a copy of the input with predicted channels added.
        optional: Names of images that not every input becomes, such as those of movies alone.
    """

    images: Mapping[str, Path]
    preview: Path
    record: Path
    format: str = "ome-tiff"
    like: Path | None = None
    into: bool = False
    optional: frozenset[str] = frozenset()

    @property
    def all(self) -> tuple[Path, ...]:
        """Every file, the record last."""
        return *self.images.values(), self.preview, self.record

    @property
    def complete(self) -> bool:
        """Whether all of them are there; a folder has its name only when it is whole."""
        optional = {self.images[name] for name in self.optional}
        return all(
            (path / "zarr.json" if path.is_dir() else path).is_file()
            for path in self.all
            if path not in optional
        )

    @property
    def plates(self) -> tuple[Path, ...]:
        """The plates that images are fields of."""
        return () if self.like is None else tuple(path.parents[2] for path in self.images.values())

    def read_record(self) -> dict[str, Any]:
        """What the record says of inputs that are done."""
        return json.loads(self.record.read_text(encoding="utf-8"))

    def made_from(
        self,
        command: str,
        *,
        model_hash: str,
        settings: Mapping[str, Any],
        source_hash: str,
        formerly: Mapping[str, Any] | None = None,
    ) -> bool:
        """Whether all of them are there, from the same input by the same model and settings.

        Args:
            command: What must have made them, such as "isl predict".
            model_hash: sha256 of the model.
            settings: Everything else that changes results.
            source_hash: `isl.imaging.inputs.steady.content_hash` of the input.
            formerly: The values of settings that did not exist yet when older records were written.
        """
        return self.complete and provenance.made_from(
            self.record,
            command,
            model_hash=model_hash,
            settings=settings,
            source_hash=source_hash,
            formerly=formerly,
        )

    def done_before(
        self,
        source: Path,
        asked: Repeated,
        command: str,
        *,
        model_hash: str,
        settings: Mapping[str, Any],
        source_hash: str,
    ) -> bool:
        """Whether a run that resumes may keep what is there; see `made_from`.

        Args:
            source: The input.
            asked: Whether it resumes, and may replace.
            command: As of `made_from`, like the rest.
            model_hash: As there.
            settings: As there.
            source_hash: As there.

        Raises:
            InputError: What is there was made in another way, and may not be replaced.
        """
        if not asked.resume:
            return False
        same = self.made_from(
            command, model_hash=model_hash, settings=settings, source_hash=source_hash
        )
        if not same and not asked.overwrite:
            self.check_replaceable(source)
        return same

    def check_replaceable(self, source: Path) -> None:
        """Refuses results that are there, as those of another origin are never replaced unasked.

        Args:
            source: The input that they would be made from.

        Raises:
            InputError: The first of them.
        """
        for path in self.all:
            if path.exists():
                raise InputError(
                    f"{path}: exists, and was not made from {source} in this way; give "
                    "`overwrite` to replace it"
                )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Input:
    """One input, and the files it becomes."""

    name: str
    path: Path
    files: ResultFiles

    def everywhere(self) -> Self:
        """The same with absolute paths, for other machines."""
        files = self.files
        absolute = dataclasses.replace(
            files,
            images={name: path.absolute() for name, path in files.images.items()},
            preview=files.preview.absolute(),
            record=files.record.absolute(),
            like=None if files.like is None else files.like.absolute(),
        )
        return dataclasses.replace(self, path=self.path.absolute(), files=absolute)


@contextlib.contextmanager
def written_together(files: ResultFiles) -> Iterator[ResultFiles]:
    """Paths to write one input's files to; they get their names when all of them are there.

    They are written into a hidden folder beside, which is removed whatever happens, and reach the
    disk before they get their names. A record that is being replaced goes first and the new one
    comes last, so that no record ever stands beside images it does not describe.

    Yields:
        Where to write each file.

    Raises:
        InputError: The folder cannot be written, or is full.
    """
    folder = files.record.parent
    try:
        with staging_folder(folder) as temporary:
            # Fields of several plates have the same name, each in its own.
            names = {
                name: f"{name}.ome.zarr" if files.like is not None else path.name
                for name, path in files.images.items()
            }
            staged = dataclasses.replace(
                files,
                images={name: temporary / own for name, own in names.items()},
                preview=temporary / files.preview.name,
                record=temporary / files.record.name,
            )
            yield staged
            made = {
                name: path
                for name, path in staged.images.items()
                if name not in files.optional or path.exists()
            }
            for source in (*made.values(), staged.preview, staged.record):
                settle(source)
            files.record.unlink(missing_ok=True)
            for name, target in files.images.items():
                if name not in made:
                    target.unlink(missing_ok=True)
                    continue
                _place(staged.images[name], target, files, temporary / f"{name}.replaced")
            os.replace(staged.preview, files.preview)
            sync_folder(folder)
            os.replace(staged.record, files.record)
            sync_folder(folder)
    except OSError as error:
        raise InputError(
            f"{folder}: results cannot be written there ({error.strerror or error})"
        ) from error


def _place(image: Path, target: Path, files: ResultFiles, replaced: Path) -> None:
    if files.like is not None:
        from isl.imaging.zarr.plate_writer import put_into_plate

        put_into_plate(image, target, files.like, replaced)
    elif image.is_dir():
        put_in_place(image, target, replaced)
    else:
        os.replace(image, target)
