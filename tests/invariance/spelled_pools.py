"""Maxima and means: pools and resizing."""

# ruff: noqa: PLW0108  # a helper stands below the family that uses it

from __future__ import annotations

import torch
import torch.nn.functional as F
from families import BLOCK, HEAD, Family, Weights, quiet, signal
from torch import Tensor, nn

MAXIMA, MEANS, MOVES = "Maxima", "Means", "What moves entries"
INFINITE = float("-inf")


def _both(section, name, base, spellings, **more) -> tuple[Family, Family]:
    """The family, and the same on whole numbers, where many maxima are equal."""
    one = Family(name, section, base=base, spellings=spellings, **{"given": signal, **more})
    ties = Family(f"{name}, with ties", section, base=base, spellings=spellings, integers=True,
                  **{"given": signal, **more})  # fmt: skip
    return one, ties


def _cells(x: Tensor) -> Tensor:
    return x.view(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2)


def _windows(x: Tensor, size: int, stride: int) -> Tensor:
    return x.unfold(2, size, stride).unfold(3, size, stride)


def _corners(x: Tensor) -> list[Tensor]:
    return [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]


def _below(x: Tensor, size: int) -> Tensor:
    return F.pad(x, (size, size, size, size), value=INFINITE)


POOL = _both(MAXIMA, "2x2 max pool", lambda x: F.max_pool2d(x, 2), {
    "nn.MaxPool2d": nn.MaxPool2d(2, 2),
    "return_indices": lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    "nn.MaxPool2d, return_indices": lambda x: nn.MaxPool2d(2, return_indices=True)(x)[0],
    "ceil_mode": lambda x: F.max_pool2d(x, 2, ceil_mode=True),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, (4, 5)),
    "max_pool3d": lambda x: F.max_pool3d(x[:, :, None], (1, 2, 2))[:, :, 0],
    "max_pool3d without channels": lambda x: F.max_pool3d(x, (1, 2, 2)),
    "adaptive_max_pool3d without channels": lambda x: F.adaptive_max_pool3d(x, (8, 4, 5)),
    "amax of cells": lambda x: _cells(x).amax((3, 5)),
    "amax of flattened cells": lambda x: _cells(x).transpose(3, 4).flatten(4).amax(-1),
    "max(dim).values of cells": lambda x: _cells(x).transpose(3, 4).flatten(4).max(-1).values,
    "max(dim)[0], twice": lambda x: _cells(x).max(5)[0].max(3)[0],
    "Tensor.unfold, amax": lambda x: _windows(x, 2, 2).amax((-2, -1)),
    "F.unfold, max": lambda x: F.unfold(x, 2, stride=2).view(-1, 8, 4, 20).max(2).values.view(-1, 8, 4, 5),
    "pixel_unshuffle, amax": lambda x: F.pixel_unshuffle(x, 2).unflatten(1, (8, 4)).amax(2),
    "maximum of slices": lambda x: torch.maximum(
        torch.maximum((c := _corners(x))[0], c[1]), torch.maximum(c[2], c[3])),
    "torch.max of slices, one by one": lambda x: torch.max(
        torch.max(torch.max((c := _corners(x))[0], c[1]), c[2]), c[3]),
    "stack.amax of slices": lambda x: torch.stack(_corners(x)).amax(0),
    "stack.max of slices": lambda x: torch.stack(_corners(x), -1).max(-1).values,
    "rows, then columns": lambda x: F.max_pool2d(F.max_pool2d(x, (1, 2)), (2, 1)),
    "columns, then rows": lambda x: F.max_pool2d(F.max_pool2d(x, (2, 1)), (1, 2)),
    "topk": lambda x: _cells(x).transpose(3, 4).flatten(4).topk(1, -1).values[..., 0],
    "sort": lambda x: _cells(x).transpose(3, 4).flatten(4).sort(-1, descending=True).values[..., 0],
    "-min(-x)": lambda x: -(-_cells(x)).amin((3, 5)),
    "channels last": lambda x: x.movedim(1, -1).view(-1, 4, 2, 5, 2, 8).amax((2, 4)).movedim(-1, 1),
    "gather of the indices": lambda x: _picked(x),
    "aten.max_pool2d.default": lambda x: torch.ops.aten.max_pool2d.default(x, [2, 2], [2, 2]),
    "aten.max_pool2d_with_indices": lambda x: torch.ops.aten.max_pool2d_with_indices.default(x, [2, 2], [2, 2])[0],
})  # fmt: skip


