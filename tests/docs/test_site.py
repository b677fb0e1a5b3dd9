"""The documentation site: built strictly, whole, readable from a folder without a network."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from browser import chromium, note_requests

pytest.importorskip("mkdocs", reason="no documentation site: pip install 'equipoise[docs]'")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import site_api  # noqa: E402  # found through the path set above
import site_bibliography  # noqa: E402
import site_docstrings  # noqa: E402
import site_files  # noqa: E402
import site_llms  # noqa: E402
import site_notebooks  # noqa: E402

sys.path.remove(str(ROOT / "tools"))

SURFACE = json.loads((ROOT / "tests" / "public_surface.json").read_text(encoding="utf-8"))


class Page(HTMLParser):
    """What a page has (ids) and what it asks for (addresses)."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loaded = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids |= {found["id"]} if "id" in found else set()
        if tag == "a":
            self.links.append(found.get("href") or "")
        elif tag in {"script", "link", "img", "iframe"}:
            self.loaded.append(found.get("src") or found.get("href") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    here = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=here, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_public_name_is_documented(site):
    assert site_api.undocumented() == []
    for package, names in SURFACE.items():
        page = Page(site / "api" / f"{package}.html")
        for name in names:
            own = f"{package}.{name}" in page.ids
            assert own or any(link.endswith((f".{name}", f".{name}.html")) for link in page.links), (package, name)


def test_a_missing_docstring_is_found(monkeypatch):
    found = site_api.thing("equipoise.attribute")
    monkeypatch.setattr(found, "docstring", None)
    method = site_api.thing("equipoise.Explanation").members["save"]
    monkeypatch.setattr(method, "docstring", None)
    assert site_api.undocumented() == ["equipoise.Explanation.save", "equipoise.attribute"]


def test_nothing_is_asked_of_another_host_and_every_link_leads_somewhere(site):
    pages = {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 90
    for path, page in pages.items():
        assert not [one for one in page.loaded if re.match(r"(https?:)?//", one)], path
        for link in page.links + page.loaded:
            address, _, anchor = link.partition("#")
            if re.match(r"\w+:", link):
                continue
            there = (path.parent / address).resolve() if address else path
            assert there.exists(), (path, link)
            if anchor and there.suffix == ".html":
                assert anchor in pages[there].ids, (path, link)


def test_mathematics_is_drawn(site):
    text = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.html"))
    assert 'class="arithmatex"' not in text
    assert ":math:" not in text
    assert text.count('display="block"') > 30


@pytest.mark.parametrize("latex", [r"\arg\max_m y", r"a &= b", r"\begin{aligned} a &= b \end{aligned}", r"\wrong x"])
def test_mathematics_that_cannot_be_drawn_is_not_shown_as_it_is_written(latex):
    site_hooks = pytest.importorskip("site_hooks", reason="the site's packages are not installed")
    with pytest.raises(ValueError, match="is not known"):
        site_hooks.mathematics(latex, block=True)
    assert "<math" in site_hooks.mathematics(r"\mathrm{arg}\,\max_m \hat\beta", block=False)


def test_search_works_from_a_folder_in_a_browser(site):
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        asked = note_requests(context)
        page = context.new_page()
        page.goto(f"file://{site}/index.html")
        page.locator(".md-search__input").click()
        page.locator(".md-search__input").press_sequentially("excitation backprop")
        page.locator(".md-search-result__item").first.wait_for(state="attached")
        assert "matching documents" in page.locator(".md-search-result__meta").inner_text()
        page.set_viewport_size({"width": 390, "height": 844})
        for name in ("index", "methods/ae", "api/equipoise", "metrics"):
            page.goto(f"file://{site}/{name}.html")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        assert [one for one in asked if not one.startswith(("file:", "data:", "about:", "blob:"))] == []


def test_llms_txt_is_true(site):
    text = (site / "llms.txt").read_text(encoding="utf-8")
    from equipoise.methods import METHODS

    assert f"and others, {len(METHODS)} methods" in " ".join(text.replace("\n> ", " ").split())
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert all((site / link).exists() for link in links)
    listed = {link for link in links if link.endswith(".html")}
    built = {path.relative_to(site).as_posix() for path in site.rglob("*.html")} - {"404.html"}
    assert {one for one in built - listed if not one.startswith("repository/")} == set()
    whole = (site / "llms-full.txt").read_text(encoding="utf-8")
    assert all(f"<!-- {link} -->" in whole for link in listed)


def test_the_first_sentence_is_a_summary():
    text = "# T\n\n```sh\nx\n```\n\n| a |\n|---|\n\nSee [this](x.md) first. And then.\n\nMore."
    assert site_llms.summary(text) == "See this first."


def test_links_out_of_the_docs_lead_to_pages_of_the_site():
    docs = ROOT / "docs"
    text = "[a](../examples/resnet18.py#x) [b](methods/ae.md) [c](https://x.org)\n```\n[d](../README.md)\n```\n"
    moved = site_files.relinked(text, docs, "index.md")
    assert moved.startswith("[a](repository/examples/resnet18.py.md#x) [b](methods/ae.md) [c](https://x.org)")
    assert "[d](../README.md)" in moved
    assert site_files.linked(text, docs) == {ROOT / "examples" / "resnet18.py"}


def test_mathematics_of_docstrings():
    text = "A.\n\n    .. math:: a\n        b\n\n    See :math:`x_1`."
    lines = site_docstrings.markdown(text).split("\n")
    assert [line for line in lines if line] == ["A.", "    ```math", "    a", "    b", "    ```", "    See $x_1$."]


def test_the_bibliography_has_every_citation():
    cited = set()
    for page in (ROOT / "docs" / "methods").glob("*.md"):
        cited |= set(re.findall(r"\]\((https:[^)\s]+)\)", page.read_text(encoding="utf-8").partition("## Citation")[2]))
    assert cited == set(site_bibliography.by_link())


def test_a_notebook_is_a_page_with_its_pictures():
    path = ROOT / "docs" / "notebooks" / "quick-tour.ipynb"
    text, pictures = site_notebooks.page(path)
    assert text.startswith("# Quick tour\n\n[The notebook itself](quick-tour.ipynb)\n")
    assert pictures
    assert all(f"]({name})" in text for name in pictures)
    assert "colab.research.google.com/github/me/mine/blob" in site_notebooks.page(path, "https://github.com/me/mine")[0]


def test_versions_differ_from_the_folder_by_little():
    config = yaml.safe_load((ROOT / "mkdocs.versions.yml").read_text(encoding="utf-8"))
    assert config["INHERIT"] == "mkdocs.yml"
    assert config["extra"]["version"]["provider"] == "mike"


def test_ci_builds_the_site():
    assert re.search(r"^make docs$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
