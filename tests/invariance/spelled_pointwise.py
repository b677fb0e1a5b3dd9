"""Pointwise functions of one signal: one activation each, however written."""

# ruff: noqa: PLW0108  # a helper stands below the family that uses it

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from families import SIGNED, Family, Weights, scale, signal
from torch import Tensor, nn

SECTION = "Pointwise functions of one signal"


def _family(name, base, spellings, build=Weights, **more) -> Family:
    given = more.pop("given", signal)
    return Family(name, SECTION, base=base, spellings=spellings, build=build, given=given, frame=SIGNED, **more)


def _set(x: Tensor) -> Tensor:
    x = x.clone()
    x[x < 0] = 0
    return x


RELU = _family("ReLU", F.relu, {
    "torch.relu": torch.relu,
    "Tensor.relu": lambda x: x.relu(),
    "nn.ReLU": nn.ReLU(),
    "inplace=True": lambda x: F.relu(x.clone(), inplace=True),
    "inplace on the convolution's result": lambda x: F.relu(x, inplace=True),
    "relu_": lambda x: x.clone().relu_(),
    "aten.relu.default": torch.ops.aten.relu.default,
    "threshold": lambda x: F.threshold(x, 0.0, 0.0),
    "nn.Threshold": nn.Threshold(0.0, 0.0),
    "x * (x > 0)": lambda x: x * (x > 0),
    "(x > 0) * x": lambda x: (x > 0) * x,
    "x * (x > 0).float()": lambda x: x * (x > 0).to(x.dtype),
    "x.mul(x.gt(0))": lambda x: x.mul(x.gt(0)),
    "x * (x >= 0)": lambda x: x * (x >= 0),
    "where, scalar": lambda x: torch.where(x > 0, x, 0.0),
    "where, zeros_like": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "where, 0 * x": lambda x: torch.where(x > 0, x, 0 * x),
    "where, turned": lambda x: torch.where(x <= 0, torch.zeros_like(x), x),
    "where, 0 < x": lambda x: torch.where(0 < x, x, 0.0),  # noqa: SIM300  # the odd order is meant
    "Tensor.where": lambda x: x.where(x > 0, torch.zeros_like(x)),
    "maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "maximum, scalar tensor": lambda x: torch.maximum(x, torch.tensor(0.0, dtype=x.dtype)),
    "maximum, zeros first": lambda x: torch.maximum(torch.zeros_like(x), x),
    "torch.max(x, 0)": lambda x: torch.max(x, x.new_zeros(1)),
    "fmax": lambda x: torch.fmax(x, torch.zeros_like(x)),
    "masked_fill": lambda x: x.masked_fill(x < 0, 0.0),
    "masked_fill_": lambda x: (y := x.clone()).masked_fill_(y < 0, 0.0),
    "x[x < 0] = 0": _set,
    "0.5 * (x + |x|)": lambda x: 0.5 * (x + x.abs()),
    "(x + |x|) / 2": lambda x: (x + torch.abs(x)).div(2),
    "clamp(min=0)": lambda x: x.clamp(min=0),
    "clamp(0)": lambda x: torch.clamp(x, 0),
    "clamp_min": lambda x: x.clamp_min(0),
    "clamp_min_": lambda x: x.clone().clamp_min_(0),
    "clip": lambda x: torch.clip(x, min=0),
    "leaky_relu(0)": lambda x: F.leaky_relu(x, 0.0),
    "hardtanh to infinity": lambda x: F.hardtanh(x, 0.0, math.inf),
    "heaviside": lambda x: x * torch.heaviside(x, x.new_zeros(1)),
    "x - minimum(x, 0)": lambda x: x - torch.minimum(x, torch.zeros_like(x)),
    "-min(-x, 0)": lambda x: -torch.clamp(-x, max=0),
    "twice": lambda x: F.relu(F.relu(x)),
    "channels last": lambda x: F.relu(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
})  # fmt: skip

RELU6 = _family("ReLU6", F.relu6, {
    "nn.ReLU6": nn.ReLU6(),
    "clamp": lambda x: x.clamp(0, 6),
    "clip": lambda x: torch.clip(x, 0, 6),
    "hardtanh": lambda x: F.hardtanh(x, 0.0, 6.0),
    "minimum(relu(x), 6)": lambda x: torch.minimum(F.relu(x), torch.full_like(x, 6.0)),
    "relu, clamp(max=6)": lambda x: F.relu(x).clamp(max=6),
    "clamp_max, clamp_min": lambda x: x.clamp_max(6).clamp_min(0),
    "min and max with tensors": lambda x: torch.min(torch.max(x, x.new_zeros(1)), x.new_full((1,), 6.0)),
    "where": lambda x: torch.where(x > 6, 6.0, torch.where(x > 0, x, 0.0)),
    "hardsigmoid": lambda x: 6 * F.hardsigmoid(x - 3),
    "relu(x) - relu(x - 6)": lambda x: F.relu(x) - F.relu(x - 6),
})  # fmt: skip

LEAKY = _family("leaky ReLU", lambda x: F.leaky_relu(x, 0.1), {
    "nn.LeakyReLU": nn.LeakyReLU(0.1),
    "inplace": lambda x: F.leaky_relu(x.clone(), 0.1, True),  # positions are how some write it
    "where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "maximum(x, 0.1 * x)": lambda x: torch.maximum(x, 0.1 * x),
    "torch.max(0.1 * x, x)": lambda x: torch.max(0.1 * x, x),
    "relu(x) - 0.1 * relu(-x)": lambda x: F.relu(x) - 0.1 * F.relu(-x),
    "clamps": lambda x: x.clamp(min=0) + 0.1 * x.clamp(max=0),
    "0.1 * x + 0.9 * relu(x)": lambda x: 0.1 * x + 0.9 * F.relu(x),
    "mask": lambda x: x * ((x > 0).to(x.dtype) + 0.1 * (x <= 0).to(x.dtype)),
    "prelu with a constant": lambda x: F.prelu(x, x.new_full((1,), 0.1)),
    "rrelu in eval mode": lambda x: F.rrelu(x, 0.1, 0.1),
})  # fmt: skip

PRELU = _family("PReLU", lambda x, a: F.prelu(x, a), {
    "where": lambda x, a: torch.where(x > 0, x, a[:, None, None] * x),
    "relu and its mirror": lambda x, a: F.relu(x) - a[:, None, None] * F.relu(-x),
    "authors": lambda x, a: F.relu(x) + a[:, None, None] * (x - x.abs()) * 0.5,
    "clamps": lambda x, a: x.clamp(min=0) + x.clamp(max=0) * a[:, None, None],
}, build=lambda: Weights(a=scale(8)), given=lambda p, x: (x, p.a))  # fmt: skip

SILU = _family("SiLU", F.silu, {
    "nn.SiLU": nn.SiLU(),
    "inplace": lambda x: F.silu(x.clone(), inplace=True),
    "x * sigmoid(x)": lambda x: x * torch.sigmoid(x),
    "sigmoid(x) * x": lambda x: x.sigmoid() * x,
    "x / (1 + exp(-x))": lambda x: x / (1 + torch.exp(-x)),
    "x * (1 / (1 + exp(-x)))": lambda x: x * (1 / (1 + (-x).exp())),
    "mul_": lambda x: x.clone().mul_(x.sigmoid()),
    "torch.mul": lambda x: torch.mul(x, torch.sigmoid(x)),
    "tanh": lambda x: 0.5 * x * (1 + torch.tanh(0.5 * x)),
    "glu of itself": lambda x: F.glu(torch.cat([x, x], 1), 1),
    "aten.silu.default": torch.ops.aten.silu.default,
})  # fmt: skip

HARDSWISH = _family("hardswish", F.hardswish, {
    "nn.Hardswish": nn.Hardswish(),
    "x * relu6(x + 3) / 6": lambda x: x * F.relu6(x + 3) / 6,
    "x * (relu6(x + 3) / 6)": lambda x: x * (F.relu6(x + 3.0, inplace=True) / 6.0),
    "relu6(x + 3) * x / 6": lambda x: F.relu6(x + 3).mul(x).mul(1 / 6),
    "x * hardsigmoid(x)": lambda x: x * F.hardsigmoid(x),
    "x * clamp(x / 6 + 0.5, 0, 1)": lambda x: x * (x / 6 + 0.5).clamp(0, 1),
    "x * hardtanh(x + 3, 0, 6) / 6": lambda x: x * F.hardtanh(x + 3, 0.0, 6.0) / 6,
    "div_": lambda x: x.mul(F.relu6(x + 3)).div_(6),
})  # fmt: skip

GELU = _family("GELU", F.gelu, {
    "nn.GELU": nn.GELU(),
    "erf": lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    "x * (0.5 * (1 + erf))": lambda x: x * (0.5 * (1.0 + torch.erf(x * 0.7071067811865476))),
    "x * ndtr(x)": lambda x: x * torch.special.ndtr(x),
    "erfc": lambda x: x * 0.5 * torch.erfc(-x / math.sqrt(2)),
})  # fmt: skip

GELU_TANH = _family("GELU by tanh", lambda x: F.gelu(x, approximate="tanh"), {
    "x ** 3": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "torch.pow": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3)))),
    "x * x * x": lambda x: x * (0.5 * (1 + torch.tanh(0.7978845608028654 * x * (1 + 0.044715 * x * x)))),
    "sigmoid": lambda x: x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)),
})  # fmt: skip

