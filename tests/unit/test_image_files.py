from hashlib import sha256
from pathlib import Path

import pytest

from service.image_files import open_image


def test_a_file_that_is_overwritten_while_it_is_given_is_broken_off_before_its_end(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    (tmp_path / "x").write_bytes(content)
    chunks = open_image(tmp_path, "x", sha256(content).hexdigest()).chunks()
    given = next(chunks)
    (tmp_path / "x").write_bytes(content[::-1])
    with pytest.raises(OSError, match="was changed while it was read"):
        for chunk in chunks:
            given += chunk
    assert len(given) < len(content)


@pytest.mark.parametrize("size", [0, 1, 1 << 18, (1 << 18) + 1, 1 << 20])
def test_a_file_of_any_size_is_given_whole(tmp_path: Path, size: int) -> None:
    content = bytes(index % 251 for index in range(size))
    (tmp_path / "x").write_bytes(content)
    checked = open_image(tmp_path, "x", sha256(content).hexdigest())
    assert checked.size == size
    assert b"".join(checked.chunks()) == content
    assert checked.file.closed
