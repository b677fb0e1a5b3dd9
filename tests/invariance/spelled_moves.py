"""What moves entries: shuffles, padding, views, a normalized image."""

# ruff: noqa: PLW0108  # a helper stands below the family that uses it

from __future__ import annotations

import torch
import torch.nn.functional as F
from families import BLOCK, NORM, PIXELS, Family, Weights, quiet, signal
from torch import Tensor, nn

MAXIMA, MEANS, MOVES = "Maxima", "Means", "What moves entries"
INFINITE = float("-inf")


def _mixing():
    return Weights(a=nn.Conv2d(4, 4, 1), b=nn.Conv2d(4, 4, 3, padding=1))


SHUFFLE = Family(
    "channel shuffle", MOVES, build=lambda: Weights(a=nn.Conv2d(8, 8, 1)), given=lambda p, x: (p.a(x),),
    base=lambda x: x.view(-1, 2, 4, 8, 10).transpose(1, 2).reshape(-1, 8, 8, 10),
    spellings={
        "nn.ChannelShuffle": lambda x: quiet(nn.ChannelShuffle(2), x),
        "channel_shuffle": lambda x: quiet(torch.channel_shuffle, x, 2),
        "contiguous, view": lambda x: x.view(-1, 2, 4, 8, 10).transpose(1, 2).contiguous().view(-1, 8, 8, 10),
        "unflatten, flatten": lambda x: x.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2),
        "index": lambda x: x[:, [0, 4, 1, 5, 2, 6, 3, 7]],
        "index_select": lambda x: x.index_select(1, torch.tensor([0, 4, 1, 5, 2, 6, 3, 7])),
        "slices": lambda x: torch.stack([x[:, :4], x[:, 4:]], 2).flatten(1, 2),
        "chunk, stack": lambda x: torch.stack(x.chunk(2, 1), dim=2).reshape(x.shape),
        "channel by channel": lambda x: torch.cat([x[:, i : i + 1] for i in (0, 4, 1, 5, 2, 6, 3, 7)], 1),
        "permutation matrix": lambda x: (
            torch.eye(8, dtype=x.dtype)[[0, 4, 1, 5, 2, 6, 3, 7]] @ x.flatten(2)).view_as(x),
        "buffer": lambda x: _shuffled(x),
        "pixel_shuffle's axes": lambda x: x.flatten(2).view(-1, 2, 4, 80).permute(0, 2, 1, 3).reshape(x.shape),
    },
)  # fmt: skip


