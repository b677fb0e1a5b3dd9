"""Which axis of each value counts the images, and values whose images do not come first.

Rules balance and shift per image, so they want rows of ``(n * folded, ...)``, each image's together. Networks put
tokens or frames first and fold axes into each other. What a view does to the images is found by moving their numbers.
A value whose images do not come first gets a twin in which they do; calls are written anew to read and make twins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from equipoise.engine.canonical.affine import AFFINE, affine, compressed
from equipoise.engine.canonical.pointwise import is_affine
from equipoise.engine.canonical.tape import Tape
from equipoise.engine.operations import OpKind
from equipoise.engine.trace import OpCall, Trace, Value


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the images are: entry ``i`` along ``axis`` belongs to image ``(i // after) % n``.

    Attributes:
        axis: Of the value.
        after: How many entries of one image follow each other there.
    """

    axis: int
    after: int


_LOST = None
_REDUCTIONS = frozenset({
    "mean", "sum", "amax", "amin", "max", "min", "var", "std", "norm", "logsumexp", "argmax", "argmin", "var_mean",
    "linalg_vector_norm", "std_mean", "topk",
})  # fmt: skip
_OVER_ONE_AXIS = frozenset({"softmax", "log_softmax", "softmin"})


def images_first(tape: Tape) -> None:
    """Give values whose images do not come first twins in which they do, and note those whose images are mixed."""
    trace, n = tape.trace, tape.n
    trace.mixed.clear()
    if n <= 1:
        return
    layouts: dict[Value, Layout | None] = {trace.input: Layout(0, 1)}
    odd = False
    for call in tape.calls:
        for value, layout in zip(call.outputs, _layouts(call, layouts, trace), strict=True):
            layouts[value] = layout
            if layout is _LOST:  # the first call that mixed them is to blame
                before = [trace.mixed[source] for source in call.inputs if source in trace.mixed]
                trace.mixed[value] = before[0] if before else call
            odd = odd or layout is _LOST or not _standard(value, layout, n)
    if odd:
        _Twins(tape, layouts).write()


def _standard(value: Value, layout: Layout, n: int) -> bool:
    return layout.axis == 0 and layout.after * n == value.shape[0]


