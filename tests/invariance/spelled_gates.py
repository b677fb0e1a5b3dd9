"""Gates: a product of the signal with a factor that depends on the image by another path."""

# ruff: noqa: PLW0108  # a helper stands below the family that uses it

from __future__ import annotations

import torch
import torch.nn.functional as F
from families import BLOCK, Family, Weights, scale
from torch import Tensor, nn

SECTION = "Gates"


def _dense(**more):
    return Weights(l=nn.Linear(8, 8), **more)


def _score(p, x):
    return p.l(x.mean((2, 3)))


def _squeezed(p, x):
    return x, torch.sigmoid(_score(p, x))


def _unsqueezed(p, x):
    return x, _score(p, x)[:, :, None, None]


CHANNEL = Family(
    "a gate per channel", SECTION, build=_dense, given=_squeezed,
    base=lambda x, g: x * g[:, :, None, None],
    spellings={
        "gate first": lambda x, g: g[:, :, None, None] * x,
        "view": lambda x, g: x * g.view(*g.shape, 1, 1),
        "expand": lambda x, g: x * g[:, :, None, None].expand(-1, -1, *x.shape[2:]),
        "expand_as": lambda x, g: x * g[:, :, None, None].expand_as(x),
        "expand_as, gate first": lambda x, g: g[:, :, None, None].expand_as(x) * x,
        "broadcast_to": lambda x, g: x * torch.broadcast_to(g[:, :, None, None], x.shape),
        "repeat": lambda x, g: x * g[:, :, None, None].repeat(1, 1, *x.shape[2:]),
        "tile": lambda x, g: x * g[:, :, None, None].tile(1, 1, *x.shape[2:]),
        "repeat_interleave": lambda x, g: x * g[:, :, None].repeat_interleave(80, 2).view_as(x),
        "ones_like": lambda x, g: x * (torch.ones_like(x) * g[:, :, None, None]),
        "zeros_like plus": lambda x, g: x * (torch.zeros_like(x) + g[:, :, None, None]),
        "interpolate": lambda x, g: x * F.interpolate(g[:, :, None, None], size=x.shape[2:]),
        "einsum": lambda x, g: torch.einsum("nchw,nc->nchw", x, g),
        "einsum with ellipsis": lambda x, g: torch.einsum("nc...,nc->nc...", x, g),
        "torch.mul": lambda x, g: torch.mul(x, g[:, :, None, None]),
        "mul_": lambda x, g: x.clone().mul_(g[:, :, None, None]),
        "imul": lambda x, g: _imul(x.clone(), g[:, :, None, None]),
        "addcmul": lambda x, g: torch.addcmul(torch.zeros_like(x), x, g[:, :, None, None]),
        "flattened positions": lambda x, g: (x.flatten(2) * g[:, :, None]).view_as(x),
        "channels last": lambda x, g: (x.permute(0, 2, 3, 1) * g[:, None, None, :]).permute(0, 3, 1, 2),
        "position by position": lambda x, g: torch.stack([x[..., i] * g[:, :, None] for i in range(10)], -1),
        "division by the reciprocal": lambda x, g: x / (1 / g[:, :, None, None]),
        "the reciprocal as a power": lambda x, g: x / g[:, :, None, None].pow(-1),
        "diagonal matrix": lambda x, g: (torch.diag_embed(g) @ x.flatten(2)).view_as(x),
        "grouped convolution of the batch": lambda x, g: F.conv2d(
            x.reshape(1, -1, *x.shape[2:]), g.reshape(-1, 1, 1, 1), groups=g.numel()).view_as(x),
    },
)  # fmt: skip


def _imul(x: Tensor, g: Tensor) -> Tensor:
    x *= g
    return x


