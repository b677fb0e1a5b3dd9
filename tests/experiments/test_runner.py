"""A run: resumed after a kill it gives the rows of an uninterrupted one, none lost, none twice."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import colors
from collector import Hoarding, left_to_the_collector, no_collector
from colors import PERFECT, UNIFORM
from equipoise import records
from equipoise.attributions.sizing import Needs
from equipoise.errors import DataError, EquipoiseError, OptionError, UnknownNameError
from equipoise.experiments import Column, MethodRun, Observer, Plan, run
from equipoise.experiments.protocols.gallery import Gallery
from equipoise.experiments.protocols.grid import Grid
from equipoise.experiments.protocols.pointing import Pointing


class Notebook(Observer):
    def __init__(self):
        self.lines, self.blocks, self.units = [], [], 0

    def line(self, text):
        self.lines.append(text)

    def begin(self, what, units):
        self.blocks.append((what, units))

    def done(self, units=1):
        self.units += units


def plain(rows):
    return [{key: str(value) for key, value in row.items()} for row in rows]


def test_every_image_class_method_and_metric_has_one_row(world, tmp_path, make_recipe):
    finished = run(Plan(make_recipe(), tmp_path / "run", world))
    assert len(finished.rows) == 8 * 2 * 3  # images, methods, metrics of the pointing game
    places = {(row["unit"], row["class"], row["method"], row["model"], row["metric"]) for row in finished.rows}
    assert len(places) == len(finished.rows)
    assert {row["method"] for row in finished.rows} == {"perfect", "uniform"}
    assert finished.problems == []


def test_what_is_assumed_of_a_network_is_said_once(world, tmp_path, make_recipe, monkeypatch):
    monkeypatch.setattr(colors, "bare", colors.ColorNet, raising=False)
    recipe = make_recipe(Gallery(), (PERFECT,), columns=(), pairs=(("folder", "colors:bare"),))
    told = Notebook()
    finished = run(Plan(recipe, tmp_path / "run", world, limit=1), told)
    assumed = [note for note in finished.notes if note.startswith("colors:bare: ")]
    assert len(assumed) == 2
    assert "preprocess" in assumed[0]
    assert [line for line in told.lines if line in assumed] == assumed


def test_a_run_says_on_what_it_was_made(world, tmp_path, make_recipe, monkeypatch):
    run(Plan(make_recipe(), tmp_path / "run", world, limit=1))
    assert json.loads((tmp_path / "run/run.json").read_text())["device"] == "cpu"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Accelerator {device.index}")
    assert records.device_name("cuda:1") == "Accelerator 1"


def test_two_runs_give_equal_numbers(world, tmp_path, make_recipe):
    recipe = make_recipe(methods=(PERFECT, MethodRun("AE", "ae"), MethodRun("Random", "random")))
    first = run(Plan(recipe, tmp_path / "one", world))
    second = run(Plan(recipe, tmp_path / "two", world))
    assert plain(first.rows) == plain(second.rows)
    assert (tmp_path / "one/rows.parquet").read_bytes() == (tmp_path / "two/rows.parquet").read_bytes()


def test_a_resumed_run_measures_only_what_is_missing(world, tmp_path, make_recipe, monkeypatch):
    calls = []
    perfect = colors.perfect
    monkeypatch.setattr(colors, "perfect", lambda *args: calls.append(1) or perfect(*args))
    monkeypatch.setattr("equipoise.experiments.running.runner.source_of", lambda method: method)
    run(Plan(make_recipe(methods=(PERFECT,)), tmp_path / "run", world, limit=3))
    assert len(calls) == 3
    finished = run(Plan(make_recipe(), tmp_path / "run", world, resume=True))
    assert len(calls) == 8, "three of eight images were there already, a new method takes nothing from the old one"
    assert plain(finished.rows) == plain(run(Plan(make_recipe(), tmp_path / "other", world)).rows)


def test_a_smaller_limit_is_part_of_a_larger_one(world, tmp_path, make_recipe):
    units = [
        {row["unit"] for row in run(Plan(make_recipe(), tmp_path / str(limit), world, limit=limit)).rows}
        for limit in (2, 5)
    ]
    assert [len(some) for some in units] == [2, 5]
    assert units[0] < units[1]


def test_whatever_changes_a_result_is_measured_again(world, tmp_path, make_recipe):
    """A changed image, option, protocol, own method and network each make new rows; a changed title does not."""
    base = make_recipe(methods=(MethodRun("AE", "ae"),))
    keys = {row["key"] for row in run(Plan(base, tmp_path / "run", world)).rows}

    def fresh(recipe):
        return {row["key"] for row in run(Plan(recipe, tmp_path / "run", world, resume=True)).rows} - keys

    assert fresh(replace(base, title="Another title")) == set()
    assert len(fresh(replace(base, protocol=replace(base.protocol, tolerance=3)))) == 8
    assert len(fresh(replace(base, methods=(MethodRun("AE", "ae", {"gamma": 1.5}),)))) == 8
    assert len(fresh(replace(base, methods=(MethodRun("AE", "ae", smooth=0.1),)))) == 8
    assert len(fresh(replace(base, pairs=(("folder", "colors:build_other"),)))) == 8
    colors.photo("red", 20, 20).save(world / "images/photo00.png")
    assert len(fresh(base)) == 1


def test_an_own_method_is_known_by_its_file(world, tmp_path, make_recipe, monkeypatch):
    own = tmp_path / "own_method_of_test.py"
    text = "import torch\n\n\ndef fn(model, inputs, target):\n    return inputs[:, :1] * {}\n"
    own.write_text(text.format(1), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    recipe = make_recipe(methods=(MethodRun("mine", "own_method_of_test:fn"),))
    first = run(Plan(recipe, tmp_path / "run", world, limit=2)).rows
    own.write_text(text.format(2), encoding="utf-8")
    second = run(Plan(recipe, tmp_path / "run", world, limit=2, resume=True)).rows
    assert {row["key"] for row in first}.isdisjoint({row["key"] for row in second})


def test_a_broken_image_is_named_and_the_rest_goes_on(world, tmp_path, make_recipe):
    (world / "images/photo03.png").write_bytes((world / "images/photo03.png").read_bytes()[:60])
    notebook = Notebook()
    finished = run(Plan(make_recipe(), tmp_path / "run", world), notebook)
    assert len({row["unit"] for row in finished.rows}) == 7
    assert any("photo03.png" in line for line in notebook.lines)
    assert finished.problems
    with pytest.raises(DataError, match=r"photo03\.png"):
        run(Plan(make_recipe(), tmp_path / "strict", world, strict=True))


def test_a_method_that_cannot_explain_the_network_is_left_out_once(world, tmp_path, make_recipe):
    notebook = Notebook()
    recipe = make_recipe(methods=(MethodRun("broken", "colors:failing"), PERFECT))
    finished = run(Plan(recipe, tmp_path / "run", world), notebook)
    assert {row["method"] for row in finished.rows} == {"perfect"}
    assert sum("broken is left out" in line for line in notebook.lines) == 1
    assert list(finished.blocks[0].left_out) == ["broken"]


def test_networks_share_the_images_and_keep_their_rows_apart(world, tmp_path, make_recipe):
    pairs = (("folder", "colors:build"), ("folder", "colors:build_other"))
    notebook = Notebook()
    finished = run(Plan(make_recipe(pairs=pairs), tmp_path / "run", world), notebook)
    assert [row["model"] for row in finished.rows[:: len(finished.rows) // 2]] == ["colors:build", "colors:build_other"]
    assert len({row["key"] for row in finished.rows}) == 2 * 8 * 2
    assert notebook.units == 16


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": (MethodRun("x", "grad_cma"),)}, "grad_cam"),
        ({"methods": (MethodRun("x", "ae", {"gama": 1.0}),)}, "gamma"),
        ({"methods": (MethodRun("x", "ae", {"gamma": 3.0}),)}, "gamma"),
        ({"methods": (MethodRun("x", "colors:nothing"),)}, "nothing"),
        ({"methods": (MethodRun("x", "no_such_module:fn"),)}, "no_such_module"),
        ({"pairs": (("folder", "colors:nothing"),)}, "nothing"),
        ({"pairs": (("folder", "resnet_51"),)}, "resnet"),
        ({"pairs": (("vok", "colors:build"),)}, "vok"),
    ],
)
def test_a_wrong_name_ends_the_run_before_any_work(world, tmp_path, make_recipe, changes, message):
    with pytest.raises(EquipoiseError, match=message):
        run(Plan(make_recipe(**changes), tmp_path / "run", world))
    assert not list(tmp_path.glob("run/parts/*"))


def test_networks_that_cannot_be_had_are_replaced_aloud(world, tmp_path, make_recipe, monkeypatch):
    from equipoise import models
    from equipoise.errors import WeightsError

    def absent(name, **_options):
        raise WeightsError(f"{name}: no weights and no network")

    monkeypatch.setattr(models, "fetch", absent)
    pairs = (("folder", "torchvision/vgg16"),)
    notebook = Notebook()
    recipe = make_recipe(pairs=pairs, offline_models=("colors:build",))
    finished = run(Plan(recipe, tmp_path / "run", world), notebook)
    assert {row["model"] for row in finished.rows} == {"colors:build"}
    assert any("torchvision/vgg16" in note and "colors:build" in note for note in finished.notes)
    assert finished.problems == []
    with pytest.raises(WeightsError, match="no weights"):
        run(Plan(recipe, tmp_path / "strict", world, strict=True))
    mixed = make_recipe(pairs=(*pairs, ("folder", "colors:build_other")))
    finished = run(Plan(mixed, tmp_path / "mixed", world))
    assert {row["model"] for row in finished.rows} == {"colors:build_other"}
    assert "torchvision/vgg16" in finished.problems[0]


def test_every_network_is_loaded_once_and_before_its_own_block_alone(world, tmp_path, make_recipe, monkeypatch):
    built = []
    build, other = colors.build, colors.build_other
    monkeypatch.setattr(colors, "build", lambda: built.append("build") or build())
    monkeypatch.setattr(colors, "build_other", lambda: built.append("other") or other())
    pairs = (("folder", "colors:build"), ("folder", "colors:build_other"))
    run(Plan(make_recipe(pairs=pairs), tmp_path / "run", world))
    assert built == ["build", "other", "build"], "build_other makes one of the other for its spec"


def test_a_network_whose_weights_are_damaged_is_left_out_aloud(world, tmp_path, make_recipe, monkeypatch):
    from equipoise.errors import WeightsError

    def damaged():
        raise WeightsError("the file is torn")

    monkeypatch.setattr(colors, "build_other", damaged)
    pairs = (("folder", "colors:build_other"), ("folder", "colors:build"))
    finished = run(Plan(make_recipe(pairs=pairs), tmp_path / "run", world))
    assert {row["model"] for row in finished.rows} == {"colors:build"}
    assert finished.problems == ["colors:build_other is left out: the file is torn"]
    with pytest.raises(WeightsError, match="torn"):
        run(Plan(make_recipe(pairs=pairs[:1]), tmp_path / "alone", world))
    with pytest.raises(WeightsError, match="torn"):
        run(Plan(make_recipe(pairs=pairs), tmp_path / "strict", world, strict=True))


def test_a_data_set_that_is_absent_has_a_stand_in(world, tmp_path, make_recipe):
    recipe = make_recipe(pairs=(("coco2014", "colors:build"),), offline_datasets={"coco2014": "folder"})
    finished = run(Plan(recipe, tmp_path / "run", world))
    assert {row["dataset"] for row in finished.rows} == {"folder"}
    assert any("coco2014" in note for note in finished.notes)
    with pytest.raises(DataError, match="coco2014"):
        run(Plan(replace(recipe, offline_datasets={}), tmp_path / "other", world))
    with pytest.raises(DataError, match="coco2014"):
        run(Plan(recipe, tmp_path / "strict", world, strict=True))


def test_the_record_says_what_the_numbers_depend_on(world, tmp_path, make_recipe):
    run(Plan(make_recipe(), tmp_path / "run", world, limit=2))
    record = json.loads((tmp_path / "run/run.json").read_text(encoding="utf-8"))
    assert record["recipe"] == "small"
    assert json.loads(record["protocol"]) == {"protocol": "pointing", "tolerance": 1}
    assert len(record["models"]["colors:build"]) == 64
    assert record["versions"]["torch"]
    assert record["limit"] == 2


def test_maps_are_kept_of_the_first_units_alone(world, tmp_path, make_recipe):
    finished = run(Plan(make_recipe(keep_maps=2), tmp_path / "run", world))
    block = finished.blocks[0]
    kept = [bool(finished.store.maps(block.keys[unit.key, "perfect"])) for unit in block.units]
    assert kept == [True] * 2 + [False] * 6


def test_the_answers_that_choose_grids_are_asked_once(world, tmp_path, make_recipe, monkeypatch):
    from equipoise.experiments.subject import Subject

    asked = []
    forward = Subject.forward
    monkeypatch.setattr(Subject, "forward", lambda self, inputs: asked.append(len(inputs)) or forward(self, inputs))
    recipe = make_recipe(Grid(confidence=0.9), columns=(Column("GridPG", "grid_pointing_game"),))
    first = run(Plan(recipe, tmp_path / "run", world))
    assert sum(asked) >= 8
    asked.clear()
    again = run(Plan(recipe, tmp_path / "run", world, resume=True))
    assert asked == []
    assert plain(first.rows) == plain(again.rows)


def test_rows_of_a_gpu_are_not_rounded_and_what_the_process_allows_stays(world, tmp_path, make_recipe, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    noted = []

    def noting(model, inputs, target):
        noted.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
        return colors.perfect(model, inputs, target)

    monkeypatch.setattr(colors, "noting", noting, raising=False)
    recipe = replace(make_recipe(), methods=(MethodRun("noting", "colors:noting"),))
    run(Plan(recipe, tmp_path / "run", world, limit=2))
    assert set(noted) == {(False, False)}
    assert torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("alone", [False, True])
def test_a_photo_that_memory_does_not_hold_is_named_and_the_others_are_measured(
    alone, world, tmp_path, make_recipe, monkeypatch
):
    from equipoise.experiments.running.measuring import Measuring

    def greedy(model, inputs, target):
        large = bool((inputs[:, 0].amax((1, 2)) > inputs[:, 2].amax((1, 2))).any())  # red or yellow
        if large and holding:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return colors.perfect(model, inputs, target)

    holding = [True]
    monkeypatch.setattr(colors, "greedy", greedy, raising=False)
    if alone:
        monkeypatch.setattr(Measuring, "_together", lambda _self, _shown: False)
    recipe = make_recipe(methods=(PERFECT, MethodRun("greedy", "colors:greedy")))
    finished = run(Plan(recipe, tmp_path / "run", world))
    assert len(finished.problems) == 4
    assert finished.problems[0] == "photo00.png: there is not enough memory to explain it"
    found = Counter(row["method"] for row in finished.rows if row["metric"] == "pointing")
    assert found == {"perfect": 8, "greedy": 4}
    holding.clear()
    resumed = run(Plan(recipe, tmp_path / "run", world, resume=True))
    assert resumed.problems == []
    found = Counter(row["method"] for row in resumed.rows if row["metric"] == "pointing")
    assert found == {"perfect": 8, "greedy": 8}


def test_what_is_left_over_of_one_photo_costs_no_other(world, tmp_path, make_recipe, monkeypatch):
    monkeypatch.setattr(colors, "hoarding", Hoarding(), raising=False)
    recipe = make_recipe(methods=(PERFECT, MethodRun("hoarding", "colors:hoarding")))
    with no_collector():
        finished = run(Plan(recipe, tmp_path / "run", world, batch=1))
    assert finished.problems == []
    found = Counter(row["method"] for row in finished.rows if row["metric"] == "pointing")
    assert found == {"perfect": 8, "hoarding": 8}


@pytest.mark.parametrize("batch", [1, None])
def test_a_run_leaves_nothing_to_the_collector(batch, world, tmp_path, make_recipe):
    recipe = make_recipe(methods=(MethodRun("AE", "ae"), MethodRun("Gradient", "gradient")))
    places = iter("ab")
    assert left_to_the_collector(lambda: run(Plan(recipe, tmp_path / next(places), world, batch=batch))) == []


@pytest.mark.parametrize("itself", [False, True])
def test_a_method_that_needs_much_gets_fewer_photos_at_once(itself, world, tmp_path, make_recipe, monkeypatch):
    """However large the batch is that others like; each begins with one, also where a run goes on."""
    noted, given = Needs.noted, []

    def noting(needs, label, photos, elements):
        given.append((label, photos))
        return noted(needs, label, photos, elements)

    monkeypatch.setattr(Needs, "noted", noting)
    fits = Needs.fits
    monkeypatch.setattr(Needs, "fits", lambda *of: min(fits(*of), 3 if of[1] == "uniform" else 99))
    monkeypatch.setattr(Pointing, "explains_itself", itself)
    recipe = make_recipe(methods=(PERFECT, UNIFORM))
    run(Plan(recipe, tmp_path / "run", world, limit=1))
    given.clear()
    finished = run(Plan(recipe, tmp_path / "run", world, batch=7, resume=True))
    of = {label: [count for one, count in given if one == label] for label in ("perfect", "uniform")}
    assert of == {"perfect": [1, 6], "uniform": [1, 3, 3]}
    assert list(finished.rows) == list(run(Plan(recipe, tmp_path / "whole", world, batch=1)).rows)


def test_a_protocol_without_fitting_images_says_so(world, tmp_path, make_recipe):
    finished = run(Plan(make_recipe(Gallery(groups=("nowhere",))), tmp_path / "run", world))
    assert not finished.rows
    assert "no image" in finished.problems[0]


SCRIPT = """
import sys, time
sys.path[:0] = {paths!r}
import colors
from pathlib import Path
from collector import Hoarding, left_to_the_collector, no_collector
from colors import PERFECT, UNIFORM
from equipoise.experiments import Column, Plan, Recipe, run
from equipoise.experiments.protocols.pointing import Pointing
import equipoise.experiments.running.store as store

