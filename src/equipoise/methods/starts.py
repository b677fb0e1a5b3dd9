r"""Where relevance starts: at the class's score before any squashing, whatever constant all scores share.

Softmax does not see a constant added to all logits, so no map may either. Three things make that hold:

- a sigmoid or softmax at the network's end is left out (`unsquashed`);
- relevance starts as 1 at the class, not as its logit, whose sign the constant decides;
- what reads the signed scores themselves, a rule of an average pool behind a convolution that makes class
  scores, is not asked: the last layer and the averages behind it are *one* linear map (`HeadMap`), and a rule
  for a layer of weights is applied to it as a whole, without its bias (`below_the_head`). A convolution, then
  the mean, is so explained as the same function is with the mean first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from equipoise.engine import OpCall, OpKind, Relevance, Step, Trace, Value, propagate
from equipoise.engine.canonical import canonicalize
from equipoise.engine.channels import channel_axis
from equipoise.engine.linear_map import LinearMap
from equipoise.engine.numerics import working_dtype
from equipoise.errors import OptionError, UntracedTensorError
from equipoise.methods.evaluate import UNREACHED
from equipoise.methods.targets import ClassGroup, Deferred, Target, Targets
from equipoise.rules.gradient import GRADIENT
from equipoise.rules.layered import Layered

StartName = Literal["class", "logit"]
"""How relevance starts: as 1 at the class, or as its logit, with the logit's sign."""

SQUASHING = frozenset({"softmax", "sigmoid", "log_softmax", "logsigmoid", "log_sigmoid"})
"""What makes probabilities, or their logarithms, of scores."""

_AFFINE = frozenset({
    OpKind.VIEW, OpKind.IDENTITY, OpKind.AVERAGE_POOL, OpKind.MAX_POOL, OpKind.ADD, OpKind.MULTIPLY,
    OpKind.NORM,
})  # fmt: skip


def check_start(start: object, *, reference: bool) -> StartName:
    """``start``, if it is one.

    Raises:
        OptionError: If it is none, or if the profile decides.
    """
    if start not in ("class", "logit"):
        raise OptionError(f"start is {start!r}; choose 'class' (1 at the class) or 'logit' (its logit)")
    if reference and start == "logit":
        raise OptionError("profile='reference' starts as the released code does; leave start out, or profile")
    return "logit" if start == "logit" else "class"


def is_squashing(call: OpCall) -> bool:
    """Whether a call makes probabilities, or their logarithms, of its one input, however it is written."""
    if len(call.inputs) != 1:
        return False
    return call.name in SQUASHING or (bool(call.members) and _squashes(call))


def _squashes(call: OpCall) -> bool:
    """Whether what a call computes is what one of torch's squashings computes, tried out on scores."""
    size = call.inputs[0].shape
    scores = torch.linspace(-4, 4, math.prod(size), dtype=torch.float64).sin().mul(5).reshape(size)
    try:
        with torch.no_grad():
            made = call.run(scores)[0]
    except RuntimeError:
        return False
    known = [scores.sigmoid(), torch.nn.functional.logsigmoid(scores)]
    if len(size) == 2:
        known += [scores.softmax(1), scores.log_softmax(1)]
    return any(made.shape == one.shape and torch.allclose(made, one, atol=1e-9) for one in known)


def unsquashed(trace: Trace, target: Target = None) -> tuple[Trace, list[str]]:
    """The tape as if the network ended before its sigmoid or softmax, and a note that says so.

    Args:
        trace: The forward pass; it is not changed.
        target: What is to be explained. A function of the model's output is taken at its word: then, and
            where nothing squashes the scores, the trace comes back as it is.
    """
    if isinstance(target, Deferred):
        target = target.ask(trace.logits)
    if reads_output(target) or not any(is_squashing(call) for call, _ in _tail(trace.output, _squashes_or_moves)):
        return trace, []
    plain = trace.copied()
    canonicalize(plain)
    chain = _tail(plain.output, _squashes_or_moves)
    squashing = [depth for depth, (call, _) in enumerate(chain) if is_squashing(call)]
    last = squashing[-1]
    value = chain[last][0].inputs[0]
    for call, _ in reversed(chain[:last]):  # views that stand among the squashings are asked again
        if not is_squashing(call):
            new = call.reading({call.inputs[0]: value})
            new.outputs = tuple(replace(output, producer=new, maker=new, tensor=None) for output in call.outputs)
            plain.recorded.append(new)
            value = new.outputs[0]
    plain.output = value
    canonicalize(plain)
    names = " and ".join(dict.fromkeys(chain[depth][0].name for depth in reversed(squashing)))
    return plain, [f"the network ends in {names}; what is explained is the score before it"]


