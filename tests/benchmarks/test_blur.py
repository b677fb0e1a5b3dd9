"""What makes maps smooth: the figures of docs/method.md come out again."""

import json
from pathlib import Path

import blur
import pytest
from blur_rules import VARIANTS

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "blur"
SLOW = ("examples.resnet50", "examples.vgg16")
PROFILES = {name: VARIANTS[name] for name in ("paper", "fine")}


def test_two_profiles_are_picked_out_by_their_names():
    """As the command of docs/method.md does."""
    assert set(blur.named("paper;fine")) == set(PROFILES)
    assert blur.named("A by x") == ["A by x"]  # and not the others whose names have it
    assert blur.named("1x1: C by") == ["1x1: C by w+"]
    assert blur.named("1x1: C alone") == ["1x1: C alone"]
    assert set(blur.named("stem: ")) == {"stem: by squares", "stem: evenly", "stem: signed"}
    assert blur.named("") == list(VARIANTS)


@pytest.mark.data
def test_what_follows_has_no_part_in_what_was_drawn_before(data, monkeypatch):
    monkeypatch.setenv("EQUIPOISE_DATA", str(data))
    whole = [sample.key for sample in blur.drawn(306)]
    assert len(set(whole)) == len(whole) == 306
    assert [sample.key for sample in blur.drawn(106, 200)] == whole[200:]


def test_rounds_leave_nothing_over():
    for count, rounds in ((200, 10), (106, 10), (53, 10), (7, 7), (1, 1)):
        parts = blur.shared_out(count, rounds)
        assert [one for part in parts for one in range(count)[part]] == list(range(count))
        assert max(part.stop - part.start for part in parts) - min(part.stop - part.start for part in parts) <= 1


@pytest.mark.parametrize("wrong", [["--only", "no such rule"], ["--rounds", "0"], ["--photos", "5"]])
def test_what_cannot_be_measured_is_said_first(wrong, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["blur.py", *wrong])
    with pytest.raises(SystemExit, match="2"):
        blur.main()
    assert "blur.py: error: " in capsys.readouterr().err


@pytest.mark.data
@pytest.mark.parametrize("name", ["efficientnet_lite0", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
@pytest.mark.parametrize("kinds", [("comparison", "ablation", "candidates"), ("held_out",)])
def test_the_first_photo_comes_out_again(kinds, name, data, monkeypatch):
    monkeypatch.setenv("EQUIPOISE_DATA", str(data))
    monkeypatch.syspath_prepend(str(RESULTS.parents[2]))  # for the examples
    label = name.rpartition(".")[2]
    files = [path for kind in kinds if (path := RESULTS / f"{kind}_{label}.json").is_file()]
    if not files:
        pytest.skip(f"{label} has no {' and '.join(kinds)}")
    kept = [json.loads(path.read_text()) for path in files]
    rows = [(variant, row) for one in kept for variant, row in one["results"][label].items()]
    material = blur.Material(name, 1, 0, kept[0]["settings"].get("after", 0))
    found = material.on_photos({variant: VARIANTS[variant] for variant, _ in rows}, slice(0, 1))
    assert len(rows) >= 2 * len(files)
    for variant, row in rows:
        for metric, values in row.items():
            if metric != "GridPG":
                assert found[variant][metric][0] == pytest.approx(values[0], abs=0.005), (variant, metric)
