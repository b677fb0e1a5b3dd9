"""Words of torch that say several things at once, said one by one.

``a - b`` is a sum with ``-b``; ``lerp``, ``addcmul`` and ``alpha=`` are products and sums; ``max(a, b)`` is
a maximum of two signals where ``max(a, 1)`` is one over an axis; ``torch.batch_norm`` takes its arguments
in another order than `torch.nn.functional.batch_norm`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.canonical.contraction import MATRIX_PRODUCTS
from equipoise.engine.canonical.tape import Draft
from equipoise.engine.canonical.uncommon import UNCOMMON
from equipoise.engine.operations import OPERATIONS, Operation, OpKind, is_operator
from equipoise.engine.trace import OpCall, Value

Speller = Callable[[OpCall, Draft], "bool | None"]
"""Writes a call anew; returns False to leave it as it is."""


def respell(call: OpCall) -> Sequence[OpCall] | None:
    """The call in plain words; ``None`` if it is plain already."""
    speller = _SPELLERS.get(call.name)
    if speller is None or call.members:
        return None
    draft = Draft(call)
    if speller(call, draft) is False:
        return None
    return draft.calls


def _scaled(draft: Draft, value: Any, factor: Any) -> Any:
    """``value * factor``, where either may be a signal, a constant or a number."""
    if isinstance(factor, int | float) and factor == 1:
        return value
    if isinstance(value, Value) or isinstance(factor, Value):
        return draft.apply("mul", torch.mul, value, factor)
    return value * factor


def _add(call: OpCall, draft: Draft) -> bool | None:
    bound = call.bound()
    a, b, alpha = bound.get("input"), bound.get("other"), bound.get("alpha", 1)
    if call.name == "rsub":
        a, b = b, a
    if not (isinstance(a, Value) and isinstance(b, Value)) or a is b:
        return _out_of_place(call, draft)
    factor = alpha if call.name == "add" else -alpha
    if factor == 1 and not _in_place(call):
        return False
    draft.apply("add", torch.add, a, _scaled(draft, b, factor), out=call.outputs[0])
    return None


def _in_place(call: OpCall) -> bool:
    return getattr(call.function, "__name__", "").startswith("__i") or getattr(call.function, "__name__", "").endswith(
        "_"
    )


def _out_of_place(call: OpCall, draft: Draft) -> bool | None:
    """An operation that writes into the signal, as one that does not: a smaller constant then need not fit it."""
    if not _in_place(call):
        return False
    kwargs = {key: item for key, item in call.kwargs.items() if not isinstance(item, Value)}
    if len(kwargs) != len(call.kwargs):
        return False
    draft.apply(call.name, getattr(torch, call.name), *call.args, out=call.outputs[0], **kwargs)
    return None


def _product(call: OpCall, draft: Draft) -> bool | None:
    a, b = (call.bound().get(name) for name in ("input", "other"))
    if a is b and isinstance(a, Value):
        draft.apply("square", torch.square, a, out=call.outputs[0])
        return None
    return _out_of_place(call, draft)


def _with_channels(call: OpCall, draft: Draft) -> bool | None:
    """A pool of volumes without an axis of channels, which reads the images' axis for it, as one with a channel.

    Four dimensions are laid out as pictures are, with the channels last, which such a pool does not take.
    """
    x = call.bound().get("input", call.args[0] if call.args else None)
    if not call.args or call.args[0] is not x or not isinstance(x, Value) or len(x.shape) != 4:
        return False
    if len(call.outputs) != 1 or len(call.inputs) != 1 or call.before:
        return False
    volumes = draft.view(x, lambda tensor: tensor.unsqueeze(1))
    pooled = draft.apply(call.name, call.function, volumes, *call.args[1:], **call.kwargs)
    draft.view(pooled, lambda tensor: tensor.squeeze(1), out=call.outputs[0])
    return None


def _fixed_choice(call: OpCall, draft: Draft, test: Any, a: Any, b: Any) -> bool | None:
    """A choice by a constant between a signal and a constant scales the signal by 0 and 1."""
    x, other = (a, b) if isinstance(a, Value) else (b, a)
    if isinstance(test, Value) or isinstance(other, Value) or not isinstance(x, Value) or x.discrete:
        return False
    keep = test if x is a else ~test
    whole = call.outputs[0]
    if x.shape == whole.shape and x.dtype == whole.dtype and _nothing(other):
        draft.apply("mul", torch.mul, x, keep.to(x.dtype), out=whole)
        return None
    scaled = draft.apply("mul", torch.mul, x, keep.to(x.dtype), out=None)
    rest = torch.where(keep, torch.zeros((), dtype=x.dtype, device=keep.device), other)
    draft.apply("add", torch.add, scaled, rest.to(x.dtype), out=call.outputs[0])
    return None


def _nothing(constant: Any) -> bool:
    return not bool(constant.any()) if isinstance(constant, Tensor) else constant == 0


def _masked_fill(call: OpCall, draft: Draft) -> bool | None:
    bound = call.bound()
    return _fixed_choice(call, draft, bound["mask"], bound["value"], bound["input"])


def _assigned(call: OpCall, draft: Draft) -> bool | None:
    """``x[mask] = number`` and ``x[mask] = y[mask]`` choose entry by entry."""
    x, mask, value = call.args[:3]
    if not isinstance(x, Value) or getattr(mask, "dtype", None) is not torch.bool or tuple(mask.shape) != x.shape:
        return False
    if isinstance(value, Value):
        picked, whole = value.maker, isinstance(mask, Value)
        if not whole or picked is None or picked.name != "getitem" or not _same_mask(picked.args[1], mask):
            return False
        y = picked.args[0]
        return isinstance(y, Value) and y.shape == x.shape and _choice(draft, mask, y, x, call.outputs[0])
    if isinstance(value, Tensor) and value.dim():
        return False
    filled = Operation("masked_fill", OpKind.SELECT, ("input", "mask", "value"), pointwise=True)
    draft.apply(filled, torch.masked_fill, x, mask, value, out=call.outputs[0])
    return None


def _same_mask(a: Any, b: Value) -> bool:
    """Whether two comparisons are the same."""
    one, other = a.maker if isinstance(a, Value) else None, b.maker
    if a is b:
        return True
    if one is None or other is None or one.kind is not OpKind.MASK or one.name != other.name:
        return False
    return one.inputs == other.inputs and len(one.args) == len(other.args) and all(
        i is j for i, j in zip(one.args, other.args, strict=True))  # fmt: skip


def _padded(call: OpCall, draft: Draft) -> bool | None:
    x, amounts, value = (*call.args, 0.0)[:3]
    draft.apply("pad", F.pad, x, tuple(amounts), "constant", value, out=call.outputs[0])
    return None


def _normalized(call: OpCall, draft: Draft) -> bool | None:
    """An instance norm on running statistics is a batch norm."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps")
    if call.function is not F.instance_norm:
        return False
    bound = dict(zip(names, call.args, strict=False)) | call.kwargs
    if bound.get("use_input_stats", True):
        return False
    parts = [bound.get(name) for name in names[1:5]]
    draft.apply("batch_norm", F.batch_norm, bound["input"], *parts, False, 0.0, bound.get("eps", 1e-5),
                out=call.outputs[0])  # fmt: skip
    return None


