"""Install the lowest versions that pyproject permits, extra by extra, and see whether what each is for works.

    python tools/check_lowest.py [--python 3.11] [EXTRA ...]

What equipoise itself asks for is the lowest that `pyproject.toml` names; what those require is what a plain install
gives. The highest versions are those of every plain install, with which `make test` runs. Needs uv (the extra
``release``), and gigabytes for torch, which uv keeps; each environment is gone once it was tried.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from check_wheel import DEVELOPERS, PROBES, USE
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "cli": (
        "--help", "explain --help", "list methods", "list models efficientnet",
        "explain seen --method gradient,ae --json",
        "explain seen --format pdf --target top2",
    ),
    "demo": ("explain given",),
    "evaluate": (
        "list recipes", "list datasets", "reproduce scenes --limit 1 --method ae,gradient,rise",
        "explain seen --report why.html",
    ),
    "dataset": ("attribute seen --method gradient --output maps",),
}  # fmt: skip
"""Of each extra, commands that work where it is, alone or within another."""

SCRIPTS = {
    "cli": "from PIL import Image; import os; os.mkdir('seen'); Image.new('RGB', (64, 48), 'teal').save('seen/a.png')",
    "demo": "from equipoise.samples import main; main(['given'])",
    "app": (
        "from urllib.request import urlopen; from equipoise.app.server import start;"
        "served = start(['efficientnet_lite0']); text = urlopen(served.address).read(); served.close();"
        "assert b'equipoise' in text"
    ),
    "captum": "import equipoise\n"
    + "".join(f"equipoise.METHODS[{name!r}]\n" for name in ("deep_lift", "gradient_shap", "lime")),
}
"""Of some extras, code beside that of `check_wheel`."""


def extras() -> dict[str, list[Requirement]]:
    """What each extra asks for, those of developers aside."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return {name: [Requirement(one) for one in asked] for name, asked in told.items() if name not in DEVELOPERS}


def within(extra: str) -> set[str]:
    """An extra and those that it holds."""
    found = {extra}
    for one in extras()[extra]:
        if one.name == "equipoise":
            found |= {name for inner in one.extras for name in within(inner)}
    return found


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "uv", "pip", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # the tool's own


def steps(extra: str) -> Iterator[list[str]]:
    """What is run in the environment of an extra."""
    yield ["-c", USE]
    if extra:
        yield ["-c", PROBES[extra]]
        yield from (["-c", SCRIPTS[one]] for one in SCRIPTS if one in within(extra))
        for one in (one for one in COMMANDS if one in within(extra)):
            yield from (["-m", "equipoise", *command.split()] for command in COMMANDS[one])


def check(extra: str, python: str, folder: Path) -> list[str]:
    """Try an extra, ``""`` for none; what went wrong."""
    made = subprocess.run(  # noqa: S603  # the tool's own
        [sys.executable, "-m", "uv", "venv", "--quiet", "--python", python, str(folder / "venv")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    inside = folder / "venv" / "bin" / "python"
    what = f"{ROOT}[{extra}]" if extra else str(ROOT)
    done = uv("install", "--quiet", "--python", str(inside), "--resolution", "lowest-direct", what)
    if made.returncode or done.returncode:
        return [f"cannot be installed: {(made.stderr or done.stderr).strip()}"]
    listed = uv("list", "--python", str(inside), "--format", "freeze").stdout.split()
    named = {one.name.lower() for name in (within(extra) if extra else ()) for one in extras()[name]} | {"torch"}
    print(f"{extra or 'torch alone'}: {' '.join(one for one in listed if one.partition('==')[0] in named)}", flush=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    problems = []
    for arguments in steps(extra):
        ran = subprocess.run(  # noqa: S603  # the tool's own
            [str(inside), *arguments], capture_output=True, text=True, check=False, cwd=folder, env=environment
        )
        if ran.returncode:
            problems.append(f"{' '.join(arguments)}: {ran.stderr.strip()}")
    return problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extra", nargs="*", help="these alone; default: none and then each")
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    options = parser.parse_args()
    wrong = 0
    for extra in options.extra or ["", *extras()]:
        with tempfile.TemporaryDirectory() as folder:
            problems = check(extra, options.python, Path(folder))
        for one in problems:
            print(f"{extra or 'torch alone'}: {one}", flush=True)
        wrong += bool(problems)
    sys.exit(f"{wrong} with problems" if wrong else 0)


if __name__ == "__main__":
    main()
