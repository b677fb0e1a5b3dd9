"""Put finished runs into docs/results: their tables as they are, their figures small.

    python tools/results.py RUNS

RUNS holds a folder per run, as ``equipoise reproduce ... --no-photos --output RUNS/NAME`` leaves it; without
``--no-photos`` the figures show photos of the data sets, which do not belong into the repository.
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

from PIL import Image

from equipoise import records

TARGET = Path(__file__).parents[1] / "docs" / "results"
WIDEST, TALLEST = 1100, 1500  # pixels


def small(picture: Path) -> bytes:
    """The figure in its own colors, shrunk to fit."""
    image = Image.open(picture).convert("RGB")
    image.thumbnail((WIDEST, TALLEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def name(picture: Path) -> str:
    """The figure's name here: begins with its run's."""
    recipe = picture.parent.name.partition("-")[0]
    return f"{picture.parent.name}{picture.stem.removeprefix(recipe)}.png"


def page(run: Path) -> str:
    """The run's table, what it was measured with, and its figures."""
    record = json.loads((run / "run.json").read_text(encoding="utf-8"))
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items() if version)
    figures = "\n\n".join(f"![{name(path)}]({name(path)})" for path in sorted(run.glob("*.png")))
    measured = f"Measured with {versions}, on the CPU. Protocol: `{record['protocol']}`."
    text = (run / "table.md").read_text(encoding="utf-8").rstrip()
    return "\n\n".join(part for part in (text, figures, measured) if part) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    runs = sorted(path.parent for path in parser.parse_args().runs.glob("*/table.md"))
    TARGET.mkdir(parents=True, exist_ok=True)
    for run in runs:
        records.write_atomically(TARGET / f"{run.name}.md", page(run).encode())
        for picture in sorted(run.glob("*.png")):
            records.write_atomically(TARGET / name(picture), small(picture))
        print(run.name)


if __name__ == "__main__":
    main()
