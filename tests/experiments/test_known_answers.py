"""DiFull, DiPart, planted and watermark: what is constructed is as it says, and the laws of the measures."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import colors
from colors import PERFECT, UNIFORM
from equipoise.datasets import open_dataset
from equipoise.errors import DataError, OptionError, UnsupportedModelError
from equipoise.experiments import RECIPES, MethodRun, Plan, run
from equipoise.experiments.presenting.writing import write
from equipoise.experiments.protocols import watermark
from equipoise.experiments.protocols.base import Bench, Confidence
from equipoise.experiments.protocols.disconnected import DiFull, DiPart, on_the_grid, outside_share, repeated
from equipoise.experiments.protocols.pasting import cut_out, lettering, net_relevance, paste
from equipoise.experiments.protocols.planted import Planted, as_it_is
from equipoise.experiments.protocols.watermark import Watermark, moved
from equipoise.experiments.subject import Lab
from equipoise.methods import METHODS

AE = MethodRun("AE", "ae")
CAM = MethodRun("Grad-CAM", "grad_cam")


@pytest.fixture
def measured(world, tmp_path, make_recipe):
    """A finished run, and ``method, metric, detail`` to the values."""

    def measure(protocol, methods=(PERFECT, UNIFORM), name="run", **plan):
        finished = run(Plan(make_recipe(protocol, methods=methods, keep_maps=None), tmp_path / name, world, **plan))
        found = {}
        for row in finished.rows:
            found.setdefault((row["method"], row["metric"], row["detail"]), []).append(row["value"])
        return finished, found

    return measure


@pytest.fixture
def bench(world):
    data, subject = open_dataset("folder", world), Lab().subject("colors:build")
    return Bench(subject, data, subject.classes(data))


@pytest.mark.parametrize("protocol", [DiFull(confidence=0.9), DiPart(confidence=0.9)])
def test_a_map_in_the_cell_has_one_and_a_uniform_one_the_cells_share(measured, protocol):
    finished, found = measured(protocol, methods=(PERFECT, UNIFORM, AE))
    assert finished.problems == []
    assert {row["cell"] for row in finished.rows} == {0, 3}
    assert found["perfect", "GridPG", ""] == [1.0] * 4
    assert found["uniform", "GridPG", ""] == pytest.approx([0.25] * 4)
    assert found["uniform", "outside share", ""] == pytest.approx([0.75] * 4)
    assert found["AE", "GridPG", ""] == pytest.approx([1.0] * 4)


def test_every_cell_can_be_asked(measured):
    finished, found = measured(DiFull(confidence=0.9, corners=False), methods=(AE,))
    assert {row["cell"] for row in finished.rows} == {0, 1, 2, 3}
    assert found["AE", "outside share", ""] == [0.0] * 8


def test_grids_do_not_depend_on_how_many_are_explained_at_once(measured):
    alone, together = (
        measured(DiFull(confidence=0.9), methods=(AE, CAM), name=str(batch), batch=batch)[1] for batch in (1, 4)
    )
    assert alone == together


def test_a_method_that_cannot_pass_is_left_out_by_name(measured):
    finished, found = measured(
        DiFull(confidence=0.9), methods=(AE, MethodRun("middle", "grad_cam", {"layer": "body.paint"}))
    )
    assert {label for label, _, _ in found} == {"AE"}
    (problem,) = finished.problems
    assert "middle is left out for colors:build" in problem
    assert "it has to be 'grid'" in problem


def test_maps_are_read_of_all_cells(bench):
    assert on_the_grid(bench.subject.bind(CAM)).options == {"layer": "grid"}
    assert on_the_grid(bench.subject.bind(AE)) is AE
    assert on_the_grid(bench.subject.bind(PERFECT)) is PERFECT
    with pytest.raises(UnsupportedModelError, match="one cell at a time"):
        on_the_grid(bench.subject.bind(replace(CAM, options={"layer": "relu"})))


def test_outside_share_counts_either_sign():
    maps = torch.tensor([[[3.0, 0.0], [-1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    values = outside_share(maps, 2, torch.tensor([0, 0]))
    assert values[0] == pytest.approx(0.25)
    assert math.isnan(values[1])


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1e30])
def test_outside_share_knows_no_unit(scale):
    """A gradient of a score that is sure is tiny everywhere, and still somewhere."""
    maps = torch.tensor([[[3.0, 0.0], [-1.0, 0.0]]]) * scale
    assert outside_share(maps, 2, torch.tensor([0])).item() == pytest.approx(0.25)


def test_repeated_grids_have_one_class_at_both_corners(world):
    samples = list(open_dataset("folder", world))
    groups = repeated(samples, 4, seed=1)
    assert groups == repeated(samples, 4, seed=1)
    assert groups
    for group in groups:
        first, *between, last = [sample.categories[0] for sample in group]
        assert first == last
        assert len({first, *between}) == 3
    used = [sample.key for group in groups for sample in group]
    assert len(used) == len(set(used))


def test_outside_the_mask_no_pixel_changes(bench):
    protocol = Planted()
    units = protocol.candidates(bench.data, bench.classes)
    assert len(units) == 8 * protocol.hosts
    for unit in units:
        for feather in (0, 2):
            found = replace(protocol, feather=feather).pasted(unit, bench.subject)
            assert torch.equal(found.before[~found.mask], found.after[~found.mask])
            assert 0 < found.mask.float().mean() < 0.5
        after, before, mask = protocol.prepare(unit, bench)
        same = mask.logical_not().expand_as(after[0])
        assert torch.equal(after[0][same], before[0][same])


def test_where_things_are_planted_is_the_seeds_doing(bench):
    units = Planted().candidates(bench.data, bench.classes)
    assert units == Planted().candidates(bench.data, bench.classes)
    assert units != Planted(seed=1).candidates(bench.data, bench.classes)
    assert {unit.samples for unit in Planted(hosts=1).candidates(bench.data, bench.classes)}
    assert Planted(least=0.9).candidates(bench.data, bench.classes) == []
    for unit in units:
        assert unit.category not in unit.samples[1].categories


def test_planted(measured, bench):
    """The color of the pasted square is the one that the network then names, and nowhere else in the photo."""
    finished, found = measured(Planted(), methods=(PERFECT, UNIFORM, AE))
    assert finished.problems == []
    count = len(finished.blocks[0].units)
    assert count > 8
    assert found["perfect", "energy", "after"] == pytest.approx([1.0] * count)
    assert found["perfect", "pointing", "after"] == pytest.approx([1.0] * count)
    assert all(math.isnan(value) for value in found["perfect", "energy", "before"])
    areas = [float(Planted().pasted(unit, bench.subject).mask.float().mean()) for unit in finished.blocks[0].units]
    assert sorted(found["uniform", "energy", "after"]) == pytest.approx(sorted(areas))
    assert found["uniform", "energy", "after"] == found["uniform", "energy", "before"]
    assert min(found["AE", "energy", "after"]) > 0.9


def test_what_is_planted_turns_the_answer(measured, bench):
    finished, _ = measured(Planted())
    for unit in finished.blocks[0].units:
        pasted = Planted().pasted(unit, bench.subject)
        answers = [
            int(bench.subject.forward(pasted.inputs(bench.subject, after=after)).argmax()) for after in (False, True)
        ]
        assert answers[0] not in bench.classes.members(unit.category)
        assert answers[1] in bench.classes.members(unit.category)
    tried = Planted(scale=0.2).candidates(bench.data, bench.classes)
    small, _ = measured(Planted(scale=0.2), name="small")
    assert len(small.blocks[0].units) < len(tried)


class Says(Confidence):
    """Answers in place of a network's: one list before, one after."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def of(self, _subject, samples):
        return [(top, 1.0) for top in self.answers.pop(0)[: len(samples)]]