def _layouts(call: OpCall, layouts: dict[Value, Layout | None], trace: Trace) -> list[Layout | None]:
    known = [(value, layouts.get(value)) for value in call.inputs]
    if any(layout is _LOST for _, layout in known):
        return [_LOST] * len(call.outputs)
    inputs = [(value, layout) for value, layout in known if layout is not None]
    if call.kind in (OpKind.VIEW, OpKind.CONCATENATE):
        if _keeps_first(call, inputs, trace.n):
            return [Layout(0, out.shape[0] // trace.n) for out in call.outputs]
        return _probed(call, inputs, trace)
    return [_computed(call, inputs, out) for out in call.outputs]


def _keeps_first(call: OpCall, inputs: Sequence[tuple[Value, Layout]], n: int) -> bool:
    """Whether a view surely leaves images that come first where they are."""
    value, out = inputs[0][0], call.outputs[0]
    first = all(_standard(one, layout, n) for one, layout in inputs)
    if not first or not out.shape or out.shape[0] != value.shape[0]:
        return False
    surely = _SURELY_FIRST.get(call.name)
    return surely is not None and surely(call, value, out)


def _numbers(call: OpCall) -> list[Any]:
    return [*call.args[1:], *call.kwargs.values()]


def _by_dim(call: OpCall, value: Value, _out: Value) -> bool:
    place = _DIM_PLACE[call.name]
    given = call.args[place] if len(call.args) > place else 0
    dim = call.kwargs.get("dim", call.kwargs.get("axis", given))
    return isinstance(dim, int) and dim % len(value.shape) != 0


def _permuted(call: OpCall, value: Value, _out: Value) -> bool:
    numbers = _numbers(call)
    order = numbers[0] if numbers and isinstance(numbers[0], tuple | list) else numbers
    return bool(order) and isinstance(order[0], int) and order[0] % len(value.shape) == 0


def _swapped(call: OpCall, value: Value, _out: Value) -> bool:
    numbers = _numbers(call)
    return len(numbers) == 2 and all(isinstance(dim, int) and dim % len(value.shape) != 0 for dim in numbers)


def _padded(call: OpCall, value: Value, _out: Value) -> bool:
    amounts = next(iter(_numbers(call)), ())
    return isinstance(amounts, tuple | list) and len(amounts) < 2 * len(value.shape)


def _unsqueezed(call: OpCall, value: Value, _out: Value) -> bool:
    dim = next(iter(_numbers(call)), None)
    return isinstance(dim, int) and dim % (len(value.shape) + 1) != 0


def _indexed(call: OpCall, value: Value, _out: Value) -> bool:
    given = _numbers(call)[0]
    parts = given if isinstance(given, tuple) and given else (given,)
    if isinstance(parts[0], slice):
        return parts[0] == slice(None)
    return parts[0] is Ellipsis and len(parts) - 1 < len(value.shape)


_DIM_PLACE = {
    "chunk": 2, "split": 2, "narrow": 1, "select": 1, "cat": 1, "unbind": 1, "unsafe_chunk": 2, "tensor_split": 2,
    "flip": 1, "split_with_sizes": 2, "index_select": 1, "gather": 1,
}  # fmt: skip
_SURELY_FIRST: dict[str, Callable[[OpCall, Value, Value], bool]] = {
    **dict.fromkeys(("reshape", "view", "flatten", "unflatten", "reshape_as", "view_as", "ravel"), lambda *_: True),
    **dict.fromkeys(
        ("pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle"), lambda *_: True
    ),
    **dict.fromkeys(_DIM_PLACE, _by_dim),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _swapped),
    **dict.fromkeys(
        ("expand", "expand_as", "broadcast_to"), lambda _call, value, out: len(out.shape) == len(value.shape)
    ),
    "permute": _permuted, "pad": _padded, "unsqueeze": _unsqueezed, "getitem": _indexed,
}  # fmt: skip


def _computed(call: OpCall, inputs: Sequence[tuple[Value, Layout]], out: Value) -> Layout | None:
    value, layout = max(inputs, key=lambda pair: len(pair[0].shape))
    rank = len(value.shape)
    if call.name in _REDUCTIONS:
        return _reduced(call, rank, layout, out)
    if call.name in _OVER_ONE_AXIS:
        dim = call.bound().get("dim")
        return _LOST if not isinstance(dim, int) or dim % rank == layout.axis else layout
    if call.operation is not None and call.operation.pointwise:
        aligned = {Layout(own.axis + len(out.shape) - len(one.shape), own.after) for one, own in inputs}
        return aligned.pop() if len(aligned) == 1 else _LOST
    if call.kind is OpKind.LINEAR:
        last = rank - 1 if call.name == "linear" else 1
        return layout if layout.axis < last else _LOST
    if len(out.shape) > layout.axis and out.shape[layout.axis] == value.shape[layout.axis]:
        return layout
    return _LOST


def _reduced(call: OpCall, rank: int, layout: Layout, out: Value) -> Layout | None:
    bound = call.bound()
    dims = bound.get("dim", bound.get("axis"))
    if call.name == "topk":
        dims = -1 if dims is None else dims
        return layout if dims % rank != layout.axis else _LOST
    if dims is None:  # a norm's order comes before its axes
        place = 2 if call.name in ("norm", "linalg_vector_norm") else 1
        dims = call.args[place] if len(call.args) > place and isinstance(call.args[place], int | tuple | list) else None
    if dims is None or isinstance(dims, Tensor) or dims in ((), []):
        return _LOST
    axes = {dims % rank} if isinstance(dims, int) else {int(dim) % rank for dim in dims}
    if layout.axis in axes:
        return _LOST
    if len(out.shape) == rank:
        return layout
    return Layout(layout.axis - sum(axis < layout.axis for axis in axes), layout.after)


def _numbered(value: Value, layout: Layout, n: int, start: int) -> Tensor:
    """A tensor of the shape of ``value`` with the number of each entry's image, from ``start``."""
    size = value.shape[layout.axis]
    row = (torch.arange(size) // layout.after) % n + start
    shape = [1] * len(value.shape)
    shape[layout.axis] = size
    return row.to(torch.float32).reshape(shape).expand(value.shape)


def _probed(call: OpCall, inputs: Sequence[tuple[Value, Layout]], trace: Trace) -> list[Layout | None]:
    def run(start: int) -> tuple[Tensor, ...]:
        tensors = [
            trace.data(value) if value.discrete else _numbered(value, layout, trace.n, start)
            for value, layout in inputs
        ]
        with torch.no_grad():
            return call.run(*tensors)

    try:
        first, second = run(1), run(1 + 2 * trace.n)
    except (RuntimeError, TypeError, ValueError, IndexError):
        return [_LOST] * len(call.outputs)
    return [_found(a, b, trace.n) for a, b in zip(first, second, strict=True)]


def _found(a: Tensor, b: Tensor, n: int) -> Layout | None:
    """The layout of numbers ``a``; where ``b`` has the same there are constants."""
    moved = (a != b) & ~a.isnan()  # memory that was never written to holds anything
    if not bool(moved.any()):
        return Layout(0, max(a.shape[0] // n, 1)) if a.dim() and a.shape[0] % n == 0 else _LOST
    for axis, size in enumerate(a.shape):
        if size % n or size == 0:
            continue
        others = [dim for dim in range(a.dim()) if dim != axis]
        profile = torch.where(moved, a, 0.0)
        profile = profile.amax(others) if others else profile
        shape = [1] * a.dim()
        shape[axis] = size
        if not bool(((a == profile.reshape(shape)) | ~moved).all()):
            continue
        for after in range(1, size // n + 1):
            if size % (after * n) == 0:
                pattern = (torch.arange(size) // after) % n + 1
                if bool(((profile == pattern) | (profile == 0)).all()):
                    return Layout(axis, after)
    return _LOST


class _Twins:
    """Writes a tape anew on values whose images come first."""

    def __init__(self, tape: Tape, layouts: dict[Value, Layout | None]) -> None:
        self.tape, self.layouts, self.n = tape, layouts, tape.n
        self.twins = tape.trace.twins

    def write(self) -> None:
        self.tape.each(self._change)

    def _odd(self, value: Value) -> Layout | None:
        layout = self.layouts.get(value)
        return None if layout is None or _standard(value, layout, self.n) else layout

    def _change(self, call: OpCall) -> Sequence[OpCall] | None:
        odd_in = [value for value in call.inputs if self._odd(value) is not None]
        odd_out = [value for value in call.outputs if self._odd(value) is not None]
        if not odd_in and not odd_out:
            return None
        outputs = tuple(self._twin(value) for value in call.outputs)
        inputs = {value: self._twin(value) for value in call.inputs}
        if self._row_by_row(call):
            changed = call.reading(inputs)
            changed.outputs = outputs
            return [changed]
        if (reduced := self._reducing(call, inputs, outputs)) is not None:
            return [reduced]
        if (scaled := self._scaled(call, inputs, outputs)) is not None:
            return [scaled]
        function = self._wrapped(call)
        sources = tuple(inputs[value] for value in call.inputs)
        return [OpCall(function, call.operation, sources, {}, sources, call.site, outputs, members=(call,))]

    def _reducing(self, call: OpCall, inputs: dict[Value, Value], outputs: Sequence[Value]) -> OpCall | None:
        """A reduction over axes as one of the twin, whose axes are counted anew."""
        if call.name not in _REDUCTIONS or call.name == "topk" or len(call.inputs) != 1:
            return None
        value = call.inputs[0]
        layout = self._odd(value)
        bound = call.bound()
        dims = bound.get("dim", bound.get("axis"))
        if layout is None or layout.axis == 0 or layout.after * self.n != value.shape[layout.axis] or layout.after != 1:
            return None
        if dims is None or isinstance(dims, Tensor):
            return None
        rank = len(value.shape)
        places = [dims % rank] if isinstance(dims, int) else [int(dim) % rank for dim in dims]
        moved = [place + 1 if place < layout.axis else place for place in places]
        kwargs = {"dim": moved[0] if isinstance(dims, int) else moved}
        if bound.get("keepdim", False):
            kwargs["keepdim"] = True
        source = inputs[value]
        return OpCall(call.function, call.operation, (source,), kwargs, (source,), call.site, tuple(outputs))

    def _scaled(self, call: OpCall, inputs: dict[Value, Value], outputs: Sequence[Value]) -> OpCall | None:
        """A scaling and shift by constants as one of the twin: the constants are moved along."""
        if (
            len(call.inputs) != 1
            or len(outputs) != 1
            or not is_affine(call)
            or call.inputs[0].shape != call.outputs[0].shape
        ):
            return None
        value = call.inputs[0]
        layout = self._odd(value)
        with torch.no_grad():
            zero = torch.zeros(value.shape, dtype=torch.float64)
            shift = call.run(zero)[0]
            scale = call.run(zero + 1)[0] - shift
        if layout is not None:
            scale, shift = _first(scale, layout, self.n), _first(shift, layout, self.n)
        device, dtype = self.tape.trace.logits.device, value.dtype
        constants = [compressed(constant).to(dtype).to(device) for constant in (scale, shift)]
        return OpCall(
            affine,
            AFFINE,
            (inputs[value], *constants),
            {},
            (inputs[value],),
            call.site,
            tuple(outputs),
            members=(call,),
        )

    def _row_by_row(self, call: OpCall) -> bool:
        """Whether the call does the same to the twins: it sees each row, or each entry, alone."""
        if call.kind in (OpKind.VIEW, OpKind.CONCATENATE) or call.name in _REDUCTIONS or call.name in _OVER_ONE_AXIS:
            return False
        layouts = [self.layouts.get(value) for value in (*call.inputs, *call.outputs)]
        rows = all(layout is not None and layout.axis == 0 for layout in layouts)
        if call.kind is OpKind.LINEAR and call.name == "linear":
            return True
        items = (*call.args, *call.kwargs.values())
        if rows:
            allowed = (1, call.inputs[0].shape[1])
            whole = [item for item in items if isinstance(item, Tensor) and item.dim() and item.shape[0] not in allowed]
            return not whole or call.kind in (OpKind.LINEAR, OpKind.NORM)
        pointwise = call.operation is not None and call.operation.pointwise
        alike = all(value.shape == call.outputs[0].shape for value in call.inputs)
        return pointwise and alike and not any(isinstance(item, Tensor) and item.dim() > 0 for item in items)

    def _twin(self, value: Value) -> Value:
        layout = self._odd(value)
        if layout is None:
            return value
        if value not in self.twins:
            shape = _first(torch.empty(value.shape, device="meta"), layout, self.n).shape
            self.twins[value] = Value(value.index, tuple(shape), value.dtype, None, value.pixels)
        return self.twins[value]

    def _wrapped(self, call: OpCall) -> Callable[..., Tensor | tuple[Tensor, ...]]:
        into = [(value.shape, self._odd(value)) for value in call.inputs]
        out = [self._odd(value) for value in call.outputs]
        n = self.n

        def run(*tensors: Tensor) -> Tensor | tuple[Tensor, ...]:
            given = [
                tensor if layout is None else _back(tensor, shape, layout, n)
                for tensor, (shape, layout) in zip(tensors, into, strict=True)
            ]
            made = call.run(*given)
            made = tuple(t if layout is None else _first(t, layout, n) for t, layout in zip(made, out, strict=True))
            return made if len(made) > 1 else made[0]

        run.__name__ = "images_first"
        return run


def _first(tensor: Tensor, layout: Layout, n: int) -> Tensor:
    """``tensor`` with its images first; what was folded with them stays folded if that was the first axis."""
    axis, after = layout.axis, layout.after
    before = tensor.shape[axis] // (n * after)
    size = (*tensor.shape[:axis], before, n, after, *tensor.shape[axis + 1 :])
    split = tensor.reshape(size).movedim(axis + 1, 0)
    if axis == 0:
        return split.flatten(0, 2)
    return split.flatten(axis + 1, axis + 2) if before * after > 1 else split.squeeze(axis + 2).squeeze(axis + 1)


def _back(tensor: Tensor, shape: Sequence[int], layout: Layout, n: int) -> Tensor:
    """The inverse of `_first`, for a tensor whose shape was ``shape``."""
    axis, after = layout.axis, layout.after
    before = shape[axis] // (n * after)
    if axis == 0:
        split = tensor.reshape(n, before, after, *tensor.shape[1:])
    else:
        split = tensor.reshape(n, *shape[:axis], before, after, *shape[axis + 1 :])
    return split.movedim(0, axis + 1).reshape(tuple(shape))
