"""The page with 100,000 generated images in place of a service: `pytest -n0 -s` on it prints how long things take."""

import json
from mimetypes import guess_type
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
import yaml
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from page_checks import DESKTOP
from samples import encode

ADDRESS, PAGE = "http://images.test/", Path(__file__).parents[2] / "src/service/page"
IMAGES, CLASSES = 100_000, 40
EXAMPLES = yaml.safe_load((PAGE.parent / "examples.yaml").read_bytes())
SCROLL = "scrollBy(0, i % 15 === 14 ? 200_000 : 400)"
ZOOM = "document.getElementById('map').dispatchEvent(new WheelEvent('wheel', {deltaY: -20, clientX: 400}))"
MAP = "document.getElementById('map').toDataURL()"
FRAMES = """async () => {
    const frames = [];
    let last = performance.now();
    for (let i = 0; i < 60; i++) {
        %s;
        await new Promise(requestAnimationFrame);
        frames.push(performance.now() - last);
        last = performance.now();
    }
    return frames;
}"""


def entry(row: int) -> dict[str, object]:
    label = f"class_{row * CLASSES // IMAGES:02}"
    same = {"row": row, "hash": f"{row:016x}", "split": "train", "findings": [], "width": 400, "height": 300}
    return {"key": f"{label}/{row:06}.jpg", "label": label, **same}


def packed_map() -> bytes:
    rng = np.random.default_rng(0)
    names = [f"class_{i:02}" for i in range(CLASSES)]
    header = {"images": IMAGES, "classes": names, "splits": ["train"], "findings": ["odd"], "look": False}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 4)
    labels = np.arange(IMAGES) * CLASSES // IMAGES
    centers = rng.random((CLASSES, 2))
    places = np.clip(centers[labels] + rng.normal(0, 0.03, (IMAGES, 2)), 0, 1) * 65535
    columns = *places.T.astype("<u2"), labels.astype("<u2"), np.zeros(IMAGES, np.uint8), np.full(IMAGES, 255, np.uint8)
    return b"".join([len(head).to_bytes(4, "little"), head, *(column.tobytes() for column in columns)])


def answer(path: str, query: dict[str, list[str]]) -> dict[str, Any]:
    """Answer like the service: its examples, with other images."""
    if path == "api/info":
        classes = [{"name": f"class_{i:02}", "images": IMAGES // CLASSES} for i in range(CLASSES)]
        return {**EXAMPLES["Info"], "data": {**EXAMPLES["Info"]["data"], "images": IMAGES, "classes": classes}}
    if path == "api/findings":
        return {**EXAMPLES["FindingPage"], "counts": [], "findings": [], "total": 0}
    if path == "api/images":
        size, page = int(query["size"][0]), int(query.get("page", ["1"])[0])
        rows = map(int, query["row"]) if "row" in query else range((page - 1) * size, min(page * size, IMAGES))
        return {"total": IMAGES, "pages": -(-IMAGES // size), "images": [entry(row) for row in rows]}
    start, found = int(query.get("offset", ["0"])[0]), EXAMPLES["SearchResult"]
    neighbors = [{**found["answer"]["neighbors"][0], **entry(start + i)} for i in range(50)]
    answered = {**found["answer"], "neighbors": neighbors, "matches": IMAGES - 1}
    return {**found, "query": entry(0), "queries": [entry(0)], "answer": answered}


@pytest.fixture
def page(browser: Browser) -> Page:
    """A page in front of generated images."""
    picture, packed = encode(Image.new("RGB", (256, 192), "teal"), "JPEG"), packed_map()

    def fulfill(route: Route) -> None:
        parts = urlsplit(route.request.url)
        path = parts.path.removeprefix("/") or "index.html"
        if path == "api/map":
            route.fulfill(body=packed)
        elif path.startswith("api/images/"):
            route.fulfill(body=picture, content_type="image/jpeg")
        elif path.startswith("api/"):
            route.fulfill(json=answer(path, parse_qs(parts.query)))
        else:
            route.fulfill(body=(PAGE / path).read_bytes(), content_type=guess_type(path)[0])

    page = browser.new_page(viewport=DESKTOP)
    page.route("**/*", fulfill)
    return page


def seconds_until(page: Page, selector: str) -> float:
    expect(page.locator(selector).first).to_be_visible()
    return page.evaluate("performance.now()") / 1000


def test_a_hundred_thousand_images_are_browsed_and_mapped_without_stalling(page: Page) -> None:
    page.goto(f"{ADDRESS}?key=class_00/000000.jpg")
    results = seconds_until(page, "#results img")
    page.goto(f"{ADDRESS}?view=browse")
    browse = seconds_until(page, "#images img")
    page.wait_for_load_state("networkidle")  # the first pictures come from this process, on the cores of the browser
    scrolling = page.evaluate(FRAMES % SCROLL)
    assert page.locator("#images > li").count() < 200  # whatever the number of images
    page.get_by_label("Jump to").evaluate(
        "slider => { slider.value = 60_000; slider.dispatchEvent(new Event('input')); }"
    )
    expect(page.locator("#images > li[aria-posinset='60001'] img")).to_be_visible()
    expect(page.locator("#jump-value")).to_have_text("class_24 · 60,001")
    page.goto(f"{ADDRESS}?view=map")
    shown = seconds_until(page, "#legend .chip")
    page.wait_for_load_state("networkidle")
    whole = page.evaluate(MAP)
    zooming = page.evaluate(FRAMES % ZOOM)
    assert page.evaluate(MAP) != whole
    print(f"\nfirst results {results:.2f} s, browse {browse:.2f} s, map {shown:.2f} s")
    for name, frames in (("scrolling", scrolling), ("zooming", zooming)):
        print(f"{name}: median {np.median(frames):.0f} ms a frame, longest {max(frames):.0f} ms")
        assert np.median(frames) < 50
    assert max(results, browse, shown) < 5  # on a machine that has other things to do; the printed ones count
