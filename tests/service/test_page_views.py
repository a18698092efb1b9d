"""The other views, and what holds for all of them, in a real browser."""

import re
from collections.abc import Iterator

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no stubs
from playwright.sync_api import Browser, Page, ViewportSize, expect

from page_checks import DESKTOP, KEY, box_of, drag, expect_address, expect_found, expect_keys
from projects import Project
from service_process import TOKEN

COPY, ODD = "vase/vase_0005.jpg", "bowl/bowl_0001.jpg"
PHONE: ViewportSize = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def odd_page(browser: Browser, both: httpx.Client) -> Iterator[Page]:
    """A page on a service of two runs, of which the first has findings and no visual part."""
    with browser.new_context(base_url=str(both.base_url), viewport=DESKTOP) as context:
        yield context.new_page()


def test_images_are_browsed_by_class_split_and_name(page: Page, service: str) -> None:
    page.goto("/?view=browse")
    images = page.locator("#images > li[data-key]")
    expect(images.first).to_be_visible()
    page.get_by_label("Jump to").press("End")
    expect(page.locator("#images > li[aria-posinset='144'] img")).to_be_visible()
    expect(page.locator("#jump-value")).to_have_text("vase · 144")
    assert images.count() < 144  # only what is near the screen is in the document
    page.select_option("#browse-label", "jug")
    expect(page.locator("#status")).to_have_text("24 images")
    page.select_option("#browse-split", "test")
    listed = httpx.get(f"{service}/api/images", params={"label": "jug", "split": "test"}).json()["images"]
    expect_keys(page, "images", [image["key"] for image in listed])
    expect_address(page, "view=browse&label=jug&split=test")
    page.get_by_role("searchbox", name="File name").fill("no such name")
    page.get_by_role("button", name="Show all images").click()
    page.get_by_role("searchbox", name="File name").fill("jug_0003")
    expect(images).to_have_count(1)
    images.locator("a").press("Space")
    expect(page.locator("#viewer-facts")).to_contain_text(KEY)
    page.keyboard.press("Enter")
    expect_found(page, service, key=KEY)


def test_findings_are_looked_through_and_shown_with_their_images(odd_page: Page) -> None:
    page = odd_page
    page.goto("/?view=findings")
    cards = page.locator("#found-findings > li")
    expect(cards).to_have_count(6)
    expect(cards.first.locator("img")).to_have_count(2)
    page.get_by_role("link", name="Odd picture 1").click()
    expect(cards).to_have_count(1)
    cards.locator("a").click()
    expect(page.locator("#review")).to_contain_text("Nearly one color")
    page.keyboard.press("Escape")
    page.goto(f"/?key={COPY}")
    page.get_by_role("list", name="Findings about it").get_by_role("link").last.click()
    expect_address(page, re.escape(f"key={KEY}"))
    page.get_by_text("Advanced").click()
    page.select_option("#finding", "any")
    expect(page.locator("#results > li")).to_have_count(2)
    expect(page.locator("#results")).to_contain_text("Duplicate")
    page.goto("/?view=browse&finding=odd")
    expect_keys(page, "images", [ODD])
    page.goto("/?view=map&color=finding")
    for group in ("No finding 141", "Duplicate 1", "Odd picture 1"):
        expect(page.locator("#legend")).to_contain_text(group)


def test_labels_are_reviewed_by_keys_and_decisions_are_kept_in_a_file(odd_page: Page, one_part: Project) -> None:
    page, corrections = odd_page, one_part.folder / "data/corrections.csv"
    page.goto("/?view=findings")
    page.locator("#found-findings .card").nth(4).click()
    expect(page.get_by_role("list", name="Nearest of class bowl").locator("img")).to_have_count(6)
    page.get_by_label("New class").select_option("vase")
    page.locator("#review-title").focus()
    page.keyboard.press("l")  # relabel, and go on to the next
    expect(page.locator("#review-title")).to_contain_text("6 of 6")
    assert corrections.read_text(encoding="utf-8").splitlines()[1:] == [f"{ODD},relabel,vase"]
    page.keyboard.press("s")  # it is the last
    expect(page.locator("#review")).to_be_hidden()
    expect(page.locator("#found-findings > li").nth(4)).to_contain_text("Relabel as vase")
    page.reload()
    expect(page.locator("#found-findings > li").nth(4)).to_contain_text("Relabel as vase")
    page.locator("#found-findings .card").first.click()
    page.keyboard.press("t")  # the other one of the two
    page.keyboard.press("o")
    expect(page.locator("#review-title")).to_contain_text("2 of 6")
    assert f"{COPY},leave_out," in corrections.read_text(encoding="utf-8")
    page.reload()
    for decision, key in (("Leave out", COPY), ("Relabel as vase", ODD)):
        page.locator("#found-findings > li", has_text=decision).first.locator(".card").click()
        expect(page.locator("#review .subject")).to_contain_text(key)  # the image that was decided about
        page.keyboard.press("u")  # undo
        expect(page.locator("#review .decision")).to_have_text("")
        assert key not in corrections.read_text(encoding="utf-8")
        page.keyboard.press("Escape")


def test_two_runs_answer_side_by_side_and_without_a_visual_part_there_is_nothing_to_match_by(odd_page: Page) -> None:
    odd_page.goto(f"/?key={KEY}")
    odd_page.get_by_text("Advanced").click()
    odd_page.get_by_label("Compare with HEAD").check()
    expect(odd_page.locator("#look")).to_be_hidden()
    lists = []
    for name, run in (("Served", {}), ("HEAD", {"run": "beside"})):
        answer = odd_page.request.get("/api/similar", params={"key": KEY, **run}).json()["answer"]
        lists.append([each["key"] for each in answer["neighbors"]])
        items = odd_page.get_by_role("list", name=f"Results of {name}").locator("[data-key]")
        expect(items).to_have_count(10)
        assert items.evaluate_all("items => items.map(item => item.dataset.key)") == lists[-1]
    expect(odd_page.locator("#beside-results .only")).to_have_count(2 * len({*lists[0]} - {*lists[1]}))