def _lerp(call: OpCall, draft: Draft) -> bool | None:
    bound = call.bound()
    a, b, w = bound["input"], bound["end"], bound["weight"]
    if len(call.inputs) == 1:
        return False
    rest = draft.apply("rsub", torch.rsub, w, 1) if isinstance(w, Value) else 1 - w
    draft.apply("add", torch.add, _scaled(draft, a, rest), _scaled(draft, b, w), out=call.outputs[0])
    return None


def _addcmul(call: OpCall, draft: Draft) -> bool | None:
    bound = call.bound()
    if len(call.inputs) == 1 and not (isinstance(bound["tensor1"], Value) and isinstance(bound["tensor2"], Value)):
        return False
    t, u = bound["tensor1"], bound["tensor2"]
    if isinstance(t, Value) or isinstance(u, Value):
        name, function = ("div", torch.div) if call.name == "addcdiv" else ("mul", torch.mul)
        product: Any = draft.apply(name, function, t, u)
    else:
        product = t / u if call.name == "addcdiv" else t * u
    product = _scaled(draft, product, bound.get("value", 1))
    draft.apply("add", torch.add, bound["input"], product, out=call.outputs[0])
    return None


def _extreme(call: OpCall, draft: Draft) -> bool | None:
    bound = call.bound()
    other = bound.get("other", bound.get("dim"))
    if not isinstance(other, Value | Tensor):
        return False
    name = "maximum" if call.name == "max" else "minimum"
    if not (isinstance(bound["input"], Value) and isinstance(other, Value)):
        x, constant = (bound["input"], other) if isinstance(bound["input"], Value) else (other, bound["input"])
        draft.apply(_CLAMP, getattr(torch, name), x, constant, out=call.outputs[0])
        return None
    draft.apply(name, getattr(torch, name), bound["input"], other, out=call.outputs[0])
    return None


