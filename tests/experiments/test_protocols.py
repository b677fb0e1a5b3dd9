"""Each protocol on photos whose answer is known: the perfect map, the uniform map, the untouched photo."""

import math
from collections import Counter
from dataclasses import replace

import pytest
import torch

import colors
from colors import PERFECT, UNIFORM
from equipoise.errors import OptionError, UnknownNameError
from equipoise.experiments import MethodRun, Plan, run
from equipoise.experiments.protocols.base import check_choice
from equipoise.experiments.protocols.gallery import Gallery
from equipoise.experiments.protocols.grid import Grid, arranged
from equipoise.experiments.protocols.insertion import MODES, Perturbation
from equipoise.experiments.protocols.pointing import Pointing
from equipoise.experiments.protocols.sanity import Sanity, spread
from equipoise.experiments.protocols.segmentation import Segmentation
from equipoise.experiments.protocols.study import TOP_SHARE, PerturbationStudy, clustering
from equipoise.metrics.catalog import CATALOG

AREA = (16 / colors.SIDE) ** 2


@pytest.fixture
def values(world, tmp_path, make_recipe):
    """``method, metric, step`` to the values of all images."""

    def measure(protocol, methods=(PERFECT, UNIFORM), **plan):
        finished = run(Plan(make_recipe(protocol, methods=methods, keep_maps=None), tmp_path / "run", world, **plan))
        assert finished.problems == []
        found = {}
        for row in finished.rows:
            found.setdefault((row["method"], row["metric"], row["step"]), []).append(row["value"])
        return found

    return measure


def test_pointing(values):
    found = values(Pointing(tolerance=1))
    assert found["perfect", "pointing", None] == [1.0] * 8
    assert found["perfect", "energy", None] == [1.0] * 8
    assert found["perfect", "positive ratio", None] == pytest.approx([AREA] * 8)
    assert found["uniform", "energy", None] == pytest.approx([AREA] * 8)
    assert found["uniform", "positive ratio", None] == [1.0] * 8
    assert max(found["uniform", "pointing", None]) < 0.5


def test_a_tolerance_as_wide_as_the_photo_always_hits(values):
    assert values(Pointing(tolerance=100))["uniform", "pointing", None] == [1.0] * 8


def test_segmentation(values):
    found = values(Segmentation())
    assert found["perfect", "AP", None] == pytest.approx([1.0] * 8)
    assert found["perfect", "mIoU", None] == pytest.approx([1.0] * 8)
    assert found["perfect", "pixel accuracy", None] == pytest.approx([1.0] * 8)
    assert found["perfect", "outside-inside", None] == pytest.approx([0.0] * 8)
    assert found["uniform", "AP", None] == pytest.approx([AREA] * 8)
    assert all(math.isnan(value) for value in found["uniform", "AP two-channel", None])


def test_grid(values):
    """The perfect map scores 1; a uniform one the share of a cell, and where it is cut it cannot gain."""
    found = values(Grid(confidence=0.9))
    assert found["perfect", "GridPG", None] == [1.0] * 8
    assert found["uniform", "GridPG", None] == pytest.approx([0.25] * 8)
    assert found["perfect", "GridPG top-k", None] == [1.0] * 8


def test_insertion_ends_at_the_untouched_photo(values):
    """100 % insertion equals clean accuracy; without pixels the network sees nothing of the color."""
    found = values(Perturbation(shares=(0.0, AREA / 2), canvas="black"))
    for label in ("perfect", "uniform"):
        assert found[label, "accuracy", 1.0] == [1.0] * 8
        assert found[label, "agreement", 1.0] == [1.0] * 8
        assert min(found[label, "probability", 1.0]) > 0.99
        assert found[label, "probability", 0.0] == pytest.approx([0.25] * 8)
    assert found["perfect", "accuracy", AREA / 2] == [1.0] * 8
    heights = zip(found["perfect", "probability", 0.0], found["perfect", "probability", AREA / 2], strict=True)
    assert found["perfect", "area", None] == pytest.approx([(first + last) / 2 for first, last in heights])
    assert sum(found["uniform", "accuracy", AREA / 2]) < 8


def test_deletion_by_the_perfect_map_takes_the_class(values):
    found = values(Perturbation(mode="deletion", shares=(0.0, AREA), canvas="black"))
    assert min(found["perfect", "probability", 0.0]) > 0.99
    assert found["perfect", "probability", AREA] == pytest.approx([0.25] * 8)
    assert max(found["uniform", "probability", AREA]) > 0.9


def test_the_least_relevant_first_is_the_other_end(values):
    found = values(Perturbation(order="least_relevant", shares=(1 - AREA,), canvas="black"))
    assert found["perfect", "probability", 1 - AREA] == pytest.approx([0.25] * 8)


@pytest.mark.parametrize("protocol", [Perturbation(shares=(0.1, 0.2)), PerturbationStudy()])
def test_photos_that_the_network_names_wrong_are_left_out_if_asked(protocol, world, tmp_path, make_recipe):
    labels = world / "boxes.csv"
    text = labels.read_text(encoding="utf-8")
    labels.write_text(text.replace("photo00.png,red", "photo00.png,green"), encoding="utf-8")
    metric = protocol.metrics[0]
    for right, count in ((False, 8), (True, 7)):
        recipe = make_recipe(replace(protocol, right=right))
        finished = run(Plan(recipe, tmp_path / f"run-{right}", world))
        assert finished.problems == []
        units = {row["unit"] for row in finished.rows if row["metric"] == CATALOG[metric].label}
        assert len(units) == count
        assert any("photo00" in unit for unit in units) is not right


