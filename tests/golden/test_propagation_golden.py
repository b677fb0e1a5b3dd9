"""Every propagation method's reference profile against the outputs of its official implementation."""

from pathlib import Path

import numpy as np
import pytest
import torch

import equipoise
from helpers import golden_image, golden_torchvision, relative_error

FOLDER = Path(__file__).parent
# c*LRP and its kin are small differences of large maps, and zennit leaves an epsilon in a merged batch norm.
LOOSER = {"zennit_EpsilonAlpha2Beta1": 1e-4, "zennit_EpsilonGammaBox": 1e-4, "zennit_EpsilonPlus": 1e-4}
POOL4 = {"vgg16": "features.23", "vgg16_bn": "features.33"}


def eb_layer(case, model):
    return {} if case.endswith("input") else {"layer": POOL4.get(model, "layer3")}


def cam_layer(case, _model):
    where = case.split("-")[1]
    return {"layer": f"features.{where}" if where.isdigit() else where}


# File: the method, and its options from the case and the model's name.
METHODS = {
    "AGF": ("agf", lambda _c, _m: {}),
    "CLRP": ("contrastive_lrp", lambda c, _m: {"variant": f"clrp{c[-1]}"}),
    "EB": ("eb", eb_layer),
    "LRP_a1_rap": ("lrp_alpha_beta", lambda _c, _m: {"alpha": 1}),
    "LRP_a2_agf": ("lrp_alpha_beta", lambda _c, _m: {"alpha": 2}),
    "RAP": ("rap", lambda _c, _m: {}),
    "RSP": ("rsp", lambda _c, _m: {}),
    "RelevanceCAM": ("relevance_cam", cam_layer),
    "SGLRP": ("contrastive_lrp", lambda _c, _m: {"variant": "sglrp"}),
    "c_star_LRP": ("c*LRP", lambda _c, _m: {}),
    "cEB": ("c*EB", lambda _c, _m: {}),
    "zennit_EpsilonAlpha2Beta1": ("LRP-COMP", lambda _c, _m: {"composite": "epsilon-alpha2-beta1"}),
    "zennit_EpsilonGammaBox": ("LRP-COMP", lambda _c, _m: {"composite": "egb"}),
    "zennit_EpsilonPlus": ("LRP-COMP", lambda _c, _m: {"composite": "epsilon_plus"}),
}
MAPS = {"eb", "c*EB", "relevance_cam"}
CASES = sorted(
    {(str(packed[f"{key.split('/')[0]}/model"]), name, key.split("/")[0])
     for name in METHODS for packed in [np.load(FOLDER / f"{name}.npz")] for key in packed.files}
)  # fmt: skip


def implied(model, name, case):
    """What another case goes through as well: smaller blocks, the way to a nearer layer, the other contrast."""
    nearer = name == "RelevanceCAM" and case not in {"vgg16-23", "vgg16_bn-33", "resnet50-layer2"}
    return model == "resnet18" or nearer or (name == "EB" and not case.endswith("input")) or case.endswith("type2")


_networks: dict[str, torch.nn.Module] = {}


def network(name):
    if name not in _networks:
        _networks.clear()
        _networks[name] = golden_torchvision(name)
    return _networks[name]


@pytest.mark.parametrize(("model", "name", "case"), [
    pytest.param(*case, marks=pytest.mark.slow if implied(*case) else ()) for case in CASES
])  # fmt: skip
def test_reference_profile_equals_the_official_code(model, name, case):
    packed = np.load(FOLDER / f"{name}.npz")
    method, options = METHODS[name]
    image = golden_image(*[int(s) for s in np.broadcast_to(packed[f"{case}/size"], 2)])
    size = {"interpolate": False} if method in MAPS else {}
    found = equipoise.attribute(
        network(model), image, 243, method=method, profile="reference", **size, **options(case, model)
    )
    expected = torch.from_numpy(packed[f"{case}/attribution"]).double()
    if name == "CLRP":  # stored as the sum over the colors
        found = found.sum(1, keepdim=True)
    if f"{case}/step" in packed:
        step = int(packed[f"{case}/step"])
        found = found[..., ::step, ::step]
    normalized = any(part in model for part in ("bn", "resnet"))
    assert relative_error(found, expected) <= (LOOSER.get(name, 1e-5) if normalized else 1e-5)
