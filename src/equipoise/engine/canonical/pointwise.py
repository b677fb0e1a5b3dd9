"""Functions of one signal, entry by entry, as one call each, however many calls wrote them.

``x * sigmoid(x)``, ``where(x > 0, x, 0)`` and ``0.5 * (x + |x|)`` fork at ``x`` and join again; between
fork and join every entry depends on the same entry of ``x`` alone. The tape gets one call from fork to join: an
activation. Where the way also leads over statistics of ``x``, such as a mean or a norm, it is a normalization.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from equipoise.engine.canonical.tape import Tape, joined, members_between
from equipoise.engine.functions import behavior, rising
from equipoise.engine.operations import OPERATIONS, Operation, OpKind
from equipoise.engine.trace import OpCall, Value, region

_LINEAR_WORDS = frozenset({"add", "sub", "rsub", "neg", "mul", "div", "lerp", "addcmul", "addcdiv", "batch_norm"})
_STATISTICS = frozenset({
    "mean", "sum", "amax", "amin", "var", "std", "var_mean", "std_mean", "norm", "linalg_vector_norm", "linalg_norm",
    "logsumexp", "softmax", "log_softmax", "layer_norm", "instance_norm", "group_norm", "normalize", "vector_norm",
    "max", "min",
})  # fmt: skip
_ARRANGING = frozenset({
    "unsqueeze", "squeeze", "view", "reshape", "expand", "expand_as", "getitem", "broadcast_to", "unflatten", "flatten",
})  # fmt: skip


def expand_last(tape: Tape) -> None:
    """Apply functions of one signal before it is expanded, not after: the same entries, once each."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.operation is None or not call.operation.pointwise or len(call.inputs) != 1 or call.members:
            return None
        signal, out = call.inputs[0], call.outputs[0]
        wide = signal.producer
        if wide is None or wide.name not in _EXPANDING or len(wide.inputs) != 1 or not tape.inner(signal):
            return None
        if signal.shape != out.shape or out.discrete or not _numbers_only(call) or call.kind is OpKind.IDENTITY:
            return None
        source = wide.inputs[0]
        small = replace(out, shape=source.shape, index=out.index - 1 / 4096, tensor=None, maker=None)
        first = call.reading({signal: source})
        first.outputs = (small,)
        last = wide.reading({source: small})
        last.outputs = (out,)
        return [first, last]

    tape.each(change)
    tape.drop_unread()


