"""The pages that the commands leave: of explained photos, and of a recipe."""

import re
import sys

import pytest

import colors
from equipoise import models
from equipoise.cli import main
from equipoise.datasets.base import Sample
from equipoise.experiments import Column, Plan, Recipe, run
from equipoise.experiments.presenting.writing import write
from equipoise.experiments.protocols.gallery import Gallery


@pytest.fixture
def explain(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(models, "load_model", lambda *_, **__: colors.build())
    monkeypatch.chdir(tmp_path)
    for color in ("red", "blue"):
        colors.photo(color, 8, 8).save(tmp_path / f"{color}.png")

    def call(*arguments):
        status = main(["explain", "red.png", "blue.png", "--method", "ae,gradient", *arguments])
        return status, *capsys.readouterr()

    return call


def captions(text):
    return re.findall(r"<figcaption>(.*?)</figcaption>", text)


def test_explain_writes_a_report(explain, tmp_path):
    status, out, err = explain("--report", "why.html", "--target", "red,top")
    assert (status, err) == (0, "")
    assert "the report is why.html" in out
    text = (tmp_path / "why.html").read_text(encoding="utf-8")
    assert captions(text) == [
        "red.png: red (over 99.9 %), Attribution Equilibrium",
        "red.png: red (over 99.9 %), Gradient",
        "blue.png: red (under 0.1 %), Attribution Equilibrium",
        "blue.png: blue (over 99.9 %), Attribution Equilibrium",
        "blue.png: red (under 0.1 %), Gradient",
        "blue.png: blue (over 99.9 %), Gradient",
    ]
    assert text.count("<tr>") == 1 + 6
    assert re.findall(r'data-filter="(\w+)"', text) == ["photo", "class", "method"]
    assert "gamma" in text
    assert list((tmp_path / "equipoise-out").glob("*.json"))  # and everything else as without a report


REPORTED = {
    "regression": (
        'task = "regression"\nunit = "years"\nclasses = ["age"]', "0", "value",
        ["Red raises the value, blue lowers it.", " years"],
    ),
    "multi-label": ('task = "multi-label"\nclasses = ["cat"]', "top", "label", ["speak for the label", "cat (", " %"]),
    "assumed": ("", "top", "class", ["Assumed: no preprocessing was given", "(binary)"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", REPORTED)
def test_a_report_speaks_of_the_network_in_the_words_of_its_task(kind, capsys, tmp_path, monkeypatch):
    """Of one output: the head of the table, the colors, unit or share, and what was assumed, once for two photos."""
    said, target, what, words = REPORTED[kind]
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    module = f"reported_{kind.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(
        "from torch import nn\n\n\ndef build():\n"
        "    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1)\n"
        "    return nn.Sequential(*layers).eval()\n"
    )
    prepared = "[preprocessing]\nsize = 32\nmean = [0.5, 0.5, 0.5]\nstd = [0.5, 0.5, 0.5]\n"
    text = f'architecture = "{module}:build"\n{said}\n{prepared if said else ""}'
    (tmp_path / "net.toml").write_text(text)
    for color in ("red", "blue"):
        colors.photo(color, 8, 8).save(tmp_path / f"{color}.png")
    call = ["explain", "red.png", "blue.png", "--model", "net.toml", "--method", "lrp_composite,gradient"]
    assert main([*call, "--target", target, "--report", "why.html"]) == 0
    told = capsys.readouterr().err.count("note: ")
    page = (tmp_path / "why.html").read_text(encoding="utf-8")
    for word in words:
        assert word in page
    assert f'<th scope="col">{what}</th>' in page
    assert "LRP composite" in page
    head, record = page[: page.index("<main>")], page[page.index('id="record"') :]
    notes = re.findall(r"Assumed: (.{30})", head)
    assert len(notes) == told == (3 if kind == "assumed" else 0)
    for note in notes:
        assert head.count(note) == 1
        assert note in record
    assert "&#34;task&#34;" in record
    assert "&#34;preprocessing&#34;" in record


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("why.pdf", "ends in .html"),
        ("absent/why.html", "there is no folder absent"),
        ("folder.html", "is a folder"),
    ],
)
def test_a_report_that_cannot_be_is_refused_before_any_work(explain, tmp_path, name, words):
    (tmp_path / "folder.html").mkdir()
    status, out, err = explain("--report", name)
    assert (status, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
    assert not (tmp_path / "equipoise-out").exists()


def test_without_jinja2_the_report_is_refused_before_any_work(explain, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    status, _, err = explain("--report", "why.html")
    assert status == 2
    assert "pip install equipoise[evaluate]" in err
    assert not (tmp_path / "equipoise-out").exists()


@pytest.mark.parametrize("photos", [True, False])
def test_a_recipe_leaves_a_page(tmp_path, monkeypatch, photos):
    recipe = Recipe(
        name="small",
        title="A <small> table",
        summary="of the small world",
        protocol=Gallery(explain="both"),
        pairs=(("folder", "colors:build"),),
        methods=(colors.PERFECT, colors.UNIFORM),
        columns=(Column("PR", "positive_ratio", higher_is_better=False),),
        published={("folder", "colors:build", "perfect", "", "PR"): 0.25},
        figure="gallery",
    )
    world = colors.write_world(tmp_path / "world", 3)
    finished = run(Plan(recipe, tmp_path / "run", world))
    opened = []
    image = Sample.image
    monkeypatch.setattr(Sample, "image", lambda sample: (opened.append(sample.key), image(sample))[1])
    _, files = write(finished, photos=photos)
    page = tmp_path / "run" / "table.html"
    assert page in files
    text = page.read_text(encoding="utf-8")
    assert "<h1>A &lt;small&gt; table</h1>" in text
    heads = ["method", "n", "PR", "paper", "difference", "verdict"]
    assert re.findall(r'<th scope="col">(.*?)</th>', text) == heads
    (perfect,) = re.findall(r"<tr>\s*<td>perfect</td>(.*?)</tr>", text, re.DOTALL)
    values = [float(value) for value in re.findall(r'data-value="(.*?)"', perfect)]
    assert values[0] == pytest.approx(16**2 / 48**2)
    assert values[1:] == pytest.approx([0.25, 16**2 / 48**2 - 0.25], abs=1e-3)
    assert "interval" in perfect
    names = captions(text)
    assert names[0] == "small-folder"  # the figure
    assert len(names) == 1 + 3 * 2
    assert names[1] == "photo00.png, red, over 99.9 %, perfect, colors:build, folder"
    assert '"recipe": "small"' in text.replace("&#34;", '"')
    assert bool(opened) == photos
