"""The page: complete in itself, deaf to hostile names, small, and working in a browser without a network."""

import base64
import hashlib
import io
import json
import re
import shlex
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import browser
from equipoise import records, report
from equipoise.cli.app import parse
from equipoise.errors import MissingPackageError, OptionError, ShapeError
from equipoise.report import Cell, Figure, Picture, Report, Table

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Elements as (tag, attributes), the text inside each kind of element; nesting is checked."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open = [], {}, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def image(color=(200, 30, 30), size=(40, 30)):
    return report.thumbnail(Image.new("RGB", size, color))


def picture(name, method, **record):
    return Picture(image(), f"{name} by {method}", {"class": name, "method": method}, record)


@pytest.fixture
def page():
    return Report(
        title="Why?",
        notes=("A note.",),
        tables=(
            Table(
                ("method", "score"),
                (
                    (Cell("ae"), Cell("0.500", 0.5, (0.4, 0.625), best=True)),
                    (Cell("eb"), Cell("10", 10.0)),
                    (Cell("rap"), Cell("undefined")),
                    (Cell("lrp"), Cell("2", 2.0)),
                ),
                "Scores",
            ),
        ),
        figures=(Figure(records.encoded(Image.new("RGB", (9, 9))), "A drawing"),),
        pictures=(picture("cat", "ae", gamma=1.5), picture("cat", "eb"), picture("dog", "ae")),
        record={"seed": 7},
    )


def test_everything_is_on_the_page(page):
    parsed = Page(report.render(page))
    assert parsed.texts["title"] == parsed.texts["h1"] == ["Why?"]
    assert "A note." in parsed.texts["li"]
    assert parsed.texts["strong"] == ["0.500"]
    assert parsed.texts["span"] == ["[0.400, 0.625]"]
    assert [one["alt"] for one in parsed.all("img")] == ["A drawing", "cat by ae", "cat by eb", "dog by ae"]
    assert [json.loads(text) for text in parsed.texts["pre"]] == [{"gamma": 1.5}, {"seed": 7}]
    assert [one["data-filter"] for one in parsed.all("select")] == ["class", "method"]
    assert [one["value"] for one in parsed.all("option")] == ["", "=cat", "=dog", "", "=ae", "=eb"]
    for one in parsed.all("img"):
        kind, data = re.fullmatch(r"data:image/(png|webp);base64,(.+)", one["src"]).groups()
        with Image.open(io.BytesIO(base64.b64decode(data))) as opened:
            assert opened.format.lower() == kind


def test_what_is_absent_leaves_no_trace():
    parsed = Page(report.render(Report("Empty")))
    assert {"table", "img", "select", "h2", "pre"} & {tag for tag, _ in parsed.elements} == set()


