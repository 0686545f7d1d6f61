"""Weights out of PyTorch's first file format, without PyTorch and without executing anything.

Such a `.pth` is five pickles one after the other (a magic number, a version, the machine's number
sizes, the state dict, the keys of its storages), then every storage's numbers. A pickle is a
program for a small machine; here that machine knows only what state dicts are made of. Classes are
never looked up: a few names are known, everything else is refused, and so is every other opcode.
"""

import dataclasses
import io
import math
import pickletools
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from isl.errors import InputError

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
STORAGES = {
    "torch FloatStorage": np.dtype("<f4"),
    "torch HalfStorage": np.dtype("<f2"),
    "torch DoubleStorage": np.dtype("<f8"),
    "torch LongStorage": np.dtype("<i8"),
    "torch IntStorage": np.dtype("<i4"),
}
_ORDERED = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
# A state dict nests three deep; a hostile one must not exhaust the memory by copies of copies.
_MOST_STEPS = 5_000_000


@dataclasses.dataclass(frozen=True)
class _Name:
    """A class or function by its name alone."""

    name: str


@dataclasses.dataclass(frozen=True)
class _Storage:
    """A storage that a tensor looks into."""

    key: str
    dtype: np.dtype
    size: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A tensor as it was pickled: where its numbers lie."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def numbers(self, storage: np.ndarray) -> np.ndarray:
        """The tensor's own array, copied out of its storage."""
        if len(self.shape) != len(self.strides) or min((0, *self.shape, *self.strides)) < 0:
            raise InputError("holds a tensor whose shape and strides do not fit")
        last = self.offset + sum(
            (n - 1) * step for n, step in zip(self.shape, self.strides, strict=True)
        )
        if 0 in self.shape:
            return np.zeros(self.shape, storage.dtype)
        # Strides of 0 would make a few bytes into any number of them.
        if not 0 <= self.offset <= last < storage.size or math.prod(self.shape) > storage.size:
            raise InputError("holds a tensor that reaches beyond its storage")
        steps = tuple(step * storage.itemsize for step in self.strides)
        view = np.lib.stride_tricks.as_strided(
            storage[self.offset :], self.shape, steps, writeable=False
        )
        return view.copy()


def read_torch_pickle(path: Path) -> dict[str, np.ndarray]:
    """A state dict's arrays by name.

    Args:
        path: A `.pth` or `.pt` of PyTorch's first format (before 1.6).

    Raises:
        InputError: It is of another format, damaged, or holds anything but a plain state dict.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _read(file: BinaryIO) -> dict[str, np.ndarray]:
    head = file.read(2)
    file.seek(0)
    if head == b"PK":
        raise InputError(
            "is of PyTorch's newer, zipped format; save it as safetensors "
            "(safetensors.torch.save_file) and give that"
        )
    if run_pickle(file) != MAGIC or run_pickle(file) != VERSION:
        raise InputError("is no file of torch.save (its magic number is another)")
    system = run_pickle(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise InputError("was written by a machine of the other byte order")
    state = run_pickle(file)
    keys = run_pickle(file)
    if not isinstance(state, dict) or not isinstance(keys, list):
        raise InputError("holds no state dict")
    tensors = {name: value for name, value in state.items() if isinstance(value, _Tensor)}
    if len(tensors) != len(state) or not all(isinstance(name, str) for name in tensors):
        raise InputError("holds more than a state dict's names and tensors")
    storages = _storages(file, keys, {t.storage.key: t.storage for t in tensors.values()})
    return {name: tensor.numbers(storages[tensor.storage.key]) for name, tensor in tensors.items()}


def _storages(
    file: BinaryIO, keys: Sequence[Any], wanted: dict[str, _Storage]
) -> dict[str, np.ndarray]:
    """The numbers of all storages, in the order in which they lie in the file."""
    if sorted(map(str, keys)) != sorted(wanted):
        raise InputError("lists other storages than its tensors use")
    found = {}
    for key in keys:
        storage = wanted[key]
        (size,) = struct.unpack("<q", _exactly(file, 8))
        if size != storage.size:
            raise InputError(f"storage {key} has {size} numbers, its tensors say {storage.size}")
        found[key] = np.frombuffer(_exactly(file, size * storage.dtype.itemsize), storage.dtype)
    return found


def _exactly(file: BinaryIO, count: int) -> bytes:
    data = file.read(count) if count >= 0 else b""
    if len(data) != count:
        raise InputError("ends too early")
    return data


_MARK = object()


class _Machine:
    """The stack and memory of a pickle, and the few opcodes of state dicts."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise InputError("is a damaged pickle")
        return self.stack.pop()

    def to_mark(self) -> list[Any]:
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _MARK:
                taken = self.stack[place + 1 :]
                del self.stack[place:]
                return taken
        raise InputError("is a damaged pickle")

    def remember(self, place: int) -> None:
        self.memory[place] = self.top()

    def recall(self, place: int) -> None:
        if place not in self.memory:
            raise InputError("is a damaged pickle")
        self.stack.append(self.memory[place])

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise InputError("is a damaged pickle")
        return self.stack[-1]

    def set_items(self, items: Sequence[Any]) -> None:
        target = self.top()
        if not isinstance(target, dict) or len(items) % 2:
            raise InputError("is a damaged pickle")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str):
                raise InputError("has a name that is no text")
            target[key] = value

    def append(self, items: Sequence[Any]) -> None:
        target = self.top()
        if not isinstance(target, list):
            raise InputError("is a damaged pickle")
        target.extend(items)

    def set_pair(self) -> None:
        value, key = self.pop(), self.pop()
        self.set_items([key, value])

    def name(self, argument: str) -> None:
        if argument not in {*STORAGES, _ORDERED, _TENSOR}:
            module, _, what = argument.partition(" ")
            raise InputError(f"names '{module}.{what}', which no plain state dict needs")
        self.stack.append(_Name(argument))

    def reduce(self) -> None:
        arguments, called = self.pop(), self.pop()
        if called == _Name(_ORDERED) and arguments == ():
            self.stack.append({})
        elif called == _Name(_TENSOR) and isinstance(arguments, tuple):
            self.stack.append(_tensor(arguments))
        else:
            raise InputError("calls something that no plain state dict needs")

    def storage(self) -> None:
        match self.pop():
            case ("storage", _Name(name), str(key), str(), int(size), None) if (
                name in STORAGES and size >= 0
            ):
                self.stack.append(_Storage(key, STORAGES[name], size))
            case _:
                raise InputError("refers to something that is no storage")

    def build(self) -> None:
        # `state._metadata`: versions of layers, which say nothing about the numbers.
        if not isinstance(self.pop(), dict) or not isinstance(self.top(), dict):
            raise InputError("sets the state of something that is no state dict")


