"""The browser that opens pages: its absence is a failure where tests must be complete, as in `.ci/run`, else a skip."""

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        places = [*map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))]
        places.append(playwright.chromium.executable_path)  # What `make browser` installs.
        found = next((place for place in places if place and Path(place).exists()), None)
        if found is None:
            absent = pytest.fail if os.environ.get("CI") else pytest.skip
            absent("no Chromium to open pages in: install it, or run `make browser`")
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