def _picked(x: Tensor) -> Tensor:
    _, index = F.max_pool2d(x, 2, return_indices=True)
    return x.flatten(2).gather(2, index.flatten(2)).view(index.shape)


OVERLAPPING = _both(MAXIMA, "3x3 max pool, stride 2", lambda x: F.max_pool2d(x, 3, 2, 1), {
    "return_indices": lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True)[0],
    "F.pad with -inf": lambda x: F.max_pool2d(_below(x, 1), 3, 2),
    "F.pad with a low number": lambda x: F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=-1e9), 3, 2),
    "Tensor.unfold, amax": lambda x: _windows(_below(x, 1), 3, 2).amax((-2, -1)),
    "rows, then columns": lambda x: F.max_pool2d(F.max_pool2d(x, (1, 3), (1, 2), (0, 1)), (3, 1), (2, 1), (1, 0)),
    "max_pool3d": lambda x: F.max_pool3d(x[:, :, None], (1, 3, 3), (1, 2, 2), (0, 1, 1)).squeeze(2),
    "stride 1, then every other": lambda x: F.max_pool2d(x, 3, 1, 1)[:, :, ::2, ::2],
})  # fmt: skip

PYRAMID = _both(MAXIMA, "5x5 max pool (SPPF)", lambda x: F.max_pool2d(x, 5, 1, 2), {
    "3x3 twice": lambda x: F.max_pool2d(F.max_pool2d(x, 3, 1, 1), 3, 1, 1),
    "rows, then columns": lambda x: F.max_pool2d(F.max_pool2d(x, (5, 1), 1, (2, 0)), (1, 5), 1, (0, 2)),
    "Tensor.unfold, amax": lambda x: _windows(_below(x, 2), 5, 1).amax((4, 5)),
})  # fmt: skip

GLOBAL = _both(MAXIMA, "global max pool", lambda x: x.amax((2, 3)), {
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, 1).flatten(1),
    "nn.AdaptiveMaxPool2d": lambda x: nn.AdaptiveMaxPool2d(1)(x)[:, :, 0, 0],
    "adaptive_max_pool2d, return_indices": lambda x: F.adaptive_max_pool2d(x, 1, return_indices=True)[0].flatten(1),
    "max_pool2d": lambda x: F.max_pool2d(x, x.shape[2:]).squeeze(-1).squeeze(-1),
    "flatten, amax": lambda x: x.flatten(2).amax(2),
    "flatten, max": lambda x: x.flatten(2).max(2).values,
    "view, max": lambda x: torch.max(x.view(*x.shape[:2], -1), dim=-1)[0],
    "max of max": lambda x: x.max(3).values.max(2).values,
    "amax of amax": lambda x: x.amax(2).amax(-1),
    "keepdim": lambda x: x.amax((2, 3), keepdim=True).flatten(1),
    "topk": lambda x: x.flatten(2).topk(1, dim=2).values.squeeze(2),
    "sort": lambda x: x.flatten(2).sort(2).values[..., -1],
    "kthvalue": lambda x: x.flatten(2).kthvalue(80, 2).values,
    "-min(-x)": lambda x: -(-x).flatten(2).min(2).values,
    "adaptive_max_pool1d": lambda x: F.adaptive_max_pool1d(x.flatten(2), 1)[..., 0],
    "norm of infinite order": lambda x: x.flatten(2).relu().norm(p=float("inf"), dim=2),
    "aminmax": lambda x: x.flatten(2).aminmax(dim=2).max,
    "rows of a loop": lambda x: torch.stack([x[:, :, i].amax(-1) for i in range(8)], -1).amax(-1),
}, frame=HEAD)  # fmt: skip


