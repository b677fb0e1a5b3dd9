"""The way back: relevance along the tape, from where it starts to where it is wanted."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from equipoise._typing import Float
from equipoise.engine.canonical import open_at
from equipoise.engine.numerics import per_sample, working_dtype
from equipoise.engine.relevance import Relevance
from equipoise.engine.rule import Composite, Step, describe
from equipoise.engine.sites import Site
from equipoise.engine.trace import OpCall, Trace, Value
from equipoise.errors import RuleNotApplicableError, UnsupportedOperationError


@dataclass(frozen=True)
class Passage:
    """One row of the coverage table: an operation, its rule, and what became of the relevance.

    Attributes:
        call: The operation.
        rule: The rule it got.
        arrived: Sum of the relevance at its outputs, ``(k, n)``.
        left: Sum of the relevance it passed to its inputs, ``(k, n)``.
        absolute: Sum of the absolute relevance it passed on, ``(k, n)``.
        share: The share of tau that arrived, ``(k, n)``; ``None`` where rules do not use it.
        one_sided: Whether the arriving relevance had no positive or no negative part, ``(k, n)``.
    """

    call: OpCall
    rule: str
    arrived: Float[Tensor, "k n"]
    left: Float[Tensor, "k n"]
    absolute: Float[Tensor, "k n"]
    share: Float[Tensor, "k n"] | None
    one_sided: Tensor

    @property
    def name(self) -> str:
        """What torch calls the operation."""
        return self.call.name

    @property
    def site(self) -> Site:
        """The module, file and line that called it."""
        return self.call.site

    @property
    def shapes(self) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
        """Shapes of its inputs, and of its outputs."""
        return tuple(v.shape for v in self.call.inputs), tuple(v.shape for v in self.call.outputs)

    def __repr__(self) -> str:  # a list of rows is printed by this: an operation may hold weights
        return f"Passage({self.call!r}, {self.rule!r})"

    def __str__(self) -> str:
        sums = f"{self.arrived.flatten()[0]:+.4f} -> {self.left.flatten()[0]:+.4f}" if self.arrived.numel() else ""
        return f"{self.name:<20} {self.rule:<24} {sums:<22} {self.site}"


def with_unreached(trace: Trace, rows: list[Passage], start: Value) -> list[Passage]:
    """The rows of every operation of the forward pass, the last first.

    Args:
        trace: The forward pass.
        rows: The operations that relevance passed.
        start: Where relevance started. Operations after it that the class scores depend on are marked
            ``gradient``: the classification stage; the rest ``not reached``, such as those of a gate.
    """
    known = {row.call: row for row in rows}
    scored = trace.ancestors(trace.output)
    zero = rows[0].arrived.new_zeros(rows[0].arrived.shape) if rows else torch.zeros(1, trace.n)
    complete = []
    for call in reversed(trace.calls):
        later = call.outputs[0].index > start.index and call.outputs[0] in scored
        rule = "gradient" if later else "not reached"
        none = Passage(call, rule, zero, zero, zero, None, torch.ones_like(zero, dtype=torch.bool))
        complete.append(known.get(call, none))
    return complete


def propagate(
    trace: Trace,
    start: Mapping[Value, Relevance],
    composite: Composite,
    *,
    stop: Collection[Value] = (),
    release: bool = False,
    watch: list[Passage] | None = None,
) -> dict[Value, Relevance]:
    """Carry relevance down the tape.

    Args:
        trace: The forward pass.
        start: Relevance of any values, at any depth.
        composite: The rule of each operation.
        stop: Values where relevance is collected and goes no further. The network input always is one.
        release: Whether to let go of the tape's data on the way; the trace is then used up.
        watch: A list that receives one `Passage` per operation passed.

    Returns:
        The relevance of the network input and of ``stop``, where any arrived.

    Raises:
        UnsupportedOperationError: If relevance reaches an operation without a rule.
    """
    open_at(trace, [*start, *stop])
    pending = dict(start)
    collected: dict[Value, Relevance] = {}
    ends = {*stop, trace.input}
    with (
        torch.inference_mode(mode=False),
        torch.no_grad(),
        torch.autocast(device_type=_device_type(start), enabled=False),
    ):
        for value in ends & pending.keys():
            collected[value] = pending.pop(value)
        for call in reversed(trace.calls):
            arriving = [pending.pop(value, None) for value in call.outputs]
            if any(relevance is not None for relevance in arriving):
                step = Step(call, trace)
                rule = composite.rule_for(step)
                if not composite.by_derivative:
                    check_images(trace, *call.outputs, *call.inputs)
                try:
                    passed = rule(step, arriving)
                except RuleNotApplicableError as error:
                    raise UnsupportedOperationError(f"{error}: {describe(call)}") from error
                if watch is not None:
                    watch.append(_passage(call, rule, arriving, passed, trace.n))
                for value, relevance in zip(call.inputs, passed, strict=True):
                    if relevance is not None:
                        target = collected if value in ends else pending
                        known, new = target.get(value), relevance.of_dtype(working_dtype(value.dtype))
                        target[value] = new if known is None else known + new
                del arriving, passed
            if release:
                for value in call.inputs:
                    if value.first_reader == call.index:
                        value.tensor = None
    # What leaves the engine lies in memory as torch's tensors do, whatever was fastest inside.
    return {value: relevance.with_value(relevance.value.contiguous()) for value, relevance in collected.items()}


def check_images(trace: Trace, *values: Value) -> None:
    """Refuse values of which it is not known what belongs to which image.

    Raises:
        UnsupportedOperationError: If one holds some images only, or mixes them.
    """
    for value in values:
        if value in trace.mixed:
            raise UnsupportedOperationError(
                f"the images of a batch are taken apart or mixed by {describe(trace.mixed[value])}, so what belongs to "
                f"which image is not known; explain the images one at a time: attribute(model, image[None], ...)"
            )


def _passage(
    call: OpCall,
    rule: object,
    arriving: list[Relevance | None],
    passed: Collection[Relevance | None],
    n: int,
) -> Passage:
    into = [per_sample(r.value, n) for r in arriving if r is not None]
    out = [per_sample(r.value, n) for r in passed if r is not None]
    zero = torch.zeros_like(into[0][..., 0])
    positive = sum((r.clamp(min=0).sum(-1) for r in into), start=zero)
    negative = sum((r.clamp(max=0).sum(-1) for r in into), start=zero)
    return Passage(
        call=call,
        rule=str(getattr(rule, "name", type(rule).__name__)),
        arrived=positive + negative,
        left=sum((r.sum(-1) for r in out), start=zero),
        absolute=sum((r.abs().sum(-1) for r in out), start=zero),
        share=_total([r.share for r in arriving if r is not None and r.share is not None]),
        one_sided=(positive == 0) | (negative == 0),
    )


def _total(shares: list[Tensor]) -> Tensor | None:
    return sum(shares[1:], start=shares[0]) if shares else None


def _device_type(start: Mapping[Value, Relevance]) -> str:
    return next((relevance.value.device.type for relevance in start.values()), "cpu")