def _squashes_or_moves(call: OpCall) -> bool:
    return is_squashing(call) or call.kind in (OpKind.VIEW, OpKind.IDENTITY)


def reads_output(target: Target) -> bool:
    """Whether a target is a function of the model's output, other than a group of its classes."""
    if isinstance(target, list | tuple):
        return any(callable(one) and not isinstance(one, ClassGroup) for one in target)
    return callable(target) and not isinstance(target, ClassGroup)


def logit_start(trace: Trace, targets: Targets, seeds: Tensor) -> tuple[Tensor, list[str]]:
    """The class's logit at the class, zero elsewhere, ``(k, n, C)``, and a note for each that is negative."""
    low = targets.scores < 0
    notes = [
        f"image {image}, target {targets.first + k}: relevance starts as the logit, which is negative "
        f"({float(targets.scores[k, image]):.3g}); start='class' does not depend on its sign"
        for k, image in low.nonzero().tolist()
    ]
    return seeds * trace.logits.to(seeds.dtype), notes


def contribution_map(trace: Trace, layer: Value, seeds: Tensor) -> Tensor:
    """The feature map times the spatial mean of its gradient, ``x * GAP(dy/dx)``: ``(k, n, c, *positions)``.

    Of a score that is read off a dense output, at a pixel, in a region, of a box, the gradient counts where it is,
    ``x * dy/dx``: its mean would forget which pixel was asked for. The paper has no such scores; this is ours.

    Raises:
        UntracedTensorError: If nothing differentiable leads from the map to the scores.
    """
    x = trace.data(layer)
    dtype = working_dtype(x.dtype)
    given = {trace.output: Relevance(seeds.to(dtype))}
    found = propagate(trace, given, GRADIENT, stop=[layer])
    if layer not in found:
        raise UntracedTensorError(UNREACHED)
    x, gradient = x.to(dtype), found[layer].value
    channels = 1 + channel_axis(layer)
    positions = tuple(axis for axis in range(2, gradient.dim()) if axis != channels and not trace.dense)
    weights = gradient.mean(dim=positions, keepdim=True) if positions else gradient
    return x * weights


@dataclass(frozen=True)
class Head:
    """What makes the class scores: the last layer of weights, and what is affine behind it.

    Attributes:
        layer: The layer.
        tail: The calls from its output to the scores, in order.
    """

    layer: OpCall
    tail: tuple[OpCall, ...]

    @property
    def plain(self) -> bool:
        """Whether the layer's output is the scores, up to views."""
        return all(call.kind in (OpKind.VIEW, OpKind.IDENTITY) for call in self.tail)

    @property
    def inside(self) -> set[Value]:
        """Every value that is class scores, position by position or averaged."""
        return {value for call in (self.layer, *self.tail) for value in call.outputs}


def head_of(trace: Trace) -> Head | None:
    """The network's head; ``None`` where one layer alone does not make the scores, or reads the pixels."""
    chain = _tail(trace.output, _is_affine)
    layer = (chain[-1][0].inputs[0] if chain else trace.output).producer
    if layer is None or layer.kind is not OpKind.LINEAR or len(layer.inputs) != 1 or layer.inputs[0].pixels:
        return None
    return Head(layer, tuple(call for call, _ in reversed(chain)))


