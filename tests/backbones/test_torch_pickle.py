"""Files of torch.save's first format, written by hand: what is read, and what is refused."""

import io
import pickle
import struct
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from isl.backbones.torch_pickle import MAGIC, VERSION, read_torch_pickle, run_pickle
from isl.errors import InputError


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(
    key: str, size: int, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0
) -> bytes:
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu")
    storage += number(size) + b"NtQ"
    hooks = b"ccollections\nOrderedDict\n)R"
    rest = number(offset) + numbers(shape) + numbers(strides) + b"\x89" + hooks
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + rest + b"tR"


def torch_file(
    tensors: Mapping[str, bytes], storages: Mapping[str, np.ndarray], state: bytes | None = None
) -> bytes:
    if state is None:
        items = b"".join(text(name) + value for name, value in tensors.items())
        state = b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    pickles = [pickle.dumps(value, 2) for value in (MAGIC, VERSION, system)]
    data = b"".join([*pickles, state, pickle.dumps(list(storages), 2)])
    for values in storages.values():
        data += struct.pack("<q", values.size) + values.astype("<f4").tobytes()
    return data


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_arrays_come_out_with_offsets_and_strides(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32)
    tensors = {
        "plain": tensor("0", 12, (3, 4), (4, 1)),
        "turned": tensor("0", 12, (4, 3), (1, 4)),
        "part": tensor("0", 12, (2,), (1,), offset=5),
        "single": tensor("1", 1, (), ()),
    }
    data = torch_file(tensors, {"1": np.float32([7]), "0": values})
    found = read_torch_pickle(written(tmp_path / "a.pth", data))
    np.testing.assert_array_equal(found["plain"], values.reshape(3, 4))
    np.testing.assert_array_equal(found["turned"], values.reshape(3, 4).T)
    np.testing.assert_array_equal(found["part"], [5, 6])
    assert found["single"] == 7


class Hostile:
    def __init__(self, touched: Path) -> None:
        self.touched = touched

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.touched,))


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_a_call_hidden_in_a_state_dict_is_refused_and_not_made(
    tmp_path: Path, protocol: int
) -> None:
    touched = tmp_path / "touched"
    state = pickle.dumps(OrderedDict(weight=Hostile(touched)), protocol)
    path = written(tmp_path / "a.pth", torch_file({}, {}, state))
    with pytest.raises(InputError, match=r"state dict needs"):
        read_torch_pickle(path)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"cos\nsystem\n(X\x04\x00\x00\x00truetR.", r"names 'os\.system'"),
        (b"ctorch\nFloatStorage\n)R.", "calls something"),
        (b"ccollections\nOrderedDict\n(K\x01tR.", "calls something"),
        (b"(S'a'\nios\nsystem\n.", "opcode"),
        (b"X\x01\x00\x00\x00aQ.", "no storage"),
        (b"}X\x01\x00\x00\x00a.", "damaged"),
        (b"0.", "opcode"),
        (b"t.", "damaged"),
        (b"h\x05.", "damaged"),
        (b"}K\x01K\x02s.", "no text"),
        (b"]}b.", "no state dict"),
        (b"}", "damaged"),
        (b"", "damaged"),
    ],
)
def test_programs_that_are_no_state_dict(program: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_pickle(io.BytesIO(program))


@pytest.mark.parametrize(
    "array",
    [
        tensor("0", 4, (5,), (1,)),
        tensor("0", 4, (2,), (1,), offset=3),
        tensor("0", 4, (2,), (1,), offset=-1),
        tensor("0", 4, (2,), (-1,), offset=3),
        tensor("0", 4, (1000, 1000), (0, 0)),
        tensor("0", 4, (2, 2), (1,)),
    ],
)
def test_tensors_that_leave_their_storage_are_refused(tmp_path: Path, array: bytes) -> None:
    data = torch_file({"w": array}, {"0": np.zeros(4)})
    with pytest.raises(InputError, match="tensor"):
        read_torch_pickle(written(tmp_path / "a.pth", data))


def test_files_that_end_early_or_are_something_else(tmp_path: Path) -> None:
    data = torch_file({"w": tensor("0", 4, (4,), (1,))}, {"0": np.zeros(4)})
    for length in range(0, len(data), 7):
        with pytest.raises(InputError):
            read_torch_pickle(written(tmp_path / "a.pth", data[:length]))
    with pytest.raises(InputError, match="zipped"):
        read_torch_pickle(written(tmp_path / "a.pth", b"PK\x03\x04"))
    with pytest.raises(InputError, match="magic"):
        read_torch_pickle(written(tmp_path / "a.pth", pickle.dumps(3, 2)))
    with pytest.raises(InputError, match="cannot be read"):
        read_torch_pickle(tmp_path / "missing.pth")
