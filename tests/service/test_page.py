"""The search page in a real browser, Chromium as the system has it."""

import io
import re
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from projects import Project
from similarity.generated.foreign import draw_foreign
from similarity.generated.rocks import draw_rock

KEY = "marble/marble_0003.jpg"


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "my photo.png"
    Image.fromarray(draw_rock("schist", 8, 8, 120)).save(path)
    return path


def upload(page: Page, path: Path, results: int = 10) -> None:
    page.goto("/")
    page.set_input_files("#upload", path)
    expect(page.locator("#results > li a")).to_have_count(results)


def keys_of(page: Page) -> list[str]:
    """The keys of the results in their order, read off the links."""
    hrefs = page.locator("#results > li a").evaluate_all("links => links.map(link => link.search)")
    return [re.sub(r".*[?&]key=([^&]*).*", r"\1", href) for href in hrefs]


def test_an_upload_shows_its_neighbors_with_similarity_and_class(page: Page, photo: Path) -> None:
    upload(page, photo)
    first = page.locator("#results > li").first
    expect(first).to_contain_text(re.compile(r"0\.\d{3}|1\.000"))
    expect(first.locator("img")).to_have_js_property("complete", value=True)
    assert first.locator("img").evaluate("image => image.naturalWidth") > 0
    expect(page.locator("#query img")).to_be_visible()
    expect(page.locator("#comparison")).to_contain_text("Annoy")
    expect(page.locator("#comparison")).to_contain_text("ms")
    width = "parseFloat(getComputedStyle(bar, '::before').width)"
    bars = page.locator("#results .bar").evaluate_all(f"bars => bars.map(bar => {width})")
    assert bars == sorted(bars, reverse=True)
    assert bars[0] > 3 * bars[-1] > 0  # from the lowest that is shown to 1, not from 0
    title = page.locator("#title")
    expect(title).to_be_focused()
    assert title.evaluate("title => getComputedStyle(title).outlineStyle") == "none"


def test_a_click_on_a_result_searches_from_it_and_back_and_forward_work(page: Page, photo: Path) -> None:
    upload(page, photo)
    found = keys_of(page)
    page.locator("#results > li a").nth(1).click()
    expect(page).to_have_url(re.compile(re.escape(f"key={found[1]}")))
    expect(page.locator("#query")).to_contain_text(found[1].replace("%2F", "/"))
    expect(page.locator("#results > li a")).to_have_count(10)
    assert keys_of(page) != found
    page.go_back()
    expect(page.locator("#query")).to_contain_text("my photo.png")
    expect(page.locator("#results > li a")).to_have_count(10)
    assert keys_of(page) == found
    page.reload()  # the browser keeps what was uploaded
    expect(page.locator("#query")).to_contain_text("my photo.png")
    expect(page.locator("#results > li a")).to_have_count(10)
    assert keys_of(page) == found
    page.go_forward()
    expect(page).to_have_url(re.compile(re.escape(f"key={found[1]}")))
    page.reload()
    expect(page.locator("#results > li a")).to_have_count(10)


def test_an_address_can_be_shared(page: Page) -> None:
    page.goto(f"/?key={quote(KEY, safe='')}&k=4&label=schist&index=annoy")
    expect(page.locator("#results > li a")).to_have_count(4)
    assert all(key.startswith("schist") for key in keys_of(page))
    expect(page.locator("#k")).to_have_value("4")
    expect(page.locator("#label")).to_have_value("schist")
    expect(page.locator("input[name=index][value=annoy]")).to_be_checked()


def test_the_filter_the_slider_and_the_switch_change_results_and_address(page: Page) -> None:
    page.goto(f"/?key={quote(KEY, safe='')}")
    expect(page.locator("#results > li a")).to_have_count(10)
    page.select_option("#label", "gneiss")
    expect(page).to_have_url(re.compile("label=gneiss"))
    expect(page.locator("#results > li").first).to_contain_text("gneiss")
    assert all(key.startswith("gneiss") for key in keys_of(page))
    page.locator("#k").fill("3")
    expect(page.locator("#results > li a")).to_have_count(3)
    page.locator("input[name=index][value=annoy]").check(force=True)
    expect(page).to_have_url(re.compile("index=annoy"))
    expect(page.locator("#results > li a")).to_have_count(3)


def expect_results(page: Page, service: str, **fields: float | str) -> None:
    """Waits until the page shows what the API finds for the key with a look."""
    reply = httpx.get(f"{service}/api/similar", params={"key": KEY, **fields}).json()
    items = page.locator("#results > li")
    expect(items).to_have_count(len(reply["answer"]["neighbors"]))
    for place, neighbor in enumerate(reply["answer"]["neighbors"]):
        expect(items.nth(place)).to_have_attribute("data-key", neighbor["key"])


