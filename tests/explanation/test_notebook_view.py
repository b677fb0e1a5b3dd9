"""The view of a notebook: the same numbers under the pointer, without widgets, also in an exported page."""

import base64
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import equipoise
from browser import chromium, note_requests
from equipoise import notebook


@pytest.fixture
def photo():
    """Red at the left, blue at the right, twice as wide as high: the network sees its middle."""
    image = Image.new("RGB", (80, 40), (0, 0, 255))
    image.paste((255, 0, 0), (0, 0, 40, 40))
    return image


def held(page):
    """The maps in a page."""
    found = re.findall(r'"values": "([^"]+)", "scale": ([\d.e-]+)', page)
    return [torch.from_numpy(np.frombuffer(base64.b64decode(text), "<i2") * float(scale)) for text, scale in found]


def test_each_target_has_a_figure_with_its_map(photo, fakes):
    one = equipoise.explain(photo, fakes, "share", target=[0, 1])
    page = one._repr_html_()
    assert page.count("<figure") == 2
    for kept, map_ in zip(held(page), one.heatmap, strict=True):
        step = map_.abs().max().item() / 32767
        torch.testing.assert_close(kept, map_.flatten().double(), rtol=0, atol=step)
    for target in one.targets:
        assert target.name in page
    assert len(set(re.findall(r'id="(eqn-[^"]+)"', page))) == 2  # a page with many cells keeps them apart


def test_names_are_text(photo, fakes):
    model, spec = fakes
    one = equipoise.explain(
        photo, (model, replace(spec, classes=("<img src=x>", *spec.classes[1:]))), "share", target=0
    )
    assert "<img src=x>" not in one._repr_html_()
    assert "&lt;img src=x&gt;" in one._repr_html_()


def test_what_has_no_such_view_has_the_picture_alone(photo, fakes, monkeypatch):
    one = equipoise.explain(photo, fakes, "share", target=[0, 1])
    assert replace(one, heatmap=one.heatmap[:, None], attribution=one.attribution[:, :, None])._repr_html_() is None
    monkeypatch.setattr(notebook, "MOST", 1)
    assert one._repr_html_() is None
    assert one._repr_png_()


def test_in_an_exported_page_the_pointer_tells_the_value_and_the_slider_shows_the_photo(photo, fakes, tmp_path):
    one = equipoise.explain(photo, fakes, "share", target=0)
    path = tmp_path / "exported.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><body>{one._repr_html_()}{one._repr_html_()}")
    with chromium() as browser:
        context = browser.new_context()
        asked = note_requests(context)
        page = context.new_page()
        page.goto(path.as_uri())
        second = page.locator("figure").nth(1)
        frame = second.locator(".eqn-pictures").bounding_box()

        def tell(x, y):
            page.mouse.move(frame["x"] + x * frame["width"] / 80, frame["y"] + y * frame["height"] / 40)
            return second.locator("output").text_content()

        left, top = one.box[:2]
        row, column = 5, 3
        said = tell(left + column + 0.5, top + row + 0.5)
        value = float(re.search(r": (\S+),", said)[1])
        assert said.startswith(f"row {row}, column {column}: ")
        assert value == pytest.approx(one.heatmap[row, column].item(), rel=1e-2)
        assert said.endswith("for the class")
        assert tell(left + 28.5, top + 5.5).endswith("against the class")
        assert "did not see" in tell(1, 20)
        assert page.locator("figure").nth(0).locator("output").text_content() == ""
        second.locator("input").fill("0.25")
        assert second.locator("img").nth(1).evaluate("image => image.style.opacity") == "0.25"
        assert all(address.startswith(("file:", "data:")) for address in asked)
