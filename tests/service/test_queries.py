"""What can be searched with and among: several images, likes, regions, filters, pages; and why a hit is similar."""

import io
from zipfile import ZipFile

import httpx
import numpy as np
import pytest
from PIL import Image

from projects import Project, splits_of
from samples import encode
from similarity import ImageIndex, open_index

KEY, OTHER, THIRD = "jug/jug_0003.jpg", "vase/vase_0005.jpg", "bowl/bowl_0001.jpg"


@pytest.fixture(scope="module")
def index(reproduced: Project) -> ImageIndex:
    """What is served, in this process."""
    return open_index(reproduced.folder)


def file(index: ImageIndex, key: str) -> tuple[str, bytes]:
    return key, (index.images / key).read_bytes()


def found(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [each["key"] for each in response.json()["answer"]["neighbors"]]


def search(api: httpx.Client, *uploads: tuple[str, bytes], **fields: object) -> httpx.Response:
    return api.post("/api/search", files=[("image", each) for each in uploads], data=fields)


def test_several_images_uploaded_or_by_key_make_one_query(api: httpx.Client, index: ImageIndex) -> None:
    both, by_key = {KEY, OTHER}, search(api, key=[KEY, OTHER], k=8)
    assert [each["key"] for each in by_key.json()["queries"]] == [KEY, OTHER]
    uploaded = found(search(api, file(index, KEY), file(index, OTHER), k=10))
    assert both <= set(uploaded[:3])
    assert [key for key in uploaded if key not in both] == found(by_key)
    mixed = search(api, file(index, KEY), key=OTHER, k=9)
    assert [key for key in found(mixed) if key != KEY] == found(by_key)
    assert [each["key"] for each in mixed.json()["queries"]] == [None, OTHER]
    assert mixed.json()["query"] == mixed.json()["queries"][0]


def test_likes_draw_the_answer_towards_them_and_unlikes_push_it_away(api: httpx.Client) -> None:
    [near] = found(search(api, key=OTHER, label="vase", k=1))
    plain, liked, unliked = (
        found(search(api, key=KEY, label="vase", k=24, **feedback))
        for feedback in ({}, {"like": OTHER}, {"unlike": OTHER})
    )
    assert liked.index(near) < plain.index(near) <= unliked.index(near)
    assert OTHER in plain
    assert OTHER not in [*liked, *unliked]


def test_a_region_is_searched_with_as_if_it_were_an_image(api: httpx.Client, index: ImageIndex) -> None:
    picture = Image.open(index.images / KEY).crop((12, 0, 36, 48))
    cut = search(api, ("cut", encode(picture, "PNG")), any="true", k=11)
    region = {"region": "0.25,0,0.5,1", "any": "true", "k": 10}
    for marked, key in (search(api, key=KEY, **region), KEY), (search(api, file(index, KEY), **region), None):
        assert found(marked) == [each for each in found(cut) if each != key][:10]
        assert marked.json()["novelty"] == cut.json()["novelty"]
        assert (marked.json()["query"]["width"], marked.json()["query"]["key"]) == (48, key)


def test_a_part_of_the_data_can_be_searched_and_paged_through(
    api: httpx.Client, index: ImageIndex, reproduced: Project
) -> None:
    others = sorted(key for key, split in splits_of(reproduced).items() if split == "test" and key != KEY)
    for name in ("exact", "annoy"):
        fields = {"key": KEY, "split": "test", "index": name}
        pages = [api.get("/api/similar", params={**fields, "k": 7, "offset": 7 * page}) for page in range(6)]
        keys = [key for page in pages for key in found(page)]
        assert sorted(keys) == others
        answers = [page.json()["answer"] for page in pages]
        assert {(each["matches"], each["index"]) for each in answers} == {(len(others), name)}
        assert keys[7:14] == found(search(api, **fields, k=7, offset=7))
    stored = api.get("/api/similar", params={"key": KEY, "k": 4, "offset": 3})
    assert found(stored) == [match.key for match in index.search(KEY, 7)][3:]
    assert (stored.json()["answer"]["source"], stored.json()["answer"]["matches"]) == ("inverted index", 143)


def test_an_embedding_is_searched_with_like_the_image_it_is_of(api: httpx.Client, index: ImageIndex) -> None:
    vector = api.post("/api/embed", files={"image": file(index, KEY)}).json()["embeddings"][0]
    by_vector = api.post("/api/search", json={"vector": vector, "k": 9})
    assert found(by_vector) == found(search(api, file(index, KEY), k=9))
    assert (by_vector.json()["query"], by_vector.json()["novelty"], by_vector.json()["novel"]) == (None, None, False)
    with_key = {"key": OTHER, "k": 9}
    assert found(search(api, vector=vector, **with_key)) == found(search(api, file(index, KEY), **with_key))
    finite, zero = f"an embedding is {len(vector)} finite numbers", "a vector that is not all 0"
    for wrong, message in ((vector[1:], finite), ([0] * len(vector), zero), ([1e999] * len(vector), finite)):
        refused = search(api, vector=wrong)
        assert (refused.status_code, message in refused.json()["detail"]) == (422, True)


def test_classes_can_be_chosen_and_left_out(api: httpx.Client) -> None:
    def labels(**fields: list[str]) -> set[str]:
        return {key.split("/")[0] for key in found(api.get("/api/similar", params={"key": KEY, "k": 100, **fields}))}

    assert labels(label=["vase", "bowl"]) == {"vase", "bowl"}
    assert labels(not_label=["vase", "bowl"]) == {"bottle", "jug", "mug", "teapot"}
    assert labels(label=["vase", "bowl"], not_label=["bowl"]) == {"vase"}
    assert api.get("/api/images", params={"not_label": ["vase", "jug"]}).json()["total"] == 144 - 48
    assert api.get("/api/images", params={"not_label": "jugg"}).json()["code"] == "unknown_name"


def test_a_query_has_its_place_on_the_map(api: httpx.Client, index: ImageIndex) -> None:
    places, row = index.positions, index.keys.index(KEY)
    assert places is not None
    assert np.allclose(api.get("/api/similar", params={"key": KEY}).json()["place"], places[row], atol=1e-4)
    uploaded = search(api, file(index, KEY)).json()
    rows = [each["row"] for each in uploaded["answer"]["neighbors"][:3]]
    assert np.allclose(uploaded["place"], places[rows].mean(axis=0), atol=1e-4)


def test_among_several_images_one_like_nothing_counts_no_more(
    api: httpx.Client, index: ImageIndex, foreign: bytes
) -> None:
    board, known = ("board.png", foreign), file(index, KEY)
    both, with_known, with_key = search(api, board, board), search(api, board, known), search(api, board, key=KEY)
    assert both.json()["similar"] is False
    assert with_known.json()["similar"] is True
    assert with_known.json()["novelty"]["distance"] < 0.01
    assert (with_key.json()["similar"], with_key.json()["novelty"]) == (True, None)


def test_images_are_listed_by_page_class_split_and_name(
    api: httpx.Client, index: ImageIndex, reproduced: Project
) -> None:
    def listed(**fields: str | int | list[int]) -> list[str]:
        return [each["key"] for each in api.get("/api/images", params=fields).json()["images"]]

    assert listed(label="bowl", page=3, size=10) == [f"bowl/bowl_{number:04d}.jpg" for number in range(20, 24)]
    first = api.get("/api/images", params={"label": "bowl", "size": 10}).json()
    assert (first["pages"], first["total"]) == (3, 24)
    assert listed(row=[100, 3, 5000]) == [index.keys[row] for row in (100, 3)]
    assert listed(name="JUG_0003") == [KEY]
    assert listed(name="0003", size=500) == [key for key in index.keys if "_0003" in key]
    assert listed(name="0003", label="vase") == ["vase/vase_0003.jpg"]
    assert listed(name="jug/") == listed(name=".*") == []
    assert listed(split="valid", size=500) == [key for key, split in splits_of(reproduced).items() if split == "valid"]


def test_images_are_downloaded_in_one_archive_as_they_are(api: httpx.Client, index: ImageIndex) -> None:
    response = api.post("/api/download", data={"key": [KEY, OTHER, KEY]})
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == 'attachment; filename="images.zip"'
    with ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.namelist() == [KEY, OTHER]
        assert all(archive.read(key) == file(index, key)[1] for key in (KEY, OTHER))


def test_the_half_of_a_picture_that_a_hit_shares_contributes_most(api: httpx.Client, index: ImageIndex) -> None:
    half = Image.open(index.images / THIRD).convert("RGB")
    half.paste("white", (half.width // 2, 0, half.width, half.height))
    files = {"image": encode(half, "PNG")}
    found = api.post("/api/v1/why", files=files, data={"hit": THIRD}).json()
    query, hit = np.array(found["query"]), np.array(found["hit"])
    assert query.shape == hit.shape
    assert query.min() >= 0
    assert (query.max(), hit.max()) == (1, 1)
    left, right = np.split(query, [query.shape[1] // 2], axis=1)
    assert left.sum() > 2 * right.sum()
    assert found["milliseconds"] > 0
    region = api.post("/api/v1/why", files=files, data={"hit": THIRD, "region": "0,0,0.5,1"}).json()
    assert region["query"] != found["query"]
    for query_keys, hit_key, status in ([], KEY, 422), ([KEY, OTHER], KEY, 422), ([KEY], "jug/gone.jpg", 404):
        assert api.post("/api/v1/why", json={"hit": hit_key, "key": query_keys}).status_code == status
