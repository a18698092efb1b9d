"""What cannot work is refused in one line with status 1, and what was made before stays."""

from pipeline.stage import WAY_BACK

import csv
import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import termios
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from PIL import Image

from projects import ROOT, Project
from samples import write_rocks
from similarity.generated.rocks import draw_rock

RESULTS = ("data/images/*/*", "data/*.*", "models/*", "metrics/**/*")


def refusal(project: Project, stage: str) -> str:
    """Runs a stage that must refuse; gives its one line, which another one follows that tells the way back."""
    message, way_back = project.run("python", f"src/{stage}.py", status=1).splitlines()
    assert message.startswith("error: ")
    assert way_back.endswith(WAY_BACK)
    return message


def images_from(project: Project, source: Path) -> None:
    project.set_params(data={"source": str(source)})
    project.run("python", "src/fetch.py")


@pytest.mark.parametrize(
    ("stage", "section", "wrong", "message"),
    [
        ("train", "train", {"lrr": 0.1}, "params.yaml: train.lrr is unknown; did you mean train.lr?"),
        ("split", "split", {"train": 1.5}, "params.yaml: split.train: 1.5: input should be less than 1"),
        ("fetch", "data", {"source": "no/such/folder"}, "data.source: no/such/folder does not exist"),
        ("fetch", "data", {"source": "dvc.lock"}, "data.source: dvc.lock is not a folder, a complete .zip"),
        ("backbone", "backbone", {"weights": "none.h5"}, "backbone.weights: there is no file none.h5"),
        ("backbone", "backbone", {"name": "resnet51"}, "backbone.name: 'resnet51' is unknown"),
    ],
)
def test_a_wrong_parameter_is_refused_and_no_result_is_touched(
    project: Project, stage: str, section: str, wrong: dict[str, object], message: str
) -> None:
    before = project.contents(*RESULTS)
    project.set_params(**{section: wrong})
    assert message in refusal(project, stage)
    assert project.contents(*RESULTS) == before


def test_a_typo_stops_dvc_repro_and_the_way_back_brings_all_results_back(project: Project) -> None:
    before = project.contents(*RESULTS)
    project.set_params(train={"epochs": -5})
    printed = project.run("dvc", "repro", status=255)
    assert "error: params.yaml: train.epochs: -5: input should be greater than or equal to 1" in printed
    assert "Traceback" not in printed
    project.run("bash", "-c", WAY_BACK)
    assert project.contents(*RESULTS) == before