def _two():
    return Weights(a=nn.Conv2d(8, 8, 3, padding=1), b=nn.Conv2d(8, 8, 1))


WINNER = _both(MAXIMA, "maximum of two branches", torch.maximum, {
    "maximum(b, a)": lambda a, b: torch.maximum(b, a),
    "torch.max(a, b)": torch.max,
    "torch.max(b, a)": lambda a, b: torch.max(b, a),
    "a.max(b)": lambda a, b: a.max(b),
    "fmax": torch.fmax,
    "max, out=": lambda a, b: torch.max(a, b, out=torch.empty_like(a)),
    "stack.amax": lambda a, b: torch.stack([a, b]).amax(0),
    "stack.max": lambda a, b: torch.stack([a, b], 1).max(1).values,
    "stack.max, swapped": lambda a, b: torch.stack([b, a], 1).max(1)[0],
    "chunks of a cat (LightCNN)": lambda a, b: torch.max(*torch.cat([a, b], 1).chunk(2, 1)),
    "split of a cat": lambda a, b: torch.max(*torch.cat([a, b], 1).split(8, 1)),
    "maxout": lambda a, b: torch.cat([a, b], 1).view(-1, 2, 8, 8, 10).amax(1),
    "max_pool3d": lambda a, b: F.max_pool3d(torch.stack([a, b], 2).flatten(1, 2)[:, None], (2, 1, 1))[:, 0],
    "-minimum(-a, -b)": lambda a, b: -torch.minimum(-a, -b),
    "max_pool1d": lambda a, b: F.max_pool1d(torch.stack([a, b], -1).flatten(1, 3), 2).squeeze(-1).view_as(a),
}, build=_two, given=lambda p, x: (p.a(x), p.b(x)))  # fmt: skip

CHOICE = Family(
    "maximum of two branches by a choice", MAXIMA, build=_two, given=lambda p, x: (p.a(x), p.b(x)),
    base=torch.maximum,
    spellings={
        "where(a > b, a, b)": lambda a, b: torch.where(a > b, a, b),
        "where(b > a, b, a)": lambda a, b: torch.where(b > a, b, a),
        "where(a >= b, a, b)": lambda a, b: torch.where(a >= b, a, b),
        "Tensor.where": lambda a, b: a.where(a > b, b),
        "masks": lambda a, b: a * (a > b) + b * (a <= b),
        "index assignment": lambda a, b: _chosen(a, b),
        "gather of argmax": lambda a, b: (s := torch.stack([a, b])).gather(0, s.argmax(0, keepdim=True))[0],
    },
)  # fmt: skip


def _chosen(a: Tensor, b: Tensor) -> Tensor:
    y = a.clone()
    y[b > a] = b[b > a]
    return y


THREE_WINNERS = _both(MAXIMA, "maximum of three", lambda a, b, c: torch.stack([a, b, c]).amax(0), {
    "max of max": lambda a, b, c: torch.max(torch.max(a, b), c),
    "max of max, right": lambda a, b, c: torch.maximum(a, torch.maximum(b, c)),
    "stack.max": lambda a, b, c: torch.stack([a, b, c], 1).max(1).values,
    "max with relu": lambda a, b, c: torch.stack([c, b, a], -1).amax(-1),
}, build=_two, given=lambda p, x: (p.a(x), p.b(x), x))  # fmt: skip

RECTIFIED_WINNER = Family(
    "maximum of two branches and zero", MAXIMA, build=_two, given=lambda p, x: (p.a(x), p.b(x)),
    base=lambda a, b: F.relu(torch.maximum(a, b)),
    spellings={
        "maximum of ReLUs": lambda a, b: torch.maximum(F.relu(a), F.relu(b)),
        "clamp": lambda a, b: torch.max(a, b).clamp(min=0),
        "with zeros": lambda a, b: torch.stack([a, b, torch.zeros_like(a)]).amax(0),
        "zeros first": lambda a, b: torch.stack([torch.zeros_like(a), a, b], -1).max(-1).values,
        "one ReLU": lambda a, b: torch.maximum(a, F.relu(b)),
    },
)  # fmt: skip

