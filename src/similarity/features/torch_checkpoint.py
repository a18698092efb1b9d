"""Reads PyTorch checkpoints from before version 1.6 (a bare pickle, no zip) without PyTorch, and without running code.

The layout is the one that ``torch.save(..., _use_new_zipfile_serialization=False)`` writes: five pickles (magic number,
protocol version, system info, the state dict with references to storages, the order of the storages), then each
storage's element count (int64, little endian) followed by its raw bytes.
"""

import math
import pickle
from collections import OrderedDict
from os import fstat
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from similarity.errors import UserError

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_MAX_REASON = 300  # characters; names in a hostile file may be long, and of several lines


class _Tensor(NamedTuple):
    """A view into a storage that has not been read yet; sizes and strides are in elements."""

    storage: tuple[str, np.dtype[Any]]  # its key
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def copy_from(self, storage: np.ndarray) -> np.ndarray:
        """Copy the tensor's elements, if all of them are within the storage, (n,)."""
        numbers = (self.offset, *self.size, *self.stride)
        steps = [(length - 1) * step for length, step in zip(self.size, self.stride, strict=True)]
        if (
            any(type(number) is not int or number < 0 for number in numbers)
            or not 0 < math.prod(self.size) <= len(storage)  # no more of them, which could only be repeated
            or self.offset + sum(steps) >= len(storage)
        ):
            raise ValueError(
                f"a tensor of size {self.size}, stride {self.stride} and offset {self.offset} does not fit into its "
                f"storage of {len(storage)} elements"
            )
        strides = [step * storage.itemsize for step in self.stride]
        return np.lib.stride_tricks.as_strided(storage[self.offset :], self.size, strides).copy()


_ALLOWED = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): lambda *arguments: _Tensor(*arguments[:4]),
    ("torch", "FloatStorage"): np.dtype("<f4"),
    ("torch", "LongStorage"): np.dtype("<i8"),
}


class _TensorUnpickler(pickle.Unpickler):
    """Resolves only the few names that a state dict of tensors needs, so that a hostile file cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a checkpoint")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype[Any]]:
        _, dtype, key, _, _, _ = pid
        return key, dtype


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Read every tensor of the checkpoint, by its name, in its own shape and dtype (float32 or int64).

    Raises:
        UserError: the file is missing, truncated, in another format, or holds anything but tensors that have elements
            and lie within their storages.
    """
    try:
        with path.open("rb") as file:
            if _TensorUnpickler(file).load() != _MAGIC_NUMBER:
                raise pickle.UnpicklingError("not a checkpoint of the pre-zip format")
            for _ in ("protocol version", "system info"):
                _TensorUnpickler(file).load()
            tensors: dict[str, _Tensor] = _TensorUnpickler(file).load()
            dtypes = dict(tensor.storage for tensor in tensors.values())
            storages = {key: _read_storage(file, dtypes[key]) for key in _TensorUnpickler(file).load()}
            return {name: tensor.copy_from(storages[tensor.storage[0]]) for name, tensor in tensors.items()}
    except Exception as error:  # the documentation of pickle: unpickling may raise others than its own
        reason = " ".join(str(error).split())[:_MAX_REASON]
        raise UserError(f"cannot read the PyTorch checkpoint {path}: {reason}") from error


def _read_storage(file: BinaryIO, dtype: np.dtype[Any]) -> np.ndarray:
    size = int.from_bytes(file.read(8), "little") * dtype.itemsize
    if size > fstat(file.fileno()).st_size - file.tell():
        raise EOFError("the file ends inside a tensor")
    return np.frombuffer(file.read(size), dtype)
