"""Networks that take arrays before a visitor: what is asked for, offered and drawn, without a browser."""

import gc
import re

import numpy as np
import pytest
import tabs
import torch

import equipoise
from equipoise.app import lines
from equipoise.app.controls import Choice, PageContent, examples_html, known_html
from equipoise.app.drawing import MODES, Style, draw, modes_for
from equipoise.app.examples import Example, takes
from equipoise.app.networks import Networks
from equipoise.app.page import VIEWS, Page
from equipoise.app.session import Session
from equipoise.app.uploads import of_photo
from equipoise.app.views import comparing, covering, explaining, inserting, randomizing
from equipoise.errors import OptionError

gr = pytest.importorskip("gradio", reason="the app's tests need gradio")

SOURCE = """
import torch
from torch import nn


def build():
    torch.manual_seed(0)
    convolution, pool = nn.Conv{d}d({c}, 4, 3), nn.AdaptiveAvgPool{d}d(1)
    return nn.Sequential(convolution, nn.ReLU(), nn.Conv{d}d(4, 4, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 3))
"""
SHAPES = {"signal": (2, 60), "volume": (1, 8, 16, 18), "bands": (4, 24, 20), "gray": (1, 24, 20)}
KINDS = {"bands": "photo", "gray": "photo"}


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """A network of signals, one of volumes, two of pictures with four channels and one, described with an example."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name, (channels, *space) in SHAPES.items():
        module = f"arrays_{name}_{abs(hash(str(tmp_path)))}"
        (tmp_path / f"{module}.py").write_text(SOURCE.format(d=len(space), c=channels))
        (tmp_path / name).mkdir()
        values = np.random.default_rng(0).random((channels, *space), dtype=np.float32)
        np.save(tmp_path / name / "one.npy", values)
        (tmp_path / f"{name}.toml").write_text(
            f'architecture = "{module}:build"\nclasses = ["calm", "quick", "ill"]\nexamples = "{name}"\n'
            f"[preprocessing]\nsize = {list(space)}\nmean = {[0.25] * channels}\nstd = {[0.5] * channels}\n"
        )
    return Networks([f"{name}.toml" for name in SHAPES])


@pytest.mark.parametrize("name", SHAPES)
def test_an_array_is_explained_on_the_page_as_in_python(networks, name):
    network = networks[f"{name}.toml"]
    assert takes(network.spec.preprocessing) == (name == "gray", True)
    session = Session.open(f"{name}/one.npy", network)
    values = (torch.from_numpy(np.load(f"{name}/one.npy"))[None] - 0.25) / 0.5
    assert [one.logit for one in sorted(session.scores, key=lambda one: one.index)] == pytest.approx(
        network.module(values)[0].tolist(), abs=1e-5
    )
    found = session.explain(1, "gradient").explanation
    right = equipoise.attribute(network.module, values, 1, method="gradient")[0]
    torch.testing.assert_close(found.attribution, right, rtol=1e-5, atol=1e-7)
    assert found.kind == KINDS.get(name, name)
    shown = explaining.explain(session, [1, 2], 1.0, Style(seen=True))
    assert shown.count("eq-figure") == (4 if name in KINDS else 2)  # what the network saw is no other picture
    assert ("data-map" in shown) == (name != "volume")  # its slices lie side by side
    unit = {"signal": "samples", "volume": "voxels"}.get(name, "pixels")
    assert shown.count(f"% of the {unit}") == 2
    assert ("what is framed" in shown) == (name in KINDS)
    assert "quick" in list(comparing.compare(session, [1], ["gradient", "ae"], 1.0, Style()))[-1]
    assert "trained" in randomizing.show(session, 1, 1.0, 1, Style())
    assert "conv" in covering.show(session, 1, 1.0)


@pytest.mark.parametrize("name", SHAPES)
def test_values_of_an_array_are_shown_and_hidden(networks, name):
    """The ends of the curves are what the network says of nothing and of the whole array, to what it was given."""
    network = networks[f"{name}.toml"]
    session = Session.open(f"{name}/one.npy", network)
    values = torch.from_numpy(np.load(f"{name}/one.npy"))[None]
    torch.testing.assert_close(session.view.pixels, values)  # the range is 0 to 1
    made = inserting.curves(session, 1, 1.0, mode="insertion", canvas="black")
    for curve in made.found.values():
        right = [network.module((one - 0.25) / 0.5).softmax(1)[0, 1].item() for one in (0 * values, values)]
        assert [curve[0], curve[-1]] == pytest.approx(right, abs=1e-5)
    assert 0 < made.found["most_relevant"][6] != made.found["random"][6]
    shown = inserting.show(session, made, 0.5)
    assert shown.count("<polyline") == 2
    assert shown.count("<img") == 2
    for canvas in inserting.canvases(session):
        inserting.curves(session, 1, 1.0, mode="deletion", canvas=canvas)
    assert ("blur" in inserting.canvases(session)) == (name in KINDS)


def test_a_span_of_a_signal(networks):
    session = Session.open("signal/one.npy", networks["signal.toml"])
    heat = session.explain(1, options={"gamma": 1.0}).explanation.heatmap
    share = 100 * heat[15:30].clamp(min=0).sum() / heat.clamp(min=0).sum()
    said = explaining.in_box(session, 1, (0.25, 0, 0.5, 1), options={"gamma": 1.0})
    assert said.startswith(f"The span holds {share:.1f} % of the evidence for")
    assert said.endswith("on 25.0 % of the samples.")


@pytest.mark.parametrize("name", SHAPES)
def test_what_a_visitor_would_type_gives_the_same_of_an_array(networks, name, tmp_path, capsys):
    """The very lines, run; there is no command for a folder of arrays."""
    session = Session.open(f"{name}/one.npy", networks[f"{name}.toml"])
    (tmp_path / "one.npy").write_bytes((tmp_path / name / "one.npy").read_bytes())
    chosen = Choice.of([session, [], ["1"], None, None, 1.0, "overlay", 0.9, False, False, ""])

    def typed(code):
        exec(compile(code, "typed.py", "exec"), {})  # noqa: S102  # that is the test
        return capsys.readouterr().out

    made = inserting.curves(session, 1, 1.0, mode="deletion", canvas="mean")
    for line in typed(lines.insert_python(chosen.asked, mode="deletion", canvas="mean")).splitlines():
        order, _, values = line.partition(" ")
        assert eval(values) == pytest.approx(made.found[order], abs=1e-5)  # noqa: S307  # our own
    (said,) = re.findall(r"map ([+-]\d\.\d\d)", randomizing.show(session, 1, 1.0, 1, Style()))
    layers = len(randomizing.steps(session)[1].layers)
    assert float(typed(lines.sanity_python(chosen.asked, layers))) == pytest.approx(float(said), abs=0.006)
    assert len(typed(lines.coverage_python(chosen.asked)).splitlines()) == len(covering.operations(session, 1, 1.0))
    typed(lines.explain_python(chosen.asked))
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert bool(lines.recipe_command("fig7", chosen.asked)) == (name in KINDS)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SHAPES)
def test_every_way_to_draw_an_array_gives_a_picture_or_a_sentence(networks, name, mode):
    one = Session.open(f"{name}/one.npy", networks[f"{name}.toml"]).explain(0, "gradient").explanation
    assert (mode in modes_for(len(SHAPES[name]) - 1)) == (mode != "contour" or name in KINDS)
    if mode == "contour" and name not in KINDS:
        with pytest.raises(OptionError, match=f"a contour is drawn on photos; this is a {name}"):
            draw(one, Style(mode))
        return
    assert np.asarray(draw(one, Style(mode))).std() > 0


@pytest.mark.filterwarnings("ignore")  # gradio's own parts warn about one another
def test_the_page_asks_for_what_the_network_takes(networks, tmp_path, reader):
    page = Page(PageContent(networks, None, tmp_path / "made", reader))
    (slot,) = page.uploads.slots
    assert (slot.photos.visible, slot.arrays.visible, slot.key.visible) == (False, True, False)
    for name, seen in (("bands", (True, False, True)), ("gray", (True, True, True))):
        examples, known, greeted, *columns = page._described(f"{name}.toml")
        assert tuple(one["visible"] for one in columns) == seen
        assert "Example one.npy" in examples
        assert ("Drop a photo" in greeted) == (name == "gray")
    assert known
    assert "Arrays are taken as they are, 60 values of 2 channels" in known_html(networks["signal.toml"])
    picked = page.content.picked("signal.toml", 0)
    modes, canvases = ("overlay", "positive only", "heat map"), ("mean", "black")
    session, *_, mode, seen, canvas, status = tabs.given(
        page, None, picked[""], None, "signal.toml", 0, "contour", "blur"
    )
    assert (mode["choices"], mode["value"], seen["visible"]) == (list(modes), "overlay", False)
    assert (canvas["choices"], canvas["value"], status) == (list(canvases), "mean", "")
    chosen = [session, ["1"], [], None, None, 1.0, "overlay", 0.9, False, False, ""]
    shown, *_ = page._show(*chosen, VIEWS[0], 0)
    assert "quick" in shown
    # what stands is not made again, nor the share of a box taken away that was asked for meanwhile
    assert page._show(*chosen, VIEWS[0], 0) == page._show(*chosen, VIEWS[0], 2) == (gr.skip(),) * 10
    assert page._show(*chosen, VIEWS[3], 0)[1] != page._show(*chosen, VIEWS[3], 1)[1] != gr.skip()
    assert page._show(*chosen, VIEWS[4], 0)[2] != gr.skip()
    chosen[5] = 1.5
    assert page._show(*chosen, VIEWS[0], 0)[0] not in (shown, gr.skip())
    chosen[5] = 1.0
    assert page._show(*chosen, VIEWS[0], 0)[0] == shown
    # a photo of the network before is none for this one
    assert tabs.given(page, "photo.png", None, None, "signal.toml", 0, "overlay", "blur")[0] is None
    (tmp_path / "torn.npy").write_bytes(b"nothing")
    np.save(tmp_path / "long.npy", np.zeros(99, dtype=np.float32))
    for name, words in (
        ("torn.npy", ">torn.npy: "),
        ("long.npy", "the array is (99,), and the network takes 2 channe"),
    ):
        given = (None, str(tmp_path / name), None, "signal.toml", 0, "overlay", "blur")
        *others, status = tabs.given(page, *given)
        assert words in status
        assert str(tmp_path) not in status
        assert others == [gr.skip()] * len(others)  # all stays as it is
    assert examples_html([]) == examples_html([Example({"": tmp_path / "absent.png"})])
    del page
    gc.collect()  # what gradio leaves unclosed complains now, where that is ignored


@pytest.mark.filterwarnings("ignore")  # as above
def test_which_array_of_a_file_is_asked_where_there_are_several(networks, tmp_path, reader):
    page = Page(PageContent(networks, None, tmp_path / "made", reader))
    values = np.load("gray/one.npy")
    np.savez(tmp_path / "two.npz", t1=values, t2=1 - values)
    np.savez(tmp_path / "one.npz", t1=values)
    path = str(tmp_path / "two.npz")
    arrived = ["photo.png", path, None, "gray.toml", 0, "overlay", "blur"]
    photo, array, key, *_, status = tabs.filled(page, 0, page.uploads.of_array, arrived, array=True)
    assert (photo, array) == (None, gr.skip())  # the photo goes
    assert (key["choices"], key["value"], key["visible"]) == (["t1", "t2"], None, True)
    assert "This file holds 2 arrays; choose which one the network gets." in status
    for name, right in (("t1", values), ("t2", 1 - values)):
        session, *_, status = tabs.given(page, None, path, name, "gray.toml", 0, "overlay", "blur")
        assert status == ""
        assert session.name == f"two.npz#{name}"
        torch.testing.assert_close(session.view.photo.array, torch.from_numpy(right))
        record = session.explain(0, "gradient").explanation.record
        assert record["image"]["path"] == f"two.npz#{name}"
    assert tabs.given(page, None, path, "t3", "gray.toml", 0, "overlay", "blur")[0] is None
    arrived = [None, str(tmp_path / "one.npz"), None, "gray.toml", 0, "overlay", "blur"]
    *_, key, session = tabs.filled(page, 0, page.uploads.of_array, arrived, array=True)[:4]
    assert (key["visible"], session.name) == (False, "one.npz")
    arrived = ["absent.png", None, None, "gray.toml", 0, "overlay", "blur"]
    _, array, key, *_ = tabs.filled(page, 0, of_photo, arrived, array=False)
    assert (array, key["visible"]) == (None, False)
    del page
    gc.collect()
