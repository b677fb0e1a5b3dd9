"""Excitation backprop and its contrastive form."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from equipoise.engine import Composite, OpCall, OpKind, Relevance, Rule, Trace, Value
from equipoise.engine.canonical import open_at
from equipoise.engine.rule import Special
from equipoise.engine.selectors import last_layer
from equipoise.errors import LayerError
from equipoise.methods.base import METHODS
from equipoise.methods.layers import STAGE_INPUTS, find_layer, positions, rows_of_images
from equipoise.methods.propagation import ProfileName, Propagation, one_hot
from equipoise.methods.readouts import channel_sum, channels_first, pixel_map
from equipoise.methods.starts import below_the_head
from equipoise.methods.targets import Targets
from equipoise.rules.excitation import Excitation, SharedByValue
from equipoise.rules.gradient import Derivative
from equipoise.rules.resampling import Resampled
from equipoise.rules.structure import STRUCTURE


def excitation_composite(*, reference: bool, negate: OpCall | None = None) -> Composite:
    """The rules of excitation backprop.

    Args:
        reference: Maximum pools and activations by their derivative and unguarded sums, as TorchRay
            computes them; else every operation keeps the sum.
        negate: A layer whose weights change sign.
    """
    exact: dict[OpKind, Rule] = {
        OpKind.MAX_POOL: Derivative(),
        OpKind.ACTIVATION: Derivative(),
        OpKind.AVERAGE_POOL: Resampled(SharedByValue(1e-20)),
        OpKind.ADD: SharedByValue(),
    }
    return Composite(
        "excitation backprop",
        {**STRUCTURE, **(exact if reference else {}), OpKind.LINEAR: Excitation(unclamped=reference)},
        (Special(OpKind.LINEAR, lambda step: step.call is negate, Excitation(negated=True, unclamped=reference)),),
    )


def excitation_start(
    trace: Trace, seeds: Tensor, end: Value, *, reference: bool, negated: bool = False
) -> dict[Value, Relevance]:
    """The class wins with probability 1; see `below_the_head`."""
    if reference:
        return {trace.output: Relevance(seeds)}
    return below_the_head(trace, seeds, Excitation(negated=negated), end=end)


@METHODS.register("eb", aliases=("excitation_backprop",))
class ExcitationBackprop(Propagation):
    r"""The probability that a neuron wins, passed down from the class.

    At each layer a winner is drawn among those that excite a neuron. Never negative.

    .. math::
        P_i = x_i \sum_j \frac{w_{ij}^+ P_j}{\sum_{i'} x_{i'} w_{i'j}^+}

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: ``"reference"``: as TorchRay computes it.
        layer: The module at whose output the map is read; ``None``: the pixels.
        interpolate: Whether to resize the map to the input.

    References:
        Zhang et al. 2016, Eq. 4 and 5. Non-negative; the sum is 1 where no probability falls on a
        neuron without excitation.

        https://doi.org/10.1007/s11263-017-1059-x
    """

    title: ClassVar[str] = "Excitation Backprop"
    summary: ClassVar[str] = "Where the neurons that excite the class most are; nothing speaks against it"
    level = "map"
    signed = False

    def __init__(
        self, model: nn.Module, *, profile: ProfileName = "paper", layer: str | None = None, interpolate: bool = True
    ) -> None:
        super().__init__(model, profile, interpolate=interpolate)
        self.layer = layer

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        end = trace.input if self.layer is None else rows_of_images(find_layer(self.model, trace, self.layer), trace)
        start = excitation_start(trace, one_hot(targets, trace.logits.dtype), end, reference=self.reference)
        found = self.to(trace, start, excitation_composite(reference=self.reference), end)
        return pixel_map(trace, found) if end is trace.input else channel_sum(channels_first(found, end))


@METHODS.register("contrastive_eb", aliases=("c*EB", "c_star_eb"))
class ContrastiveEB(Propagation):
    r"""Excitation of the class less excitation of its opposite, the same unit with negated weights.

    What excites both cancels, so the map is the class's own.

    .. math::
        P = P(w_t) - P(-w_t) \quad\text{at the contrast layer, then down to the map's layer}

    Args:
        model: A convolutional network in eval mode; it is not changed.
        profile: ``"paper"``: signed. ``"reference"``: TorchRay's, negative values set to 0.
        layer: The module at whose output the map is read; ``None``: the input of the last stage
            (VGG: after the last pool but one; ResNet: ``layer3``).
        contrast_layer: The module at whose output the two are subtracted; ``None``: what the last
            linear layer reads.
        interpolate: Whether to resize the map to the input.

    Raises:
        LayerError: If the network ends in no linear map, the layers are in the wrong order, or a map holds
            several rows of an image (frames folded into the batch).

    References:
        Zhang et al. 2016, section 3.3; layers as in the benchmark of Fong et al. 2019.

        https://doi.org/10.1007/s11263-017-1059-x
    """

    title: ClassVar[str] = "c*EB"
    summary: ClassVar[str] = "Where neurons excite the class more than they excite its opposite"
    level = "map"

    def __init__(
        self,
        model: nn.Module,
        *,
        profile: ProfileName = "paper",
        layer: str | None = None,
        contrast_layer: str | None = None,
        interpolate: bool = True,
    ) -> None:
        super().__init__(model, profile, interpolate=interpolate)
        self.layer = layer
        self.contrast_layer = contrast_layer
        self.signed = not self.reference

    def explain_trace(self, trace: Trace, targets: Targets) -> Tensor:
        """See `Propagation`."""
        end = stage_input(self.model, trace) if self.layer is None else find_layer(self.model, trace, self.layer)
        end = rows_of_images(end, trace)
        if self.contrast_layer is not None:
            open_at(trace, [end, trace.layer(self.contrast_layer)])
        last = last_layer(trace)
        contrast = last.inputs[0] if self.contrast_layer is None else trace.layer(self.contrast_layer)
        if end not in trace.ancestors(contrast):
            raise LayerError(f"the map's layer {end.shape} does not lead to the contrast layer {contrast.shape}")
        plain = excitation_composite(reference=self.reference)
        dual = excitation_composite(reference=self.reference, negate=last)
        seeds = one_hot(targets, trace.logits.dtype)
        own, opposite = (
            excitation_start(trace, seeds, contrast, reference=self.reference, negated=negated)
            for negated in (False, True)
        )
        difference = self.to(trace, own, plain, contrast) - self.to(trace, opposite, dual, contrast)
        found = self.to(trace, {contrast: Relevance(difference)}, plain, end)
        found = channel_sum(channels_first(found, end))
        return found.clamp(min=0) if self.reference else found


def stage_input(model: nn.Module, trace: Trace) -> Value:
    """The last map that every path passes and that has more positions than the last feature map."""
    return find_layer(model, trace, None, STAGE_INPUTS, _last_larger_cut)


def _last_larger_cut(trace: Trace, maps: list[Value]) -> Value:
    maps = [value for value in maps if value.shape[0] == trace.n] or maps  # frames folded into the batch are no map
    last = maps[-1]
    larger = [value for value in maps if positions(value) > positions(last) and is_cut(trace, value)]
    return larger[-1] if larger else last


def is_cut(trace: Trace, value: Value) -> bool:
    """Whether every path from the input to the logits passes ``value``."""
    return all(
        source.index >= value.index
        for call in trace.calls
        if call.outputs[0].index > value.index
        for source in call.inputs
    )
