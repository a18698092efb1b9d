"""What those who watch over the service ask: whether it is up, and what it answered in what time."""

from time import perf_counter

from fastapi import Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.schema import Health

_SECONDS = Histogram("similarity_request_seconds", "Time from a request to the end of its answer.", ["call", "status"])
_IMAGES = Gauge("similarity_images", "Images that are searched.")


class Measuring:
    """Measure each request under the name of its call; all others, such as files of the page, are `other`."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        start, status = perf_counter(), 500

        async def send_measured(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, send_measured)
        finally:
            call = getattr(scope.get("route"), "name", None) or "other"
            _SECONDS.labels(call, status).observe(perf_counter() - start)
        return None


async def health() -> Health:
    """Answer as soon as the model is loaded."""
    return Health(status="ok")


async def metrics(request: Request) -> Response:
    """Return measurements in the format of Prometheus, with the memory and processor time of this process."""
    _IMAGES.set(len(request.app.state.served.current.engine))
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