LOSER = Family(
    "minimum of two branches", MAXIMA, build=_two, given=lambda p, x: (p.a(x), p.b(x)), base=torch.minimum,
    spellings={
        "minimum(b, a)": lambda a, b: torch.minimum(b, a),
        "torch.min": torch.min,
        "stack.amin": lambda a, b: torch.stack([a, b]).amin(0),
        "-maximum(-a, -b)": lambda a, b: -torch.maximum(-a, -b),
        "where": lambda a, b: torch.where(a < b, a, b),
    },
)  # fmt: skip

AVERAGE = Family(
    "global average pool", MEANS, frame=HEAD, given=signal, base=lambda x: x.mean((2, 3)),
    spellings={
        "adaptive_avg_pool2d, flatten": lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
        "nn.AdaptiveAvgPool2d, view": lambda x: nn.AdaptiveAvgPool2d((1, 1))(x).view(x.size(0), -1),
        "adaptive_avg_pool2d, squeeze": lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(3).squeeze(2),
        "adaptive_avg_pool2d, index": lambda x: F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0],
        "adaptive_avg_pool2d, reshape": lambda x: torch.reshape(F.adaptive_avg_pool2d(x, 1), (-1, 8)),
        "avg_pool2d": lambda x: F.avg_pool2d(x, x.shape[2:]).flatten(1),
        "mean(3).mean(2)": lambda x: x.mean(3).mean(2),
        "mean(2).mean(2)": lambda x: x.mean(2).mean(2),
        "mean(-1, keepdim).mean(-2, keepdim)": lambda x: x.mean(-1, keepdim=True).mean(-2, keepdim=True).flatten(1),
        "keepdim": lambda x: x.mean((2, 3), keepdim=True).flatten(1),
        "negative axes": lambda x: x.mean(dim=[-2, -1]),
        "torch.mean": lambda x: torch.mean(x, [2, 3]),
        "flatten(2).mean(-1)": lambda x: x.flatten(2).mean(-1),
        "view, mean": lambda x: x.view(*x.shape[:2], -1).mean(dim=2),
        "tokens": lambda x: x.flatten(2).transpose(1, 2).mean(1),
        "channels last": lambda x: x.permute(0, 2, 3, 1).mean((1, 2)),
        "sum / size": lambda x: x.sum((2, 3)) / (x.shape[2] * x.shape[3]),
        "sum * (1 / size)": lambda x: x.sum([2, 3]) * (1 / 80),
        "sum, twice": lambda x: x.sum(3).sum(2).div(80),
        "sum of the mean": lambda x: x.mean(3).sum(2) / 8,
        "(x / size).sum": lambda x: (x / 80).sum((2, 3)),
        "einsum": lambda x: torch.einsum("nchw->nc", x) / 80,
        "einsum with ellipsis": lambda x: torch.einsum("nc...->nc", x) / 80,
        "matmul with a constant": lambda x: (x.flatten(2) @ x.new_full((80, 1), 1 / 80))[..., 0],
        "weights that are all equal": lambda x: (x * x.new_full((8, 10), 1 / 80)).sum((2, 3)),
        "var_mean": lambda x: torch.var_mean(x, (2, 3))[1],
        "interpolate, area": lambda x: F.interpolate(x, size=1, mode="area").flatten(1),
        "adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(x.flatten(2), 1)[..., 0],
        "adaptive_avg_pool3d": lambda x: F.adaptive_avg_pool3d(x[:, :, None], 1).flatten(1),
        "avg_pool2d, twice": lambda x: F.avg_pool2d(F.avg_pool2d(x, 2), (4, 5)).flatten(1),
        "lp_pool2d": lambda x: F.lp_pool2d(x, 1.0, (8, 10)).flatten(1) / 80,
        "aten.mean.dim": lambda x: torch.ops.aten.mean.dim(x, [2, 3]),
        "nanmean": lambda x: x.nanmean((2, 3)),
    },
)  # fmt: skip