store.FLUSH_SECONDS = 0.15  # a file for every second unit or so

slow = Pointing.measure_all
def measure_all(*args):
    time.sleep(0.05)
    return slow(*args)
Pointing.measure_all = measure_all
recipe = Recipe("small", "A small table", "of the small world", Pointing(tolerance=1), (("folder", "colors:build"),),
                (PERFECT, UNIFORM), (Column("PG", "pointing_game"),))
run(Plan(recipe, Path({output!r}), Path({world!r}), resume=True, batch=1))
"""


def test_killed_at_any_moment_a_run_resumes_to_the_same_rows(tmp_path, make_recipe):
    """kill -9 again and again until it is through; then the rows are those of a run that nobody disturbed."""
    world = colors.write_world(tmp_path / "world", count=24)
    expected = run(Plan(make_recipe(columns=(Column("PG", "pointing_game"),)), tmp_path / "calm", world)).rows
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    code = SCRIPT.format(paths=paths, output=str(tmp_path / "run"), world=str(world))
    parts = tmp_path / "run/parts"
    kills = 0
    for _ in range(40):
        before = len(list(parts.glob("*.parquet")))
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)  # noqa: S603  # our own code
        while process.poll() is None:
            time.sleep(0.01)
            if len(list(parts.glob("*.parquet"))) >= before + 3:  # of some ten: several kills
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
        _, errors = process.communicate()
        assert process.returncode in {0, -signal.SIGKILL}, errors.decode()
        if process.returncode == 0:
            break
    assert kills >= 3
    finished = run(Plan(make_recipe(columns=(Column("PG", "pointing_game"),)), tmp_path / "run", world, resume=True))
    assert plain(finished.rows) == plain(expected)


def test_an_output_with_results_asks_for_resume(world, tmp_path, make_recipe):
    run(Plan(make_recipe(), tmp_path / "run", world, limit=1))
    with pytest.raises(OptionError, match="--resume"):
        run(Plan(make_recipe(), tmp_path / "run", world))


def test_an_unknown_readout_is_refused(world, tmp_path, make_recipe):
    with pytest.raises(UnknownNameError, match="absolute_sum"):
        run(Plan(make_recipe(methods=(MethodRun("x", "colors:uniform", readout="abs_sum"),)), tmp_path / "run", world))
