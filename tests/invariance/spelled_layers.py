"""Layers of weights: a linear map of the signal with learnt numbers, its bias, and normalizations."""

# ruff: noqa: PLW0108  # a helper stands below the family that uses it

from __future__ import annotations

import torch
import torch.nn.functional as F
from families import LAYER, LINE, LOGITS, Family, Weights
from torch import Tensor, nn

SECTION = "Layers of weights"


def _parts(p, x):
    return x, p.l.weight, p.l.bias


def _first(y: Tensor) -> Tensor:
    """Channels from the last axis to the second."""
    return y.movedim(-1, 1)


def _last(x: Tensor) -> Tensor:
    return x.movedim(1, -1)


def _plus(y: Tensor, b: Tensor) -> Tensor:
    y += b[:, None, None]
    return y


def _out(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    y = F.conv2d(x, w[:, :, None, None])
    return torch.add(y, b.view(1, -1, 1, 1), out=torch.empty_like(y))


def _rows(x: Tensor) -> Tensor:
    """All positions of all images as rows ``(n * h * w, c)``."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _unrows(rows: Tensor, x: Tensor) -> Tensor:
    return rows.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)


POINT = Family(
    "1x1 convolution", SECTION, build=lambda: Weights(l=nn.Linear(8, 8)), given=_parts, frame=LAYER,
    base=lambda x, w, b: F.conv2d(x, w[:, :, None, None], b),
    spellings={
        "linear, channels last": lambda x, w, b: F.linear(x.permute(0, 2, 3, 1), w, b).permute(0, 3, 1, 2),
        "linear, movedim": lambda x, w, b: F.linear(x.movedim(1, -1), w, b).movedim(-1, 1),
        "linear on tokens": lambda x, w, b: F.linear(x.flatten(2).transpose(1, 2), w, b).transpose(1, 2).view_as(x),
        "linear on rows": lambda x, w, b: _unrows(F.linear(_rows(x), w, b), x),
        "linear on transposed axes": lambda x, w, b: F.linear(x.transpose(1, 3), w, b).transpose(1, 3),
        "matmul from the right": lambda x, w, b: (x.permute(0, 2, 3, 1) @ w.t() + b).permute(0, 3, 1, 2),
        "matmul from the right, tokens": lambda x, w, b: _first(
            torch.matmul(_last(x).flatten(1, 2), w.T) + b).view_as(x),
        "matmul from the left": lambda x, w, b: (w @ x.flatten(2) + b[:, None]).view_as(x),
        "torch.matmul from the left": lambda x, w, b: torch.matmul(
            w, x.flatten(2)).add(b[:, None]).unflatten(2, (8, 10)),
        "matmul from the left, unsqueezed": lambda x, w, b: (w[None] @ x.flatten(2) + b[None, :, None]).view_as(x),
        "matmul along the height": lambda x, w, b: (w @ x.transpose(1, 2) + b[:, None]).transpose(1, 2),
        "mm": lambda x, w, b: _unrows(torch.mm(_rows(x), w.t()) + b, x),
        "addmm": lambda x, w, b: _unrows(torch.addmm(b, _rows(x), w.t()), x),
        "addmm from the left": lambda x, w, b: torch.addmm(
            b[:, None], w, x.transpose(0, 1).flatten(1)).view(8, len(x), 8, 10).transpose(0, 1),
        "bmm": lambda x, w, b: (torch.bmm(w.expand(len(x), -1, -1), x.flatten(2)) + b[:, None]).view_as(x),
        "bmm, repeated": lambda x, w, b: (
            torch.bmm(w[None].repeat(len(x), 1, 1), x.flatten(2)) + b[:, None]).view_as(x),
        "baddbmm": lambda x, w, b: torch.baddbmm(b[None, :, None], w.expand(len(x), -1, -1), x.flatten(2)).view_as(x),
        "einsum": lambda x, w, b: torch.einsum("nchw,oc->nohw", x, w) + b[:, None, None],
        "einsum, weight first": lambda x, w, b: torch.einsum("oc,nchw->nohw", w, x) + b[:, None, None],
        "einsum with ellipsis": lambda x, w, b: _first(torch.einsum("...c,oc->...o", _last(x), w) + b),
        "einsum, tokens": lambda x, w, b: (torch.einsum("ncp,co->nop", x.flatten(2), w.t()) + b[:, None]).view_as(x),
        "einsum, channels last": lambda x, w, b: torch.einsum("nchw,oc->nhwo", x, w).add(b).permute(0, 3, 1, 2),
        "tensordot": lambda x, w, b: _first(torch.tensordot(x, w, dims=([1], [1])) + b),
        "tensordot, weight first": lambda x, w, b: torch.tensordot(
            w, x, dims=([1], [1])).transpose(0, 1) + b[:, None, None],
        "tensordot, one number": lambda x, w, b: _first(torch.tensordot(_last(x), w.t(), dims=1) + b),
        "inner": lambda x, w, b: _first(torch.inner(_last(x), w) + b),
        "product and sum": lambda x, w, b: (x[:, None] * w[:, :, None, None]).sum(2) + b[:, None, None],
        "product and sum, channels last": lambda x, w, b: _first((_last(x)[..., None, :] * w).sum(-1) + b),
        "conv1d on positions": lambda x, w, b: F.conv1d(x.flatten(2), w[:, :, None], b).view_as(x),
        "conv2d, height 1": lambda x, w, b: F.conv2d(x.flatten(2).unsqueeze(2), w[:, :, None, None], b).view_as(x),
        "conv2d, width 1": lambda x, w, b: F.conv2d(x.flatten(2)[..., None], w[:, :, None, None], b)[..., 0].view_as(x),
        "conv3d, depth 1": lambda x, w, b: F.conv3d(x.unsqueeze(2), w[:, :, None, None, None], b).squeeze(2),
        "conv3d, unsqueezed last": lambda x, w, b: F.conv3d(x[..., None], w[:, :, None, None, None], b).squeeze(-1),
        "conv1d on rows of the image": lambda x, w, b: F.conv1d(
            x.transpose(1, 2).flatten(0, 1), w[:, :, None], b).unflatten(0, (-1, 8)).transpose(1, 2),
        "linear on a 1x1 image each": lambda x, w, b: _unrows(
            F.conv2d(_rows(x)[:, :, None, None], w[:, :, None, None], b).flatten(1), x),
        "conv_transpose2d": lambda x, w, b: F.conv_transpose2d(x, w.t()[:, :, None, None], b),
        "unfold": lambda x, w, b: (w @ F.unfold(x, 1) + b[:, None]).view_as(x),
        "bias afterwards": lambda x, w, b: F.conv2d(x, w[:, :, None, None]) + b.view(1, -1, 1, 1),
        "bias first": lambda x, w, b: b[:, None, None] + F.conv2d(x, w[:, :, None, None]),
        "bias, add_": lambda x, w, b: F.conv2d(x, w[:, :, None, None]).add_(b[:, None, None]),
        "bias, iadd": lambda x, w, b: _plus(F.conv2d(x, w[:, :, None, None]), b),
        "bias, out=": _out,
        "bias, expand_as": lambda x, w, b: (y := F.conv2d(x, w[:, :, None, None])) + b[:, None, None].expand_as(y),
        "bias, less its negative": lambda x, w, b: F.conv2d(x, w[:, :, None, None]) - (-b)[:, None, None],
        "bias after a view": lambda x, w, b: (F.conv2d(x, w[:, :, None, None]).flatten(2) + b[:, None]).view_as(x),
        "bias, channels last": lambda x, w, b: _first(_last(F.conv2d(x, w[:, :, None, None])) + b),
        "bias in two halves": lambda x, w, b: F.conv2d(x, w[:, :, None, None], b / 2) + (b / 2)[:, None, None],
        "bias as a channel of ones": lambda x, w, b: F.conv2d(
            torch.cat([x, torch.ones_like(x[:, :1])], 1), torch.cat([w, b[:, None]], 1)[:, :, None, None]),
        "bias as a first channel of ones": lambda x, w, b: F.conv2d(
            torch.cat([x.new_ones(len(x), 1, 8, 10), x], 1), torch.cat([b[:, None], w], 1)[:, :, None, None]),
        "bias as a feature of ones, linear": lambda x, w, b: _first(F.linear(
            torch.cat([_last(x), torch.ones_like(_last(x)[..., :1])], -1), torch.cat([w, b[:, None]], 1))),
        "aten.convolution.default": lambda x, w, b: torch.ops.aten.convolution.default(
            x, w[:, :, None, None], b, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),  # aten's order
        "aten.linear.default": lambda x, w, b: _first(torch.ops.aten.linear.default(_last(x), w, b)),
        "bilinear": lambda x, w, b: _first(
            F.bilinear(torch.ones_like(_last(x)[..., :1]), _last(x).contiguous(), w[:, None], b)),
    },
)  # fmt: skip

PLAIN_POINT = Family(
    "1x1 convolution without bias", SECTION, build=lambda: Weights(l=nn.Linear(8, 8, bias=False)),
    given=lambda p, x: (x, p.l.weight), frame=LAYER,
    base=lambda x, w: F.conv2d(x, w[:, :, None, None]),
    spellings={
        "linear": lambda x, w: _first(F.linear(_last(x), w)),
        "matmul from the right": lambda x, w: _first(_last(x) @ w.t()),
        "matmul from the left": lambda x, w: (w @ x.flatten(2)).view_as(x),
        "einsum": lambda x, w: torch.einsum("oc,nchw->nohw", w, x),
        "einsum with sublists": lambda x, w: torch.einsum(w, [0, 1], x, [2, 1, 3, 4], [2, 0, 3, 4]),
        "zero bias": lambda x, w: F.conv2d(x, w[:, :, None, None], x.new_zeros(8)),
        "addmm with beta 0": lambda x, w: _unrows(torch.addmm(x.new_zeros(8), _rows(x), w.t(), beta=0), x),
        "scaled weight": lambda x, w: F.conv2d(x, (2 * w)[:, :, None, None]) / 2,
        "two matrices as one": lambda x, w: F.conv2d(x, (w @ torch.eye(8, dtype=w.dtype))[:, :, None, None]),
    },
)  # fmt: skip


def _three(p, x):
    return x, p.conv.weight, p.conv.bias


CONV = Family(
    "3x3 convolution", SECTION, build=lambda: Weights(conv=nn.Conv2d(8, 8, 3)), given=_three, frame=LAYER,
    base=lambda x, w, b: F.conv2d(x, w, b, padding=1),
    spellings={
        "padding='same'": lambda x, w, b: F.conv2d(x, w, b, padding="same"),
        "F.pad": lambda x, w, b: F.conv2d(F.pad(x, (1, 1, 1, 1)), w, b),
        "nn.ZeroPad2d": lambda x, w, b: F.conv2d(nn.ZeroPad2d(1)(x), w, b),
        "F.pad twice": lambda x, w, b: F.conv2d(F.pad(F.pad(x, (1, 1)), (0, 0, 1, 1)), w, b),
        "padded more, then sliced": lambda x, w, b: F.conv2d(x, w, b, padding=2)[:, :, 1:-1, 1:-1],
        "padding by cat": lambda x, w, b: F.conv2d(_framed(x), w, b),
        "padding by a buffer": lambda x, w, b: F.conv2d(_framed_in_buffer(x), w, b),
        "unfold, matmul": lambda x, w, b: (w.flatten(1) @ F.unfold(x, 3, padding=1) + b[:, None]).view_as(x),
        "unfold, linear": lambda x, w, b: F.linear(
            F.unfold(x, 3, padding=1).transpose(1, 2), w.flatten(1), b).transpose(1, 2).reshape(x.shape),
        "Tensor.unfold, einsum": lambda x, w, b: torch.einsum(
            "nchwij,ocij->nohw", F.pad(x, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1), w) + b[:, None, None],
        "Tensor.unfold, tensordot": lambda x, w, b: _first(torch.tensordot(
            F.pad(x, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1), w, dims=([1, 4, 5], [1, 2, 3])) + b),
        "conv3d, depth 1": lambda x, w, b: F.conv3d(x[:, :, None], w[:, :, None], b, padding=(0, 1, 1))[:, :, 0],
        "transposed and turned": lambda x, w, b: F.conv_transpose2d(x, w.flip(2, 3).transpose(0, 1), b, padding=1),
        "axes swapped": lambda x, w, b: F.conv2d(x.transpose(2, 3), w.transpose(2, 3), b, padding=1).transpose(2, 3),
        "turned by 180 degrees": lambda x, w, b: F.conv2d(x.flip(2, 3), w.flip(2, 3), b, padding=1).flip(2, 3),
        "axes swapped, flipped": lambda x, w, b: F.conv2d(
            x.transpose(2, 3).flip(3), w.transpose(2, 3).flip(3), b, padding=1).flip(3).transpose(2, 3),
        "larger kernel of zeros, to one side": lambda x, w, b: F.conv2d(
            F.pad(x, (1, 2, 1, 2)), F.pad(w, (0, 1, 0, 1)), b),
        "flipped": lambda x, w, b: F.conv2d(x.flip(3), w.flip(3), b, padding=1).flip(3),
        "bias afterwards": lambda x, w, b: F.conv2d(x, w, padding=1) + b.view(1, -1, 1, 1),
        "bias, add_": lambda x, w, b: F.conv2d(x, w, padding=1).add_(b[:, None, None]),
        "bias, out=": lambda x, w, b: torch.add(
            y := F.conv2d(x, w, padding=1), b[:, None, None], out=torch.empty_like(y)),
        "larger kernel of zeros": lambda x, w, b: F.conv2d(x, F.pad(w, (1, 1, 1, 1)), b, padding=2),
        "torch.convolution": lambda x, w, b: torch.convolution(
            x, w, b, [1, 1], [1, 1], [1, 1], False, [0, 0], 1),  # torch's order
        "aten.conv2d.default": lambda x, w, b: torch.ops.aten.conv2d.default(x, w, b, [1, 1], [1, 1]),
        "channels_last in memory": lambda x, w, b: F.conv2d(
            x.contiguous(memory_format=torch.channels_last), w, b, padding=1).contiguous(),
        "outputs in two halves": lambda x, w, b: torch.cat(
            [F.conv2d(x, wi, bi, padding=1) for wi, bi in zip(w.chunk(2), b.chunk(2), strict=True)], 1),
        "outputs in a buffer": lambda x, w, b: _halves_in_buffer(x, w, b),
    },
)  # fmt: skip


def _framed(x: Tensor) -> Tensor:
    side = x.new_zeros(*x.shape[:3], 1)
    x = torch.cat([side, x, side], 3)
    edge = x.new_zeros(*x.shape[:2], 1, x.shape[3])
    return torch.cat([edge, x, edge], 2)


def _framed_in_buffer(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    framed = torch.zeros(n, c, h + 2, w + 2, dtype=x.dtype)
    framed[:, :, 1:-1, 1:-1] = x
    return framed


def _halves_in_buffer(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    y = torch.empty_like(x)
    y[:, :4] = F.conv2d(x, w[:4], b[:4], padding=1)
    y[:, 4:] = F.conv2d(x, w[4:], b[4:], padding=1)
    return y


def _cells(x: Tensor) -> Tensor:
    """Cells of 2x2 as a vector each: ``(n, h / 2, w / 2, c * 4)``."""
    n, c, h, w = x.shape
    return x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).flatten(3)


PATCHES = Family(
    "convolution of patches (kernel = stride)", SECTION, build=lambda: Weights(conv=nn.Conv2d(8, 8, 2)), given=_three,
    frame=LAYER,
    base=lambda x, w, b: F.conv2d(x, w, b, stride=2),
    spellings={
        "reshape, permute, linear": lambda x, w, b: _first(F.linear(_cells(x), w.flatten(1), b)),
        "reshape, permute, matmul": lambda x, w, b: _first(_cells(x) @ w.flatten(1).t() + b),
        "pixel_unshuffle, 1x1": lambda x, w, b: F.conv2d(F.pixel_unshuffle(x, 2), w.flatten(1)[:, :, None, None], b),
        "unfold, matmul": lambda x, w, b: (w.flatten(1) @ F.unfold(x, 2, stride=2) + b[:, None]).view(-1, 8, 4, 5),
        "Tensor.unfold, einsum": lambda x, w, b: torch.einsum(
            "nchwij,ocij->nohw", x.unfold(2, 2, 2).unfold(3, 2, 2), w) + b[:, None, None],
        "view, einsum": lambda x, w, b: torch.einsum(
            "nchiwj,ocij->nohw", x.view(-1, 8, 4, 2, 5, 2), w) + b[:, None, None],
        "strided slices, 1x1 (Swin's merging)": lambda x, w, b: F.conv2d(
            torch.cat([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], 1),
            w.permute(0, 2, 3, 1).flatten(1)[:, :, None, None], b),
        "strided slices, channels last, linear": lambda x, w, b: _first(F.linear(
            torch.cat([_last(x)[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], -1),
            w.permute(0, 2, 3, 1).flatten(1), b)),
        "conv3d, depth 1": lambda x, w, b: F.conv3d(x[:, :, None], w[:, :, None], b, stride=(1, 2, 2))[:, :, 0],
    },
)  # fmt: skip

GROUPS = Family(
    "grouped convolution", SECTION, build=lambda: Weights(conv=nn.Conv2d(4, 8, 3)), given=_three, frame=LAYER,
    base=lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=2),
    spellings={
        "chunks, cat": lambda x, w, b: torch.cat([
            F.conv2d(xi, wi, bi, padding=1)
            for xi, wi, bi in zip(x.chunk(2, 1), w.chunk(2), b.chunk(2), strict=True)], 1),
        "split, stack": lambda x, w, b: torch.stack([
            F.conv2d(xi, wi, bi, padding=1)
            for xi, wi, bi in zip(x.split(4, 1), w.split(4), b.split(4), strict=True)], 1).flatten(1, 2),
        "slices into a buffer": lambda x, w, b: _groups_in_buffer(x, w, b),
        "Tensor.unfold, einsum": lambda x, w, b: torch.einsum(
            "ngchwij,gocij->ngohw",
            F.pad(x, (1, 1, 1, 1)).unflatten(1, (2, 4)).unfold(3, 3, 1).unfold(4, 3, 1),
            w.unflatten(0, (2, 4))).flatten(1, 2) + b[:, None, None],
        "block-diagonal kernel": lambda x, w, b: F.conv2d(
            x, torch.cat([F.pad(w[:4], (0, 0, 0, 0, 0, 4)), F.pad(w[4:], (0, 0, 0, 0, 4, 0))]), b, padding=1),
        "conv3d along the groups": lambda x, w, b: F.conv3d(
            x[:, :, None], w[:, :, None], b, padding=(0, 1, 1), groups=2).squeeze(2),
    },
)  # fmt: skip


def _groups_in_buffer(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
    y = x.new_zeros(x.shape)
    for i in (0, 4):
        y[:, i : i + 4] = F.conv2d(x[:, i : i + 4], w[i : i + 4], b[i : i + 4], padding=1)
    return y


GROUPED_POINT = Family(
    "grouped 1x1 convolution", SECTION, build=lambda: Weights(conv=nn.Conv2d(4, 8, 1)), given=_three, frame=LAYER,
    base=lambda x, w, b: F.conv2d(x, w, b, groups=2),
    spellings={
        "einsum over groups": lambda x, w, b: torch.einsum(
            "ngchw,goc->ngohw", x.unflatten(1, (2, 4)), w.view(2, 4, 4)).flatten(1, 2) + b[:, None, None],
        "matmul over groups": lambda x, w, b: (
            w.view(2, 4, 4) @ x.view(-1, 2, 4, 80) + b.view(2, 4, 1)).view_as(x),
        "chunks, linear, cat": lambda x, w, b: torch.cat([
            _first(F.linear(_last(xi), wi[:, :, 0, 0], bi))
            for xi, wi, bi in zip(x.chunk(2, 1), w.chunk(2), b.chunk(2), strict=True)], 1),
    },
)  # fmt: skip

DEPTHWISE = Family(
    "depthwise convolution", SECTION, build=lambda: Weights(conv=nn.Conv2d(1, 8, 3)), given=_three, frame=LAYER,
    base=lambda x, w, b: F.conv2d(x, w, b, padding=1, groups=8),
    spellings={
        "Tensor.unfold, einsum": lambda x, w, b: torch.einsum(
            "nchwij,cij->nchw", F.pad(x, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1), w[:, 0]) + b[:, None, None],
        "Tensor.unfold, product, sum": lambda x, w, b: (
            F.pad(x, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1) * w[:, 0, None, None]
        ).sum((-2, -1)) + b[:, None, None],
        "unfold, product, sum": lambda x, w, b: (
            F.unfold(x, 3, padding=1).view(-1, 8, 9, 80) * w.view(8, 9, 1)).sum(2).view_as(x) + b[:, None, None],
        "channel by channel": lambda x, w, b: torch.cat(
            [F.conv2d(x[:, i : i + 1], w[i : i + 1], b[i : i + 1], padding=1) for i in range(8)], 1),
        "channels as a batch": lambda x, w, b: F.conv3d(
            x[:, :, None], w[:, :, None], b, padding=(0, 1, 1), groups=8).flatten(1, 2),
    },
)  # fmt: skip

UP = Family(
    "transposed convolution (kernel = stride)", SECTION, build=lambda: Weights(conv=nn.Conv2d(8, 8, 2)),
    given=lambda p, x: (x, p.conv.weight, p.conv.bias), frame=LAYER,
    base=lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2),
    spellings={
        "1x1, pixel_shuffle": lambda x, w, b: F.pixel_shuffle(
            F.conv2d(x, w.permute(1, 2, 3, 0).reshape(32, 8, 1, 1), b.repeat_interleave(4)), 2),
        "1x1, pixel_shuffle, bias afterwards": lambda x, w, b: F.pixel_shuffle(
            F.conv2d(x, w.permute(1, 2, 3, 0).reshape(32, 8, 1, 1)), 2) + b[:, None, None],
        "einsum, reshape": lambda x, w, b: torch.einsum(
            "nchw,coij->nohiwj", x, w).reshape(-1, 8, 16, 20) + b[:, None, None],
        "zeros between, convolution": lambda x, w, b: F.conv2d(
            _spread(x), w.flip(2, 3).transpose(0, 1), b, padding=1)[:, :, :16, :20],
        "conv_transpose3d, depth 1": lambda x, w, b: F.conv_transpose3d(
            x[:, :, None], w[:, :, None], b, stride=(1, 2, 2)).squeeze(2),
        "linear, channels last": lambda x, w, b: F.linear(_last(x), w.flatten(1).t()).view(
            -1, 8, 10, 8, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(-1, 8, 16, 20) + b[:, None, None],
    },
)  # fmt: skip


def _spread(x: Tensor) -> Tensor:
    y = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    y[:, :, ::2, ::2] = x
    return y


LINE_CONV = Family(
    "1-d convolution", SECTION, build=lambda: Weights(conv=nn.Conv1d(8, 8, 3)), given=_three, frame=LINE,
    base=lambda x, w, b: F.conv1d(x, w, b, padding=1),
    spellings={
        "conv2d, height 1": lambda x, w, b: F.conv2d(x.unsqueeze(2), w.unsqueeze(2), b, padding=(0, 1)).squeeze(2),
        "conv2d, width 1": lambda x, w, b: F.conv2d(x[..., None], w[..., None], b, padding=(1, 0))[..., 0],
        "Tensor.unfold, einsum": lambda x, w, b: torch.einsum(
            "nctk,ock->not", F.pad(x, (1, 1)).unfold(2, 3, 1), w) + b[:, None],
        "Tensor.unfold, linear": lambda x, w, b: F.linear(
            F.pad(x, (1, 1)).unfold(2, 3, 1).transpose(1, 2).flatten(2), w.flatten(1), b).transpose(1, 2),
        "time first in memory": lambda x, w, b: F.conv1d(
            x.permute(2, 0, 1).contiguous().permute(1, 2, 0), w, b, padding=1),
    },
)  # fmt: skip


STRIDED = Family(
    "3x3 convolution, stride 2", SECTION, build=lambda: Weights(conv=nn.Conv2d(8, 8, 3)), given=_three, frame=LAYER,
    base=lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1),
    spellings={
        "stride 1, then every other": lambda x, w, b: F.conv2d(x, w, b, padding=1)[:, :, ::2, ::2],
        "stride 1, index_select": lambda x, w, b: F.conv2d(x, w, b, padding=1).index_select(
            2, torch.arange(0, 8, 2)).index_select(3, torch.arange(0, 10, 2)),
        "one more to the left": lambda x, w, b: F.conv2d(
            F.pad(x, (3, 1, 1, 1)), w, b, stride=2)[..., 1:],
        "axes swapped": lambda x, w, b: F.conv2d(
            x.transpose(2, 3), w.transpose(2, 3), b, stride=2, padding=1).transpose(2, 3),
    },
)  # fmt: skip

OVERLAPPING = Family(
    "transposed convolution (windows overlap)", SECTION, build=lambda: Weights(conv=nn.Conv2d(8, 8, 3)), given=_three,
    frame=LAYER,
    base=lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, padding=1, output_padding=1),
    spellings={
        "zeros between, convolution": lambda x, w, b: F.conv2d(
            _spread(x), w.flip(2, 3).transpose(0, 1), b, padding=1),
        "sliced": lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, output_padding=1)[:, :, 1:-1, 1:-1],
        "conv_transpose3d, depth 1": lambda x, w, b: F.conv_transpose3d(
            x[:, :, None], w[:, :, None], b, stride=(1, 2, 2), padding=(0, 1, 1), output_padding=(0, 1, 1))[:, :, 0],
    },
)  # fmt: skip


def _placed(p, x):
    h, w = x.shape[2:]
    places = torch.stack(torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij"))
    return x, places.to(x).expand(len(x), -1, -1, -1), p.conv.weight, p.conv.bias


COORDINATES = Family(
    "coordinates beside the signal (CoordConv)", SECTION, build=lambda: Weights(conv=nn.Conv2d(10, 8, 3)),
    given=_placed, frame=LAYER,
    base=lambda x, c, w, b: F.conv2d(torch.cat([x, c], 1), w, b, padding=1),
    spellings={
        "coordinates first": lambda x, c, w, b: F.conv2d(
            torch.cat([c, x], 1), torch.cat([w[:, 8:], w[:, :8]], 1), b, padding=1),
        "around the signal": lambda x, c, w, b: F.conv2d(
            torch.cat([c[:, :1], x, c[:, 1:]], 1), torch.cat([w[:, 8:9], w[:, :8], w[:, 9:]], 1), b, padding=1),
        "added afterwards": lambda x, c, w, b: F.conv2d(x, w[:, :8], b, padding=1) + F.conv2d(c, w[:, 8:], padding=1),
        "of one image": lambda x, c, w, b: F.conv2d(x, w[:, :8], padding=1) + F.conv2d(c[:1], w[:, 8:], b, padding=1),
    },
)  # fmt: skip


def _dense(p, x):
    return x, p.l.weight, p.l.bias


FULL = Family(
    "flatten, linear", SECTION, build=lambda: Weights(l=nn.Linear(640, 5)), given=_dense, frame=LOGITS,
    base=lambda x, w, b: F.linear(x.flatten(1), w, b),
    spellings={
        "kernel as large as the map": lambda x, w, b: F.conv2d(x, w.view(5, 8, 8, 10), b).flatten(1),
        "kernel as large as the map, squeeze": lambda x, w, b: F.conv2d(x, w.view(5, 8, 8, 10), b)[:, :, 0, 0],
        "view": lambda x, w, b: F.linear(x.view(x.size(0), -1), w, b),
        "reshape": lambda x, w, b: F.linear(x.reshape(len(x), 640), w, b),
        "matmul": lambda x, w, b: x.flatten(1) @ w.t() + b,
        "matmul from the left": lambda x, w, b: (w @ x.flatten(1).t()).t() + b,
        "addmm": lambda x, w, b: torch.addmm(b, x.flatten(1), w.t()),
        "einsum": lambda x, w, b: torch.einsum("nchw,ochw->no", x, w.view(5, 8, 8, 10)) + b,
        "tensordot": lambda x, w, b: torch.tensordot(x, w.view(5, 8, 8, 10), dims=([1, 2, 3], [1, 2, 3])) + b,
        "tensordot, 3": lambda x, w, b: torch.tensordot(x, w.view(5, 8, 8, 10).permute(1, 2, 3, 0), dims=3) + b,
        "1x1 on the flattened": lambda x, w, b: F.conv2d(
            x.reshape(-1, 640, 1, 1), w[:, :, None, None], b).squeeze(3).squeeze(2),
        "depthwise, then a sum": lambda x, w, b: (x.flatten(1)[:, None] * w).sum(-1) + b,
        "mv per class": lambda x, w, b: torch.stack([torch.mv(x.flatten(1), row) for row in w], 1) + b,
    },
)  # fmt: skip

CLASSIFIER = Family(
    "classifier on pooled features", SECTION, build=lambda: Weights(l=nn.Linear(8, 5)), given=_dense, frame=LOGITS,
    base=lambda x, w, b: F.linear(x.mean((2, 3)), w, b),
    spellings={
        "1x1 convolution, flatten": lambda x, w, b: F.conv2d(
            F.adaptive_avg_pool2d(x, 1), w[:, :, None, None], b).flatten(1),
        "1x1 convolution, squeeze": lambda x, w, b: F.conv2d(
            x.mean((2, 3), keepdim=True), w[:, :, None, None], b).squeeze(-1).squeeze(-1),
        "matmul": lambda x, w, b: x.mean((2, 3)) @ w.t() + b,
        "addmm": lambda x, w, b: torch.addmm(b, x.mean((2, 3)), w.t()),
        "einsum": lambda x, w, b: torch.einsum("nc,oc->no", x.mean((2, 3)), w) + b,
        "matmul from the left": lambda x, w, b: (w @ x.mean((2, 3))[:, :, None])[..., 0] + b,
        "linear, unsqueezed": lambda x, w, b: F.linear(x.mean((2, 3))[:, None], w, b)[:, 0],
        "bias afterwards": lambda x, w, b: F.linear(x.mean((2, 3)), w).add_(b),
    },
)  # fmt: skip


LAYERS = (POINT, PLAIN_POINT, CONV, STRIDED, PATCHES, GROUPS, GROUPED_POINT, DEPTHWISE, UP, OVERLAPPING, COORDINATES,
          LINE_CONV, FULL, CLASSIFIER)  # fmt: skip