SQUASHED = Family(
    "a sigmoid gate by hand", SECTION, build=_dense, given=_unsqueezed,
    base=lambda x, v: x * torch.sigmoid(v),
    spellings={
        "Tensor.sigmoid": lambda x, v: x * v.sigmoid(),
        "special.expit": lambda x, v: x * torch.special.expit(v),
        "sigmoid_": lambda x, v: x * v.clone().sigmoid_(),
        "1 / (1 + exp(-v))": lambda x, v: x * (1 / (1 + torch.exp(-v))),
        "x / (1 + exp(-v))": lambda x, v: x / (1 + torch.exp(-v)),
        "exp(v) / (1 + exp(v))": lambda x, v: x * (v.exp() / (1 + v.exp())),
        "tanh": lambda x, v: x * (0.5 * (1 + torch.tanh(v / 2))),
        "exp of logsigmoid": lambda x, v: x * F.logsigmoid(v).exp(),
        "softmax of two": lambda x, v: x * torch.stack([v, torch.zeros_like(v)]).softmax(0)[0],
        "reciprocal": lambda x, v: x * torch.reciprocal(1 + torch.exp(-v)),
        "expanded before the sigmoid": lambda x, v: x * v.expand_as(x).sigmoid(),
        "glu": lambda x, v: F.glu(torch.cat([x, v.expand_as(x)], 1), 1),
    },
)  # fmt: skip

HARD = Family(
    "a hard sigmoid gate", SECTION, build=_dense, given=_unsqueezed,
    base=lambda x, v: x * F.hardsigmoid(v),
    spellings={
        "nn.Hardsigmoid": lambda x, v: x * nn.Hardsigmoid()(v),
        "relu6(v + 3) / 6": lambda x, v: x * (F.relu6(v + 3) / 6),
        "x * relu6(v + 3) / 6": lambda x, v: x * F.relu6(v + 3) / 6,
        "relu6 in place": lambda x, v: x * F.relu6(v + 3.0, inplace=True).mul_(1 / 6),
        "relu6, expand_as": lambda x, v: x * (F.relu6(v + 3) / 6).expand_as(x),
        "clamp(v / 6 + 0.5, 0, 1)": lambda x, v: x * (v / 6 + 0.5).clamp(0, 1),
        "clamp(v + 3, 0, 6) / 6": lambda x, v: x * ((v + 3).clamp(0, 6) / 6),
        "clip": lambda x, v: x * torch.clip(v / 6 + 0.5, min=0, max=1),
        "hardtanh(v + 3, 0, 6) / 6": lambda x, v: x * (F.hardtanh(v + 3, 0, 6) / 6),
        "hardtanh(v, -3, 3)": lambda x, v: x * ((F.hardtanh(v, -3, 3) + 3) / 6),
        "(1 + hardtanh(v / 3)) / 2": lambda x, v: x * ((1 + F.hardtanh(v / 3)) / 2),
        "relu(v + 3).clamp(max=6) / 6": lambda x, v: x * (F.relu(v + 3).clamp(max=6) / 6),
        "minimum and relu": lambda x, v: x * (torch.minimum(F.relu(v + 3), torch.full_like(v, 6)) / 6),
        "division by a factor": lambda x, v: x / 6 * F.relu6(v + 3),
    },
)  # fmt: skip

RECTIFIED = Family(
    "a ReLU gate", SECTION, build=_dense, given=_unsqueezed,
    base=lambda x, v: x * F.relu(v),
    spellings={
        "expand_as": lambda x, v: x * F.relu(v).expand_as(x),
        "ReLU after expand": lambda x, v: x * F.relu(v.expand_as(x)),
        "clamp": lambda x, v: x * v.clamp(min=0),
        "clamp, repeat": lambda x, v: x * v.clamp(min=0).repeat(1, 1, *x.shape[2:]),
        "mask product": lambda x, v: x * (v * (v > 0)),
        "where": lambda x, v: x * torch.where(v > 0, v, torch.zeros_like(v)),
        "einsum": lambda x, v: torch.einsum("nchw,nc->nchw", x, F.relu(v).flatten(1)),
    },
)  # fmt: skip


def _hidden(p, y: Tensor) -> Tensor:
    return torch.sigmoid(p.b(F.relu(p.a(y))))


