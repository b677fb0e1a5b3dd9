"""The examples in docstrings run and print what they say."""

import os
import subprocess
import sys
from pathlib import Path

import equipoise

SOURCE = Path(equipoise.__file__).parent
MODULES = [
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]
RUN = """
import doctest, importlib, sys
results = [doctest.testmod(importlib.import_module(name)) for name in sys.argv[1:]]
assert sum(result.attempted for result in results) >= 10
sys.exit(sum(result.failed for result in results))
"""


def test_every_example_in_a_docstring_says_the_truth():
    """In a process of their own, since an example may register what other tests would count."""
    assert len(MODULES) >= 5
    here = os.environ | {"PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run([sys.executable, "-c", RUN, *MODULES], capture_output=True, text=True, env=here, check=False)  # noqa: S603
    assert done.returncode == 0, done.stdout + done.stderr
