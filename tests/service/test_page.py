"""Searches on the page in a real browser, Chromium as the system has it."""

import re

from playwright.sync_api import Page, expect

from page_checks import KEY, box_of, drag, expect_address, expect_found, expect_keys, picture_of, upload


def test_an_upload_is_answered_and_comes_back_with_back_forward_and_reload(page: Page, service: str) -> None:
    content = picture_of("vase")
    page.goto("/")
    upload(page, "my photo.png", content)
    found = expect_found(page, service, [content])
    expect(page.locator("#answer")).to_contain_text(re.compile(r"vase: \d+ of 10"))
    expect(page.locator("#query img")).to_be_visible()
    expect(page.locator("#title")).to_be_focused()
    page.locator("#results .card").nth(1).click()
    page.get_by_role("button", name="Search with this").click()
    expect(page.locator("#query")).to_contain_text(found[1])
    expect_found(page, service, key=found[1])
    page.go_back()
    for _ in range(2):
        expect(page.locator("#query")).to_contain_text("my photo.png")
        expect_keys(page, "results", found)
        page.reload()  # the browser keeps what was uploaded
    page.go_forward()
    page.reload()
    expect_found(page, service, key=found[1])


def test_the_viewer_shows_query_and_result_side_by_side_and_obeys_keys(page: Page, service: str) -> None:
    page.goto(f"/?key={KEY}")
    found = expect_found(page, service, key=KEY)
    cards, panes = page.locator("#results .card"), page.locator("#viewer-panes img")
    facts, shades = page.locator("#viewer-facts"), page.locator("#viewer-panes canvas")
    cards.nth(2).click()
    expect(panes).to_have_count(2)
    expect(facts).to_contain_text(found[2])
    page.keyboard.press("ArrowLeft")
    expect(facts).to_contain_text(found[1])
    expect(page.locator("#viewer-place")).to_contain_text("2 of 143")
    page.keyboard.press("+")
    scales = panes.evaluate_all("images => images.map(image => getComputedStyle(image).transform)")
    assert scales[0] == scales[1]  # both zoom together
    assert "1.5" in scales[0]
    page.keyboard.down("w")
    expect(shades).to_have_count(2)
    page.keyboard.up("w")
    expect(shades).to_have_count(0)
    page.get_by_role("button", name="Why?").click()
    expect(shades).to_have_count(2)
    expect(page.locator("#viewer-panes")).to_contain_text("Bright: where the likeness comes from")
    page.get_by_role("button", name="Side by side").click()
    expect(panes).to_have_count(1)
    expect(shades).to_have_count(1)
    page.keyboard.press("x")
    expect(page.locator("#selected")).to_have_text("1 selected")
    page.keyboard.press("Space")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(cards.nth(1)).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.locator("#query")).to_contain_text(found[2])
    expect_found(page, service, key=found[2])


def test_settings_change_results_and_an_address_keeps_them(page: Page, service: str) -> None:
    page.goto(f"/?key={KEY}")
    expect_found(page, service, key=KEY)
    slider = page.get_by_role("slider", name="Match by")
    expect(page.locator("#look-value")).to_have_text(re.compile(r"\d+ % \(default\)"))
    expect(slider).to_have_attribute("aria-valuetext", re.compile(r"\d+ % by appearance, \d+ % by type"))
    slider.press("End")
    expect_found(page, service, key=KEY, look=1)
    expect_address(page, r"look=1$")
    page.select_option("#label", "bowl")
    expect_found(page, service, key=KEY, look=1, label="bowl")
    page.get_by_text("Advanced").click()
    page.get_by_role("combobox", name="Split", exact=True).select_option("train")
    expect_address(page, "split=train")
    shared = page.url
    page.goto("/")
    page.goto(shared)
    expect_found(page, service, key=KEY, look=1, label="bowl", split="train")
    expect(page.locator("#label")).to_have_value("bowl")
    expect(page.locator("#split")).to_have_value("train")
    expect(page.locator("#split")).to_be_visible()  # what is set there is not folded away
    slider.press("ArrowLeft")
    expect_found(page, service, key=KEY, look=0.99, label="bowl", split="train")
    page.locator("#results .card").nth(2).click()
    page.keyboard.press("Enter")
    expect_address(page, "look=0.99")


def test_what_fails_is_explained_and_tried_again_and_the_results_stay(page: Page, service: str) -> None:
    page.goto("/?key=jug%2Fgone.jpg")
    expect(page.get_by_role("alert")).to_contain_text("jug/gone.jpg")
    page.goto(f"/?key={KEY}")
    found = expect_found(page, service, key=KEY)
    upload(page, "corrupt.jpg", b"\xff\xd8\xff\xe0 not really")
    expect(page.get_by_role("alert")).to_contain_text("This cannot be read as an image")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_role("alert")).to_be_hidden()
    expect_keys(page, "results", found)
    expect_address(page, re.escape(f"key={KEY}"))
    expect(page.locator("#query")).to_contain_text(KEY)
    page.route("**/api/similar?*", lambda route: route.abort())
    page.select_option("#label", "bowl")
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached.")
    expect_keys(page, "results", found)
    page.unroute("**/api/similar?*")
    page.get_by_role("button", name="Retry").click()
    expect_found(page, service, key=KEY, label="bowl")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_a_picture_of_nothing_indexed_shows_its_nearest_on_demand(page: Page, foreign: bytes) -> None:
    page.goto("/")
    upload(page, "board.png", foreign)
    results, answer = page.locator("#results .card"), page.locator("#answer")
    expect(page.locator("#status")).to_have_text("No close match")
    expect(results).to_have_count(0)
    expect(answer).to_contain_text(re.compile("The nearest image is (just|far) outside the limit"))
    drag(page, box_of(page.locator(".stage img")), (0.05, 0.05), (0.95, 0.95))
    expect(answer).to_contain_text("No close match for this region. The nearest image is")
    expect(results.nth(9)).to_be_visible()
    page.get_by_role("button", name="Use whole image").click()
    expect(results).to_have_count(0)
    page.get_by_role("button", name="Show the nearest anyway").click()
    expect(results.nth(9)).to_be_visible()
    expect(page.get_by_role("list", name="Nearest images")).to_be_visible()
