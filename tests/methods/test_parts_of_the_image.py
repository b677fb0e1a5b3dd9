"""A layer that saw a crop of the image has no map of the whole: what resizes maps refuses it."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import equipoise
from equipoise.engine import record
from equipoise.engine.extents import LEAST, parts_of_the_image
from equipoise.errors import LayerError, UnsupportedOperationError
from equipoise.models.disconnected import disconnected

CAMS = ("grad_cam", "grad_cam_plus_plus", "score_cam", "relevance_cam")


class Cut(nn.Module):
    """Features of what ``cut`` leaves of an image, and a classifier."""

    def __init__(self, cut, channels=3):
        super().__init__()
        self.cut, self.features = cut, nn.Conv2d(channels, 6, 3, padding=1)
        self.last, self.head = nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 4)

    def forward(self, x):
        return self.head(self.last(self.features(self.cut(x)).relu()).relu().mean((2, 3)))


def halves_apart(x):
    """Each half by itself, side by side again."""
    return torch.cat([F.avg_pool2d(half, 3, 1, 1) for half in x.chunk(2, 3)], 3)


PARTS = {
    "slices": lambda x: x[:, :, :7, 4:],
    "narrow": lambda x: x.narrow(3, 2, 8),
    "a chunk": lambda x: x.chunk(3, 2)[1],
    "a split": lambda x: x.split([5, 11], 3)[1],
    "index_select": lambda x: x.index_select(2, torch.arange(4, 10)),
    "a negative pad": lambda x: F.pad(x, (-5, 0)),
    "twice": lambda x: x[:, :, 2:][:, :, :10],
}
WHOLES = {
    "all of it": lambda x: x,
    "a margin": lambda x: x[:, :, 1:-1, 1:-1],
    "every other": lambda x: x[:, :, ::2, 1::2],
    "halves side by side": halves_apart,
    "channels apart": lambda x: torch.cat([x[:, :1], x[:, 1:]], 1),
}


def images():
    return torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", PARTS)
def test_a_map_of_a_part_is_refused_and_what_goes_down_to_the_pixels_is_not(name):
    model, x = Cut(PARTS[name]).eval(), images()
    for method in CAMS:
        with pytest.raises(LayerError, match=r"of a part of the image \(.* to .* of its sides\)"):
            equipoise.attribute(model, x, 1, method=method)
    for method in ("grad_cam", "relevance_cam"):  # as it was computed, it is laid over nothing
        assert equipoise.attribute(model, x, 1, method=method, interpolate=False).shape[2:] != (16, 16)
    with pytest.raises(UnsupportedOperationError, match=r"conv2d.* saw a part of it"):
        equipoise.attribute(model, x, 1, method="full_grad")
    for method in ("ae", "gradient", "lrp_composite"):
        found = equipoise.heatmap(equipoise.attribute(model, x, 1, method=method))
        assert found.isfinite().all()
        assert not found.any(0).all(), "what was cut off has no relevance"


@pytest.mark.parametrize("name", WHOLES)
def test_a_map_of_the_whole_is_laid_over_it(name):
    model, x = Cut(WHOLES[name]).eval(), images()
    for method in (*CAMS, "full_grad"):
        assert equipoise.attribute(model, x, 1, method=method).shape[2:] == (16, 16)


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(5, 12), st.integers(5, 12))
def test_where_a_slice_lies(data, height, width):
    """Slices of slices, in shares of the input; what is whole enough is no part."""
    spans = []
    for size in (height, width):
        first = data.draw(st.integers(0, size - 2))
        last = data.draw(st.integers(first + 1, size))
        again = data.draw(st.integers(0, last - first - 1))
        spans.append((size, first, last, again))
    (_, a, b, c), (_, d, e, f) = spans

    class Sliced(nn.Module):
        def forward(self, x):
            self.x = x[:, :, a:b, d:e][:, :, c:, f:].relu()
            return self.x.mean((2, 3))

    trace = record(Sliced().eval(), torch.rand(1, 3, height, width))
    parts = parts_of_the_image(trace)
    wanted = tuple(((first + again) / size, last / size) for size, first, last, again in spans)
    last = next(call.outputs[0] for call in trace.calls if call.name == "relu")
    if all(end - begin >= LEAST for begin, end in wanted):
        assert last not in parts
    else:
        for found, expected in zip(parts[last], wanted, strict=True):
            assert found == pytest.approx(expected, abs=1e-5)


def test_cells_that_pass_a_network_apart():
    """DiFull: the layers of a cell are of the cell; the map of all cells side by side is whole."""
    torch.manual_seed(0)
    body = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()]
    model = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)).eval()
    grid, x = disconnected(model, cells=2, cell=3, size=(16, 16)), torch.randn(1, 3, 32, 32)
    with pytest.raises(UnsupportedOperationError, match="saw a part of it"):
        equipoise.attribute(grid, x, 1, method="full_grad")
    assert equipoise.attribute(grid, x, 1, method="grad_cam", layer="grid").any()
    with pytest.raises(LayerError, match=r"0\.5 to 1 and 0\.5 to 1 of its sides"):
        equipoise.attribute(grid, x, 1, method="grad_cam", layer="body")
