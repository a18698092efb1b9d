"""Reads the tensors of a PyTorch checkpoint from before version 1.6 (a bare pickle, no zip) without PyTorch.

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
_STORAGE_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


class _TensorReference(NamedTuple):
    """A view into a storage that has not been read yet; sizes and strides are in elements."""

    storage_key: str
    dtype: np.dtype[Any]
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def view(self, storage: np.ndarray) -> np.ndarray:
        """A copy of the elements that the reference is to; a file is not trusted to stay within its storage."""
        if not self._fits(len(storage)):
            raise ValueError(
                f"a tensor of size {self.size}, stride {self.stride} and offset {self.offset} does not fit into its "
                f"storage of {len(storage)} elements"
            )
        strides = tuple(step * storage.itemsize for step in self.stride)
        return np.lib.stride_tricks.as_strided(storage[self.offset :], self.size, strides).copy()

    def _fits(self, elements: int) -> bool:
        if any(type(number) is not int or number < 0 for number in (self.offset, *self.size, *self.stride)):
            return False
        steps = [(length - 1) * step for length, step in zip(self.size, self.stride, strict=True)]
        # More elements than there are would be some of them repeated, to fill the memory.
        return 0 < math.prod(self.size) <= elements and self.offset + sum(steps) < elements


def _rebuild_tensor(
    storage: tuple[str, np.dtype[Any]], offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> _TensorReference:
    key, dtype = storage
    return _TensorReference(key, dtype, offset, size, stride)


class _TensorUnpickler(pickle.Unpickler):
    """Resolves only the few names that a state dict of tensors needs, so that a hostile file cannot run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _STORAGE_DTYPES:
            return _STORAGE_DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a checkpoint")

    def persistent_load(self, pid: Any) -> tuple[str, np.dtype[Any]]:
        _, dtype, key, _, _, _ = pid
        return key, dtype


def _read_storage(file: BinaryIO, dtype: np.dtype[Any]) -> np.ndarray:
    size = int.from_bytes(file.read(8), "little") * dtype.itemsize
    if size > fstat(file.fileno()).st_size - file.tell():
        raise EOFError("the file ends inside a tensor")
    data = file.read(size)
    return np.frombuffer(data, dtype)


def read_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Returns every tensor of the checkpoint by its name, as an array of its own shape and dtype (float32 or int64).

    Raises:
        UserError: the file is missing, truncated, of another format, or holds anything but tensors that have elements
            and lie within their storages.
    """
    try:
        with path.open("rb") as file:
            if _TensorUnpickler(file).load() != _MAGIC_NUMBER:
                raise pickle.UnpicklingError("not a checkpoint of the pre-zip format")
            for _ in ("protocol version", "system info"):
                _TensorUnpickler(file).load()
            references: dict[str, _TensorReference] = _TensorUnpickler(file).load()
            dtypes = {reference.storage_key: reference.dtype for reference in references.values()}
            storage_keys: list[str] = _TensorUnpickler(file).load()
            storages = {key: _read_storage(file, dtypes[key]) for key in storage_keys}
            return {name: reference.view(storages[reference.storage_key]) for name, reference in references.items()}
    except Exception as error:  # the documentation of pickle: unpickling may raise others than its own
        reason = " ".join(str(error).split())[:_MAX_REASON]
        raise UserError(f"cannot read the PyTorch checkpoint {path}: {reason}") from error
