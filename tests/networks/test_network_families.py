"""Attribution Equilibrium on every family of convolutional networks of torchvision and timm, at random weights."""

from __future__ import annotations

from functools import cache

import coverage_tool
import laws
import pytest
import torch

import equipoise
from equipoise.errors import UnsupportedModelError, UnsupportedOperationError
from equipoise.models import build, cnn_families, representative

# 48 pixels are the fewest that leave the common last map 2x2 positions; these networks round down, or more often.
SIZE = 48
SIZES = {
    "torchvision/alexnet": 64,
    "torchvision/densenet121": 64,
    "torchvision/inception_v3": 80,
    "timm/densenet121": 64,
    "timm/dla46x_c": 64,
    "timm/hrnet_w18_small": 64,
    "timm/inception_v3": 80,
    "timm/inception_v4": 80,
    "timm/inception_resnet_v2": 80,
}
# Every kind of block that timm builds from, in networks that take about a second; the others are marked slow.
QUICK = (
    "timm/byobnet",  # blocks by the dozen
    "timm/convnext",  # layer scale, layer norm over channels
    "timm/cspnet",  # cross-stage splits
    "timm/efficientnet",  # squeeze and excitation, SiLU, same padding
    "timm/fasternet",  # partial convolutions: slices and concatenation
    "timm/hgnet",
    "timm/inception_next",  # band kernels, split in four
    "timm/mambaout",  # channels last, gated convolutions
    "timm/mobilenetv3",
    "timm/nfnet",  # standardized weights, scaled activations
    "timm/regnet",
    "timm/resnet",
    "timm/starnet",  # products of two signals
)
TORCHVISION = [f for f in cnn_families() if f.startswith("torchvision/")]
TIMM = [f for f in cnn_families() if f.startswith("timm/")]
# Larger networks of blocks that the quick ones have as well, which stand behind them.
LARGE = (
    "torchvision/convnext_tiny",  # timm/test_convnext
    "torchvision/efficientnet_b0",  # timm's
    "torchvision/efficientnet_v2_s",
    "torchvision/inception_v3",  # torchvision/googlenet
    "torchvision/mnasnet0_5",  # torchvision/mobilenet_v2
    "torchvision/mobilenet_v3_large",  # torchvision/mobilenet_v3_small
    "torchvision/regnet_x_400mf",  # torchvision/regnet_y_400mf, timm/regnetx_002
    "torchvision/resnext50_32x4d",  # torchvision/resnet18, regnet_y_400mf (groups)
    "torchvision/vgg11",  # torchvision/alexnet
    "torchvision/vgg11_bn",
    "torchvision/wide_resnet50_2",
)
_OF_ALL_KINDS = [*(representative(f) for f in (*TORCHVISION, *QUICK)), *coverage_tool.VARIANTS]
QUICK_NETWORKS = [name for name in _OF_ALL_KINDS if name not in LARGE]
SLOW_NETWORKS = [*(representative(f) for f in TIMM if f not in QUICK), *LARGE]


@cache
def broken_laws(name: str) -> dict[str, str]:
    model = laws.perturb(build(name, num_classes=10))
    return laws.examine(model, laws.image(2, SIZES.get(name, SIZE)))


@pytest.mark.parametrize("name", QUICK_NETWORKS)
def test_network_keeps_every_law(name: str) -> None:
    assert broken_laws(name) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_NETWORKS)
def test_slow_network_keeps_every_law(name: str) -> None:
    assert broken_laws(name) == {}


@pytest.mark.slow
def test_at_least_95_percent_of_timm_families_keep_every_law() -> None:
    broken = {family: found for family in TIMM if (found := broken_laws(representative(family)))}
    assert 1 - len(broken) / len(TIMM) >= 0.95, broken


def test_suite_names_only_families_that_exist() -> None:
    assert set(QUICK) <= set(TIMM)
    networks = {*QUICK_NETWORKS, *SLOW_NETWORKS}
    assert networks == {representative(f) for f in cnn_families()} | set(coverage_tool.VARIANTS)
    assert set(SIZES) | set(LARGE) <= networks


@pytest.mark.parametrize("name", ["swin_t", "timm/vit_tiny_patch16_224", "timm/mixer_s16_224"])
def test_what_is_no_convolutional_network_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnsupportedModelError, match=f"{name.partition('/')[2] or name} is a"):
        equipoise.load_model(name, weights="random")


def test_attention_is_refused_by_operation() -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_vit", num_classes=10).eval()
    images = torch.randn(1, 3, *model.default_cfg["input_size"][1:])
    with pytest.raises(UnsupportedOperationError, match="scaled_dot_product_attention"):
        equipoise.attribute(model, images, method="ae")


def test_weights_folded_into_the_batch_are_refused_for_more_than_one_image() -> None:
    model = laws.perturb(build("timm/tf_efficientnet_cc_b0_4e", num_classes=10))
    images = laws.image(2, SIZE)
    with pytest.raises(
        UnsupportedOperationError, match=r"images of a batch are taken apart or mixed by .*cond_conv2d.*one at a time"
    ):
        equipoise.attribute(model, images, method="ae")
    alone = equipoise.attribute(model, images[:1], method="ae")
    assert bool(alone.isfinite().all())
    assert float(alone.abs().max()) > 0
