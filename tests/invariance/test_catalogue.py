"""Two spellings of one function get one map, or the odd one is refused by name: the catalogue, by every method.

The catalogue is gone through in a process of its own, because there the type checks that the suite puts on every
call of the engine are off; with them it would take ten times as long. To see one family as a table:
``python tests/invariance/survey.py --family NAME --verbose``.
"""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from catalogue import DIFFERENT, FAMILIES, PAIRS, REFUSED
from comparing import EXPORTED, RUNS, TAPE, Row, Study, names_what_it_refuses, state_of
from families import SIGNED, Family, signal

from equipoise.methods import METHODS

SURVEY = Path(__file__).with_name("survey.py")


def rows_of(plan: str, folder: Path) -> dict[str, list[Row]]:
    path = folder / f"{plan}.pickle"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, SURVEY, "--plan", plan, "--into", path]
    subprocess.run(command, check=True, env=environment)  # noqa: S603  # our own code
    rows: dict[str, list[Row]] = {name: [] for name in FAMILIES}
    for row in pickle.loads(path.read_bytes()):  # noqa: S301  # written there
        rows[row.family].append(row)
    return rows


@pytest.fixture(scope="module")
def default(tmp_path_factory) -> dict[str, list[Row]]:
    return rows_of("default", tmp_path_factory.mktemp("default"))


@pytest.fixture(scope="module", params=["float64", "float32"])
def every(request, tmp_path_factory) -> dict[str, list[Row]]:
    return rows_of(request.param, tmp_path_factory.mktemp(request.param))


def refused(rows: list[Row]) -> set[str]:
    """The spellings that a method which reads the tape refuses."""
    return {row.spelling for row in rows for method, found in row.outcomes.items() if found.refusal and method in TAPE}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_spelling_is_explained_as_its_base_or_refused_by_name(default, name):
    faults = [fault for row in default[name] for fault in row.faults()]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_refused_is_written_down(default, name):
    asked = {row.spelling for row in default[name]}
    assert refused(default[name]) <= set(REFUSED.get(name, ())) <= asked


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_by_every_method(every, name):
    faults = [fault for row in every[name] for fault in row.faults()]
    assert not faults, "\n".join(faults)
    assert refused(every[name]) <= {*REFUSED.get(name, ())}


def test_every_method_is_asked(default):
    asked = {method for rows in default.values() for row in rows for method in row.outcomes}
    assert asked == set(METHODS.names()) == {*TAPE, *RUNS}
    assert {row.dtype.itemsize for rows in default.values() for row in rows} == {4, 8}
    assert {(row.family, row.spelling) for rows in default.values() for row in rows} == {
        *PAIRS,
        *((name, EXPORTED) for name in FAMILIES),
    }


def test_the_catalogue_is_large():
    assert len(PAIRS) >= 60
    assert all(family.spellings for family in FAMILIES.values())
    for listed in (REFUSED, DIFFERENT):
        assert all(set(spellings) <= {*FAMILIES[name].spellings, EXPORTED} for name, spellings in listed.items())


def test_exceptions_stay_few():
    assert sum(map(len, REFUSED.values())) <= 0.01 * len(PAIRS)
    assert not DIFFERENT


def test_what_is_wrong_is_seen():
    spellings = {
        "doubled": lambda x: 2 * F.relu(x),
        "fails": lambda x: x.no_such_name if torch.is_grad_enabled() else F.relu(x),
    }
    family = Family("made up", "", F.relu, spellings, given=signal, frame=SIGNED)
    study = Study(family, ["grad_cam", "gradient"])
    assert [fault.split(": ")[0] for fault in study.examine("doubled").faults()] == [
        "doubled",
        "doubled, grad_cam",
        "doubled, gradient",
    ]
    assert study.examine("fails").faults()[0].startswith("fails, gradient: AttributeError")
    model = family.network("doubled")
    before = state_of(model)
    assert state_of(model) == before
    model.p.register_forward_hook(print)
    assert state_of(model) != before
    assert names_what_it_refuses("no rule for relu(3x8x8x10) in the model", model, study.images)
    assert not names_what_it_refuses("no rule for a relumax in the model", model, study.images)
