"""Makes `docs/search_page.jpg` for the README: the search page on the demo set, in the Chromium of the system.

make serve
python docs/photograph_search_page.py
"""

import shutil

from playwright.sync_api import expect, sync_playwright

ADDRESS = "http://127.0.0.1:8000/?key=jug/jug_0042.jpg"

with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(ADDRESS)
    expect(page.locator("#results img").nth(14)).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.screenshot(path="docs/search_page.jpg", type="jpeg", quality=85)
    browser.close()
