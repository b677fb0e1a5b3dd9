"""A real browser for the tests of pages: Debian's chromium, driven by playwright; skipped where there is none."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@contextmanager
def chromium():
    """A started browser."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="no browser tests: playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no browser tests: there is no chromium on this machine (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def note_requests(context):
    """Every address that the pages of a context ask for, from now on."""
    asked = []
    context.on("request", lambda request: asked.append(request.url))
    return asked
