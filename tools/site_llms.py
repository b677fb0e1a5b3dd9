"""``llms.txt``: the site in one short text, for language models; and ``llms-full.txt``, all pages in one."""

from __future__ import annotations

import re
from collections.abc import Iterable

HEAD = """# equipoise

> What did the network see? A Python library, command line and local web page that explains one class score of a
> convolutional network: Attribution Equilibrium (Nam & Lee, IEEE T-PAMI 2024) and others, {methods} methods behind
> one call.

`equipoise.explain(photo, model, method, target=...)` explains a file; `equipoise.attribute(model, inputs, target,
method=...)` explains tensors; `equipoise.heatmap` makes maps of one channel. `equipoise explain photo.jpg` does it on
the command line. All pages in one text: [llms-full.txt](llms-full.txt).
"""


def summary(text: str) -> str:
    """The first paragraph of a page, on one line: no title, table, picture or code."""
    bare = re.sub(r"```.*?```|<!--.*?-->", "", text, flags=re.DOTALL)
    for paragraph in re.split(r"\n\s*\n", bare):
        line = " ".join(paragraph.split())
        only_links = not re.sub(r"\[[^\]]*\]\([^)]*\)|·|\s", "", line)
        if not only_links and not re.match(r"[#|!<:*-]", line):
            plain = re.sub(r"!?\[([^\]]*)\](\([^)]*\)|\[[^\]]*\])", r"\1", line)
            return re.split(r"(?<=[.?!:]) (?=[A-Z`])", plain)[0].rstrip(":")
    return ""


def llms_txt(sections: Iterable[tuple[str, Iterable[tuple[str, str, str]]]], methods: int) -> str:
    """The text: of each section of the navigation its pages, as title, address and Markdown."""
    lines = [HEAD.format(methods=methods)]
    for section, pages in sections:
        lines += [f"## {section}", ""]
        for title, address, text in pages:
            said = summary(text)
            lines.append(f"- [{title}]({address})" + (f": {said}" if said else ""))
        lines.append("")
    return "\n".join(lines)


def llms_full_txt(pages: Iterable[tuple[str, str]]) -> str:
    """Every page's Markdown after its address."""
    return "\n\n".join(f"<!-- {address} -->\n\n{text.strip()}" for address, text in pages) + "\n"
