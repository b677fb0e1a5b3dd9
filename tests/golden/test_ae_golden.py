"""Attribution Equilibrium's reference profile against the outputs of the authors' released code."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import equipoise
from equipoise.engine import OpKind
from equipoise.methods.ae import AttributionEquilibrium
from equipoise.rules.pooling import Pool
from helpers import golden_image, golden_torchvision, relative_error

PACKED = np.load(Path(__file__).parent / "AE.npz")
# Chains first: their cases are numbered alike in both tests, by which pytest makes each network once.
CASES = sorted({key.split("/")[0] for key in PACKED.files}, key=lambda c: (not c.startswith(("vgg", "alexnet")), c))
CHAINS = [case for case in CASES if case.startswith(("vgg", "alexnet"))]
BUILD = {"inception_v3": {"init_weights": False, "transform_input": False}}
# The released extractor hard-codes index 29 and was also run with 42 for the batch-norm VGG.
LAYER = {"f29": "features.29", "f42": "features.42"}
_networks: dict[str, torch.nn.Module] = {}


def network(name: str) -> torch.nn.Module:
    if name not in _networks:
        _networks.clear()
        _networks[name] = golden_torchvision(name, **BUILD.get(name, {}))
    return _networks[name]


def test_every_network_of_the_authors_is_here():
    models = {str(PACKED[f"{case}/model"]) for case in CASES}
    assert models == {"vgg16", "vgg16_bn", "alexnet", "resnet18", "resnet50", "densenet121", "inception_v3"}


@pytest.mark.parametrize("case", CASES, scope="module")
def test_reference_profile_equals_the_authors_code(case):
    model = network(str(PACKED[f"{case}/model"]))
    size = np.broadcast_to(PACKED[f"{case}/size"], 2)
    layer = next((name for key, name in LAYER.items() if key in case), None)
    found = equipoise.attribute(
        model,
        golden_image(int(size[0]), int(size[1])),
        243,
        profile="reference",
        gamma=float(PACKED[f"{case}/gamma"]),
        layer=layer,
    )
    assert relative_error(found, torch.from_numpy(PACKED[f"{case}/attribution"]).double()) <= 1e-6


@pytest.mark.parametrize("case", CHAINS, scope="module")
def test_on_a_chain_both_profiles_agree(case):
    """The paper's equations and the released code part ways only where a network branches, and where maxima tie.

    The windows that tie are those without activity: torch's derivative, and so the released code, pays the first
    entry of them. Here the paper's profile gets that pool, and nothing else of the reference.
    """
    model = network(str(PACKED[f"{case}/model"]))
    layer = next((name for key, name in LAYER.items() if key in case), None)
    image = golden_image(*[int(s) for s in np.broadcast_to(PACKED[f"{case}/size"], 2)])
    method = AttributionEquilibrium(model, gamma=float(PACKED[f"{case}/gamma"]), layer=layer)
    composite = method.profile.composite(method.options)
    method.profile = replace(method.profile, composite=lambda _options: composite.replacing({OpKind.MAX_POOL: Pool()}))
    expected = torch.from_numpy(PACKED[f"{case}/attribution"]).double()
    assert relative_error(method.attribute(image, 243), expected) <= 1e-6