def makes_scores(step: Step) -> bool:
    """Whether a layer's outputs are the class scores."""
    head = head_of(step.trace)
    return head is not None and head.layer is step.call


def below_the_head(
    trace: Trace, R: Tensor, rule: Layered, *, end: Value | None = None, signed: bool = False
) -> dict[Value, Relevance]:
    """The start of relevance: at the scores, or below a head that is more than a layer.

    Args:
        trace: The forward pass.
        R: Relevance of the class scores, ``(k, n, C)``.
        rule: Applied to the head as one linear map, without a bias.
        end: Where relevance is wanted; if that lies in the head, it starts at the scores.
        signed: Whether the rule is right for averages with negative weights, too.
    """
    head = head_of(trace)
    if head is None or head.plain or end in head.inside:
        return {trace.output: Relevance(R)}
    step = Step(head.layer, trace)
    layer = step.linear_map()
    whole = HeadMap(layer.weight, None, layer.geometry, layer.in_shape, trace, head, rectified=layer.rectified)
    with torch.inference_mode(mode=False), torch.no_grad():
        if not signed and bool((whole.back(torch.ones_like(R[:1])) < 0).any()):
            return {trace.output: Relevance(R)}
        value = rule.equation(step.data(), whole, layer.weight.new_zeros(()), R)
    return {head.layer.inputs[0]: Relevance(value)}


@dataclass(frozen=True, slots=True)
class HeadMap(LinearMap):
    """A layer, and the averages behind it, as one linear map from the layer's input to the class scores.

    Attributes:
        trace: The forward pass; a maximum pool of the head is the choice that it made there.
        head: The layer and what is behind it.
    """

    trace: Trace
    head: Head

    def __call__(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """``(m, *in)`` to ``(m, C)``."""
        direction = LinearMap.__call__(self, x, weight)
        with torch.enable_grad():  # the derivative along a direction, as the derivative of the derivative's transpose
            point = self.trace.data(self.head.layer.outputs[0]).to(x.dtype).detach().requires_grad_()
            scores = self._scores(point)
            weights = torch.zeros_like(scores, requires_grad=True)
            (back,) = torch.autograd.grad(scores, point, weights, create_graph=True)
            (moved,) = torch.autograd.grad(back, weights, direction)
        return moved

    def adjoint(self, s: Tensor, weight: Tensor | None = None) -> Tensor:
        """``(k, m, C)`` to ``(k, m, *in)``."""
        return LinearMap.adjoint(self, self.back(s), weight)

    def back(self, s: Tensor) -> Tensor:
        """From the scores ``(k, m, C)`` to the layer's output ``(k, m, *out)``."""
        known: dict[Value, Tensor] = {self.trace.output: s}
        for call in reversed(self.head.tail):
            (moved,) = Step(call, self.trace).vjp([known.get(value) for value in call.outputs])
            assert moved is not None  # noqa: S101  # affine calls do not stop gradients
            known[call.inputs[0]] = moved
        return known[self.head.layer.outputs[0]]

    def _scores(self, point: Tensor) -> Tensor:
        known = {self.head.layer.outputs[0]: point}
        for call in self.head.tail:
            known.update(zip(call.outputs, Step(call, self.trace).run([known[call.inputs[0]]]), strict=True))
        return known[self.trace.output]


def _tail(value: Value, belongs: Callable[[OpCall], bool]) -> list[tuple[OpCall, Value]]:
    """The calls with one input that lead to ``value``, the last first, each with what it made of use."""
    chain = []
    while (call := value.producer) is not None and len(call.inputs) == 1 and belongs(call):
        chain.append((call, value))
        value = call.inputs[0]
    return chain


def _is_affine(call: OpCall) -> bool:
    if call.kind is OpKind.NORM:
        return call.name in ("batch_norm", "affine")
    if call.name in {"div", "true_divide"}:
        return call.bound().get("input") is call.inputs[0]
    if call.kind is OpKind.MULTIPLY:
        return call.name in ("mul", "affine")
    return call.kind in _AFFINE
