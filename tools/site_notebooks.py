"""The notebooks of docs/notebooks as pages of the site, with what they show."""

from __future__ import annotations

import os
import re
from pathlib import Path

os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
import nbformat  # after what it reads
from nbconvert import MarkdownExporter  # after what it reads

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
COLAB = "https://colab.research.google.com/github/{repository}/blob/main/docs/notebooks/{name}"
GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?$")


def links(name: str, repo_url: str | None) -> str:
    """Where the notebook is: the file, and Colab once the site says which repository it is of (``repo_url``)."""
    found = GITHUB.match(repo_url or "")
    colab = f" · [Open in Colab]({COLAB.format(repository=found[1], name=name)})" if found else ""
    return f"[The notebook itself]({name}){colab}"


def page(path: Path, repo_url: str | None = None) -> tuple[str, dict[str, bytes]]:
    """A notebook's page, and its pictures by name."""
    notebook = nbformat.read(path, as_version=4)
    text, resources = MarkdownExporter().from_notebook_node(notebook)
    pictures = {f"{path.stem}-{name}": content for name, content in resources["outputs"].items()}
    text = re.sub(r"!\[\w+\]\((output_[\w.]+)\)", rf"![what the cell above shows]({path.stem}-\1)", text)
    title, _, rest = text.strip().partition("\n")
    return f"{title}\n\n{links(path.name, repo_url)}\n{rest}\n", pictures


def pages(repo_url: str | None = None) -> dict[str, str | bytes]:
    """Every notebook's page and pictures, by their place in the site."""
    found: dict[str, str | bytes] = {}
    for path in sorted(FOLDER.glob("*.ipynb")):
        text, pictures = page(path, repo_url)
        found[f"notebooks/{path.stem}.md"] = text
        found |= {f"notebooks/{name}": content for name, content in pictures.items()}
    return found
