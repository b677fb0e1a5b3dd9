"""Uncommon words for common things: sorting for a maximum, ``diff`` for a difference, ``kron`` with ones for copies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.canonical.tape import Draft, Tape
from equipoise.engine.operations import OpKind
from equipoise.engine.trace import OpCall, Value


def _bound(call: OpCall, names: str) -> dict[str, Any]:
    return dict(zip(names.split(), call.args, strict=False)) | call.kwargs


def _without_nan(call: OpCall, draft: Draft) -> bool | None:
    """``nansum`` and ``nanmean``: of a signal that is never NaN, a sum and a mean."""
    name = call.name.removeprefix("nan")
    draft.apply(name, getattr(torch, name), *call.args, out=call.outputs[0], **call.kwargs)
    return None


def _largest(call: OpCall, draft: Draft) -> bool | None:
    """A norm of infinite order."""
    bound = _bound(call, "input p dim keepdim")
    order = bound.get("p", bound.get("ord"))
    if isinstance(order, str) or order is None or order != math.inf or bound.get("dim") is None:
        return False
    size = draft.apply("abs", torch.abs, bound["input"])
    draft.apply("amax", torch.amax, size, bound["dim"], bool(bound.get("keepdim", False)), out=call.outputs[0])
    return None


def _vector_norm(call: OpCall, draft: Draft) -> bool | None:
    bound = _bound(call, "x ord dim keepdim")
    if bound.get("ord") != math.inf or bound.get("dim") is None:
        return False
    size = draft.apply("abs", torch.abs, call.inputs[0])
    draft.apply("amax", torch.amax, size, bound["dim"], bool(bound.get("keepdim", False)), out=call.outputs[0])
    return None


def _added_at(call: OpCall, draft: Draft) -> bool | None:
    """``index_add`` of every row in its place."""
    bound = _bound(call, "input dim index source")
    x, source, index = bound["input"], bound["source"], bound["index"]
    if not isinstance(index, Tensor) or not isinstance(x, Value) or not isinstance(source, Value):
        return False
    size = x.shape[bound["dim"]]
    if bound.get("alpha", 1) != 1 or not torch.equal(index.cpu(), torch.arange(size)):
        return False
    draft.apply("add", torch.add, x, source, out=call.outputs[0])
    return None


def _folded(call: OpCall, draft: Draft) -> bool | None:
    """``fold`` of blocks that do not overlap only moves entries."""
    bound = _bound(call, "input output_size kernel_size dilation padding stride")

    def pair(name: str, default: int) -> tuple[int, ...]:
        given = bound.get(name, default)
        return (given, given) if isinstance(given, int) else tuple(given)

    plain = set(pair("dilation", 1)) == {1} and not any(pair("padding", 0))
    if not plain or pair("kernel_size", 1) != pair("stride", 1) or not isinstance(call.args[0], Value):
        return False
    if math.prod(call.outputs[0].shape) != math.prod(call.inputs[0].shape):
        return False
    args, kwargs = call.args[1:], call.kwargs
    draft.view(call.args[0], lambda t: F.fold(t, *args, **kwargs), call.outputs[0])
    return None


def _copied(call: OpCall, draft: Draft) -> bool | None:
    """``kron`` with ones repeats entries."""
    x, block = _bound(call, "input other").values()
    if not isinstance(x, Value) or not isinstance(block, Tensor) or not bool((block == 1).all()):
        return False
    draft.view(x, lambda t: torch.kron(t, block.to(t)), call.outputs[0])
    return None


def _differences(call: OpCall, draft: Draft) -> bool | None:
    """``diff``: each entry less the one before it."""
    bound = _bound(call, "input n dim")
    x, n, dim = bound["input"], bound.get("n", 1), bound.get("dim", -1)
    if n != 1 or not isinstance(x, Value) or {"prepend", "append"} & bound.keys():
        return False
    size, rank, stack = x.shape[dim], len(x.shape), x.maker
    if stack is not None and stack.name == "stack" and stack.bound().get("dim", 0) % rank == dim % rank:
        parts = stack.bound()["tensors"]
        if isinstance(parts, tuple | list) and all(isinstance(part, Value) for part in parts):
            less = [draft.apply("add", torch.add, b, draft.apply("neg", torch.neg, a)) for a, b in pairwise(parts)]
            draft.apply("stack", torch.stack, less, dim, out=call.outputs[0])
            return None
    later = draft.view(x, lambda t: t.narrow(dim, 1, size - 1))
    earlier = draft.view(x, lambda t: t.narrow(dim, 0, size - 1))
    draft.apply("add", torch.add, later, draft.apply("neg", torch.neg, earlier), out=call.outputs[0])
    return None


def _bilinear(call: OpCall, draft: Draft) -> bool | None:
    """``bilinear`` of a signal and a constant vector is a linear layer."""
    bound = call.bound()
    a, b, weight = bound["input1"], bound["input2"], bound["weight"]
    constant = b if isinstance(a, Value) else a
    if isinstance(constant, Value) or not isinstance(weight, Tensor):
        return False
    rows = constant.reshape(-1, constant.shape[-1])
    if not bool((rows == rows[:1]).all()):
        return False
    matrix = torch.einsum("oij,j->oi" if isinstance(a, Value) else "oij,i->oj", weight, rows[0].to(weight))
    draft.apply("linear", F.linear, call.inputs[0], matrix, bound.get("bias"), out=call.outputs[0])
    return None


def _power_average(call: OpCall, draft: Draft) -> bool | None:
    """``lp_pool``: the root of a sum of powers; of order 1 a sum."""
    bound = _bound(call, "input norm_type kernel_size stride ceil_mode")
    x, order, kernel, stride = bound["input"], bound["norm_type"], bound["kernel_size"], bound.get("stride")
    d, out = int(call.name[len("lp_pool")]), call.outputs[0]
    count = kernel**d if isinstance(kernel, int) else math.prod(kernel)
    word, function = f"avg_pool{d}d", (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[d - 1]
    powers = x if order == 1 else draft.apply("pow", torch.pow, x, order)
    mean = draft.apply(word, function, powers, kernel, stride, 0, bool(bound.get("ceil_mode", False)))
    if order == 1:
        draft.apply("mul", torch.mul, mean, count, out=out)
    else:
        draft.apply("pow", torch.pow, draft.apply("mul", torch.mul, mean, count), 1 / order, out=out)
    return None


def _scaled_by_kernel(call: OpCall, draft: Draft) -> bool | None:
    """A grouped convolution whose kernel is one number of the signal's for each channel scales the channels."""
    bound = call.bound()
    x, weight = bound["input"], bound["weight"]
    if not isinstance(weight, Value) or not isinstance(x, Value) or bound.get("bias") is not None:
        return False
    alone = math.prod(weight.shape) == bound.get("groups", 1) == x.shape[1] and call.outputs[0].shape == x.shape
    if not alone:
        return False
    rank = len(x.shape)
    factor = draft.view(weight, lambda t: t.reshape(1, -1, *[1] * (rank - 2)))
    draft.apply("mul", torch.mul, x, factor, out=call.outputs[0])
    return None


