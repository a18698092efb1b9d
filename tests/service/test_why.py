"""Where two images are similar, as the API says it."""

import io

import httpx
import numpy as np
import pytest
from PIL import Image

from page_checks import KEY
from projects import Project

BOWL = "bowl/bowl_0005.jpg"


def test_the_half_of_a_picture_that_a_hit_shares_contributes_most(api: httpx.Client, reproduced: Project) -> None:
    half = Image.open(reproduced.folder / "data/images" / BOWL).convert("RGB")
    half.paste("white", (half.width // 2, 0, half.width, half.height))
    buffer = io.BytesIO()
    half.save(buffer, "PNG")
    found = api.post("/api/v1/why", files={"image": buffer.getvalue()}, data={"hit": BOWL}).json()
    query, hit = np.array(found["query"]), np.array(found["hit"])
    assert query.shape == hit.shape
    assert query.min() >= 0
    assert (query.max(), hit.max()) == (1, 1)
    left, right = np.split(query, [query.shape[1] // 2], axis=1)
    assert left.sum() > 2 * right.sum()
    assert found["milliseconds"] > 0
    part = {"image": buffer.getvalue()}, {"hit": BOWL, "region": "0,0,0.5,1"}
    assert api.post("/api/v1/why", files=part[0], data=part[1]).json()["query"] != found["query"]


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"hit": KEY}, 422, "invalid"),
        ({"hit": KEY, "key": [KEY, "jug/jug_0004.jpg"]}, 422, "invalid"),
        ({"hit": "jug/gone.jpg", "key": KEY}, 404, "unknown_name"),
    ],
)
def test_what_cannot_be_explained_is_refused(api: httpx.Client, fields: dict, status: int, code: str) -> None:
    reply = api.post("/api/v1/why", json=fields)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