def test_results_follow_the_look_slider_while_the_mouse_drags_it(page: Page, service: str) -> None:
    page.goto(f"/?key={quote(KEY, safe='')}")
    expect_results(page, service)
    searches: list[str] = []
    page.on("request", lambda request: searches.append(request.url) if "/api/similar" in request.url else None)
    slider = page.get_by_role("slider", name="Look")
    expect(page.locator("#look-value")).to_have_text("30 % (default)")
    box = slider.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    for step in range(31, 101):
        page.mouse.move(box["x"] + step / 100 * box["width"], box["y"] + box["height"] / 2)
        page.wait_for_timeout(10)
    assert len(searches) > 3  # not only once it rests
    page.mouse.move(box["x"] + 1.2 * box["width"], box["y"] + box["height"] / 2)
    expect_results(page, service, look=1)
    page.mouse.move(box["x"] - 20, box["y"] + box["height"] / 2)
    expect_results(page, service, look=0)
    page.mouse.up()
    expect(page).to_have_url(re.compile(r"look=0$"))
    page.reload()
    expect_results(page, service, look=0)
    expect(slider).to_have_value("0")


def test_the_look_is_set_by_keyboard_and_told_to_screen_readers(page: Page, service: str) -> None:
    page.goto(f"/?key={quote(KEY, safe='')}&index=annoy")
    expect(page.locator("#results > li a")).to_have_count(10)
    slider = page.get_by_role("slider", name="Look")
    expect(slider).to_have_attribute("aria-valuetext", "30 % same look, 70 % same kind")
    slider.focus()
    page.keyboard.press("End")
    expect(slider).to_have_attribute("aria-valuetext", "100 % same look, 0 % same kind")
    expect_results(page, service, look=1)
    expect(page.get_by_role("radio", name="Exact")).to_be_checked()
    expect(page.get_by_role("radio", name="Annoy")).to_be_disabled()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    expect_results(page, service, look=0.01)
    for _ in range(29):
        page.keyboard.press("ArrowRight")
    expect_results(page, service)
    expect(page).not_to_have_url(re.compile("look="))
    expect(page.get_by_role("radio", name="Annoy")).to_be_enabled()


def test_an_image_that_stays_among_the_results_is_not_loaded_again(page: Page, service: str) -> None:
    page.goto(f"/?key={quote(KEY, safe='')}&k=50")
    expect(page.locator("#results > li a")).to_have_count(50)
    page.wait_for_load_state("networkidle")
    page.evaluate("document.querySelectorAll('#results .picture').forEach(image => image.dataset.before = '')")
    before = set(keys_of(page))
    page.locator("#look").fill("40")
    expect_results(page, service, k=50, look=0.4)
    stayed = before & set(keys_of(page))
    expect(page.locator("#results .picture[data-before]")).to_have_count(len(stayed))
    assert len(stayed) > 10


def test_an_upload_is_searched_by_look_as_well_and_a_click_on_a_result_keeps_it(page: Page, photo: Path) -> None:
    upload(page, photo)
    page.locator("#look").fill("85")
    expect(page).to_have_url(re.compile("look=0.85"))
    expect(page.locator("#comparison tbody tr")).to_have_count(2)  # the exact search and the embedding
    page.locator("#results > li a").nth(2).click()
    expect(page).to_have_url(re.compile("key=.*look=0.85"))
    expect(page.locator("#look")).to_have_value("85")


def test_what_is_no_image_is_told_and_can_be_dismissed(page: Page, tmp_path: Path) -> None:
    corrupt = tmp_path / "corrupt.jpg"
    corrupt.write_bytes(b"\xff\xd8\xff\xe0 not really")
    page.goto("/")
    page.set_input_files("#upload", corrupt)
    expect(page.get_by_role("alert")).to_contain_text("This cannot be read as an image")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_an_image_that_is_not_indexed_any_more_is_told(page: Page, reproduced: Project) -> None:
    assert (reproduced.folder / "data/images").is_dir()
    page.goto("/?key=marble%2Fgone.jpg")
    expect(page.get_by_role("alert")).to_contain_text("no image 'marble/gone.jpg' is indexed")


def test_a_picture_of_nothing_indexed_is_told_so_and_its_nearest_are_shown_on_demand(page: Page, service: str) -> None:
    def encoded(number: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(draw_foreign("checkerboard", number, 48, 0)).save(buffer, "PNG")
        return buffer.getvalue()

    def is_refused(content: bytes) -> bool:
        return not httpx.post(f"{service}/api/search", files={"image": ("board.png", content)}).json()["similar"]

    foreign = next(content for content in map(encoded, range(50)) if is_refused(content))
    page.goto("/")
    page.set_input_files("#upload", {"name": "board.png", "mimeType": "image/png", "buffer": foreign})
    expect(page.locator("#status")).to_have_text("Nothing similar is indexed.")
    expect(page.locator("#results .card")).to_have_count(0)
    expect(page.locator("#results")).to_contain_text(
        re.compile(r"at a distance of \d\.\d{4}\. Up to \d\.\d{4}, an image counts as similar")
    )
    page.get_by_role("button", name="Show the nearest anyway").click()
    expect(page.locator("#results .card")).to_have_count(10)
    expect(page.locator("#status")).to_have_text("Nothing similar is indexed. These are only the nearest.")
    expect(page.get_by_role("list", name="Nearest images")).to_be_visible()
