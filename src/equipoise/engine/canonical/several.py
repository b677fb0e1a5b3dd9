"""Sums, products and maxima of several signals as one call each, whatever the order they were written in.

``(a + b) + c`` and ``stack([a, b, c]).sum(0)`` are one sum of three; a sum or a maximum of slices of one signal is a
pool of it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from equipoise.engine.canonical.patches import source_of_views
from equipoise.engine.canonical.tape import Draft, Tape, joined, members_between, through_identity
from equipoise.engine.functions import behavior
from equipoise.engine.operations import Operation, OpKind
from equipoise.engine.trace import OpCall, Value

_SUM = Operation("add", OpKind.ADD)
_PRODUCT = Operation("mul", OpKind.MULTIPLY)


def unstack(tape: Tape) -> None:
    """Write the sum, mean or maximum over an axis along which signals were stacked as that of the signals."""
    tape.each(_unstacked)
    tape.drop_unread()


def _unstacked(call: OpCall) -> Sequence[OpCall] | None:
    words = {"sum": "add", "mean": "add", "amax": "maximum", "amin": "minimum", "max": "maximum", "min": "minimum",
             "prod": "mul"}  # fmt: skip
    if call.name not in words or len(call.inputs) != 1 or call.members:
        return None
    stack = call.inputs[0].producer
    if stack is not None and (stack.kind is OpKind.VIEW or (stack.name, call.name) == ("mul", "sum")):
        return (_unreshaped if stack.kind is OpKind.VIEW else _weighed)(call, stack)
    if stack is None or stack.name != "stack" or len(_parts(stack)) < 2:
        return None
    signals = [part for part in _parts(stack) if isinstance(part, Value)]
    constants = [part for part in _parts(stack) if isinstance(part, Tensor)]
    once = len(set(signals)) == len(signals) and len(signals) + len(constants) == len(_parts(stack))
    if not once or not _reduces(call, stack):
        return None
    draft = Draft(call)
    out = call.outputs[0]
    word = words[call.name]
    if constants:
        return _with_constants(draft, word, signals, constants, out)
    parts = signals
    if word == "mul":
        draft.apply(_PRODUCT, _folded(operator.mul), *parts, out=out)
    elif word != "add":
        draft.apply(word, _folded(getattr(torch, word)), *parts, out=out)
    elif call.name == "mean":
        total = draft.apply(_SUM, _folded(operator.add), *parts, shape=out.shape)
        draft.apply("mul", operator.mul, total, 1 / len(parts), out=out)
    else:
        draft.apply(_SUM, _folded(operator.add), *parts, out=out)
    return None if len(call.outputs) > 1 and word == "add" else draft.calls


def _weighed(call: OpCall, product: OpCall) -> Sequence[OpCall] | None:
    """The sum of signals that were stacked and multiplied by another, as the sum of the products."""
    given = [product.bound().get(name) for name in ("input", "other")]
    factors = [one for one in given if isinstance(one, Value)]
    if product.members or len(factors) != 2 or len(product.inputs) != 2:
        return None
    for stacked, other in (factors, factors[::-1]):
        stack, rank = stacked.producer, len(stacked.shape)
        if stack is None or stack.name != "stack" or len(other.shape) != rank or not _reduces(call, stack):
            continue
        parts, axis = _parts(stack), stack.bound().get("dim", 0) % rank
        if len(parts) < 2 or not all(isinstance(part, Value) for part in parts) or len(set(parts)) < len(parts):
            continue
        draft = Draft(call)
        one_by_one = [
            draft.view(other, partial(torch.select, dim=axis, index=place if other.shape[axis] > 1 else 0))
            for place in range(len(parts))
        ]
        products = [draft.apply("mul", operator.mul, *pair) for pair in zip(parts, one_by_one, strict=True)]
        draft.apply(_SUM, _folded(operator.add), *products, out=call.outputs[0])
        return draft.calls
    return None


def _reduces(call: OpCall, stack: OpCall) -> bool:
    """Whether a reduction is over the axis along which signals were stacked, and drops it."""
    bound = call.bound() if call.operation else dict(zip(("input", "dim"), call.args, strict=False)) | call.kwargs
    rank = len(call.inputs[0].shape)
    dims = bound.get("dim", bound.get("axis"))
    if dims is None or isinstance(dims, Tensor) or bound.get("keepdim", False):
        return False
    axes = [dims] if isinstance(dims, int) else list(dims)
    return len(axes) == 1 and axes[0] % rank == stack.bound().get("dim", 0) % rank


def _with_constants(
    draft: Draft, word: str, signals: Sequence[Value], constants: Sequence[Tensor], out: Value
) -> Sequence[OpCall] | None:
    """The largest or smallest of signals and constants that are the same everywhere: of the signals, then clamped."""
    if word not in ("maximum", "minimum") or any(bool((c != c.flatten()[0]).any()) for c in constants):
        return None
    function = getattr(torch, word)
    numbers = torch.stack([constant.flatten()[0] for constant in constants])
    bound = numbers.amax() if word == "maximum" else numbers.amin()
    x = signals[0] if len(signals) == 1 else draft.apply(word, _folded(function), *signals)
    clamp = Operation("clamp", OpKind.ACTIVATION, ("input",), pointwise=True)
    draft.apply(clamp, function, x, bound, out=out)
    return draft.calls


def _unreshaped(call: OpCall, view: OpCall) -> Sequence[OpCall] | None:
    """The sum over an axis into which concatenated channels were split, as the sum of what was concatenated."""
    cat = view.inputs[0].producer if view.inputs else None
    if call.name != "sum" or cat is None or cat.name != "cat" or len(cat.inputs) < 2:
        return None
    parts, dims = _parts(cat), call.bound().get("dim")
    shape = call.inputs[0].shape
    axes = [dims] if isinstance(dims, int) else list(dims or ())
    along = cat.bound().get("dim", cat.bound().get("axis", 0))
    alike = all(isinstance(part, Value) and part.shape == cat.inputs[0].shape for part in parts)
    if along != 1 or axes != [1] or not alike or len(parts) != len(cat.inputs) or call.bound().get("keepdim"):
        return None
    if shape != (cat.inputs[0].shape[0], len(parts), *cat.inputs[0].shape[1:]):
        return None
    draft = Draft(call)
    draft.apply(_SUM, _folded(operator.add), *parts, out=call.outputs[0])
    return draft.calls


def _parts(stack: OpCall) -> Sequence[object]:
    parts = stack.bound().get("tensors", ())
    return parts if isinstance(parts, tuple | list) else ()


def _folded(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    def fold(*tensors: Tensor) -> Tensor:
        result = tensors[0]
        for tensor in tensors[1:]:
            result = function(result, tensor)
        return result

    fold.__name__ = getattr(function, "__name__", "fold")
    return fold


@dataclass(frozen=True)
class _Term:
    """A summand: a signal, times a number."""

    value: Value
    factor: float


def distribute(tape: Tape) -> None:
    """Write ``b + g * (a - b)`` as ``g * a + (1 - g) * b``: a mix of two signals, however it is written."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.kind is not OpKind.ADD or len(call.inputs) != 2:
            return None
        for kept, other in (call.inputs, call.inputs[::-1]):
            found = _weighed_sum(tape, other)
            if found is not None and any(term.value is kept for term in found[1]):
                return _mixed(call, kept, *found)
        return None

    tape.each(change)
    tape.drop_unread()


