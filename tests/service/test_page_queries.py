"""Queries of several images and of parts of images, feedback, and what is done with the results, in a real browser."""

import csv
import io
import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from zipfile import ZipFile

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from page_checks import KEY, box_of, drag, expect_address, expect_found, picture_of, upload

GIVE = """([kind, type, files]) => {
    const data = new DataTransfer();
    for (const [name, bytes] of files) data.items.add(new File([new Uint8Array(bytes)], name, {type: 'image/png'}));
    if (type) data.setData(...type);
    const event = kind === 'drop' ? new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true})
                                  : new ClipboardEvent('paste', {clipboardData: data, bubbles: true});
    document.body.dispatchEvent(event);
}"""


def give(page: Page, kind: str, *files: tuple[str, bytes], text: tuple[str, str] | None = None) -> None:
    """Drop or paste files, or a text of a MIME type."""
    page.evaluate(GIVE, [kind, text, [[name, list(content)] for name, content in files]])


def test_what_is_dropped_or_pasted_is_searched_several_images_as_one_query(page: Page, service: str) -> None:
    vase, bowl = picture_of("vase"), picture_of("bowl")
    page.goto("/")
    expect(page.locator("#samples .card").first).to_be_visible()
    for kind, mime in (("paste", "text/plain"), ("drop", "text/uri-list")):
        give(page, kind, text=(mime, "https://example.org/photo.jpg"))
        expect(page.get_by_role("alert")).to_contain_text("not fetched from other sites")
        page.get_by_role("button", name="Dismiss").click()
    give(page, "paste", ("pasted.png", vase))
    expect(page.locator("#query")).to_contain_text("pasted.png")
    expect_found(page, service, [vase])
    give(page, "drop", ("one.png", vase), ("two.png", bowl))
    both = expect_found(page, service, [vase, bowl])
    upload(page, "three.png", picture_of("jug"), "#add-upload")
    expect(page.locator("#query .few img")).to_have_count(3)
    page.get_by_role("button", name="Remove three.png").click()
    assert expect_found(page, service, [vase, bowl]) == both
    page.get_by_role("button", name="Remove one.png").click()
    expect(page.locator("#query b").first).to_have_text("two.png")
    expect_found(page, service, [bowl])


def test_a_picture_dropped_on_the_map_lands_on_it(page: Page, service: str) -> None:
    page.goto("/?view=map")
    expect(page.locator("#status")).to_contain_text("144 images")
    before = page.locator("#map").evaluate("map => map.toDataURL()")
    give(page, "drop", ("one.png", picture_of("vase")))
    expect_address(page, "view=map&upload=")
    page.wait_for_function("before => document.getElementById('map').toDataURL() !== before", arg=before)
    page.get_by_role("button", name="Show the results").click()
    expect_found(page, service, [picture_of("vase")])