def _hu(p, x: Tensor) -> Tensor:
    n, c, _, _ = x.size()
    y = F.adaptive_avg_pool2d(x, 1).view(n, c)
    y = _hidden(p, y).view(n, c, 1, 1)
    return x * y.expand_as(x)


def _as_convolutions(p, x: Tensor) -> Tensor:
    y = x.mean((2, 3), keepdim=True)
    y = F.relu(F.conv2d(y, p.a.weight[:, :, None, None], p.a.bias), inplace=True)
    return x * F.conv2d(y, p.b.weight[:, :, None, None], p.b.bias).sigmoid()


def _caffe(p, x: Tensor) -> Tensor:
    y = F.avg_pool2d(x, x.shape[2:]).squeeze(-1).squeeze(-1)
    return _hidden(p, y).unsqueeze(2).unsqueeze(3) * x


SE = Family(
    "squeeze and excitation", SECTION, build=lambda: Weights(a=nn.Linear(8, 4), b=nn.Linear(4, 8)),
    base=lambda p, x: x * _hidden(p, x.mean((2, 3)))[:, :, None, None],
    spellings={
        "senet.pytorch": _hu,
        "convolutions of 1x1": _as_convolutions,
        "as in Caffe": _caffe,
        "sum / size": lambda p, x: x * _hidden(p, x.sum((2, 3)) / 80)[:, :, None, None],
        "einsum mean": lambda p, x: x * _hidden(p, torch.einsum("nchw->nc", x) / 80)[:, :, None, None].expand_as(x),
        "from channels last": lambda p, x: (
            (y := x.permute(0, 2, 3, 1)) * _hidden(p, y.mean((1, 2)))[:, None, None]).permute(0, 3, 1, 2),
        "view of positions": lambda p, x: x * _hidden(p, x.view(*x.shape[:2], -1).mean(2)).view(-1, 8, 1, 1),
    },
)  # fmt: skip


def _eca(p, x: Tensor) -> Tensor:
    y = F.adaptive_avg_pool2d(x, 1)
    y = p.conv(y.squeeze(-1).transpose(-1, -2)).transpose(-1, -2).unsqueeze(-1)
    return x * torch.sigmoid(y).expand_as(x)


def _eca_timm(p, x: Tensor) -> Tensor:
    y = x.mean((2, 3)).view(x.shape[0], 1, -1)
    return x * p.conv(y).view(x.shape[0], -1, 1, 1).sigmoid().expand_as(x)


def _eca_2d(p, x: Tensor) -> Tensor:
    y = x.mean((2, 3))[:, None, None, :]
    return x * F.conv2d(y, p.conv.weight[:, :, None], padding=(0, 1)).flatten(1).sigmoid()[:, :, None, None]


ECA = Family(
    "efficient channel attention", SECTION, build=lambda: Weights(conv=nn.Conv1d(1, 1, 3, padding=1, bias=False)),
    base=lambda p, x: x * torch.sigmoid(p.conv(x.mean((2, 3))[:, None])[:, 0])[:, :, None, None],
    spellings={"authors": _eca, "timm": _eca_timm, "2-d convolution": _eca_2d},
)  # fmt: skip


def _cbam_channel(p, x: Tensor) -> Tensor:
    total = None
    for pool in (F.avg_pool2d, F.max_pool2d):
        y = pool(x, (x.size(2), x.size(3)), stride=(x.size(2), x.size(3)))
        y = p.b(F.relu(p.a(y.view(y.size(0), -1))))
        total = y if total is None else total + y
    return x * torch.sigmoid(total).unsqueeze(2).unsqueeze(3).expand_as(x)


def _mlp(p, y: Tensor) -> Tensor:
    return p.b(F.relu(p.a(y)))


