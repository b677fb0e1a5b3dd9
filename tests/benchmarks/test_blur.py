"""What makes maps smooth: the figures of docs/method.md come out again."""

import json
from pathlib import Path

import blur
import pytest
from blur_rules import VARIANTS

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "blur"
PROFILES = {name: VARIANTS[name] for name in ("paper", "fine")}


def test_two_profiles_are_picked_out_by_their_names():
    """As the command of docs/method.md does."""
    assert {name for name in VARIANTS if any(part in name for part in ("paper", "fine"))} == set(PROFILES)


@pytest.mark.data
@pytest.mark.parametrize("name", ["efficientnet_lite0", pytest.param("examples.resnet50", marks=pytest.mark.slow)])
def test_the_first_photo_of_the_comparison_comes_out_again(name, data, monkeypatch):
    monkeypatch.setenv("EQUIPOISE_DATA", str(data))
    monkeypatch.syspath_prepend(str(RESULTS.parents[2]))  # for the examples
    label = name.rpartition(".")[2]
    kept = json.loads((RESULTS / f"comparison_{label}.json").read_text())
    settings = kept["settings"]
    found = blur.Material(name, settings["photos"], settings["grids"]).on_photos(PROFILES, slice(0, 1))
    for profile, row in kept["results"][label].items():
        for metric, values in row.items():
            if metric != "GridPG":
                assert found[profile][metric][0] == pytest.approx(values[0], abs=0.005), (profile, metric)
