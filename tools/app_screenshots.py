"""Take the pictures of the web app that the README shows: ``python tools/app_screenshots.py [FOLDER]``.

Needs chromium and playwright. The photos are those of scikit-image and matplotlib, which may be shown.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from equipoise.app.server import start

OUT = Path(__file__).parents[1] / "docs" / "images"
SIZE = {"width": 1280, "height": 900}
WAIT = 120_000  # milliseconds


def explain(tab: Page) -> None:
    tab.get_by_role("checkbox", name="cup, ").check()
    tab.wait_for_function("document.querySelectorAll('#explained .eq-view').length === 2")
    tab.locator("#explained .eq-view").first.scroll_into_view_if_needed()
    frame = tab.locator("#explained .eq-view").first.bounding_box()
    assert frame is not None
    tab.mouse.move(frame["x"] + 0.33 * frame["width"], frame["y"] + 0.2 * frame["height"])
    tab.mouse.down()
    tab.mouse.move(frame["x"] + 0.66 * frame["width"], frame["y"] + 0.55 * frame["height"], steps=5)
    tab.mouse.up()
    tab.locator("#share p").wait_for()


def compare(tab: Page) -> None:
    tab.get_by_role("tab", name="Compare").click()
    tab.get_by_role("button", name="Compare", exact=True).click()
    tab.wait_for_function("document.querySelectorAll('#compared img').length === 8")


def insert(tab: Page) -> None:
    tab.get_by_role("tab", name="Insert and delete").click()
    tab.get_by_role("button", name="Ask the network").click()
    tab.locator("#inserted svg").wait_for()


def sanity(tab: Page) -> None:
    tab.get_by_role("tab", name="Sanity").click()
    tab.locator("#randomized img").first.wait_for()
    tab.locator("#depth input[type=number]").fill("4")
    tab.locator("#depth input[type=number]").press("Enter")
    tab.get_by_text("layers random").wait_for()


def coverage(tab: Page) -> None:
    tab.get_by_role("tab", name="Coverage").click()
    tab.locator("#covered td").first.wait_for()


VIEWS = {"explain": explain, "compare": compare, "insert": insert, "sanity": sanity, "coverage": coverage}
SHOWN = ("explain", "compare", "insert")


def main() -> None:
    """Write ``app-VIEW.png``: the three of the README, or with a folder all views, also dark and on a phone."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    looks = {"": (SIZE, "light")}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        looks |= {"-dark": (SIZE, "dark"), "-phone": ({"width": 390, "height": 800}, "light")}
    served = start(["efficientnet_lite0"])
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for look, (size, scheme) in looks.items():
                context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]  # two words
                context.set_default_timeout(WAIT)
                tab = context.new_page()
                tab.goto(served.address)
                tab.get_by_role("button", name="Example coffee.png").click()
                tab.locator("#explained .eq-view").wait_for()
                for name, act in VIEWS.items():
                    if (folder is None and name not in SHOWN) or (look == "-phone" and name not in SHOWN[:2]):
                        continue
                    act(tab)
                    tab.wait_for_timeout(800)  # until the progress signs are gone
                    path = (folder or OUT) / f"app-{name}{look}.png"
                    tab.screenshot(path=path, full_page=True)
                    Image.open(path).convert("RGB").save(path, optimize=True)
                    sys.stdout.write(f"{path} {path.stat().st_size // 1000} kB\n")
                context.close()
            browser.close()
    finally:
        served.close()


if __name__ == "__main__":
    main()
