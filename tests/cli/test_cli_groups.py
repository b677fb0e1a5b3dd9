"""``--method all|fast|paper``, methods whose package is missing, and what long methods say on stderr."""

import json
import logging

import fake_net
import pytest
from PIL import Image

from equipoise.cli.request import read_methods
from equipoise.errors import MissingPackageError, UnknownNameError
from equipoise.experiments.recipes.paper import COMPARED as FIGURE
from equipoise.methods import METHODS
from equipoise.methods.groups import COMPARED, GROUPS


def test_groups_are_what_their_names_say():
    assert read_methods(["all"]) == METHODS.names()
    assert {"rise", "score_cam"} <= set(read_methods(["all"])) - set(read_methods(["fast"]))
    assert read_methods(["fast"]) == [name for name, entry in METHODS.items() if not entry.costly]
    assert read_methods(["paper"]) == list(COMPARED) == [METHODS.canonical(row.method) for row in FIGURE]


@pytest.mark.parametrize(
    ("wrong", "near"), [("fsat", "fast"), ("papr", "paper"), ("al", "all"), ("grad_can", "grad_cam")]
)
def test_a_slip_in_a_groups_name_is_guessed(wrong, near):
    with pytest.raises(UnknownNameError, match=f"'{wrong}'; did you mean {near}"):
        read_methods([wrong])


def test_groups_and_names_mix_each_method_once():
    found = read_methods(["RAP,paper", "AE"])
    assert found == ["rap", *COMPARED]
    with pytest.raises(UnknownNameError, match="'papr'"):
        read_methods(["papr"])


def test_no_method_has_the_name_of_a_group():
    assert not [name for name in GROUPS if name in METHODS]


def test_the_help_names_every_group(equipoise):
    _, out, _ = equipoise("explain", "--help")
    assert all(f"{name}:" in out for name in GROUPS if name != "fast")
    assert "fast" in out


def test_fast_leaves_the_costly_out(equipoise, photo, tmp_path, monkeypatch):
    monkeypatch.setattr(fake_net.CoarseMap, "costly", True, raising=False)
    photo()
    assert equipoise("explain", "cat.png", "--method", "fast")[0] == 0
    assert {path.name.split(".")[1] for path in (tmp_path / "equipoise-out").glob("*.json")} == {"share"}


@pytest.mark.parametrize(("count", "across", "blocks"), [(5, 6, 1), (8, 5, 2), (9, 5, 2), (17, 6, 3)])
def test_a_montage_fits_a_page(equipoise, photo, tmp_path, monkeypatch, count, across, blocks):
    """A page is 2148 pixels wide; the photo stands before the methods, and what does not fit goes on below."""
    names = [f"method{number}" for number in range(count)]
    monkeypatch.setattr(METHODS, "_entries", dict.fromkeys(names, fake_net.InputTimesWeight))
    photo()
    assert equipoise("explain", "cat.png", "--method", "all")[0] == 0
    with Image.open(tmp_path / "equipoise-out" / "cat.montage.png") as montage:
        cell = 2148 / across
        assert montage.width == 2148
        assert blocks * cell / 2 < montage.height < blocks * (cell / 2 + 70) + 220  # the photo is twice as wide as high
        # Beside the last method of a block that is not full there is nothing but white.
        rows = (round(montage.height - 120 - cell / 4), montage.height - 120)
        corner = montage.convert("RGB").crop((round(2148 - cell + 30), rows[0], 2148, rows[1]))
        assert (corner.getextrema() == ((255, 255),) * 3) == ((count + 1) % across > 0)


@pytest.fixture
def missing(monkeypatch):
    def refuse(*_args, **_options):
        raise MissingPackageError("CoarseMap needs scales: pip install scales")

    monkeypatch.setattr(fake_net.CoarseMap, "__init__", refuse)


def test_a_method_whose_package_is_missing_is_left_out(equipoise, photo, missing):
    photo("in/a.png")
    photo("in/b.png")
    status, out, err = equipoise("explain", "in", "--method", "all", "--json")
    assert (status, err) == (2, "equipoise: coarse is left out: CoarseMap needs scales: pip install scales\n")
    assert [len(json.loads(line)["explanations"]) for line in out.splitlines()] == [1, 1]


def test_a_missing_package_alone_is_one_line(equipoise, photo, missing):
    photo()
    status, out, err = equipoise("explain", "cat.png", "--method", "coarse")
    assert (status, out, err) == (2, "", "equipoise: CoarseMap needs scales: pip install scales\n")


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_long_method_says_goes_to_stderr(equipoise, photo, monkeypatch, fails):
    log = logging.getLogger("equipoise")
    before = (log.level, list(log.handlers))
    explain = fake_net.InputTimesWeight.attribute

    def slow(self, inputs, target=None):
        log.info("Slow: %d forward passes", 4000)
        if fails:
            raise FloatingPointError("the network failed")
        return explain(self, inputs, target)

    monkeypatch.setattr(fake_net.InputTimesWeight, "attribute", slow)
    photo()
    command = ("explain", "cat.png", "--method", "share", "--json")
    status, out, err = equipoise(*command)
    if fails:
        assert status == 2
        assert err.splitlines()[0] == "Slow: 4000 forward passes"
        assert "it raised FloatingPointError: the network failed" in err
    else:
        assert (status, err) == (0, "Slow: 4000 forward passes\n")
        assert json.loads(out)["explanations"]
    assert (log.level, log.handlers) == before