QUICK_GELU = _family("quick GELU", lambda x: x * torch.sigmoid(1.702 * x), {
    "sigmoid first": lambda x: torch.sigmoid(1.702 * x) * x,
    "exp": lambda x: x / (1 + torch.exp(-1.702 * x)),
    "silu": lambda x: F.silu(1.702 * x) / 1.702,
    "in place": lambda x: x.clone().mul_((1.702 * x).sigmoid_()),
})  # fmt: skip

MISH = _family("mish", F.mish, {
    "nn.Mish": nn.Mish(),
    "x * tanh(softplus(x))": lambda x: x * torch.tanh(F.softplus(x)),
    "x * tanh(log(1 + exp(x)))": lambda x: x * torch.tanh(torch.log(1 + torch.exp(x))),
    "x * tanh(log1p(exp(x)))": lambda x: x * x.exp().log1p().tanh(),
    "a quotient of exponentials": lambda x: x * ((e := x.exp()) * e + 2 * e) / (e * e + 2 * e + 2),
})  # fmt: skip

SOFTPLUS = _family("softplus", F.softplus, {
    "log(1 + exp(x))": lambda x: torch.log(1 + torch.exp(x)),
    "log1p(exp(x))": lambda x: torch.log1p(x.exp()),
    "-logsigmoid(-x)": lambda x: -F.logsigmoid(-x),
    "logaddexp": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "relu(x) + log1p(exp(-|x|))": lambda x: F.relu(x) + torch.log1p(torch.exp(-x.abs())),
    "nn.Softplus": nn.Softplus(),
})  # fmt: skip

