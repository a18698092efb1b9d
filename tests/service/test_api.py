"""The REST API of a real server process."""

import io
import json
import subprocess
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from page_checks import KEY, picture_of
from projects import Project, splits_of
from raw_requests import connect, head, read_all
from samples import encode, noisy_picture
from service.server import listen
from similarity.data.dataset.manifest import read_manifest
from similarity.errors import UserError


def search(api: httpx.Client, content: bytes, **fields: object) -> dict:
    response = api.post("/api/search", files={"image": ("x", content)}, data=fields)
    assert response.status_code == 200, response.text
    return response.json()


def refusal(response: httpx.Response, status: int, code: str = "") -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert list(response.json()) == ["code", "detail"]
    assert response.json()["code"] == code or not code
    return response.json()["detail"]


def test_an_upload_finds_itself_and_its_neighbors(api: httpx.Client, reproduced: Project, content: bytes) -> None:
    uploaded, by_key = search(api, content, k=8), api.get("/api/similar", params={"key": KEY, "k": 7}).json()
    known = {"key": KEY, "label": "jug", "width": 48, "height": 48, "split": splits_of(reproduced)[KEY], "findings": []}
    known |= {"row": by_key["query"]["row"], "hash": sha256(content).hexdigest()[:16]}
    assert by_key["query"] == known
    assert uploaded["query"] == {**dict.fromkeys(known), "width": 48, "height": 48, "findings": []}
    first = {**known, "cosine": 1, "likeness": 100, "words": "same picture", "url": None, "thumbnail_url": None}
    assert uploaded["answer"]["neighbors"] == [first, *by_key["answer"]["neighbors"]]
    assert uploaded["embed_milliseconds"] == round(uploaded["embed_milliseconds"], 2) > 0
    assert by_key["embed_milliseconds"] is None


def test_embeddings_are_returned_as_they_are_indexed(api: httpx.Client, reproduced: Project) -> None:
    folder = reproduced.folder / "data/images"
    keys = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))
    files = [("image", (folder / key).read_bytes()) for key in keys[:3]]
    found = api.post("/api/embed", files=files).json()["embeddings"]
    stored = np.load(reproduced.folder / "models/embeddings.npy")[:3]
    assert np.allclose(found, stored / np.linalg.norm(stored, axis=1, keepdims=True), atol=1e-5)
    broken = api.post("/api/embed", files=[*files, ("image", b"no image")])
    assert "image 4 of 4, not an image" in refusal(broken, 415, "not_an_image")


def test_json_is_taken_for_a_form_and_a_raw_body_is_not(api: httpx.Client, content: bytes) -> None:
    text = b64encode(content).decode()
    uploaded = search(api, content, k=3, label="jug")["answer"]["neighbors"]
    for image in (text, [text], f"data:image/jpeg;base64,{text}"):
        body = {"image": image, "k": 3, "label": "jug", "region": None}
        assert api.post("/api/search", json=body).json()["answer"]["neighbors"] == uploaded
    assert api.post("/api/search", json={"key": KEY, "k": 1}).json()["query"]["key"] == KEY
    for kind in ("image/jpeg", "application/octet-stream", ""):
        raw = api.post("/api/search", content=content, headers={"content-type": kind} if kind else {})
        assert "curl -F image=@photo.jpg" in refusal(raw, 415, "use_multipart")
    refusal(api.post("/api/search", json={"image": "not base64"}), 422, "invalid")
    refusal(api.post("/api/search", json=[1]), 422, "invalid")
    refusal(api.post("/api/search", content=b"{", headers={"content-type": "application/json"}), 400, "bad_body")


def test_a_wrong_method_is_distinguished_from_a_wrong_path(api: httpx.Client) -> None:
    for method, path in (("GET", "/api/search"), ("PUT", "/api/v1/corrections"), ("POST", "/page.css")):
        refusal(api.request(method, path), 405, "method_not_allowed")
    for method in ("GET", "POST"):
        refusal(api.request(method, "/api/nothing"), 404, "not_found")


def test_paths_may_lack_the_version_and_prometheus_reads_how_many_calls_were_answered(api: httpx.Client) -> None:
    for path in ("images", "openapi.json", f"images/{KEY}", "docs/"):
        assert api.get(f"/api/{path}").content == api.get(f"/api/v1/{path}").content
    api.get("/api/similar", params={"key": "jug/none.jpg"})
    read = api.get("/metrics")
    assert read.headers["content-type"].startswith("text/plain")
    assert 'similarity_request_seconds_count{call="similar",status="404"}' in read.text
    assert "similarity_images 144.0" in read.text