def _weighed_sum(tape: Tape, value: Value) -> tuple[Any, list[_Term]] | None:
    """A factor and the summands of the inner sum that it scales; ``None`` if ``value`` is anything else."""
    sign = 1.0
    while tape.inner(value) and value.producer is not None:
        maker = value.producer
        number = _number(maker)
        if number is not None and maker.kind is not OpKind.IDENTITY:
            sign, value = sign * number, maker.inputs[0]
            if (inside := _inner_sum(tape, value)) is not None:
                return sign, inside
            continue
        if maker.name != "mul" or maker.members:
            return None
        bound = maker.bound()
        for weighed, factor in ((bound.get("input"), bound.get("other")), (bound.get("other"), bound.get("input"))):
            inside = _inner_sum(tape, weighed) if isinstance(weighed, Value) else None
            if inside is not None and isinstance(factor, Value | Tensor):
                return factor, [_Term(term.value, sign * term.factor) for term in inside]
        return None
    return None


def _inner_sum(tape: Tape, value: Value) -> list[_Term] | None:
    maker = value.producer
    if maker is None or not tape.inner(value) or not _is_sum(maker):
        return None
    terms = [term for source in maker.inputs for term in _terms(tape, source, 1.0, value)]
    return terms if members_between(value, [term.value for term in terms]) and not _constant_part(
        members_between(value, [term.value for term in terms])) else None  # fmt: skip


def _mixed(call: OpCall, kept: Value, factor: Any, terms: Sequence[_Term]) -> Sequence[OpCall]:
    draft = Draft(call)
    own = sum(term.factor for term in terms if term.value is kept)
    # What is left of the signal that stands outside, too: 1 + own * factor.
    if isinstance(factor, Value):
        scaled = factor if own == 1 else draft.apply("mul", operator.mul, factor, own)
        rest: Any = draft.apply("add", operator.add, scaled, 1.0)
    else:
        rest = 1 + own * factor
    parts = [draft.apply("mul", operator.mul, kept, rest)]
    for term in terms:
        if term.value is not kept:
            weighed = draft.apply("mul", operator.mul, term.value, factor)
            parts.append(weighed if term.factor == 1 else draft.apply("mul", operator.mul, weighed, term.factor))
    draft.apply(_SUM, _folded(operator.add), *parts, out=call.outputs[0])
    return draft.calls


