"""Pools: averages share by activity, a maximum pays its winners."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.canonical import is_tiled
from equipoise.engine.layout import laid_out, rows_like
from equipoise.engine.numerics import safe_divide
from equipoise.engine.operations import OpKind, per_dimension
from equipoise.engine.portions import rows_in_turn
from equipoise.engine.relevance import Relevance, only, sum_to
from equipoise.engine.rule import Step
from equipoise.engine.trace import OpCall
from equipoise.errors import RuleNotApplicableError

_FLOOR = 1e-9  # lets a pool window without activity pass its relevance


@dataclass(frozen=True)
class Pool:
    r"""Average and maximum pools, means, sums, interpolation: in proportion to activity.

    .. math:: R_{in} = X \odot J^T (R / pool(X)), \quad X = \max(x, 0) + 10^{-9}

    so a maximum pool's winner takes all, and an average pool's inputs share by their size.
    """

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived = only(relevance)
        if sum(not value.discrete for value in step.call.inputs) > 1:
            raise RuleNotApplicableError("this pool of several signals has no rule")
        x, R = step.data(), arrived.value
        others = [step.data(i) for i in range(1, len(step.call.inputs))]
        value = rows_like(x, len(R))
        # A pool of images can be worked on a few images at a time; what else comes here may mix rows.
        alone = not others and len(x) == R.shape[1] and not step.call.members
        for rows in rows_in_turn(R, x.unsqueeze(0)) if alone else [slice(None)]:
            point = laid_out(x[rows]).clamp(min=0).add_(_FLOOR)
            source = step.vjp(lambda made: _quotients(R[:, rows], made), [point, *others])[0]  # noqa: B023  # called at once
            if source is None:
                raise RuleNotApplicableError("the operation does not depend on its signal")
            torch.mul(source, point, out=value[:, rows])
        return [arrived.with_value(value), *[None] * len(others)]


def _quotients(R: Tensor, made: Sequence[Tensor]) -> list[Tensor | None]:
    """Of the first output; a maximum pool's indices are a second."""
    return [safe_divide(R, made[0]), *[None] * (len(made) - 1)]


@dataclass(frozen=True)
class TiedMaximum:
    """Maximum pool: a window's relevance is shared equally by all its maxima (Gu et al. 2018, their code).

    However the maximum is taken: by a pool of any geometry, over axes (``amax``, ``max``), or over axes in turn.
    Adaptive pools with windows of several sizes, and ``topk`` of more than one, fall back to torch's winner.
    """

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived = only(relevance)
        if len(step.call.inputs) != 1:
            return Pool()(step, relevance)
        value = self.equation(step, arrived.value)
        return Pool()(step, relevance) if value is None else [arrived.with_value(value)]

    def equation(self, step: Step, R: Tensor) -> Tensor | None:
        """Relevance of the input ``(k, m, *in)`` from that of the output ``(k, m, *out)``; ``None`` if unknown."""
        call, x = step.call, step.data()
        windows = _windows(call)
        if windows is not None:
            return _shared_in_windows(x, _pooling(step, x), R, windows)
        total = _sum_instead(call)
        if total is None:
            return None
        best = step.run([x])[0]
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            summed = total(leaf)

        def spread(s: Tensor) -> Tensor:
            return torch.autograd.grad(summed, leaf, s, retain_graph=True)[0]

        wins = (x == spread(best)).to(R.dtype)
        with torch.no_grad():
            count = total(wins)
        return torch.stack([spread(row / count) for row in R]) * wins


@dataclass(frozen=True)
class Winner:
    """The larger (or smaller) of several signals: the winner takes all, equal ones share evenly."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> list[Relevance | None]:
        """See `Rule`."""
        arrived, inputs = only(relevance), step.call.inputs
        data = [step.data(i) for i in range(len(inputs))]
        best = step.run(data)[0]
        wins = [(part == best).to(arrived.value.dtype) for part in data]
        count = sum(wins[1:], start=wins[0])
        parts = [sum_to(arrived.value * win / count, value.shape) for win, value in zip(wins, inputs, strict=True)]
        return arrived.split(parts)


def _sum_instead(call: OpCall) -> Callable[[Tensor], Tensor] | None:
    """A maximum over axes as the sum over the same entries; ``None`` if it is over anything else."""
    steps: list[Callable[[Tensor], Tensor]] = []
    for part in call.members or (call,):
        found = _as_sum(part)
        if found is None:
            return None
        steps.append(found)

    def total(x: Tensor) -> Tensor:
        for step in steps:
            x = step(x)
        return x

    return total


def _as_sum(call: OpCall) -> Callable[[Tensor], Tensor] | None:
    if call.kind in (OpKind.VIEW, OpKind.IDENTITY):
        return lambda x: call.run(x)[0]
    bound = call.bound()
    if call.name in ("amax", "amin", "max", "min"):
        dims = bound.get("dim", bound.get("axis"))
        if dims is None or dims == ():
            dims = tuple(range(len(call.inputs[0].shape)))
        keep = bool(bound.get("keepdim", False))
        return lambda x: x.sum(dims, keepdim=keep)
    if call.name == "topk" and bound.get("k") == 1:
        axis = bound.get("dim", -1)
        return lambda x: x.sum(axis, keepdim=True)
    if is_tiled(call):
        d = int(call.name[len("max_pool")])
        kernel = bound["kernel_size"]
        kernel = (kernel,) * d if isinstance(kernel, int) else tuple(kernel) * (d // len(kernel))
        average = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[d - 1]
        return lambda x: average(x, kernel, kernel) * math.prod(kernel)
    positions = call.outputs[0].shape[2:]
    if call.name.startswith("adaptive_max_pool") and math.prod(positions) == 1:
        axes = tuple(range(-len(positions), 0))
        return lambda x: x.sum(axes, keepdim=True)
    return None


@dataclass(frozen=True)
class _Windows:
    """The geometry of a maximum pool, one number per spatial dimension; ``before`` and ``after`` is what pads it."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]


