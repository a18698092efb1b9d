"""Folders and archives: reading ends, nothing is lost silently, and both give the same images."""

import gzip
import os
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from samples import plan, unpack
from similarity.data.sources.folders import check_source, list_files
from similarity.errors import UserError


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_refused(make: Callable[[Path], None], wares: Path) -> None:
    make(wares / "jug/.hidden")
    with pytest.raises(UserError, match=r"jug/\.hidden' is no file, but a FIFO, a socket or a device"):
        check_source(wares)


def test_links_in_a_circle_are_refused_and_others_are_followed_to_any_depth(wares: Path, tmp_path: Path) -> None:
    (wares / "again").symlink_to(wares / "jug")
    (wares / "gone.png").symlink_to(tmp_path / "nowhere")
    (wares / "a/b/c/d/e/f/g").mkdir(parents=True)
    (wares / "a/b/c/d/e/f/g/x.jpg").touch()
    check_source(wares)
    files = list(map(str, list_files(wares)))
    assert len(files) == 3 * 3 + 2
    assert {"a/b/c/d/e/f/g/x.jpg", "again/000.png", "gone.png"} < set(files)
    (wares / "jug" / "other").symlink_to(wares / "vase")
    (wares / "vase" / "other").symlink_to(wares / "jug")
    with pytest.raises(UserError, match="is a link to a folder that it is in"):
        list_files(wares)


def make_archives(folder: Path, target: Path) -> list[Path]:
    """Also as macOS makes one, which does not say that names are in UTF-8."""
    made = [Path(shutil.make_archive(str(target / f"set_{kind}"), kind, folder)) for kind in ("zip", "tar", "gztar")]
    content = bytearray(made[0].read_bytes())
    for signature, offset in ((b"PK\x03\x04", 7), (b"PK\x01\x02", 9)):
        for found in re.finditer(signature, content):
            content[found.start() + offset] &= 0xF7
    (target / "macos.zip").write_bytes(content)
    return [*made, target / "macos.zip"]


def test_a_folder_and_all_archives_of_it_give_the_same_images_and_leave_the_same_out(
    wares: Path, tmp_path: Path
) -> None:
    (wares / "jug" / "000.png").rename(wares / "jug" / "größe 大理石.png")
    (wares / "vase").rename(wares / "Schiefer – grün")
    left_out = (".hidden/x.png", "jug/...png", "jug/x\ty.txt", "jug/ü.txt")
    for name in left_out:
        (wares / name).parent.mkdir(exist_ok=True)
        (wares / name).write_bytes(b"x")
    expected = plan(wares)
    assert len(expected.images) == 6
    assert len(expected.left_out) == len(left_out)
    for number, archive in enumerate(make_archives(wares, tmp_path)):
        unpack([archive], tmp_path / f"{number}")
        assert plan(tmp_path / f"{number}") == expected
        unpacked = tmp_path / f"{number}/jug/001.png"
        assert unpacked.read_bytes() == (wares / "jug/001.png").read_bytes()
        assert unpacked.stat().st_mode & 0o777 == 0o644


def test_a_path_in_a_zip_from_windows_may_have_backslashes(tmp_path: Path) -> None:
    archive = zip_with(tmp_path / "set.zip", ("a\\x.jpg", b"x"), ("b\\x.jpg", b"x"))
    assert sorted(map(str, unpack([archive], tmp_path / "out"))) == ["a/x.jpg", "b/x.jpg"]


def zip_with(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def refuse_whole(content: bytes | bytearray, path: Path, reason: str = "") -> None:
    """Check that an archive is refused in one line that names it."""
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"cannot be unpacked .*{reason}.* get it again, or unpack") as refusal:
        unpack([path], path.with_name("out"))
    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)
    shutil.rmtree(path.with_name("out"))


def tar_with(path: Path, name: str, kind: bytes = tarfile.REGTYPE) -> Path:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    with tarfile.open(path, "w") as archive:
        archive.addfile(member)
    return path


def test_no_path_leads_out_of_the_target_and_an_absolute_one_loses_its_slash(tmp_path: Path) -> None:
    names = "../../evil.jpg", "a/../../evil.jpg", "..\\evil.jpg"
    leading_out = [zip_with(tmp_path / f"{i}.zip", (name, b"x")) for i, name in enumerate(names)]
    leading_out += [tar_with(tmp_path / f"{i}.tar", name) for i, name in enumerate(names[:2])]
    for archive in leading_out:
        with pytest.raises(UserError, match="points outside"):
            unpack([archive], tmp_path / "out")
        assert not list(tmp_path.rglob("*evil.jpg"))
    for absolute in (zip_with(tmp_path / "x.zip", ("/a/x.jpg", b"x")), tar_with(tmp_path / "x.tar", "/a/x.jpg")):
        assert list(unpack([absolute], tmp_path / absolute.suffix)) == [PurePosixPath("a/x.jpg")]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_link_or_device_in_a_tar_is_refused(kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="link or a device"):
        unpack([tar_with(tmp_path / "bad.tar", "a/x.jpg", kind)], tmp_path / "out")


def test_a_link_in_a_zip_is_unpacked_as_text_and_what_is_listed_twice_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("a/link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    unpack([zip_with(tmp_path / "link.zip", (link, b"/etc/passwd"))], tmp_path / "out")
    assert (tmp_path / "out/a/link.jpg").read_bytes() == b"/etc/passwd"
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = zip_with(tmp_path / "twice.zip", ("a/x.jpg", b"1"), ("a/x.jpg", b"2"))
    with pytest.raises(UserError, match="listed twice"):
        unpack([twice], tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "gztar", "xztar"])
def test_what_is_cut_off_or_damaged_or_no_archive_is_refused(kind: str, wares: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(tmp_path / "set"), kind, wares))
    content = bytearray(archive.read_bytes())
    refuse_whole(content[: len(content) // 2], archive)
    refuse_whole(b"no archive", archive, r"\(it is neither, or cut off\)")
    content[len(content) // 2] ^= 1  # of an image
    archive.write_bytes(content)
    with pytest.raises(UserError):
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
