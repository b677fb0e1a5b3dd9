"""What is known of the sign of a value by what made it; nobody looks at its entries."""

from __future__ import annotations

from equipoise.engine.operations import OpKind
from equipoise.engine.trace import OpCall, Value

_NEVER_NEGATIVE = frozenset({
    "relu", "relu6", "sigmoid", "hardsigmoid", "softmax", "softmin", "abs", "square", "exp", "exp2", "softplus",
})  # fmt: skip
_MAY_INVENT = frozenset({"pad", "setitem", "overwrite", "interpolate", "upsample", "topk"})
_KEEPS_SIGN = frozenset({OpKind.VIEW, OpKind.IDENTITY, OpKind.MAX_POOL, OpKind.AVERAGE_POOL, OpKind.CONCATENATE})


def never_negative(value: Value) -> bool:
    """Whether no entry of ``value`` can be negative: a rectifier made it, and what followed cannot turn its sign.

    ``False`` says only that it is not known.
    """
    call = value.producer
    if call is None or value.discrete:
        return False
    last = call.members[-1] if call.members else call
    if last.name in _NEVER_NEGATIVE:
        return True
    if call.members or last.name in _MAY_INVENT or not (call.kind in _KEEPS_SIGN or _sums_signals(call)):
        return False
    return bool(call.inputs) and all(never_negative(source) for source in call.inputs)


def _sums_signals(call: OpCall) -> bool:
    """Whether a call adds signals up, and nothing else."""
    return call.name == "add" and not call.kwargs and all(isinstance(item, Value) for item in call.args)
