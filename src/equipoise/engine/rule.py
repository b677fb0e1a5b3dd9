"""Rules, and composites that give each operation its rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from equipoise._registry import nearest
from equipoise.engine.layout import rows_like
from equipoise.engine.linear_map import Geometry, LinearMap
from equipoise.engine.numerics import working_dtype
from equipoise.engine.operations import OPERATIONS, OpKind
from equipoise.engine.relevance import Relevance
from equipoise.engine.signs import never_negative
from equipoise.engine.trace import OpCall, Trace, Value
from equipoise.errors import UnsupportedOperationError


@dataclass(frozen=True)
class Step:
    """One operation as a rule sees it: the call, its data, its linear map, its derivative.

    Attributes:
        call: The operation.
        trace: The forward pass it belongs to.
    """

    call: OpCall
    trace: Trace

    @property
    def n(self) -> int:
        """Number of images."""
        return self.trace.n

    def data(self, index: int = 0) -> Tensor:
        """Input number ``index`` in the working dtype, ``(m, ...)``; a mask as it is."""
        tensor = self.trace.data(self.call.inputs[index])
        return tensor.to(working_dtype(tensor.dtype)) if tensor.is_floating_point() else tensor

    def constant(self, item: Any) -> Tensor | None:
        """An argument that rules treat as constant, in the working dtype; a gate's value counts as one."""
        if isinstance(item, Value):
            item = self.trace.data(item)
        if isinstance(item, Tensor) and item.is_floating_point():
            return item.detach().to(working_dtype(item.dtype))
        return item if isinstance(item, Tensor) else None

    def linear_map(self) -> LinearMap:
        """The layer as a `LinearMap`; its first input is the signal.

        Raises:
            UnsupportedOperationError: If the signal is not the first argument, or has no batch dimension.
        """
        bound = self.call.bound()
        source = self.call.inputs[0]
        weight = self.constant(bound["weight"])
        if bound["input"] is not source or weight is None:
            raise UnsupportedOperationError(
                f"{describe(self.call)} has a constant input and a weight that is the signal"
            )
        bias = self.constant(bound.get("bias"))
        if self.call.name == "linear":
            return LinearMap(weight, bias, None, source.shape[1:], rectified=never_negative(source))
        geometry = _geometry(self.call, bound, weight)
        return LinearMap(weight, bias, geometry, source.shape[1:], rectified=never_negative(source))

    def vjp(
        self,
        cotangents: Sequence[Tensor | None] | Callable[[Sequence[Tensor]], Sequence[Tensor | None]],
        inputs: Sequence[Tensor] | None = None,
    ) -> list[Tensor | None]:
        """The operation's own derivative, transposed, at ``inputs`` (default: the data).

        Args:
            cotangents: One ``(k, *output)`` per output, or ``None`` where nothing arrives; or a function of the
                outputs that gives them.
            inputs: Where to differentiate.

        Returns:
            One ``(k, *input)`` per input; ``None`` where the result does not depend on it.
        """
        points = [self.data(i) for i in range(len(self.call.inputs))] if inputs is None else inputs
        with torch.enable_grad():
            leaves = [_leaf(point) for point in points]
            made = self.run(leaves)
        wanted = cotangents([output.detach() for output in made]) if callable(cotangents) else cotangents
        moving = [(output, c) for output, c in zip(made, wanted, strict=True) if c is not None]
        k = moving[0][1].shape[0]
        moving = [(output, c) for output, c in moving if output.requires_grad]
        if not moving:  # the operation stops gradients, like detach
            return [None] * len(leaves)
        outputs = [output for output, _ in moving]
        sources = [leaf for leaf in leaves if leaf.requires_grad]
        rows = [
            torch.autograd.grad(
                outputs,
                sources,
                [c[row].to(output.dtype) for output, c in moving],
                retain_graph=row < k - 1,
                allow_unused=True,
            )
            for row in range(k)
        ]
        columns = iter([None if column[0] is None else _stack(column) for column in zip(*rows, strict=True)])
        return [next(columns) if leaf.requires_grad else None for leaf in leaves]

    def run(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run the operation on ``tensors`` in place of its inputs; constants are cast to their dtype."""
        return self.call.run(*tensors)


@runtime_checkable
class Rule(Protocol):
    """How relevance passes one operation: data and one equation."""

    def __call__(self, step: Step, relevance: Sequence[Relevance | None]) -> Sequence[Relevance | None]:
        """Take relevance from the operation's outputs to its inputs.

        Args:
            step: The operation.
            relevance: One entry per output; ``None`` where none arrived. At least one is not ``None``.

        Returns:
            One entry per input; ``None`` where the rule sends nothing.
        """
        ...


@dataclass(frozen=True)
class Special:
    """A rule for some operations of a kind: where ``where(step)`` holds."""

    kind: OpKind
    where: Callable[[Step], bool]
    rule: Rule


@dataclass(frozen=True)
class Composite:
    """Which rule each operation gets, by kind and position.

    Attributes:
        name: For messages and the coverage table.
        rules: The rule of each kind of operation.
        exceptions: Looked at first, in order: rules for a kind where a condition on the step holds.
        by_derivative: Whether its rules are derivatives, which need not know which entry belongs to which image.
    """

    name: str
    rules: Mapping[OpKind, Rule]
    exceptions: tuple[Special, ...] = field(default=())
    by_derivative: bool = False

    def rule_for(self, step: Step) -> Rule:
        """The rule of ``step``.

        Raises:
            UnsupportedOperationError: If there is none; the text says what, where, what is near, and
                how to add it.
        """
        kind = step.call.kind
        for exception in self.exceptions:
            if exception.kind is kind and exception.where(step):
                return exception.rule
        if kind is not None and kind in self.rules:
            return self.rules[kind]
        raise UnsupportedOperationError(_no_rule(step.call, self))

    def replacing(self, rules: Mapping[OpKind, Rule]) -> Composite:
        """The same composite with other rules for some kinds."""
        return replace(self, rules={**self.rules, **rules})


def _leaf(point: Tensor) -> Tensor:
    """A tensor to differentiate by; a mask is none."""
    point = point.detach()
    return point.requires_grad_() if point.is_floating_point() or point.is_complex() else point


def _stack(rows: Sequence[Tensor]) -> Tensor:
    """``(k, ...)`` of ``k`` rows, in their memory layout; of one row without a copy."""
    if len(rows) == 1:
        return rows[0].unsqueeze(0)
    stacked = rows_like(rows[0], len(rows))
    return torch.stack(list(rows), out=stacked)


def describe(call: OpCall) -> str:
    """An operation in words: name, shapes, place."""
    shapes = ", ".join("x".join(map(str, value.shape)) for value in call.inputs)
    made = ", ".join("x".join(map(str, value.shape)) for value in call.outputs)
    return f"{call.name}({shapes}) -> {made} in {call.site}"


def _no_rule(call: OpCall, composite: Composite) -> str:
    if call.kind is not None:
        return f"the composite {composite.name!r} has no rule for {call.kind.value}: relevance reached {describe(call)}"
    near = nearest(call.name, OPERATIONS.names()) or ["relu", "add", "mul", "reshape"]
    return (
        f"relevance reached an operation that equipoise does not know: {describe(call)}; the nearest it knows: "
        f"{', '.join(near)}. If it is of a known kind, say so with "
        f'equipoise.engine.register("{call.name}", equipoise.engine.OpKind.ACTIVATION) or another OpKind'
    )


def _geometry(call: OpCall, bound: Mapping[str, Any], weight: Tensor) -> Geometry:
    d = weight.dim() - 2
    if len(call.inputs[0].shape) != d + 2:
        raise UnsupportedOperationError(f"{describe(call)} has no batch dimension")

    def numbers(name: str, default: int) -> tuple[int, ...]:
        given = bound.get(name, default)
        return (int(given),) * d if isinstance(given, int) else tuple(int(g) for g in given) * (d // len(given))

    before, padding, dilation = call.before, (0,) * d, numbers("dilation", 1)
    if bound.get("padding") == "same":  # torch puts the odd zero at the end
        total = [reach * (size - 1) for reach, size in zip(dilation, weight.shape[2:], strict=True)]
        same = [side for t in reversed(total) for side in (t // 2, t - t // 2)]
        before = tuple(a + b for a, b in zip(same, before or [0] * len(same), strict=True))
    elif bound.get("padding") != "valid":
        padding = numbers("padding", 0)
    return Geometry(
        stride=numbers("stride", 1),
        padding=padding,
        dilation=dilation,
        output_padding=numbers("output_padding", 0),
        groups=int(bound.get("groups", 1)),
        transposed="transpose" in call.name,
        before=before,
    )