CBAM_CHANNEL = Family(
    "CBAM, channels", SECTION, build=SE.build,
    base=lambda p, x: x * (_mlp(p, x.mean((2, 3))) + _mlp(p, x.amax((2, 3)))).sigmoid()[:, :, None, None],
    spellings={
        "authors": _cbam_channel,
        "adaptive pools": lambda p, x: x * (
            _mlp(p, F.adaptive_avg_pool2d(x, 1).flatten(1)) + _mlp(p, F.adaptive_max_pool2d(x, 1).flatten(1))
        ).sigmoid()[:, :, None, None].expand_as(x),
        "max of max": lambda p, x: x * (
            _mlp(p, x.mean(3).mean(2)) + _mlp(p, x.max(3).values.max(2).values)).sigmoid()[:, :, None, None],
        "one MLP on both": lambda p, x: x * _mlp(
            p, torch.stack([x.mean((2, 3)), x.amax((2, 3))], 1)).sum(1).sigmoid()[:, :, None, None],
    },
)  # fmt: skip

CBAM_SPATIAL = Family(
    "CBAM, positions", SECTION, build=lambda: Weights(conv=nn.Conv2d(2, 1, 3, padding=1)),
    given=lambda p, x: (p.conv, x),
    base=lambda conv, x: x * conv(torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)).sigmoid(),
    spellings={
        "authors": lambda conv, x: x * torch.sigmoid(
            conv(torch.cat((torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)), dim=1))),
        "stack, expand_as": lambda conv, x: x * torch.sigmoid(
            conv(torch.stack([x.amax(1), x.mean(1)], 1))).expand_as(x),
        "max(dim).values, repeat": lambda conv, x: x * torch.sigmoid(
            conv(torch.cat([x.max(1, keepdim=True).values, x.sum(1, keepdim=True) / 8], 1))).repeat(1, 8, 1, 1),
        "einsum": lambda conv, x: torch.einsum(
            "nchw,nhw->nchw", x, conv(torch.cat([x.amax(1, True), x.mean(1, True)], 1)).sigmoid()[:, 0]),
        "buffer": lambda conv, x: x * conv(_two_planes(x)).sigmoid(),
    },
)  # fmt: skip


def _two_planes(x: Tensor) -> Tensor:
    planes = x.new_zeros(len(x), 2, *x.shape[2:])
    planes[:, 0] = x.amax(1)
    planes[:, 1] = x.mean(1)
    return planes


def _coordinates(p, x: Tensor) -> tuple[Tensor, Tensor]:
    h, w = x.shape[2:]
    x_w = F.adaptive_avg_pool2d(x, (1, None)).permute(0, 1, 3, 2)
    y = F.hardswish(p.mix(torch.cat([F.adaptive_avg_pool2d(x, (None, 1)), x_w], dim=2)))
    x_h, x_w = torch.split(y, [h, w], dim=2)
    return p.high(x_h).sigmoid(), p.wide(x_w.permute(0, 1, 3, 2)).sigmoid()


def _coordinates_apart(p, x: Tensor) -> tuple[Tensor, Tensor]:
    x_h, x_w = (F.hardswish(p.mix(x.mean(axis, keepdim=True))) for axis in (3, 2))
    return p.high(x_h).sigmoid(), p.wide(x_w).sigmoid()


def _coordinates_base(p, x: Tensor) -> Tensor:
    high, wide = _coordinates_apart(p, x)
    return x * wide * high


def _coordinates_authors(p, x: Tensor) -> Tensor:
    high, wide = _coordinates(p, x)
    return x * wide * high


def _coordinates_product(p, x: Tensor) -> Tensor:
    high, wide = _coordinates_apart(p, x)
    return x * (high * wide)


def _coordinates_expanded(p, x: Tensor) -> Tensor:
    high, wide = _coordinates_apart(p, x)
    return x * high.expand_as(x) * wide.expand_as(x)


def _coordinates_einsum(p, x: Tensor) -> Tensor:
    high, wide = _coordinates_apart(p, x)
    return torch.einsum("nchw,nch,ncw->nchw", x, high[..., 0], wide[:, :, 0])


def _coordinates_outer(p, x: Tensor) -> Tensor:
    high, wide = _coordinates_apart(p, x)
    return x * (high @ wide)


