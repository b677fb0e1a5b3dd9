"""Networks that take arrays before a visitor: what is asked for, offered and drawn, without a browser."""

import gc

import numpy as np
import pytest
import torch

import equipoise
from equipoise.app.controls import PageContent, examples_html, known_html, takes
from equipoise.app.drawing import MODES, Style, draw
from equipoise.app.networks import Networks
from equipoise.app.page import VIEWS, Page
from equipoise.app.session import Session
from equipoise.app.views import comparing, covering, explaining, randomizing
from equipoise.errors import EquipoiseError, OptionError

pytest.importorskip("gradio", reason="the app's tests need gradio")

SOURCE = """
import torch
from torch import nn


def build():
    torch.manual_seed(0)
    convolution, pool = nn.Conv{d}d({c}, 4, 3), nn.AdaptiveAvgPool{d}d(1)
    return nn.Sequential(convolution, nn.ReLU(), nn.Conv{d}d(4, 4, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(4, 3))
"""
SHAPES = {"signal": (2, 60), "volume": (1, 8, 16, 18), "bands": (4, 24, 20)}


@pytest.fixture
def networks(tmp_path, monkeypatch):
    """A network of signals, one of volumes, one of pictures with four channels, each described with an example."""
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
    assert takes(network) == (name == "bands", True)
    session = Session.open(f"{name}/one.npy", network)
    values = (torch.from_numpy(np.load(f"{name}/one.npy"))[None] - 0.25) / 0.5
    assert [one.logit for one in sorted(session.scores, key=lambda one: one.index)] == pytest.approx(
        network.module(values)[0].tolist(), abs=1e-5
    )
    found = session.explain(1, "gradient").explanation
    right = equipoise.attribute(network.module, values, 1, method="gradient")[0]
    torch.testing.assert_close(found.attribution, right, rtol=1e-5, atol=1e-7)
    assert found.kind == {"bands": "photo"}.get(name, name)
    shown = explaining.explain(session, [1, 2], 1.0, Style(seen=True))
    assert shown.count("eq-figure") >= 3
    assert ("data-map" in shown) == (name == "bands")  # pixels are pointed at in photos
    assert "quick" in list(comparing.compare(session, [1], ["gradient", "ae"], 1.0, Style()))[-1]
    assert "trained" in randomizing.show(session, 1, 1.0, 1, Style())
    assert "conv" in covering.show(session, 1, 1.0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SHAPES)
def test_every_way_to_draw_an_array_gives_a_picture_or_a_sentence(networks, name, mode):
    one = Session.open(f"{name}/one.npy", networks[f"{name}.toml"]).explain(0, "gradient").explanation
    if mode == "contour" and name != "bands":
        with pytest.raises(OptionError, match=f"a contour is drawn on photos; this is a {name}"):
            draw(one, Style(mode))
        return
    assert np.asarray(draw(one, Style(mode))).std() > 0


@pytest.mark.filterwarnings("ignore")  # gradio's own parts warn about one another
def test_the_page_asks_for_what_the_network_takes(networks, tmp_path):
    page = Page(PageContent(networks, None, tmp_path / "made"))
    assert (page.for_photos.visible, page.for_arrays.visible) == (False, True)
    examples, known, photos, arrays = page._described("bands.toml")
    assert (photos["visible"], arrays["visible"]) == (True, True)
    assert "Example one.npy" in examples
    assert "Arrays are taken as they are, 60 values of 2 channels" in known_html(networks["signal.toml"])
    picked = page.content.picked("signal.toml", 0)
    session, *_ = page._open_either(None, str(picked), "signal.toml", 0)
    shown, *_ = page._show(session, ["1"], [], None, None, 1.0, "overlay", 0.9, False, False, VIEWS[0], 0)
    assert "quick" in shown
    assert page._open_either("photo.png", None, "signal.toml", 0)[0] is None  # of the network before
    (tmp_path / "torn.npy").write_bytes(b"nothing")
    with pytest.raises(EquipoiseError, match=r"^torn\.npy"):
        page._open(str(tmp_path / "torn.npy"), "signal.toml", 0)
    assert known
    assert examples_html([]) == examples_html([tmp_path / "absent.png"])
    del page
    gc.collect()  # what gradio leaves unclosed complains now, where that is ignored