ELU = _family("ELU", F.elu, {
    "nn.ELU": nn.ELU(),
    "where exp": lambda x: torch.where(x > 0, x, torch.exp(x) - 1),
    "where expm1": lambda x: torch.where(x > 0, x, torch.expm1(x)),
    "relu(x) + clamp(exp(x) - 1)": lambda x: F.relu(x) + (x.exp() - 1).clamp(max=0),
    "relu(x) - relu(1 - exp(x))": lambda x: F.relu(x) - F.relu(1 - torch.exp(x)),
    "celu": lambda x: F.celu(x, 1.0),
})  # fmt: skip

SELU = _family("SELU", F.selu, {
    "scaled ELU": lambda x: 1.0507009873554805 * F.elu(x, 1.6732632423543772),
    "where": lambda x: 1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * (x.exp() - 1)),
})  # fmt: skip

TANH = _family("tanh", torch.tanh, {
    "F.tanh": lambda x: x.tanh(),
    "nn.Tanh": nn.Tanh(),
    "2 * sigmoid(2 * x) - 1": lambda x: 2 * torch.sigmoid(2 * x) - 1,
    "sinh / cosh": lambda x: torch.sinh(x) / torch.cosh(x),
    "exponentials": lambda x: (x.exp() - (-x).exp()) / (x.exp() + (-x).exp()),
})  # fmt: skip

