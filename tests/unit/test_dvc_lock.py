"""Which files belong together, by dvc.lock."""

import hashlib
import os
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml
from dvc.repo import Repo

from similarity.engine import dvc_lock
from similarity.engine.dvc_lock import DvcLock, md5s
from similarity.errors import UserError

MODEL, INDEX, FOLDER = Path("models/model"), Path("models/index"), Path("models/folder")


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/image-similarity/md5.json"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of two stages: `train` makes the model, and `index` an index and a folder from it."""
    root = tmp_path / "project"
    (root / FOLDER).mkdir(parents=True)
    (root / MODEL).write_bytes(b"model")
    (root / INDEX).write_bytes(b"index")
    (root / FOLDER / "a").write_bytes(b"a")
    write_lock(root)
    return root


def write_lock(root: Path, used: str = md5(b"model"), frozen: bool = False) -> None:
    outs = {MODEL: md5(b"model"), INDEX: md5(b"index"), FOLDER: md5s([root / FOLDER])[0]}
    entries = {path: {"path": path.as_posix(), "hash": "md5", "md5": digest} for path, digest in outs.items()}
    index = {
        "deps": [{"path": "src/index.py", "md5": "0" * 32}, {**entries[MODEL], "md5": used}],
        "outs": [entries[INDEX], entries[FOLDER]],
    }
    gone = {"outs": [{**entries[INDEX], "md5": "1" * 32}]}  # of a stage that dvc.yaml no longer has
    stages = {"train": {"outs": [entries[MODEL]]}, "index": index, "gone": gone}
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}), encoding="utf-8")
    defined = {"train": {"cmd": "x"}, "index": {"cmd": "y", "frozen": frozen}}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": defined}), encoding="utf-8")


@pytest.mark.parametrize("path", [INDEX, FOLDER / "a", FOLDER / "new"])
def test_files_of_one_run_are_accepted_and_what_no_stage_made_is_refused(root: Path, path: Path) -> None:
    DvcLock(root).check(MODEL, INDEX, FOLDER)
    assert DvcLock(root).md5(INDEX) == md5(b"index")
    (root / path).write_bytes(b"jndex")
    checked = INDEX if path == INDEX else FOLDER
    with pytest.raises(UserError, match=rf"{checked} is not what stage index made, .*: run `dvc checkout`, or else"):
        DvcLock(root).check(checked)


def test_a_missing_file_a_missing_record_and_a_damaged_lock_are_reported(root: Path) -> None:
    (root / "models/other").touch()
    with pytest.raises(UserError, match=r"dvc\.lock has no record of models/other: run `dvc repro`"):
        DvcLock(root).check(Path("models/other"))
    (root / INDEX).unlink()
    with pytest.raises(FileNotFoundError, match="models/index"):
        DvcLock(root).check(MODEL, INDEX)
    for content in (b"", b"[]", b"stages: {"):
        (root / "dvc.lock").write_bytes(content)
        with pytest.raises(UserError, match=r"dvc\.lock is damaged: run `git checkout HEAD -- dvc\.lock"):
            DvcLock(root)


def test_an_output_without_a_digest_has_no_record(root: Path) -> None:
    lock = yaml.safe_load((root / "dvc.lock").read_bytes())
    for entry in (lock["stages"]["index"]["outs"][1], lock["stages"]["index"]["deps"][0]):
        del entry["md5"]
        entry["files"] = [{"relpath": "a", "md5": md5(b"a"), "version_id": "1"}]  # as with a version-aware remote
    (root / "dvc.lock").write_text(yaml.safe_dump(lock), encoding="utf-8")
    DvcLock(root).check(MODEL, INDEX)
    with pytest.raises(UserError, match=r"dvc\.lock has no record of models/folder"):
        DvcLock(root).check(FOLDER)


def test_stages_that_do_not_fit_are_refused_unless_one_is_frozen(root: Path) -> None:
    write_lock(root, used=md5(b"other"))
    with pytest.raises(UserError, match=r"stage index ran before stage train made another models/model.*dvc repro"):
        DvcLock(root).check(INDEX)
    DvcLock(root).check(MODEL)
    assert [DvcLock(root).is_current(path) for path in (MODEL, INDEX, Path("other"))] == [True, False, False]
    write_lock(root, used=md5(b"other"), frozen=True)
    DvcLock(root).check(INDEX)


def test_digests_are_those_of_dvc(tmp_path: Path) -> None:
    files = {"b/c.txt": b"1", "b/a/z": b"2", "b.txt": b"3", "ü/x": b"4", "B": b""}
    for name, content in files.items():
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(content)
    (tmp_path / "file").write_bytes(b"\r\n")
    with Repo.init(str(tmp_path), no_scm=True) as repo:
        (folder,), (file,) = repo.add(str(tmp_path / "folder")), repo.add(str(tmp_path / "file"))
        theirs = [stage.outs[0].hash_info.value for stage in (folder, file)]
    assert md5s([tmp_path / "folder", tmp_path / "file"]) == theirs


def test_a_file_is_read_again_only_if_it_may_have_changed(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, read = tmp_path / "file", Mock(wraps=dvc_lock._md5_of_file)
    monkeypatch.setattr(dvc_lock, "_md5_of_file", read)
    monkeypatch.setattr(dvc_lock, "_RECENT_NS", 0)
    file.write_bytes(b"1234")
    time.sleep(0.01)
    assert md5s([file]) == md5s([file]) == [md5(b"1234")]
    read.assert_called_once()
    status = file.stat()
    file.write_bytes(b"1235")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # which leaves the time of the change of its inode
    assert md5s([file]) == [md5(b"1235")]
    memory.write_bytes(b"[damaged")
    assert md5s([file]) == [md5(b"1235")]
    monkeypatch.setattr(dvc_lock, "_RECENT_NS", 10**12)  # a digest of a file that has just changed is not kept
    (tmp_path / "new").write_bytes(b"1")
    md5s([tmp_path / "new"])
    assert str(tmp_path / "new") not in memory.read_text(encoding="utf-8")
