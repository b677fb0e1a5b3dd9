"""Gradient methods and Grad-CAM against the outputs of TorchRay and captum on deterministic networks."""

from pathlib import Path

import numpy as np
import pytest
import torch

import equipoise
from helpers import golden_image, golden_torchvision, relative_error

PACKED = np.load(Path(__file__).parent / "gradient.npz")
CASES = sorted({key.rpartition("/")[0] for key in PACKED.files}, key=lambda case: case.split("/")[::-1])
METHOD = {
    "GradCAM_torchray": ("grad_cam", {"profile": "reference", "interpolate": False}),
    "captum_LayerGradCam": ("grad_cam", {"relu": False, "interpolate": False}),
    "GuidedBackprop_torchray": ("guided_backprop", {"profile": "reference"}),
    "captum_GuidedBackprop": ("guided_backprop", {}),
    "captum_IntegratedGradients": ("integrated_gradients", {"profile": "reference"}),
}
_networks: dict[str, torch.nn.Module] = {}


def network(name: str) -> torch.nn.Module:
    if name not in _networks:
        _networks.clear()
        _networks[name] = golden_torchvision(name)
    return _networks[name]


def golden(case: str) -> torch.Tensor:
    return torch.from_numpy(PACKED[f"{case}/attribution"]).double()


def test_every_method_and_network_is_here():
    methods = {case.split("/")[0] for case in CASES}
    assert methods == set(METHOD)
    torchray = {case.split("/")[1] for case in CASES if "torchray" in case}
    assert torchray == {"vgg16", "vgg16_bn", "resnet18", "resnet50"}


@pytest.mark.parametrize("case", [
    pytest.param(case, marks=pytest.mark.slow if case == "captum_IntegratedGradients/vgg16" else ())  # 11 s
    for case in CASES
])  # fmt: skip
def test_reference_equals_the_other_package(case):
    source, name = case.split("/")
    method, options = METHOD[source]
    size, target = int(PACKED[f"{case}/size"]), int(PACKED[f"{case}/target"])
    expected = torch.from_numpy(PACKED[f"{case}/attribution"]).double()
    layer = str(PACKED[f"{case}/layer"])
    # Grad-CAM: with the layer that the package was told, and with the one found by itself.
    for chosen in [{}] if layer == "input" else [{}, {"layer": layer}]:
        found = equipoise.attribute(network(name), golden_image(size, size), target, method=method, **options, **chosen)
        found = found[:, :, ::3] if found.shape[1] == 3 else found
        assert relative_error(found, expected) <= 1e-5
        if not expected.any():  # resnet18's Grad-CAM: evidence against the class alone, all cut off
            assert not found.any()
