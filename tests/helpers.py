"""What several tests share: deterministic networks, tiny networks of every kind, dense matrices."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Relative tolerance by dtype, the only such table of the tests.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-4, torch.bfloat16: 5e-2, torch.float16: 5e-2}


def relative_error(found: Tensor, expected: Tensor) -> float:
    """Largest difference over the largest magnitude of what was expected."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    scale = expected.abs().max().clamp(min=torch.finfo(expected.dtype).tiny)
    return float((found.to(expected.dtype) - expected).abs().max() / scale)


def golden_network(model: nn.Module, seed: int = 0) -> nn.Module:
    """Overwrite a network's state with streams that depend on each tensor's name alone; float64, eval mode."""
    model = model.double().eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            stream = np.random.RandomState((zlib.crc32(name.encode()) + 7919 * seed) % 2**32)
            if name.endswith("num_batches_tracked"):
                continue
            if tensor.dim() >= 2:
                values = stream.standard_normal(tensor.shape) * np.sqrt(2.0 / tensor[0].numel())
            elif name.endswith("running_var") or (name.endswith("weight") and not name.endswith("running_mean")):
                values = stream.uniform(0.5, 1.5, tensor.shape)
            else:
                values = stream.standard_normal(tensor.shape) * (0.1 if name.endswith("running_mean") else 0.05)
            tensor.copy_(torch.from_numpy(np.asarray(values)))
    return model


def golden_torchvision(name: str, seed: int = 0, **options: Any) -> nn.Module:
    """A `golden_network` of torchvision; no random weights are drawn first, which a VGG takes seconds for."""
    import torchvision

    with torch.device("meta"):
        model = getattr(torchvision.models, name)(weights=None, **options)
    return golden_network(model.double().to_empty(device="cpu"), seed)


def golden_image(height: int, width: int, seed: int = 0) -> Tensor:
    """The image that belongs to `golden_network`: ``(1, 3, height, width)``, float64, smooth with a little noise."""
    stream = np.random.RandomState(12345 + seed)
    coarse = torch.from_numpy(stream.standard_normal((1, 3, max(height // 8, 2), max(width // 8, 2))))
    fine = torch.from_numpy(stream.standard_normal((1, 3, height, width)))
    return F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=False) + 0.1 * fine


def dense_matrix(function: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> Tensor:
    """The matrix ``(out, in)`` of a linear function of one row of shape ``shape``, column by column."""
    size = int(np.prod(shape))
    basis = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    zero = function(torch.zeros(1, *shape, dtype=torch.float64))
    return torch.stack([(function(unit[None]) - zero).flatten() for unit in basis], dim=1)


class Residual(nn.Module):
    """Convolution, batch norm, in-place ReLU, ``out += identity``, one ReLU used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.conv1, self.bn1 = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 1, bias=False), nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(x))
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        out = self.relu(out)
        return self.fc(F.adaptive_avg_pool2d(out, 1).flatten(1))


class Functional(nn.Module):
    """No submodule but the weights: functional calls, F.pad, cat, chunk, a gate, ceil-mode and average pools."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(8, 3, 3, 3) * 0.3)
        self.b = nn.Parameter(torch.randn(8, 2, 3, 3) * 0.3)
        self.c = nn.Parameter(torch.randn(16, 6, 3, 3) * 0.3)
        self.d = nn.Parameter(torch.randn(5, 14) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(F.pad(x, (0, 1, 0, 1)), self.a, stride=2))
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        y = F.leaky_relu(F.conv2d(x, self.b, padding=2, dilation=2, groups=4))
        left, right = torch.cat([x, y], 1).chunk(2, dim=1)
        z = F.conv_transpose2d(right[:, :], self.c.permute(1, 0, 2, 3)[:, :6].repeat(2, 1, 1, 1)[:8], stride=2)
        z = F.avg_pool2d(z.relu_(), 2)
        left = left[:, :, : z.shape[2], : z.shape[3]]
        gate = torch.sigmoid(z.mean((2, 3), keepdim=True))
        out = torch.cat([left, z * gate], dim=1)
        return out.mean((2, 3)) @ self.d.t()


class Plain(nn.Sequential):
    """A chain: convolutions of several geometries, max pool, linear head."""

    def __init__(self, gamma_layers: int = 2) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()]
        for _ in range(gamma_layers):
            layers += [nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
        super().__init__(*layers, nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(8, 5))  # fmt: skip


class OneDimensional(nn.Sequential):
    """A 1-d network."""

    def __init__(self) -> None:
        super().__init__(nn.Conv1d(3, 6, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(6, 6, 3), nn.ReLU(),
                         nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 5))  # fmt: skip


class ThreeDimensional(nn.Sequential):
    """A 3-d network."""

    def __init__(self) -> None:
        super().__init__(nn.Conv3d(3, 4, 3, padding=1), nn.ReLU(), nn.AvgPool3d(2), nn.Conv3d(4, 4, 3, padding=1),
                         nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 5))  # fmt: skip


IMAGE_SHAPE: dict[type[nn.Module], tuple[int, ...]] = {OneDimensional: (3, 24), ThreeDimensional: (3, 6, 8, 8)}
NETWORKS: list[type[nn.Module]] = [Plain, Residual, Functional, OneDimensional, ThreeDimensional]


def make(
    network: type[nn.Module], n: int = 2, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[nn.Module, Tensor]:
    """A tiny network in eval mode with batch statistics that differ from the identity, and ``n`` images."""
    torch.manual_seed(seed)
    model = network().to(dtype).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model, torch.randn(n, *IMAGE_SHAPE.get(network, (3, 17, 19)), dtype=dtype)