def join_sums(tape: Tape) -> None:
    """Write sums of sums as one; a sum of slices of one signal as a pool."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.kind is not OpKind.ADD or len(call.inputs) < 2 or call.members:
            return None
        out = call.outputs[0]
        if any(_is_sum(reader) for reader in tape.readers(out)) and tape.inner(out):
            return None  # the outermost sum writes it
        if tape.inner(out) and _scaled_into_sum(tape, out):
            return None
        terms = [term for value in call.inputs for term in _terms(tape, value, 1.0, out)]
        if _is_pool(terms):
            source = source_of_views(terms[0].value)
            members = members_between(out, [source])
            return [joined(call, members, [source], Operation("sum_of_slices", OpKind.AVERAGE_POOL))]
        terms = _collected(terms)
        if len(terms) == len(call.inputs) and max(abs(term.factor) for term in terms) == 1 and _as_written(call, terms):
            return None
        return _written_sum(call, terms)

    tape.each(change)
    tape.drop_unread()


def _as_written(call: OpCall, terms: Sequence[_Term]) -> bool:
    """Whether the summands are the call's own, scaled as they are."""
    return [term.value for term in terms] == list(call.inputs) and all(term.factor == 1 for term in terms)


def _collected(terms: Sequence[_Term]) -> list[_Term]:
    """Each signal once."""
    factors: dict[Value, float] = {}
    for term in terms:
        factors[term.value] = factors.get(term.value, 0.0) + term.factor
    return [_Term(value, factor) for value, factor in factors.items()]


def _written_sum(call: OpCall, terms: Sequence[_Term]) -> Sequence[OpCall] | None:
    entries = list(dict.fromkeys(term.value for term in terms))
    constant = members_between(call.outputs[0], entries)
    if _constant_part(constant):  # what is left of the sum where the signals are zero
        return [joined(call, constant, entries, _SUM)] if all(term.factor == 1 for term in terms) else None
    draft = Draft(call)
    out = call.outputs[0]
    largest = max((abs(term.factor) for term in terms), default=1.0) or 1.0  # a factor of all stands behind the sum
    scaled = [
        term.value if term.factor == largest else draft.apply("mul", operator.mul, term.value, term.factor / largest)
        for term in terms
        if term.factor
    ]
    if len(scaled) == 1:
        draft.apply("mul", operator.mul, scaled[0], largest, out=out)
    elif largest == 1:
        draft.apply(_SUM, _folded(operator.add), *scaled, out=out)
    else:
        total = draft.apply(_SUM, _folded(operator.add), *scaled, shape=out.shape)
        draft.apply("mul", operator.mul, total, largest, out=out)
    return draft.calls


def _constant_part(members: Sequence[OpCall]) -> bool:
    """Whether a sum has summands that are constants."""
    return any(call.kind is OpKind.ADD and len(call.inputs) < 2 for call in members)


def _is_sum(call: OpCall) -> bool:
    return call.kind is OpKind.ADD and len(call.inputs) >= 2 and not call.members


def _number(call: OpCall) -> float | None:
    """By which number a call scales its one signal; ``None`` if it does anything else."""
    if call.kind is OpKind.IDENTITY and len(call.inputs) == 1 and not call.inputs[0].discrete:
        return 1.0
    if call.members or len(call.inputs) != 1 or call.name not in ("mul", "div", "neg"):
        return None
    if call.name == "neg":
        return -1.0
    bound = call.bound()
    a, b = bound.get("input"), bound.get("other")
    other = b if isinstance(a, Value) else a
    if isinstance(other, Tensor) and other.numel() == 1:
        other = float(other)
    if isinstance(other, bool) or not isinstance(other, int | float) or bound.get("rounding_mode"):
        return None
    if call.name == "div":
        return 1 / other if isinstance(a, Value) and other else None
    return float(other)


def _scaled_into_sum(tape: Tape, value: Value) -> bool:
    """Whether a sum is only scaled by a number and then is a summand of another."""
    readers = tape.readers(value)
    while len(readers) == 1 and tape.inner(value) and _number(readers[0]) is not None:
        value = readers[0].outputs[0]
        readers = tape.readers(value)
        if len(readers) == 1 and tape.inner(value) and _is_sum(readers[0]):
            return True
    return False