def test_sanity(values):
    """The perfect method does not ask the network: its map stays, whatever is randomized; AE's does not."""
    found = values(Sanity(stages=0), methods=(PERFECT, MethodRun("AE", "ae")))
    steps = sorted({step for label, _, step in found if label == "perfect"})
    assert steps == [0.0, 1.0, 2.0]
    for step in steps:
        assert found["perfect", "rank correlation", step] == pytest.approx([1.0] * 8)
        assert found["perfect", "SSIM", step] == pytest.approx([1.0] * 8)
    assert found["AE", "rank correlation", 0.0] == pytest.approx([1.0] * 8)
    assert min(found["AE", "rank correlation", 2.0]) < 0.95


def test_independent_randomization_leaves_the_other_layers(values):
    """With the head alone randomized twice, both stages' other layer is the trained one."""
    cascading = values(Sanity(stages=0), methods=(MethodRun("AE", "ae"),))["AE", "rank correlation", 2.0]
    independent = values(Sanity(stages=0, independent=True), methods=(MethodRun("AE", "ae"),), resume=True)
    assert independent["AE", "rank correlation", 2.0] != cascading


def test_the_perturbation_study(values):
    methods = (PERFECT, MethodRun("pixels", "random"), MethodRun("disc", "equipoise.experiments.recipes.disc:disc"))
    found = values(PerturbationStudy(share=AREA, canvas="black"), methods=methods)
    assert found["perfect", "kept", None] == [1.0] * 8
    assert found["perfect", "drop", None] == pytest.approx([0.75] * 8, abs=0.01)
    assert max(found["pixels", "clustering", None]) < 0.3
    assert min(found["disc", "clustering", None]) > 0.6
    assert max(found["pixels", "flip", None]) == 0.0


def test_the_gallery(values):
    found = values(Gallery(explain="both"))
    assert found["perfect", "positive ratio", None] == pytest.approx([AREA] * 8)
    assert found["uniform", "sum", None] == pytest.approx([float(colors.SIDE**2)] * 8)


def test_the_paper_erases_four_thousand_pixels():
    assert round(TOP_SHARE * 224 * 224) == 4000


@pytest.mark.parametrize(
    ("mask", "expected"),
    [([[1, 1], [1, 1]], 1.0), ([[1, 0, 1], [0, 0, 0], [1, 0, 1]], 0.0), ([[1, 1, 0]], 2 / 3), ([[0, 0]], math.nan)],
)
def test_clustering_by_hand(mask, expected):
    assert clustering(torch.tensor(mask).bool()) == pytest.approx(expected, nan_ok=True)


def test_spread_takes_the_ends():
    assert spread(5, 0) == [0, 1, 2, 3, 4]
    assert spread(50, 3) == [0, 24, 49]
    assert spread(4, 1) == [3]
    assert spread(2, 8) == [0, 1]


def test_grids_use_every_photo_once_with_distinct_classes(world):
    from equipoise.datasets import open_dataset

    samples = list(open_dataset("folder", world))
    groups = arranged(samples, 4, seed=1)
    assert len(groups) == 2
    assert len({sample.key for group in groups for sample in group}) == 8
    assert all(len({sample.categories[0] for sample in group}) == 4 for group in groups)
    assert groups == arranged(samples, 4, seed=1)
    assert groups != arranged(samples, 4, seed=2)


@pytest.mark.parametrize("uses", [1, 2, 5])
def test_a_photo_is_in_as_many_grids_as_asked_in_other_company_each_time(uses, world):
    from equipoise.datasets import open_dataset
    from equipoise.experiments.protocols.base import Confidence
    from equipoise.experiments.subject import Lab

    class Sure(Confidence):
        def of(self, subject, samples):  # noqa: ARG002  # one signature
            return [(colors.NAMES.index(data.classes[sample.categories[0]]), 1.0) for sample in samples]

    data = open_dataset("folder", world)

    def grids(**options):
        return [unit.key.split("+") for unit in Grid(**options).units(data, Lab(), ["colors:build"], Sure())]

    found = grids(uses=uses)
    counts = Counter(key for grid in found for key in grid)
    assert len(counts) == 8
    assert max(counts.values()) <= uses
    assert len({frozenset(grid) for grid in found}) == len(found)
    assert (len(found) > 2) is (uses > 2)
    assert found[:2] == grids()
    assert len(grids(uses=uses, count=1)) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid(uses=0), "at least 2, 0 and 1"),
        (lambda: Segmentation(explain="top"), "predicted"),
        (lambda: check_choice("mode", "insert", MODES), "insertion"),
        (lambda: Perturbation(shares=(0.5, 1.5)), "between 0 and 1"),
        (lambda: Perturbation(shares=()), "between 0 and 1"),
        (lambda: Perturbation(shares=(0.5, 0.2)), "rise"),
        (lambda: Grid(cells=1), "at least 2"),
        (lambda: Grid(confidence=2.0), "between 0 and 1"),
        (lambda: Sanity(stages=-1), "at least 0"),
        (lambda: Gallery(classes=0), "at least 1"),
    ],
)
def test_options_out_of_range_are_refused(make, message):
    with pytest.raises(OptionError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Perturbation(order="first"),
        lambda: Perturbation(canvas="grey"),
        lambda: Segmentation(threshold="half"),
        lambda: Sanity(initializer="kaiming"),
        lambda: PerturbationStudy(erased="white"),
    ],
)
def test_names_of_no_registry_are_refused(make):
    with pytest.raises(UnknownNameError):
        make()
