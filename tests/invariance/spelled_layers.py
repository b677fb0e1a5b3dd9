"""Layers of weights: a linear map of the signal with learnt numbers, its bias, and normalizations."""

# ruff: noqa: PLW0108  # a helper stands below the family that uses it

from __future__ import annotations

import torch
import torch.nn.functional as F
from families import CLIP, LAYER, LINE, LOGITS, NORM, SPECTROGRAM, Family, Weights, scale, signal
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


def _c(v: Tensor) -> Tensor:
    return v[:, None, None]


EPS = 1e-5
BATCH_NORM = Family(
    "batch norm", SECTION, build=lambda: Weights(bn=nn.BatchNorm2d(8)), frame=NORM,
    given=lambda p, x: (x, p.bn.running_mean, p.bn.running_var, p.bn.weight, p.bn.bias),
    base=lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b),
    spellings={
        "(x - m) / sqrt(v + eps) * w + b": lambda x, m, v, w, b: (x - _c(m)) / _c(torch.sqrt(v + EPS)) * _c(w) + _c(b),
        "w * (x - m) / sqrt(v + eps) + b": lambda x, m, v, w, b: _c(w) * (x - _c(m)) / _c(v + EPS).sqrt() + _c(b),
        "(x - m) * (w / sqrt(v + eps)) + b": lambda x, m, v, w, b: (x - _c(m)) * _c(w / (v + EPS).sqrt()) + _c(b),
        "(x - m) * rsqrt(v + eps) * w + b": lambda x, m, v, w, b: (x - _c(m)) * _c((v + EPS).rsqrt()) * _c(w) + _c(b),
        "power -0.5": lambda x, m, v, w, b: (x - _c(m)) * _c((v + EPS).pow(-0.5)) * _c(w) + _c(b),
        "x * scale + shift (frozen)": lambda x, m, v, w, b: x * _c(s := w * (v + EPS).rsqrt()) + _c(b) - _c(m) * _c(s),
        "x * scale + (b - m * scale) (FrozenBatchNorm2d)": lambda x, m, v, w, b: x * (
            s := w.reshape(1, -1, 1, 1) * (v.reshape(1, -1, 1, 1) + EPS).rsqrt()
        ) + (b.reshape(1, -1, 1, 1) - m.reshape(1, -1, 1, 1) * s),
        "addcmul": lambda x, m, v, w, b: torch.addcmul(_c(b - m * (s := w * (v + EPS).rsqrt())), x, _c(s)),
        "addcmul after the mean": lambda x, m, v, w, b: torch.addcmul(_c(b), (x - _c(m)) / _c((v + EPS).sqrt()), _c(w)),
        "in place": lambda x, m, v, w, b: x.sub(_c(m)).div_(_c((v + EPS).sqrt())).mul_(_c(w)).add_(_c(b)),
        "channels last": lambda x, m, v, w, b: _first((_last(x) - m) / (v + EPS).sqrt() * w + b),
        "expand_as": lambda x, m, v, w, b: (
            (x - _c(m).expand_as(x)) / _c((v + EPS).sqrt()).expand_as(x) * _c(w).expand_as(x) + _c(b).expand_as(x)),
        "on tokens": lambda x, m, v, w, b: F.batch_norm(x.flatten(2), m, v, w, b).view_as(x),
        "on rows": lambda x, m, v, w, b: _unrows(F.batch_norm(_rows(x), m, v, w, b), x),
        "three-dimensional": lambda x, m, v, w, b: F.batch_norm(x[:, :, None], m, v, w, b)[:, :, 0],
        "affine afterwards": lambda x, m, v, w, b: F.batch_norm(x, m, v) * _c(w) + _c(b),
        "instance norm on running statistics": lambda x, m, v, w, b: F.instance_norm(
            x, m, v, w, b, use_input_stats=False),
        "aten": lambda x, m, v, w, b: torch.ops.aten.batch_norm.default(
            x, w, b, m, v, False, 0.1, EPS, False),  # aten's order
        "aten without training": lambda x, m, v, w, b: torch.ops.aten._native_batch_norm_legit_no_training(
            x, w, b, m, v, 0.1, EPS)[0],
    },
)  # fmt: skip

CONV_BATCH_NORM = Family(
    "convolution with batch norm", SECTION, frame=LAYER,
    build=lambda: Weights(conv=nn.Conv2d(8, 8, 3, padding=1, bias=False), bn=nn.BatchNorm2d(8)),
    given=lambda p, x: (p.conv(x), p.bn.running_mean, p.bn.running_var, p.bn.weight, p.bn.bias),
    base=BATCH_NORM.base,
    spellings=BATCH_NORM.spellings,
)  # fmt: skip