def _where(call: OpCall, draft: Draft) -> bool | None:
    """A choice of the larger of two signals by their comparison is their maximum."""
    bound = call.bound()
    if call.function is torch.Tensor.where:  # the method names the first choice first
        bound = dict(zip(("input", "condition", "other"), call.args, strict=False)) | call.kwargs
    test = bound["condition"]
    if not isinstance(test, Value):
        by_channel = _choice_of_channels(call, draft, test, (bound["input"], bound["other"]))
        return None if by_channel else _fixed_choice(call, draft, test, bound["input"], bound["other"])
    return _choice(draft, test, bound.get("input", bound.get("self")), bound.get("other"), call.outputs[0])


def _choice_of_channels(call: OpCall, draft: Draft, test: Any, pair: tuple[Any, Any]) -> list[OpCall] | None:
    """A choice between two signals, fixed for each channel, as the concatenation that it is."""
    shape = call.outputs[0].shape
    if not all(isinstance(part, Value) and part.shape == shape for part in pair) or not isinstance(test, Tensor):
        return None
    size = (*[1] * (len(shape) - test.dim()), *test.shape)
    if size != (1, *shape[1:2], *[1] * (len(shape) - 2)):
        return None
    runs: list[tuple[bool, int]] = []
    for chosen in test.flatten().tolist():
        if runs and runs[-1][0] == chosen:
            runs[-1] = (chosen, runs[-1][1] + 1)
        else:
            runs.append((chosen, 1))
    if not 1 < len(runs) <= _MOST_RUNS:
        return None
    parts, first = [], 0
    for chosen, count in runs:
        index = (slice(None), slice(first, first + count))
        parts.append(draft.apply("getitem", operator.getitem, pair[0] if chosen else pair[1], index))
        first += count
    draft.apply("cat", torch.cat, parts, 1, out=call.outputs[0])
    return draft.calls


_MOST_RUNS = 16


def _choice(draft: Draft, test: Value, a: Any, b: Any, out: Value) -> bool | None:
    """``where(test, a, b)``, if that is the larger or the smaller of the two."""
    maker = test.maker
    if maker is None or maker.name not in _LARGER_FIRST or len(maker.args) < 2:
        return False
    if not (isinstance(a, Value) and isinstance(b, Value)):
        return False
    pair = [_before_copies(item) for item in maker.args[:2]]
    if {id(_before_copies(a)), id(_before_copies(b))} != {id(item) for item in pair}:
        return False
    larger = _LARGER_FIRST[maker.name] == (_before_copies(a) is pair[0])
    name = "maximum" if larger else "minimum"
    draft.apply(name, getattr(torch, name), a, b, out=out)
    return None


