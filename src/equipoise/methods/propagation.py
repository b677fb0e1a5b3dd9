"""What the propagation methods have in common: record, start, carry back, read out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from equipoise._registry import Registry
from equipoise._typing import Float
from equipoise.engine import Composite, OpKind, Passage, Relevance, Trace, Value, propagate, record, with_unreached
from equipoise.engine.entrance import aside, native
from equipoise.engine.layout import targets_at_once
from equipoise.engine.numerics import working_dtype
from equipoise.errors import NoScoresError, OptionError, UntracedTensorError
from equipoise.methods.attention import stopping_at_attention
from equipoise.methods.base import Method, check_inputs
from equipoise.methods.dots import grid_notes, strided_pointwise
from equipoise.methods.evaluate import UNREACHED
from equipoise.methods.reading import Reading
from equipoise.methods.readouts import map_size, resize
from equipoise.methods.starts import unsquashed
from equipoise.methods.targets import Target, Targets, resolve_targets

ProfileName = Literal["paper", "reference"]


class Propagation(Method):
    """Base of the methods that carry relevance along the tape.

    A subclass says how in `explain_trace`; this class does the rest: the forward pass, targets, resizing, the
    coverage table.

    Args:
        model: The network.
        profile: ``"paper"``: the published rule, for any architecture. ``"reference"``: as the
            official implementation computes it.
        interpolate: For map-level methods: whether to resize the map to the input, bilinearly.

    Attributes:
        keep: The kinds of operation whose inputs it reads again; the tape then holds nothing else. ``None``: all.
        carries_once: Whether each target is carried down once, so that the tape can let go of what was passed.

    Raises:
        OptionError: If the profile is none of ``profiles``.
    """

    profiles: ClassVar[tuple[str, ...]] = ("paper", "reference")
    keep: ClassVar[frozenset[OpKind] | None] = None
    carries_once: ClassVar[bool] = False

    def __init__(
        self, model: nn.Module, profile: ProfileName | Literal["fine"] = "paper", *, interpolate: bool = True
    ) -> None:
        super().__init__(model)
        self.reference = check_profile(profile, self.profiles) == "reference"
        self.interpolate = interpolate
        self._watch: list[Passage] | None = None
        self._release = False

    def explain_trace(self, trace: Trace, targets: Targets) -> Float[Tensor, "k n c *space"]:
        """Explain a recorded forward pass.

        Args:
            trace: The forward pass.
            targets: ``k`` targets of each of its ``n`` images.

        Returns:
            The attribution, before resizing.
        """
        raise NotImplementedError  # abstract: every method defines it

    def explained(self, images: Tensor, target: Target) -> tuple[Targets, Tensor]:
        """See `Method`."""
        return self._explained(self._record(images), target, release=self.carries_once)

    def trace(self, inputs: Tensor, *, others: Sequence[Propagation] = ()) -> Trace:
        """The forward pass alone, for `attribute_trace`: other targets or options then cost no second one.

        Args:
            inputs: As of `attribute`.
            others: Further methods that are to explain it.
        """
        check_inputs(inputs)
        images = native(self.model, inputs)
        keep = self.keep
        for other in others:
            keep = None if keep is None or other.keep is None else keep | other.keep
        with aside(inputs.device):
            try:
                return record(self.model, images, keep=keep, output=self.output)
            except NoScoresError:
                return record(self.model, images, keep=keep, output=Reading(self.output))

    def attribute_trace(self, trace: Trace, target: Target = None) -> Tensor | list[Tensor]:
        """As `attribute`, of a forward pass that `trace` recorded; it can be explained again."""
        image = trace.data(trace.input)
        with aside(image.device):
            targets, found = self._explained(trace, target)
            return targets.format(found.to(image.dtype))

    def coverage(self, inputs: Tensor, target: Target = None) -> list[Passage]:
        """Every operation of the forward pass: its rule, and the relevance that came and went.

        Returns:
            One `Passage` per operation, the last first. Those after the start of relevance have the rule
            ``gradient``; those that no relevance reached, ``not reached``.
        """
        return self.coverage_trace(self.trace(inputs), target)

    def coverage_trace(self, trace: Trace, target: Target = None) -> list[Passage]:
        """As `coverage`, of a forward pass that `trace` recorded."""
        with aside(trace.logits.device):
            trace, self.notes = unsquashed(trace, target)
            self._watch = []
            try:
                self.explain_trace(trace, resolve_targets(target, trace.logits))
                return with_unreached(trace, self._watch, self.origin(trace))
            finally:
                self._watch = None

    def origin(self, trace: Trace) -> Value:
        """Where relevance starts: at the logits, unless a method says otherwise."""
        return trace.output

    def _record(self, images: Tensor) -> Trace:
        return record(self.model, images, keep=self.keep, output=self.output)

    def _explained(self, trace: Trace, target: Target, *, release: bool = False) -> tuple[Targets, Tensor]:
        """`explain_trace`, so many targets at a time as the memory holds; what was noted of each is kept."""
        trace, before = unsquashed(trace, target)
        targets = resolve_targets(target, trace.logits)
        strided = strided_pointwise(trace) if self.level == "pixel" else []
        found: list[Tensor] = []
        notes: list[str] = []
        for part in targets.parts(targets_at_once(trace)):
            self.notes = list(before)
            self._release = release and part.first + len(part.seeds) == len(targets.seeds)
            found.append(self.explain_trace(trace, part))
            notes += self.notes
        self._release = False
        self.notes = list(dict.fromkeys(notes))
        result = found[0] if len(found) == 1 else torch.cat(found)
        if strided:
            self.notes += grid_notes(strided, result)
        if self.interpolate and self.level == "map":
            size = map_size(result.dim() - 3, trace.input.shape)
            result = result if result.shape[3:] == size else resize(result, size)
        return targets, result

    def carry(
        self, trace: Trace, start: dict[Value, Relevance], composite: Composite, stop: Sequence[Value] = ()
    ) -> dict[Value, Relevance]:
        """`propagate`, noted in the coverage table; attention is passed by the plain gradient alone."""
        composite = stopping_at_attention(composite)
        return propagate(trace, start, composite, stop=stop, release=self._release, watch=self._watch)

    def to(self, trace: Trace, start: dict[Value, Relevance], composite: Composite, end: Value) -> Tensor:
        """Carry relevance to ``end`` and return it there.

        Raises:
            UntracedTensorError: If nothing but masks and indices leads there, which carry none.
        """
        found = self.carry(trace, start, composite, [end])
        if end not in found:
            raise UntracedTensorError(UNREACHED)
        return found[end].value


def check_profile(profile: Any, profiles: Sequence[str] = ("paper", "reference")) -> str:
    """``profile``, if it is one.

    Raises:
        OptionError: If it is none.
    """
    if profile not in profiles:
        raise OptionError(f"profile is {profile!r}; choose from {', '.join(profiles)}")
    return str(profile)


def one_hot(targets: Targets, dtype: torch.dtype) -> Float[Tensor, "k n C"]:
    """The plain start of relevance: 1 at the class, or the gradient of a function of the logits."""
    return targets.seeds.to(working_dtype(dtype))


def choose(registry: Registry[Any], name: str) -> Any:
    """An entry by name, where ``_`` and ``-`` are the same."""
    return registry[name.replace("_", "-")]