def _shuffled(x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    y[:, ::2], y[:, 1::2] = x[:, :4], x[:, 4:]
    return y


SPLIT = Family(
    "two halves of the channels", MOVES, build=_mixing, given=lambda p, x: (p.a, p.b, x),
    base=lambda f, g, x: torch.cat([f(x[:, :4]), g(x[:, 4:])], 1),
    spellings={
        "chunk": lambda f, g, x: torch.cat([f((c := x.chunk(2, 1))[0]), g(c[1])], 1),
        "chunk, dim=": lambda f, g, x: torch.cat([f((c := torch.chunk(x, 2, dim=1))[0]), g(c[1])], 1),
        "split": lambda f, g, x: torch.cat([f((c := x.split(4, 1))[0]), g(c[1])], 1),
        "split of sizes": lambda f, g, x: torch.cat([f((c := torch.split(x, [4, 4], 1))[0]), g(c[1])], 1),
        "split_with_sizes": lambda f, g, x: torch.cat([f((c := x.split_with_sizes([4, 4], 1))[0]), g(c[1])], 1),
        "tensor_split": lambda f, g, x: torch.cat([f((c := x.tensor_split(2, 1))[0]), g(c[1])], 1),
        "narrow": lambda f, g, x: torch.cat([f(x.narrow(1, 0, 4)), g(x.narrow(1, 4, 4))], 1),
        "unbind": lambda f, g, x: torch.cat([f((c := x.view(-1, 2, 4, 8, 10).unbind(1))[0]), g(c[1])], 1),
        "select": lambda f, g, x: torch.cat([f((c := x.unflatten(1, (2, 4))).select(1, 0)), g(c.select(1, 1))], 1),
        "index_select": lambda f, g, x: torch.cat(
            [f(x.index_select(1, torch.arange(4))), g(x.index_select(1, torch.arange(4, 8)))], 1),
        "index": lambda f, g, x: torch.cat([f(x[:, [0, 1, 2, 3]]), g(x[:, [4, 5, 6, 7]])], 1),
        "ellipsis": lambda f, g, x: torch.cat([f(x[..., :4, :, :]), g(x[..., 4:, :, :])], 1),
        "boolean mask": lambda f, g, x: torch.cat([f(x[:, torch.arange(8) < 4]), g(x[:, torch.arange(8) >= 4])], 1),
        "take_along": lambda f, g, x: torch.cat([f(x.movedim(1, 0)[:4].movedim(0, 1)), g(x[:, 4:, ...])], 1),
    },
)  # fmt: skip

PAD = Family(
    "zero padding", MOVES, build=lambda: Weights(a=nn.Conv2d(8, 8, 3)), given=lambda p, x: (p.a, x),
    base=lambda f, x: F.conv2d(F.pad(x, (0, 1, 0, 1)), f.weight, f.bias, stride=2),
    spellings={
        "nn.ZeroPad2d": lambda f, x: F.conv2d(nn.ZeroPad2d((0, 1, 0, 1))(x), f.weight, f.bias, stride=2),
        "constant_pad_nd": lambda f, x: F.conv2d(
            torch.constant_pad_nd(x, (0, 1, 0, 1), 0.0), f.weight, f.bias, stride=2),
        "channels, too": lambda f, x: F.conv2d(F.pad(x, (0, 1, 0, 1, 0, 0)), f.weight, f.bias, stride=2),
        "cat": lambda f, x: F.conv2d(_more(x), f.weight, f.bias, stride=2),
        "buffer": lambda f, x: F.conv2d(_into_larger(x), f.weight, f.bias, stride=2),
        "convolution pads more, slice": lambda f, x: F.conv2d(
            F.pad(x, (2, 1, 2, 1)), f.weight, f.bias, stride=2)[:, :, 1:, 1:],
    },
)  # fmt: skip


def _more(x: Tensor) -> Tensor:
    x = torch.cat([x, torch.zeros_like(x[..., :1])], 3)
    return torch.cat([x, torch.zeros_like(x[:, :, :1])], 2)


def _into_larger(x: Tensor) -> Tensor:
    y = x.new_zeros(*x.shape[:2], 9, 11)
    y[:, :, :8, :10] = x
    return y


REFLECT = Family(
    "reflection padding", MOVES, given=PAD.given,
    build=lambda: Weights(a=nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect")),
    base=lambda f, x: F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), f.weight, f.bias),
    spellings={
        "nn.ReflectionPad2d": lambda f, x: F.conv2d(nn.ReflectionPad2d(1)(x), f.weight, f.bias),
        "index": lambda f, x: F.conv2d(
            x[:, :, _mirrored(8)][:, :, :, _mirrored(10)], f.weight, f.bias),
        "flips": lambda f, x: F.conv2d(_flipped(_flipped(x, 2), 3), f.weight, f.bias),
        "padding_mode": lambda f, x: f(x),
    },
)  # fmt: skip


def _mirrored(size: int) -> list[int]:
    return [1, *range(size), size - 2]


def _flipped(x: Tensor, axis: int) -> Tensor:
    size = x.shape[axis]
    return torch.cat([x.narrow(axis, 1, 1), x, x.narrow(axis, size - 2, 1)], axis)