UNCOMMON: dict[str, Callable[[OpCall, Draft], bool | None]] = {
    "nansum": _without_nan, "nanmean": _without_nan, "norm": _largest, "linalg_vector_norm": _vector_norm,
    "index_add": _added_at, "fold": _folded, "kron": _copied, "diff": _differences, "bilinear": _bilinear,
    "conv1d": _scaled_by_kernel, "conv2d": _scaled_by_kernel, "conv3d": _scaled_by_kernel,
    "lp_pool1d": _power_average, "lp_pool2d": _power_average, "lp_pool3d": _power_average,
}  # fmt: skip


def name_extremes(tape: Tape) -> None:
    """Write what takes the largest of sorted entries, or one of two results, as what makes it alone."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.name == "kthvalue":
            return _kth(call, tape)
        if call.name in ("aminmax", "var_mean", "std_mean"):
            return _one_of_two(call, tape)
        maker = call.inputs[0].producer if call.kind is OpKind.VIEW and len(call.inputs) == 1 else None
        sorts = maker is not None and maker.name == "sort" and call.inputs[0] is maker.outputs[0]
        return _end_of_sorted(call, maker) if sorts and maker is not None else None

    tape.each(change)
    tape.drop_unread()


def rejoin(tape: Tape) -> None:
    """Write what was split and concatenated again, in order, as itself: no matter along which axis."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        parts = call.bound().get("tensors", ()) if call.name == "cat" else ()
        split = parts[0].producer if isinstance(parts, tuple | list) and parts and isinstance(parts[0], Value) else None
        if split is None or split.kind is not OpKind.VIEW or tuple(parts) != split.outputs or len(parts) < 2:
            return None
        source, axis = split.inputs[0], call.bound().get("dim", 0)
        if split.name not in _SPLITTING or source.shape != call.outputs[0].shape:
            return None
        given = split.kwargs.get("dim", split.args[2] if len(split.args) > 2 else 0)
        if given % len(source.shape) != axis % len(source.shape):
            return None
        draft = Draft(call)
        draft.apply("alias", torch.Tensor.clone, source, out=call.outputs[0])
        return draft.calls

    tape.each(change)
    tape.drop_unread()


