"""Which layer of weights a rule is for: the one that reads the pixels, dense ones, the one that makes the scores."""

from __future__ import annotations

from equipoise.engine.operations import OpKind
from equipoise.engine.rule import Step
from equipoise.engine.trace import OpCall, Trace
from equipoise.errors import LayerError


def reads_pixels(step: Step) -> bool:
    """Whether a layer's input is the image itself, up to padding, slicing and normalization."""
    return step.call.inputs[0].pixels


def is_dense(step: Step) -> bool:
    """Whether it is written as a linear layer."""
    return step.call.name == "linear"


def is_last(step: Step) -> bool:
    """Whether a layer makes the logits."""
    return step.call is last_layer(step.trace)


def last_layer(trace: Trace) -> OpCall:
    """The layer of weights that makes the logits.

    Raises:
        LayerError: If there is none.
    """
    ancestors = trace.ancestors(trace.output)
    layers = [c for c in trace.calls if c.kind is OpKind.LINEAR and c.outputs[0] in ancestors]
    if not layers:
        raise LayerError("the class scores come from no linear layer")
    return layers[-1]
