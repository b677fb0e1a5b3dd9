"""What is no photo, from the file to the picture: signals, volumes, any number of channels."""

import json
import re

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image
from torch import nn

import equipoise
from equipoise import plot
from equipoise.cli import main
from equipoise.errors import EquipoiseError, OptionError
from equipoise.loading import load
from equipoise.methods.base import title_of
from equipoise.models import ArrayPreprocessing, Preprocessing

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLS = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
SPACES = {1: (60,), 2: (20, 28), 3: (6, 16, 18)}


def network(dims, channels):
    torch.manual_seed(dims)
    conv = CONVOLUTIONS[dims]
    layers = [conv(channels, 6, 3, padding=1), nn.ReLU(), conv(6, 6, 3, padding=1), nn.ReLU(), POOLS[dims](1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(6, 3)).eval()


def takes(dims, channels):
    mean, std = (0.25,) * channels, (0.5,) * channels
    if dims == 2:
        return Preprocessing(SPACES[2], SPACES[2], "squash", mean=mean, std=std)
    return ArrayPreprocessing(SPACES[dims], mean, std)


def array(dims, channels):
    return np.random.default_rng(dims).random((channels, *SPACES[dims]), dtype=np.float32)


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_an_array_is_explained_as_its_owner_would(dims, channels, tmp_path):
    """Scores and map are those of the network on the normalized array, whichever way it is given."""
    net, values = network(dims, channels), array(dims, channels)
    inputs = (torch.from_numpy(values)[None] - 0.25) / 0.5
    right = equipoise.attribute(net, inputs, 1, method="gradient")
    np.save(tmp_path / "it.npy", np.moveaxis(values, 0, -1))  # channels last
    np.savez(tmp_path / "it.npz", other=values[:1], it=values)
    torch.save(torch.from_numpy(values), tmp_path / "it.pt")
    sources = [values, torch.from_numpy(values), tmp_path / "it.npy", f"{tmp_path / 'it.npz'}#it", tmp_path / "it.pt"]
    for source in sources:
        found = equipoise.explain(source, load(net, preprocess=takes(dims, channels)), "gradient", 1)
        torch.testing.assert_close(found.attribution, right[0], rtol=1e-5, atol=1e-7)
        assert found.target.logit == pytest.approx(net(inputs)[0, 1].item(), abs=1e-5)
        assert found.heatmap.shape == SPACES[dims]
        torch.testing.assert_close(found.heatmap, right[0].sum(0), rtol=1e-5, atol=1e-6)
        assert found.record["image"]["array"] == [channels, *SPACES[dims]]


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("method", ["ae", "grad_cam"])
def test_its_map_is_shown_and_saved(dims, method, tmp_path):
    net = load(network(dims, 2), preprocess=takes(dims, 2))
    found = equipoise.explain(array(dims, 2), net, method, [0, 1])
    assert found.overlay(1).mode == "RGB"
    assert found.montage().size[0] > 1000
    texts = {one.get_text() for one in plot.compare([found]).findobj(Text)}
    assert {{1: "signal", 2: "photo", 3: "volume"}[dims], title_of(method)} <= texts
    assert np.array(found.overlay(0)).std() > 0
    paths = found.save(tmp_path / "all")
    assert len(paths) == 8
    assert found.heatmap_image(0).width in {SPACES[dims][-1], 6 * SPACES[dims][-1]}
    assert len(found._repr_png_()) > 100
    if dims == 3:
        assert found.overlay(0, slices=2).size != found.overlay(0).size


def test_eight_bits_in_three_channels_are_a_photo():
    pixels = (np.random.default_rng(0).random((20, 28, 3)) * 255).astype(np.uint8)
    net = load(network(2, 3), preprocess=takes(2, 3))
    photo, same = (equipoise.explain(one, net, "gradient", 1) for one in (pixels, Image.fromarray(pixels)))
    assert torch.equal(photo.attribution, same.attribution)
    assert "array" not in photo.record["image"]
    values = pixels.transpose(2, 0, 1).astype(np.float32) / 255
    given = equipoise.explain(values, net, "gradient", 1)
    torch.testing.assert_close(given.attribution, photo.attribution, rtol=1e-4, atol=1e-6)


SOURCE = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv{d}d({c}, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool{d}d(1), nn.Flatten(), nn.Linear(4, 2))
"""


@pytest.mark.parametrize(("dims", "size", "told"), [(1, "size = [60]", "60,"), (3, "size = [6, 16, 18]", "6,16,18")])
def test_the_command_line_takes_arrays(dims, size, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"nets{dims}.py").write_text(SOURCE.replace("{d}", str(dims)).replace("{c}", "2"))
    (tmp_path / "mynet.toml").write_text(
        f'architecture = "nets{dims}:build"\nclasses = ["calm", "quick"]\n[preprocessing]\n{size}\n'
        "mean = [0.25, 0.25]\nstd = [0.5, 0.5]\n"
    )
    (tmp_path / "data").mkdir()
    np.save(tmp_path / "data" / "a.npy", array(dims, 2))
    np.savez(tmp_path / "data" / "b.npz", array(dims, 2))
    common = ("--method", "ae,gradient", "--target", "quick", "--json", "--report", "why.html")
    assert main(["explain", "data", "--model", "mynet.toml", *common]) == 0
    out, err = capsys.readouterr()
    documents = [json.loads(line) for line in out.splitlines()]
    assert err == ""
    kind = {1: "signal", 3: "volume"}[dims]
    assert re.findall(r'data-filter="(\w+)"', (tmp_path / "why.html").read_text()) == [kind, "method"]
    assert [one["image"]["array"] for one in documents] == [[2, *SPACES[dims]]] * 2
    assert documents[0]["scores"] == documents[1]["scores"]
    options = ("--size", told, "--mean", ".25,.25", "--std", ".5,.5")
    again = ["explain", "data/a.npy", "--model", f"nets{dims}:build", *options, "--method", "gradient", "--json"]
    assert main(again) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["logit"] for one in found["scores"]] == [one["logit"] for one in documents[0]["scores"]]
    assert main(["list", "layers", "--model", "mynet.toml"]) == 0
    capsys.readouterr()
    Image.new("RGB", (8, 8)).save("photo.png")
    assert main(["explain", "photo.png", "--model", "mynet.toml", "--method", "gradient"]) == 2
    assert "takes arrays of" in capsys.readouterr().err


def test_what_cannot_be_is_one_sentence(tmp_path):
    with pytest.raises(OptionError, match="takes signals, whose size nobody said"):
        equipoise.explain(array(1, 2), network(1, 2), "gradient")
    signal = load(network(1, 2), preprocess=takes(1, 2))
    for source, words in ((array(1, 3), "(3, 60)"), (array(2, 2), "(2, 20, 28)"), (array(1, 2) + 3, "value_range")):
        with pytest.raises(EquipoiseError) as caught:
            equipoise.explain(source, signal, "gradient")
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)
    (tmp_path / "torn.npy").write_bytes(b"nothing")
    with pytest.raises(EquipoiseError, match=r"torn\.npy"):
        equipoise.explain(tmp_path / "torn.npy", signal, "gradient")
    with pytest.raises(EquipoiseError, match="function of a photo"):
        equipoise.explain(array(2, 3), load(network(2, 3), preprocess=lambda _: torch.zeros(3, 20, 28)), "gradient")