def test_files_that_are_gone_or_newer_are_explained(browser: Browser, both: httpx.Client, one_part: Project) -> None:
    images, lock = one_part.folder / "data/images", one_part.folder / "dvc.lock"
    images.rename(images.with_name("elsewhere"))
    with browser.new_context(base_url=str(both.base_url)) as context:  # one without cached pictures
        page = context.new_page()
        page.goto(f"/?key={KEY}")
        expect(page.locator("#stale")).to_contain_text("run `dvc checkout` or `dvc pull`")
        expect(page.locator("#results")).to_contain_text("No picture")
        before = lock.read_bytes()
        one_part.run("git", "checkout", "--quiet", "HEAD", "--", "dvc.lock")
        page.reload()
        expect(page.locator("#stale")).to_contain_text("New results are available. Reload to use them.")
        lock.write_bytes(before)
    images.with_name("elsewhere").rename(images)


def test_the_map_shows_a_picture_of_a_point_and_searches_with_it(page: Page) -> None:
    page.goto("/?view=map")
    expect(page.locator("#status")).to_contain_text("144 images")
    page.locator("#map").press("ArrowRight")  # to the image in the middle
    box, point = box_of(page.locator("#point")), page.locator("#point")
    expect(point).to_contain_text(".jpg")
    expect(point.locator("img")).to_be_visible()
    page.mouse.click(box["x"] - 16, box["y"] + box["height"] / 2)  # the tooltip is 16 pixels to its right
    page.get_by_role("button", name="Search with this").click()
    expect_address(page, "key=")
    page.get_by_role("link", name="Map").click()
    expect_address(page, "view=map&key=")  # where the query is shown


def test_images_on_the_map_are_selected_by_lasso_and_by_keyboard_and_more_pictures_come_with_zoom(page: Page) -> None:
    thumbnails: set[str] = set()
    page.on("request", lambda request: thumbnails.add(request.url) if "thumbnail=128" in request.url else None)
    page.goto("/?view=map&map=look&color=split")
    box = box_of(page.locator("#map"))
    expect(page.locator("#legend .chip:visible")).to_have_count(3)
    expect(page.locator("#map-kind")).to_have_value("look")
    page.wait_for_load_state("networkidle")
    assert 0 < len(thumbnails) < 144
    page.get_by_role("button", name="Lasso").click()
    drag(page, box, (0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99))  # around all of it
    expect(page.locator("#selected")).to_have_text("144 selected")
    expect(page.locator("#shared")).to_contain_text("144 images share")
    page.locator("#map").focus()
    page.keyboard.press("ArrowRight")  # to the image in the middle
    expect(page.locator("#status")).to_contain_text(".jpg")
    page.keyboard.press("Space")
    expect(page.locator("#selected")).to_have_text("143 selected")
    seen = set(thumbnails)
    with page.expect_request(lambda request: "thumbnail=128" in request.url and request.url not in seen):
        for _ in range(3):
            page.keyboard.press("+")


REGION, SEVERAL = f"/?key={KEY}&region=0.1,0.1,0.5,0.5", f"/?key={KEY}&key={COPY}&like={ODD}&split=valid"
VIEWS = [f"/?view={name}" for name in ("browse", "map", "findings", "runs")]


def expect_fits(page: Page) -> None:
    """Check what is shown on a phone in light colors, and on a desktop in dark ones."""
    backgrounds = set()
    for size in (PHONE, DESKTOP):
        page.emulate_media(color_scheme="light" if size is PHONE else "dark")
        page.set_viewport_size(size)
        page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=size["width"])
        backgrounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    assert len(backgrounds) == 2


def test_each_view_fits_and_axe_finds_nothing(odd_page: Page) -> None:
    page = odd_page
    page.route("**/changes?*", lambda route: route.continue_(url=route.request.url.replace("size=20", "size=2")))
    for address in ["/", REGION, SEVERAL, *VIEWS, "/?key=jug/gone.jpg"]:
        page.goto(address)
        expect(page.locator("body[aria-busy]")).to_have_count(0)
        expect_fits(page)
    page.goto(f"/?key={COPY}&split=valid")
    page.locator("#results .card").first.click()
    page.locator("#viewer-why").click()
    expect(page.locator("#viewer-panes canvas").last).to_be_visible()
    expect_fits(page)
    page.goto("/?view=findings")
    page.locator("#found-findings .card").first.click()
    expect(page.locator("#review")).to_be_visible()
    expect_fits(page)


def test_where_a_token_is_needed_the_page_asks_for_it_once(browser: Browser, closed: str) -> None:
    with browser.new_context(base_url=closed) as context:
        page = context.new_page()
        page.goto("/")
        page.get_by_label("Token").fill("not the token")
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#token-wrong")).to_have_text("Wrong token.")
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        expect(page.locator("#samples .card").first).to_be_visible()
        page.reload()
        page.locator("#samples .card").first.click()
        picture = page.locator("#results img").first
        expect(picture).to_have_js_property("complete", value=True)
        assert picture.evaluate("image => image.naturalWidth") > 0
        expect(page.locator("#sign-in")).to_be_hidden()
        assert page.evaluate("document.cookie") == ""


def test_the_page_of_the_api_is_shown(page: Page) -> None:
    page.goto("/api/docs")  # redirected to the address with a slash, below which its files are
    expect(page.locator("#operations-images-list_images")).to_contain_text("List the indexed images")
