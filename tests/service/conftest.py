import shutil
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from page_checks import DESKTOP, KEY
from projects import Project
from samples import encode
from service_process import TOKEN, ServiceProcesses, client_of
from similarity.data.evaluation.novelty import draw_foreign
from similarity.data.files import write_table
from similarity.finding import Finding

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
COPY, ODD = "vase/vase_0005.jpg", "bowl/bowl_0001.jpg"
FINDINGS = [  # in the order of the stage `audit`
    Finding("duplicate", KEY, "jug", "1.000000", "", COPY, "vase", "the same bytes"),
    Finding("wrong_label", COPY, "vase", "0.910000", "jug", "", "", "probability that the label is wrong"),
    Finding("doubtful_label", ODD, "bowl", "0.300000", "vase", "", "", "probability that the label is wrong"),
    Finding("odd", ODD, "bowl", "0.000000", "", "", "", "nearly one color"),
    Finding("unreadable", "bowl/broken.png", "bowl", "", "", "", "", "truncated"),
    Finding("class_imbalance", "", "vase", "3", "", "", "", "3 images, where the median class has 24"),
]


@pytest.fixture(scope="session")
def services(reproduced: Project) -> Iterator[ServiceProcesses]:
    """Services on the reproduced project."""
    processes = ServiceProcesses(reproduced)
    yield processes
    processes.stop()


@pytest.fixture(scope="session")
def service(services: ServiceProcesses) -> str:
    """The address of a service with its usual settings."""
    return services.start()


@pytest.fixture(scope="session")
def closed(services: ServiceProcesses) -> str:
    """The address of a service that asks for `TOKEN`, and that the pages of one site may use."""
    return services.start("--allow-origin=https://lab.example.org", before=f"export SIMILARITY_TOKEN='{TOKEN}'")


@pytest.fixture(scope="session")
def named(services: ServiceProcesses) -> str:
    """A service without a token that has a name, so that it takes no decisions; it can write no file above 1 kB."""
    before = "export PYTHONDONTWRITEBYTECODE=1; ulimit -f 1"  # what is compiled would be cut off
    return services.start("--allow-host=images.example.org", before=before)


@pytest.fixture(scope="session")
def strict(services: ServiceProcesses) -> str:
    """The address of a service that gives its clients little time and room."""
    return services.start(
        "--idle-seconds=1", "--upload-seconds=2", "--max-connections=6", "--max-upload-mb=1", "--upload-room-mb=1",
        "--max-download-mb=0.002", "--max-megapixels=0.01",
    )  # fmt: skip


@pytest.fixture
def api(service: str) -> Iterator[httpx.Client]:
    """A client of the service."""
    with httpx.Client(base_url=service, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def one_part(untrained: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with `FINDINGS`, whose embeddings have no visual part, unlike those of its last commit.

    Not to be changed, but for decisions about labels, which are taken back.
    """
    project = untrained.copy_to(tmp_path_factory.mktemp("one_part") / "project")
    path = project.folder / "data/findings.csv"
    path.unlink()  # it may be a link to the cache
    write_table(path, Finding._fields, FINDINGS)
    project.record("data/findings.csv")
    return project


@pytest.fixture(scope="session")
def both(one_part: Project) -> Iterator[httpx.Client]:
    """A client of a service of what is there now and of what was committed."""
    with client_of(one_part, "--compare", "HEAD") as client:
        yield client


@pytest.fixture(scope="session")
def content(reproduced: Project) -> bytes:
    """The file of the indexed image `KEY`."""
    return (reproduced.folder / "data/images" / KEY).read_bytes()


@pytest.fixture(scope="session")
def foreign(service: str) -> bytes:
    """A picture that nothing indexed is similar to."""
    for number in range(50):
        content = encode(Image.fromarray(draw_foreign("checkerboard", number, 48, 0)), "PNG")
        if not httpx.post(f"{service}/api/search", files={"image": content}).json()["similar"]:
            return content
    raise AssertionError("everything is similar")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    offline = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        args = ["--no-sandbox", "--disable-gpu", *offline]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=args)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, service: str) -> Iterator[Page]:
    """A page on the service, at the size of a desktop; nothing may go wrong in it unseen."""
    problems, asked = list[str](), list[str]()

    def note(message: ConsoleMessage) -> None:
        expected = ("the server responded with a status of 4", "net::ERR_FAILED")  # what a test asks for, and stops
        if message.type == "error" and not any(each in message.text for each in expected):
            problems.append(message.text)

    with browser.new_context(base_url=service, viewport=DESKTOP) as context:
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        yield page
    assert not problems
    assert all(url.startswith((service, "blob:", "data:")) for url in asked)
