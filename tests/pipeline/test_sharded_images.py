"""Images in shards give what images in files give."""

from projects import Project

RESULTS = ("data/manifest.csv", "data/thumbnails.npy", "data/previews/*", "data/features.npy", "metrics/data.json")


def run(project: Project, *stages: str) -> str:
    """Runs stages with nothing computed before, and gives what they printed."""
    environment = {**project.environment, "IMAGE_SIMILARITY_CACHE_GB": "0"}
    return "".join(project._replace(environment=environment).run("python", f"src/{name}.py") for name in stages)


def test_all_that_comes_of_images_is_the_same_in_both_layouts(project: Project) -> None:
    files = project.contents("data/images/*/*", *RESULTS)
    project.set_params(data={"layout": "shards", "shards": 8})
    assert "144 images computed" in run(project, "fetch", "scan", "featurize")
    assert project.contents("data/images/*/*") == {}
    assert len(project.contents("data/images/*.tar")) == 8
    assert project.contents(*RESULTS) == {name: files[name] for name in files if not name.startswith("data/images")}
    shown = project.run("python", "src/query.py", "marble/marble_0003.jpg", "--save", "sheet.png")
    assert "The pictures are in sheet.png" in shown

    shard = next(iter(sorted(project.folder.glob("data/images/*.tar"))))
    shard.write_bytes(shard.read_bytes()[:1000])
    message = project.run("python", "src/scan.py", status=1).splitlines()[0]
    assert message.startswith(f"error: data/images/{shard.name} is cut off, ")
    assert message.endswith("is not whole in it: run `dvc checkout`, or `dvc repro`")