SIGMOID = _family("sigmoid", torch.sigmoid, {
    "nn.Sigmoid": nn.Sigmoid(),
    "1 / (1 + exp(-x))": lambda x: 1 / (1 + torch.exp(-x)),
    "reciprocal": lambda x: torch.reciprocal(1 + torch.exp(-x)),
    "tanh": lambda x: 0.5 * (torch.tanh(0.5 * x) + 1),
    "exp / (1 + exp)": lambda x: x.exp() / (x.exp() + 1),
})  # fmt: skip

HARDSIGMOID = _family("hard sigmoid", F.hardsigmoid, {
    "relu6(x + 3) / 6": lambda x: F.relu6(x + 3) / 6,
    "clamp(x / 6 + 0.5, 0, 1)": lambda x: (x / 6 + 0.5).clamp(0, 1),
    "hardtanh": lambda x: (F.hardtanh(x, -3, 3) + 3) / 6,
})  # fmt: skip

HARDTANH = _family("hardtanh", F.hardtanh, {
    "clamp": lambda x: x.clamp(-1, 1),
    "clip": lambda x: torch.clip(x, -1, 1),
    "minimum and maximum": lambda x: torch.minimum(torch.maximum(x, x.new_full((1,), -1.0)), x.new_full((1,), 1.0)),
    "clamp_min, clamp_max": lambda x: x.clamp_min(-1).clamp_max(1),
    "(|x + 1| - |x - 1|) / 2": lambda x: ((x + 1).abs() - (x - 1).abs()) / 2,
})  # fmt: skip

SOFTSIGN = _family("softsign", F.softsign, {
    "x / (1 + |x|)": lambda x: x / (1 + x.abs()),
    "x * (1 / (1 + |x|))": lambda x: x * (1 / (1 + torch.abs(x))),
})  # fmt: skip

SHIFTED = _family("threshold at 0.5", lambda x: F.threshold(x, 0.5, 0.0), {
    "where": lambda x: torch.where(x > 0.5, x, 0.0),
    "mask": lambda x: x * (x > 0.5),
    "masked_fill": lambda x: x.masked_fill(x <= 0.5, 0.0),
})  # fmt: skip

SQUARE = _family("square", torch.square, {
    "x * x": lambda x: x * x,
    "x ** 2": lambda x: x**2,
    "pow": lambda x: x.pow(2),
    "|x| ** 2": lambda x: x.abs() ** 2,
    "einsum": lambda x: torch.einsum("nchw,nchw->nchw", x, x),
})  # fmt: skip

ABS = _family("absolute value", torch.abs, {
    "Tensor.abs": lambda x: x.abs(),
    "sqrt(x * x)": lambda x: (x * x).sqrt(),
    "x * sign(x)": lambda x: x * x.sign(),
    "where": lambda x: torch.where(x > 0, x, -x),
    "maximum(x, -x)": lambda x: torch.maximum(x, -x),
    "relu(x) + relu(-x)": lambda x: F.relu(x) + F.relu(-x),
})  # fmt: skip

SQUARED_RELU = _family("squared ReLU", lambda x: F.relu(x).square(), {
    "relu(x) ** 2": lambda x: F.relu(x) ** 2,
    "relu(x) * relu(x)": lambda x: F.relu(x) * F.relu(x),
    "x * relu(x)": lambda x: x * F.relu(x),
    "clamp, pow": lambda x: x.clamp(min=0).pow(2),
})  # fmt: skip

POINTWISE = (RELU, RELU6, LEAKY, PRELU, SILU, HARDSWISH, GELU, GELU_TANH, QUICK_GELU, MISH, SOFTPLUS, ELU, SELU, TANH,
             SIGMOID, HARDSIGMOID, HARDTANH, SOFTSIGN, SHIFTED, SQUARE, ABS, SQUARED_RELU)  # fmt: skip
