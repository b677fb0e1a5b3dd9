"""A photo's walk from the command line to its map is short, and CONTRIBUTING draws it as it is."""

import re
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from equipoise import engine
from equipoise.cli import main
from equipoise.methods.base import Method
from shapes import unchecked

PACKAGE = Path(engine.__file__).parents[1]
ROOT = PACKAGE.parents[1]
LONGEST = 20
BEHIND_THE_FRONT_DOOR = (
    "engine/", "methods/registering",
    *(f"models/{name}" for name in ("arguments", "bundled", "checkpoints", "labels", "sources", "wrappings", "zoo")),
)  # fmt: skip


def _caller(frame):
    """The file that a function is called from, past what checks its annotations while tests run."""
    while frame := frame.f_back:
        file = frame.f_code.co_filename
        if not file.startswith("<@beartype") and "jaxtyping" not in Path(file).parts:
            return file
    return ""


def walked(arguments):
    """The files entered, in order, from the command to the method's map; an entry is a call from another file."""
    found = []

    def note(frame, event, _argument):
        if event != "call" or frame.f_code.co_name == "<module>":
            return
        file, caller = frame.f_code.co_filename, _caller(frame)
        if not file.startswith(str(PACKAGE)) or file == caller:
            return
        name = Path(file).relative_to(PACKAGE).as_posix()
        if not name.startswith(("_", *BEHIND_THE_FRONT_DOOR)) and "Registry" not in name:
            found.append(name)
        if frame.f_code is unchecked(Method.attribute).__code__:
            sys.setprofile(None)
            threading.setprofile(None)

    sys.setprofile(note)
    threading.setprofile(note)  # photos are read ahead
    try:
        assert main(arguments) == 0
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found


@pytest.fixture
def walk(photo, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    photo()
    arguments = ["explain", "cat.png", "--method", "gradient"]
    main(arguments)  # what is imported lazily is there from now on
    return walked(arguments)


def test_the_walk_is_short_and_drawn(walk):
    files = set(walk)
    assert len(files) <= LONGEST, sorted(files)
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (drawn,) = re.findall(r"```text walk\n(.*?)```", text, re.DOTALL)
    named = Counter(re.findall(r"\w+(?:/\w+)*\.py", drawn))
    assert set(named) == files
    assert max(named.values()) <= 2


def test_each_stage_is_passed_once_for_each_photo(walk):
    """Looking and explaining happen in one place each, whatever the number of files."""
    stages = ["cli/explaining.py", "loading.py", "cli/together.py", "batches.py"]
    counts = [walk.count(name) for name in stages]
    assert counts[:2] == [1, 1]
    assert max(counts[2:]) <= 2
    assert [name for name in dict.fromkeys(walk) if name in stages] == stages
