"""The page of the REST API in a real browser."""

import shutil

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def test_the_page_is_found_with_and_without_a_slash(api: httpx.Client) -> None:
    assert api.get("/api/docs", follow_redirects=True).text == api.get("/api/docs/").text
    assert "<title>REST API" in api.get("/api/docs/").text


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")
def test_calls_can_be_read_and_tried_and_nothing_is_loaded_from_elsewhere(service: str) -> None:
    problems: list[str] = []
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        page = browser.new_page()
        page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda each: None if each.url.startswith((service, "data:")) else problems.append(each.url))
        page.goto(f"{service}/api/docs/")
        call = page.locator("#operations-images-list_images")
        expect(call).to_contain_text("List the indexed images")
        call.locator("button").first.click()
        call.get_by_role("button", name="Try it out").click()
        call.locator("[data-param-name=size] input").fill("1")
        call.get_by_role("button", name="Execute").click()
        expect(call.locator(".live-responses-table")).to_contain_text("andesite/andesite_0000.jpg")
        browser.close()
    assert not problems