def _before_copies(item: Any) -> Any:
    while isinstance(item, Value) and item.maker is not None and item.maker.name in ("clone", "contiguous", "alias"):
        item = item.maker.inputs[0]
    return item


_LARGER_FIRST = {"gt": True, "ge": True, "lt": False, "le": False}


def _larger(call: OpCall, draft: Draft) -> bool | None:
    """The larger of a signal and a constant is a function of the signal."""
    if len(call.inputs) > 1:
        return False
    function = torch.maximum if call.name == "maximum" else torch.minimum
    bound = call.bound()
    x = call.inputs[0]
    constant = bound["other"] if bound["input"] is x else bound["input"]
    draft.apply(_CLAMP, function, x, constant, out=call.outputs[0])
    return None


_CLAMP = Operation("clamp", OpKind.ACTIVATION, ("input",), pointwise=True)


def _quotient(call: OpCall, draft: Draft) -> bool | None:
    """A constant over a signal is a function of the signal."""
    bound = call.bound()
    if isinstance(bound["input"], Value) or bound.get("rounding_mode"):
        return False if bound.get("rounding_mode") else _out_of_place(call, draft)
    draft.apply("rdiv", _over, bound["other"], bound["input"], out=call.outputs[0])
    return None


def _over(x: Tensor, c: Any) -> Tensor:
    quotient: Tensor = c / x
    return quotient


def _batch_norm(call: OpCall, draft: Draft) -> bool | None:
    if call.function is not torch.batch_norm and not is_operator(call.function):
        return False
    x, weight, bias, mean, var, training, _, eps = (*call.args, *call.kwargs.values())[:8]
    draft.apply("batch_norm", F.batch_norm, x, mean, var, weight, bias, training, 0.0, eps, out=call.outputs[0])
    return None


def _convolution(call: OpCall, draft: Draft) -> bool | None:
    x, weight, bias, stride, padding, dilation, transposed, extra, groups = call.args
    d = len(stride)
    if transposed:
        name, args = f"conv_transpose{d}d", [stride, padding, extra, groups, dilation]
    else:
        name, args = f"conv{d}d", [stride, padding, dilation, groups]
    draft.apply(name, getattr(F, name), x, weight, bias, *args, out=call.outputs[0])
    return None


def _glu(call: OpCall, draft: Draft) -> bool | None:
    x = call.inputs[0]
    dim = dict(zip(("input", "dim"), call.args, strict=False)).get("dim", call.kwargs.get("dim", -1))
    half = x.shape[dim] // 2
    signal = draft.view(x, lambda t: t.narrow(dim, 0, half))
    gate = draft.apply("sigmoid", torch.sigmoid, draft.view(x, lambda t: t.narrow(dim, half, half)))
    draft.apply("mul", operator.mul, signal, gate, out=call.outputs[0])
    return None


_SPELLERS: dict[str, Speller] = {
    "add": _add, "sub": _add, "rsub": _add, "lerp": _lerp, "addcmul": _addcmul, "addcdiv": _addcmul,
    "max": _extreme, "min": _extreme, "where": _where, "maximum": _larger,
    "minimum": _larger, "div": _quotient, "batch_norm": _batch_norm,
    "convolution": _convolution, "glu": _glu, "mul": _product, "masked_fill": _masked_fill,
    "instance_norm": _normalized, "setitem": _assigned, "constant_pad_nd": _padded,
    "max_pool3d": _with_channels, "avg_pool3d": _with_channels, "adaptive_max_pool3d": _with_channels,
    "adaptive_avg_pool3d": _with_channels,
    **MATRIX_PRODUCTS, **UNCOMMON,
}  # fmt: skip
assert set(_SPELLERS) - {"convolution", "glu", "constant_pad_nd", *UNCOMMON} <= set(OPERATIONS.names())  # noqa: S101  # a misspelled word
