"""docs/scenes.md: its example runs, and a row of its table is measured again."""

import re
from pathlib import Path

import pytest

from equipoise.scenes.measuring import table

PAGE = (Path(__file__).parents[2] / "docs" / "scenes.md").read_text()


def test_the_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(code, "scenes.md", "exec"), {})  # noqa: S102  # that is the test
    assert "'cause': 1.0" in capsys.readouterr().out


@pytest.mark.parametrize(("network", "method"), [("plain", "ae"), ("residual", "ae profile=fine")])
def test_a_row_of_the_table(network, method):
    head, _, row = table([method], [network], 100, 0)
    assert head in PAGE
    (said,) = re.findall(rf"\| {network} \| {method} \| (.*) \|", PAGE)
    found = [float(cell) for cell in row.split("|")[3:-1]]
    assert [float(cell) for cell in said.split("|")] == pytest.approx(found, abs=0.004)
