"""Every entry of the registry: described, the same in any batching and on any number of ranks, cheap to import."""

import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed
import torch.multiprocessing
import torchmetrics

from equipoise.errors import MissingPackageError
from equipoise.metrics import CATALOG, METRICS, AttributionMetric

N = 5


def batch(name):
    """Options and what five maps are compared with; the first map is NaN."""
    generator = torch.Generator().manual_seed(7)
    heat = torch.randn(N, 48, 48, generator=generator)
    heat[0, 3, 3] = math.nan
    masks = torch.zeros(N, 48, 48, dtype=torch.bool)
    for index in range(N):
        masks[index, 4 * index : 30, 10 : 20 + 5 * index] = True
    classes = torch.tensor([0, 1, 1, 0, 3])
    other = heat + torch.randn(N, 48, 48, generator=generator)
    curves = heat[:, 0, :20].sigmoid()
    curves[0, 2] = curves[0, 3] = math.nan
    cases = {
        "pointing_game": ({"num_classes": 4}, (heat, masks, classes)),
        "positive_ratio": ({}, (heat,)),
        "grid_pointing_game": ({"cells": 2}, (heat, classes)),
        "rank_correlation": ({}, (heat, other)),
        "ssim": ({"absolute": True}, (heat, other)),
        "hog": ({}, (heat, other)),
        "insertion": ({}, (curves,)),
        "deletion": ({}, (curves,)),
        "early_insertion": ({}, (curves[:, :3],)),
        "road": ({}, (curves[:, :7],)),
        "single_deletion": ({}, (curves[:, 3],)),
        "salience_faithfulness": ({}, (curves[:, 3],)),
        "max_sensitivity": ({}, (curves[:, 3],)),
        "complexity_rise": ({}, (heat, other)),
        "starting_detail": ({}, (heat,)),
        "sparseness": ({}, (heat,)),
        "complexity": ({}, (heat,)),
        "stride_energy": ({"stride": 8}, (heat,)),
    }
    return cases.get(name, ({}, (heat, masks)))


def fed(name, *slices):
    options, arguments = batch(name)
    metric = METRICS[name](**options)
    for some in slices:
        metric.update(*(argument[some] for argument in arguments))
    return metric


def answers(metric):
    return metric.compute().item()


ALL = slice(0, N)


@pytest.mark.parametrize("name", METRICS.names())
def test_every_metric_describes_itself(name):
    kind = METRICS[name]
    assert issubclass(kind, AttributionMetric)
    assert issubclass(kind, torchmetrics.Metric)
    assert 10 < len(kind.summary) < 90
    assert kind.range[0] < kind.range[1]
    assert kind.higher_is_better in (True, False, None)
    assert "not finite" in kind.undefined
    facts = CATALOG[name]
    assert (kind.summary, kind.range, kind.undefined) == (facts.summary, facts.range, facts.undefined)
    assert kind.higher_is_better == facts.higher_is_better
    assert METRICS[facts.label] is kind


@pytest.mark.parametrize("name", CATALOG.names())
def test_every_entry_of_the_catalog_can_be_read(name):
    facts = CATALOG[name]
    assert name == name.casefold().replace(" ", "_")
    assert CATALOG.canonical(facts.label) == name
    assert 5 < len(facts.summary) < 95
    assert "not finite" in facts.undefined
    assert facts.range[0] < facts.range[1]


@pytest.mark.parametrize("name", METRICS.names())
def test_no_batching_matters(name):
    whole = fed(name, ALL)
    single = fed(name, *(slice(index, index + 1) for index in reversed(range(N))))
    assert answers(whole) == pytest.approx(answers(single), rel=1e-12)
    assert METRICS[name].range[0] <= answers(whole) <= METRICS[name].range[1]
    assert whole.undefined_count == single.undefined_count == 1
    assert whole.compute().dtype == torch.float64
    nothing = fed(name, ALL, slice(0, 0))
    assert answers(nothing) == answers(whole)


@pytest.mark.parametrize("name", METRICS.names())
def test_metrics_reset_and_pickle(name):
    metric = fed(name, slice(0, 2))
    metric.reset()
    assert metric.undefined_count == 0
    metric.update(*batch(name)[1])
    assert answers(metric) == answers(fed(name, ALL))
    assert answers(pickle.loads(pickle.dumps(metric))) == answers(metric)  # noqa: S301  # pickled here


@pytest.mark.parametrize("name", METRICS.names())
def test_nothing_defined_is_nan(name):
    metric = fed(name, slice(0, 1))
    assert math.isnan(answers(metric))
    assert metric.undefined_count == 1


def work(rank, folder):
    """One of two processes; the second has more to do."""
    folder = Path(folder)
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    found = {}
    for name in METRICS.names():
        metric = fed(name, slice(0, 2)) if rank == 0 else fed(name, slice(2, 4), slice(4, 5))
        found[name] = answers(metric), int(fed_count(metric))
    torch.distributed.destroy_process_group()
    (folder / f"{rank}.json").write_text(json.dumps(found))


def fed_count(metric):
    """Of both ranks."""
    with metric.sync_context():
        return metric.undefined_count.item()


def test_two_ranks_agree_with_one(tmp_path):
    torch.multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=2)
    for rank in range(2):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        assert set(found) == set(METRICS)
        for name, (value, undefined) in found.items():
            assert value == pytest.approx(answers(fed(name, ALL)), rel=1e-12)
            assert undefined == 1


def run(code, **environment):
    done = subprocess.run(  # noqa: S603  # our own code
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_naming_the_package_is_light():
    code = "import equipoise.metrics, sys, json; print(json.dumps(sorted(sys.modules)))"
    assert not {"torchmetrics", "skimage", "scipy"} & set(run(code))


def test_functions_need_torch_alone_and_classes_say_what_they_need():
    """As where torchmetrics, scikit-image and scipy are not installed."""
    code = """
import sys
for name in ("torchmetrics", "skimage", "scipy"):
    sys.modules[name] = None
import json, torch, equipoise.metrics as m
from equipoise.errors import MissingPackageError
heat = torch.arange(4.).view(1, 2, 2)
values = [m.positive_ratio(heat).item(), m.rank_correlation(heat, heat).item()]
for name in m.METRICS:
    try:
        m.METRICS[name](*[3] if name == "pointing_game" else [])
    except MissingPackageError as error:
        values.append(str(error))
print(json.dumps(values))
"""
    found = run(code)
    assert found[:2] == pytest.approx([0.75, 1])
    assert found[2] == "PointingGame needs torchmetrics: pip install equipoise[evaluate]"
    assert len(found) == 2 + len(METRICS)
    assert issubclass(MissingPackageError, ImportError)