LAYER_NORM = Family(
    "layer norm over channels", SECTION, build=lambda: Weights(ln=nn.LayerNorm(8)), frame=NORM,
    given=lambda p, x: (x, p.ln.weight, p.ln.bias),
    base=lambda x, w, b: _first(F.layer_norm(_last(x), (8,), w, b)),
    spellings={
        "permute": lambda x, w, b: F.layer_norm(x.permute(0, 2, 3, 1), (8,), w, b).permute(0, 3, 1, 2),
        "ConvNeXt's authors": lambda x, w, b: _c(w) * (
            (x - (u := x.mean(1, keepdim=True))) / torch.sqrt((x - u).pow(2).mean(1, keepdim=True) + EPS)) + _c(b),
        "var": lambda x, w, b: (x - x.mean(1, keepdim=True)) / torch.sqrt(
            x.var(1, unbiased=False, keepdim=True) + EPS) * _c(w) + _c(b),
        "var_mean": lambda x, w, b: (x - (s := torch.var_mean(x, 1, correction=0, keepdim=True))[1]) * torch.rsqrt(
            s[0] + EPS) * _c(w) + _c(b),
        "mean of squares less square of the mean": lambda x, w, b: (x - (u := x.mean(1, True))) / (
            (x * x).mean(1, True) - u * u + EPS).sqrt() * _c(w) + _c(b),
        "affine afterwards": lambda x, w, b: _first(F.layer_norm(_last(x), (8,))) * _c(w) + _c(b),
        "addcmul": lambda x, w, b: torch.addcmul(_c(b), _first(F.layer_norm(_last(x), (8,))), _c(w)),
        "tokens": lambda x, w, b: F.layer_norm(x.flatten(2).transpose(1, 2), (8,), w, b).transpose(1, 2).view_as(x),
    },
)  # fmt: skip

GROUP_NORM = Family(
    "group norm", SECTION, build=lambda: Weights(gn=nn.GroupNorm(2, 8)), frame=NORM,
    given=lambda p, x: (x, p.gn.weight, p.gn.bias),
    base=lambda x, w, b: F.group_norm(x, 2, w, b),
    spellings={
        "by hand": lambda x, w, b: (
            (y := x.view(-1, 2, 320)) - y.mean(2, keepdim=True)).div(
                (y.var(2, unbiased=False, keepdim=True) + EPS).sqrt()).view_as(x) * _c(w) + _c(b),
        "layer norm of groups": lambda x, w, b: F.layer_norm(x.view(-1, 2, 320), (320,)).view_as(x) * _c(w) + _c(b),
        "batch norm of groups": lambda x, w, b: F.instance_norm(x.view(-1, 2, 320)).view_as(x) * _c(w) + _c(b),
    },
)  # fmt: skip

INSTANCE_NORM = Family(
    "instance norm", SECTION, build=lambda: Weights(norm=nn.InstanceNorm2d(8, affine=True)), frame=NORM,
    given=lambda p, x: (x, p.norm.weight, p.norm.bias),
    base=lambda x, w, b: F.instance_norm(x, weight=w, bias=b),
    spellings={
        "by hand": lambda x, w, b: (x - x.mean((2, 3), keepdim=True)) / (
            x.var((2, 3), unbiased=False, keepdim=True) + EPS).sqrt() * _c(w) + _c(b),
        "group norm": lambda x, w, b: F.group_norm(x, 8, w, b),
        "layer norm": lambda x, w, b: F.layer_norm(x, x.shape[2:]) * _c(w) + _c(b),
    },
)  # fmt: skip

RMS_NORM = Family(
    "RMS norm over channels", SECTION, build=lambda: Weights(w=scale(8)), frame=NORM, given=lambda p, x: (x, p.w),
    base=lambda x, w: _first(F.rms_norm(_last(x), (8,), w, EPS)),
    spellings={
        "x * rsqrt(mean of squares)": lambda x, w: x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + EPS) * _c(w),
        "x / sqrt(mean of squares)": lambda x, w: x / (x * x).mean(1, keepdim=True).add(EPS).sqrt() * _c(w),
        "channels last": lambda x, w: _first((y := _last(x)) * (y.square().mean(-1, True) + EPS).rsqrt() * w),
    },
)  # fmt: skip

UNIT = Family(
    "unit vectors", SECTION, frame=NORM, given=signal,
    base=lambda x: F.normalize(x, dim=1),
    spellings={
        "x / norm": lambda x: x / x.norm(dim=1, keepdim=True),
        "x / linalg.vector_norm": lambda x: x / torch.linalg.vector_norm(x, dim=1, keepdim=True),
        "x / sqrt(sum of squares)": lambda x: x / x.pow(2).sum(1, keepdim=True).sqrt(),
        "x * rsqrt(sum of squares)": lambda x: x * (x * x).sum(1, keepdim=True).rsqrt(),
        "x / norm.expand_as(x)": lambda x: x / x.norm(p=2, dim=1, keepdim=True).clamp_min(1e-12).expand_as(x),
    },
)  # fmt: skip


def _spectrogram(add) -> Family:
    return Family(
        "a spectrogram without channels", SECTION, frame=SPECTROGRAM, out=1, given=signal,
        base=lambda x: x.unsqueeze(1),
        spellings=add,
    )  # fmt: skip