def _windows(call: OpCall) -> _Windows | None:
    if call.members:
        return None
    bound, size, made = call.bound(), call.inputs[0].shape, call.outputs[0].shape
    if call.name.startswith("adaptive_max_pool"):
        d = len(size) - 2
        even = all(i % o == 0 for i, o in zip(size[2:], made[2:], strict=True))
        if not even or math.prod(made[2:]) == 1:
            return None
        kernel = tuple(i // o for i, o in zip(size[2:], made[2:], strict=True))
        return _Windows(kernel, kernel, (1,) * d, (0,) * d, (0,) * d)
    if "kernel_size" not in bound or not call.name.startswith("max_pool"):
        return None
    d = int(call.name[len("max_pool")])
    numbers = partial(per_dimension, bound, d)
    kernel = numbers("kernel_size", None)
    stride, padding, dilation = numbers("stride", kernel), numbers("padding", 0), numbers("dilation", 1)
    lower = [call.before[2 * i] if 2 * i < len(call.before) else 0 for i in range(d)]
    before = tuple(p + q for p, q in zip(padding, reversed(lower), strict=True))
    reach = [(o - 1) * s + e * (k - 1) + 1 for o, s, e, k in zip(made[-d:], stride, dilation, kernel, strict=True)]
    after = tuple(max(0, r - i - b) for r, i, b in zip(reach, size[-d:], before, strict=True))
    return _Windows(kernel, stride, dilation, before, after)


def _pooling(step: Step, x: Tensor) -> Callable[[slice, Tensor], Tensor]:
    """From some of the rows of ``x``, and what is there, laid out, to their maxima, laid out.

    A pool is fastest on what is laid out; calls that were joined know the number of rows.
    """
    if step.call.members:
        pooled = step.run([x])[0]
        return lambda rows, _part: laid_out(pooled[rows])
    return lambda _rows, part: laid_out(step.run([part])[0])


def _shared_in_windows(x: Tensor, pooling: Callable[[slice, Tensor], Tensor], R: Tensor, windows: _Windows) -> Tensor:
    d = len(windows.kernel)
    tiled = x.dim() == d + 2 and windows.kernel == windows.stride and not any((*windows.before, *windows.after))
    amounts = [side for p, q in zip(reversed(windows.before), reversed(windows.after), strict=True) for side in (p, q)]
    sizes = R.shape[-d:]
    each: list[tuple[Any, ...]] = [
        (..., *[slice(i * e, i * e + (o - 1) * s + 1, s)
                for i, e, o, s in zip(offset, windows.dilation, sizes, windows.stride, strict=True)])
        for offset in product(*[range(k) for k in windows.kernel])
    ]  # fmt: skip
    inside: tuple[Any, ...] = (
        ..., *[slice(p, p + size) for p, size in zip(windows.before, x.shape[-d:], strict=True)]
    )  # fmt: skip
    value = rows_like(x, len(R))
    if tiled and math.prod(windows.kernel) * math.prod(sizes) < math.prod(x.shape[-d:]):
        value.zero_()  # what no window reaches
    for rows in rows_in_turn(R, x.unsqueeze(0)):
        part = laid_out(x[rows])
        best = pooling(rows, part)
        padded = part if tiled else laid_out(F.pad(part, amounts, value=-torch.inf))
        wins = [torch.eq(padded[window], best, out=torch.empty_like(best)) for window in each]
        count = sum(wins[1:], start=wins[0])
        for k, share in enumerate(R[:, rows]):
            given = laid_out(share) / count
            if tiled:  # each entry is in one window at most
                for window, win in zip(each, wins, strict=True):
                    torch.mul(given, win, out=value[k, rows][window])
                continue
            result = torch.zeros_like(padded)
            for window, win in zip(each, wins, strict=True):
                result[window].addcmul_(given, win)
            value[k, rows] = result[inside]
    return value
