"""Classifiers that slide over images larger than their own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import alexnet, googlenet, squeezenet1_1, vgg11

import equipoise
from equipoise.errors import ShapeError, UnsupportedModelError
from equipoise.models.sliding import Sliding, sliding


class Narrow(nn.Module):
    """A VGG for images of 16 pixels, whose classifier takes 4 x 4 positions of 6 channels."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(4))
        self.avgpool = nn.AdaptiveAvgPool2d((4, 4))
        self.classifier = nn.Sequential(
            nn.Linear(6 * 16, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 8, bias=False), nn.ReLU(), nn.Linear(8, 5)
        )

    def forward(self, x):
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


@pytest.fixture
def narrow():
    return Narrow().double().eval()


def test_the_same_scores_on_its_own_size(narrow):
    images = torch.randn(3, 3, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(sliding(narrow, size=16)(images), narrow(images))


def test_the_average_over_every_position_by_hand(narrow):
    images = torch.randn(2, 3, 24, 20, dtype=torch.float64)  # features 6 x 5: the window of 4 fits 3 x 2 times
    maps = narrow.features(images)
    scores = [
        narrow.classifier(maps[:, :, top : top + 4, left : left + 4].flatten(1))
        for top in range(3)
        for left in range(2)
    ]
    torch.testing.assert_close(sliding(narrow, size=16)(images), torch.stack(scores).mean(0))


def test_weights_are_shared_and_the_original_stays(narrow):
    before = {name: tensor.clone() for name, tensor in narrow.state_dict().items()}
    kinds = [type(part) for part in narrow.modules()]
    network = sliding(narrow, size=16)
    images = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    assert [type(part) for part in narrow.modules()] == kinds
    assert all(torch.equal(tensor, before[name]) for name, tensor in narrow.state_dict().items())
    with torch.no_grad():
        for parameter in narrow.parameters():
            parameter.mul_(0.5)
    torch.testing.assert_close(network(images), narrow(images))
    network.features[1].register_forward_hook(lambda *_: pytest.fail("a hook on the copy ran in the original"))
    narrow(images)


def test_names_modes_and_gradients_are_kept(narrow):
    network = sliding(narrow, size=16)
    assert isinstance(network, Sliding)
    assert [name for name, _ in network.named_parameters()] == [name for name, _ in narrow.named_parameters()]
    assert not any(part.training for part in network.modules())
    assert network.classifier[0].weight.requires_grad
    narrow.requires_grad_(False)
    assert not any(parameter.requires_grad for parameter in sliding(narrow, size=16).parameters())
    assert all(part.training for part in sliding(narrow.train(), size=16).modules())


def test_an_image_that_is_too_small(narrow):
    with pytest.raises(ShapeError, match=r"feature maps of \(3, 4\) positions; the classifier needs at least \(4, 4\)"):
        sliding(narrow, size=16)(torch.zeros(1, 3, 12, 16, dtype=torch.float64))


def test_attribution_equilibrium_explains_a_sliding_network(narrow):
    images = torch.randn(1, 3, 24, 20, dtype=torch.float64)
    found = equipoise.attribute(sliding(narrow, size=16), images, 2, method="AE")
    assert found.shape == images.shape
    assert found.isfinite().all()
    assert found.any()


@pytest.mark.parametrize("build", [vgg11, alexnet])
def test_the_networks_of_torchvision_on_a_grid(build):
    with torch.device("meta"):
        network = sliding(build(weights=None).eval())
        assert isinstance(network, Sliding)
        assert network(torch.zeros(1, 3, 448, 448)).shape == (1, 1000)


def test_alexnet_gives_its_own_scores():
    network = alexnet(weights=None).eval()
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(sliding(network)(images), network(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("build", [squeezenet1_1, lambda: googlenet(init_weights=False, aux_logits=False)])
def test_networks_that_pool_globally_are_returned_as_they_are(build):
    network = build().train()
    assert sliding(network, size=112) is network
    assert all(part.training for part in network.modules())


@pytest.mark.parametrize(("size", "found"), [(20, r"feature maps of \(5, 5\) positions"), (2, "no feature maps")])
def test_a_network_made_for_another_size(narrow, size, found):
    with pytest.raises(UnsupportedModelError, match=rf"Narrow has {found} for images of {size} pixels"):
        sliding(narrow, size=size)


class Flat(nn.Sequential):
    """Takes images of 8 pixels alone."""

    def __init__(self):
        super().__init__(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2 * 64, 3))


@pytest.mark.parametrize(
    "network", [Flat(), nn.Sequential(nn.AdaptiveMaxPool2d((2, None)), nn.Flatten(), nn.LazyLinear(3))]
)
def test_other_networks_are_refused(network):
    with pytest.raises(UnsupportedModelError, match="takes images of one size alone"):
        sliding(network, size=8)