def test_a_photo_that_was_taken_for_the_object_before_is_not_kept(bench):
    """The first is turned; the second was the class before; the third is not after; the fourth cannot be read."""
    protocol = Planted(hosts=1)
    tried = protocol.candidates(bench.data, bench.classes)[:4]
    own = [bench.classes.members(unit.category)[0] for unit in tried]
    others = [(index + 1) % 4 for index in own]
    before, after = [others[0], own[1], others[2], -1], [own[0], own[1], others[2], own[3]]
    told = Says([*before, *[-1] * 4], [*after, *[-1] * 4])
    kept = protocol.units(bench.data, Lab(), ["colors:build"], told)
    assert kept == tried[:1]


@pytest.mark.parametrize("protocol", [Planted(), Watermark(text="red", among=3)])
def test_rows_do_not_depend_on_how_many_are_explained_at_once(measured, protocol):
    alone, together = (measured(protocol, methods=(AE, PERFECT), name=str(batch), batch=batch)[1] for batch in (1, 5))
    assert alone.keys() == together.keys()
    for place, values in alone.items():
        assert together[place] == pytest.approx(values, nan_ok=True, rel=1e-4, abs=1e-5)


def test_the_network_is_shown_the_pasted_photo_as_it_is(bench):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (colors.SIDE, colors.SIDE, 3), dtype=np.uint8))
    still = as_it_is(bench.subject)
    expected = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    torch.testing.assert_close(still.spec.preprocess(image), expected)


def test_an_object_fades_inward():
    white, mask = Image.new("RGB", (8, 8), "white"), Image.new("L", (8, 8), 255)
    found = paste(torch.zeros(16, 16, 3, dtype=torch.uint8), white, mask, scale=0.5, place=(0.0, 1.0), feather=1)
    assert found.mask.sum() == 64
    assert found.mask[8:, :8].all()
    assert found.after[12, 4].tolist() == [255] * 3
    assert 0 < found.after[8, 7, 0] < 255


def test_an_empty_mask_is_said(bench):
    sample = replace(bench.data[0], read_mask=lambda _category: np.zeros((colors.SIDE, colors.SIDE), dtype=bool))
    with pytest.raises(DataError, match="the mask is empty"):
        cut_out(sample, 0)


