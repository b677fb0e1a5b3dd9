"""Networks on grids whose scores see one cell: what lies elsewhere does not change a single bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import alexnet, mobilenet_v2, resnet18, squeezenet1_1

from equipoise.errors import OptionError, ShapeError, UnsupportedModelError
from equipoise.methods import make_method
from equipoise.metrics import grid_pointing, tile
from equipoise.models.disconnected import GRID, disconnected

SIDE = 16


class Small(nn.Module):
    """Features, their mean by a function, a linear head."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


class Wrapped(nn.Module):
    """A network within a network."""

    def __init__(self):
        super().__init__()
        self.inner = Small()

    def forward(self, x):
        return self.inner(x)


class TwoMaps(Small):
    """A head that reads an earlier map too."""

    def __init__(self):
        super().__init__()
        self.early = nn.Conv2d(3, 6, 1)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)) + self.early(x).mean((2, 3)))


class Branching(Small):
    """A forward pass that depends on the image's values."""

    def forward(self, x):
        return super().forward(x if x.sum() > 0 else -x)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


def photos(side=SIDE, cells=2):
    return torch.randn(cells**2, 3, side, side)


def without(grid, cell, side=SIDE):
    """The grid with everything new outside a cell."""
    row, column = divmod(cell, grid.shape[-1] // side)
    changed = torch.randn_like(grid)
    place = (..., slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side))
    changed[place] = grid[place]
    return changed


@pytest.mark.parametrize("make", [Small, Wrapped])
@pytest.mark.parametrize("cell", range(4))
def test_difull_scores_are_those_of_the_cell_alone(make, cell):
    network, each = make().eval(), photos()
    grid = tile(each, 2)[None]
    apart = disconnected(network, cell=cell, size=(SIDE, SIDE))
    torch.testing.assert_close(apart(grid), network(each[cell : cell + 1]))
    assert torch.equal(apart(grid), apart(without(grid, cell)))
    assert not torch.equal(apart(grid), apart.at((cell + 1) % 4)(grid))


def test_dipart_reads_the_cell_of_the_features_of_the_whole_grid():
    network, each = Small().eval(), photos(cells=3)
    grid = tile(each, 3)[None]
    scores = disconnected(network, cells=3, cell=5, apart=False, size=(SIDE, SIDE))(grid)
    maps = network.features(grid)[:, :, 8:16, 16:24]
    torch.testing.assert_close(scores, network.head(maps.mean((2, 3))))
    far = grid.clone()
    far[..., :12, :] = 0.0  # two convolutions and a pool reach four pixels across a border
    part = disconnected(network, cells=3, cell=5, apart=False, size=(SIDE, SIDE))
    assert torch.equal(part(grid), part(far))
    far[..., :15, :] = 0.0
    assert not torch.equal(part(grid), part(far))


@pytest.mark.parametrize("make", [resnet18, mobilenet_v2, alexnet, squeezenet1_1])
def test_torchvisions_networks_in_difull(make):
    network = make(weights=None).eval()
    with torch.no_grad():
        each = photos(224)
        apart = disconnected(network, cell=3)
        torch.testing.assert_close(apart(tile(each, 2)[None]), network(each[3:]), rtol=1e-3, atol=1e-5)


def test_weights_are_shared_and_the_original_stays():
    network = Small().eval()
    names = dict(network.named_modules()).keys()
    apart = disconnected(network, size=(SIDE, SIDE))
    assert {id(one) for one in apart.parameters()} == {id(one) for one in network.parameters()}
    assert dict(network.named_modules()).keys() == names
    assert not any(part.training for part in apart.modules())
    assert all(not part._forward_hooks for part in network.modules())


@pytest.mark.parametrize("method", ["ae", "rsp", "lrp_composite", "input_x_gradient", "guided_backprop"])
def test_methods_that_reach_the_pixels_stay_in_the_cell(method):
    apart = disconnected(Small().eval(), cell=2, size=(SIDE, SIDE))
    grid = tile(photos(), 2)[None]
    found = make_method(method, apart).attribute(grid, apart(grid).argmax(1)).sum(1)
    outside = found.clone()
    outside[..., SIDE:, :SIDE] = 0
    assert found.abs().sum() > 0
    assert outside.abs().max() == 0


def test_a_map_of_the_grid_has_all_cells():
    """Grad-CAM weighs channels, whose features in other cells get relevance that nothing justifies."""
    apart = disconnected(Small().eval(), cell=2, size=(SIDE, SIDE))
    grid = tile(photos(), 2)[None]
    found = make_method("grad_cam", apart, layer=GRID, relu=False).attribute(grid, apart(grid).argmax(1)).sum(1)
    assert grid_pointing(found.abs(), 2, torch.tensor([2])) < 0.6
    features = torch.stack([apart.body(grid[..., :SIDE, :SIDE])[0], apart.body(grid[..., SIDE:, :SIDE])[0]])
    weights = apart.head.get_submodule("head").weight[apart(grid).argmax()] / features[0, 0].numel() / 4
    small = make_method("grad_cam", apart, layer=GRID, relu=False, interpolate=False)
    maps = small.attribute(grid, apart(grid).argmax(1))[0, 0]
    torch.testing.assert_close(maps[:8, :8], (weights[:, None, None] * features[0]).sum(0))
    torch.testing.assert_close(maps[8:, :8], (weights[:, None, None] * features[1]).sum(0))


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (TwoMaps, {}, "depend on more than its last feature map"),
        (Branching, {}, "cannot be followed"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 4)), {}, "no feature map that grows"),
        (lambda: squeezenet1_1(weights=None), {"apart": False, "size": (224, 224)}, "cannot be shared out"),
    ],
)
def test_networks_that_cannot_be_taken_apart_are_refused(make, options, message):
    with pytest.raises(UnsupportedModelError, match=message):
        disconnected(make().eval(), **{"size": (SIDE, SIDE)} | options)


def test_cells_that_do_not_exist_or_do_not_fit_are_refused():
    with pytest.raises(OptionError, match="cell is 4; a grid of 2 by 2 has 0 to 3"):
        disconnected(Small().eval(), cell=4, size=(SIDE, SIDE))
    with pytest.raises(ShapeError, match="2 by 2 cells do not divide"):
        disconnected(Small().eval(), size=(SIDE, SIDE))(torch.randn(1, 3, 33, 32))
