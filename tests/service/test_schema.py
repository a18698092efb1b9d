"""The OpenAPI document, and what is made of it."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from jsonschema import Draft202012Validator

from projects import Project
from service_process import TOKEN

KEY = "jug/jug_0003.jpg"
CLIENT = "similarity_client"


@pytest.fixture(scope="session")
def document(service: str) -> dict:
    return httpx.get(f"{service}/api/openapi.json").json()


def operations(document: dict) -> list[dict]:
    return [operation for methods in document["paths"].values() for operation in methods.values()]


def test_every_route_is_described_and_has_a_short_name_for_the_function_that_clients_make_of_it(document: dict) -> None:
    names = [each["operationId"] for each in operations(document)]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() for name in names)
    for operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        for status, response in operation["responses"].items():
            assert "content" in response or status in {"304"}


def test_all_that_is_taken_is_described_and_all_forms_and_answers_have_an_example(document: dict) -> None:
    schemas = document["components"]["schemas"]
    for operation in operations(document):
        for parameter in operation.get("parameters", []):
            assert "description" in parameter or "description" in parameter["schema"], parameter
        bodies = [*operation.get("requestBody", {}).get("content", {}).values()]
        for form in bodies:
            model = schemas[form["schema"]["$ref"].rpartition("/")[2]]
            assert all("description" in field for field in model["properties"].values()), model
        answers = [
            body for kind, body in operation["responses"]["200"]["content"].items() if kind == "application/json"
        ]
        for body in bodies + answers:
            assert schemas[body["schema"]["$ref"].rpartition("/")[2]]["examples"], operation


def test_each_example_fits_its_schema(document: dict) -> None:
    validator = Draft202012Validator(document)
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", []):
            reference = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
            validator.evolve(schema=reference).validate(example)


def test_the_document_says_how_images_and_the_token_are_sent(document: dict, closed: str) -> None:
    for name in ("SearchForm", "EmbedForm"):
        image = document["components"]["schemas"][name]["properties"]["image"]
        assert image["items"] == {"type": "string", "format": "binary"}
    assert "security" not in document
    told = httpx.get(f"{closed}/api/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()
    assert told["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    assert (told["security"], told["paths"]["/healthz"]["get"]["security"]) == ([{"token": []}], [])


def generate_client(document: dict, folder: Path) -> None:
    """Make a package of the document with openapi-python-client."""
    (folder / "openapi.json").write_text(json.dumps(document), encoding="utf-8")
    (folder / "config.yaml").write_text("post_hooks: []", encoding="utf-8")
    program = str(Path(sys.executable).with_name("openapi-python-client"))
    options = ["--path", "openapi.json", "--output-path", CLIENT, "--meta", "none", "--config", "config.yaml"]
    subprocess.run([program, "generate", *options], cwd=folder, check=True, capture_output=True)


def test_a_client_that_is_made_of_the_document_uploads_searches_and_lists(
    document: dict, service: str, reproduced: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def module(name: str) -> ModuleType:
        return importlib.import_module(f"{CLIENT}.{name}")

    generate_client(document, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    client, models = importlib.import_module(CLIENT).Client(service), module("models")
    with (reproduced.folder / "data/images" / KEY).open("rb") as file:
        upload = module("types").File(payload=file, file_name="photo.jpg")
        body = models.SearchForm(image=[upload], k=3)
        result = module("api.search.search").sync(client=client, body=body)
        file.seek(0)
        embedded = module("api.search.embed").sync(client=client, body=models.EmbedForm(image=[upload]))
    assert (result.answer.neighbors[0].key, len(result.answer.neighbors)) == (KEY, 3)
    assert len(embedded.embeddings) == 1
    similar = module("api.search.similar").sync(client=client, key=KEY, k=2)
    assert [each.key for each in similar.answer.neighbors] == [each.key for each in result.answer.neighbors[1:]]
    assert module("api.images.list_images").sync(client=client, name="0003").total == 6
    packed = module("api.images.download").sync_detailed(client=client, body=models.DownloadForm(key=[KEY]))
    assert (packed.status_code, packed.content[:2]) == (200, b"PK")