IDENTITY = Family(
    "what changes nothing", MOVES, build=lambda: Weights(a=nn.Conv2d(8, 8, 1)), given=lambda p, x: (p.a(x),),
    frame=NORM,
    base=lambda x: x,
    spellings={
        "dropout in eval mode": lambda x: F.dropout(x, 0.5, training=False),
        "nn.Dropout": nn.Dropout(0.5).eval(),
        "nn.Dropout2d": nn.Dropout2d(0.5).eval(),
        "feature_dropout": lambda x: torch.feature_dropout(x, 0.5, False),  # torch's order
        "nn.Identity": nn.Identity(),
        "clone": lambda x: x.clone(),
        "contiguous": lambda x: x.contiguous(memory_format=torch.channels_last),
        "to": lambda x: x.to(x.dtype),
        "x * 1": lambda x: x * 1,
        "x + 0": lambda x: x + 0,
        "x / 1": lambda x: x / 1,
        "0 + x": lambda x: 0 + x,
        "-(-x)": lambda x: x.neg().neg(),
        "x ** 1": lambda x: x**1,
        "2 * x - x": lambda x: 2 * x - x,
        "permuted and back": lambda x: x.permute(2, 3, 0, 1).permute(2, 3, 0, 1),
        "flattened and back": lambda x: x.flatten(1).view_as(x),
        "flattened with the batch and back": lambda x: x.flatten().view_as(x),
        "flipped twice": lambda x: x.flip(2).flip(2),
        "rolled and back": lambda x: x.roll(3, 2).roll(-3, 2),
        "split and joined": lambda x: torch.cat(x.split(2, 1), 1),
        "images apart and joined": lambda x: torch.cat(list(x.split(1)), 0),
        "padded and sliced": lambda x: F.pad(x, (1, 1, 1, 1))[:, :, 1:-1, 1:-1],
        "pixel_unshuffle and back": lambda x: F.pixel_shuffle(F.pixel_unshuffle(x, 2), 2),
        "1x1 pool": lambda x: F.avg_pool2d(x, 1),
        "1x1 max pool": lambda x: F.max_pool2d(x, 1),
        "interpolate to its own size": lambda x: F.interpolate(x, size=x.shape[2:]),
        "identity matrix": lambda x: (torch.eye(8, dtype=x.dtype) @ x.flatten(2)).view_as(x),
        "where(True)": lambda x: torch.where(torch.ones_like(x, dtype=torch.bool), x, 0.0),
        "einsum": lambda x: torch.einsum("nchw->nchw", x),
        "fold of unfold": lambda x: F.fold(F.unfold(x, 2, stride=2), (8, 10), 2, stride=2),
        "copy into a buffer": lambda x: torch.empty_like(x).copy_(x),
        "assignment into a buffer": lambda x: _assigned(x),
        "double and back": lambda x: x.double().to(x.dtype),
        "leaky ReLU of slope 1": lambda x: F.leaky_relu(x, 1.0),
        "a pair of ReLUs": lambda x: F.relu(x) - F.relu(-x),
    },
)  # fmt: skip


def _assigned(x: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    y[...] = x
    return y


def _statistics(p, x):
    return x, p.mean, p.std


NORMALIZED = Family(
    "a normalized image", MOVES, frame=PIXELS, out=3, given=_statistics,
    build=lambda: Weights(mean=nn.Buffer(torch.zeros(3)), std=nn.Buffer(torch.ones(3))),
    base=lambda x, m, s: (x - m[:, None, None]) / s[:, None, None],
    spellings={
        "view": lambda x, m, s: (x - m.view(1, 3, 1, 1)) / s.view(1, 3, 1, 1),
        "sub, div": lambda x, m, s: x.sub(m[:, None, None]).div(s[:, None, None]),
        "in place": lambda x, m, s: x.clone().sub_(m[:, None, None]).div_(s[:, None, None]),
        "x * a + b": lambda x, m, s: x * (1 / s)[:, None, None] + (-m / s)[:, None, None],
        "addcmul": lambda x, m, s: torch.addcmul((-m / s)[:, None, None], x, (1 / s)[:, None, None]),
        "batch norm": lambda x, m, s: F.batch_norm(x, m, s * s, eps=0.0),
        "color by color (Inception)": lambda x, m, s: torch.cat(
            [torch.unsqueeze(x[:, i], 1) * (1 / s[i]) - m[i] / s[i] for i in range(3)], 1),
        "channels last": lambda x, m, s: ((x.permute(0, 2, 3, 1) - m) / s).permute(0, 3, 1, 2),
        "buffer": lambda x, m, s: _normalized(x, m, s),
        "expand_as": lambda x, m, s: (x - m[:, None, None].expand_as(x)) / s[:, None, None].expand_as(x),
    },
)  # fmt: skip


def _normalized(x: Tensor, m: Tensor, s: Tensor) -> Tensor:
    y = torch.zeros_like(x)
    for i in range(3):
        y[:, i] = (x[:, i] - m[i]) / s[i]
    return y


SWAPPED = Family(
    "colors in the other order", MOVES, frame=PIXELS, out=3, given=signal, base=lambda x: x.flip(1),
    spellings={
        "index": lambda x: x[:, [2, 1, 0]],
        "cat": lambda x: torch.cat([x[:, 2:], x[:, 1:2], x[:, :1]], 1),
        "stack": lambda x: torch.stack([x[:, 2], x[:, 1], x[:, 0]], 1),
        "index_select": lambda x: x.index_select(1, torch.tensor([2, 1, 0])),
        "split": lambda x: torch.cat(x.split(1, 1)[::-1], 1),
    },
)  # fmt: skip


MOVED = (SHUFFLE, SPLIT, PAD, REFLECT, IDENTITY, NORMALIZED, SWAPPED)
assert all(family.frame is not BLOCK or family.out == 8 for family in MOVED)