AVERAGE_CELLS = Family(
    "2x2 average pool", MEANS, given=signal, base=lambda x: F.avg_pool2d(x, 2),
    spellings={
        "nn.AvgPool2d": nn.AvgPool2d(2, 2),
        "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x, (4, 5)),
        "slices / 4": lambda x: sum(_corners(x)) / 4,
        "slices * 0.25": lambda x: ((c := _corners(x))[0] + c[1] + c[2] + c[3]) * 0.25,
        "stack.mean of slices": lambda x: torch.stack(_corners(x)).mean(0),
        "mean of cells": lambda x: _cells(x).mean((3, 5)),
        "mean of cells, twice": lambda x: _cells(x).mean(5).mean(3),
        "sum of cells / 4": lambda x: _cells(x).sum((3, 5)) / 4,
        "Tensor.unfold, mean": lambda x: _windows(x, 2, 2).mean((-2, -1)),
        "F.unfold, mean": lambda x: F.unfold(x, 2, stride=2).view(-1, 8, 4, 20).mean(2).view(-1, 8, 4, 5),
        "pixel_unshuffle, mean": lambda x: F.pixel_unshuffle(x, 2).unflatten(1, (8, 4)).mean(2),
        "interpolate, area": lambda x: F.interpolate(x, scale_factor=0.5, mode="area"),
        "interpolate, bilinear": lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear"),
        "avg_pool3d": lambda x: F.avg_pool3d(x[:, :, None], (1, 2, 2)).squeeze(2),
        "avg_pool3d without channels": lambda x: F.avg_pool3d(x, (1, 2, 2)),
        "rows, then columns": lambda x: F.avg_pool2d(F.avg_pool2d(x, (1, 2)), (2, 1)),
        "sum pool / 4": lambda x: F.avg_pool2d(x, 2, divisor_override=1) / 4,
        "lp_pool2d": lambda x: F.lp_pool2d(x, 1.0, 2) / 4,
        "channels last": lambda x: x.movedim(1, -1).view(-1, 4, 2, 5, 2, 8).mean((2, 4)).movedim(-1, 1),
    },
)  # fmt: skip

AVERAGE_OVERLAPPING = Family(
    "3x3 average pool, stride 2", MEANS, given=signal, base=lambda x: F.avg_pool2d(x, 3, 2, 1),
    spellings={
        "F.pad": lambda x: F.avg_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2),
        "Tensor.unfold, mean": lambda x: _windows(F.pad(x, (1, 1, 1, 1)), 3, 2).mean((-2, -1)),
        "rows, then columns": lambda x: F.avg_pool2d(F.avg_pool2d(x, (1, 3), (1, 2), (0, 1)), (3, 1), (2, 1), (1, 0)),
        "sum pool / 9": lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=1) / 9,
    },
)  # fmt: skip

