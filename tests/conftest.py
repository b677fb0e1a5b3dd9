"""Options and fixtures of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest
import torch

import typechecking  # noqa: F401  # before anything of the package is imported

# A busy machine must fail no test: examples are counted, not timed.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def _threads() -> None:
    # The workers of one run share the machine's cores.
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real evaluation data; tests that take it carry the mark ``data``."""
    folder = os.environ.get("EQUIPOISE_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("EQUIPOISE_DATA names no folder")
    return Path(folder)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is slow unless it is asked for by ``-m slow``."""
    if "slow" not in config.getoption("-m"):
        skip = pytest.mark.skip(reason="slow; run with -m slow")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)
