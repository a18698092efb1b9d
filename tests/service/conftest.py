from collections.abc import Iterator

import httpx
import pytest

from projects import Project
from service_process import TOKEN, ServiceProcesses, StartService


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


@pytest.fixture
def api(service: str) -> Iterator[httpx.Client]:
    """A client of the service."""
    with httpx.Client(base_url=service, timeout=30) as client:
        yield client
