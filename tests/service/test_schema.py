"""The OpenAPI document, what is made of it, and the examples of docs/reference/api.md, as they stand there."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from jsonschema import Draft202012Validator

from projects import ROOT, Project
from service_process import TOKEN

KEY = "jug/jug_0003.jpg"
CLIENT = "similarity_client"
PAGE = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
CURL = """
API={address}/api/v1 SIMILARITY_TOKEN='{token}'
curl() {{ command curl -fsS -H "Authorization: Bearer $SIMILARITY_TOKEN" "$@"; }}
"""


@pytest.fixture(scope="session")
def document(service: str) -> dict:
    return httpx.get(f"{service}/api/openapi.json").json()


def test_every_call_and_all_that_it_takes_and_returns_is_described_with_examples(document: dict) -> None:
    schemas = document["components"]["schemas"]
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]
        for parameter in operation.get("parameters", []):
            assert "description" in parameter or "description" in parameter["schema"], parameter
        forms = [*operation.get("requestBody", {}).get("content", {}).values()]
        answers = operation["responses"]["200"]["content"]
        for body in [*forms, *(answers[kind] for kind in answers if kind == "application/json")]:
            model = schemas[body["schema"]["$ref"].rpartition("/")[2]]
            assert model["examples"], operation
            assert body not in forms or all("description" in field for field in model["properties"].values()), model


def test_each_example_fits_its_schema(document: dict) -> None:
    validator = Draft202012Validator(document)
    for name, schema in document["components"]["schemas"].items():
        for example in schema.get("examples", []):
            reference = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
            validator.evolve(schema=reference).validate(example)


def test_the_document_says_how_the_token_is_sent(document: dict, closed: str) -> None:
    assert "security" not in document
    protected = httpx.get(f"{closed}/api/openapi.json", headers={"Authorization": f"Bearer {TOKEN}"}).json()
    assert protected["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    assert (protected["security"], protected["paths"]["/healthz"]["get"]["security"]) == ([{"token": []}], [])


def test_a_client_that_is_made_of_the_document_uploads_searches_and_lists(
    document: dict, service: str, reproduced: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def module(name: str) -> ModuleType:
        return importlib.import_module(f"{CLIENT}.{name}")

    (tmp_path / "openapi.json").write_text(json.dumps(document), encoding="utf-8")
    (tmp_path / "config.yaml").write_text("post_hooks: []", encoding="utf-8")
    program = str(Path(sys.executable).with_name("openapi-python-client"))
    options = ["--path", "openapi.json", "--output-path", CLIENT, "--meta", "none", "--config", "config.yaml"]
    subprocess.run([program, "generate", *options], cwd=tmp_path, check=True, capture_output=True)
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


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_call_has_an_example_that_works(document: dict, closed: str, reproduced: Project, tmp_path: Path) -> None:
    shutil.copyfile(reproduced.folder / "data/images" / KEY, tmp_path / "photo.jpg")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    calls = [line for line in lines if line.startswith("curl")]
    without = {"/healthz", "/api/v1/session", "/api/v1/changes"}  # for other programs, the page, and two runs
    for path in set(document["paths"]) - without:
        named = path.replace("/api/v1/", "$API/").partition("{")[0]
        assert any(named in call for call in calls), path
    script = CURL.format(address=closed, token=TOKEN) + "\n".join(calls)
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, check=True)
    assert (tmp_path / "images.zip").read_bytes().startswith(b"PK")
