"""The scripts of benchmarks/ as modules, run in this process with this process's threads."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))


@pytest.fixture(autouse=True)
def _own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    # The scripts take all cores; the workers of one test run share them.
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
