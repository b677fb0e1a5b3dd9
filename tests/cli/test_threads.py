"""Threads of a command wait without spinning, unless the user says otherwise; the library leaves the process alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import equipoise

# Says what the variable is at the moment when torch is looked for.
SEEN = """
import importlib.abc, os, sys

class Look(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("torch sees", os.environ.get("OMP_WAIT_POLICY"), file=sys.stderr)
            sys.meta_path.remove(self)

sys.meta_path.insert(0, Look())
"""
COMMAND = "from equipoise.cli import main; sys.exit(main(['list', 'methods']))"
LIBRARY = "import equipoise; equipoise.METHODS.names()"


@pytest.mark.parametrize(("code", "own", "seen"), [
    (COMMAND, None, "PASSIVE"), (COMMAND, "ACTIVE", "ACTIVE"), (LIBRARY, None, "None"), (LIBRARY, "ACTIVE", "ACTIVE"),
])  # fmt: skip
def test_what_torch_sees_when_it_is_loaded(code, own, seen, tmp_path):
    here = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    here |= {"PYTHONPATH": str(Path(equipoise.__file__).parents[1])} | ({} if own is None else {"OMP_WAIT_POLICY": own})
    started = [sys.executable, "-c", SEEN + code]
    done = subprocess.run(started, capture_output=True, text=True, cwd=tmp_path, env=here, check=True)  # noqa: S603
    assert done.stderr.splitlines() == [f"torch sees {seen}"]
