from hashlib import sha256
from pathlib import Path

import pytest

from service.image_files import ImageFileError, check_image, read_image_bytes

CONTENT = bytes(range(256))
DIGEST = sha256(CONTENT).hexdigest()


def test_only_the_image_that_was_indexed_is_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(CONTENT)
    assert read_image_bytes(tmp_path, "x", DIGEST) == CONTENT
    assert check_image(tmp_path, "x", DIGEST) == 256
    (tmp_path / "x").write_bytes(CONTENT[::-1])
    with pytest.raises(ImageFileError, match="not the image that was indexed: run `dvc repro` and reload") as changed:
        read_image_bytes(tmp_path, "x", DIGEST)
    (tmp_path / "x").unlink()
    with pytest.raises(ImageFileError, match="is not there: run `dvc checkout`") as gone:
        read_image_bytes(tmp_path, "x", DIGEST)
    assert (changed.value.status, gone.value.status) == (409, 404)
