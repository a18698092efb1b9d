"""What the search page shows, compared with what the API says."""

import re
from collections.abc import Sequence

import httpx
from PIL import Image
from playwright.sync_api import FloatRect, Locator, Page, ViewportSize, expect

from samples import encode
from similarity.data.sources.ceramics import draw_picture

KEY = "jug/jug_0003.jpg"
DESKTOP: ViewportSize = {"width": 1280, "height": 900}


def picture_of(kind: str, size: int = 120) -> bytes:
    """Encode a picture of a class of the demo set that is not indexed."""
    return encode(Image.fromarray(draw_picture(kind, 8, 8, size)), "PNG")


def upload(page: Page, name: str, content: bytes, field: str = "#upload") -> None:
    page.set_input_files(field, {"name": name, "mimeType": "image/png", "buffer": content})


def expect_keys(page: Page, list_id: str, keys: Sequence[str]) -> None:
    """Wait until a list begins with these images in this order."""
    items = page.locator(f"#{list_id} li[data-key]")
    for place, key in enumerate(keys):
        expect(items.nth(place)).to_have_attribute("data-key", key)


def expect_found(page: Page, service: str, files: Sequence[bytes] = (), **fields: object) -> list[str]:
    """Wait until the page shows what the API finds for a query, and return its first keys."""
    data = {name: value if isinstance(value, list) else str(value) for name, value in ({"k": 50} | fields).items()}
    reply = httpx.post(f"{service}/api/search", data=data, files=[("image", ("x.png", file)) for file in files])
    keys = [each["key"] for each in reply.json()["answer"]["neighbors"]][:10]
    assert keys
    expect_keys(page, "results", keys)
    return keys


def expect_address(page: Page, pattern: str) -> None:
    expect(page).to_have_url(re.compile(pattern))


def box_of(element: Locator) -> FloatRect:
    expect(element).to_be_visible()
    box = element.bounding_box()
    assert box is not None
    return box


def drag(page: Page, box: FloatRect, *places: tuple[float, float]) -> None:
    """Draw with the mouse between places in a box, as shares of it."""
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=4)
    page.mouse.up()
