"""Reading bodies: a form or JSON, with the same fields."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from service.failures import Refusal
from service.forms import CorrectionForm, DownloadForm, EmbedForm, SearchForm, WhyForm, lists_of

_FORMS = "multipart/form-data", "application/x-www-form-urlencoded"
Body = TypeVar("Body", bound=BaseModel)


async def _content(field: UploadFile | str) -> bytes | str:
    return await field.read() if isinstance(field, UploadFile) else field


def body_of(model: type[Body]) -> Callable[[Request], Awaitable[Body]]:
    """Return a dependency that reads a body as a form or as JSON."""
    lists = lists_of(model)

    async def read(request: Request) -> Body:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        given: Any
        if kind in _FORMS:
            async with request.form() as form:
                fields = {name: [await _content(each) for each in form.getlist(name)] for name in form}
            given = {name: each if name in lists else each[-1] for name, each in fields.items()}
        elif kind == "application/json":
            try:
                given = await request.json()
            except (ValueError, RecursionError) as error:
                raise Refusal(400, "bad_body", "The body is not JSON.") from error
        else:
            example = "as `curl -F image=@photo.jpg` does, or JSON with the image in base64"
            raise Refusal(415, "use_multipart", f"Use multipart/form-data, {example}; not {kind or 'no type'!r}.")
        try:
            return model.model_validate(given)
        except ValidationError as error:
            problems = [{**each, "loc": ("body", *each["loc"])} for each in error.errors()]
            raise RequestValidationError(problems) from error

    return read


def describe_body(model: type[BaseModel]) -> dict[str, Any]:
    """Describe a form for the OpenAPI document, without JSON: some makers of clients fail where there is a choice."""
    kind = _FORMS["image" not in model.model_fields]
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


def add_forms(schemas: dict[str, Any]) -> None:
    """Add all forms to the schemas of the OpenAPI document."""
    for model in (SearchForm, WhyForm, EmbedForm, DownloadForm, CorrectionForm):
        form = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(form.pop("$defs", {}))
        schemas[model.__name__] = form
