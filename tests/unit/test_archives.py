import gzip
import shutil
import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import pytest

from samples import unpack
from similarity.data.sources.archives import UnpackingError, is_archive


def zip_with(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def refuse_whole(content: bytes | bytearray, path: Path) -> None:
    """Check that an archive is refused in one line that names it."""
    path.write_bytes(content)
    with pytest.raises(UnpackingError, match=r"cannot be unpacked .* get it again, or unpack it yourself") as refusal:
        unpack([path], path.with_name("out"))
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)
    shutil.rmtree(path.with_name("out"))


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar", "bztar"])
def test_each_kind_of_archive_gives_the_files_of_its_folder(kind: str, wares: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "set"), kind, wares.parent, wares.name))
    assert is_archive(archive)
    assert len(unpack([archive], tmp_path / "out")) == 6
    unpacked = tmp_path / "out/wares/vase/002.png"
    assert unpacked.read_bytes() == (wares / "vase/002.png").read_bytes()
    assert unpacked.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("name", ["../../evil.jpg", "a/../../evil.jpg", "..\\evil.jpg", "/a/evil.jpg"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_no_path_leads_out_of_the_target_and_an_absolute_one_loses_its_slash(
    name: str, kind: str, tmp_path: Path
) -> None:
    archive, target = tmp_path / f"set.{kind}", tmp_path / "out"
    if kind == "zip":
        zip_with(archive, ("a/x.jpg", b"x"), (name, b"evil"))
    else:
        with tarfile.open(archive, "w") as tar:
            tar.addfile(tarfile.TarInfo(name.replace("\\", "/")))
    if name.startswith("/"):
        assert list(unpack([archive], target))[-1] == PurePosixPath("a/evil.jpg")
        return
    with pytest.raises(UnpackingError, match="points outside"):
        unpack([archive], target)
    assert not list(tmp_path.rglob("*evil.jpg"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_link_or_device_in_a_tar_is_refused(kind: bytes, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        member = tarfile.TarInfo("a/x.jpg")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(UnpackingError, match="link or a device"):
        unpack([tmp_path / "bad.tar"], tmp_path / "out")


def test_a_link_in_a_zip_is_unpacked_as_text_and_what_is_listed_twice_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    unpack([zip_with(tmp_path / "link.zip", (link, b"/etc/passwd"))], tmp_path / "out")
    assert (tmp_path / "out/a/link.jpg").read_bytes() == b"/etc/passwd"
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = zip_with(tmp_path / "twice.zip", ("a/x.jpg", b"1"), ("a/x.jpg", b"2"))
    with pytest.raises(UnpackingError, match="listed twice"):
        unpack([twice], tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "gztar", "xztar"])
def test_what_is_cut_off_or_damaged_or_no_archive_is_refused(kind: str, wares: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "set"), kind, wares))
    content = bytearray(archive.read_bytes())
    refuse_whole(content[: len(content) // 2], archive)
    refuse_whole(b"no archive", archive)
    assert not is_archive(archive)
    content[len(content) // 2] ^= 1  # of an image
    archive.write_bytes(content)
    with pytest.raises(UnpackingError):
        unpack([archive], tmp_path / "out")


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_of_which_something_is_missing_is_refused(form: int, wares: Path, tmp_path: Path) -> None:
    """Cut anywhere, also between members or within the zeros at the end; or with a damaged header, or a hole."""
    with tarfile.open(tmp_path / "set.tar", "w", format=form) as archive:
        archive.add(wares, ".")
    with tarfile.open(tmp_path / "set.tar") as archive:
        members = archive.getmembers()
    content, end = (tmp_path / "set.tar").read_bytes(), members[-1].offset_data + 512 * -(-members[-1].size // 512)
    headers = [member.offset for member in members if member.isfile()][1:]
    for place in (len(content) * 7 // 10, headers[1], headers[1] + 100, headers[1] + 512, end, end + 1, end + 1023):
        refuse_whole(content[:place], tmp_path / "cut.tar")
        refuse_whole(gzip.compress(content[:place]), tmp_path / "cut.tar.gz")
    for byte in (0, 124, 148):  # of the name, size and checksum
        flipped = bytearray(content)
        flipped[headers[2] + byte] ^= 1
        refuse_whole(flipped, tmp_path / "flipped.tar")
    refuse_whole(content + content, tmp_path / "two.tar")
    refuse_whole(content[: headers[2]] + bytes(1024) + content[headers[2] + 1024 :], tmp_path / "hole.tar")
    refuse_whole(content[: headers[2]] + bytes(1_100_000), tmp_path / "hole.tar")
    (tmp_path / "padded.tar").write_bytes(content + bytes(500_000))
    assert len(unpack([tmp_path / "padded.tar"], tmp_path / "padded")) == 6


@pytest.mark.parametrize(("place", "byte"), [(33 - 46, None), (len("jug/001.png") - 1, b"/"), (0, b"\0"), (6, b"\0")])
def test_a_zip_whose_list_hides_a_file_is_refused(place: int, byte: bytes | None, wares: Path, tmp_path: Path) -> None:
    """A wrong length swallows the members after it, `jug/001.pn/` is a folder, and a name ends at a zero byte."""
    content = bytearray(Path(shutil.make_archive(str(tmp_path / "set"), "zip", wares)).read_bytes())
    at = content.index(b"jug/001.png", content.index(b"PK\x01\x02")) + place
    content[at : at + 1] = byte or bytes([content[at] ^ 0x80])
    refuse_whole(content, tmp_path / "hiding.zip")


@pytest.mark.parametrize(("local", "listed", "value"), [(6, 8, 1), (8, 10, 9)], ids=["encrypted", "deflate64"])
def test_what_only_other_programs_unpack_is_refused(local: int, listed: int, value: int, tmp_path: Path) -> None:
    content = bytearray(zip_with(tmp_path / "locked.zip", ("a/x.jpg", b"x")).read_bytes())
    for signature, offset in ((b"PK\x03\x04", local), (b"PK\x01\x02", listed)):
        content[content.index(signature) + offset] = value
    refuse_whole(content, tmp_path / "locked.zip")
