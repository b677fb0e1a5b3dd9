"""A quick run of what start-up costs, and its table."""

import json

import measuring
import render
import start_up


def test_a_quick_run_measures_every_command(tmp_path, monkeypatch):
    monkeypatch.setattr(start_up, "COMMANDS", ("--help",))
    path = tmp_path / "start_up.json"
    start_up.main(["--quick", "--output", str(path)])
    data = json.loads(path.read_text())
    assert data["machine"] == measuring.machine()
    assert set(data["seconds"]) == {"import torch", "--help"}
    assert all(one["median"] > 0 for one in data["seconds"].values())
    text = render.page({"start_up": data})
    assert "| `--help` | " in text
    assert "## Start-up" in text