_SPLITTING = frozenset({"split", "chunk", "split_with_sizes", "tensor_split", "unsafe_split", "unsafe_chunk"})


def _unread(value: Value, tape: Tape) -> bool:
    return not tape.readers(value) and value is not tape.trace.output


def _kth(call: OpCall, tape: Tape) -> Sequence[OpCall] | None:
    bound = _bound(call, "input k dim keepdim")
    x, k, dim = bound["input"], bound["k"], bound.get("dim", -1)
    if not _unread(call.outputs[1], tape) or k not in (1, x.shape[dim]):
        return None
    draft, name = Draft(call), "amin" if k == 1 else "amax"
    draft.apply(name, getattr(torch, name), x, dim, bool(bound.get("keepdim", False)), out=call.outputs[0])
    return draft.calls


def _one_of_two(call: OpCall, tape: Tape) -> Sequence[OpCall] | None:
    draft, x = Draft(call), call.inputs[0]
    keeps = bool(call.kwargs.get("keepdim", False))
    if call.name == "aminmax":
        dim = call.kwargs.get("dim")
        over = list(range(len(x.shape))) if dim is None else [dim]
        for name, out in zip(("amin", "amax"), call.outputs, strict=True):
            if not _unread(out, tape):
                draft.apply(name, getattr(torch, name), x, over, keeps, out=out)
        return draft.calls
    dims: Any = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 else None)
    if not _unread(call.outputs[0], tape) or isinstance(dims, bool) or not isinstance(dims, int | tuple | list):
        return None
    draft.apply("mean", torch.mean, x, dims, keeps, out=call.outputs[1])
    return draft.calls


def _end_of_sorted(call: OpCall, sort: OpCall) -> Sequence[OpCall] | None:
    bound = _bound(sort, "input dim descending")
    if "stable" in bound:
        bound = _bound(sort, "input") | sort.kwargs
    x, dim, falling = sort.inputs[0], bound.get("dim", -1), bool(bound.get("descending", False))
    size, axis = x.shape[dim], dim % len(x.shape)
    places = torch.arange(size).reshape(-1, *[1] * (len(x.shape) - 1 - axis)).expand(x.shape)
    try:
        kept = call.run(places)[0]
    except (RuntimeError, TypeError, ValueError, IndexError):
        return None
    found = set(kept.flatten().tolist())
    whole = math.prod(x.shape) // size
    if len(found) != 1 or kept.numel() != whole or (place := found.pop()) not in (0, size - 1):
        return None
    draft = Draft(call)
    name = "amax" if falling == (place == 0) else "amin"
    keeps = len(call.outputs[0].shape) == len(x.shape)
    shape = (*x.shape[:axis], *([1] if keeps else []), *x.shape[axis + 1 :])
    if shape != call.outputs[0].shape:
        return None
    draft.apply(name, getattr(torch, name), x, dim, keeps, out=call.outputs[0])
    return draft.calls


