"""What a command loads before it answers: lists and refusals load nothing that they do not need.

Imported modules are counted, not seconds: what is imported is what start-up costs, on every machine.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import equipoise

NETWORKS = {"torchvision", "timm", "torch._dynamo", "safetensors", "huggingface_hub"}
MEASURING = {"torchmetrics", "scipy", "skimage", "pyarrow", "pandas", "jinja2", "sklearn", "captum", "sympy"}
HEAVY = NETWORKS | MEASURING | {"matplotlib", "torch", "PIL", "numpy"}
COUNT = f"""
import sys, json
from equipoise.cli import main
status = main(sys.argv[1:])
print(json.dumps([status, len(sys.modules), sorted(sys.modules.keys() & {sorted(HEAVY)})]), file=sys.stderr)
"""

# A command line, its exit status, which of the heavy packages it may load, and how many modules in all.
COMMANDS = {
    "--help": (0, set(), 500),
    "explain --help": (0, set(), 500),
    "list datasets": (0, {"PIL", "numpy"}, 550),
    "list recipes": (0, {"torch", "numpy"}, 1700),
    "list methods": (0, {"torch", "numpy"}, 1700),
    "explain absent.jpg": (2, {"PIL", "numpy"}, 550),
    "explain . --method nonsense": (2, {"torch", "numpy", "PIL", "matplotlib"}, 2000),
    "reproduce tabel1": (2, {"torch", "numpy", "PIL", "matplotlib", "safetensors"}, 2000),
    "reproduce table1 --data absent": (2, {"torch", "numpy", "PIL", "matplotlib", "safetensors"}, 2000),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_answers_at_once_loads_little(command, tmp_path):
    status, allowed, most = COMMANDS[command]
    started = [sys.executable, "-c", COUNT, *command.split()]
    here = os.environ | {"PYTHONPATH": str(Path(equipoise.__file__).parents[1])}
    done = subprocess.run(started, capture_output=True, text=True, cwd=tmp_path, env=here, check=True)  # noqa: S603
    *said, counted = done.stderr.splitlines()
    found, modules, loaded = json.loads(counted)
    assert found == status, said
    assert len(said) == (1 if status else 0), said
    assert set(loaded) <= allowed
    assert modules <= most
