"""From rows to the table: the right rows, the paper's number beside, the best marked."""

import csv
import dataclasses
import io
import json
import math
import re

import pytest

from equipoise.experiments import Column, MethodRun, Recipe, Setting
from equipoise.experiments.model.statistics import Estimate
from equipoise.experiments.model.table import Rows
from equipoise.experiments.presenting.summary import Comparison, TableNumber, TableRow, blocks, ranked, summarize
from equipoise.experiments.presenting.tables import (
    as_csv,
    as_json,
    cells,
    compared,
    head,
    latex,
    markdown,
    narrow,
    plain,
)
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
        references={"voc2007": {"vgg16": ("voc2007", "vgg")}},
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
    (line,) = [
        line for line in summarize(recipe, Rows.of(rows), pairs) if (line.label, line.setting) == (label, setting)
    ]
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


def test_of_several_references_that_as_it_is_is_meant(recipe):
    methods = (MethodRun("A", "ae", {"gamma": 1.2}), MethodRun("B", "ae"))
    two = dataclasses.replace(recipe, methods=methods)
    assert entries(two, "B", "L", MANY)["PG"].to_reference is None
    assert entries(two, "A", "L", MANY)["PG"].to_reference is not None


def test_another_network_is_set_beside_the_reference(recipe):
    rows = [one | {"model": "lite"} for one in ROWS]
    assert entries(recipe, "A", "P", rows, [("voc2007", "lite")])["PG"].paper == 0.5
    other = [one | {"model": "lite", "dataset": "else"} for one in ROWS]
    assert entries(recipe, "A", "P", other, [("else", "lite")])["PG"].paper is None


