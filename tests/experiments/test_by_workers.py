"""Batches, shards and workers: the rows are those of one process and of single photos."""

import math
import pickle

import pytest

from colors import PERFECT, UNIFORM
from equipoise.attributions.crews import Workers
from equipoise.errors import OptionError, UnsupportedModelError
from equipoise.executors import Place
from equipoise.experiments import RECIPES, MethodRun, Plan, run
from equipoise.experiments.protocols.disconnected import DiFull, DiPart
from equipoise.experiments.protocols.gallery import Gallery
from equipoise.experiments.protocols.grid import Grid
from equipoise.experiments.protocols.insertion import Perturbation
from equipoise.experiments.protocols.pointing import Pointing
from equipoise.experiments.protocols.sanity import Sanity
from equipoise.experiments.protocols.segmentation import Segmentation
from equipoise.experiments.protocols.study import PerturbationStudy
from equipoise.experiments.running.by_workers import Measurers, Shard, WorkerLostError, _plain, run_by

METHODS = (
    PERFECT,
    UNIFORM,
    MethodRun("AE", "ae"),
    MethodRun("Grad-CAM", "grad_cam"),
    MethodRun("gradient", "gradient"),
)


def same(one, other):
    one, other = list(one), list(other)
    assert [{key: value for key, value in row.items() if key != "value"} for row in one] == [
        {key: value for key, value in row.items() if key != "value"} for row in other
    ]
    assert one
    for a, b in zip(one, other, strict=True):
        assert math.isclose(a["value"], b["value"], rel_tol=1e-5, abs_tol=1e-5) or (
            math.isnan(a["value"]) and math.isnan(b["value"])
        ), (a, b)


PROTOCOLS = (
    Pointing(tolerance=1), Gallery(), Segmentation(explain="labels"), Grid(confidence=0.5, count=0),
    Perturbation(shares=(0.1, 0.5)), PerturbationStudy(), Sanity(stages=2),
    DiFull(confidence=0.5, count=0, uses=4), DiPart(confidence=0.5, count=0, uses=4, corners=False),
)  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_a_batch_changes_no_row(world, tmp_path, make_recipe, protocol):
    recipe = make_recipe(protocol, METHODS, columns=())
    alone = run(Plan(recipe, tmp_path / "one", world, batch=1))
    same(alone.rows, run(Plan(recipe, tmp_path / "four", world, batch=4)).rows)


@pytest.mark.parametrize("protocol", [DiFull(confidence=0.5, uses=4), DiPart(confidence=0.5, uses=4)])
def test_grids_whose_heads_see_one_cell_are_explained_together(protocol, world, tmp_path, make_recipe, monkeypatch):
    """What one grid cannot be explained by is left out for that grid's sake, and not for its company's."""
    sizes = []
    measure_all = type(protocol).measure_all

    def counted(self, questions, bench, runs):
        sizes.append(len(questions))
        if runs[0].run.label == "RSP":
            raise UnsupportedModelError("not this one")
        return measure_all(self, questions, bench, runs)

    monkeypatch.setattr(type(protocol), "measure_all", counted)
    methods = (MethodRun("AE", "ae"), MethodRun("RSP", "rsp"))
    finished = run(Plan(make_recipe(protocol, methods, columns=()), tmp_path / "run", world, batch=8))
    assert max(sizes) > 1
    assert finished.problems == ["RSP is left out for colors:build: not this one"]
    grids = {row["unit"] for row in finished.rows if row["method"] == "AE"}
    assert len(grids) == len(finished.blocks[0].units) > 2
    assert {row["method"] for row in finished.rows} == {"AE"}


def test_a_batch_is_one_forward_pass_for_answers_targets_and_methods(world, tmp_path, make_recipe, monkeypatch):
    import colors

    shapes = []
    forward = colors.ColorNet.forward
    monkeypatch.setattr(colors.ColorNet, "forward", lambda self, x: shapes.append(len(x)) or forward(self, x))
    recipe = make_recipe(Pointing(tolerance=1), (MethodRun("AE", "ae"), MethodRun("LRP", "lrp_alpha_beta")), columns=())
    finished = run(Plan(recipe, tmp_path / "run", world, batch=8))
    assert finished.problems == []
    assert sum(shapes) == 8  # each photo once for both methods
    assert shapes[0] == 1  # which shows what a photo takes
    assert max(shapes) > 1


def test_shards_leave_what_the_whole_finds(world, tmp_path, make_recipe):
    recipe = make_recipe(methods=METHODS)
    for part in (2, 0, 1):
        found = run(Plan(recipe, tmp_path / "run", world, shard=(part, 3)))
        assert not found.rows
        assert not (tmp_path / "run" / "rows.parquet").exists()
    with pytest.raises(OptionError, match="holds results of an earlier run"):
        run(Plan(recipe, tmp_path / "run", world, shard=(1, 3)))
    whole = run(Plan(recipe, tmp_path / "run", world, resume=True))
    other = run(Plan(recipe, tmp_path / "other", world))
    same(whole.rows, other.rows)
    kept = [
        [bool(one.store.maps(one.blocks[0].keys[unit.key, "AE"])) for unit in one.blocks[0].units]
        for one in (whole, other)
    ]
    assert kept[0] == kept[1]


def test_workers_measure_what_one_process_does(world, tmp_path, make_recipe):
    recipe = make_recipe(methods=METHODS)
    found = run_by(Plan(recipe, tmp_path / "run", world), Workers(2, threads=1).crew())
    same(found.rows, run(Plan(recipe, tmp_path / "other", world)).rows)
    with pytest.raises(OptionError, match="holds results of an earlier run"):
        run_by(Plan(recipe, tmp_path / "run", world), Workers(2, threads=1).crew())


def test_a_part_that_ends_its_workers_is_said(world, tmp_path, make_recipe):
    killer = MethodRun("killer", "killers:kill")
    (tmp_path / "killers.py").write_text("import os, signal\ndef kill(*_):\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    plan = Plan(make_recipe(methods=(PERFECT, killer)), tmp_path / "run", world)
    import sys

    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(WorkerLostError, match=r"part \d of 8 ended its workers twice \(killed by SIGKILL\)"):
            run_by(plan, Workers(2, threads=1).crew(), folder=str(tmp_path))
    finally:
        sys.path.remove(str(tmp_path))


def test_every_recipe_can_be_sent():
    for recipe in RECIPES.values():
        assert pickle.loads(pickle.dumps(_plain(recipe))) == _plain(recipe)  # noqa: S301  # made here


def test_a_worker_keeps_its_network_from_part_to_part(world, tmp_path, make_recipe, monkeypatch):
    from equipoise.experiments import subject

    loaded = []
    load = subject.load
    monkeypatch.setattr(subject, "load", lambda *args, **more: loaded.append(args) or load(*args, **more))
    worker = Measurers(Plan(make_recipe(), tmp_path / "run", world), str(tmp_path)).build(Place())
    for part in range(3):
        worker.do(Shard(part, 3), None, lambda: False)
    assert len(loaded) == 1
