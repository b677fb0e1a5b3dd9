"""What ``mkdocs.yml`` hooks into the build: pages that are made, links out of ``docs``, mathematics, ``llms.txt``."""

from __future__ import annotations

import re
import sys
from html import unescape
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import site_api
import site_bibliography
import site_files
import site_llms
import site_notebooks
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation, Section
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
log = get_plugin_logger("equipoise")
texts: dict[str, str] = {}
"""Of each page the Markdown that was built, for ``llms.txt``."""
sections: list[tuple[str, list[str]]] = []


def fill(nav: list[Any], title: str, pages: list[str]) -> None:
    """Put pages into the section of a navigation that has a title."""
    for entry in nav:
        if isinstance(entry, dict):
            for name, below in entry.items():
                if name == title:
                    entry[name] = [*(below or []), *pages]
                elif isinstance(below, list):
                    fill(below, title, pages)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Name the pages that there are because a registry or a list says so."""
    methods = sorted(path for path in (DOCS / "methods").glob("*.md") if path.stem not in {"README", "families", "ae"})
    fill(config.nav, "A page each", [f"methods/{path.name}" for path in methods])
    fill(config.nav, "API", [place for place in site_api.pages() if place != "api/index.md"])
    texts.clear()
    sections.clear()
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the API reference, the notebooks and the files outside ``docs`` that pages lead to."""
    for name in site_api.undocumented():
        log.warning("%s is public and has no docstring", name)
    wanted = site_files.all_linked() | {ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"}
    repository = site_files.pages(wanted)
    for place, content in site_notebooks.pages(config.repo_url).items():
        files.append(File.generated(config, place, content=content))
    for place, text in (site_api.pages() | repository).items():
        made = File.generated(config, place, content=text)
        if place in repository and "repository/C" not in place:
            made.inclusion = type(made.inclusion).NOT_IN_NAV
        files.append(made)
    return files


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """Remember the sections for ``llms.txt``."""
    del config, files
    for item in nav.items:
        if isinstance(item, Section):
            sections.append((item.title, [page.file.src_uri for page in below(item)]))
        elif isinstance(item, Page):
            sections.append((item.title, [item.file.src_uri]))
    return nav


def below(section: Section) -> list[Page]:
    """The pages of a section and of its sections."""
    found: list[Page] = []
    for item in section.children:
        found += below(item) if isinstance(item, Section) else [item] if isinstance(item, Page) else []
    return found


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links out of ``docs`` to the site's own pages, and fill in the bibliography."""
    del config, files
    place = page.file.src_uri
    if page.file.abs_src_path is not None and page.file.generated_by is None:
        markdown = site_files.relinked(markdown, Path(page.file.abs_src_path).parent, place)
    markdown = site_bibliography.filled(markdown)
    texts[place] = markdown
    return markdown


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Draw the mathematics: MathML, which a browser shows by itself."""
    del config, files

    def drawn(found: re.Match[str]) -> str:
        block = found[1] == "div"
        latex = re.sub(r"^\\[(\[]|\\[)\]]$", "", unescape(found[2]).strip()).strip()
        try:
            return f"<{found[1]} data-search-exclude>{mathematics(latex, block=block)}</{found[1]}>"
        except Exception as error:  # noqa: BLE001  # whatever it is, the build fails with the page's name
            log.warning("%s: cannot draw %r: %r", page.file.src_uri, latex, error)
            return found[0]

    return re.sub(r'<(span|div) class="arithmatex">(.*?)</\1>', drawn, html, flags=re.DOTALL)


def mathematics(latex: str, *, block: bool) -> str:
    """LaTeX as MathML.

    Raises:
        ValueError: If something in it would be shown as it is written.
    """
    made = convert(latex, display="block" if block else "inline")
    if unknown := re.search(r"<m\w+>(\\\w+|&)</", made):
        raise ValueError(f"{unknown[1]} is not known")
    return made


def on_post_build(config: MkDocsConfig) -> None:
    """Write ``llms.txt`` and ``llms-full.txt`` beside the pages."""
    from equipoise.methods import METHODS  # noqa: PLC0415  # torch, which no other step needs

    def entry(place: str) -> tuple[str, str, str]:
        title = re.search(r"^# (.+)$", texts[place], re.MULTILINE)
        address = place.replace("README.md", "index.md").removesuffix(".md") + ".html"
        return title[1] if title else place, address, texts[place]

    listed = [(section, [entry(place) for place in places]) for section, places in sections]
    site = Path(config.site_dir)
    (site / "llms.txt").write_text(site_llms.llms_txt(listed, len(METHODS)), encoding="utf-8")
    whole = [(address, text) for _, pages in listed for _, address, text in pages]
    (site / "llms-full.txt").write_text(site_llms.llms_full_txt(whole), encoding="utf-8")