def test_a_part_of_the_picture_is_searched_by_mouse_and_by_keyboard(page: Page, service: str) -> None:
    page.goto(f"/?key={KEY}")
    whole = expect_found(page, service, key=KEY)
    drag(page, box_of(page.locator(".stage img")), (0.1, 0.2), (0.6, 0.5))
    expect_address(page, "region=")
    [region] = parse_qs(urlsplit(page.url).query)["region"]
    assert [float(share) for share in region.split(",")] == pytest.approx([0.1, 0.2, 0.5, 0.3], abs=0.02)
    expect_found(page, service, key=KEY, region=region, any=True)
    frame = page.locator(".region")
    frame.focus()
    for key in ("ArrowRight", "Shift+ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect_address(page, r"region=0\.1[12]")
    expect(frame).to_be_focused()
    [region] = parse_qs(urlsplit(page.url).query)["region"]
    expect_found(page, service, key=KEY, region=region, any=True)
    page.keyboard.press("Escape")
    expect(page).not_to_have_url(re.compile("region="))
    assert expect_found(page, service, key=KEY) == whole


def test_a_finger_draws_a_region_and_a_button_searches_it(browser: Browser, service: str) -> None:
    with browser.new_context(base_url=service, viewport={"width": 390, "height": 800}, has_touch=True) as context:
        page = context.new_page()
        page.goto(f"/?key={KEY}")
        page.get_by_role("button", name="Select a region").tap()
        expect(page.locator(".region")).to_be_visible()
        page.get_by_role("button", name="Search", exact=True).tap()
        expect_address(page, "region=0.25,0.25,0.5,0.5")
        expect_found(page, service, key=KEY, region="0.25,0.25,0.5,0.5", any=True)
        page.get_by_role("button", name="Use whole image").tap()
        expect_found(page, service, key=KEY)


def test_more_and_less_like_a_result_move_the_query(page: Page, service: str) -> None:
    page.goto(f"/?key={KEY}")
    first, *_ = expect_found(page, service, key=KEY)
    page.locator("#results > li").first.hover()
    page.get_by_role("button", name=f"More like {first}").click()
    moved = expect_found(page, service, key=KEY, like=first)
    assert first not in moved
    page.locator("#results .card").nth(2).focus()
    page.keyboard.press("-")
    expect_found(page, service, key=KEY, like=first, unlike=moved[2])
    expect(page.get_by_role("list", name="Less like")).to_be_visible()
    page.get_by_role("button", name=f"Remove {first}").click()
    expect_found(page, service, key=KEY, unlike=moved[2])
    page.go_back()
    expect_found(page, service, key=KEY, like=first, unlike=moved[2])


def test_results_go_on_to_the_last_and_are_there_again_after_going_back(page: Page, service: str) -> None:
    page.goto(f"/?key={KEY}")
    expect_found(page, service, key=KEY)
    page.locator("#results .card").first.press("End")
    last = page.locator("#results > li[aria-posinset='143']")
    expect(last.locator(".card")).to_be_focused()
    page.wait_for_timeout(300)  # until the place is remembered
    before, key = page.evaluate("scrollY"), last.get_attribute("data-key")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect_address(page, re.escape(f"key={key}"))
    assert page.evaluate("scrollY") == 0 < before
    page.go_back()
    page.wait_for_function("before => Math.abs(scrollY - before) < 5", arg=before)
    expect(last.locator("img")).to_be_visible()


def saved(page: Page, menu: Locator, choice: str) -> Path:
    menu.locator("summary").click()
    with page.expect_download() as download:
        menu.get_by_role("button", name=choice).click()
    return download.value.path()


def test_what_is_selected_is_downloaded_copied_and_searched_with(page: Page, service: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/?key={KEY}")
    found = expect_found(page, service, key=KEY)
    page.locator("#results .card").nth(1).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("x")
    page.locator("#results > li").nth(4).hover()
    page.get_by_role("checkbox", name=f"Select {found[4]}").click(modifiers=["Shift"])
    expect(page.locator("#selected")).to_have_text("3 selected")
    chosen, bar = found[2:5], page.get_by_role("region", name="Selection")
    rows = list(csv.DictReader(io.StringIO(saved(page, bar, "List as CSV").read_text(encoding="utf-8"))))
    assert [(row["key"], row["path"]) for row in rows] == [(key, f"data/images/{key}") for key in chosen]
    with ZipFile(saved(page, bar, "Images as zip")) as archive:
        assert archive.namelist() == chosen
    bar.get_by_role("button", name="Copy paths").click()
    assert page.evaluate("navigator.clipboard.readText()") == "\n".join(f"data/images/{key}" for key in chosen)
    listed = csv.DictReader(io.StringIO(saved(page, page.locator("#result-tools"), "List as CSV").read_text("utf-8")))
    assert [row["key"] for row in listed][:10] == found
    page.reload()
    expect(page.locator("#selected")).to_have_text("3 selected")
    bar.get_by_role("button", name="Search with these").click()
    expect_found(page, service, key=chosen)
    bar.get_by_role("button", name="Clear").click()
    expect(bar).to_be_hidden()


@pytest.mark.parametrize(("width", "height"), [(360, 740), (640, 450)])  # a phone; a screen of 1280 × 900 at 200 %
def test_the_first_result_is_on_the_first_screen(page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.goto("/")
    upload(page, "photo.png", picture_of("vase"))
    expect(page.locator("#query")).to_contain_text("photo.png")
    box = box_of(page.locator("#results .picture").first)
    assert box["y"] + box["height"] <= height
    expect(page.locator("#label")).to_be_hidden()  # the settings are folded away
    page.locator("#settings > summary").click()
    expect(page.locator("#label")).to_be_visible()
