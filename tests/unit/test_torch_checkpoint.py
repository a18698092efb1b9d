"""Checkpoints made by hand, opcode by opcode: sound ones, and hostile ones that must neither run nor show anything."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from similarity.data.features.efficientnet_lite import read_checkpoint
from similarity.errors import UserError

HEAD: tuple[object, ...] = (0x1950A86A20F9469CFC6C, 1001, {})  # magic number, protocol version, system info
CONTENT = np.arange(6, dtype="<f4")
OUTSIDE = ((1, (6,), (1,)), (-1, (2,), (1,)), (0, (2,), (-1,)), (0, (2, 3), (4, 1)), (0, (-1,), (1,)), (9, (), ()))


def checkpoint(
    offset: object = 0, size: object = (6,), stride: object = (1,), elements: int = 6, storage: str = "FloatStorage"
) -> bytes:
    """One tensor, `weight`, in a storage that holds CONTENT."""
    reference = b"".join([b"(", fragment("storage"), f"ctorch\n{storage}\n".encode(), fragment("0"), b"NNNtQ"])
    arguments = b"".join([b"(", reference, *map(fragment, (offset, size, stride)), b"\x89}t"])
    state = b"\x80\x02}" + fragment("weight") + b"ctorch._utils\n_rebuild_tensor_v2\n" + arguments + b"Rs."
    return b"".join([pickles(*HEAD), state, pickles(["0"]), elements.to_bytes(8, "little"), CONTENT.tobytes()])


def pickles(*values: object) -> bytes:
    return b"".join(pickle.dumps(value, 2) for value in values)


def fragment(value: object) -> bytes:
    """The opcodes that put a value on the stack, without the first and last of a pickle."""
    return pickle.dumps(value, 2)[2:-1]


def read(content: bytes, folder: Path) -> dict[str, np.ndarray]:
    path = folder / "checkpoint.pth"
    path.write_bytes(content)
    return read_checkpoint(path)


def test_a_tensor_is_the_view_of_its_storage_that_it_is_declared_as(tmp_path: Path) -> None:
    (tensor,) = read(checkpoint(0, (3, 2), (1, 3)), tmp_path).values()
    assert tensor.dtype == np.float32
    np.testing.assert_array_equal(tensor, [[0, 3], [1, 4], [2, 5]])


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code ran",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 a zip",
        pickle.dumps(_Hostile()),
        pickles(*HEAD, {"weight": 1}, []),
        pickles(*HEAD, [1], []),
        checkpoint(storage="load"),
        checkpoint(offset=10**30, size=(1,)),
        checkpoint(size=(2.0,)),
        checkpoint(size=6, stride=1),
        *(checkpoint(offset, size, stride) for offset, size, stride in OUTSIDE),
        checkpoint()[:-1],
        checkpoint(elements=2**64 - 1),
    ],
)
def test_a_file_that_holds_anything_but_tensors_is_refused(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="cannot read the PyTorch checkpoint"):
        read(content, tmp_path)
    assert not capsys.readouterr().out
