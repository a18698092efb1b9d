import io
import shutil
import warnings
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, sync_playwright

from projects import Project
from service_process import TOKEN, ServiceProcesses, StartService, client_of
from similarity.data.evaluation.foreign import draw_foreign

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DESKTOP: ViewportSize = {"width": 1280, "height": 900}

if CHROMIUM is None:
    warnings.warn("NO CHROMIUM IS INSTALLED: THE SEARCH PAGE IS NOT TESTED (apt-get install chromium)", stacklevel=1)


@pytest.fixture(scope="session")
def start_service(reproduced: Project) -> Iterator[StartService]:
    """Starts a service with options and gives its address."""
    processes = ServiceProcesses(reproduced)
    yield processes.start
    processes.stop()


@pytest.fixture(scope="session")
def service(start_service: StartService) -> str:
    """The address of a service with its usual settings."""
    return start_service()


@pytest.fixture(scope="session")
def closed(start_service: StartService) -> str:
    """The address of a service that asks for `TOKEN`."""
    return start_service(before=f"export SIMILARITY_TOKEN='{TOKEN}'")


@pytest.fixture(scope="session")
def named(start_service: StartService) -> str:
    """The address of a service without a token that others can reach by a name, so that it takes no decisions."""
    return start_service("--allow-host=images.example.org")


@pytest.fixture
def api(service: str) -> Iterator[httpx.Client]:
    """A client of the service."""
    with httpx.Client(base_url=service, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def retrained(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose results are of a shorter training, and of one part only, than those of its last commit."""
    project = reproduced.copy_to(tmp_path_factory.mktemp("retrained") / "project")
    project.set_params(train={"epochs": 2}, embedding={"visual_size": 0})
    project.run("dvc", "repro", "ann", "novelty", "evaluate")
    return project


@pytest.fixture(scope="session")
def both(retrained: Project) -> Iterator[httpx.Client]:
    """A client of a service of what is there now and of what was committed."""
    with client_of(retrained, "--compare", "HEAD") as client:
        yield client


@pytest.fixture(scope="session")
def foreign(service: str) -> bytes:
    """A picture that nothing indexed is similar to."""
    for number in range(50):
        buffer = io.BytesIO()
        Image.fromarray(draw_foreign("checkerboard", number, 48, 0)).save(buffer, "PNG")
        if not httpx.post(f"{service}/api/search", files={"image": buffer.getvalue()}).json()["similar"]:
            return buffer.getvalue()
    raise AssertionError("everything is similar")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    offline = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", *offline]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, service: str) -> Iterator[Page]:
    """A page on the service, at the size of a desktop; nothing may go wrong in it unseen."""
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        expected = ("the server responded with a status of 4", "net::ERR_FAILED")  # what a test asks for, and stops
        if message.type == "error" and not any(each in message.text for each in expected):
            problems.append(message.text)

    with browser.new_context(base_url=service, viewport=DESKTOP) as context:
        page = context.new_page()
        page.on("console", note)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: problems.append(request.url) if is_foreign(request.url, service) else None)
        yield page
    assert not problems


def is_foreign(url: str, service: str) -> bool:
    return not url.startswith((service, "blob:", "data:"))