def test_net_relevance_by_hand():
    maps = torch.tensor([[[3.0, 5.0], [-1.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]])
    masks = torch.tensor([[True, False], [True, False]]).expand(2, 2, 2)
    values = net_relevance(maps, masks)
    assert values[0] == pytest.approx(0.5)
    assert math.isnan(values[1])


def test_letters_are_as_wide_as_asked_for_and_hard():
    letters = np.array(lettering("some words", 100))
    assert 80 < letters.shape[1] <= 102
    assert set(np.unique(letters)) == {0, 255}


def test_classes_that_moved():
    before, after = torch.tensor([5.0, 4, 3, 2, -9]), torch.tensor([5.1, 2, 6, 2.5, 99])
    assert moved(before[:4], after[:4], 4) == {"raised": 2, "lowered": 1, "unmoved": 0}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([1.0, 2.0, 3.0], {"raised": 2, "lowered": 0, "unmoved": 1}),
        ([0.5, 1.0, 1.8], {"lowered": 0, "unmoved": 2}),  # all fall: none is raised, were it the least
        ([3.0, 4.0, 2.5], {"raised": 1, "unmoved": 2}),
        ([2.0, 2.0, 2.0], {"unmoved": 0}),
        ([2.0, 2.0, 1.0], {"lowered": 2, "unmoved": 0}),
    ],
)
def test_a_class_has_one_role_and_only_one_that_it_plays(after, expected):
    """Of a score that falls nobody may say that the letters raise it, and a class is not two of the three."""
    assert moved(torch.full((3,), 2.0), torch.tensor(after), 3) == expected


def test_a_photo_without_a_raised_class_has_no_rows_of_one(measured, monkeypatch):
    monkeypatch.setattr(watermark, "moved", lambda _before, _after, _among: {"lowered": 1, "unmoved": 2})
    finished, found = measured(Watermark(text="WWWWWW", among=4), methods=(UNIFORM, AE))
    details = {detail for _, _, detail in found}
    assert details == {f"{role} {stage}" for role in ("lowered", "unmoved") for stage in ("before", "after")}
    assert {(row["detail"], row["category"]) for row in finished.rows if "after" in row["detail"]} == {
        ("lowered after", 1),
        ("unmoved after", 2),
    }


def test_watermark(measured):
    """White is none of the colors, so the letters hide what they lie on and raise nothing."""
    _, found = measured(Watermark(text="WWWWWW", among=4), methods=(UNIFORM,))
    areas = found["uniform", "energy", "unmoved before"]
    for role in ("lowered", "unmoved"):
        assert set(found["uniform", "energy", f"{role} after"]) <= set(areas)
        assert set(found["uniform", "net relevance", f"{role} after"]) == {1.0}
    assert max(areas) < 0.5


@pytest.mark.parametrize("name", ["difull", "dipart", "planted", "watermark"])
def test_the_recipes_run_with_all_their_methods(name, world, tmp_path):
    recipe = RECIPES[name]
    protocol = replace(recipe.protocol, confidence=0.9) if isinstance(recipe.protocol, DiFull) else recipe.protocol
    methods = (*recipe.methods, *recipe.more)
    small = replace(recipe, pairs=(("folder", "colors:build"),), protocol=protocol, methods=methods, more=())
    finished = run(Plan(small, tmp_path / "out", world, limit=2))
    assert {row["method"] for row in finished.rows} >= {
        "AE",
        "Grad-CAM",
        "c*EB",
        "Random",
        "AE fine",
        "Occlusion",
        "RISE",
    }
    of_recipe = {source for source in (one.method for one in methods) if ":" not in source}
    assert of_recipe == set(METHODS.names())
    assert all(" is left out for colors:build: " in problem for problem in finished.problems)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DiFull(cells=1), "at least 2"),
        (lambda: DiPart(confidence=2.0), "between 0 and 1"),
        (lambda: Planted(hosts=0), "at least 1 and above 0"),
        (lambda: Planted(scale=0.0), "at least 1 and above 0"),
        (lambda: Planted(scale=1.5), "between 0 and 1"),
        (lambda: Planted(least=-0.1), "between 0 and 1"),
        (lambda: Planted(feather=-1), "at least 0 and above 0"),
        (lambda: Planted(tolerance=0.0), "at least 0 and above 0"),
        (lambda: Watermark(text=" "), "words that can be seen"),
        (lambda: Watermark(width=0.0), "words that can be seen"),
        (lambda: Watermark(among=2), "at least 3"),
    ],
)
def test_options_out_of_range_are_refused_in_a_sentence(make, message):
    with pytest.raises(OptionError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_photos_of_one_planted_object_are_one_cluster(measured):
    """An object in four photos is one object: neither interval nor test may take it for four."""
    finished, _ = measured(Planted(), methods=(AE, UNIFORM))
    (block,) = finished.blocks
    objects = {(unit.samples[0].key, unit.category) for unit in block.units}
    assert len(objects) < len(block.units)
    lines, _ = write(finished)
    assert {count for line in lines for count in line.images if count} == {len(objects)}
    text = (finished.store.folder / "table.md").read_text(encoding="utf-8")
    assert "n: objects behind a number" in text
    assert "bootstrap intervals over objects" in text
    assert "flips of signs over objects" in text
