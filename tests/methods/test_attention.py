"""Attention is refused by name wherever relevance would have to pass it; gradients pass it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import equipoise
from equipoise.errors import LayerError, UnsupportedOperationError
from equipoise.methods import METHODS

RELEVANCE = [
    "ae", "rsp", "rap", "agf", "eb", "contrastive_eb", "lrp_composite", "lrp_alpha_beta", "deep_taylor",
    "contrastive_lrp", "relevance_cam",
]  # fmt: skip


def by_softmax(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (q @ k.mT).softmax(-1) @ v


def by_bmm(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.bmm(torch.bmm(q, k.mT).softmax(-1), v)


def by_einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return torch.einsum("nij,njc->nic", torch.einsum("nic,njc->nij", q, k).softmax(-1), v)


def linear(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return q.softmax(-1) @ (k.softmax(-2).mT @ v)


class Hybrid(nn.Module):
    """Attention among the positions of a map, between two convolutions."""

    def __init__(self, attention) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.qkv = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 24)
        self.b, self.f, self.attention = nn.Conv2d(8, 8, 3, padding=1), nn.Linear(8, 4), attention

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x).relu()
        q, k, v = self.qkv(y.flatten(2).mT).chunk(3, -1)
        return self.f(self.b(self.attention(q, k, v).mT.reshape(y.shape)).relu().mean((2, 3)))


class Heads(nn.Module):
    """torch's own module, called in one line."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return self.mixed(q, k, v)[0]


SPELLINGS = {
    "softmax, matmul": by_softmax, "bmm": by_bmm, "einsum": by_einsum, "linear attention": linear,
    "scaled_dot_product_attention": F.scaled_dot_product_attention, "MultiheadAttention": Heads(),
}  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("method", RELEVANCE)
def test_relevance_stops_at_attention_by_name(method, spelling):
    options = {"layer": "a"} if method in ("relevance_cam", "contrastive_eb") else {}
    with pytest.raises(UnsupportedOperationError, match="relevance reached attention"):
        equipoise.attribute(Hybrid(SPELLINGS[spelling]).eval(), torch.randn(1, 3, 6, 6), 1, method=method, **options)


@pytest.mark.parametrize("method", ["grad_cam", "guided_backprop", "full_grad", "gradient", "score_cam"])
def test_gradients_and_activation_maps_pass_it(method):
    options = {"grad_cam": {"layer": "a", "relu": False}, "score_cam": {"layer": "a"}}.get(method, {})
    x = torch.randn(1, 3, 6, 6, dtype=torch.float64)
    found = equipoise.attribute(Hybrid(by_softmax).double().eval(), x, 1, method=method, **options)
    assert found.isfinite().all()
    assert found.abs().sum() > 0


def test_a_map_behind_the_attention_is_read_without_passing_it():
    found = equipoise.attribute(Hybrid(by_softmax).eval(), torch.randn(1, 3, 6, 6), 1, method="relevance_cam")
    assert found.shape == (1, 1, 6, 6)


REFUSED, EARLY, MAP = "relevance reached attention", "leaves out", None
NETWORKS = {  # what AE, LRP and Grad-CAM do
    "torchvision/vit_b_16:224": (EARLY, REFUSED, EARLY),
    "torchvision/swin_t:64": (REFUSED, REFUSED, MAP),
    "timm/vit_tiny_patch16_224:224": (EARLY, REFUSED, EARLY),
    "timm/botnet26t_256:256": (REFUSED, REFUSED, MAP),
    "timm/edgenext_xx_small:64": (REFUSED, REFUSED, MAP),
    "timm/efficientformer_l1:224": (MAP, REFUSED, MAP),  # the last map lies before the attention
    "timm/mixer_s32_224:224": (EARLY, MAP, EARLY),
    "timm/levit_128s:224": (EARLY, REFUSED, EARLY),
    "timm/maxvit_rmlp_pico_rw_256:256": (REFUSED, REFUSED, MAP),
    "timm/coatnet_0_rw_224:224": (REFUSED, REFUSED, MAP),
    "timm/mobilevit_xxs:64": (REFUSED, REFUSED, MAP),
    "timm/poolformer_s12:64": (MAP, MAP, MAP),
    "timm/resnest14d:64": (MAP, MAP, MAP),
    "timm/skresnet18:64": (MAP, MAP, MAP),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_with_attention_are_right_or_refused(name):
    library, rest = name.split("/")
    network, size = rest.split(":")
    torch.manual_seed(0)
    if library == "timm":
        model = pytest.importorskip("timm").create_model(network, pretrained=False).eval()
    else:
        model = getattr(pytest.importorskip("torchvision").models, network)(weights=None).eval()
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    nn.init.normal_(last.weight, std=0.1)  # transformers are made with zeros there: every map would be zero
    x = torch.randn(1, 3, int(size), int(size))
    for method, expected in zip(("ae", "lrp_composite", "grad_cam"), NETWORKS[name], strict=True):
        options = {"relu": False} if method == "grad_cam" else {}
        if expected is MAP:
            found = equipoise.attribute(model, x, 1, method=method, **options)
            assert found.isfinite().all(), method
            assert found.abs().sum() > 0, method
        else:
            with pytest.raises((LayerError, UnsupportedOperationError), match=expected):
                equipoise.attribute(model, x, 1, method=method, **options)
    gradient = METHODS["gradient"](model).attribute(x, 1)
    assert gradient.abs().sum() > 0