def obey_interrupts() -> None:
    """Undoes what a shell sets for what it runs in the background, and every process inherits: to ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def drain(terminal: int, printed: bytearray) -> None:
    """Reads all that is printed, until nobody has the terminal open any more: whoever prints must not wait."""
    with suppress(OSError):
        while block := os.read(terminal, 1024):
            printed += block


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_training_that_is_interrupted_or_killed_keeps_all_results(project: Project, signum: int) -> None:
    before, printed = project.contents(*RESULTS), bytearray()
    project.set_params(train={"epochs": 100_000})
    terminal, end = pty.openpty()  # on which it shows its progress
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    process = subprocess.Popen(
        ["python", "src/train.py"],
        cwd=project.folder, env=project.environment, stderr=end, preexec_fn=obey_interrupts,
    )  # fmt: skip
    os.close(end)
    reader = threading.Thread(target=drain, args=(terminal, printed))
    reader.start()
    while b" epochs" not in printed:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signum)
    assert process.wait(60) == 128 + signum
    reader.join()
    os.close(terminal)
    assert b"Traceback" not in printed
    assert project.contents(*RESULTS) == before


@pytest.mark.parametrize(("kilobytes", "file"), [(8, "models/embeddings.npy"), (40, "models/embeddings.json")])
def test_a_disk_that_is_full_at_any_output_leaves_all_as_it_was(project: Project, kilobytes: int, file: str) -> None:
    before = project.contents(*RESULTS)
    project.set_params(embedding={"visual_weight": 0.5})
    limited = f"ulimit -f {kilobytes}; trap '' XFSZ; exec python src/embed.py"
    printed = project.run("bash", "-c", limited, status=1)
    assert printed.startswith(f"error: {file}: File too large\n")
    assert project.contents(*RESULTS) == before


def test_a_source_that_does_not_exist_is_named_by_dvc(project: Project) -> None:
    before = project.contents(*RESULTS)
    printed = project.run("dvc", "exp", "run", "-S", "data.source=no-such/photos", status=255)
    assert "ERROR: failed to reproduce 'fetch': " in printed
    assert "no-such/photos" in printed.splitlines()[-1]
    assert "Traceback" not in printed
    project.run("bash", "-c", WAY_BACK)
    assert project.contents(*RESULTS) == before


def test_an_empty_folder_is_refused(project: Project, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    project.set_params(data={"source": str(tmp_path / "empty")})
    assert "data.source has no images" in refusal(project, "fetch")


def test_without_classes_a_visual_part_is_needed(project: Project, tmp_path: Path) -> None:
    images_from(project, write_rocks(tmp_path / "one", ("marble",), 5))
    project.set_params(embedding={"visual_size": 0, "visual_taps": []})
    project.run("python", "src/scan.py")
    assert "set embedding.visual_size and embedding.visual_weight above 0, or put" in refusal(project, "train")


def test_a_class_with_fewer_images_than_splits_is_refused(project: Project, tmp_path: Path) -> None:
    rocks = write_rocks(tmp_path / "few", ("marble", "schist"), 5)
    for number in (0, 1, 2):
        (rocks / "schist" / f"{number:03d}.png").unlink()
    images_from(project, rocks)
    for stage in ("scan", "duplicates"):
        project.run("python", f"src/{stage}.py")
    assert "class 'schist' has too few distinct images (2)" in refusal(project, "split")


@pytest.mark.parametrize(
    ("member", "message"), [("../../evil.png", "points outside"), (None, "is not a folder, a complete .zip")]
)
def test_a_hostile_or_broken_archive_is_refused_and_the_images_stay(
    project: Project, tmp_path: Path, member: str | None, message: str
) -> None:
    before = project.contents(*RESULTS)
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a/x.png", b"")
        file.writestr(member or "b/x.png", b"")
    if member is None:
        archive.write_bytes(archive.read_bytes()[:-30])
    project.set_params(data={"source": str(archive)})
    assert message in refusal(project, "fetch")
    assert project.contents(*RESULTS) == before


@pytest.fixture
def server(project: Project, tmp_path: Path) -> Iterator[str]:
    """Serves `served`: an archive of images as `/content`, and a page as `/page.zip`; gives the address."""
    folder = tmp_path / "served"
    rocks = write_rocks(tmp_path / "rocks", ("marble", "schist"), 3)
    Path(shutil.make_archive(str(folder / "set"), "zip", rocks)).rename(folder / "content")
    (folder / "page.zip").write_text("<html>Please log in</html>")
    process = subprocess.Popen(
        ["python", "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"],
        cwd=folder, env=project.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    yield f"http://127.0.0.1:{process.stdout.readline().split(' port ')[1].split()[0]}"
    process.terminate()
    process.wait()


def use_recipe(project: Project, **fields: str) -> None:
    recipe = {"title": "t", "licence": "l", "citation": "c", **fields}
    (project.folder / "data/sources/remote.yaml").write_text(yaml.safe_dump(recipe))
    project.set_params(data={"source": "data/sources/remote.yaml"})


def test_a_download_with_a_wrong_digest_is_refused(project: Project, server: str) -> None:
    use_recipe(project, url=f"{server}/content", sha256="0" * 64)
    assert "the recipe expects " + "0" * 64 in refusal(project, "fetch")


def test_a_download_that_is_no_archive_is_refused_and_not_kept(project: Project, server: str) -> None:
    use_recipe(project, url=f"{server}/page.zip")
    for _ in range(2):
        assert "no archive (file could not be opened successfully" in (message := refusal(project, "fetch"))
        assert message.endswith(f"the download was removed: run again, or correct the recipe's url {server}/page.zip")


@pytest.mark.parametrize("kind", ["zip", "tar", "gztar"])
def test_a_download_that_comes_damaged_is_refused_and_comes_again_in_the_next_run(
    project: Project, server: str, tmp_path: Path, kind: str
) -> None:
    whole = Path(shutil.make_archive(str(tmp_path / "set"), kind, tmp_path / "rocks")).read_bytes()
    content = bytearray(whole)
    content[len(content) // 2] ^= 1
    damaged = whole[: len(whole) * 7 // 10] if kind == "tar" else bytes(content)
    before = project.contents(*RESULTS)
    use_recipe(project, url=f"{server}/published")
    (tmp_path / "served" / "published").write_bytes(damaged)
    assert "is cut off, damaged, or no archive" in refusal(project, "fetch")
    assert project.contents(*RESULTS) == before
    (tmp_path / "served" / "published").write_bytes(whole)
    assert "6 images in 2 classes" in project.run("python", "src/fetch.py")


def test_a_download_without_digest_says_so_and_is_kept(project: Project, server: str) -> None:
    use_recipe(project, url=f"{server}/content")
    printed = project.run("python", "src/fetch.py")
    assert "no sha256, so this was not checked; received sha256" in printed
    assert "6 images in 2 classes" in printed


def test_unreadable_images_are_listed_and_left_out_up_to_a_limit(project: Project, tmp_path: Path) -> None:
    rocks = write_rocks(tmp_path / "rocks", ("marble", "schist"), 10)
    (rocks / "marble" / "text.jpg").write_text("no image")
    (rocks / "schist" / "cut.png").write_bytes((rocks / "schist" / "000.png").read_bytes()[:500])
    Image.fromarray(draw_rock("marble", 5, 5, 40)).convert("CMYK").save(rocks / "marble" / "druck ü.jpg")
    images_from(project, rocks)
    assert "2 of 23 images cannot be read, scan.max_rejected" in refusal(project, "scan")
    project.set_params(scan={"max_rejected": 0.1})
    project.run("python", "src/scan.py")
    with (project.folder / "data/rejected.csv").open(encoding="utf-8", newline="") as file:
        rejected = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert set(rejected) == {"marble/text.jpg", "schist/cut.png"}
    assert all(rejected.values())
    metrics = json.loads((project.folder / "metrics/data.json").read_text())
    assert metrics == {"images": 21, "classes": 2, "unlabeled": 0, "left_out": 0, "rejected": 2, "duplicates": 0}


def test_a_source_that_would_be_read_for_ever_is_refused_before_dvc_begins_and_by_fetch(
    project: Project, tmp_path: Path
) -> None:
    before = project.contents(*RESULTS)
    rocks = write_rocks(tmp_path / "rocks", ("marble", "schist"), 3)
    (rocks / "schist" / "endless.png").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "fifo")
    for source, name in ((rocks, rocks / "schist" / "endless.png"), (tmp_path / "fifo", tmp_path / "fifo")):
        project.set_params(data={"source": str(source)})
        assert f"error: {str(name)!r} is no file, but" in project.run("python", "src/check.py", status=1)
    assert "fifo is not a folder, a complete" in refusal(project, "fetch")
    project.set_params(data={"source": str(rocks)})
    assert "endless.png' is no file, but" in refusal(project, "fetch")
    assert project.contents(*RESULTS) == before


def test_make_repro_checks_before_dvc_begins() -> None:
    recipe = (ROOT / "Makefile").read_text().split("\nrepro:")[1]
    assert recipe.index("python src/check.py") < recipe.index("dvc repro")


def test_files_that_are_left_out_are_listed_and_counted(project: Project, tmp_path: Path) -> None:
    rocks = write_rocks(tmp_path / "rocks", ("marble", "schist", "..a"), 10)
    for number in range(100):
        (rocks / "marble" / f"{number}.heic").write_bytes(b"x")
    (rocks / "notes, old.txt").write_bytes(b"x")
    project.set_params(data={"source": str(rocks)})
    printed = project.run("python", "src/fetch.py")
    assert "fetch: left out 100 files, HEIC is not supported" in printed
    with (project.folder / "data/left-out.csv").open(encoding="utf-8", newline="") as file:
        listed = [row["path"] for row in csv.DictReader(file)]
    assert listed == sorted(listed)
    assert set(listed) == {path.relative_to(rocks).as_posix() for path in rocks.rglob("*.*") if path.is_file()} - {
        f"{label}/{number:03d}.png" for label in ("marble", "schist") for number in range(10)
    }
    project.run("python", "src/scan.py")
    assert json.loads((project.folder / "metrics/data.json").read_text())["left_out"] == len(listed) == 111


def test_a_missing_input_says_how_to_get_it(project: Project) -> None:
    (project.folder / "models/best.weights.h5").unlink()
    assert "models/best.weights.h5 is missing: run `dvc repro`, or `dvc pull`" in refusal(project, "embed")
