"""The package as a whole: what importing it costs, what it shows, what its registries hold."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import equipoise
from equipoise._registry import Registry
from equipoise.errors import DuplicateNameError, EquipoiseError, UnknownNameError
from equipoise.methods.base import title_of
from equipoise.methods.gradient import Gradient
from equipoise.methods.registering import MethodRegistry

HEAVY = ["torchvision", "timm", "matplotlib", "PIL", "typer", "rich", "captum", "quantus", "zennit", "safetensors"]


def run(code):
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own code
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_importing_is_light_and_silent():
    """``import equipoise`` loads not even torch; using a method loads torch and nothing heavier."""
    loaded = run("import equipoise, sys, json; print(json.dumps(sorted(sys.modules)))")
    assert "torch" not in loaded
    code = (
        f"import equipoise, sys, json; equipoise.attribute; print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    )
    assert run(code) == []


def test_every_error_is_ours_and_pythons():
    from equipoise import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EquipoiseError)]
    for kind in kinds:
        if kind is not EquipoiseError:
            assert any(base.__module__ == "builtins" and base is not Exception for base in kind.__mro__[1:-3])
            assert str(kind("one sentence")) == "one sentence"


def test_the_papers_spellings_are_aliases():
    spellings = {
        "c*EB": "contrastive_eb",
        "LRP-COMP": "lrp_composite",
        "c*LRP": "contrastive_lrp",
        "RCAM": "relevance_cam",
    }
    for spelling, name in spellings.items():
        assert equipoise.METHODS.canonical(spelling) == name
        assert equipoise.METHODS[spelling] is equipoise.METHODS[name]


@pytest.mark.parametrize("name", equipoise.METHODS.names())
def test_every_method_describes_itself(name):
    entry = equipoise.METHODS[name]
    assert entry.level in ("pixel", "map")
    assert isinstance(entry.signed, bool)
    assert isinstance(entry.costly, bool)
    assert 10 < len(entry.summary) < 90
    assert entry.title.casefold() not in entry.summary.casefold()  # it says what is shown, not the name again
    assert entry.__doc__
    assert "title" in vars(entry)  # not another's, which it derives from
    assert "_" not in entry.title


def test_every_method_has_a_title_of_its_own():
    titles = [title_of(name) for name in equipoise.METHODS]
    assert len({title.casefold() for title in titles}) == len(titles)
    assert title_of("Grad-CAM") == "Grad-CAM"
    assert title_of("grad_cam") == "Grad-CAM"
    assert title_of("mine:attribute") == "mine:attribute"


def test_a_method_without_a_title_is_called_by_its_name():
    registry = MethodRegistry("method")

    class Mine(Gradient):
        """Of a user."""

    assert registry.add("my_method", Mine).title == "My method"
    assert Gradient.title == "Gradient"


def test_a_registry_suggests_and_refuses_doubles():
    registry: Registry[int] = Registry("color")
    registry.add("red", 1, aliases=("Rouge",))
    registry.register("green")(2)
    assert (registry["ROUGE"], registry.names(), len(registry), "redd" in registry) == (1, ["red", "green"], 2, False)
    with pytest.raises(DuplicateNameError, match="Rouge"):
        registry.add("Rouge", 3)
    with pytest.raises(UnknownNameError, match="did you mean green"):
        registry["gren"]
    with pytest.raises(UnknownNameError, match=r"did you mean red\?$"):
        registry["rouges"]  # near an alias, which is shown by its one name
    with pytest.raises(KeyError, match="known: red, green"):
        registry["zzzz"]
    with pytest.raises(UnknownNameError, match=r"no color is called 'evry'; did you mean every\?$"):
        registry.canonical("evry", ["every"])


def test_files_are_short():
    """One idea, one place: 300 lines is the aim, 500 the end."""
    root = Path(__file__).parents[1]
    for file in [*root.glob("src/**/*.py"), *root.glob("tests/**/*.py")]:
        assert len(file.read_text().splitlines()) <= 500, file
