"""What browsers have to agree with, in a real one: the page of the REST API, and a form that downloads."""

from zipfile import ZipFile

import httpx
from playwright.sync_api import Page, expect

KEYS = ["marble/marble_0003.jpg", "schist/schist_0005.jpg"]


def test_the_page_of_the_api_is_found_with_and_without_a_slash(api: httpx.Client) -> None:
    assert api.get("/api/docs", follow_redirects=True).text == api.get("/api/docs/").text
    assert "<title>REST API" in api.get("/api/docs/").text


def test_calls_can_be_read_and_tried(page: Page) -> None:
    page.goto("/api/docs/")
    call = page.locator("#operations-images-list_images")
    expect(call).to_contain_text("List the indexed images")
    call.locator("button").first.click()
    call.get_by_role("button", name="Try it out").click()
    call.locator("[data-param-name=size] input").fill("1")
    call.get_by_role("button", name="Execute").click()
    expect(call.locator(".live-responses-table")).to_contain_text("andesite/andesite_0000.jpg")


def test_a_form_of_the_own_page_downloads_images(page: Page) -> None:
    page.goto("/api/docs/")
    with page.expect_download() as download:
        page.evaluate(
            """keys => {
                const form = Object.assign(document.createElement('form'), {method: 'post', action: '../download'});
                form.append(...keys.map(value => Object.assign(document.createElement('input'), {name: 'key', value})));
                document.body.append(form);
                form.submit();
            }""",
            KEYS,
        )
    assert download.value.suggested_filename == "images.zip"
    with ZipFile(download.value.path()) as archive:
        assert archive.namelist() == KEYS
