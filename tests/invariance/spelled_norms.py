"""Layers of weights with norms, and where images, frames and tokens are axes among others."""

# ruff: noqa: PLW0108  # a helper stands below the family that uses it

from __future__ import annotations

import torch
import torch.nn.functional as F
from families import CLIP, LAYER, NORM, SPECTROGRAM, Family, Weights, scale, signal
from torch import Tensor, nn

SECTION = "Layers of weights"


def _first(y: Tensor) -> Tensor:
    """Channels from the last axis to the second."""
    return y.movedim(-1, 1)


def _last(x: Tensor) -> Tensor:
    return x.movedim(1, -1)


def _rows(x: Tensor) -> Tensor:
    """All positions of all images as rows ``(n * h * w, c)``."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _unrows(rows: Tensor, x: Tensor) -> Tensor:
    return rows.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)


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
        "frame by frame, stacked second": lambda x, a, b: torch.stack(
            [_planes(x[:, :, t], a, b) for t in range(4)], 1).transpose(1, 2),
        "unbind of frames first": lambda x, a, b: torch.stack(
            [_planes(frame, a, b) for frame in x.transpose(1, 2).unbind(1)], -3),
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


NUMBER = Family(
    "a learnt number", SECTION, build=lambda: Weights(scale=scale(), shift=scale()), frame=NORM,
    given=lambda p, x: (x, p.scale, p.shift),
    base=lambda x, a, b: x * a + b,
    spellings={
        "of shape (1,)": lambda x, a, b: x * a.view(1) + b.view(1),
        "of shape (1, 1, 1)": lambda x, a, b: x * a.view(1, 1, 1) + b.view(1, 1, 1),
        "b + a * x": lambda x, a, b: b + a * x,
        "numbers of Python": lambda x, a, b: x * a.item() + b.item(),
        "addcmul": lambda x, a, b: torch.addcmul(b, x, a),
        "channels last": lambda x, a, b: (x.movedim(1, -1) * a.view(1) + b.view(1)).movedim(-1, 1),
    },
)  # fmt: skip

NORMS = (
    NUMBER,
    BATCH_NORM,
    CONV_BATCH_NORM,
    LAYER_NORM,
    GROUP_NORM,
    INSTANCE_NORM,
    RMS_NORM,
    UNIT,
    SOUND,
    CLIPS,
    TOKENS,
    WINDOWS,
)
