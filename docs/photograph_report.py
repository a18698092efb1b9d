"""Makes `docs/report.jpg`: the beginning of the report on the demo set, in the Chromium of the system.

python docs/photograph_report.py
"""

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1200, "height": 1100})
    page.goto(Path("metrics/report.html").absolute().as_uri())
    page.screenshot(path="docs/report.jpg", type="jpeg", quality=80)
    browser.close()
