"""Which architectures of timm and torchvision are convolutional networks.

Every module of ``timm.models`` and every module of ``torchvision.models`` that classifies images is one
line of a table here (a test fails when a new release brings a module that no line names):

- ``CNN``: positions are mixed by convolution and pooling alone. Gates that pool the whole map (squeeze
  and excitation, global context, split attention over channels, focal modulation) do not change that.
- ``HYBRID``: convolutions, and somewhere attention or a state space between positions.
- ``TRANSFORMER``, ``MLP``, ``RECURRENT``: positions are mixed by attention, by dense layers, by an LSTM.

Where one module holds networks of two kinds, `_EXCEPTIONS` names those that differ from the module's line.
"""

from __future__ import annotations

import enum
import fnmatch
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import timm
import torchvision

from equipoise._registry import nearest
from equipoise.errors import UnknownNameError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(enum.Enum):
    """What a network mixes positions with; the value is how an error message says it."""

    CNN = "a convolutional network"
    HYBRID = "a hybrid of convolution and attention"
    TRANSFORMER = "a transformer"
    MLP = "an MLP mixer"
    RECURRENT = "a recurrent network"


# Names are those of the modules below `timm.models`.
_TIMM: Mapping[Kind, str] = {
    Kind.CNN: """
        byobnet convmixer convnext cspnet cspnext densenet dla dpn efficientnet fasternet focalnet ghostnet
        hardcorenas hgnet hrnet inception_next inception_resnet_v2 inception_v3 inception_v4 lcnetv2 mambaout
        metaformer mobilenetv3 nasnet nfnet pnasnet rdnet regnet repghost repvit res2net resnest resnet
        resnetv2 rexnet selecsls senet sknet starnet tresnet vgg vovnet xception xception_aligned
    """,
    Kind.HYBRID: """
        byoanet coat cpubone csatv2 edgenext efficientformer efficientformer_v2 efficientvim efficientvit_mit
        efficientvit_msra fastvit iformer levit lowformer maxxvit mobilenetv5 mobilevit nextvit shvit
        swiftformer tiny_vit visformer vision_transformer_hybrid vitamin
    """,
    Kind.TRANSFORMER: """
        beit cait convit crossvit davit deepseek_vit deit eva gcvit gemma4_vit hiera hieradet_sam2 mvitv2
        naflexvit nest pit pvt_v2 qwen3_vit swin_transformer swin_transformer_v2 swin_transformer_v2_cr tnt
        twins vision_transformer vision_transformer_relpos vision_transformer_sam volo xcit
    """,
    Kind.MLP: "mlp_mixer",
    Kind.RECURRENT: "sequencer",
}

# Names are those of the modules below `torchvision.models`.
_TORCHVISION: Mapping[Kind, str] = {
    Kind.CNN: """
        alexnet convnext densenet efficientnet googlenet inception mnasnet mobilenetv2 mobilenetv3 regnet
        resnet shufflenetv2 squeezenet vgg
    """,
    Kind.HYBRID: "maxvit",
    Kind.TRANSFORMER: "swin_transformer vision_transformer",
}

# (module of timm, pattern of architecture names, kind, why)
_EXCEPTIONS: tuple[tuple[str, str, Kind, str], ...] = (
    ("byobnet", "bat_resnext26ts", Kind.HYBRID, "bilinear attention between positions"),
    ("byobnet", "resnet*_clip", Kind.HYBRID, "attention pooling at the end; resnet*_clip_gap has none"),
    ("fastvit", "fastvit_t8", Kind.CNN, "no attention stage"),
    ("fastvit", "fastvit_t12", Kind.CNN, "no attention stage"),
    ("fastvit", "fastvit_s12", Kind.CNN, "no attention stage"),
    ("lowformer", "lowformer_e1", Kind.CNN, "built without its attention"),
    ("lowformer", "lowformer_e2", Kind.CNN, "built without its attention"),
    ("metaformer", "caformer_*", Kind.HYBRID, "attention in the last two stages"),
    ("mobilenetv3", "mobilenetv4_hybrid_*", Kind.HYBRID, "multi-query attention in the last stages"),
)

