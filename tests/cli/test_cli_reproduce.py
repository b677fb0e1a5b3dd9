"""``equipoise reproduce``: the documented ways, and every wrong argument in one sentence."""

import json

import pytest

import colors
from equipoise.cli import main
from equipoise.errors import UnknownNameError


@pytest.fixture
def world(tmp_path):
    return colors.write_world(tmp_path / "world")


@pytest.fixture
def reproduce(world, tmp_path, capsys):
    """Run the command on the small world; exit status, stdout, stderr."""

    def call(recipe, *arguments, model="colors:build", dataset="folder", output="out"):
        command = ["reproduce", recipe, "--data", str(world), "--output", str(tmp_path / output)]
        command += ["--model", model] if model else []
        command += ["--dataset", dataset] if dataset else []
        status = main([*command, *arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


def test_a_table_on_own_data_with_an_own_network_and_an_own_method(reproduce, tmp_path):
    status, out, err = reproduce("table1", "--method", "AE,grad_cam,colors:perfect")
    assert status == 0, err
    for label in ("AE", "Grad-CAM", "perfect"):
        assert label in out
    assert "LRP-COMP" not in out
    table = json.loads((tmp_path / "out/table.json").read_text(encoding="utf-8"))
    perfect = next(line for line in table if line["label"] == "perfect" and line["setting"] == "L")
    assert perfect["entries"][0]["ours"]["value"] == 1.0
    assert (tmp_path / "out/rows.parquet").is_file()
    assert (tmp_path / "out/table.md").is_file()


def test_tables_fit_eighty_columns_and_no_number_is_cut(reproduce, tmp_path):
    """Table 1 with its five columns and the paper's numbers: several tables, every interval whole."""
    status, out, err = reproduce("table1", "--method", "AE,grad_cam,Relevance-CAM,colors:perfect")
    assert status == 0, err
    lines = out.splitlines()
    tables = [line for line in lines if line.startswith(("method", "AE", "Grad-CAM", "Relevance-CAM", "perfect"))]
    assert max(map(len, lines[: lines.index(tables[-1])])) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in out
    assert sum(line.startswith("method") for line in tables) > 1
    found = json.loads((tmp_path / "out/table.json").read_text(encoding="utf-8"))
    for line in found:
        for entry in line["entries"]:
            ours = entry["ours"]
            number = f"{ours['value']:.3f} [{ours['low']:.3f}, {ours['high']:.3f}]" if ours["value"] is not None else ""
            assert number in out
    assert (tmp_path / "out/table.tex").is_file()
    assert (tmp_path / "out/table.csv").is_file()


def test_maps_are_kept_of_as_many_images_as_asked(reproduce, tmp_path):
    assert reproduce("fig5", "--method", "AE,colors:perfect", "--keep-maps", "2")[0] == 0
    assert len(list(tmp_path.glob("out/maps/*.safetensors"))) == 1
    assert reproduce("fig5", "--method", "AE", "--keep-maps", "0", output="none")[0] == 0
    assert not list(tmp_path.glob("none/maps/*"))
    assert reproduce("fig5", "--method", "AE", "--keep-maps", "-1", output="other")[0] == 2


def test_a_plus_adds_to_the_recipes_methods(reproduce, tmp_path):
    status, out, err = reproduce("table2", "--method", "+colors:perfect", "--limit", "2")
    assert status == 0, err
    assert "C+A+U+Psi" in out
    assert "perfect" in out


def labels(*words):
    from equipoise.cli.reproducing import ReproduceRequest, narrowed
    from equipoise.experiments import RECIPES

    request = ReproduceRequest(
        "planted",
        None,
        (),
        (),
        words,
        (),
        limit=None,
        resume=False,
        strict=False,
        photos=True,
        device=None,
        output=None,
    )
    return [one.label for one in narrowed(RECIPES["planted"], request).methods]


def test_every_method_that_a_recipe_has_set_can_be_named_and_all_of_them_are_every():
    from equipoise.experiments import RECIPES

    planted = RECIPES["planted"]
    more = [one.label for one in planted.more]
    assert labels() == [one.label for one in planted.methods]
    assert labels("every") == [*labels(), *more]
    assert labels("+rise", "colors:perfect") == [*labels(), "RISE", "perfect"]
    assert labels("ae") == ["AE"]
    assert labels("AE fine") == ["AE fine"]
    for wrong, near in (("evry", "every"), ("+evrey", "every"), ("AE fien", "AE fine"), ("grad_can", "grad_cam")):
        with pytest.raises(UnknownNameError, match=f"did you mean {near}"):
            labels(wrong)


OWN = """
from equipoise.experiments import Column, MethodRun, Recipe
from equipoise.experiments.protocols.pointing import Pointing

MINE = Recipe("mine", "My table", "pointing", Pointing(tolerance=1), (("folder", "colors:build"),),
              (MethodRun("perfect", "colors:perfect"),), (Column("PG", "pointing_game"),))
NO_RECIPE = 3
"""


def test_a_recipe_of_ones_own_is_run_by_where_it_is(reproduce, tmp_path, monkeypatch):
    (tmp_path / "own_recipe_of_test.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "typo_of_test.py").write_text(OWN.replace("pointing_game", "poiting"), encoding="utf-8")
    figure = OWN.replace('"pointing_game"),))', '"pointing_game"),), figure="galery")')
    (tmp_path / "figure_of_test.py").write_text(figure, encoding="utf-8")
    (tmp_path / "broken_of_test.py").write_text("1 / 0", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    status, out, err = reproduce("own_recipe_of_test:MINE", "--option", "tolerance=2", model=None, dataset=None)
    assert status == 0, err
    assert "My table" in out
    assert json.loads((tmp_path / "out/run.json").read_text(encoding="utf-8"))["recipe"] == "mine"
    for name, message in {
        "own_recipe_of_test:YOURS": "has no YOURS",
        "own_recipe_of_test:NO_RECIPE": "is of type int, not an equipoise.experiments.Recipe",
        "no_such_module_of_mine:MINE": "cannot import no_such_module_of_mine",
        "typo_of_test:MINE": "no metric is called 'poiting'; did you mean pointing_game",
        "figure_of_test:MINE": "no figure is called 'galery'; did you mean gallery",
        "broken_of_test:MINE": "cannot import broken_of_test (division by zero)",
    }.items():
        status, out, err = reproduce(name, output="other")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert message in err


def test_results_are_kept_and_resumed(reproduce):
    assert reproduce("fig8", "--limit", "2", "--method", "gamma 1.0")[0] == 0
    status, _, err = reproduce("fig8", "--limit", "2", "--method", "gamma 1.0")
    assert status == 2
    assert "--resume" in err
    status, out, _ = reproduce("fig8", "--limit", "3", "--method", "gamma 1.0", "--resume")
    assert status == 0
    assert "9 rows" in out


def test_an_option_reaches_the_protocol(reproduce, tmp_path):
    status, _, err = reproduce("fig10", "--method", "AE", "--option", "shares=0.25,0.5", "--option", "canvas=black")
    assert status == 0, err
    record = json.loads((tmp_path / "out/run.json").read_text(encoding="utf-8"))
    assert json.loads(record["protocol"])["shares"] == [0.25, 0.5]
    assert json.loads(record["protocol"])["canvas"] == "black"


def test_a_broken_image_is_named_and_the_status_says_so(reproduce, world):
    (world / "images/photo01.png").write_bytes(b"no image")
    status, out, err = reproduce("table2", "--method", "C")
    assert status == 2
    assert "photo01.png" in err
    assert "rows" in out
    status, _, err = reproduce("table2", "--method", "C", "--strict", output="strict")
    assert status == 2
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "changes", "message"),
    [
        ((), {"recipe": "tabel1"}, "table1"),
        (("--method", "grad_cma"), {}, "grad_cam"),
        (("--method", "colors:nothing"), {}, "nothing"),
        (("--method", "missing_module:fn"), {}, "missing_module"),
        ((), {"model": "resnet51"}, "resnet"),
        ((), {"model": "colors:uniform"}, "colors:uniform"),
        ((), {"dataset": "voc"}, "voc2007"),
        ((), {"dataset": "coco2014"}, "cocodataset.org"),
        (("--option", "tolerence=3"), {}, "tolerance"),
        (("--option", "tolerance"), {}, "key=value"),
        (("--option", "tolerance=wide"), {}, "tolerance"),
        (("--limit", "0"), {}, "--limit"),
        (("--limit", "many"), {}, "limit"),
        (("--device", "gpu9"), {}, "gpu9"),
    ],
)
def test_a_wrong_argument_gets_one_sentence(reproduce, tmp_path, arguments, changes, message):
    changes = dict(changes)
    status, out, err = reproduce(changes.pop("recipe", "table1"), *arguments, **changes)
    assert status == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert err.startswith("equipoise: ")
    assert not list(tmp_path.glob("out/parts/*"))


def test_lists_say_what_there_is(capsys):
    assert main(["list", "recipes"]) == 0
    recipes = capsys.readouterr().out
    assert "table1" in recipes
    assert "fig11" in recipes
    assert main(["list", "datasets"]) == 0
    datasets = capsys.readouterr().out
    assert "looked for: voc2007/VOC2007/ImageSets/Main/test.txt" in datasets
    assert "how to get it:" in datasets


def test_the_data_set_keeps_its_networks_unless_others_are_named():
    """``--dataset voc2007`` of Table 1 runs the networks for VOC, not those for COCO."""
    from equipoise.cli.reproducing import ReproduceRequest, narrowed
    from equipoise.experiments import RECIPES

    def pairs(datasets=(), models=()):
        request = ReproduceRequest("table1", None, datasets, models, (), (), None, False, False, True, None, None)
        return narrowed(RECIPES["table1"], request).pairs

    assert pairs(("voc2007",)) == (("voc2007", "torchray/vgg16_voc"), ("voc2007", "torchray/resnet50_voc"))
    assert pairs(("folder",), ("vgg16",)) == (("folder", "vgg16"),)
    assert pairs(models=("vgg16",)) == (("voc2007", "vgg16"), ("coco2014", "vgg16"))
    assert len(pairs(("folder",))) == 4


def test_progress_shows_images_per_second_and_the_time_left(monkeypatch):
    import io

    from rich.console import Console

    from equipoise.cli import reproducing

    shown = io.StringIO()
    monkeypatch.setattr(reproducing, "Console", lambda **_: Console(file=shown, force_terminal=True, width=160))
    with reproducing._Progress() as progress:
        progress.begin("voc2007, vgg16", 4)
        for _ in range(3):
            progress.done()
        progress.line("a broken file")
    text = shown.getvalue()
    assert "voc2007, vgg16" in text
    assert "images/s" in text
    assert "3/4" in text
    assert "0:00" in text
    assert "equipoise: a broken file" in text