COORDINATES = Family(
    "coordinate attention", SECTION,
    build=lambda: Weights(mix=nn.Conv2d(8, 4, 1), high=nn.Conv2d(4, 8, 1), wide=nn.Conv2d(4, 8, 1)),
    base=_coordinates_base,
    spellings={
        "authors": _coordinates_authors,
        "x * (a * b)": _coordinates_product,
        "expanded": _coordinates_expanded,
        "einsum of three": _coordinates_einsum,
        "outer product": _coordinates_outer,
    },
)  # fmt: skip

TWO = Family(
    "two gates", SECTION, build=lambda: _dense(conv=nn.Conv2d(8, 1, 1)),
    given=lambda p, x: (x, torch.sigmoid(_score(p, x))[:, :, None, None], p.conv(x).sigmoid()),
    base=lambda x, a, b: x * a * b,
    spellings={
        "x * (a * b)": lambda x, a, b: x * (a * b),
        "a * b * x": lambda x, a, b: a * b * x,
        "x * b * a": lambda x, a, b: x * b * a,
        "in place": lambda x, a, b: x.mul(a).mul_(b),
        "stack.prod": lambda x, a, b: torch.stack([x, a.expand_as(x), b.expand_as(x)]).prod(0),
        "einsum": lambda x, a, b: torch.einsum("nchw,nc,nhw->nchw", x, a.flatten(1), b[:, 0]),
        "addcmul": lambda x, a, b: torch.addcmul(torch.zeros_like(x), x * a, b),
    },
)  # fmt: skip

RESIDUAL = Family(
    "a gate beside a residual", SECTION, build=_dense,
    given=lambda p, x: (x, torch.sigmoid(_score(p, x))[:, :, None, None]),
    base=lambda x, g: x + x * g,
    spellings={
        "x * (1 + g)": lambda x, g: x * (1 + g),
        "x * (g + 1)": lambda x, g: (g + 1) * x,
        "x * g + x": lambda x, g: x * g + x,
        "addcmul": lambda x, g: torch.addcmul(x, x, g),
        "mul, add_": lambda x, g: x.mul(g).add_(x),
        "in place": lambda x, g: _iadd(x.clone(), x * g),
        "expand_as": lambda x, g: x + x * g.expand_as(x),
        "x - x * (-g)": lambda x, g: x - x * (-g),
    },
)  # fmt: skip


def _iadd(x: Tensor, y: Tensor) -> Tensor:
    x += y
    return x


POSITIONS = Family(
    "a gate per entry", SECTION, build=lambda: Weights(conv=nn.Conv2d(8, 8, 3, padding=1)),
    given=lambda p, x: (x, p.conv(x)),
    base=lambda x, v: x * v.sigmoid(),
    spellings={
        "gate first": lambda x, v: v.sigmoid() * x,
        "x / (1 + exp(-v))": lambda x, v: x / (1 + (-v).exp()),
        "1 / (1 + exp(-v))": lambda x, v: x * (1 / (1 + torch.exp(-v))),
        "glu": lambda x, v: F.glu(torch.cat([x, v], 1), dim=1),
        "glu by chunks": lambda x, v: (y := torch.cat([x, v], 1).chunk(2, 1))[0] * y[1].sigmoid(),
        "tanh": lambda x, v: x * (1 + torch.tanh(v / 2)) / 2,
        "channels last": lambda x, v: (x.permute(0, 2, 3, 1) * v.permute(0, 2, 3, 1).sigmoid()).permute(0, 3, 1, 2),
        "einsum": lambda x, v: torch.einsum("nchw,nchw->nchw", x, v.sigmoid()),
    },
)  # fmt: skip

HARD_POSITIONS = Family(
    "a hard gate per entry", SECTION, build=POSITIONS.build, given=POSITIONS.given,
    base=lambda x, v: x * F.hardsigmoid(v),
    spellings={
        "relu6(v + 3) / 6": lambda x, v: x * (F.relu6(v + 3) / 6),
        "x * relu6(v + 3) / 6": lambda x, v: x * F.relu6(v + 3) / 6,
        "clamp": lambda x, v: (v / 6 + 0.5).clamp(0, 1) * x,
        "hardtanh": lambda x, v: x * (F.hardtanh(v + 3, 0, 6) / 6),
    },
)  # fmt: skip

