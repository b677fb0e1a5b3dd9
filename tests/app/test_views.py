"""Each view as plain functions: what it computes, and what it says."""

import base64
import io
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import colors
from equipoise import _progress, models
from equipoise.app import files, lines, markup
from equipoise.app.drawing import MODES, Style, draw, enclosing
from equipoise.app.lanes import CancelledError
from equipoise.app.networks import SharedNetwork
from equipoise.app.session import Session
from equipoise.app.views import comparing, covering, explaining, inserting, randomizing
from equipoise.cli.app import parse
from equipoise.errors import OptionError, UnknownNameError
from equipoise.methods import METHODS
from equipoise.wording import WORDINGS

STYLE = Style()


def pictures(html):
    found = re.findall(r'<img src="data:image/webp;base64,([A-Za-z0-9+/=]+)"', html)
    return [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in found]


class Text(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.words = ""
        self.feed(html)

    def handle_data(self, data):
        self.words += data + "\n"


def test_explain_shows_a_map_of_each_class(session):
    html = explaining.explain(session, [0, 2], 1.0, STYLE)
    assert len(pictures(html)) == 2
    assert "red, 50.0 %" in html
    assert "blue, 50.0 %" in html
    assert "positive ratio 11.1 % of the pixels" in html
    assert "no negative part" in html  # the method's note
    with pytest.raises(OptionError, match="5 classes are chosen; at most 4"):
        explaining.explain(session, [0, 1, 2, 3, 0], 1.0, STYLE)
    with pytest.raises(OptionError, match="gamma"):
        explaining.explain(session, [0], 2.5, STYLE)


def test_the_page_gets_the_map_itself(session):
    html = explaining.explain(session, [2], 1.0, STYLE)
    (data,) = re.findall(r'data-map="(.*?)"', html)
    scale, rows, columns = (
        float(re.findall(rf'data-{name}="(.*?)"', html)[0]) for name in ("scale", "rows", "columns")
    )
    values = np.frombuffer(base64.b64decode(data), "<i2").reshape(int(rows), int(columns)) * scale
    right = session.explain(2, options={"gamma": 1.0}).explanation.heatmap.numpy()
    np.testing.assert_allclose(values, right, atol=np.abs(right).max() / 32000)
    (place,) = re.findall(r'data-place="(.*?)"', html)
    assert [float(edge) for edge in place.split(",")] == [0.25, 0.0, 0.75, 1.0]  # the middle 48 of 96 pixels


def test_the_share_in_a_box(session):
    """All evidence for blue lies on its square, at 52 to 68 of 96 across and 20 to 36 of 48 down."""
    whole = explaining.in_box(session, 2, (52 / 96, 20 / 48, 68 / 96, 36 / 48))
    assert whole == "The box holds 100.0 % of the evidence for “blue”, on 11.1 % of the pixels."
    half = explaining.in_box(session, 2, (60 / 96, 36 / 48, 52 / 96, 20 / 48))  # its corners in another order
    assert "50.0 % of the evidence for" in half
    assert "0.0 % of the evidence for" in explaining.in_box(session, 2, (0.3, 0.1, 0.4, 0.3))
    with pytest.raises(OptionError, match="nothing that the network saw"):
        explaining.in_box(session, 2, (0.0, 0.0, 0.2, 1.0))


def test_evidence_against_counts_too(session, monkeypatch):
    made = session.explain(2)
    heat = torch.zeros(48, 48)
    heat[10, 10], heat[10, 40], heat[30, 30] = 1.0, 3.0, -2.0
    monkeypatch.setattr(
        session, "explain", lambda *_: replace(made, explanation=replace(made.explanation, heatmap=heat))
    )
    left = explaining.in_box(session, 2, (0, 0, 0.5, 1))  # of 48 columns the photo's left half has 24
    assert (
        left
        == "The box holds 25.0 % of the evidence for and 0.0 % of the evidence against “blue”, on 50.0 % of the pixels."
    )
    assert "0.0 % of the evidence for and 100.0 % of the" in explaining.in_box(session, 2, (0.5, 0.5, 1, 1))


def test_every_way_of_drawing(session):
    explanation = session.explain(2, options={"gamma": 1.0}).explanation
    drawn = {mode: np.asarray(draw(explanation, Style(mode=mode))).astype(int) for mode in MODES}
    assert set(drawn) == {"overlay", "heat map", "positive only", "contour"}
    inside, unseen = (slice(24, 32), slice(57, 63)), (slice(5, 40), slice(2, 20))
    for mode, pixels in drawn.items():
        assert pixels.shape == (48, 96, 3), mode
    for mode in ("overlay", "heat map", "positive only"):
        red, _, blue = drawn[mode][inside].mean((0, 1))
        assert red > blue + 80, mode
        assert drawn[mode][unseen].max() < 10, mode
    contour = drawn["contour"]
    assert (contour[27:29, 59:61] == [0, 0, 255]).all()  # the photo's own blue
    edge = (contour[..., 0] > 200) & (contour[..., 2] < 80)
    assert edge[:, 45:75].any()
    assert not edge[:, 72:].any()
    assert (draw(explanation, Style(opacity=0.0)).getpixel((60, 28))[0]) < 60
    orange = draw(explanation, Style(mode="heat map", colors="orange_blue")).getpixel((60, 28))
    assert orange[0] > orange[1] > orange[2]
    with pytest.raises(UnknownNameError):
        draw(explanation, Style(mode="hologram"))


def test_a_contour_holds_half_of_the_evidence():
    assert enclosing(np.array([[4.0, 3.0], [2.0, 1.0]])).tolist() == [[True, True], [False, False]]
    assert enclosing(np.array([[1.0, 9.0]])).tolist() == [[False, True]]
    assert not enclosing(np.zeros((2, 2))).any()


def test_compare_grows_by_a_method_and_names_failures(session, monkeypatch):
    class Broken:
        summary, level, signed = "", "pixel", True

        def __init__(self, model):
            pass

        def attribute(self, _inputs, _target):
            raise OptionError("it cannot")

    monkeypatch.setitem(METHODS._entries, "broken", Broken)
    given = comparing.compare(session, [0, 2], ["ae", "broken", "gradient"], 1.0, STYLE)
    pages = [one for one in given if isinstance(one, str)]  # a busy machine also says how far it is
    assert [len(pictures(page)) for page in pages] == [2, 2, 4]
    assert "1 of 3 methods are done." in pages[0]
    assert "broken: it cannot" in pages[1]
    assert "methods are done" not in pages[2]
    words = Text(pages[2]).words
    assert len(re.findall(r"\d\.\d\d s", words)) == 4
    assert [words.count(one) for one in ("red, 50.0 %", "blue, 50.0 %", "Gradient\n")] == [1, 1, 2]
    with pytest.raises(OptionError, match="at least one method"):
        next(comparing.compare(session, [0], [], 1.0, STYLE))


def test_compare_can_be_stopped(session):
    work = comparing.compare(session, [0], ["gradient", "input_x_gradient"], 1.0, STYLE)
    next(work)
    session.stop.request()
    with pytest.raises(CancelledError):
        list(work)


def test_every_method_is_offered_by_its_title_with_what_it_shows_and_costs():
    fast, slow = (comparing.method_choices(costly=costly) for costly in (False, True))
    own, sharper = [one for one in fast if one[1].startswith("ae")]
    assert (own[1], sharper[1]) == ("ae", comparing.FINE)
    assert sharper[0].startswith("Attribution Equilibrium, profile fine: ")
    assert fast[:2] == [own, sharper]
    fast.remove(sharper)
    assert [name for _, name in fast if getattr(METHODS[name], "blind", False)] == [fast[-1][1]] == ["random"]
    for kind in (fast[1:-1], slow):  # fast ones first
        most = [float(re.findall(r"[\d.]+", label.rpartition(";")[2])[-1]) for label, _ in kind]
        assert most == sorted(most)
    assert {name for _, name in [*fast, *slow]} == set(METHODS)
    assert not {name for _, name in fast} & {name for _, name in slow}
    for label, name in [*fast, *slow]:
        assert label.startswith(f"{METHODS[name].title}: ")
        assert label.endswith(" passes")
        assert METHODS[name].costly == ((label, name) in slow)
    labels = {name: label for label, name in [*fast, *slow]}
    assert labels["ae"] == (f"Attribution Equilibrium: {METHODS['ae'].summary}; 2.8 to 3.7 passes")
    assert labels["rise"].endswith("1930 to 2028 passes")
    assert comparing.cost("of my own") == "cost not measured"


def test_both_profiles_stand_side_by_side(session):
    """The sharper one is a choice of its own, with the visitor's gamma, beside the paper's."""
    *_, last = [one for one in comparing.compare(session, [2], ["ae", comparing.FINE], 1.5, STYLE) if type(one) is str]
    assert set(re.findall(r"Attribution Equilibrium(?:, profile fine)?(?=<)", last)) == {
        "Attribution Equilibrium",
        "Attribution Equilibrium, profile fine",
    }
    assert comparing.method_options(comparing.FINE, 1.5) == {"gamma": 1.5, "profile": "fine"}
    made = session.explain(2, comparing.method_of(comparing.FINE), comparing.method_options(comparing.FINE, 1.5))
    assert made.explanation.record["method"]["options"]["profile"] == "fine"
    found = files.of_maps(session, [2], ["ae", comparing.FINE], 1.5, STYLE)
    assert len(found) == 2 * 4


def test_insertion_follows_the_map(session):
    """The map's first 11.1 % of the pixels are the blue square: with them alone the network is sure of blue."""
    told = []
    with _progress.watched_by(lambda done, total: told.append(done / total)):
        made = inserting.curves(session, 2, 1.0, mode="insertion", canvas="black")
    own, random = (dict(zip(inserting.SHARES, made.found[order], strict=True)) for order in inserting.ORDERS)
    assert own[0.0] == pytest.approx(0.25, abs=1e-4)  # nothing is seen: four classes alike
    assert own[0.15] > 0.99
    assert own[1.0] == pytest.approx(random[1.0]) == pytest.approx(0.5, abs=1e-3)
    assert random[0.05] < own[0.05]
    assert told == sorted(told)
    assert told[-1] == 1.0
    html = inserting.show(session, made, 0.15)
    large = pictures(html)
    assert [one.size for one in large] == [(720, 720)] * 2  # each of the network's 48 pixels a square
    shown, scattered = (np.asarray(one.resize((48, 48), Image.Resampling.NEAREST)) for one in large)
    assert (shown[22:34, 30:42] > 200).any(-1).all()  # the square, in the network's own 48 pixels
    assert 0.005 < (scattered.max(-1) > 100).mean() < 0.2
    assert "probability of blue" in html
    assert html.count("<polyline") == 2


def test_deletion_hides(session):
    made = inserting.curves(session, 2, 1.0, mode="deletion", canvas="black")
    assert made.found["most_relevant"][0] == pytest.approx(0.5, abs=1e-3)
    assert made.found["most_relevant"][inserting.SHARES.index(0.15)] < 0.01  # red is left
    with pytest.raises((OptionError, TypeError), match="mode"):  # as the checks of shapes are on or off
        inserting.curves(session, 2, 1.0, mode="sideways", canvas="black")


def test_randomizing_goes_down_from_the_logits(session):
    steps = randomizing.steps(session)
    assert [step.layers for step in steps] == [(), ("head",), ("head", "paint")]
    assert steps[0].words == "the trained network"
    assert steps[1].words == "1 of 2 layers random, from the logits down to head"
    before = session.network.module.head.weight.clone()
    html = randomizing.show(session, 2, 1.0, 2, STYLE)
    assert torch.equal(session.network.module.head.weight, before)
    assert "2 of 2 layers random" in html
    (likeness,) = re.findall(r"network&#x27;s map ([+-]\d\.\d\d)", html)
    assert abs(float(likeness)) < 1
    assert "map +1.00" in randomizing.show(session, 2, 1.0, 0, STYLE)
    with pytest.raises(OptionError, match="from 0 to 2"):
        randomizing.show(session, 2, 1.0, 3, STYLE)


def test_coverage_lists_every_operation(session):
    found = covering.operations(session, 2, 1.0)
    assert [one.name for one in found] == ["linear", "mean", "relu", "conv2d"]
    assert [one.module for one in found] == ["head", "the model itself", "relu", "paint"]
    assert found[-1].rule == "ZBox"
    html = covering.show(session, 2, 1.0)
    assert html.count("<tr>") == 1 + 4
    assert "4 operations" in html


HOSTILE = '"><script>alert(1)</script>&'


def test_names_are_only_text():
    shown = markup.Shown(HOSTILE, Image.new("RGB", (4, 4)), (HOSTILE,))
    html = (
        markup.row([shown])
        + markup.message(HOSTILE, error=True)
        + markup.title(HOSTILE)
        + markup.table([HOSTILE], [[HOSTILE]], HOSTILE)
        + markup.chart([markup.Curve(HOSTILE, ((0.0, 1.0),), "eq-own")], 0.5, HOSTILE, HOSTILE)
    )
    assert "<script" not in html
    assert Text(html).words.count(HOSTILE) == 10
    assert markup.message("") == ""


def test_the_legend_names_its_colors():
    assert "Red" in markup.legend("red_blue", WORDINGS["classification"])
    assert "Orange" in markup.legend("orange_blue", WORDINGS["classification"])


@pytest.fixture
def asked(session, photo):
    return lines.Asked(photo, "colors", (0, 2), 1.25)


@pytest.fixture
def typed(networks, monkeypatch, tmp_path, capsys):
    """Run lines of Python where the page's network is the one loaded; what they print."""
    network = networks["colors"]
    monkeypatch.setattr(models, "load_model", lambda *_, **__: (network.module, network.spec))
    monkeypatch.setattr("equipoise.explaining.load_kept", lambda _: network)
    monkeypatch.setattr("equipoise.loading.load", lambda given: network if isinstance(given, str) else given)
    monkeypatch.setattr("equipoise.explaining.load", lambda given, **_: given)
    monkeypatch.chdir(tmp_path)

    def run(code):
        exec(compile(code, "typed.py", "exec"), {})  # noqa: S102  # that is the test
        return capsys.readouterr().out

    return run


def test_the_lines_of_explain(typed, asked, tmp_path):
    typed(lines.explain_python(asked))
    assert len(list((tmp_path / "out").iterdir())) == 2 * 4


def test_the_lines_of_compare(typed, asked, tmp_path):
    typed(lines.compare_python(asked, ["ae", "gradient"]))
    assert len(list((tmp_path / "out-gradient").iterdir())) == 2 * 4


def test_the_lines_of_both_profiles(typed, asked, tmp_path):
    typed(lines.compare_python(asked, ["ae", comparing.FINE]))
    assert len(list((tmp_path / "out-ae").iterdir())) == len(list((tmp_path / "out-ae-fine").iterdir())) == 2 * 4


def test_the_lines_of_insertion_give_the_same_curves(typed, asked, session):
    out = typed(lines.insert_python(replace(asked, targets=(2,)), mode="insertion", canvas="gaussian"))
    made = inserting.curves(session, 2, asked.gamma, mode="insertion", canvas="gaussian")
    printed = {line.split()[0]: eval(line.partition(" ")[2]) for line in out.splitlines()}  # noqa: S307  # our own
    assert set(printed) == set(made.found)
    for order, values in printed.items():
        assert values == pytest.approx(made.found[order], abs=1e-4)


def test_the_lines_of_sanity_give_the_same_likeness(typed, asked, session, tmp_path):
    printed = float(typed(lines.sanity_python(replace(asked, targets=(2,)), 1)))
    (said,) = re.findall(r"map ([+-]\d\.\d\d)", randomizing.show(session, 2, asked.gamma, 1, STYLE))
    assert printed == pytest.approx(float(said), abs=0.006)
    assert (tmp_path / "random.png").is_file()


def test_the_lines_of_coverage(typed, asked):
    out = typed(lines.coverage_python(asked))
    assert [line.split()[0] for line in out.splitlines()] == ["linear", "mean", "relu", "conv2d"]


def test_the_commands_parse(asked):
    commands = [
        lines.explain_command(asked),
        lines.explain_command(asked, ["ae", "rise"]),
        lines.recipe_command("insertion", asked, ["canvas=gaussian"]),
        lines.recipe_command("deletion", asked),
        lines.recipe_command("fig7", asked),
    ]
    both = lines.explain_command(asked, ["ae", comparing.FINE, "rise"]).splitlines()
    assert ["--option profile=fine" in one for one in both] == [False, True]
    assert lines.explain_command(asked, [comparing.FINE]).count("equipoise explain") == 1
    for command in [*commands, *both]:
        words = shlex.split(command)
        assert words[0] == "equipoise"
        assert callable(parse(words[1:]))
    assert shlex.split(commands[0])[2] == asked.photo  # though its name has spaces
    assert "--gamma 1.25" in commands[0]
    assert "--gamma" not in lines.explain_command(asked, ["rise"])


def test_downloads(session, tmp_path):
    own = files.of_maps(session, [0, 2], ["ae", "gradient"], 1.0, STYLE)
    assert len(own) == 2 * 2 * 4
    assert "two_squares.gradient.2-blue.safetensors" in own
    made = inserting.curves(session, 2, 1.0, mode="insertion", canvas="black")
    curves = files.of_curves(session, made, STYLE)
    assert b'"found"' in curves["two_squares.insertion.2.json"]
    random = files.of_randomized(session, 2, 1.0, 1, STYLE)
    assert b'"head"' in random["two_squares.1_random.2.layers.json"]
    coverage = files.of_coverage(session, 2, 1.0, STYLE)
    assert coverage["two_squares.coverage.2.json"].count(b'"rule"') == 4
    for contents in (own, curves, random, coverage):
        assert {name[name.rindex(".") :] for name in contents} >= {".png", ".safetensors", ".json"}
    first, second = (files.write(tmp_path / "out", {"a.txt": b"a"}) for _ in range(2))
    assert first != second
    assert Path(first[0]).read_text() == "a"


def test_insertion_asks_the_network_what_it_takes(photo):
    """With all pixels shown, the network says what it said of the photo, also where it wants them normalized."""
    module, spec = colors.build()
    spec = replace(spec, preprocessing=replace(spec.preprocessing, mean=(0.4, 0.1, 0.2), std=(0.5, 0.8, 0.9)))
    session = Session.open(photo, SharedNetwork(module, spec, "normalized"))
    made = inserting.curves(session, 2, 1.0, mode="insertion", canvas="black")
    right = session.view.score(2).probability
    assert 0.01 < right < 0.99
    assert [curve[-1] for curve in made.found.values()] == pytest.approx([right] * 2, abs=1e-4)
