"""What the propagation methods have in common: record, start, carry back, read out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equipoise._registry import Registry
from equipoise._typing import Float
from equipoise.engine import Composite, Passage, Relevance, Trace, Value, propagate, record, with_unreached
from equipoise.engine.entrance import aside, native
from equipoise.engine.layout import targets_at_once
from equipoise.engine.numerics import working_dtype
from equipoise.engine.outputs import Output
from equipoise.errors import LayerError, OptionError, UntracedTensorError
from equipoise.methods.attention import stopping_at_attention
from equipoise.methods.base import check_inputs
from equipoise.methods.evaluate import UNREACHED
from equipoise.methods.starts import unsquashed
from equipoise.methods.targets import Target, Targets, resolve_targets

ProfileName = Literal["paper", "reference"]


class Propagation:
    """Base of the methods that carry relevance along the tape.

    A subclass says what it explains and how in `explain_trace`; this class does the rest: checks,
    the forward pass, targets, resizing, the coverage table.

    Args:
        model: The network.
        profile: ``"paper"``: the published rule, for any architecture. ``"reference"``: as the
            official implementation computes it.
        interpolate: For map-level methods: whether to resize the map to the input, bilinearly.
    """

    level: ClassVar[str] = "pixel"
    signed: ClassVar[bool] = True
    costly: ClassVar[bool] = False
    profiles: ClassVar[tuple[str, ...]] = ("paper", "reference")
    output: Output = None

    def __init__(self, model: nn.Module, profile: ProfileName = "paper", *, interpolate: bool = True) -> None:
        if profile not in self.profiles:
            raise OptionError(f"profile is {profile!r}; choose from {', '.join(self.profiles)}")
        self.model = model
        self.reference = profile == "reference"
        self.interpolate = interpolate
        self.notes: list[str] = []
        self._watch: list[Passage] | None = None

    def explain_trace(self, trace: Trace, targets: Targets) -> Float[Tensor, "k n c *space"]:
        """Explain a recorded forward pass.

        Args:
            trace: The forward pass.
            targets: ``k`` targets of each of its ``n`` images.

        Returns:
            The attribution, before resizing.
        """
        raise NotImplementedError  # abstract: every method defines it

    def attribute(self, inputs: Tensor, target: Target = None) -> Tensor | list[Tensor]:
        """Explain each image; shapes as in `equipoise.attribute`."""
        check_inputs(inputs)
        if not len(inputs):
            return torch.zeros_like(inputs)
        images = native(self.model, inputs)
        with aside(inputs.device):
            trace, targets = self._begin(images, target)
            result = self._explain_in_turn(trace, targets)
            if self.interpolate and self.level == "map":
                size = map_size(result.dim() - 3, inputs.shape)
                result = result if result.shape[3:] == size else resize(result, size)
            return targets.format(result.to(inputs.dtype))

    def _explain_in_turn(self, trace: Trace, targets: Targets) -> Tensor:
        """`explain_trace`, so many targets at a time as the memory holds; what was noted of each is kept."""
        parts, before = [], self.notes
        notes: list[str] = []
        for part in targets.parts(targets_at_once(trace)):
            self.notes = list(before)
            parts.append(self.explain_trace(trace, part))
            notes += self.notes
        self.notes = list(dict.fromkeys(notes))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def coverage(self, inputs: Tensor, target: Target = None) -> list[Passage]:
        """Every operation of the forward pass: its rule, and the relevance that came and went."""
        check_inputs(inputs)
        images = native(self.model, inputs)
        with aside(inputs.device):
            trace, targets = self._begin(images, target)
            self._watch = []
            try:
                self.explain_trace(trace, targets)
                return with_unreached(trace, self._watch, trace.output)
            finally:
                self._watch = None

    def _begin(self, inputs: Tensor, target: Target) -> tuple[Trace, Targets]:
        trace, self.notes = unsquashed(record(self.model, inputs, output=self.output), target)
        return trace, resolve_targets(target, trace.logits)

    def carry(
        self, trace: Trace, start: dict[Value, Relevance], composite: Composite, stop: Sequence[Value] = ()
    ) -> dict[Value, Relevance]:
        """`propagate`, noted in the coverage table; attention is passed by the plain gradient alone."""
        return propagate(trace, start, stopping_at_attention(composite), stop=stop, watch=self._watch)

    def to(self, trace: Trace, start: dict[Value, Relevance], composite: Composite, end: Value) -> Tensor:
        """Carry relevance to ``end`` and return it there.

        Raises:
            UntracedTensorError: If nothing but masks and indices leads there, which carry none.
        """
        found = self.carry(trace, start, composite, [end])
        if end not in found:
            raise UntracedTensorError(UNREACHED)
        return found[end].value


def one_hot(targets: Targets, dtype: torch.dtype) -> Float[Tensor, "k n C"]:
    """The plain start of relevance: 1 at the class, or the gradient of a function of the logits."""
    return targets.seeds.to(working_dtype(dtype))


def channel_sum(relevance: Tensor) -> Tensor:
    """``(k, n, c, ...)`` to ``(k, n, 1, ...)``."""
    return relevance.sum(2, keepdim=True)


def map_size(dims: int, shape: Sequence[int]) -> tuple[int, ...]:
    """The positions of inputs of ``shape`` that a map of ``dims`` dimensions is resized to.

    Images ``(n, c, h, w)`` have maps ``(n, 1, h, w)``. Inputs without a channel axis, such as spectrograms
    ``(n, mel, time)`` that the network itself gives one, have maps ``(n, 1, mel, time)``.

    Raises:
        LayerError: If the map's dimensions are not the input's.
    """
    for axis in (2, 1):
        if dims == len(shape) - axis:
            return tuple(shape[axis:])
    raise LayerError(
        f"a map with {dims} dimensions cannot be resized to inputs {tuple(shape)}; name another layer, or pass "
        "interpolate=False to get it as computed"
    )


def resize(maps: Float[Tensor, "k n c *space"], size: Sequence[int]) -> Float[Tensor, "k n c *larger"]:
    """Resize maps bilinearly (linearly, trilinearly) to ``size``, corners not aligned."""
    mode = {1: "linear", 2: "bilinear", 3: "trilinear"}[len(size)]
    flat = F.interpolate(maps.flatten(0, 1), size=tuple(size), mode=mode, align_corners=False)
    return flat.reshape(*maps.shape[:2], *flat.shape[1:])


def choose(registry: Registry[Any], name: str) -> Any:
    """An entry by name, where ``_`` and ``-`` are the same."""
    return registry[name.replace("_", "-")]
