"""Read PyTorch checkpoints from before version 1.6 (a bare pickle, no zip) without PyTorch, and without running code.

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

from similarity.errors import UserError, one_line

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C


class _Tensor(NamedTuple):
    """A view into a storage that has not been read yet; sizes and strides are in elements."""

    storage: tuple[str, np.dtype[Any]]  # its key
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def view(self, storage: np.ndarray) -> np.ndarray:
        """View the tensor's elements in the storage, (n,); NumPy refuses those outside of it."""
        if math.prod(self.size) > len(storage):
            raise ValueError(f"a tensor of size {self.size} does not fit into its storage of {len(storage)} elements")
        strides = [step * storage.itemsize for step in self.stride]
        return np.ndarray(self.size, storage.dtype, storage.data, self.offset * storage.itemsize, strides)


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
        UserError: the file is missing, truncated, in another format, or holds anything but tensors that lie within
            their storages.
    """
    try:
        with path.open("rb") as file:
            magic, _version, _system, tensors = (_TensorUnpickler(file).load() for _ in range(4))
            if magic != _MAGIC_NUMBER:
                raise pickle.UnpicklingError("not a checkpoint of the pre-zip format")
            dtypes = dict(tensor.storage for tensor in tensors.values())
            storages = {key: _read_storage(file, dtypes[key]) for key in _TensorUnpickler(file).load()}
            return {name: tensor.view(storages[tensor.storage[0]]) for name, tensor in tensors.items()}
    except Exception as error:  # the documentation of pickle: unpickling may raise others than its own
        raise UserError(f"cannot read the PyTorch checkpoint {path}: {one_line(error)}") from error


def _read_storage(file: BinaryIO, dtype: np.dtype[Any]) -> np.ndarray:
    size = int.from_bytes(file.read(8), "little") * dtype.itemsize
    if size > fstat(file.fileno()).st_size - file.tell():
        raise EOFError("the file ends inside a tensor")
    return np.frombuffer(file.read(size), dtype)
