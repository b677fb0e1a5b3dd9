"""docs/migration.md: both calls of a row run, and their maps differ by no more than the row says."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch

from equipoise import metrics
from helpers import relative_error

TEXT = (Path(__file__).parents[2] / "docs" / "migration.md").read_text(encoding="utf-8")
HEAD, *PARTS = re.split(r"^## ", TEXT, flags=re.MULTILINE)
NEEDS = {"captum": "captum", "zennit": "zennit", "pytorch-grad-cam": "pytorch_grad_cam", "TorchRay": None}
ROWS = [
    (part.splitlines()[0], *row)
    for part in PARTS
    for row in re.findall(r"^\| `(.+?)` \| `(.+?)` \| ([^|]+) \|$", part, re.MULTILINE)
]


def space(library):
    """The names that the page's code gives, up to the library's own."""
    names: dict = {}
    (part,) = [part for part in PARTS if part.startswith(library)]
    code = re.findall(r"```python\n(.*?)```", HEAD + part, re.DOTALL)
    exec(compile("\n".join(code), "migration.md", "exec"), names)  # noqa: S102  # the page's own code
    return names


def test_every_library_has_its_section_and_rows():
    assert [part.splitlines()[0] for part in PARTS] == [*NEEDS]
    assert {row[0] for row in ROWS} == {*NEEDS}
    assert len(ROWS) == sum(line.startswith("| `") for line in TEXT.splitlines())


@pytest.mark.parametrize(("library", "theirs", "ours", "differs"), ROWS, ids=[f"{row[0]}-{row[2]}" for row in ROWS])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # the other libraries'
def test_a_row_is_so(library, theirs, ours, differs):
    """Both calls run; where the row has a number, the maps agree. TorchRay's calls are not run."""
    needed = NEEDS[library]
    if needed and importlib.util.find_spec(needed) is None:
        pytest.skip(f"{library} is not installed")
    if ours.startswith("equipoise.metrics"):
        assert getattr(metrics, ours.rpartition(".")[2])
        return
    names = space(library)
    found = eval(ours, names)  # noqa: S307  # the page's own call
    assert found.isfinite().all()
    assert found.any()
    if needed is None:
        assert differs.startswith("not run")
        return
    expected = eval(theirs, names)  # noqa: S307
    if re.fullmatch(r"1e-\d", differs):
        assert found.shape == expected.shape
        assert relative_error(found, expected.detach()) <= float(differs)
    else:
        assert re.match("random draws", differs)
        assert torch.isfinite(expected).all()
