"""Attention is no layer of a convolutional network: no relevance rule here explains it, so none pretends to."""

from __future__ import annotations

from dataclasses import dataclass

from equipoise.engine import Composite, OpCall, OpKind, Rule, Step
from equipoise.engine.rule import describe
from equipoise.engine.trace import Value, map_nested
from equipoise.errors import UnsupportedOperationError
from equipoise.rules.gradient import Derivative

_PRODUCTS = frozenset({"einsum", "baddbmm", "addbmm", "tensordot", "bilinear"})


def is_attention(call: OpCall) -> bool:
    """Whether a call mixes positions or channels of a signal by weights that are a signal, too.

    A matrix product of two signals, and the calls that hold one. An elementwise product is a gate.
    """
    if "attention" in call.name:
        return True
    if call.kind is OpKind.MATMUL or (call.kind is None and call.name in _PRODUCTS):
        return _signals(call) > 1
    return False


def stopping_at_attention(composite: Composite) -> Composite:
    """The same rules, but for attention, which is refused by name; the plain gradient passes it."""
    gradient = not composite.rules or isinstance(composite.rules.get(OpKind.LINEAR), Derivative)
    return composite if gradient else _Stopping(composite.name, composite.rules, composite.exceptions, inner=composite)


@dataclass(frozen=True, kw_only=True)
class _Stopping(Composite):
    inner: Composite

    def rule_for(self, step: Step) -> Rule:
        if is_attention(step.call):
            raise UnsupportedOperationError(
                f"relevance reached attention, which weighs a signal by itself: {describe(step.call)}; a "
                "class activation map, such as grad_cam, and a gradient method, such as integrated_gradients, pass it"
            )
        return self.inner.rule_for(step)


def _signals(call: OpCall) -> int:
    """How many of the arguments are signals; one that appears twice counts twice."""
    count = 0

    def note(item: object) -> object:
        nonlocal count
        count += isinstance(item, Value)
        return item

    map_nested((call.args, call.kwargs), note)
    return count
