"""Which map is the default: the last one that layers of weights made, as the first of them saw the input."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import equipoise
from equipoise.engine import record
from equipoise.errors import LayerError
from equipoise.methods import METHODS
from equipoise.methods.layers import find_layer, list_layers

STARTS = ["ae", "rsp", "grad_cam", "grad_cam_plus_plus", "score_cam", "relevance_cam"]
STARTS_AT_A_MAP = [*STARTS, "contrastive_eb"]
MAPS = [name for name in METHODS.names() if METHODS[name].level == "map" and hasattr(METHODS[name], "explain_trace")]


class Audio(nn.Module):
    """A spectrogram ``(n, mel, time)``, normalized, then given a channel; or given one from the start."""

    def __init__(self, *, channel: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4),
        )  # fmt: skip
        self.channel = channel

    def forward(self, x: Tensor) -> Tensor:
        x = (x + 4.3) / 9.1
        return self.body(x if self.channel else x.unsqueeze(1))


def spectrograms() -> Tensor:
    return torch.randn(2, 12, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("method", [*STARTS_AT_A_MAP, "full_grad", "eb", "agf", "lrp_composite"])
def test_a_spectrogram_is_explained_as_with_its_channel(method):
    x = spectrograms()
    found = equipoise.attribute(Audio().double().eval(), x, 1, method=method)
    expected = equipoise.attribute(Audio(channel=True).double().eval(), x.unsqueeze(1), 1, method=method)
    assert found.shape == (x.unsqueeze(1).shape if method in MAPS or method == "score_cam" else x.shape)
    torch.testing.assert_close(found.reshape(expected.shape), expected)


@pytest.mark.parametrize("method", STARTS)
def test_a_map_before_any_layer_of_weights_is_no_default(method):
    x, model = spectrograms(), Audio().double().eval()
    named = equipoise.attribute(model, x, 1, method=method, layer="body.3")
    assert torch.equal(equipoise.attribute(model, x, 1, method=method), named)


class Tokens(nn.Module):
    """A patch convolution, then layers on tokens, one of them learnt; or, ``spatial``, on the patches alone.

    ``flat``: the patches stand side by side, which is the same function.
    """

    def __init__(self, layers: int, *, maps: int = 1, spatial: bool = False, flat: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch = nn.Sequential(nn.Conv2d(3, 8, 2, stride=2), *[nn.Conv2d(8, 8, 1) for _ in range(maps - 1)])
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.GELU()) for _ in range(layers))
        self.fc, self.spatial, self.flat = nn.Linear(8, 3), spatial, flat
        self.token = nn.Parameter(torch.randn(1, 1, 8))

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch(x)
        y = y.flatten(2).mT if self.flat else y.permute(0, 2, 3, 1)
        y = y if self.spatial else torch.cat([self.token.expand(len(y), 1, 8), y], 1)
        for block in self.blocks:
            y = block(y)
        return self.fc(y.mean(1 if self.flat else (1, 2)))


@pytest.mark.parametrize("method", STARTS)
def test_a_start_that_leaves_most_layers_out_is_refused(method):
    x = torch.randn(1, 3, 8, 8)
    with pytest.raises(LayerError, match=r"leaves out 2 of the 3 layers.*layer='blocks"):
        equipoise.attribute(Tokens(2).eval(), x, 1, method=method)
    for model in (Tokens(1).eval(), Tokens(2, maps=2).eval()):
        assert equipoise.attribute(model, x, 1, method=method).shape[2:] == (8, 8)


@pytest.mark.parametrize("method", STARTS)
def test_layers_on_patches_side_by_side_are_refused_where_the_same_on_their_map_are_explained(method):
    x = torch.randn(1, 3, 8, 8)
    assert equipoise.attribute(Tokens(5, spatial=True, flat=False).eval(), x, 1, method=method).shape[2:] == (8, 8)
    with pytest.raises(LayerError, match=r"leaves out 4 of the 6 layers.*layer='blocks"):
        equipoise.attribute(Tokens(5, spatial=True).eval(), x, 1, method=method)


def test_the_layer_it_names_can_be_named():
    model, x = Tokens(4).eval(), torch.randn(1, 3, 8, 8)
    with pytest.raises(LayerError) as caught:
        equipoise.attribute(model, x, 1, method="grad_cam")
    named = str(caught.value).split("layer='")[1].split("'")[0]
    assert equipoise.attribute(model, x, 1, method="grad_cam", layer=named, interpolate=False).shape == (1, 1, 17)
    with pytest.raises(LayerError, match="interpolate=False"):
        equipoise.attribute(model, x, 1, method="grad_cam", layer=named)
    assert list_layers(model, x)  # no default is no reason to list nothing
    assert not any(row.is_default for row in list_layers(model, x))


def test_a_small_network_with_many_dense_layers_keeps_its_start():
    lenet = nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    ).eval()  # fmt: skip
    trace = record(lenet, torch.randn(1, 1, 28, 28))
    assert find_layer(lenet, trace, None) is trace.layer("5")


class Video(nn.Module):
    """Frames folded into the batch, image by image, then unfolded; ``joined``: a convolution over time at the end."""

    def __init__(self, *, joined: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.a, self.b, self.c = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1), nn.Conv3d(8, 8, 1)
        self.f, self.joined = nn.Linear(8, 4), joined

    def forward(self, x: Tensor) -> Tensor:
        n, _, t = x.shape[:3]
        y = self.b(self.a(x.transpose(1, 2).flatten(0, 1)).relu()).relu()
        y = y.unflatten(0, (n, t)).transpose(1, 2)
        return self.f((self.c(y).relu() if self.joined else y).mean((2, 3, 4)))


@pytest.mark.parametrize("method", ["contrastive_eb", "relevance_cam", "grad_cam", "ae", "eb", "rsp"])
def test_frames_in_the_batch_axis_give_one_map_an_image(method):
    model, x = Video(joined=True).eval(), torch.randn(2, 3, 4, 8, 8)
    found = equipoise.attribute(model, x, 1, method=method)
    assert found.shape == (2, 3 if METHODS[method].level == "pixel" else 1, 4, 8, 8)
    alone = torch.cat([equipoise.attribute(model, x[i : i + 1], 1, method=method) for i in range(2)])
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["contrastive_eb", "relevance_cam", "grad_cam", "eb"])
def test_a_map_of_single_frames_is_refused_by_name(method):
    model, x = Video(joined=True).eval(), torch.randn(2, 3, 4, 8, 8)
    with pytest.raises(LayerError, match=r"\(8, 8, 8, 8\)"):
        equipoise.attribute(model, x, 1, method=method, layer="b")
