"""Install a wheel into a clean environment that has torch alone, and see what it does there.

    python tools/check_wheel.py dist/equipoise-*.whl

What it requires is linked from the environment that runs this, so nothing is downloaded. With torch alone
``import equipoise`` and `equipoise.attribute` work, and every command says in one line which extra it lacks; with each
extra alone, what that one is for works.
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
from importlib.metadata import Distribution
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
DEVELOPERS = {"all", "test", "docs", "dev", "release"}
"""Extras of those who work on equipoise, and the sum of all others, which `make test` tries."""

NET = (
    "import torch, equipoise; from torch import nn;"
    "net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval();"
    "x = torch.rand(1, 3, 8, 8);"
)
CLI = "from equipoise.cli import main\ndef run(text):\n    status = main(text.split())\n    assert status == 0, text\n"
PHOTO = (
    "from PIL import Image; import os; os.makedirs('photos'); Image.new('RGB', (64, 48), 'teal').save('photos/a.png');"
)
PROBES = {
    "models": "import equipoise; _, spec = equipoise.load_model('efficientnet_lite0'); spec.name",
    "images": NET + "from equipoise import viz; assert viz.__doc__; import matplotlib, PIL",
    "cli": CLI + PHOTO + "run('explain photos --method gradient --output out')",
    "demo": "from equipoise.samples import sample_path; assert sample_path('coffee.png').is_file()",
    "captum": NET + "equipoise.attribute(net, x, method='kernel_shap')",
    "evaluate": CLI
    + "run('list recipes'); import equipoise.metrics as m, torch; m.positive_ratio(torch.rand(1, 4, 4))",
    "coco": CLI + "run('list datasets'); from pycocotools import mask",
    "imagenet-segmentation": CLI + "run('list datasets'); import h5py",
    "dataset": CLI + PHOTO + "run('attribute photos --method gradient --output out')",
    "ray": CLI + PHOTO + "from equipoise.executors import on_ray; import ray",
    "streams": "from equipoise.attributions import sources; import datasets",
    "app": "from equipoise.app import page, scenes; from equipoise.app.views import scenes",
    "hf": "import equipoise, transformers; from equipoise.models import from_huggingface",
    "medical": "import pydicom, nibabel; from equipoise import arrays",
    "onnx": "import onnx, onnx2torch; from equipoise.models import programs",
}
"""Of each extra, code that needs what it brings and nothing more."""

USE = (
    "import torch, equipoise; from torch import nn;"
    "net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten());"
    "found = equipoise.attribute(net.eval(), torch.rand(1, 3, 8, 8)); assert found.shape == (1, 3, 8, 8);"
    "print(equipoise.__version__)"
)


def required(name: str, seen: set[str], extras: frozenset[str] = frozenset()) -> Iterator[Distribution]:
    """An installed distribution and all that it requires, each once."""
    key = f"{name.lower()}[{','.join(sorted(extras))}]"
    if key in seen:
        return
    seen.add(key)
    found = importlib.metadata.distribution(name)
    yield found
    for one in wanted(found, extras):
        yield from required(one.name, seen, frozenset(one.extras))


def wanted(of: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    """What a distribution requires, with some of its extras."""
    for one in map(Requirement, of.requires or []):
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            yield one


def link(into: Path, ours: Distribution, extras: frozenset[str]) -> None:
    """Put what the wheel requires into a ``site-packages`` as links; the wheel's own extras name one another."""
    seen = {"equipoise[]"}
    waiting = [*wanted(ours, frozenset()), *wanted(ours, extras)] if extras else list(wanted(ours, extras))
    while waiting:
        one = waiting.pop()
        if one.name == "equipoise":
            waiting += wanted(ours, frozenset(one.extras))
            continue
        for found in required(one.name, seen, frozenset(one.extras)):
            for file in found.files or []:
                top = file.parts[0]
                if top not in {"..", "__pycache__"} and not (into / top).exists():
                    (into / top).symlink_to(Path(str(found.locate_file(top))).resolve())


class Place:
    """An environment that has the wheel, and what some of its extras bring."""

    def __init__(self, wheel: Path, folder: Path, extra: str = "") -> None:
        venv.create(folder, with_pip=False, symlinks=True)
        (site,) = folder.glob("lib/python*/site-packages")
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
        subprocess.run(install, check=True)  # noqa: S603  # our own wheel
        (ours,) = importlib.metadata.distributions(name="equipoise", path=[str(site)])
        self.extras = [one for one in ours.metadata.get_all("Provides-Extra", []) if one not in DEVELOPERS]
        link(site, ours, frozenset({extra} if extra else ()))
        self.folder = folder

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Python there."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        command = [str(self.folder / "bin" / "python"), "-W", "ignore", *arguments]
        return subprocess.run(  # noqa: S603  # our own
            command, capture_output=True, text=True, check=False, env=environment, cwd=self.folder
        )


def check(wheel: Path, folder: Path) -> list[str]:
    """With torch alone; the extras that there are."""
    place = Place(wheel, folder)
    used = place.run("-c", USE)
    assert used.returncode == 0, used.stderr
    print(f"equipoise {used.stdout.strip()} with torch alone: attribute works")
    for words in COMMANDS:
        done = place.run("-m", "equipoise", *words.split())
        assert done.returncode == 2, (words, done)
        assert done.stderr.count("\n") == 1, (words, done.stderr)
        assert "pip install 'equipoise[" in done.stderr, (words, done.stderr)
        print(f"equipoise {words}: {done.stderr.strip()}")
    return place.extras


def check_extra(wheel: Path, folder: Path, extra: str) -> None:
    """With one extra alone: what it is for works."""
    place = Place(wheel, folder, extra)
    done = place.run("-c", PROBES[extra])
    assert done.returncode == 0, (extra, done.stderr)
    print(f"equipoise[{extra}] alone: what it is for works")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--extra", action="append", help="these alone; default: all")
    options = parser.parse_args()
    wheel = options.wheel.resolve()
    with tempfile.TemporaryDirectory() as folder:
        extras = check(wheel, Path(folder) / "clean")
        assert set(extras) == set(PROBES), set(extras) ^ set(PROBES)
        for extra in options.extra or extras:
            check_extra(wheel, Path(folder) / extra, extra)


if __name__ == "__main__":
    main()
