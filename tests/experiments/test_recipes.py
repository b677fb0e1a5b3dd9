"""A typo in a recipe is loud: names, fields, steps and labels are checked when it is made."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

import colors
from equipoise.errors import EquipoiseError, OptionError, UnknownNameError
from equipoise.experiments import RECIPES, Column, MethodRun, Plan, Recipe, Setting, run
from equipoise.experiments.model.rows import Goal, KeptMap, Measured, Result
from equipoise.experiments.protocols.gallery import Gallery
from equipoise.experiments.protocols.insertion import Perturbation
from equipoise.experiments.protocols.pointing import Pointing
from equipoise.experiments.protocols.sanity import Sanity


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("PG", "poiting"), "no metric is called 'poiting'; did you mean pointing_game"),
        (("PG", "positive-ratio"), "did you mean positive_ratio"),
        (("PG", "pointing_game", {"hrad": True}), "called 'hrad'; did you mean hard"),
        (("PG", "pointing_game", {"metric": "x"}), "no field of a row to choose by is called 'metric'"),
        (("PG", "pointing_game", {"hard": "yes"}), "hard is 'yes'; rows hold a bool"),
        (("PG", "pointing_game", {}, "clas_mean"), "did you mean class_mean"),
    ],
)
def test_a_column_checks_its_words(arguments, message):
    with pytest.raises(EquipoiseError, match=message):
        Column(*arguments)


def test_a_setting_checks_its_words():
    with pytest.raises(UnknownNameError, match="did you mean predicted"):
        Setting("P", {"predictd": True})


def test_a_column_reads_as_the_catalog_says_unless_told_otherwise():
    column = Column("PG", "pointing")
    assert (column.metric, column.statistic, column.higher_is_better) == ("pointing_game", "class_mean", True)
    assert Column("x", "outside_inside_ratio").higher_is_better is False
    assert Column("x", "positive_ratio").higher_is_better is None
    other = Column("x", "positive_ratio", statistic="class_mean", higher_is_better=False)
    assert (other.statistic, other.higher_is_better) == ("class_mean", False)
    assert Column("x", "pointing_game", higher_is_better=None).higher_is_better is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"columns": (Column("SSIM", "ssim"),)},
            "'SSIM': the protocol pointing does not measure ssim; it measures: po",
        ),
        ({"columns": (Column("PG", "pointing_game", step=0.5),)}, "pointing_game is no curve of pointing"),
        ({"protocol": Perturbation(), "columns": (Column("a", "accuracy"),)}, "accuracy is a curve .* give it a step"),
        (
            {"protocol": Perturbation(), "columns": (Column("a", "accuracy", step=0.11),)},
            None,
        ),
        (
            {"protocol": Perturbation(), "columns": (Column("a", "accuracy", step=11),)},
            "perturbation has no step 11; the nearest one is 1",
        ),
        ({"protocol": Sanity(stages=8), "columns": (Column("a", "ssim", step=9),)}, "no step 9; the nearest one is 8"),
        ({"protocol": Sanity(stages=0), "columns": (Column("a", "ssim", step=9),)}, None),
        ({"methods": (colors.PERFECT, MethodRun("perfect", "ae"))}, "two methods are called 'perfect'"),
        ({"columns": (Column("PG", "pointing_game"), Column("PG", "energy"))}, "two columns are called 'PG'"),
        ({"settings": (Setting(), Setting())}, "two settings are called ''"),
    ],
)
def test_a_recipe_checks_its_columns_against_the_protocol(make_recipe, changes, message):
    if message is None:
        assert make_recipe(**changes).columns
    else:
        with pytest.raises(EquipoiseError, match=message):
            make_recipe(**changes)


def test_another_protocol_leaves_out_the_columns_that_it_cannot_fill():
    recipe = RECIPES["fig10"]
    other = recipe.measured_by(replace(recipe.protocol, shares=(0.05, 0.5)))
    assert [one.label for one in other.columns] == ["accuracy, 5 %", "clean", "area, 1 to 20 %"]
    assert recipe.measured_by(recipe.protocol) == recipe


def test_a_protocol_declares_what_the_catalog_has():
    with pytest.raises(UnknownNameError, match="did you mean pointing_game"):

        class Wrong(Pointing):
            metrics = ("poiting_game",)

    assert Pointing().steps == ()


@dataclass(frozen=True)
class Undeclared(Gallery):
    """Measures more than it says."""

    metrics: ClassVar[tuple[str, ...]] = ("sum",)


def test_what_a_protocol_measures_undeclared_ends_the_run(world, tmp_path, make_recipe):
    with pytest.raises(OptionError, match="measures positive_ratio, which it does not declare"):
        run(Plan(make_recipe(Undeclared()), tmp_path / "run", world))


@dataclass(frozen=True)
class Twins(Gallery):
    """Explains two classes of one name, as ImageNet has two cranes."""

    def measure(self, question, bench, run):  # noqa: ARG002  # one signature
        result = Result()
        heat = run.heatmaps(question.inputs, [question.goals[0][1]])[0]
        for category, factor in ((0, 1.0), (1, -1.0)):
            goal = Goal(category, "crane")
            result.rows.append(Measured(goal, "sum", factor))
            result.maps.append(KeptMap(goal, factor * heat))
        return result


def test_two_goals_of_one_name_keep_two_maps(world, tmp_path, make_recipe):
    finished = run(Plan(make_recipe(Twins(), (colors.PERFECT,)), tmp_path / "run", world, limit=1))
    first, second = finished.store.maps(finished.rows[0]["key"])
    assert (first.goal.name, second.goal.name) == ("crane", "crane")
    assert (first.heatmap == -second.heatmap).all()
    assert [row["category"] for row in finished.rows] == [0, 1]


def test_the_recipes_of_the_paper_read_the_catalog():
    """The class mean and the better side of a metric are written in the catalog, not once more per column."""
    recipe = RECIPES["table1"]
    assert isinstance(recipe, Recipe)
    assert {one.label: one.statistic for one in recipe.columns}["ALL PG"] == "class_mean"
    assert {one.label: one.higher_is_better for one in RECIPES["table3"].columns}["Out/In"] is False
