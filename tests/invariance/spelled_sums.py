"""Sums, weighted sums, concatenations and writes into a buffer."""

# ruff: noqa: PLW0108  # a helper stands below the family that uses it

from __future__ import annotations

from functools import reduce

import torch
import torch.nn.functional as F
from families import BLOCK, CLIP, Family, Weights, scale
from torch import Tensor, nn

SECTION = "Sums and concatenations"


def _two():
    return Weights(a=nn.Conv2d(8, 8, 3, padding=1), b=nn.Conv2d(8, 8, 1))


def _branches(p, x):
    return p.a(x), p.b(x)


def _family(name, base, spellings, build=_two, given=_branches, **more) -> Family:
    return Family(name, SECTION, base=base, spellings=spellings, build=build, given=given, **more)


def _iadd(a: Tensor, b: Tensor) -> Tensor:
    a += b
    return a


SUM = _family("sum of two branches", lambda a, b: a + b, {
    "b + a": lambda a, b: b + a,
    "torch.add": torch.add,
    "Tensor.add": lambda a, b: a.add(b),
    "add_": lambda a, b: a.add_(b),
    "iadd": _iadd,
    "clone, iadd": lambda a, b: _iadd(a.clone(), b),
    "alpha=1": lambda a, b: torch.add(a, b, alpha=1),
    "out=": lambda a, b: torch.add(a, b, out=torch.empty_like(a)),
    "out=a": lambda a, b: torch.add(a, b, out=a),
    "a - (-b)": lambda a, b: a - (-b),
    "sub, alpha=-1": lambda a, b: torch.sub(a, b, alpha=-1),
    "rsub": lambda a, b: torch.rsub(-a, b),
    "sum of a list": lambda a, b: sum([a, b]),
    "stack.sum": lambda a, b: torch.stack([a, b]).sum(0),
    "stack.sum, second axis": lambda a, b: torch.stack([a, b], 1).sum(1),
    "cat, view, sum": lambda a, b: torch.cat([a, b], 1).view(-1, 2, 8, 8, 10).sum(1),
    "2 * mean": lambda a, b: 2 * torch.stack([a, b]).mean(0),
    "einsum": lambda a, b: torch.einsum("knchw->nchw", torch.stack([a, b])),
    "addcmul": lambda a, b: torch.addcmul(a, b, torch.ones_like(b)),
    "addcmul, value": lambda a, b: torch.addcmul(a, b, b.new_ones(1), value=1),
    "into zeros": lambda a, b: torch.zeros_like(a).add_(a).add_(b),
    "into a slice of zeros": lambda a, b: _both_into(torch.zeros_like(a), a, b),
    "aten.add.Tensor": torch.ops.aten.add.Tensor,
    "channels last": lambda a, b: (a.permute(0, 2, 3, 1) + b.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
    "two halves, cat": lambda a, b: torch.cat([a[:, :4] + b[:, :4], a[:, 4:] + b[:, 4:]], 1),
    "index_add": lambda a, b: a.index_add(0, torch.arange(len(b)), b),
    "nansum": lambda a, b: torch.stack([a, b]).nansum(0),
    "logical detour: where": lambda a, b: torch.where(b != 0, a + b, a),
})  # fmt: skip


def _both_into(y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    y[:] = a
    y[:] += b
    return y


RESIDUAL = _family("residual", lambda x, f: x + f, {
    "f + x": lambda x, f: f + x,
    "x.add(f)": lambda x, f: x.add(f),
    "torch.add": torch.add,
    "f += x": lambda x, f: _iadd(f, x),
    "x.clone() += f": lambda x, f: _iadd(x.clone(), f),
    "x.clone().add_(f)": lambda x, f: x.clone().add_(f),
    "stack.sum": lambda x, f: torch.stack([x, f]).sum(0),
    "cat, chunk": lambda x, f: (y := torch.cat([x, f], 1).chunk(2, 1))[0] + y[1],
    "through dropout": lambda x, f: x + F.dropout(f, 0.5, training=False),
    "through identity": lambda x, f: nn.Identity()(x) + f,
    "through clone": lambda x, f: x.clone() + f.clone(),
    "x * 1 + f": lambda x, f: x * 1 + f,
    "f + x + 0": lambda x, f: f + x + 0,
}, given=lambda p, x: (x, p.a(x)))  # fmt: skip

THREE = _family("sum of three", lambda a, b, c: a + b + c, {
    "a + (b + c)": lambda a, b, c: a + (b + c),
    "c + b + a": lambda a, b, c: c + b + a,
    "b + (a + c)": lambda a, b, c: b + (a + c),
    "stack.sum": lambda a, b, c: torch.stack([a, b, c]).sum(0),
    "stack.sum, last axis": lambda a, b, c: torch.stack([a, b, c], -1).sum(-1),
    "sum of a list": lambda a, b, c: sum([a, b, c]),
    "reduce": lambda a, b, c: reduce(torch.add, [a, b, c]),
    "3 * mean": lambda a, b, c: torch.stack([a, b, c]).mean(0) * 3,
    "cat, view, sum": lambda a, b, c: torch.cat([a, b, c], 1).view(-1, 3, 8, 8, 10).sum(1),
    "einsum": lambda a, b, c: torch.einsum("knchw->nchw", torch.stack([a, b, c])),
    "in place": lambda a, b, c: a.add_(b).add_(c),
    "into zeros": lambda a, b, c: _into_zeros(a, b, c),
}, build=lambda: Weights(a=nn.Conv2d(8, 8, 3, padding=1), b=nn.Conv2d(8, 8, 1)),
   given=lambda p, x: (p.a(x), p.b(x), x))  # fmt: skip


def _into_zeros(*parts: Tensor) -> Tensor:
    total = torch.zeros_like(parts[0])
    for part in parts:
        total += part
    return total


MEAN = _family("mean of two branches", lambda a, b: (a + b) / 2, {
    "(a + b) * 0.5": lambda a, b: (a + b) * 0.5,
    "0.5 * a + 0.5 * b": lambda a, b: 0.5 * a + 0.5 * b,
    "a / 2 + b / 2": lambda a, b: a / 2 + b / 2,
    "stack.mean": lambda a, b: torch.stack([a, b]).mean(0),
    "stack.mean, second axis": lambda a, b: torch.stack([a, b], dim=1).mean(1),
    "stack.sum / 2": lambda a, b: torch.stack([a, b]).sum(0) / 2,
    "sum / len": lambda a, b: sum([a, b]) / len([a, b]),
    "lerp": lambda a, b: torch.lerp(a, b, 0.5),
    "a + 0.5 * (b - a)": lambda a, b: a + 0.5 * (b - a),
    "add, div": lambda a, b: a.add(b).div(2),
    "alpha": lambda a, b: (a / 2).add(b, alpha=0.5),
    "in place": lambda a, b: a.add_(b).div_(2),
})  # fmt: skip

WEIGHTED = _family("weighted sum of two branches", lambda a, b: 0.7 * a + 0.3 * b, {
    "0.3 * b + 0.7 * a": lambda a, b: 0.3 * b + 0.7 * a,
    "a * 0.7 + b * 0.3": lambda a, b: a * 0.7 + b * 0.3,
    "lerp": lambda a, b: torch.lerp(a, b, 0.3),
    "lerp, weight as a tensor": lambda a, b: torch.lerp(a, b, torch.full_like(a, 0.3)),
    "lerp from b": lambda a, b: b.lerp(a, 0.7),
    "a + 0.3 * (b - a)": lambda a, b: a + 0.3 * (b - a),
    "add, alpha": lambda a, b: torch.add(0.7 * a, b, alpha=0.3),
    "sub, alpha": lambda a, b: torch.sub(0.7 * a, b, alpha=-0.3),
    "add_, alpha": lambda a, b: a.mul(0.7).add_(b, alpha=0.3),
    "addcmul": lambda a, b: torch.addcmul(0.7 * a, b, torch.full_like(b, 0.3)),
    "addcmul, value": lambda a, b: torch.addcmul(0.7 * a, b, torch.ones_like(b), value=0.3),
    "addcdiv": lambda a, b: torch.addcdiv(0.7 * a, b, torch.full_like(b, 1 / 0.3)),
    "0.7 * (a + 3 / 7 * b)": lambda a, b: 0.7 * (a + 3 / 7 * b),
    "weights, stack, sum": lambda a, b: (torch.stack([a, b]) * a.new_tensor([0.7, 0.3]).view(2, 1, 1, 1, 1)).sum(0),
    "einsum with weights": lambda a, b: torch.einsum("knchw,k->nchw", torch.stack([a, b]), a.new_tensor([0.7, 0.3])),
})  # fmt: skip

DIFFERENCE = _family("difference of two branches", lambda a, b: a - b, {
    "torch.sub": torch.sub,
    "subtract": torch.subtract,
    "rsub": lambda a, b: torch.rsub(b, a),
    "a + (-b)": lambda a, b: a + (-b),
    "a + b.neg()": lambda a, b: a + b.neg(),
    "-(b - a)": lambda a, b: -(b - a),
    "-b + a": lambda a, b: -b + a,
    "alpha=-1": lambda a, b: torch.add(a, b, alpha=-1),
    "a + b * (-1)": lambda a, b: a + b * (-1),
    "sub_": lambda a, b: a.sub_(b),
    "out=": lambda a, b: torch.sub(a, b, out=torch.empty_like(a)),
    "stack times signs": lambda a, b: (torch.stack([a, b], 1) * a.new_tensor([1, -1]).view(2, 1, 1, 1)).sum(1),
    "diff": lambda a, b: torch.stack([b, a]).diff(dim=0)[0],
    "diff, second axis": lambda a, b: torch.diff(torch.stack([b, a], 1), dim=1)[:, 0],
})  # fmt: skip


def _fusion(p, x):
    w = F.relu(p.w)
    return p.a(x), p.b(x), w / (w.sum() + 1e-4)


FUSION = _family("learnt weights of branches", lambda a, b, w: w[0] * a + w[1] * b, {
    "a * w": lambda a, b, w: a * w[0] + b * w[1],
    "sum of a list": lambda a, b, w: sum(wi * y for wi, y in zip(w, (a, b), strict=True)),
    "stack, sum": lambda a, b, w: (torch.stack([a, b], -1) * w).sum(-1),
    "stack, matmul": lambda a, b, w: torch.stack([a, b], -1) @ w,
    "stack, einsum": lambda a, b, w: torch.einsum("nkchw,k->nchw", torch.stack([a, b], 1), w),
    "tensordot": lambda a, b, w: torch.tensordot(w, torch.stack([a, b]), dims=1),
    "addcmul": lambda a, b, w: torch.addcmul(w[0] * a, b, w[1]),
    "full weights": lambda a, b, w: a * w[0].expand_as(a) + b * w[1].expand_as(b),
}, build=lambda: Weights(a=nn.Conv2d(8, 8, 3, padding=1), b=nn.Conv2d(8, 8, 1), w=scale(2)),
   given=_fusion)  # fmt: skip

MIX = _family("learnt mix of branches", lambda a, b, w: a * w + b * (1 - w), {
    "lerp": lambda a, b, w: torch.lerp(b, a, w.expand_as(a)),
    "b + w * (a - b)": lambda a, b, w: b + w * (a - b),
    "w * a + (1 - w) * b": lambda a, b, w: w * a + (1 - w) * b,
    "a - (1 - w) * (a - b)": lambda a, b, w: a - (1 - w) * (a - b),
}, build=lambda: Weights(a=nn.Conv2d(8, 8, 3, padding=1), b=nn.Conv2d(8, 8, 1), w=scale(8)),
   given=lambda p, x: (p.a(x), p.b(x), p.w[:, None, None].sigmoid()))  # fmt: skip


def _two_narrow():
    return Weights(a=nn.Conv2d(8, 4, 3, padding=1), b=nn.Conv2d(8, 4, 1))


def _written(y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    y[:, :4] = a
    y[:, 4:] = b
    return y


def _assigned(a: Tensor, b: Tensor) -> Tensor:
    return _written(a.new_zeros(len(a), 8, *a.shape[2:]), a, b)


def _assigned_empty(a: Tensor, b: Tensor) -> Tensor:
    return _written(torch.empty(len(a), 8, *a.shape[2:], dtype=a.dtype), a, b)


def _copied(a: Tensor, b: Tensor) -> Tensor:
    y = a.new_zeros(len(a), 8, *a.shape[2:])
    y[:, :4].copy_(a)
    y[:, 4:].copy_(b)
    return y


def _narrow_copied(a: Tensor, b: Tensor) -> Tensor:
    y = a.new_empty(len(a), 8, *a.shape[2:])
    y.narrow(1, 0, 4).copy_(a)
    y.narrow(1, 4, 4).copy_(b)
    return y


def _narrow_added(a: Tensor, b: Tensor) -> Tensor:
    y = a.new_zeros(len(a), 8, *a.shape[2:])
    y.narrow(1, 0, 4).add_(a)
    y.narrow(1, 4, 4).add_(b)
    return y


def _sliced_added(a: Tensor, b: Tensor) -> Tensor:
    y = a.new_zeros(len(a), 8, *a.shape[2:])
    y[:, :4] += a
    y[:, 4:] += b
    return y


def _channel_by_channel(a: Tensor, b: Tensor) -> Tensor:
    y = a.new_zeros(len(a), 8, *a.shape[2:])
    for i in range(4):
        y[:, i] = a[:, i]
        y[:, 4 + i] = b[:, i]
    return y


def _by_out(a: Tensor, b: Tensor) -> Tensor:
    y = a.new_zeros(len(a), 8, *a.shape[2:])
    torch.mul(a, 1, out=y[:, :4])
    torch.mul(b, 1, out=y[:, 4:])
    return y


def _chunks_copied(a: Tensor, b: Tensor) -> Tensor:
    y = a.new_zeros(len(a), 8, *a.shape[2:])
    for place, part in zip(y.chunk(2, 1), (a, b), strict=True):
        place.copy_(part)
    return y


CAT = _family("concatenation", lambda a, b: torch.cat([a, b], 1), {
    "dim=": lambda a, b: torch.cat((a, b), dim=1),
    "negative axis": lambda a, b: torch.cat([a, b], -3),
    "concat": lambda a, b: torch.concat([a, b], 1),
    "concatenate": lambda a, b: torch.concatenate([a, b], axis=1),
    "out=": lambda a, b: torch.cat([a, b], 1, out=a.new_empty(len(a), 8, *a.shape[2:])),
    "hstack": lambda a, b: torch.hstack([a, b]),
    "vstack of transposed": lambda a, b: torch.vstack([a.transpose(0, 1), b.transpose(0, 1)]).transpose(0, 1),
    "stack, flatten": lambda a, b: torch.stack([a, b], 1).flatten(1, 2),
    "channels last": lambda a, b: torch.cat([a.movedim(1, -1), b.movedim(1, -1)], -1).movedim(-1, 1),
    "dstack of flattened": lambda a, b: torch.cat([a.flatten(2), b.flatten(2)], 1).view(-1, 8, 8, 10),
    "channel by channel": lambda a, b: torch.stack([*a.unbind(1), *b.unbind(1)], 1),
    "F.pad, sum": lambda a, b: F.pad(a, (0, 0, 0, 0, 0, 4)) + F.pad(b, (0, 0, 0, 0, 4, 0)),
    "with an empty tensor": lambda a, b: torch.cat([a, b, a[:, :0]], 1),
    "pieces": lambda a, b: torch.cat([a[:, :1], a[:, 1:], b], 1),
    "two steps": lambda a, b: torch.cat([torch.cat([a, b[:, :2]], 1), b[:, 2:]], 1),
    "o[:, i:j] = y": _assigned,
    "o[:, i:j] = y, empty": _assigned_empty,
    "o[:, i] = y[:, i]": _channel_by_channel,
    "o[:, i:j] += y": _sliced_added,
    "o[:, i:j].copy_(y)": _copied,
    "narrow().copy_": _narrow_copied,
    "narrow().add_": _narrow_added,
    "chunk().copy_": _chunks_copied,
    "out= of a slice": _by_out,
    "index_copy": lambda a, b: a.new_zeros(len(a), 8, *a.shape[2:]).index_copy(1, torch.arange(4), a).index_copy(
        1, torch.arange(4, 8), b),
    "index_copy_": lambda a, b: a.new_zeros(len(a), 8, *a.shape[2:]).index_copy_(1, torch.arange(4), a).index_copy_(
        1, torch.arange(4, 8), b),
    "slice_scatter": lambda a, b: torch.slice_scatter(torch.slice_scatter(
        a.new_zeros(len(a), 8, *a.shape[2:]), a, 1, 0, 4), b, 1, 4, 8),
    "aten.cat.default": lambda a, b: torch.ops.aten.cat.default([a, b], 1),
}, build=_two_narrow)  # fmt: skip

DENSE = _family("concatenation of three (dense block)", lambda x, a, b: torch.cat([x, a, b], 1), {
    "of a concatenation": lambda x, a, b: torch.cat([torch.cat([x, a], 1), b], 1),
    "of a concatenation, right": lambda x, a, b: torch.cat([x, torch.cat([a, b], 1)], 1),
    "buffer": lambda x, a, b: _three_written(x, a, b),
}, build=_two_narrow, given=lambda p, x: (x, p.a(x).relu(), p.b(x).relu()), out=16)  # fmt: skip


def _three_written(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    y = x.new_zeros(len(x), 16, *x.shape[2:])
    y[:, :8], y[:, 8:12], y[:, 12:] = x, a, b
    return y


def _partly(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, :4] = x[:, :4].sigmoid()
    return x


def _partly_in_place(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, :4].sigmoid_()
    return x


def _partly_copied(x: Tensor) -> Tensor:
    x = x.clone()
    x[:, :4].copy_(x[:, :4].sigmoid())
    return x


def _decoded(x: Tensor) -> Tensor:
    y = x.movedim(1, -1).clone()
    y[..., :4] = y[..., :4].sigmoid()
    return y.movedim(-1, 1)


def _every_other() -> Tensor:
    return torch.arange(8) < 4


PART = _family("an activation of some channels (detection heads)",
    lambda x: torch.cat([x[:, :4].sigmoid(), x[:, 4:]], 1), {
    "o[:, :4] = sigmoid": _partly,
    "o[:, :4].sigmoid_()": _partly_in_place,
    "o[:, :4].copy_(sigmoid)": _partly_copied,
    "o[..., :4] = sigmoid, channels last": _decoded,
    "split": lambda x: torch.cat([(y := x.split([4, 4], 1))[0].sigmoid(), y[1]], 1),
    "where": lambda x: torch.where(_every_other()[:, None, None], x.sigmoid(), x),
    "slice_scatter": lambda x: torch.slice_scatter(x, x[:, :4].sigmoid(), 1, 0, 4),
    "chunk, stack": lambda x: torch.stack([(y := x.chunk(2, 1))[0].sigmoid(), y[1]], 1).flatten(1, 2),
}, build=lambda: Weights(a=nn.Conv2d(8, 8, 1)), given=lambda p, x: (p.a(x),))  # fmt: skip


def _shifted(x: Tensor) -> Tensor:
    """Channels 0 and 1 one frame back, 2 and 3 one frame on: ``(n, t, c, h, w)``."""
    zero = torch.zeros_like(x[:, :1, :2])
    back = torch.cat([x[:, 1:, :2], zero], 1)
    on = torch.cat([zero, x[:, :-1, 2:4]], 1)
    return torch.cat([back, on, x[:, :, 4:]], 2)


def _shifted_authors(x: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    out[:, :-1, :2] = x[:, 1:, :2]
    out[:, 1:, 2:4] = x[:, :-1, 2:4]
    out[:, :, 4:] = x[:, :, 4:]
    return out


def _shifted_copies(x: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    out[:, :-1, :2].copy_(x[:, 1:, :2])
    out[:, 1:, 2:4].copy_(x[:, :-1, 2:4])
    out[:, :, 4:].copy_(x[:, :, 4:])
    return out


def _shifted_pads(x: Tensor) -> Tensor:
    back = F.pad(x[:, 1:, :2], (0, 0, 0, 0, 0, 0, 0, 1))
    on = F.pad(x[:, :-1, 2:4], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat([back, on, x[:, :, 4:]], 2)


def _shifted_rolls(x: Tensor) -> Tensor:
    out = x.clone()
    out[:, :, :2] = x[:, :, :2].roll(-1, 1)
    out[:, -1, :2] = 0
    out[:, :, 2:4] = x[:, :, 2:4].roll(1, 1)
    out[:, 0, 2:4] = 0
    return out


def _frames(p, x: Tensor) -> tuple[Tensor]:
    y = F.conv3d(x, p.a.weight[:, :, None], p.a.bias, padding=(0, 1, 1)).relu()
    return (y.transpose(1, 2),)


SHIFT = Family(
    "temporal shift", SECTION, build=lambda: Weights(a=nn.Conv2d(3, 8, 3)), given=_frames, frame=CLIP,
    base=lambda x: _shifted(x).transpose(1, 2),
    spellings={
        "assignments (TSM)": lambda x: _shifted_authors(x).transpose(1, 2),
        "copies into slices": lambda x: _shifted_copies(x).transpose(1, 2),
        "F.pad": lambda x: _shifted_pads(x).transpose(1, 2),
        "roll, then zeros": lambda x: _shifted_rolls(x).transpose(1, 2),
        "folded frames": lambda x: _shifted_authors(x.flatten(0, 1).view(-1, *x.shape[1:])).transpose(1, 2),
    },
)  # fmt: skip

SUMS = (SUM, RESIDUAL, THREE, MEAN, WEIGHTED, DIFFERENCE, FUSION, MIX, CAT, DENSE, PART, SHIFT)
assert all(family.frame in (BLOCK, CLIP) for family in SUMS)
