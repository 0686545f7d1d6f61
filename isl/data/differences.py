"""In what the examples of a dataset differ that a model takes for one: lengths, words, times."""

from collections.abc import Iterator, Mapping

from isl.errors import InputError

# Lengths may differ by so many times before they are spoken of, and before they are refused.
WARNED_RATIO = 1.1
REFUSED_RATIO = 2.0


def differing_lengths(
    what: str, lengths: Mapping[str, float | None], source: object, *, key: str
) -> Iterator[str]:
    """One line where lengths differ, or where some examples do not say theirs.

    Args:
        what: E.g. "pixel size".
        lengths: Micrometres by example, None where one does not say.
        source: The dataset, named in messages.
        key: Where a person states it, e.g. "pixel_size".

    Raises:
        InputError: They differ more than twofold.
    """
    known = {name: length for name, length in lengths.items() if length is not None}
    if not known:
        return
    silent = [name for name in lengths if name not in known]
    if silent:
        yield f"{source}: '{silent[0]}' does not say its {what}, others do"
    least, most = _ends(known)
    text = (
        f"{source}: {what} is {known[least]:g} um in '{least}' and {known[most]:g} um in '{most}'"
    )
    if known[most] > REFUSED_RATIO * known[least]:
        raise InputError(
            f"{text}; train on images of one {what}, or state '{key}' where a file is wrong"
        )
    if known[most] > WARNED_RATIO * known[least]:
        yield f"{text}; the model will not know which it sees"


def differing_words(
    what: str, words: Mapping[str, str | None], source: object, *, key: str
) -> Iterator[str]:
    """One line where examples differ in a word, such as their modality; None is one, too."""
    by: dict[str | None, str] = {}
    for name, word in words.items():
        by.setdefault(word, name)
    if len(by) > 1:
        said = ", ".join(f"{word or 'unknown'} in '{name}'" for word, name in by.items())
        yield f"{source}: images differ in {what}: {said}; state '{key}' where a file is wrong"


def differing_times(
    what: str, times: Mapping[str, float | None], unit: str, source: object, *, remedy: str
) -> Iterator[str]:
    """One line where known exposures, or intervals between frames, differ.

    Args:
        what: E.g. "transmitted light was exposed".
        times: By example, None where one does not say.
        unit: Of the times.
        source: The dataset.
        remedy: What to do about it.
    """
    known = {name: time for name, time in times.items() if time is not None}
    if not known:
        return
    least, most = _ends(known)
    if known[most] > WARNED_RATIO * known[least]:
        yield (
            f"{source}: {what} {known[least]:g} {unit} in '{least}' and {known[most]:g} {unit} in "
            f"'{most}'; {remedy}"
        )


def _ends(known: Mapping[str, float]) -> tuple[str, str]:
    return min(known, key=known.__getitem__), max(known, key=known.__getitem__)