# The architecture with the fewest parameters in each family; a test counts them again.
_REPRESENTATIVES: Mapping[str, str] = {
    "timm/byobnet": "test_byobnet",
    "timm/convmixer": "convmixer_768_32",
    "timm/convnext": "test_convnext",
    "timm/cspnet": "cs3darknet_focus_s",
    "timm/cspnext": "cspnext_tiny",
    "timm/densenet": "densenet121",
    "timm/dla": "dla46x_c",
    "timm/dpn": "dpn48b",
    "timm/efficientnet": "test_efficientnet",
    "timm/fasternet": "fasternet_t0",
    "timm/fastvit": "fastvit_t8",
    "timm/focalnet": "focalnet_tiny_srf",
    "timm/ghostnet": "ghostnet_050",
    "timm/hardcorenas": "hardcorenas_b",
    "timm/hgnet": "hgnetv2_b0",
    "timm/hrnet": "hrnet_w18_small",
    "timm/inception_next": "inception_next_atto",
    "timm/inception_resnet_v2": "inception_resnet_v2",
    "timm/inception_v3": "inception_v3",
    "timm/inception_v4": "inception_v4",
    "timm/lcnetv2": "lcnetv2_small",
    "timm/lowformer": "lowformer_e1",
    "timm/mambaout": "test_mambaout",
    "timm/metaformer": "poolformerv2_s12",
    "timm/mobilenetv3": "mobilenetv3_small_050",
    "timm/nasnet": "nasnetalarge",
    "timm/nfnet": "test_nfnet",
    "timm/pnasnet": "pnasnet5large",
    "timm/rdnet": "rdnet_tiny",
    "timm/regnet": "regnetx_002",
    "timm/repghost": "repghostnet_050",
    "timm/repvit": "repvit_m1",
    "timm/res2net": "res2next50",
    "timm/resnest": "resnest14d",
    "timm/resnet": "test_resnet",
    "timm/resnetv2": "resnetv2_18",
    "timm/rexnet": "rexnet_100",
    "timm/selecsls": "selecsls42",
    "timm/senet": "legacy_seresnet18",
    "timm/sknet": "skresnet18",
    "timm/starnet": "starnet_s050",
    "timm/tresnet": "tresnet_m",
    "timm/vgg": "vgg11",
    "timm/vovnet": "ese_vovnet19b_slim_dw",
    "timm/xception": "legacy_xception",
    "timm/xception_aligned": "xception41p",
    "torchvision/alexnet": "alexnet",
    "torchvision/convnext": "convnext_tiny",
    "torchvision/densenet": "densenet121",
    "torchvision/efficientnet": "efficientnet_b0",
    "torchvision/googlenet": "googlenet",
    "torchvision/inception": "inception_v3",
    "torchvision/mnasnet": "mnasnet0_5",
    "torchvision/mobilenetv2": "mobilenet_v2",
    "torchvision/mobilenetv3": "mobilenet_v3_small",
    "torchvision/regnet": "regnet_y_400mf",
    "torchvision/resnet": "resnet18",
    "torchvision/shufflenetv2": "shufflenet_v2_x0_5",
    "torchvision/squeezenet": "squeezenet1_1",
    "torchvision/vgg": "vgg11",
}


def _by_module(table: Mapping[Kind, str]) -> Mapping[str, Kind]:
    return MappingProxyType({module: kind for kind, modules in table.items() for module in modules.split()})


TIMM_MODULES = _by_module(_TIMM)
TORCHVISION_MODULES = _by_module(_TORCHVISION)


@cache
def timm_architectures() -> Mapping[str, str]:
    """Every architecture of the installed timm, and the name of the module that defines it."""
    return MappingProxyType(
        {name: module for module in timm.list_modules() for name in timm.list_models(module=module)}
    )


@cache
def torchvision_architectures() -> Mapping[str, str]:
    """Every image classifier of the installed torchvision, and the name of the module that defines it."""
    names = torchvision.models.list_models(module=torchvision.models)
    return MappingProxyType(
        {name: torchvision.models.get_model_builder(name).__module__.rpartition(".")[2] for name in names}
    )


def timm_kind(architecture: str) -> Kind | None:
    """The kind of an architecture of timm; ``None`` when its module is newer than the table."""
    module = timm_architectures()[architecture]
    for where, pattern, kind, _ in _EXCEPTIONS:
        if where == module and fnmatch.fnmatchcase(architecture, pattern):
            return kind
    return TIMM_MODULES.get(module)


def torchvision_kind(architecture: str) -> Kind | None:
    """The kind of an architecture of torchvision; ``None`` when its module is newer than the table."""
    return TORCHVISION_MODULES.get(torchvision_architectures()[architecture])


def require_cnn(architecture: str, kind: Kind | None) -> None:
    """Pass for a convolutional network.

    Args:
        architecture: The name that the message says.
        kind: Its kind, ``None`` when unknown.

    Raises:
        UnsupportedModelError: For every other kind, and for one that the table does not know.
    """
    if kind is Kind.CNN:
        return
    fact = f"is {kind.value}" if kind else "belongs to a family that this version of equipoise does not know"
    raise UnsupportedModelError(
        f"{architecture} {fact}; equipoise explains convolutional networks, "
        "for example resnet50, vgg16, convnext_tiny or efficientnet_lite0"
    )


@cache
def cnn_families() -> Mapping[str, tuple[str, ...]]:
    """Every family of convolutional networks that is installed, and its architectures.

    Returns:
        Read-only; from ``"timm/resnet"`` (source and module) to ``("timm/ecaresnet26t", ...)``, names that
        `equipoise.models.build` takes.
    """
    families: dict[str, list[str]] = {}
    for source, architectures, kind_of in (
        ("torchvision", torchvision_architectures(), torchvision_kind),
        ("timm", timm_architectures(), timm_kind),
    ):
        for name, module in architectures.items():
            if kind_of(name) is Kind.CNN:
                families.setdefault(f"{source}/{module}", []).append(f"{source}/{name}")
    return MappingProxyType({family: tuple(members) for family, members in families.items()})


def representative(family: str) -> str:
    """The architecture of ``family`` with the fewest parameters.

    Where the installed timm has no such architecture, the first one of the family.

    Raises:
        UnknownNameError: If no family has that name; the text lists the nearest ones.
    """
    families = cnn_families()
    if family not in families:
        near = nearest(family, list(families))
        raise UnknownNameError(
            f"no family of convolutional networks is called {family!r}; "
            f"did you mean {' or '.join(near) or ', '.join(families)}?"
        )
    smallest = f"{family.partition('/')[0]}/{_REPRESENTATIVES.get(family, '')}"
    return smallest if smallest in families[family] else families[family][0]
