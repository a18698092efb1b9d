from pathlib import Path

import pytest

from samples import write_rocks


@pytest.fixture
def rocks(tmp_path: Path) -> Path:
    """A folder with two classes of three images."""
    return write_rocks(tmp_path / "rocks", ("marble", "schist"), 3)
