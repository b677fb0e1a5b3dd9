"""From rows to the table: the right rows, the paper's number beside, the best marked."""

import json
import math

import pytest

from equipoise.experiments import Column, MethodRun, Recipe, Setting
from equipoise.experiments.presenting.tables import as_json, blocks, cells, head, markdown, summarize
from equipoise.experiments.protocols.pointing import Pointing

PUBLISHED = {("voc2007", "vgg", "A", "P", "PG"): 0.5, ("voc2007", "vgg", "B", "P", "PG"): 0.75}


class Both(Pointing):
    """Measures a curve besides."""

    curves = ("accuracy",)
    steps = (0.5, 1.0)


@pytest.fixture
def recipe():
    return Recipe(
        name="t",
        title="A table",
        summary="of two methods",
        protocol=Both(),
        pairs=(("voc2007", "vgg"),),
        methods=(MethodRun("A", "ae"), MethodRun("B", "rap")),
        columns=(
            Column("PG", "pointing_game"),
            Column("DIF", "pointing_game", {"hard": True}, "mean"),
            Column("PR", "positive_ratio", higher_is_better=False),
            Column("at half", "accuracy", step=0.5, higher_is_better=None),
        ),
        settings=(Setting("L"), Setting("P", {"predicted": True})),
        published=PUBLISHED,
        references={"voc2007": ("voc2007", "vgg")},
    )


def row(method, metric, value, *, unit="a", category=0, predicted=True, hard=False, step=None, model="vgg"):
    return {
        "dataset": "voc2007", "model": model, "method": method, "unit": unit, "category": category,
        "predicted": predicted, "hard": hard, "metric": metric, "step": step, "value": value,
    }  # fmt: skip


ROWS = [
    row("A", "pointing", 1.0),
    row("A", "pointing", 0.0, unit="b", category=1, predicted=False, hard=True),
    row("A", "pointing", 0.0, unit="c", category=1),
    row("A", "positive ratio", 0.2),
    row("A", "accuracy", 0.3, step=0.5),
    row("A", "accuracy", 0.9, step=1.0),
    row("B", "pointing", 0.0),
    row("B", "positive ratio", 0.1),
    row("B", "pointing", math.nan, unit="b", hard=True),
]
PAIRS = [("voc2007", "vgg")]


def entries(recipe, label, setting, rows=ROWS, pairs=PAIRS):
    (line,) = [line for line in summarize(recipe, rows, pairs) if (line.label, line.setting) == (label, setting)]
    return {entry.column: entry for entry in line.entries}


def test_each_number_is_made_of_the_rows_it_names(recipe):
    found = entries(recipe, "A", "L")
    assert found["PG"].ours.value == pytest.approx((1.0 + 0.0) / 2)
    assert found["PG"].ours.rows == 3
    assert found["DIF"].ours.value == 0.0
    assert found["DIF"].ours.rows == 1
    assert found["at half"].ours.value == 0.3
    assert entries(recipe, "A", "P")["PG"].ours.rows == 2
    assert math.isnan(entries(recipe, "A", "P")["DIF"].ours.value)


def test_the_papers_number_stands_beside_ours(recipe):
    found = entries(recipe, "A", "P")["PG"]
    assert (found.paper, found.difference) == (0.5, pytest.approx(0.0))
    assert entries(recipe, "B", "P")["PG"].difference == pytest.approx(-0.75)
    assert entries(recipe, "A", "L")["PG"].paper is None
    assert entries(recipe, "A", "P")["PR"].difference is None


def test_another_network_is_set_beside_the_reference(recipe):
    rows = [one | {"model": "lite"} for one in ROWS]
    assert entries(recipe, "A", "P", rows, [("voc2007", "lite")])["PG"].paper == 0.5
    other = [one | {"model": "lite", "dataset": "else"} for one in ROWS]
    assert entries(recipe, "A", "P", other, [("else", "lite")])["PG"].paper is None


def test_the_best_of_a_column_is_marked(recipe):
    assert entries(recipe, "A", "L")["PG"].best
    assert not entries(recipe, "B", "L")["PG"].best
    assert entries(recipe, "B", "L")["PR"].best, "a lower positive ratio is better"
    assert not entries(recipe, "A", "L")["PR"].best
    assert not entries(recipe, "A", "L")["at half"].best


def test_markdown_has_a_cell_per_head(recipe):
    lines = summarize(recipe, ROWS, PAIRS)
    (block,) = blocks(lines).values()
    assert head(block) == ["method", "targets", "PG", "paper", "difference", "DIF", "PR", "at half"]
    assert {len(texts) for texts in cells(block)} == {8}
    text = markdown(recipe, lines, ["a note"])
    assert "- a note" in text
    assert "| A | P | **0.500** [" in text
    assert "undefined" in text
    assert text.count("\n| ") == 2 + len(lines)


def test_the_json_has_every_number(recipe):
    found = json.loads(json.dumps(as_json(summarize(recipe, ROWS, PAIRS))))
    assert len(found) == 4
    assert found[1]["entries"][0]["paper"] == 0.5
    assert found[1]["entries"][0]["difference"] == pytest.approx(0.0)


def test_a_method_that_was_left_out_has_no_line(recipe):
    rows = [one for one in ROWS if one["method"] == "A"]
    assert {line.label for line in summarize(recipe, rows, PAIRS)} == {"A"}
