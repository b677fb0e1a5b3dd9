"""Products with a constant, however they are written, as linear layers on the last axis.

``matmul`` from either side, ``addmm``, ``baddbmm``, ``einsum`` and ``tensordot`` say the same: multiply
entries of the signal with weights and add along the axes that both have and the result has not. Here the axes get
labels, as in `torch.einsum`, and the signal's are moved so that a linear layer or a grouped convolution says it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.canonical.patches import axes_of
from equipoise.engine.canonical.tape import Draft
from equipoise.engine.operations import Operation, OpKind
from equipoise.engine.trace import OpCall, Value

_PRODUCT = Operation("matmul", OpKind.MATMUL, ("input", "other"))


@dataclass(frozen=True)
class Axes:
    """The labels of the axes of a signal, of a weight and of their product."""

    signal: tuple[int, ...]
    weight: tuple[int, ...]
    result: tuple[int, ...]


def contract(draft: Draft, x: Value, weight: Tensor, axes: Axes, out: Value) -> None:
    """Write the product of ``x`` with ``weight``, summed over the labels that ``axes.result`` lacks."""
    x, weight = _of_one_dtype(draft, x, weight)
    weight, axes = _without_repetition(weight, axes, x)
    gone = [label for label in axes.weight if label not in axes.signal and label not in axes.result]
    if gone:
        weight = weight.sum([axes.weight.index(label) for label in gone])
        axes = Axes(axes.signal, tuple(label for label in axes.weight if label not in gone), axes.result)
    alone = [label for label in axes.signal if label not in axes.weight and label not in axes.result]
    if alone:
        dims = [axes.signal.index(label) for label in alone]
        x = draft.apply("sum", torch.sum, x, dims)
        axes = Axes(tuple(label for label in axes.signal if label not in alone), axes.weight, axes.result)
    if _of_stack(draft, x, weight, axes, out):
        return
    new = [label for label in axes.weight if label not in axes.signal]
    summed = [label for label in axes.signal if label not in axes.result]
    both = [label for label in axes.signal if label in axes.weight and label in axes.result]
    if not summed and not new:
        _scale(draft, x, weight, axes, out)
    elif not both:
        _linear(draft, x, weight, axes, parts=(summed, new), out=out)
    else:
        _grouped(draft, x, weight, axes, parts=(summed, new, both), out=out)


def _of_one_dtype(draft: Draft, x: Value, weight: Tensor) -> tuple[Value, Tensor]:
    """Both in the dtype that their product has: a layer takes no mask, no whole numbers and no other width.

    Half precision beside another is autocast's, which casts for itself.
    """
    if weight.dtype == x.dtype or weight.dtype in _HALF or x.dtype in _HALF:
        return x, weight
    dtype = torch.promote_types(x.dtype, weight.dtype)
    if x.dtype != dtype:
        x = draft.apply("to", Tensor.to, x, dtype)
        x.dtype = dtype
    return x, weight.to(dtype)


_HALF = frozenset({torch.float16, torch.bfloat16})


def _of_stack(draft: Draft, x: Value, weight: Tensor, axes: Axes, out: Value) -> bool:
    """Weights of signals that were stacked: their weighted sum. Whether ``x`` is such a stack."""
    stack = x.maker
    if stack is None or stack.name != "stack" or len(axes.weight) != 1:
        return False
    parts = stack.bound().get("tensors", ())
    label = axes.signal[stack.bound().get("dim", 0) % len(x.shape)]
    if axes.weight[0] != label or label in axes.result or len(set(parts)) != len(parts):
        return False
    if not all(isinstance(part, Value) for part in parts):
        return False
    own = [other for other in axes.signal if other != label]
    order = [own.index(other) for other in axes.result]
    terms = [
        draft.apply("mul", operator.mul, part if order == sorted(order) else draft.view(part, _permuted(order)), factor)
        for part, factor in zip(parts, weight.unbind(), strict=True)
    ]
    for number, term in enumerate(terms[1:], start=2):
        terms[0] = draft.apply("add", torch.add, terms[0], term, out=out if number == len(terms) else None)
    return True


def _permuted(order: Sequence[int]) -> Callable[[Tensor], Tensor]:
    return lambda t: t.permute(list(order))


def _without_repetition(weight: Tensor, axes: Axes, x: Value) -> tuple[Tensor, Axes]:
    """Drop axes along which the weight is the same everywhere: those it was expanded to, and those of size 1."""
    labels = list(axes.weight)
    for label in axes.weight:
        place = labels.index(label)
        shared = label in axes.signal and label in axes.result
        size = weight.shape[place]
        one = size == 1 and (label not in axes.signal or x.shape[axes.signal.index(label)] != 1)
        repeats = shared and (size == 1 or weight.stride(place) == 0 or _same_along(weight, place))
        if repeats or (one and label in axes.signal):
            weight = weight.select(place, 0)
            labels.pop(place)
    return weight, Axes(axes.signal, tuple(labels), axes.result)


def _same_along(weight: Tensor, axis: int) -> bool:
    return bool((weight == weight.narrow(axis, 0, 1)).all())


def _scale(draft: Draft, x: Value, weight: Tensor, axes: Axes, out: Value) -> None:
    """No axis is summed: each entry of the signal is scaled."""
    order = [axes.signal.index(label) for label in axes.result]
    inside = [label for label in axes.result if label in axes.weight]
    weight = weight.permute([axes.weight.index(label) for label in inside])
    for place, label in enumerate(axes.result):
        if label not in axes.weight:
            weight = weight.unsqueeze(place)
    if order != sorted(order):
        x = draft.view(x, lambda t: t.permute(order))
    draft.apply("mul", operator.mul, x, weight, out=out)


def _linear(
    draft: Draft, x: Value, weight: Tensor, axes: Axes, *, parts: tuple[list[int], list[int]], out: Value
) -> None:
    summed, new = parts
    free = [label for label in axes.signal if label not in summed]
    order = [axes.signal.index(label) for label in (*free, *summed)]
    sizes = [x.shape[axes.signal.index(label)] for label in free]
    widths = [weight.shape[axes.weight.index(label)] for label in new]
    matrix = weight.permute([axes.weight.index(label) for label in (*new, *summed)])
    matrix = matrix.reshape(math.prod(widths), -1)
    last = len(free)
    if order != list(range(len(order))) or len(summed) != 1:
        x = draft.view(x, lambda t: t.permute(order).reshape(*sizes, -1))
    back = [(*free, *new).index(label) for label in axes.result]
    if len(new) == 1 and back == sorted(back):
        draft.apply("linear", F.linear, x, matrix, None, out=out)
        return
    y = draft.apply("linear", F.linear, x, matrix, None, shape=(*sizes, len(matrix)))
    draft.view(y, lambda t: t.reshape(*t.shape[:last], *widths).permute(back), out)


def _grouped(
    draft: Draft, x: Value, weight: Tensor, axes: Axes, *, parts: tuple[list[int], list[int], list[int]], out: Value
) -> None:
    """An axis that both have and the result keeps: each of its entries has weights of its own."""
    summed, new, both = parts
    free = [label for label in axes.signal if label not in summed and label not in both]

    def size(label: int) -> int:
        return x.shape[axes.signal.index(label)]

    images, rest = free[:1], free[1:]
    order = [axes.signal.index(label) for label in (*images, *both, *summed, *rest)]
    groups, width = math.prod(size(label) for label in both), math.prod(size(label) for label in summed)
    positions = math.prod(size(label) for label in rest)
    widths = [weight.shape[axes.weight.index(label)] for label in new]
    kernel = weight.permute([axes.weight.index(label) for label in (*both, *new, *summed)])
    kernel = kernel.reshape(groups * math.prod(widths), width, 1)
    rows = math.prod(size(label) for label in images)
    moved = draft.view(x, lambda t: t.permute(order).reshape(rows, groups * width, positions))
    y = draft.apply("conv1d", F.conv1d, moved, kernel, None, 1, 0, 1, groups, shape=(rows, len(kernel), positions))
    shape = [*map(size, images), *map(size, both), *widths, *map(size, rest)]
    back = [(*images, *both, *new, *rest).index(label) for label in axes.result]
    draft.view(y, lambda t: t.reshape(shape).permute(back), out)


def _product(draft: Draft, a: Any, b: Any, labels: tuple[Sequence[int], ...], out: Value) -> None:
    """Write the product of two operands with these labels: of a signal and a constant, or of two signals."""
    left, right, result = (tuple(part) for part in labels)
    if isinstance(a, Value) and isinstance(b, Value):
        _of_two(draft, _Factor(a, left), _Factor(b, right), result, out)
    elif isinstance(a, Value):
        contract(draft, a, b, Axes(left, right, result), out)
    else:
        contract(draft, b, a, Axes(right, left, result), out)


@dataclass(frozen=True)
class _Factor:
    """A signal and the labels of its axes."""

    value: Value
    labels: tuple[int, ...]

    def plain(self) -> _Factor:
        """The signal before its axes were swapped, and without axes of size 1 that stand for no image."""
        value, labels = self.value, self.labels
        while value.maker is not None and (order := axes_of(value.maker)) is not None:
            value = value.maker.inputs[0]
            labels = tuple(labels[order.index(axis)] for axis in range(len(order)))
        return _Factor(value, labels)

    def thin(self, draft: Draft) -> _Factor:
        """Without axes of size 1, the first excepted."""
        gone = [axis for axis, size in enumerate(self.value.shape) if axis and size == 1]
        if not gone:
            return self
        kept = tuple(label for axis, label in enumerate(self.labels) if axis not in gone)
        return _Factor(draft.view(self.value, lambda t: t.squeeze(gone)), kept)


def _of_two(draft: Draft, one: _Factor, other: _Factor, result: tuple[int, ...], out: Value) -> None:
    """A product of two signals: without a sum a multiplication, with one that weighs entries its sum."""
    if set(one.labels) | set(other.labels) == set(result):
        _entrywise(draft, (one.value, other.value), (one.labels, other.labels), result, out)
        return
    wide = {label for part in (one, other) for label, size in zip(part.labels, part.value.shape, strict=True)
            if size > 1}  # fmt: skip
    outer = wide <= set(result)  # what is summed has size 1
    weighs = [_weighs(a.value, a.labels, b.value, b.labels) for a, b in ((one, other), (other, one))]
    if not outer and not any(weighs):
        labels = (one.labels, other.labels, result)
        draft.apply(replace(_PRODUCT, name=draft.call.name), _summed, one.value, other.value, labels, out=out)
        return
    larger, smaller = (one, other) if weighs[0] or outer else (other, one)
    larger, smaller = (part.plain().thin(draft) for part in (larger, smaller))
    whole = tuple(dict.fromkeys((*larger.labels, *smaller.labels)))
    labelled = [pair for part in (smaller, larger) for pair in zip(part.labels, part.value.shape, strict=True)]
    sizes = {label: size for label, size in labelled if size > 1}
    product = Value(out.index - 1 / 4096, tuple(sizes.get(label, 1) for label in whole), out.dtype, None, pixels=False)
    _entrywise(draft, (larger.value, smaller.value), (larger.labels, smaller.labels), whole, product)
    product.producer = draft.calls[-1]
    left = tuple(label for label in result if label in whole)
    y = out if left == result and not outer else None
    summed = Value(out.index - 1 / 8192, tuple(sizes.get(label, 1) for label in left), out.dtype, None, pixels=False)
    _of_one(draft, product, whole, left, summed if y is None else y)
    if y is None:
        summed.producer = draft.calls[-1]
        shape = out.shape
        draft.view(summed, lambda t: t.reshape(shape), out)


def _summed(a: Tensor, b: Tensor, labels: tuple[tuple[int, ...], ...]) -> Tensor:
    places = {label: place for place, label in enumerate(sorted({label for own in labels for label in own}))}
    left, right, result = ([places[label] for label in own] for own in labels)
    return torch.einsum(a, left, b, right, result)


def _weighs(a: Value, left: Sequence[int], b: Value, right: Sequence[int]) -> bool:
    """Whether every axis of ``b`` is one of ``a``, so that ``b`` can only weigh what ``a`` holds."""
    own = {label for label, size in zip(left, a.shape, strict=True) if size > 1}
    return {label for label, size in zip(right, b.shape, strict=True) if size > 1} <= own


def _entrywise(
    draft: Draft, pair: Sequence[Value], labels: Sequence[tuple[int, ...]], result: tuple[int, ...], out: Value
) -> None:
    """A product of signals without a sum is a multiplication of broadcast axes."""

    def arranged(value: Value, own: tuple[int, ...]) -> Value:
        if own == result:
            return value
        order = [own.index(label) for label in result if label in own]
        blanks = [place for place, label in enumerate(result) if label not in own]

        def move(t: Tensor) -> Tensor:
            t = t.permute(order)
            for place in blanks:
                t = t.unsqueeze(place)
            return t

        return draft.view(value, move)

    if len(set(pair)) == 1 and len(set(labels)) == 1:
        draft.apply("square", torch.square, arranged(pair[0], labels[0]), out=out)
        return
    parts = [arranged(value, own) for value, own in zip(pair, labels, strict=True)]
    for part in parts[1:-1]:
        parts[0] = draft.apply("mul", operator.mul, parts[0], part)
    draft.apply("mul", operator.mul, parts[0], parts[-1], out=out)


def _rank(item: Any) -> int:
    return len(item.shape)


def _matrix_labels(a: Any, b: Any) -> tuple[list[int], list[int], list[int]]:
    """Labels of ``torch.matmul``: the last axis of ``a`` with the last but one of ``b``."""
    batch = max(_rank(a), _rank(b)) - 2
    lead = list(range(10, 10 + max(batch, 0)))
    row, inner, column = 0, 1, 2
    left = [inner] if _rank(a) == 1 else [*lead[max(batch - (_rank(a) - 2), 0) :], row, inner]
    right = [inner] if _rank(b) == 1 else [*lead[max(batch - (_rank(b) - 2), 0) :], inner, column]
    result = [*lead, *([row] if _rank(a) > 1 else []), *([column] if _rank(b) > 1 else [])]
    return left, right, result


def _matmul(call: OpCall, draft: Draft) -> bool | None:
    bound = call.bound()
    a, b = (
        bound.get("input", bound.get("mat1", bound.get("self"))),
        bound.get("other", bound.get("mat2", bound.get("vec"))),
    )
    diagonal = a.maker if isinstance(a, Value) and isinstance(b, Value) else None
    if diagonal is not None and diagonal.name == "diag_embed" and len(diagonal.args) + len(diagonal.kwargs) == 1:
        rows = draft.view(diagonal.inputs[0], lambda t: t.unsqueeze(-1))
        draft.apply("mul", operator.mul, b, rows, out=call.outputs[0])
        return None
    labels = _matrix_labels(a, b)
    if call.name == "inner":
        rank = _rank(b)
        labels = ([*range(200, 200 + _rank(a) - 1), 1], [*range(300, 300 + rank - 1), 1],
                  [*range(200, 200 + _rank(a) - 1), *range(300, 300 + rank - 1)])  # fmt: skip
    _product(draft, a, b, labels, call.outputs[0])
    return None


def _with_sum(call: OpCall, draft: Draft) -> bool | None:
    """``addmm``, ``baddbmm``, ``addmv``: ``beta * input + alpha * (mat1 @ mat2)``."""
    bound = {**call.bound(), **{new: call.kwargs[old] for old, new in _RENAMED.items() if old in call.kwargs}}
    start, a, b = bound["input"], bound["mat1"], bound["mat2"]
    beta, alpha = bound.get("beta", 1), bound.get("alpha", 1)
    if call.name == "addbmm":
        return False
    if isinstance(a, Value) or isinstance(b, Value):
        if isinstance(a, Value) and isinstance(b, Value):
            product: Any = draft.apply(_PRODUCT, torch.matmul, a, b)
        else:
            product = Value(call.outputs[0].index, call.outputs[0].shape, call.outputs[0].dtype, None, pixels=False)
            _product(draft, a, b, _matrix_labels(a, b), product)
            product.producer = draft.calls[-1]
        if alpha != 1:
            product = draft.apply("mul", operator.mul, product, alpha)
    else:
        product = a.matmul(b) * alpha
    if beta != 1:
        start = draft.apply("mul", operator.mul, start, beta) if isinstance(start, Value) else start * beta
    draft.apply("add", torch.add, start, product, out=call.outputs[0])
    return None


_RENAMED = {"batch1": "mat1", "batch2": "mat2", "mat": "mat1", "vec": "mat2"}


def _tensordot(call: OpCall, draft: Draft) -> bool | None:
    bound = {
        **call.bound(),
        **{new: call.kwargs[old] for old, new in {"a": "input", "b": "other"}.items() if old in call.kwargs},
    }
    a, b, dims = bound["input"], bound["other"], bound.get("dims", 2)
    if isinstance(dims, int):
        left, right = list(range(_rank(a) - dims, _rank(a))), list(range(dims))
    else:
        left, right = ([int(d) for d in part] for part in dims)
    names_a = list(range(_rank(a)))
    names_b = list(range(100, 100 + _rank(b)))
    for i, j in zip(left, right, strict=True):
        names_b[j % _rank(b)] = names_a[i % _rank(a)]
    shared = {names_a[i % _rank(a)] for i in left}
    result = [label for label in (*names_a, *names_b) if label not in shared]
    _product(draft, a, b, (names_a, names_b, result), call.outputs[0])
    return None


def _einsum(call: OpCall, draft: Draft) -> bool | None:
    equation, *operands = call.args
    if not isinstance(equation, str):
        return False
    flat = [item for part in operands for item in (part if isinstance(part, tuple | list) else (part,))]
    spelled = _parse(equation, flat)
    if spelled is None:
        return False
    labels, result = spelled
    signals = [i for i, item in enumerate(flat) if isinstance(item, Value)]
    constants = [i for i in range(len(flat)) if i not in signals]
    if len(signals) == 1 and not constants:
        _of_one(draft, flat[0], labels[0], result, call.outputs[0])
        return None
    if len(signals) > 1 and not constants and {label for own in labels for label in own} == set(result):
        _entrywise(draft, flat, labels, result, call.outputs[0])
        return None
    if len(signals) > 2 or (len(signals) == 2 and constants):
        return False
    if len(constants) > 1:  # the weights among themselves first
        needed = set(labels[signals[0]]) | set(result)
        kept = tuple(dict.fromkeys(label for i in constants for label in labels[i] if label in needed))
        used = sorted({label for i in constants for label in labels[i]})
        small = {label: place for place, label in enumerate(used)}
        given = [part for i in constants for part in (flat[i], [small[label] for label in labels[i]])]
        weight = torch.einsum(*given, [small[label] for label in kept])
        flat, labels = [flat[signals[0]], weight], [labels[signals[0]], kept]
    _product(draft, flat[0], flat[1], (labels[0], labels[1], result), call.outputs[0])
    return None


def _of_one(draft: Draft, x: Value, own: tuple[int, ...], result: tuple[int, ...], out: Value) -> None:
    order = [label for label in own if label in result]
    summed = [own.index(label) for label in own if label not in result]
    back = [order.index(label) for label in result]
    if summed and back == sorted(back):
        draft.apply("sum", torch.sum, x, summed, out=out)
        return
    if summed:
        x = draft.apply("sum", torch.sum, x, summed)
    draft.view(x, lambda t: t.permute(back), out)


def _parse(equation: str, operands: Sequence[Any]) -> tuple[list[tuple[int, ...]], tuple[int, ...]] | None:
    """The labels of each operand and of the result, an ellipsis spelled out; ``None`` if a label repeats."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        return None
    most = max((_rank(item) - len(term.replace("...", "")) for term, item in zip(terms, operands, strict=True)
                if "..." in term), default=0)  # fmt: skip
    dots = [1000 + i for i in range(most)]

    def labels(term: str, rank: int | None) -> tuple[int, ...]:
        if "..." not in term:
            return tuple(map(ord, term))
        before, after = term.split("...")
        count = most if rank is None else rank - len(before) - len(after)
        return (*map(ord, before), *dots[most - count :], *map(ord, after))

    each = [labels(term, _rank(item)) for term, item in zip(terms, operands, strict=True)]
    if any(len(set(own)) != len(own) for own in each):
        return None
    if arrow:
        return each, labels(right, None)
    seen = [label for own in each for label in own]
    once = sorted(label for label in set(seen) if seen.count(label) == 1 and label < 1000)
    return each, (*dots, *once)


MATRIX_PRODUCTS: dict[str, Callable[[OpCall, Draft], bool | None]] = {
    "matmul": _matmul, "mm": _matmul, "bmm": _matmul, "mv": _matmul, "inner": _matmul,
    "addmm": _with_sum, "baddbmm": _with_sum, "addmv": _with_sum, "addbmm": _with_sum,
    "tensordot": _tensordot, "einsum": _einsum,
}  # fmt: skip
