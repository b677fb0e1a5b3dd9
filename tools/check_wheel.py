"""Install a wheel into a clean environment that has torch alone, and see what it does there.

    python tools/check_wheel.py dist/equipoise-*.whl

torch and what it requires are linked from the environment that runs this, so nothing is downloaded. There
``import equipoise`` and `equipoise.attribute` work, and every command says in one line which extra it lacks.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

COMMANDS = (
    "--help",
    "explain a.jpg",
    "reproduce table1",
    "list methods",
    "attribute a --output b",
    "merge a --output b",
    "serve",
    "describe a.pth",
)
USE = (
    "import torch, equipoise; from torch import nn;"
    "net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten());"
    "found = equipoise.attribute(net.eval(), torch.rand(1, 3, 8, 8)); assert found.shape == (1, 3, 8, 8);"
    "print(equipoise.__version__)"
)


def required(name: str, seen: set[str]) -> Iterator[importlib.metadata.Distribution]:
    """An installed distribution and all that it requires, each once."""
    if name.lower() in seen:
        return
    seen.add(name.lower())
    found = importlib.metadata.distribution(name)
    yield found
    for text in found.requires or []:
        one = Requirement(text)
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            yield from required(one.name, seen)


def link(into: Path) -> None:
    """Put torch and what it requires into a ``site-packages`` as links."""
    for one in required("torch", set()):
        for file in one.files or []:
            top = file.parts[0]
            if top not in {"..", "__pycache__"} and not (into / top).exists():
                (into / top).symlink_to(Path(str(one.locate_file(top))).resolve())


def check(wheel: Path, folder: Path) -> None:
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    link(site)
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True)  # noqa: S603  # our own wheel
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(folder / "bin" / "python"), "-W", "ignore", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)  # noqa: S603

    used = run("-c", USE)
    assert used.returncode == 0, used.stderr
    print(f"equipoise {used.stdout.strip()} with torch alone: attribute works")
    for words in COMMANDS:
        done = run("-m", "equipoise", *words.split())
        assert done.returncode == 2, (words, done)
        assert done.stderr.count("\n") == 1, (words, done.stderr)
        assert "pip install 'equipoise[" in done.stderr, (words, done.stderr)
        print(f"equipoise {words}: {done.stderr.strip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    wheel = parser.parse_args().wheel.resolve()
    with tempfile.TemporaryDirectory() as folder:
        check(wheel, Path(folder) / "clean")


if __name__ == "__main__":
    main()
