"""Makes `docs/search_page.jpg` for the README: the search page on the demo set, in the Chromium of the system.

make serve
python docs/photograph_search_page.py
"""

import shutil

from playwright.sync_api import sync_playwright

ADDRESS = "http://127.0.0.1:8000/?key=bowl/bowl_0098.jpg&k=15"

with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1280, "height": 980})
    page.goto(ADDRESS)
    page.wait_for_load_state("networkidle")
    page.screenshot(path="docs/search_page.jpg", type="jpeg", quality=85)
    browser.close()