def scale_last(tape: Tape) -> None:
    """Write the sum of scaled entries as the scaled sum, and the smallest of negatives as the largest's negative."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.name == "sum" and len(call.inputs) == 1:
            return _sum_scaled(call, tape)
        return _negated(call, tape) if call.name == "neg" else None

    tape.each(change)
    tape.drop_unread()


def _sum_scaled(call: OpCall, tape: Tape) -> Sequence[OpCall] | None:
    x = call.inputs[0]
    scaled = x.producer
    if scaled is None or not tape.inner(x) or scaled.name not in ("mul", "div") or len(scaled.inputs) != 1:
        return None
    bound = scaled.bound()
    source = scaled.inputs[0]
    factor = bound.get("other") if bound.get("input") is source else bound.get("input")
    if bound.get("rounding_mode") or (scaled.name == "div" and bound.get("input") is not source):
        return None
    if isinstance(factor, Tensor) and factor.numel() and bool((factor == factor.flatten()[0]).all()):
        factor = float(factor.flatten()[0])
    if not isinstance(factor, int | float) or isinstance(factor, bool) or not factor or source.shape != x.shape:
        return None
    number = 1 / factor if scaled.name == "div" else factor
    count = math.prod(x.shape) / math.prod(call.outputs[0].shape)
    whole = call.reading({x: source})
    draft, out = Draft(call), call.outputs[0]
    words = dict(whole.kwargs)
    if abs(number * count - 1) < 1e-6 and len(whole.args) + len(words) > 1:  # a mean, however it is divided
        draft.apply("mean", torch.mean, *whole.args, out=out, **words)
        return draft.calls
    total = draft.apply("sum", torch.sum, *whole.args, shape=out.shape, **words)
    draft.apply("mul", torch.mul, total, number, out=out)
    return draft.calls


def _negated(call: OpCall, tape: Tape) -> Sequence[OpCall] | None:
    """``-min(-x)``, with views between."""
    least = call.inputs[0].producer
    if least is None or least.name not in _OTHER_END or not tape.inner(call.inputs[0]) or len(least.inputs) != 1:
        return None
    if not all(_unread(value, tape) for value in least.outputs[1:]):
        return None
    views: list[OpCall] = []
    value = least.inputs[0]
    while tape.inner(value) and value.producer is not None and value.producer.kind is OpKind.VIEW:
        if len(value.producer.inputs) != 1 or len(value.producer.outputs) != 1:
            return None
        views.insert(0, value.producer)
        value = value.producer.inputs[0]
    negative = value.producer
    if negative is None or negative.name != "neg" or not tape.inner(value):
        return None
    bound = least.bound()
    dims = bound.get("dim", bound.get("axis"))
    if dims is None or isinstance(dims, Tensor | Value):
        return None
    draft, x = Draft(call), negative.inputs[0]
    for view in views:
        moved = view.reading({view.inputs[0]: x})
        x = Value(view.outputs[0].index + 1 / 4096, view.outputs[0].shape, x.dtype, moved, pixels=False)
        moved.outputs = (x,)
        draft.calls.append(moved)
    name = _OTHER_END[least.name]
    draft.apply(name, getattr(torch, name), x, dims, bool(bound.get("keepdim", False)), out=call.outputs[0])
    return draft.calls


_OTHER_END = {"min": "amax", "amin": "amax", "max": "amin", "amax": "amin"}
