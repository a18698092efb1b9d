"""Checkpoints made by hand that must neither run nor show anything; sound ones are in `test_backbones.py`."""

import pickle
from pathlib import Path

import pytest

from similarity.data.features.efficientnet_lite import read_checkpoint

COUNT = (6).to_bytes(8, "little")  # of a storage's elements
HEAD: tuple[object, ...] = (0x1950A86A20F9469CFC6C, 1001, {})  # magic number, protocol version, system info


def pickles(*values: object) -> bytes:
    return b"".join(pickle.dumps(value, 2) for value in values)


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code ran",)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", EOFError),
        (b"PK\x03\x04 a zip", pickle.UnpicklingError),
        (pickle.dumps(_Hostile()), pickle.UnpicklingError),
        (pickles(*HEAD, {"weight": _Hostile()}, []), pickle.UnpicklingError),
        (pickles(*HEAD, {"weight": ("key", "f4", 0, (6,), (1,))}, ["key"]) + COUNT + bytes(20), ValueError),
        (pickles(*HEAD, {"weight": ("key", "f4", 10**30, (1,), (1,))}, ["key"]) + COUNT + bytes(24), OverflowError),
    ],
)
def test_a_file_that_holds_anything_but_whole_tensors_is_refused(
    content: bytes, error: type[Exception], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint.pth").write_bytes(content)
    with pytest.raises(error):
        read_checkpoint(tmp_path / "checkpoint.pth")
    assert not capsys.readouterr().out
