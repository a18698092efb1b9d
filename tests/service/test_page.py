"""The search page in a real browser, Chromium as the system has it."""

import re

import pytest
from playwright.sync_api import Page, expect

from page_checks import KEY, box_of, expect_address, expect_found, expect_keys, picture_of, upload


def test_an_upload_shows_its_neighbors_with_similarity_and_class(page: Page, service: str) -> None:
    content = picture_of("vase")
    page.goto("/")
    upload(page, "my photo.png", content)
    expect_found(page, service, [content])
    first = page.locator("#results > li").first
    expect(first).to_contain_text(re.compile(r"0\.\d{3}|1\.000"))
    expect(first.locator("img")).to_have_js_property("complete", value=True)
    assert first.locator("img").evaluate("image => image.naturalWidth") > 0
    expect(page.locator("#query img")).to_be_visible()
    expect(page.locator("#comparison")).to_contain_text(re.compile(r"Annoy.* ms"))
    width = "parseFloat(getComputedStyle(bar, '::before').width)"
    bars = page.locator("#results .bar").evaluate_all(f"bars => bars.map(bar => {width})")
    assert bars == sorted(bars, reverse=True)
    assert bars[0] > 3 * bars[-1] > 0  # from the lowest that is shown to 1, not from 0
    expect(page.locator("#title")).to_be_focused()


def test_a_click_on_a_result_searches_from_it_and_back_forward_and_reload_work(page: Page, service: str) -> None:
    content = picture_of("vase")
    page.goto("/")
    upload(page, "my photo.png", content)
    found = expect_found(page, service, [content])
    page.locator("#results > li a").nth(1).click()
    expect(page.locator("#query")).to_contain_text(found[1])
    expect_found(page, service, key=found[1])
    page.go_back()
    for _ in range(2):
        expect(page.locator("#query")).to_contain_text("my photo.png")
        expect_keys(page, "results", found)
        page.reload()  # the browser keeps what was uploaded
    expect_keys(page, "results", found)
    page.go_forward()
    page.reload()
    expect_found(page, service, key=found[1])


def test_settings_change_results_and_address_and_an_address_can_be_shared(page: Page, service: str) -> None:
    page.goto(f"/?key={KEY}")
    expect_found(page, service, key=KEY)
    page.select_option("#label", "bowl")
    expect_found(page, service, key=KEY, label="bowl")
    page.locator("#k").fill("3")
    expect_found(page, service, key=KEY, label="bowl", k=3)
    page.get_by_label("Index", exact=True).select_option("Annoy")
    expect_address(page, "k=3&label=bowl&index=annoy")
    shared = page.url
    page.goto("/")
    page.goto(shared)
    expect_found(page, service, key=KEY, label="bowl", k=3, index="annoy")
    expect(page.locator("#k")).to_have_value("3")
    expect(page.locator("#label")).to_have_value("bowl")
    expect(page.locator("#index")).to_have_value("annoy")


def test_results_follow_the_slider_while_the_mouse_drags_it(page: Page, service: str) -> None:
    page.goto(f"/?key={KEY}")
    expect_found(page, service, key=KEY)
    searches: list[str] = []
    page.on("request", lambda request: searches.append(request.url) if "/api/similar" in request.url else None)
    slider = page.get_by_role("slider", name="Match by")
    expect(page.locator("#look-value")).to_have_text("30 % (default)")
    box = box_of(slider)
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    for step in range(31, 101):
        page.mouse.move(box["x"] + step / 100 * box["width"], box["y"] + box["height"] / 2)
        page.wait_for_timeout(10)
    assert len(searches) > 3  # not only once it rests
    page.mouse.move(box["x"] + 1.2 * box["width"], box["y"] + box["height"] / 2)
    expect_found(page, service, key=KEY, look=1)
    page.mouse.move(box["x"] - 20, box["y"] + box["height"] / 2)
    page.mouse.up()
    expect_found(page, service, key=KEY, look=0)
    expect_address(page, r"look=0$")
    page.reload()
    expect_found(page, service, key=KEY, look=0)


def test_the_slider_works_by_keyboard_and_speaks_to_screen_readers(page: Page, service: str) -> None:
    page.goto(f"/?key={KEY}&index=annoy")
    slider = page.get_by_role("slider", name="Match by")
    expect(slider).to_have_attribute("aria-valuetext", "30 % by appearance, 70 % by type")
    slider.focus()
    page.keyboard.press("End")
    expect(slider).to_have_attribute("aria-valuetext", "100 % by appearance, 0 % by type")
    expect_found(page, service, key=KEY, look=1)
    expect(page.locator("#index")).to_have_value("exact")
    expect(page.locator("#index")).to_be_disabled()
    page.keyboard.press("Home")
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    expect_found(page, service, key=KEY)
    expect(page).not_to_have_url(re.compile("look="))
    expect(page.locator("#index")).to_be_enabled()


def test_an_upload_is_matched_by_appearance_as_well_and_a_click_on_a_result_keeps_it(page: Page) -> None:
    page.goto("/")
    upload(page, "my photo.png", picture_of("vase"))
    page.locator("#look").fill("85")
    expect_address(page, "look=0.85")
    expect(page.locator("#comparison tbody tr")).to_have_count(2)  # the exact search and the embedding
    page.locator("#results > li a").nth(2).click()
    expect_address(page, "key=.*look=0.85")
    expect(page.locator("#look")).to_have_value("85")


@pytest.mark.parametrize(
    ("address", "content", "message"),
    [
        ("/", b"\xff\xd8\xff\xe0 not really", "This cannot be read as an image"),
        ("/?key=jug%2Fgone.jpg", None, "no image 'jug/gone.jpg' is indexed"),
    ],
)
def test_what_cannot_be_searched_with_is_explained(
    page: Page, address: str, content: bytes | None, message: str
) -> None:
    page.goto(address)
    if content:
        upload(page, "corrupt.jpg", content)
    expect(page.get_by_role("alert")).to_contain_text(message)
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_picture_of_nothing_indexed_is_recognized_and_its_nearest_are_shown_on_demand(
    page: Page, foreign: bytes
) -> None:
    page.goto("/")
    upload(page, "board.png", foreign)
    expect(page.locator("#status")).to_have_text("Nothing similar is indexed.")
    expect(page.locator("#results .card")).to_have_count(0)
    explained = r"at a distance of \d\.\d{4}\. Up to \d\.\d{4}, an image counts as similar"
    expect(page.locator("#results")).to_contain_text(re.compile(explained))
    page.get_by_role("button", name="Show the nearest anyway").click()
    expect(page.locator("#results .card")).to_have_count(10)
    expect(page.locator("#status")).to_have_text("Nothing similar is indexed. These are only the nearest.")
    expect(page.get_by_role("list", name="Nearest images")).to_be_visible()