def slice_first(tape: Tape) -> None:
    """Apply functions of one signal to the entries that are then chosen of it, not to all."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if call.name not in _CHOOSING or len(call.inputs) != 1 or len(call.outputs) != 1 or call.members:
            return None
        signal, out = call.inputs[0], call.outputs[0]
        maker = signal.producer
        if maker is None or not tape.inner(signal) or not _by_numbers(maker) or maker.kind is OpKind.IDENTITY:
            return None
        if is_affine(maker) or math.prod(out.shape) >= math.prod(signal.shape):
            return None
        source = maker.inputs[0]
        few = replace(out, index=out.index - 1 / 4096, dtype=source.dtype, tensor=None, maker=None)
        first, last = call.reading({signal: source}), maker.reading({source: few})
        first.outputs, last.outputs = (few,), (out,)
        few.producer = first
        return [first, last]

    tape.each(change)
    tape.drop_unread()


_CHOOSING = frozenset({"getitem", "narrow", "slice", "index_select"})
_EXPANDING = frozenset({"expand", "broadcast_to", "expand_as"})


def join_pointwise(tape: Tape) -> None:
    """Write one call from fork to join, wherever a signal forks and joins entry by entry."""
    alike: dict[Value, tuple[Value, ...]] = {}  # entry by entry the same place, nearest first
    local: dict[Value, tuple[Value, ...]] = {}  # the same, statistics of the signal included
    barriers = tape.trace.barriers

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if len(call.outputs) != 1:
            for value in call.outputs:
                alike[value] = local[value] = (value,)
            _note_statistics(call, local)
            return None
        out = call.outputs[0]
        alike[out] = (out, *_common(call, alike, barriers)) if _entry_by_entry(call) else (out,)
        local[out] = (out, *_common(call, local, barriers)) if _stays_local(call) else (out,)
        if len(call.inputs) < 2 or not call.operation or not call.operation.pointwise or out.discrete:
            return None
        if len(alike[out]) > 1:
            return [_activation(call, alike[out][1])]
        for source in local[out][1:]:
            if source.shape == out.shape and not source.discrete:
                return [_normalization(call, source)]
        return None

    tape.each(change)
    tape.drop_unread()


def _common(call: OpCall, chains: dict[Value, tuple[Value, ...]], barriers: set[Value]) -> tuple[Value, ...]:
    """The values that all inputs of a call are functions of, nearest first."""
    own = [(value,) if value in barriers else chains.get(value, (value,)) for value in call.inputs]
    return tuple(value for value in own[0] if all(value in other for other in own[1:]))


def _entry_by_entry(call: OpCall) -> bool:
    pointwise = call.operation is not None and call.operation.pointwise
    return pointwise and all(value.shape == call.outputs[0].shape for value in call.inputs)


def _stays_local(call: OpCall) -> bool:
    if call.operation is not None and call.operation.pointwise:
        return True
    name = call.name
    return name in _STATISTICS or (name in _ARRANGING and len(call.inputs) == 1)


def _note_statistics(call: OpCall, local: dict[Value, tuple[Value, ...]]) -> None:
    if call.name in _STATISTICS and len(call.inputs) == 1:
        for value in call.outputs:
            local[value] = (value, *local.get(call.inputs[0], (call.inputs[0],)))


def is_affine(call: OpCall) -> bool:
    """Whether a call of one signal, entry by entry, is affine in it: scaled and shifted by constants."""
    if call.kind is OpKind.IDENTITY:
        return not call.inputs[0].discrete
    if call.members:
        return call.operation is not None and call.operation.name == "affine"
    if call.name not in _LINEAR_WORDS or len(call.inputs) != 1:
        return False
    signal = call.inputs[0]
    uses = sum(item is signal for item in (*call.args, *call.kwargs.values()))
    if call.name == "div":
        return call.bound().get("input") is signal and uses == 1 and not call.bound().get("rounding_mode")
    return uses == 1 or call.name in ("add", "sub", "rsub")


def _all_affine(members: Sequence[OpCall]) -> bool:
    for call in members:
        if len(call.inputs) == 1 and is_affine(call):
            continue
        if call.kind is OpKind.ADD and call.name in ("add", "sub", "rsub"):
            continue
        return False
    return True


def _activation(call: OpCall, source: Value) -> OpCall:
    members = members_between(call.outputs[0], [source])
    affine = _all_affine(members)
    operation = Operation(
        "affine" if affine else _name(members),
        OpKind.MULTIPLY if affine else OpKind.ACTIVATION,
        ("input",),
        pointwise=True,
    )
    return joined(call, members, [source], operation)


def _normalization(call: OpCall, source: Value) -> OpCall:
    members = members_between(call.outputs[0], [source])
    if "exp" in {member.name for member in members} and (dim := _softmax_axis(members, source, call.outputs[0])):
        softmax, dims = OPERATIONS["softmax"], {"dim": dim}
        return OpCall(torch.softmax, softmax, (source,), dims, (source,), call.site, call.outputs)
    return joined(call, members, [source], Operation(_name(members), OpKind.NORM, ("input",)))


def _softmax_axis(members: Sequence[OpCall], source: Value, out: Value) -> int | None:
    """The axis of the softmax that calls are; ``None`` if they are none."""
    x = torch.linspace(-2, 2, math.prod(source.shape), dtype=torch.float64).sin().reshape(source.shape)
    try:
        with torch.no_grad():
            made = region(tuple(members), (source,), out)(x)
    except (RuntimeError, TypeError, ValueError):
        return None
    axes = range(1, x.dim())
    return next((axis for axis in axes if torch.allclose(made, x.softmax(axis), rtol=1e-9, atol=0)), None)


def _name(members: Sequence[OpCall]) -> str:
    return "+".join(dict.fromkeys(member.name for member in members))


def join_chains(tape: Tape) -> None:
    """Write one call for several activations and scalings by numbers that follow each other."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        if not _by_numbers(call):
            return None
        chain = [call]
        while True:
            source = chain[0].inputs[0]
            maker = source.producer
            if maker is None or not tape.inner(source) or not _by_numbers(maker):
                break
            chain.insert(0, maker)
        follower = tape.readers(call.outputs[0])
        following = (
            follower[0] if len(follower) == 1 and tape.inner(call.outputs[0]) and _by_numbers(follower[0]) else None
        )
        written = _one(call, chain)
        if following is not None and (not is_affine(following) or _acts_on(tape, following) or rising(following)):
            return None  # the last of the chain writes it
        if following is not None and written is not None:
            # What turns the sign stays behind the function, unless only with it the function is a rectifier.
            return None if _turned_into_rectifier(written, following) else [written]
        if written is not None and is_affine(call) and not rising(call) and behavior(written) != "rectifier":
            return None
        return None if written is None else [written]

    tape.each(change)
    tape.drop_unread()


