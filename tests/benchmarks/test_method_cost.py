"""A quick run of the cost of every method."""

import json

import measuring
import method_cost
import pytest

from equipoise.methods import METHODS


@pytest.mark.slow
def test_a_quick_run_has_a_row_for_every_method(tmp_path, monkeypatch):
    monkeypatch.setattr(method_cost, "MODELS", ("efficientnet_lite0",))
    path = tmp_path / "cost.json"
    method_cost.main(["--quick", "--output", str(path)])
    data = json.loads(path.read_text())
    loads = {"load before", "load after"}
    assert {key: value for key, value in data["machine"].items() if key not in loads} == measuring.machine()
    assert set(data["models"]["efficientnet_lite0"]) == {"unit", "forward", *METHODS.names()}