UP = Family(
    "nearest-neighbour upsampling", MEANS, given=signal, base=lambda x: F.interpolate(x, scale_factor=2),
    spellings={
        "size=": lambda x: F.interpolate(x, size=(16, 20)),
        "mode='nearest-exact'": lambda x: F.interpolate(x, scale_factor=2, mode="nearest-exact"),
        "nn.Upsample": nn.Upsample(scale_factor=2),
        "nn.UpsamplingNearest2d": nn.UpsamplingNearest2d(scale_factor=2),
        "repeat_interleave": lambda x: x.repeat_interleave(2, 2).repeat_interleave(2, 3),
        "expand, reshape": lambda x: x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).reshape(-1, 8, 16, 20),
        "repeat, reshape": lambda x: x[:, :, :, None, :, None].repeat(1, 1, 1, 2, 1, 2).view(-1, 8, 16, 20),
        "stack, flatten": lambda x: (
            y := torch.stack([x, x], -1).flatten(3)) is not None and torch.stack([y, y], 3).flatten(2, 3),
        "index": lambda x: x[:, :, torch.arange(16) // 2][:, :, :, torch.arange(20) // 2],
        "index_select": lambda x: x.index_select(2, torch.arange(16) // 2).index_select(3, torch.arange(20) // 2),
        "kron": lambda x: torch.kron(x, x.new_ones(1, 1, 2, 2)),
        "buffer": lambda x: _doubled(x),
        "pixel_shuffle": lambda x: F.pixel_shuffle(x.repeat_interleave(4, 1), 2),
        "max_unpool": lambda x: F.interpolate(x[:, :, None], scale_factor=(1, 2, 2)).squeeze(2),
        "times ones": lambda x: (x[:, :, :, None, :, None] * x.new_ones(2, 1, 2)).reshape(-1, 8, 16, 20),
    },
)  # fmt: skip


def _doubled(x: Tensor) -> Tensor:
    y = x.new_zeros(*x.shape[:2], 16, 20)
    for i in (0, 1):
        for j in (0, 1):
            y[:, :, i::2, j::2] = x
    return y


BILINEAR = Family(
    "bilinear upsampling", MEANS, given=signal,
    base=lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False),
    spellings={
        "size=": lambda x: F.interpolate(x, size=(16, 20), mode="bilinear"),
        "nn.Upsample": nn.Upsample(scale_factor=2, mode="bilinear"),
        "F.upsample": lambda x: quiet(F.upsample, x, scale_factor=2, mode="bilinear"),
        "trilinear": lambda x: F.interpolate(x[:, :, None], scale_factor=(1, 2, 2), mode="trilinear").squeeze(2),
        "matrices": lambda x: torch.einsum("ph,nchw,qw->ncpq", _lines(8, x), x, _lines(10, x)),
    },
)  # fmt: skip


def _lines(size: int, like: Tensor) -> Tensor:
    eye = torch.eye(size, dtype=like.dtype)
    return F.interpolate(eye[None], scale_factor=2, mode="linear")[0].t()


def _with_mask(p, x):
    return x, p.mask


CHOSEN = Family(
    "a sum over fixed positions", MEANS, build=lambda: Weights(mask=nn.Buffer(torch.arange(80).view(8, 10) % 3 > 0)),
    given=_with_mask, frame=HEAD,
    base=lambda x, m: (x * m.to(x.dtype)).sum((2, 3)),
    spellings={
        "a mask": lambda x, m: (x * m).sum((2, 3)),
        "mask first": lambda x, m: torch.mul(m, x).sum((2, 3)),
        "mask, expanded": lambda x, m: (x * m.expand_as(x)).sum((-1, -2)),
        "whole numbers": lambda x, m: (x * m.long()).sum((2, 3)),
        "bytes": lambda x, m: (x * m.to(torch.uint8)).sum(dim=(2, 3)),
        "a float32 constant": lambda x, m: (x * m.to(torch.float32)).sum((2, 3)),
        "a float64 constant": lambda x, m: (x * m.to(torch.float64)).sum((2, 3)).to(x.dtype),
        "mean times the size": lambda x, m: (x * m).mean((2, 3)) * 80,
        "flattened": lambda x, m: (x.flatten(2) * m.flatten()).sum(-1),
        "masked_fill": lambda x, m: x.masked_fill(~m, 0.0).sum((2, 3)),
        "where": lambda x, m: torch.where(m, x, 0.0).sum((2, 3)),
        "picked positions": lambda x, m: x[..., m].sum(-1),
        "picked positions, a mean": lambda x, m: x[:, :, m].mean(2) * 53,
        "einsum": lambda x, m: torch.einsum("nchw,hw->nc", x, m.to(x.dtype)),
        "matmul": lambda x, m: x.flatten(2) @ m.flatten().to(x.dtype),
        "tensordot": lambda x, m: torch.tensordot(x, m.to(x.dtype), 2),
    },
)  # fmt: skip


POOLS = (*POOL, *OVERLAPPING, *PYRAMID, *GLOBAL, *WINNER, CHOICE, *THREE_WINNERS, RECTIFIED_WINNER, LOSER, AVERAGE,
         AVERAGE_CELLS, AVERAGE_OVERLAPPING, UP, BILINEAR, CHOSEN)  # fmt: skip
assert all(family.frame is not BLOCK or family.out == 8 for family in POOLS)