def _tensor(arguments: tuple[Any, ...]) -> _Tensor:
    match arguments:
        case (_Storage() as storage, int(offset), tuple(shape), tuple(strides), bool(), dict()) if (
            all(type(n) is int for n in (*shape, *strides))
        ):
            return _Tensor(storage, offset, shape, strides)
        case _:
            raise InputError("rebuilds a tensor in an unknown way")


_Operation = Callable[[_Machine, Any], Any]
_PUSHED = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
}
_LITERALS = ("BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE")
_OPERATIONS: dict[str, _Operation] = {
    "PROTO": lambda machine, argument: None,
    "BINPUT": lambda machine, argument: machine.remember(argument),
    "LONG_BINPUT": lambda machine, argument: machine.remember(argument),
    "BINGET": lambda machine, argument: machine.recall(argument),
    "LONG_BINGET": lambda machine, argument: machine.recall(argument),
    "TUPLE": lambda machine, argument: machine.stack.append(tuple(machine.to_mark())),
    "TUPLE1": lambda machine, argument: machine.stack.append((machine.pop(),)),
    "TUPLE2": lambda machine, argument: machine.stack.append((machine.pop(), machine.pop())[::-1]),
    "TUPLE3": lambda machine, argument: machine.stack.append(
        (machine.pop(), machine.pop(), machine.pop())[::-1]
    ),
    "SETITEM": lambda machine, argument: machine.set_pair(),
    "SETITEMS": lambda machine, argument: machine.set_items(machine.to_mark()),
    "APPEND": lambda machine, argument: machine.append([machine.pop()]),
    "APPENDS": lambda machine, argument: machine.append(machine.to_mark()),
    "GLOBAL": lambda machine, argument: machine.name(argument),
    "REDUCE": lambda machine, argument: machine.reduce(),
    "BINPERSID": lambda machine, argument: machine.storage(),
    "BUILD": lambda machine, argument: machine.build(),
}


def run_pickle(file: BinaryIO | io.BytesIO) -> Any:
    """What one pickle says, by the opcodes known here.

    Args:
        file: Read from where it stands up to the pickle's end.

    Raises:
        InputError: It is damaged, or uses an opcode or a name that no plain state dict needs.
    """
    machine = _Machine()
    try:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if step > _MOST_STEPS:
                raise InputError("is longer than any state dict")
            if opcode.name == "STOP":
                result = machine.pop()
                if machine.stack:
                    raise InputError("is a damaged pickle")
                return result
            if opcode.name in _PUSHED:
                machine.stack.append(_PUSHED[opcode.name]())
            elif opcode.name in _LITERALS:
                machine.stack.append(argument)
            elif opcode.name in _OPERATIONS:
                _OPERATIONS[opcode.name](machine, argument)
            else:
                raise InputError(f"uses the opcode {opcode.name}, which no state dict needs")
    except (ValueError, UnicodeDecodeError, OverflowError) as error:
        raise InputError("is a damaged pickle") from error
    raise InputError("is a damaged pickle")
