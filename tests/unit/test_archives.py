import io
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from similarity.errors import UserError
from similarity.sources.archives import open_archive
from similarity.sources.class_folders import list_archive, unpack_images

LIMIT = 10**9


def unpack(archive: Path, target: Path, max_bytes: int = LIMIT) -> list[str]:
    target.mkdir()
    with open_archive(archive) as opened:
        layout = list_archive(opened, archive, max_bytes)
        return sorted(path.relative_to(target).as_posix() for path in unpack_images(opened, layout, target))


def zip_with(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar", "xztar"])
def test_each_kind_of_archive_gives_the_images_of_its_folder(kind: str, rocks: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "set"), kind, rocks.parent, rocks.name))
    assert unpack(archive, tmp_path / "out") == [f"{c}/00{i}.png" for c in ("marble", "schist") for i in range(3)]
    assert (tmp_path / "out/schist/002.png").read_bytes() == (rocks / "schist/002.png").read_bytes()


@pytest.mark.parametrize("name", ["../../evil.jpg", "/tmp/evil.jpg", "a/../../evil.jpg", "..\\evil.jpg"])  # noqa: S108  # never written
def test_a_path_outside_of_the_target_is_refused(name: str, tmp_path: Path) -> None:
    archive = zip_with(tmp_path / "bad.zip", ("a/x.jpg", b"x"), (name, b"evil"))
    with pytest.raises(UserError, match="points outside"):
        unpack(archive, tmp_path / "out")
    assert not list(tmp_path.rglob("evil.jpg"))


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(UserError, match="is a link"):
        unpack(zip_with(tmp_path / "bad.zip", (link, b"/etc/passwd")), tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_link_or_device_in_a_tar_is_refused(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        member = tarfile.TarInfo("a/x.jpg")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(UserError, match="link or a device"):
        unpack(tmp_path / "bad.tar", tmp_path / "out")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="listed twice"):
        unpack(zip_with(tmp_path / "bad.zip", ("a/x.jpg", b"1"), ("a/x.jpg", b"2")), tmp_path / "out")


def test_an_archive_that_unpacks_to_more_than_the_bound_is_refused(tmp_path: Path) -> None:
    bomb = zip_with(tmp_path / "bomb.zip", ("a/x.jpg", bytes(10_000_000)))
    assert bomb.stat().st_size < 20_000
    with pytest.raises(UserError, match="max_unpacked_gb"):
        unpack(bomb, tmp_path / "out", max_bytes=9_999_999)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    "name", ["cut.zip", "cut.tar.gz", "cut.tar.xz", "text.zip", "text.tar", "flipped.zip", "flipped.tar.gz"]
)
def test_a_broken_archive_is_refused_in_one_line(name: str, rocks: Path, tmp_path: Path) -> None:
    kind = {"zip": "zip", "tar": "tar", "gz": "gztar", "xz": "xztar"}[name.split(".")[-1]]
    content = bytearray(Path(shutil.make_archive(str(tmp_path / "set"), kind, rocks)).read_bytes())
    if name.startswith("flipped"):
        content[len(content) // 2] ^= 1
    broken = tmp_path / name
    broken.write_bytes(
        b"no archive" if name.startswith("text") else content if "fl" in name else content[: len(content) // 2]
    )
    with pytest.raises(UserError, match="broken or not an archive") as refusal:
        unpack(broken, tmp_path / "out")
    assert "\n" not in str(refusal.value)


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    content = bytearray(zip_with(tmp_path / "locked.zip", ("a/x.jpg", b"x"), ("b/x.jpg", b"x")).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1  # the flag for encryption
    (tmp_path / "locked.zip").write_bytes(content)
    with pytest.raises(UserError, match="encrypted"):
        unpack(tmp_path / "locked.zip", tmp_path / "out")


def test_sizes_that_lie_do_not_get_past_the_bound(tmp_path: Path) -> None:
    content = bytearray(zip_with(tmp_path / "liar.zip", ("a/x.jpg", bytes(1_000_000)), ("b/x.jpg", b"x")).read_bytes())
    central = content.index(b"PK\x01\x02")
    content[central + 24 : central + 28] = (10).to_bytes(4, "little")
    (tmp_path / "liar.zip").write_bytes(io.BytesIO(content).getvalue())
    with pytest.raises(UserError, match="broken"):
        unpack(tmp_path / "liar.zip", tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.jpg")) <= 10
