"""Run the notebooks of docs/notebooks and keep what they show: python tools/notebooks.py [NAME ...]

Each runs in a kernel and a folder of its own. What is no result is left out: counters of earlier runs, times, warnings,
the kernel's version.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

from equipoise.records import write_atomically

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
KEPT = ("text/plain", "image/png", "image/jpeg")
WIDE, LARGE = 900, 60_000
"""Pictures are kept no wider than this, in pixels, and as JPEG where they have more bytes than this as PNG."""
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def smaller(data: dict[str, str]) -> dict[str, str]:
    """A result with its picture, if there is one, as small as it is kept."""
    if "image/png" not in data:
        return data
    picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
    picture.thumbnail((WIDE, WIDE), Image.Resampling.LANCZOS)
    for kind, options in (("PNG", {}), ("JPEG", {"quality": 85})):
        held = io.BytesIO()
        picture.save(held, kind, optimize=True, **options)
        found = {"text/plain": "<picture>", f"image/{kind.lower()}": base64.b64encode(held.getvalue()).decode()}
        if len(held.getvalue()) <= LARGE:
            break
    return found


def cleaned(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook with its results alone."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", {}
        if cell.cell_type != "code":
            continue
        cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
        for one in cell.outputs:
            if "data" in one:
                one.metadata = {}
                one.data = smaller({kind: value for kind, value in one.data.items() if kind in KEPT})
    return notebook


def run(path: Path) -> bytes:
    """A notebook after it has run, as JSON.

    Raises:
        nbclient.exceptions.CellExecutionError: If a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": folder}}).execute()
    return (nbformat.writes(cleaned(notebook)) + "\n").encode()


def main(names: list[str]) -> None:
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not names or path.stem in names:
            content = run(path)
            write_atomically(path, content)
            print(path.stem, f"{len(content) / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