def _terms(tape: Tape, value: Value, factor: float, out: Value) -> list[_Term]:
    """The summands that ``value`` is made of, if it is an inner sum; else itself."""
    inside, scale = value, factor
    while tape.inner(inside) and inside.producer is not None:
        maker = inside.producer
        if _is_sum(maker) and maker.outputs[0].shape == out.shape:
            return [term for source in maker.inputs for term in _terms(tape, source, scale, out)]
        number = _number(maker)
        if number is None or (maker.kind is OpKind.IDENTITY and maker.inputs[0].dtype != inside.dtype):
            break
        inside, scale = maker.inputs[0], scale * number
    return [_Term(value, factor)] if inside is value or not _plainly_scaled(inside, value) else [_Term(inside, scale)]


def _plainly_scaled(inside: Value, value: Value) -> bool:
    return inside.shape == value.shape and inside.dtype == value.dtype


def _is_pool(terms: Sequence[_Term]) -> bool:
    """Whether all summands are equally weighted slices of one signal, which share no entry."""
    first = source_of_views(through_identity(terms[0].value))
    if any(term.factor != terms[0].factor for term in terms) or terms[0].factor <= 0:
        return False
    for term in terms:
        if term.value is first or source_of_views(through_identity(term.value)) is not first:
            return False
    if first.producer is None or first.discrete:
        return False
    return math.prod(first.shape) >= len(terms) * math.prod(terms[0].value.shape)


def join_products(tape: Tape) -> None:
    """Write products of products as one."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if not _is_product(call) or len(call.inputs) < 2:
            return None
        out = call.outputs[0]
        if tape.inner(out) and all(_is_product(reader) for reader in tape.readers(out)):
            return None
        factors: list[Value] = []
        for value in call.inputs:
            factors.extend(_factors(tape, value, call))
        if len(factors) == len(call.inputs) or len(set(factors)) != len(factors):
            return None
        return [joined(call, members_between(out, factors), factors, _PRODUCT)]

    tape.each(change)
    tape.drop_unread()


def _is_product(call: OpCall) -> bool:
    return call.kind is OpKind.MULTIPLY and not call.members and call.name in ("mul", "div")


def _factors(tape: Tape, value: Value, call: OpCall) -> list[Value]:
    maker = value.producer
    below = call.name == "div" and call.bound().get("other") is value
    if maker is None or below or not tape.inner(value):
        return [value]
    if not _is_product(maker) or (maker.name == "div" and len(maker.inputs) > 1):
        return [value]
    return [factor for source in maker.inputs for factor in _factors(tape, source, maker)]


def rectify_last(tape: Tape) -> None:
    """Write the maximum of rectified signals as the rectified maximum of the signals."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.name != "maximum" or len(call.inputs) < 2 or call.members:
            return None
        sources = [_rectified(tape, value) for value in call.inputs]
        if not any(sources):
            return None
        parts = [source or value for source, value in zip(sources, call.inputs, strict=True)]
        if len(set(parts)) != len(parts):
            return None
        draft = Draft(call)
        largest = draft.apply("maximum", _folded(torch.maximum), *parts)
        draft.apply("relu", torch.relu, largest, out=call.outputs[0])
        return draft.calls

    tape.each(change)
    tape.drop_unread()


def _rectified(tape: Tape, value: Value) -> Value | None:
    """What a plain ReLU, however it is written, made ``value`` of; ``None`` if nothing like it did."""
    maker = value.producer
    if maker is None or maker.kind is not OpKind.ACTIVATION or len(maker.inputs) != 1 or not tape.inner(value):
        return None
    if maker.inputs[0].shape != value.shape or behavior(maker) != "rectifier":
        return None
    points = torch.linspace(-8, 8, 33, dtype=torch.float64)
    try:
        made = maker.run(points)[0]
    except (RuntimeError, IndexError):
        return None
    return maker.inputs[0] if torch.equal(made, points.clamp(min=0)) else None


def join_maxima(tape: Tape) -> None:
    """Write maxima of maxima as one; a maximum of slices of one signal as a pool."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.kind is not OpKind.MAXIMUM or len(call.inputs) < 2 or call.members:
            return None
        out = call.outputs[0]
        if tape.inner(out) and all(_same_maximum(reader, call) for reader in tape.readers(out)):
            return None
        parts: list[Value] = []
        for value in call.inputs:
            parts.extend(_maxima(tape, value, call))
        if len(parts) == len(call.inputs) or len(set(parts)) != len(parts):
            return None
        operation = Operation(call.name, OpKind.MAXIMUM)
        return [joined(call, members_between(out, parts), parts, operation)]

    tape.each(change)
    tape.drop_unread()


def _same_maximum(call: OpCall, other: OpCall) -> bool:
    return call.kind is OpKind.MAXIMUM and call.name == other.name and not call.members and len(call.inputs) > 1


def _maxima(tape: Tape, value: Value, call: OpCall) -> list[Value]:
    maker = value.producer
    if maker is None or not tape.inner(value) or not _same_maximum(maker, call):
        return [value]
    return [part for source in maker.inputs for part in _maxima(tape, source, call)]
