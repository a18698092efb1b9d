"""What FastAPI passes to the calls besides their parameters."""

from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.exceptions import RequestValidationError

from service.catalog import Catalog
from service.reloading import ServedCatalog


async def only_known_parameters(request: Request) -> None:
    """Refuse query parameters that a call does not have, which would be ignored silently."""
    known = request.app.state.query_parameters[request.scope["route"].name]
    if unknown := [name for name in request.query_params if name not in known]:
        raise RequestValidationError(
            [{"type": "extra_forbidden", "loc": ("query", name), "msg": "", "input": None} for name in unknown]
        )


def query_parameters(document: dict[str, Any]) -> dict[str, set[str]]:
    """Return the names of the query parameters of each call, by its operation id."""
    operations = (operation for methods in document["paths"].values() for operation in methods.values())
    return {
        each["operationId"]: {taken["name"] for taken in each.get("parameters", ()) if taken["in"] == "query"}
        for each in operations
    }


def _served(request: Request) -> ServedCatalog:
    return request.app.state.served


async def _catalog(request: Request) -> Catalog:
    return _served(request).current


async def _token(request: Request) -> str:
    if request.app.state.token is None:
        raise HTTPException(403, "This needs a token, and the service was started without one: set SIMILARITY_TOKEN.")
    return request.app.state.token


Served = Annotated[ServedCatalog, Depends(_served)]
Current = Annotated[Catalog, Depends(_catalog)]
Token = Annotated[str, Depends(_token)]