MANY = [
    row(method, metric, value + 0.001 * index, unit=f"photo{index}", category=index % 3, hard=index == 3, step=step)
    for index in range(12)
    for method, metric, value, step in [
        ("A", "pointing", 0.5, None),
        ("B", "pointing", 0.25 + 0.01 * (index % 2), None),
        ("A", "positive ratio", 0.2 + 0.01 * (index % 2), None),
        ("B", "positive ratio", 0.2 + 0.01 * (index % 3 // 2), None),
        ("A", "accuracy", 0.3, 0.5),
        ("B", "accuracy", 0.1, 0.5),
    ]
]
"""Twelve photos: A points better than B on each; their positive ratios are alike."""


def test_bold_is_what_is_not_worse_than_the_best_where_something_is(recipe):
    assert entries(recipe, "A", "L", MANY)["PG"].best
    assert not entries(recipe, "B", "L", MANY)["PG"].best
    for label in "AB":
        found = entries(recipe, label, "L", MANY)
        assert not found["PR"].best, "neither is better, so neither is bold"
        assert not found["at half"].best, "of a column that knows no better"
        assert not found["DIF"].best, "one image shows nothing"
    zeros = [one | {"value": 0.0} for one in MANY]
    assert not any(entry.best for label in "AB" for entry in entries(recipe, label, "L", zeros).values())


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_what_could_not_be_tested_is_neither_bold_nor_in_the_way(recipe, value):
    """A method with a number of one image, the worst or the best of all: nothing is known of it."""
    three = dataclasses.replace(recipe, methods=(*recipe.methods, MethodRun("C", "eb")))
    rows = [*MANY, row("C", "pointing", value, unit=MANY[0]["unit"])]
    assert entries(three, "A", "L", rows)["PG"].best
    assert not entries(three, "B", "L", rows)["PG"].best
    assert not entries(three, "C", "L", rows)["PG"].best


@pytest.mark.parametrize(("images", "bold"), [(5, False), (6, False), (7, True), (12, True)])
def test_a_method_of_too_few_images_to_be_told_from_the_best_is_not_its_equal(images, bold, recipe):
    """Two methods are tested against the best: at 6 images no outcome is significant, 2 / 2 ** 6 twice."""
    three = dataclasses.replace(recipe, methods=(*recipe.methods, MethodRun("C", "eb")))
    rows = [*MANY, *(one | {"method": "C"} for one in MANY if one["method"] == "A" and one["unit"] in FIRST[:images])]
    assert entries(three, "A", "L", rows)["PG"].best
    assert entries(three, "C", "L", rows)["PG"].best is bold


FIRST = [f"photo{index}" for index in range(12)]


def test_a_method_stands_beside_the_reference(recipe):
    found = entries(recipe, "B", "L", MANY)
    assert all(entry.to_reference is None for entry in entries(recipe, "A", "L", MANY).values())
    beside = found["PG"].to_reference
    assert beside.difference.value == pytest.approx(-0.245, abs=0.006)
    assert -0.25 - 1e-9 <= beside.difference.low < beside.difference.high <= -0.24 + 1e-9
    assert beside.p == pytest.approx(2 / 2**12)
    assert found["PR"].to_reference.p > 0.05
    assert math.isnan(found["DIF"].to_reference.p)
    assert math.isnan(found["DIF"].to_reference.difference.low)


def test_without_one_reference_nothing_is_compared(recipe):
    methods = (MethodRun("A", "ae", {"gamma": 1.2}), MethodRun("B", "ae", {"gamma": 1.5}))
    two = dataclasses.replace(recipe, methods=methods)
    assert entries(two, "B", "L", MANY)["PG"].to_reference is None
    assert entries(two, "A", "L", MANY)["PG"].best


def test_every_number_says_of_how_many_images_it_is(recipe):
    lines = summarize(recipe, Rows.of(MANY), PAIRS)
    assert lines[0].images == [12, 1, 12, 12]
    text = markdown(recipe, lines, [], {PAIRS[0]: 9})
    assert "| A | L | 12, 1, 12, 12 | **0.50" in text
    assert "9 photos; n: images behind a number" in text
    assert "none of fewer than 2" in text
    assert "| 0.503 |" in text, "of the one difficult image, without an interval"


def test_markdown_has_a_cell_per_head(recipe):
    lines = summarize(recipe, Rows.of(ROWS), PAIRS)
    (block,) = blocks(lines).values()
    paper = ["paper", "difference", "verdict"]
    assert head(block) == ["method", "targets", "n", "PG", *paper, "DIF", "PR", "at half"]
    assert {len(texts) for texts in cells(block)} == {10}
    text = markdown(recipe, lines, ["a note"])
    assert "- a note" in text
    assert "| A | P | 2, 0, 1, 1 | 0.500 [0.000, 1.000] | 0.500 | +0.000 | cannot be decided |" in text
    assert "undefined" in text
    first, second = text.split("### Difference to A")
    assert first.count("\n| ") == 2 + len(lines)
    assert second.count("\n| ") == 2 + 2
    assert "Method less A on the images" in second


@pytest.mark.parametrize("width", [80, 50, 200, *range(60, 76)])
def test_a_terminals_tables_are_as_wide_as_it(recipe, width):
    heads_seen = []
    for pair, heads, rows in narrow(summarize(recipe, Rows.of(MANY), PAIRS), width):
        assert pair == PAIRS[0]
        assert heads[:2] == ["method", "targets"]
        sizes = [max(len(row[place].replace("**", "")) for row in [heads, *rows]) for place in range(len(heads))]
        assert sum(sizes) + 3 * (len(sizes) - 1) <= width
        heads_seen += heads[2:]
    assert heads_seen == ["n", "PG", "paper", "DIF", "PR", "at half"]


@pytest.mark.parametrize("width", range(50, 110))
def test_no_cell_is_cut_whatever_the_width(recipe, width, monkeypatch, capsys):
    from equipoise.cli import reproducing

    monkeypatch.setattr(reproducing.tables, "WIDTH", width)
    reproducing._print(recipe, summarize(recipe, Rows.of(MANY), PAIRS))
    out = capsys.readouterr().out
    assert "\N{HORIZONTAL ELLIPSIS}" not in out
    assert max(map(len, out.splitlines())) <= max(width, 45)


def test_latex_is_escaped_and_bold(recipe):
    odd = dataclasses.replace(recipe, methods=(MethodRun("A", "ae"), MethodRun("c*_1 & 5%", "rap")))
    rows = [one | {"method": "c*_1 & 5%" if one["method"] == "B" else "A"} for one in MANY]
    text = latex(odd, summarize(odd, Rows.of(rows), PAIRS))
    assert r"c*\_1 \& 5\% & L &" in text
    assert r"\textbf{0.50" in text
    assert text.count(r"\toprule") == text.count(r"\end{tabular}") == 1
    (head_line,) = [line for line in text.splitlines() if line.startswith("method")]
    assert head_line.count("&") == 9


def test_csv_has_a_line_for_every_number(recipe):
    lines = summarize(recipe, Rows.of(MANY), PAIRS)
    found = list(csv.DictReader(io.StringIO(as_csv(lines))))
    assert len(found) == 2 * 2 * 4
    first = found[0]
    assert (first["method"], first["targets"], first["column"], first["images"]) == ("A", "L", "PG", "12")
    assert float(first["value"]) == pytest.approx(0.5055)
    assert first["paper"] == first["to_reference_p"] == ""
    (dif,) = [one for one in found if (one["method"], one["targets"], one["column"]) == ("B", "P", "DIF")]
    assert dif["low"] == ""
    assert as_csv([]) == ""


def test_ranks_are_taken_over_networks(recipe):
    three = dataclasses.replace(recipe, methods=(*recipe.methods, MethodRun("C", "rsp")))
    rows = [*MANY, *(one | {"method": "C", "value": 0.1} for one in MANY if one["method"] == "B")]
    rows = [*rows, *(one | {"model": "resnet"} for one in rows)]
    lines = summarize(three, Rows.of(rows), [*PAIRS, ("voc2007", "resnet")])
    found = ranked(three, lines)
    assert list(found) == ["PG, L", "DIF, L", "PR, L", "PG, P", "DIF, P", "PR, P"], "at half knows no better"
    assert found["PG, L"].average == (1.0, 2.0, 3.0)
    assert found["PR, L"].average[2] == 1.0
    assert found["PG, L"].blocks == 2
    assert ranked(three, lines[: len(lines) // 2]) == {}
    assert ranked(recipe, summarize(recipe, Rows.of(rows), [*PAIRS, ("voc2007", "resnet")])) == {}


def test_the_json_has_every_number(recipe):
    found = json.loads(json.dumps(as_json(summarize(recipe, Rows.of(ROWS), PAIRS))))
    assert len(found) == 4
    assert found[1]["entries"][0]["paper"] == 0.5
    assert found[1]["entries"][0]["difference"] == pytest.approx(0.0)
    assert found[1]["entries"][0]["verdict"] == "cannot be decided"


def test_another_architectures_number_is_for_orientation_and_decides_nothing(recipe):
    beside = dataclasses.replace(recipe, references={"voc2007": {"vgg16": PAIRS[0]}})
    for model, said in (("mine_vgg16", "cannot be decided"), ("mine_resnet", None)):
        rows = [one | {"model": model} for one in ROWS]
        entry = summarize(beside, Rows.of(rows), [("voc2007", model)])[1].entries[0]
        assert (entry.paper, entry.verdict) == (0.5, said)
        text = markdown(beside, summarize(beside, Rows.of(rows), [("voc2007", model)]), [])
        assert ("of another architecture: for orientation" in text) is (said is None)
        counted = re.findall(r"^Of \d+ numbers .* \d+ cannot be decided\.$", text, re.MULTILINE)
        assert len(counted) == (said is not None)


def test_without_rows_there_is_no_line(recipe):
    assert summarize(recipe, Rows.of([]), PAIRS) == []
    assert summarize(recipe, Rows.of([row("A", "another metric", 1.0)]), PAIRS) == []


def test_a_method_that_was_left_out_has_no_line(recipe):
    rows = [one for one in ROWS if one["method"] == "A"]
    assert {line.label for line in summarize(recipe, Rows.of(rows), PAIRS)} == {"A"}


def test_zero_has_no_sign():
    small = Estimate(-1e-5, -2e-4, 3e-4, rows=9, undefined=0, images=9)
    number = TableNumber("sum", small, 0.0, to_reference=Comparison(small, math.nan))
    line = TableRow("d", "m", "c*LRP", "", (number,))
    assert plain(number) == "0.000 [0.000, 0.000]"
    assert compared([line])[1] == [["c*LRP", "+0.000 [+0.000, +0.000]"]]
    assert "-0" not in "".join(text for row in cells([line]) for text in row)