SOUND = _spectrogram({
    "None": lambda x: x[:, None],
    "view": lambda x: x.view(x.size(0), 1, *x.shape[1:]),
    "reshape": lambda x: x.reshape(-1, 1, 8, 10),
    "stack": lambda x: torch.stack([x], 1),
    "unflatten": lambda x: x.flatten(1).unflatten(1, (1, 8, 10)),
    "unsqueeze_": lambda x: x.clone().unsqueeze_(1),
    "expand_dims at the end": lambda x: x[..., None].permute(0, 3, 1, 2),
    "buffer": lambda x: _one_channel(x),
})  # fmt: skip


def _one_channel(x: Tensor) -> Tensor:
    y = x.new_zeros(len(x), 1, 8, 10)
    y[:, 0] = x
    return y


CLIPS = Family(
    "a convolution of frames", SECTION, build=lambda: Weights(a=nn.Conv2d(3, 8, 3), b=nn.Conv2d(8, 8, 3)), frame=CLIP,
    given=lambda p, x: (x, p.a, p.b),
    base=lambda x, a, b: _spatial(_spatial(x, a).relu(), b),
    spellings={
        "frames folded into the batch": lambda x, a, b: _folded(x, a, b),
        "frames folded by reshape": lambda x, a, b: _planes(
            x.permute(0, 2, 1, 3, 4).reshape(-1, 3, 6, 7), a, b).view(-1, 4, 8, 6, 7).permute(0, 2, 1, 3, 4),
        "frames first": lambda x, a, b: _planes(x.permute(2, 0, 1, 3, 4).flatten(0, 1), a, b).unflatten(
            0, (4, len(x))).permute(1, 2, 0, 3, 4),
        "frame by frame": lambda x, a, b: torch.stack([_planes(x[:, :, t], a, b) for t in range(4)], 2),
        "unbind, stack": lambda x, a, b: torch.stack([_planes(frame, a, b) for frame in x.unbind(2)], dim=2),
    },
)  # fmt: skip


def _spatial(x: Tensor, conv: nn.Conv2d) -> Tensor:
    return F.conv3d(x, conv.weight[:, :, None], conv.bias, padding=(0, 1, 1))


def _planes(x: Tensor, a: nn.Conv2d, b: nn.Conv2d) -> Tensor:
    return F.conv2d(F.conv2d(x, a.weight, a.bias, padding=1).relu(), b.weight, b.bias, padding=1)


def _folded(x: Tensor, a: nn.Conv2d, b: nn.Conv2d) -> Tensor:
    return _planes(x.transpose(1, 2).flatten(0, 1), a, b).unflatten(0, (len(x), 4)).transpose(1, 2)


TOKENS = Family(
    "a layer on tokens beside a residual", SECTION, build=lambda: Weights(l=nn.Linear(8, 8)), frame=LAYER,
    given=lambda p, x: (x, p.l),
    base=lambda x, f: x + _first(f(_last(x)).relu()),
    spellings={
        "images first": lambda x, f: x + f(x.flatten(2).transpose(1, 2)).relu().transpose(1, 2).reshape(x.shape),
        "tokens first": lambda x, f: x + f(x.flatten(2).permute(2, 0, 1)).relu().permute(1, 2, 0).reshape(x.shape),
        "tokens and images as rows": lambda x, f: x + f(x.flatten(2).permute(2, 0, 1).flatten(0, 1)).relu().unflatten(
            0, (80, len(x))).permute(1, 2, 0).reshape(x.shape),
        "rows of the image first": lambda x, f: x + f(x.permute(2, 0, 3, 1)).relu().permute(1, 3, 0, 2),
        "channels first of all": lambda x, f: x + (
            f.weight @ x.transpose(0, 1).flatten(1) + f.bias[:, None]).relu().view(8, len(x), 8, 10).transpose(0, 1),
    },
)  # fmt: skip

WINDOWS = Family(
    "a layer on windows", SECTION, build=lambda: Weights(l=nn.Linear(8, 8)), frame=LAYER, given=lambda p, x: (x, p.l),
    base=lambda x, f: _first(f(_last(x))),
    spellings={
        "windows folded into the batch": lambda x, f: _unwindow(f(_windows(x))),
        "windows first": lambda x, f: _unwindow(f(_windows(x).unflatten(0, (-1, 4)).transpose(0, 1)).transpose(
            0, 1).flatten(0, 1)),
    },
)  # fmt: skip


def _windows(x: Tensor) -> Tensor:
    """``(n * 4, 20, c)``: four windows of 4x5 of each image, Swin's way."""
    return x.permute(0, 2, 3, 1).view(-1, 2, 4, 2, 5, 8).permute(0, 1, 3, 2, 4, 5).reshape(-1, 20, 8)


def _unwindow(y: Tensor) -> Tensor:
    return y.view(-1, 2, 2, 4, 5, 8).permute(0, 1, 3, 2, 4, 5).reshape(-1, 8, 10, 8).permute(0, 3, 1, 2)


LAYERS = (POINT, PLAIN_POINT, CONV, PATCHES, GROUPS, GROUPED_POINT, DEPTHWISE, UP, LINE_CONV, FULL, CLASSIFIER,
          BATCH_NORM, CONV_BATCH_NORM, LAYER_NORM, GROUP_NORM, INSTANCE_NORM, RMS_NORM, UNIT, SOUND, CLIPS, TOKENS,
          WINDOWS)  # fmt: skip
