"""Files that hosts and tools read: each is what its reader takes, and says what is so."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FILES = sorted([ROOT / ".pre-commit-config.yaml", *ROOT.glob(".github/**/*.yml")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_yaml(path):
    assert yaml.safe_load(path.read_text(encoding="utf-8"))


def test_hooks_are_what_lint_asks():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = re.search(r"^lint:.*?\n\n", makefile, re.DOTALL | re.MULTILINE).group()
    tools = re.findall(r"bin/([\w-]+)(?: (check|format))?", lint)
    assert [one["entry"].removesuffix(" --fix") for one in hooks] == [" ".join(filter(None, one)) for one in tools]


def test_the_release_uses_targets_that_exist():
    flow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    runs = [step["run"] for job in flow["jobs"].values() for step in job["steps"] if "run" in step]
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {word for line in runs if line.startswith("make ") for word in line.split()[1:]}
    assert {"lint", "test", "dist"} <= named <= targets


def test_versions_of_python_are_those_of_the_classifiers():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    classified = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    flow = yaml.safe_load((ROOT / ".github/workflows/release.yml").read_text(encoding="utf-8"))
    assert flow["jobs"]["import"]["strategy"]["matrix"]["python"] == classified
    assert f'requires-python = ">={classified[0]}"' in project


def test_templates_of_issues_ask_something():
    for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        if path.name != "config.yml":
            template = yaml.safe_load(path.read_text(encoding="utf-8"))
            assert {"name", "description", "body"} <= set(template)
            assert all(one["type"] in {"input", "textarea"} and one["id"] for one in template["body"])
