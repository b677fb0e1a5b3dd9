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
    assert set(blur.named("paper;fine")) == set(PROFILES)
    assert blur.named("A by x") == ["A by x"]  # and not the others whose names have it
    assert blur.named("1x1: C") == ["1x1: C by w+", "1x1: C and A by w+", "1x1: C alone", "1x1: C alone, by w+"]
    assert blur.named("") == list(VARIANTS)


@pytest.mark.data
def test_what_follows_has_no_part_in_what_was_drawn_before(data, monkeypatch):
    monkeypatch.setenv("EQUIPOISE_DATA", str(data))
    whole = [sample.key for sample in blur.drawn(306)]
    assert len(set(whole)) == len(whole) == 306
    assert [sample.key for sample in blur.drawn(106, 200)] == whole[200:]


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