def test_concurrent_uploads_get_their_own_answers(api: httpx.Client, reproduced: Project) -> None:
    paths = sorted((reproduced.folder / "data/images").glob("*/*"))[::3]
    with ThreadPoolExecutor(24) as pool:
        results = list(pool.map(lambda path: search(api, path.read_bytes(), k=1), paths))
    found = [result["answer"]["neighbors"][0]["key"] for result in results]
    assert found == [path.relative_to(reproduced.folder / "data/images").as_posix() for path in paths]


def test_an_image_is_served_as_it_is_or_small_and_only_once(api: httpx.Client, content: bytes) -> None:
    response = api.get(f"/api/images/{KEY}")
    assert response.content == content
    assert response.headers["content-type"] == "image/jpeg"
    small = api.get(f"/api/images/{KEY}?thumbnail=20")
    assert Image.open(io.BytesIO(small.content)).size == (20, 20)
    again = api.get(f"/api/images/{KEY}?thumbnail=20", headers={"If-None-Match": small.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    found = api.get("/api/similar", params={"key": KEY, "k": 1, "include": "urls"}).json()["answer"]["neighbors"][0]
    for url in (found["url"], found["thumbnail_url"]):
        response = httpx.get(url)
        assert (response.status_code, response.headers["content-type"]) == (200, "image/jpeg")
        assert "immutable" in response.headers["cache-control"]
    assert "is another image now" in refusal(api.get(f"/api/images/{KEY}", params={"hash": found["hash"]}), 409)


def test_nothing_outside_of_the_data_set_is_served(service: str) -> None:
    for path in ("../manifest.csv", "..%2fmanifest.csv", "/etc/passwd", f"jug/../{KEY}", f"{KEY}%00.png", "%ff", "jug"):
        with connect(service) as connection:  # a client library would tidy the path up
            connection.sendall(head(service, f"GET /api/images/{path} HTTP/1.1", "Connection: close"))
            response = read_all(connection)
        assert response.startswith(b"HTTP/1.1 404")
        assert b'{"code":"' in response


@pytest.mark.parametrize(
    ("path", "fields", "status", "message"),
    [
        ("similar?key=jug/jug_003.jpg", {}, 404, "near it are: jug/jug_0003.jpg"),
        (f"similar?key={KEY}&k=0", {}, 422, "k: Input should be greater than or equal to 1"),
        (f"similar?key={KEY}&look=0.5&index=annoy", {}, 422, "search with the exact one"),
        ("images?lable=jug&x=1", {}, 422, "lable: there is no such parameter; x: there is no such parameter"),
        ("search", {"k": 5}, 422, "image, key: at least one of them is needed"),
        ("search", {"key": [KEY] * 30, "like": [KEY] * 3}, 422, "33 images and keys are too many: 32 are allowed"),
        ("search", {"key": [KEY, KEY], "region": "0,0,1,1"}, 422, "a part of one image or key, and not of several"),
        ("search", {"key": KEY, "region": "0,0,2,1"}, 422, "'0,0,2,1' is no region of the image"),
        ("search", {"key": KEY, "offset": 990, "k": 20}, 422, "k + offset is 1,010, and may be 1,000 at most"),
        ("search", {"image": "no file"}, 422, "image.0: this is no file (`curl -F image=@photo.jpg`)"),
        ("search", {"key": KEY, "labels": "jug"}, 422, "labels: there is no such parameter"),
        ("search?k=3", {"key": KEY}, 422, "k: there is no such parameter"),
        ("download", {"key": [KEY] * 1001}, 400, "Maximum number of fields is 1000"),
    ],
)
def test_a_wrong_request_is_answered_with_a_sentence(
    api: httpx.Client, path: str, fields: dict, status: int, message: str
) -> None:
    response = api.post(f"/api/{path}", data=fields) if fields else api.get(f"/api/{path}")
    assert message in refusal(response, status)


def test_an_upload_above_the_limit_is_refused_by_its_declared_and_by_its_real_size(strict: str) -> None:
    with httpx.Client(base_url=strict) as client:
        large = bytes(2_000_000)
        assert "at most 1 MB" in refusal(client.post("/api/search", files={"image": ("x", large)}), 413)
        request = client.build_request("POST", "/api/search", files={"image": ("x", large)})
        body, headers = request.read(), {"content-type": request.headers["content-type"]}
        chunks = (body[start : start + 10_000] for start in range(0, len(body), 10_000))
        assert "at most 1 MB" in refusal(client.post("/api/search", content=chunks, headers=headers), 413)
        pixels = client.post("/api/search", files={"image": ("x", picture_of("vase", 101))})
        assert "101 × 101 pixels are too many: 0.01 million are allowed" in refusal(pixels, 413)
        assert search(client, picture_of("vase", 100))["query"]["width"] == 100


def test_uploads_are_not_written_to_disk(named: str) -> None:
    content = encode(noisy_picture(1200, 900), "JPEG", quality=100, subsampling=0)
    assert len(content) > 1_500_000  # Starlette by itself writes a file above 1 MiB
    with httpx.Client(base_url=named, timeout=30) as client:
        assert search(client, content)["query"]["width"] == 1200


def test_the_service_keeps_its_promises_when_it_is_fuzzed(named: str, reproduced: Project, tmp_path: Path) -> None:
    checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
    command = ["schemathesis", "run", f"{named}/api/openapi.json", "--checks", checks, "--seed", "1", "--no-color"]
    done = subprocess.run(
        [*command, "--phases=examples,coverage,fuzzing", "--max-examples=4", "--suppress-health-check=all"],
        cwd=tmp_path, env=reproduced.environment, encoding="utf-8", capture_output=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:]
    assert "generated" in done.stdout


def test_info_has_the_versions_that_dvc_lock_has(api: httpx.Client, reproduced: Project) -> None:
    info = api.get("/api/info").json()
    stages = yaml.safe_load((reproduced.folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    locked = {out["path"]: out.get("md5") for stage in stages.values() for out in stage["outs"]}
    assert info["data"]["md5"] == locked["data/manifest.csv"]
    assert f"{info['model']['md5']}.dir" == locked["models/embedder"]
    assert info["indexes"]["approximate"]["md5"] == locked["models/index.ann"]
    assert (info["data"]["images"], len(info["data"]["classes"])) == (144, 6)
    params = yaml.safe_load((reproduced.folder / "params.yaml").read_text(encoding="utf-8"))["embedding"]
    assert info["model"]["embedding_size"] == params["size"] + params["visual_size"]
    assert info["model"]["visual_weight"] == params["visual_weight"]
    assert 0 < info["metrics"]["retrieval"]["p_at_10"] <= 1


def test_the_map_has_each_image_with_its_class_and_split(api: httpx.Client, reproduced: Project) -> None:
    packed, manifest = api.get("/api/map").content, read_manifest(reproduced.folder / "data/manifest.csv")
    start = 4 + int.from_bytes(packed[:4], "little")
    header, columns = json.loads(packed[4:start]), np.frombuffer(packed, "<u2", 5 * 144, start).reshape(5, 144)
    assert (header["images"], header["classes"], header["look"], start % 4) == (144, manifest.folders, True, 0)
    places = np.load(reproduced.folder / "models/map.npz")
    for name, found in (("all", columns[:2]), ("look", columns[2:4])):
        assert np.allclose(found.T / 65535, places[name], atol=1e-4)
    assert columns[4].tolist() == manifest.labels.tolist()
    splits, numbers = splits_of(reproduced), np.frombuffer(packed, np.uint8, 144, start + 10 * 144)
    assert [header["splits"][number] for number in numbers] == [splits[key] for key in manifest.keys]
    assert len(packed) == start + 12 * 144


def test_a_port_that_is_taken_is_named(service: str) -> None:
    port = urlsplit(service).port or 0
    with pytest.raises(UserError, match=rf"^cannot listen on port {port} of 127\.0\.0\.1 .*: choose another"):
        listen("127.0.0.1", port)


def test_nothing_similar_gets_no_neighbors_unless_any_are_wanted(api: httpx.Client, foreign: bytes) -> None:
    refused, anyway = (search(api, foreign, **more) for more in ({}, {"any": "true"}))
    assert refused["answer"]["neighbors"] == []
    assert (anyway["similar"], anyway["novel"]) == (False, True)
    assert len(anyway["answer"]["neighbors"]) == 10
    assert anyway["novelty"]["distance"] > anyway["novelty"]["max_distance"]
    of_a_class, region = search(api, foreign, label="jug"), search(api, foreign, region="0,0,1,1", k=3)
    assert (of_a_class["similar"], of_a_class["answer"]["neighbors"]) == (False, [])
    assert (region["novel"], len(region["answer"]["neighbors"])) == (True, 3)


def test_a_look_weighs_class_and_appearance(api: httpx.Client, content: bytes) -> None:
    def keys(**fields: float) -> list[str]:
        found = api.get("/api/similar", params={"key": KEY, "k": 20, **fields}).json()["answer"]["neighbors"]
        return [each["key"] for each in found]

    assert keys(look=api.get("/api/info").json()["model"]["visual_weight"]) == keys()
    kind, between, look = (keys(look=value) for value in (0, 0.5, 1))
    assert kind != between != look != kind
    uploaded = search(api, content, k=21, look=0.5)["answer"]["neighbors"]
    assert [each["key"] for each in uploaded] == [KEY, *between]


def test_without_a_visual_part_a_look_is_refused_and_uploads_are_judged_as_before(both: httpx.Client) -> None:
    assert both.get("/api/info").json()["model"]["visual_weight"] is None
    message = refusal(both.get("/api/similar", params={"key": KEY, "look": 0.5}), 422)
    assert "these embeddings have one part only" in message
    assert search(both, picture_of("vase"))["similar"]
