"""The pages on how to add something: their files are written, their tests pass, their commands run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import colors
import equipoise

FOLDER = Path(__file__).parents[2] / "docs" / "extending"
PAGES = sorted(FOLDER.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_works_as_it_stands(page, tmp_path):
    """In a folder and a process of its own, where what a page registers stays."""
    text = page.read_text(encoding="utf-8")
    files = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL)
    assert len(files) == text.count("```python")
    for name, code in files:
        (tmp_path / name).write_text(code, encoding="utf-8")
    colors.write_world(tmp_path / "photos", count=2)
    (tests,) = [name for name, _ in files if name.startswith("test_")]
    commands = [["-m", "pytest", "-q", "-p", "no:cacheprovider", tests]]
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        commands += [["-m", *shlex.split(line)] for line in block.splitlines()]
    here = os.environ | {"PYTHONPATH": str(Path(equipoise.__file__).parents[1])}
    for command in commands:
        started = [sys.executable, *command]
        done = subprocess.run(started, capture_output=True, text=True, cwd=tmp_path, env=here, check=False)  # noqa: S603
        assert done.returncode == 0, done.stdout + done.stderr