def test_nothing_points_off_the_page(page):
    text = report.render(page)
    for tag, attributes in Page(text).elements:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert not {"href", "action", "srcset", "poster", "data"} & set(attributes)
        assert attributes.get("src", "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    bare = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert not re.search(r"url\(|@import|https?:|fetch\(|XMLHttpRequest|[\"'(]//", bare)


def test_the_policy_allows_this_script_and_style_alone(page):
    text = report.render(page)
    (policy,) = [one["content"] for one in Page(text).all("meta") if "http-equiv" in one]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (inner,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&{{7*7}}"


def test_hostile_names_are_only_text():
    cell = Cell(HOSTILE)
    hostile = Report(
        HOSTILE,
        (HOSTILE,),
        (Table((HOSTILE,), ((cell,),), HOSTILE),),
        (Figure(image(), HOSTILE),),
        (
            Picture(image(), HOSTILE, {HOSTILE: HOSTILE}, {HOSTILE: HOSTILE}),
            Picture(image(), "other", {HOSTILE: "other"}),
        ),
        {HOSTILE: HOSTILE},
    )
    parsed = Page(report.render(hostile))
    assert len(parsed.all("script")) == 1
    assert parsed.texts["h1"] == [HOSTILE]
    assert [one["src"].partition(":")[0] for one in parsed.all("img")] == ["data"] * 3
    tags = [json.loads(one["data-tags"]) for one in parsed.all("li") if "data-tags" in one]
    assert tags == [{HOSTILE: HOSTILE}, {HOSTILE: "other"}]


@given(st.text())
def test_any_text_survives(text):
    text = text.replace("\r", "").replace("\0", "")  # HTML has no way to write these two
    surrogate_free = text.encode("utf-8", "replace").decode()
    parsed = Page(report.render(Report("t", pictures=(Picture(image(), "c", {"class": surrogate_free}),))))
    (found,) = [json.loads(one["data-tags"]) for one in parsed.all("li")]
    assert found == {"class": surrogate_free}


def test_a_file_name_that_is_no_unicode_is_written(tmp_path):
    path = report.write(Report("caf\udce9"), tmp_path / "page.html")
    assert "<h1>caf?</h1>" in path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def noisy():
    """A picture that does not compress well: an upscaled noise in all colors."""
    pixels = np.random.default_rng(0).integers(0, 256, (160, 160, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((640, 640), Image.Resampling.BICUBIC)


def test_a_hundred_photos_by_eight_methods_stay_small(noisy, tmp_path):
    methods = [f"method {index}" for index in range(8)]
    data = report.thumbnail(noisy, report.byte_limit(100 * len(methods)))
    record = {"image": {"sha256": "0" * 64, "box": [0.0] * 4}, "scores": [{"name": "tabby", "logit": 1.25}] * 5}
    pictures = [
        Picture(data, f"photo {index}: tabby, {method}", {"photo": f"photo {index}", "method": method}, record)
        for index in range(100)
        for method in methods
    ]
    path = report.write(Report("Many", pictures=tuple(pictures)), tmp_path / "page.html")
    assert 1_000_000 < path.stat().st_size < 10_000_000


@pytest.mark.parametrize("limit", [5_000, 8_000, 20_000])
def test_a_thumbnail_keeps_to_its_limit(noisy, limit):
    data = report.thumbnail(noisy, limit)
    assert len(data) <= limit
    with Image.open(io.BytesIO(data)) as opened:
        assert max(opened.size) >= 96


def test_a_thumbnail_is_as_large_as_its_limit_allows_but_not_enlarged(noisy):
    with Image.open(io.BytesIO(report.thumbnail(noisy, 200_000))) as opened:
        assert opened.size == (320, 320)
    with Image.open(io.BytesIO(image(size=(40, 30)))) as opened:
        assert opened.size == (40, 30)


def test_limits_fall_with_the_number_of_pictures():
    limits = [report.byte_limit(count) for count in (0, 1, 100, 800, 100_000)]
    assert limits == sorted(limits, reverse=True)
    assert limits[0] == limits[1] == 40_000
    assert limits[-1] == 2_000


def test_a_large_figure_is_made_smaller_and_a_small_one_left_alone(noisy):
    small = records.encoded(Image.new("RGB", (50, 50)))
    assert report.compact(small) == small
    large = records.encoded(noisy.resize((3000, 1000)))
    found = report.compact(large)
    assert len(found) < len(large) / 2
    with Image.open(io.BytesIO(found)) as opened:
        assert opened.size == (2400, 800)


def test_mistakes_are_named(monkeypatch):
    with pytest.raises(ShapeError, match="a row of 1 cells in a table of 2 columns"):
        Table(("a", "b"), ((Cell("1"),),))
    with pytest.raises(OptionError, match="PNG, JPEG or WebP"):
        report.render(Report("t", figures=(Figure(b"GIF89a"),)))
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingPackageError, match=r"pip install equipoise\[evaluate\]"):
        report.render(Report("t"))


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as started:
        yield started


def test_it_works_offline_in_a_browser(page, tmp_path, chromium):
    path = report.write(page, tmp_path / "page.html")
    context = chromium.new_context(offline=True)
    asked, complaints = browser.note_requests(context), []
    tab = context.new_page()
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(path.as_uri())
    shown = tab.locator("#pictures > li:visible")
    assert shown.count() == 3
    tab.get_by_label("class").select_option("cat")
    assert shown.count() == 2
    tab.get_by_label("method").select_option("eb")
    assert shown.locator("figcaption").all_text_contents() == ["cat by eb"]
    assert tab.locator("#count").text_content() == "1 of 3 pictures"
    tab.get_by_label("class").press("Home")  # by keyboard back to all
    tab.get_by_label("method").press("Home")
    assert shown.count() == 3

    def order():
        return tab.locator("tbody tr td:first-child").all_text_contents()

    tab.get_by_role("button", name="score").click()
    assert order() == ["ae", "lrp", "eb", "rap"]  # numbers by size, words last
    tab.get_by_role("button", name="score").press("Enter")
    assert order() == ["rap", "eb", "lrp", "ae"]
    assert tab.locator("th[aria-sort=descending]").text_content() == "score"
    tab.get_by_role("button", name="method").click()
    assert order() == ["ae", "eb", "lrp", "rap"]
    widths = tab.evaluate("[...document.images].map(one => one.complete && one.naturalWidth)")
    assert all(widths)
    assert tab.evaluate("getComputedStyle(document.body).fontFamily").startswith("system-ui")  # the style applies
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()


@pytest.mark.parametrize("first", [False, True])
def test_pictures_may_stand_before_tables(page, first):
    text = report.render(replace(page, pictures_first=first))
    order = [text.index(f'id="{name}"') for name in ("gallery", "tables", "figures")]
    assert (order[0] < min(order[1:])) == first
    assert order[1] < order[2]
    Page(text)  # is well nested


def test_on_a_phone_the_first_column_stays_in_view(tmp_path, chromium):
    cells = tuple(Cell(f"{index}.000", float(index)) for index in range(30))
    wide = Report("Wide", tables=(Table(("photo", *map(str, range(30))), ((Cell("a name " * 9), *cells),)),))
    path = report.write(wide, tmp_path / "page.html")
    context = chromium.new_context(viewport={"width": 360, "height": 640})
    tab = context.new_page()
    tab.goto(path.as_uri())
    for part in ("th", "td"):
        cell = tab.locator(f"{part}:first-child")
        before = cell.bounding_box()
        tab.locator(".scroll").evaluate("one => { one.scrollLeft = 0 }")
        assert cell.bounding_box() == before
        tab.locator(".scroll").evaluate("one => { one.scrollLeft = 900 }")
        assert cell.bounding_box() == before  # it has not moved
        assert before["width"] < 180  # and leaves room for the others
        assert tab.evaluate("one => getComputedStyle(one).backgroundColor", cell.element_handle()) != "rgba(0, 0, 0, 0)"
    context.close()


def test_it_fits_a_phone_and_follows_the_dark(page, tmp_path, chromium):
    path = report.write(page, tmp_path / "page.html")
    context = chromium.new_context(viewport={"width": 360, "height": 640}, color_scheme="dark")
    tab = context.new_page()
    tab.goto(path.as_uri())
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    context.close()


DOCUMENT = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")


def test_the_documents_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    exec(compile(code, "report.md", "exec"), {})  # noqa: S102  # that is the test
    assert "<strong>0.50</strong>" in (tmp_path / "mine.html").read_text(encoding="utf-8")


def test_the_documents_commands_parse():
    (block,) = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
    for line in block.splitlines():
        assert callable(parse(shlex.split(line, comments=True)[1:]))
    assert callable(parse(["reproduce", "table1", "--no-photos"]))


def test_on_a_phone_no_word_of_a_table_is_broken_and_its_caption_is_in_view(tmp_path, chromium):
    names = ("AE", "Grad-CAM, middle layer", "Guided Backprop", "Relevance-CAM", "Attribution Equilibrium")
    rows = tuple((Cell(name), *(Cell("0.985 [0.980, 0.989]") for _ in range(4))) for name in names)
    said = "244 photos; n: images behind a number, one per column where they differ; [low, high]: 95 % intervals."
    table = Table(("method", "GridPG", "GridPG top-k", "PR", "energy"), rows, caption=said)
    path = report.write(Report("Fig. 9", tables=(table,)), tmp_path / "page.html")
    context = chromium.new_context(viewport={"width": 390, "height": 800})
    tab = context.new_page()
    tab.goto(path.as_uri())
    assert tab.locator(".scroll").first.evaluate("one => one.scrollWidth > one.clientWidth")
    box = tab.locator("caption div").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    line = tab.locator("tbody td:first-child").first.bounding_box()["height"]
    for name, cell in zip(names, tab.locator("tbody td:first-child").all(), strict=True):
        assert cell.bounding_box()["height"] <= line * len(re.split("[ -]", name)), name
    tab.locator(".scroll").first.evaluate("one => one.scrollLeft = 200")
    assert tab.locator("caption div").bounding_box()["x"] >= 0
    context.close()
