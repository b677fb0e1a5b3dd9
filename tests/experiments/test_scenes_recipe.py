"""`equipoise reproduce scenes`: interventions say the truth, a map that says it has full marks, no file is needed."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from equipoise.datasets import open_dataset
from equipoise.datasets.scenes import drawn
from equipoise.errors import DataError, OptionError, UnsupportedModelError
from equipoise.experiments import RECIPES, Plan, run
from equipoise.experiments.presenting.summary import reference_of
from equipoise.experiments.protocols.base import Bench, Unit
from equipoise.experiments.protocols.scenes import OBJECT, OTHER, OWN, SHORTCUT, UNUSED, DrawnScenes
from equipoise.experiments.recipes.scenes import EVERY
from equipoise.experiments.subject import Lab
from equipoise.methods import METHODS
from equipoise.scenes import SHAPES, normalized


class Drawn:
    """A run whose maps are made by a function of what was asked."""

    def __init__(self, make):
        self.make = make

    def heatmaps(self, _inputs, targets):
        return self.make(targets)


@pytest.fixture(scope="module")
def data():
    return open_dataset("scenes", "nowhere")


@pytest.fixture(scope="module", params=["plain_0", "residual_1", "shortcut_0"])
def bench(request, data):
    subject = Lab().subject(f"equipoise.scenes:{request.param}")
    return Bench(subject, data, subject.classes(data))


def asked(bench, data, count=30):
    protocol = DrawnScenes()
    units = [Unit(one.key, (one,)) for one in data[:count]]
    return protocol, [protocol.look(protocol.prepare(unit, bench), bench) for unit in units]


def test_the_data_set_is_drawn_and_always_the_same(data):
    again = open_dataset("scenes")
    assert data.classes == tuple(SHAPES.names())
    assert [one.sha256() for one in data[:5]] == [one.sha256() for one in again[:5]]
    other = drawn(5, seed=1)
    assert {one.sha256() for one in data[:5]}.isdisjoint(one.sha256() for one in other)
    assert {len(one.scene.masks()[0].flatten(1).any(1).nonzero()) for one in data[:60]} == {0, 1, 2, 3}
    for one in data[:20]:
        assert all(one.mask(label).any() for label in one.categories)
        assert (one.mask() == one.scene.masks()[0].any(0).numpy()).all()
        absent = next(label for label in range(len(SHAPES)) if label not in one.categories)
        with pytest.raises(DataError, match="no object"):
            one.mask(absent)
        picture = torch.tensor(list(one.image().get_flattened_data())).reshape(56, 56, 3).permute(2, 0, 1) / 255
        assert torch.allclose(picture, one.scene.images()[0], atol=0.5 / 255 + 1e-6)


def test_the_spec_prepares_a_picture_as_the_network_was_trained(bench, data):
    shown = bench.subject.spec.preprocess(data[3].image())
    assert torch.allclose(shown, normalized(data[3].scene.images())[0], atol=0.01)


def test_facts_are_what_interventions_say(bench, data):
    protocol, questions = asked(bench, data)
    network = bench.subject.module
    seen = {OBJECT: 0, SHORTCUT: 0, UNUSED: 0}
    for sample, question in zip(data[:30], questions, strict=True):
        images = sample.scene.images()
        with torch.no_grad():
            said = network(normalized(images))[0]
            bare = network(normalized(sample.scene.with_watermark(marked=False).images()))[0]
            assert question.targets == (said > 0).nonzero()[:, 0].tolist()
            for fact in question.facts:
                index = fact.goal.category
                if fact.cause is not None:
                    gone = images.clone()
                    # what is behind the objects, with the watermark where it was
                    ground = replace(sample.scene, shapes=torch.full_like(sample.scene.shapes, -1)).images()
                    gone[:, :, fact.cause] = ground[:, :, fact.cause]
                    assert network(normalized(gone))[0, index] <= 0
                    seen[OBJECT] += 1
                if fact.watermark == SHORTCUT:
                    assert bare[index] <= 0 < said[index]
                if fact.watermark == UNUSED:
                    assert abs(said[index] - bare[index]) < protocol.least
                if fact.watermark:
                    seen[fact.watermark] += 1
    assert seen[OBJECT] > 10
    assert (seen[SHORTCUT] > 0) == ("shortcut" in bench.subject.name)


def test_a_map_that_says_the_truth_has_full_marks_and_its_negative_none(bench, data):
    protocol, questions = asked(bench, data)
    values = {}
    for sign in (1, -1):
        for question in questions:

            def true(_targets, question=question, sign=sign):
                maps = [
                    (question.objects * fact.effects.nan_to_num().sign()[:, None, None]).sum(0) / 100
                    + (0 if fact.cause is None else fact.cause)
                    + (question.corner if fact.watermark == SHORTCUT else 0)
                    for fact in question.facts
                ]
                return sign * torch.stack(maps)

            for row in protocol.measure(question, bench, Drawn(true)).rows:
                values.setdefault((sign, row.metric, row.detail), []).append(row.value)
    for detail in (OWN, OTHER):
        assert set(values[1, "sign_accuracy", detail]) == {1.0}
        assert set(values[-1, "sign_accuracy", detail]) == {0.0}
    if "shortcut" not in bench.subject.name:
        assert min(values[1, "relevance_rank_accuracy", OBJECT]) > 0.9
        assert min(values[1, "energy_pointing_game", OBJECT]) > 0.9
        assert set(values[1, "energy_pointing_game", UNUSED]) == {0.0}
    else:
        assert min(values[1, "energy_pointing_game", SHORTCUT]) > 0.3


def test_a_map_that_is_not_finite_has_no_sign(bench, data):
    """It is left out and counted, as by every other number here, and not taken for a wrong answer."""
    protocol, questions = asked(bench, data)

    def broken(targets):
        return torch.full((len(targets), 56, 56), math.nan)

    rows = [row for question in questions for row in protocol.measure(question, bench, Drawn(broken)).rows]
    assert {row.metric for row in rows} == set(protocol.metrics)
    assert all(math.isnan(row.value) for row in rows)


def test_every_method_is_in_the_recipe_and_ae_as_it_is_is_what_they_are_compared_with():
    assert {one.method for one in EVERY} == set(METHODS.names())
    assert reference_of(RECIPES["scenes"]) == "AE"


def test_it_runs_where_no_data_is(tmp_path):
    recipe = replace(RECIPES["scenes"], methods=(EVERY[0], EVERY[-1]))
    finished = run(Plan(recipe, tmp_path / "run", tmp_path / "nowhere", limit=6))
    assert finished.problems == []
    assert {row["model"] for row in finished.rows} == {model for _, model in recipe.pairs}
    other = replace(recipe, protocol=DrawnScenes(seed=3), pairs=recipe.pairs[:1])
    units = run(Plan(other, tmp_path / "other", tmp_path / "nowhere", limit=2)).blocks[0].units
    assert all(unit.key.endswith("of seed 3") for unit in units)


def test_what_does_not_fit_is_refused(data, world, tmp_path, make_recipe):
    with pytest.raises(OptionError, match="least is 0"):
        DrawnScenes(least=0.0)
    with pytest.raises(UnsupportedModelError, match=r"colors:build has the classes .* circle"):
        run(Plan(replace(RECIPES["scenes"], pairs=(("scenes", "colors:build"),)), tmp_path / "run"))
    protocol, bench = DrawnScenes(), Bench(None, data, None)
    photo = replace(data[0], scene=None)
    with pytest.raises(OptionError, match="no drawn scene"):
        protocol.prepare(Unit(photo.key, (photo,)), bench)
    assert isinstance(Lab().subject("equipoise.scenes:plain_1").module, nn.Module)
    del world, make_recipe
