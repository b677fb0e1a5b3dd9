"""Pools of pools of one signal as one pool."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from equipoise.engine.canonical.tape import Draft, Tape, joined
from equipoise.engine.operations import Operation, OpKind, per_dimension
from equipoise.engine.trace import OpCall, Value


def join_pools(tape: Tape) -> None:
    """Write averages of averages, and maxima of maxima, of one signal as one pool."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        kind = _pool_kind(call)
        if kind is None:
            return None
        following = tape.readers(call.outputs[0])
        if len(following) == 1 and tape.inner(call.outputs[0]) and _leads_to_pool(tape, call.outputs[0], kind):
            return None  # the last of them writes it
        chain, value = [call], call.inputs[0]
        pending: list[OpCall] = []
        while tape.inner(value) and value.producer is not None:
            maker = value.producer
            if _pool_kind(maker) == kind:
                chain = [maker, *reversed(pending), *chain]
                pending = []
            elif maker.kind in (OpKind.VIEW, OpKind.IDENTITY) and len(maker.inputs) == len(maker.outputs) == 1:
                if kind == "max" and _resizes(maker):
                    break
                pending.append(maker)
            else:
                break
            value = maker.inputs[0]
        if any(_resizes(maker) for maker in pending):  # zeros around the map are no entries of it
            chain = [*reversed(pending), *chain]
        if len(chain) == 1:
            return None
        operation = Operation("pool_of_pools", OpKind.AVERAGE_POOL if kind == "mean" else OpKind.MAX_POOL)
        return [joined(call, chain, [chain[0].inputs[0]], operation)]

    tape.each(change)
    tape.drop_unread()


def join_windows(tape: Tape) -> None:
    """Write a maximum pool of a maximum pool as the one with the larger windows."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        outer = window_pool(call)
        source = call.inputs[0] if call.inputs else None
        maker = source.producer if source is not None and tape.inner(source) else None
        inner = window_pool(maker) if maker is not None else None
        if outer is None or inner is None or maker is None or maker.name != call.name:
            return None
        kernel, stride, padding = (
            tuple(k + (m - 1) * s for k, m, s in zip(inner[0], outer[0], inner[1], strict=True)),
            tuple(s * t for s, t in zip(inner[1], outer[1], strict=True)),
            tuple(p + q * s for p, q, s in zip(inner[2], outer[2], inner[1], strict=True)),
        )
        if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
            return None
        # Windows that hang over the inner pool's edge would see more of the map.
        sizes = [i + 2 * p - k for i, p, k in zip(maker.inputs[0].shape[-len(kernel) :], padding, kernel, strict=True)]
        made = tuple(size // s + 1 for size, s in zip(sizes, stride, strict=True))
        if made != call.outputs[0].shape[-len(kernel) :] or any(size < 0 for size in sizes):
            return None
        draft = Draft(call)
        draft.apply(call.name, call.function, maker.inputs[0], kernel, stride, padding, out=call.outputs[0])
        return draft.calls

    tape.each(change)
    tape.drop_unread()


def window_pool(call: OpCall) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]] | None:
    """Kernel, stride and padding of a plain maximum pool; ``None`` if it has indices, dilation or a ceiling."""
    bound = dict(zip(_POOL_WORDS, call.args, strict=False)) | call.kwargs
    if not call.name.startswith("max_pool") or "kernel_size" not in bound or call.before or len(call.outputs) != 1:
        return None
    d = int(call.name[len("max_pool")])
    numbers = partial(per_dimension, bound, d)
    kernel = numbers("kernel_size", 1)
    if set(numbers("dilation", 1)) != {1} or bound.get("ceil_mode", False) or bound.get("return_indices", False):
        return None
    return kernel, numbers("stride", kernel), numbers("padding", 0)


_POOL_WORDS = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")


def _resizes(call: OpCall) -> bool:
    """Whether a view has more or fewer entries than what it shows."""
    return math.prod(call.outputs[0].shape) != math.prod(call.inputs[0].shape)


def _pool_kind(call: OpCall) -> str | None:
    if call.members or len(call.inputs) != 1 or call.before:
        return None
    if call.kind is OpKind.AVERAGE_POOL and call.name not in ("interpolate", "upsample", "resample"):
        return "mean"
    if call.kind is not OpKind.MAX_POOL:
        return None
    bound = call.bound()
    over_axes = call.name in ("amax", "max") and bound.get("dim", bound.get("axis")) is not None
    return "max" if over_axes or is_tiled(call) else None


def is_tiled(call: OpCall) -> bool:
    """Whether a maximum pool's windows lie side by side and cover the map."""
    found = window_pool(call)
    if found is None:
        return False
    kernel, stride, padding = found
    d = len(kernel)
    sizes = zip(call.inputs[0].shape[-d:], call.outputs[0].shape[-d:], kernel, strict=True)
    return kernel == stride and not any(padding) and all(i == o * k for i, o, k in sizes)


def _leads_to_pool(tape: Tape, value: Value, kind: str) -> bool:
    while tape.inner(value):
        (reader,) = tape.readers(value)
        if _pool_kind(reader) == kind:
            return True
        if reader.kind not in (OpKind.VIEW, OpKind.IDENTITY) or len(reader.inputs) != 1 or len(reader.outputs) != 1:
            return False
        value = reader.outputs[0]
    return False