def name_functions(tape: Tape) -> None:
    """Tell gates from activations by what they do: a gate is bounded, and no clipped ReLU."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        operation = call.operation
        if operation is None or not operation.pointwise or call.kind not in (OpKind.ACTIVATION, OpKind.GATE):
            return None
        if len(call.inputs) != 1 or call.inputs[0].shape != call.outputs[0].shape or call.inputs[0].discrete:
            return None
        kind = OpKind.GATE if behavior(call) == "bounded" else OpKind.ACTIVATION
        return None if kind is call.kind else [replace(call, operation=replace(operation, kind=kind))]

    tape.each(change)


def _one(call: OpCall, chain: Sequence[OpCall]) -> OpCall | None:
    """A chain as one call; ``None`` if it is one already, or no function but a scaling."""
    acting = [part for part in chain if part.kind is not OpKind.IDENTITY]
    if not acting or all(is_affine(part) for part in acting):
        return None
    if len(acting) == 1:
        return call
    operation = Operation(_name(acting), OpKind.ACTIVATION, ("input",), pointwise=True)
    return joined(call, chain, [chain[0].inputs[0]], operation)


def _turned_into_rectifier(call: OpCall, following: OpCall) -> bool:
    """Whether a function is no rectifier, but with the scaling that follows it is one."""
    if behavior(call) == "rectifier":
        return False
    members = [*(call.members or (call,)), following]
    operation = Operation("turned", OpKind.ACTIVATION, ("input",), pointwise=True)
    return behavior(joined(following, members, [call.inputs[0]], operation)) == "rectifier"


def _acts_on(tape: Tape, call: OpCall) -> bool:
    """Whether an activation follows in the chain that ``call`` is part of."""
    while True:
        if not is_affine(call):
            return True
        following = tape.readers(call.outputs[0])
        if len(following) != 1 or not tape.inner(call.outputs[0]) or not _by_numbers(following[0]):
            return False
        call = following[0]


def _by_numbers(call: OpCall) -> bool:
    """Whether a call is a function of one signal, entry by entry, that is the same for each entry."""
    if call.operation is None or not call.operation.pointwise or len(call.inputs) != 1 or len(call.outputs) != 1:
        return False
    signal, out = call.inputs[0], call.outputs[0]
    if signal.shape != out.shape or signal.discrete or out.discrete or not out.dtype.is_floating_point:
        return False
    if call.members:
        return all(_numbers_only(part) for part in call.members)
    return _numbers_only(call)


def _numbers_only(call: OpCall) -> bool:
    items = (*call.args, *call.kwargs.values())
    return call.name != "batch_norm" and not any(is_weight(item, call.inputs[0]) for item in items)


def is_weight(item: object, signal: Value) -> bool:
    """Whether a constant has an entry for each channel; one number for all entries is none, whatever its shape."""
    if not isinstance(item, torch.Tensor):
        return False
    of_one_channel = signal.shape[1:2] == (1,) and item.dim() >= max(len(signal.shape) - 1, 1)
    return item.numel() > 1 or of_one_channel