PRODUCT = Family(
    "a product of two signals", SECTION, build=POSITIONS.build, given=POSITIONS.given,
    base=lambda x, v: x * v,
    spellings={
        "swapped": lambda x, v: v * x,
        "torch.mul": lambda x, v: torch.mul(x, v),
        "einsum": lambda x, v: torch.einsum("nchw,nchw->nchw", x, v),
        "in place": lambda x, v: x.clone().mul_(v),
        "addcmul": lambda x, v: torch.addcmul(torch.zeros_like(x), x, v),
        "stack.prod": lambda x, v: torch.stack([x, v]).prod(0),
        "channels last": lambda x, v: (x.permute(0, 2, 3, 1) * v.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
    },
)  # fmt: skip

GAIN = Family(
    "a gate with a constant factor", SECTION, build=_dense, given=_squeezed,
    base=lambda x, g: x * (2 * g[:, :, None, None]),
    spellings={
        "x * g * 2": lambda x, g: x * g[:, :, None, None] * 2,
        "2 * x * g": lambda x, g: 2 * x * g[:, :, None, None],
        "g + g": lambda x, g: x * (g + g)[:, :, None, None],
        "x * g / 0.5": lambda x, g: x * g[:, :, None, None] / 0.5,
        "expand_as": lambda x, g: x * (g * 2)[:, :, None, None].expand_as(x),
    },
)  # fmt: skip

LAYER_SCALE = Family(
    "a learnt scale per channel", SECTION, build=lambda: _dense(gamma=scale(8)),
    given=lambda p, x: (x, p.l(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), p.gamma),
    base=lambda x, y, gamma: x + y * gamma[:, None, None],
    spellings={
        "gamma first": lambda x, y, gamma: x + gamma.view(1, -1, 1, 1) * y,
        "expand_as": lambda x, y, gamma: x + y * gamma[:, None, None].expand_as(y),
        "addcmul": lambda x, y, gamma: torch.addcmul(x, gamma[:, None, None], y),
        "channels last": lambda x, y, gamma: x + (y.permute(0, 2, 3, 1) * gamma).permute(0, 3, 1, 2),
        "in place": lambda x, y, gamma: y.mul(gamma[:, None, None]).add_(x),
        "einsum": lambda x, y, gamma: x + torch.einsum("nchw,c->nchw", y, gamma),
    },
)  # fmt: skip


def _pair(p, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    a, b = p.a(x).relu(), p.b(x).relu()
    return a, b, p.l((a + b).mean((2, 3))).view(-1, 2, 8)


SELECTIVE = Family(
    "selective kernels: a softmax over branches", SECTION,
    build=lambda: Weights(a=nn.Conv2d(8, 8, 3, padding=1), b=nn.Conv2d(8, 8, 1), l=nn.Linear(8, 16)), given=_pair,
    base=lambda a, b, v: a * (w := v.softmax(1))[:, 0, :, None, None] + b * w[:, 1, :, None, None],
    spellings={
        "stack.sum": lambda a, b, v: (torch.stack([a, b], 1) * v.softmax(1)[..., None, None]).sum(1),
        "stack.sum, F.softmax, expand_as": lambda a, b, v: (
            (s := torch.stack([a, b], 1)) * F.softmax(v, dim=1)[..., None, None].expand_as(s)).sum(1),
        "exp / sum": lambda a, b, v: a * (w := v.exp() / v.exp().sum(1, keepdim=True))[:, 0, :, None, None]
        + b * w[:, 1, :, None, None],
        "exp of log_softmax": lambda a, b, v: a * (w := v.log_softmax(1).exp())[:, 0, :, None, None]
        + b * w[:, 1, :, None, None],
        "less the maximum": lambda a, b, v: a * (
            w := (e := (v - v.amax(1, keepdim=True)).exp()) / e.sum(1, True))[:, 0, :, None, None]
        + b * w[:, 1, :, None, None],
        "einsum": lambda a, b, v: torch.einsum("nkchw,nkc->nchw", torch.stack([a, b], 1), v.softmax(1)),
        "sigmoid of the difference": lambda a, b, v: a * (g := (v[:, 0] - v[:, 1]).sigmoid())[:, :, None, None]
        + b * (1 - g)[:, :, None, None],
        "lerp": lambda a, b, v: torch.lerp(b, a, (v[:, 0] - v[:, 1]).sigmoid()[:, :, None, None]),
        "b + g * (a - b)": lambda a, b, v: b + (v[:, 0] - v[:, 1]).sigmoid()[:, :, None, None] * (a - b),
    },
)  # fmt: skip


def _context(p, x: Tensor) -> tuple[Tensor, Tensor]:
    return x.flatten(2), p.conv(x).flatten(2)


CONTEXT = Family(
    "global context: a softmax over positions", SECTION,
    build=lambda: Weights(conv=nn.Conv2d(8, 1, 1), l=nn.Linear(8, 8)),
    given=lambda p, x: (p.l, x, *_context(p, x)),
    base=lambda f, x, y, v: x + f((y * v.softmax(2)).sum(2))[:, :, None, None],
    spellings={
        "matmul": lambda f, x, y, v: x + f((y @ v.softmax(2).transpose(1, 2))[..., 0])[:, :, None, None],
        "matmul as its authors": lambda f, x, y, v: x + f(
            torch.matmul(y.unsqueeze(1), v.softmax(2).unsqueeze(-1)).flatten(1))[:, :, None, None],
        "bmm": lambda f, x, y, v: x + f(torch.bmm(v.softmax(2), y.transpose(1, 2)).squeeze(1))[:, :, None, None],
        "einsum": lambda f, x, y, v: x + f(torch.einsum("ncp,np->nc", y, v.softmax(2)[:, 0]))[:, :, None, None],
        "exp / sum": lambda f, x, y, v: x + f((y * (v.exp() / v.exp().sum(2, True))).sum(2))[:, :, None, None],
        "exp less the maximum / sum": lambda f, x, y, v: x + f(
            (y * ((e := (v - v.amax(2, True)).exp()) / e.sum(2, True))).sum(2))[:, :, None, None],
        "sum, then divided": lambda f, x, y, v: x + f((y * v.exp()).sum(2) / v.exp().sum(2))[:, :, None, None],
    },
)  # fmt: skip

MASK = Family(
    "a fixed mask", SECTION, build=lambda: Weights(mask=nn.Buffer(torch.arange(80).view(8, 10) % 3 > 0)),
    given=lambda p, x: (x, p.mask),
    base=lambda x, m: x * m,
    spellings={
        "mask first": lambda x, m: m * x,
        "expand_as": lambda x, m: x * m.expand_as(x),
        "as floats": lambda x, m: x * m.to(x.dtype),
        "where": lambda x, m: torch.where(m, x, 0.0),
        "where zeros_like": lambda x, m: torch.where(m, x, torch.zeros_like(x)),
        "masked_fill": lambda x, m: x.masked_fill(~m, 0.0),
        "masked_fill_": lambda x, m: x.clone().masked_fill_(~m, 0.0),
        "index assignment": lambda x, m: _cleared(x.clone(), m),
        "einsum": lambda x, m: torch.einsum("nchw,hw->nchw", x, m.to(x.dtype)),
    },
)  # fmt: skip


def _cleared(x: Tensor, m: Tensor) -> Tensor:
    x[:, :, ~m] = 0
    return x


GATES = (CHANNEL, SQUASHED, HARD, RECTIFIED, SE, ECA, CBAM_CHANNEL, CBAM_SPATIAL, COORDINATES, TWO, RESIDUAL, POSITIONS,
         HARD_POSITIONS, PRODUCT, GAIN, LAYER_SCALE, SELECTIVE, CONTEXT, MASK)  # fmt: skip
assert all(family.frame is BLOCK for family in GATES)
