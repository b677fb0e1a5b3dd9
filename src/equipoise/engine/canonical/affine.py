"""Scalings and shifts by constants: a batch norm, however it is written; a bias belongs to its layer.

A chain of calls that scale and shift each channel by constants is one affine map; after a layer of weights, a mere
shift is the layer's bias. Where a view stands between a layer and its affine map, the affine map goes first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor

from equipoise.engine.canonical.patches import distinct, places
from equipoise.engine.canonical.pointwise import is_affine, is_weight
from equipoise.engine.canonical.tape import Draft, Tape, members_between
from equipoise.engine.operations import Operation, OpKind
from equipoise.engine.trace import OpCall, Value, region

AFFINE = Operation("affine", OpKind.NORM, ("input", "scale", "shift"), pointwise=True)
"""``x * scale + shift`` by constants that broadcast over ``x``."""


def affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """The function of `AFFINE`."""
    return x * scale + shift


def join_affine(tape: Tape) -> None:
    """Write chains of scalings and shifts as one call, and shifts behind a layer as its bias."""
    # A shift that is its layer's bias, though a batch norm follows it, is written the second time.
    for _ in range(2):
        changed = tape.each(lambda call: _chain(call, tape))
        tape.drop_unread()
        if not changed:
            break
    changed = True
    while changed:
        changed = tape.each(lambda call: _as_bias(call, tape) or _before_view(call, tape))
        tape.drop_unread()


def _chain(call: OpCall, tape: Tape) -> Sequence[OpCall] | None:
    if not _scales(call):
        return None
    out = call.outputs[0]
    following = tape.readers(out)
    named = call.kind is OpKind.ADD and following and following[0].name == "batch_norm"
    if len(following) == 1 and tape.inner(out) and _scales(following[0]) and not named:
        return None  # the last of the chain writes it
    chain = [call]
    while True:
        maker = chain[0].inputs[0].producer
        if maker is None or not tape.inner(chain[0].inputs[0]) or not _scales(maker):
            break
        chain.insert(0, maker)
    chain = _after_bias(chain)
    while chain and chain[0].kind is OpKind.IDENTITY:
        chain.pop(0)
    if not chain or (len(chain) == 1 and chain[0].name in ("batch_norm", "affine")) or _only_numbers(chain):
        return None
    source = chain[0].inputs[0]
    found = _coefficients(chain, source, out)
    if found is None:
        return None
    scale, shift = (constant.to(tape.trace.logits.device) for constant in found)
    learnt = any(
        part.name == "batch_norm" or _has_weights(part) for item in chain for part in (item.members or (item,))
    )
    operation = AFFINE if learnt else replace(AFFINE, kind=OpKind.MULTIPLY)
    members = tuple(part for item in chain for part in (item.members or (item,)))
    return [OpCall(affine, operation, (source, scale, shift), {}, (source,), call.site, (out,), members=members)]


def _after_bias(chain: list[OpCall]) -> list[OpCall]:
    """Without leading shifts before a named batch norm: those are the layer's bias."""
    for place, call in enumerate(chain):
        if (
            call.name == "batch_norm"
            and place
            and all(part.kind in (OpKind.ADD, OpKind.IDENTITY) for part in chain[:place])
        ):
            return chain[place:]
    return chain


def gather_affine(tape: Tape) -> None:
    """Write what was scaled and shifted part by part, such as an image color by color, as one affine map."""

    def change(call: OpCall) -> Sequence[OpCall] | None:
        out = call.outputs[0]
        following = tape.readers(out)
        if call.name not in _JOINING or len(call.outputs) != 1:
            return None
        if tape.inner(out) and following[0].name in (*_JOINING, "getitem", "select") and len(following[0].outputs) == 1:
            return None  # the last of them writes it
        source = _scaled_source(out)
        if source is None or source.shape != out.shape:
            return None
        members = members_between(out, [source])
        if not any(part.name == "affine" for part in members):
            return None
        run = region(tuple(members), (source,), out)
        shape = (1, *source.shape[1:]) if source.shape[0] == tape.n else source.shape
        numbers = torch.arange(1, math.prod(shape) + 1, dtype=torch.float64).reshape(shape).expand(source.shape)
        with suppress(RuntimeError, TypeError, ValueError), torch.no_grad():
            shift, there = run(torch.zeros_like(numbers)).cpu(), run(numbers).cpu()
            scale = run(torch.ones_like(numbers)).cpu() - shift
            if torch.allclose(there, numbers * scale + shift, rtol=1e-9):
                return _as_affine(call, source, scale, shift, tape)
        return None

    tape.each(change)
    tape.drop_unread()


def _as_affine(call: OpCall, source: Value, scale: Tensor, shift: Tensor, tape: Tape) -> Sequence[OpCall]:
    device, out = tape.trace.logits.device, call.outputs
    constants = [compressed(constant).to(source.dtype).to(device) for constant in (scale, shift)]
    return [OpCall(affine, AFFINE, (source, *constants), {}, (source,), call.site, out)]


_JOINING = frozenset({"cat", "stack", "setitem", "overwrite", "copy", "slice_scatter", "select_scatter", "index_copy"})


def _scaled_source(value: Value) -> Value | None:
    """The one value whose entries, moved and scaled by constants, ``value`` holds."""
    pending, seen, found = [value], set(), set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        call = current.producer
        moves = call is not None and call.kind in (OpKind.VIEW, OpKind.IDENTITY, OpKind.CONCATENATE)
        if call is None or not (moves or call.name == "affine"):
            found.add(current)
        elif any(source.discrete for source in call.inputs):
            return None
        else:
            pending.extend(call.inputs)
    return found.pop() if len(found) == 1 else None


def _scales(call: OpCall) -> bool:
    if call.operation is None or not call.operation.pointwise or len(call.inputs) != 1 or len(call.outputs) != 1:
        return False
    return call.inputs[0].shape == call.outputs[0].shape and not call.before and is_affine(call)


def _has_weights(call: OpCall) -> bool:
    return any(is_weight(item, call.inputs[0]) for item in (*call.args, *call.kwargs.values()))


def _only_numbers(chain: Sequence[OpCall]) -> bool:
    """Whether calls do nothing but multiply by numbers."""
    parts = [part for call in chain for part in (call.members or (call,))]
    return all(
        part.kind is OpKind.IDENTITY or (part.name in ("mul", "div", "neg") and not _has_weights(part))
        for part in parts
    )


def _coefficients(chain: Sequence[OpCall], source: Value, out: Value) -> tuple[Tensor, Tensor] | None:
    """Scale and shift of a chain, no larger than its constants are."""
    size = [1] * len(source.shape)
    if any(part.name == "batch_norm" for call in chain for part in (call.members or (call,))):
        size[1] = source.shape[1]
    tensors = [item for call in chain for part in (call.members or (call,)) for item in part.args]
    device = next((item.device for item in tensors if isinstance(item, Tensor)), None)
    run = region(tuple(chain), (source,), out)
    try:
        with torch.no_grad():
            zero = torch.zeros(
                size, dtype=torch.float64, device=None if device is None or device.type == "mps" else device
            )
            shift = run(zero)
            scale = run(zero + 1) - shift
    except RuntimeError:
        return None  # a constant that does not broadcast: the chain stays as it is
    if shift.dim() != len(source.shape):
        return None
    dtype = source.dtype if source.dtype.is_floating_point else torch.float32
    scale = torch.ones_like(scale) if chain_adds_only(chain) else scale
    return compressed(scale).to(dtype), compressed(shift).to(dtype)


def compressed(constant: Tensor) -> Tensor:
    """Without the axes along which it was expanded."""
    for axis, size in enumerate(constant.shape):
        first = constant.narrow(axis, 0, 1)
        if size > 1 and bool((constant == first).all()):
            constant = first
    return constant


def chain_adds_only(chain: Sequence[OpCall]) -> bool:
    """Whether calls only shift, so that the scale is exactly 1."""
    parts = [part for call in chain for part in (call.members or (call,))]
    return all(part.name in ("add", "sub") or part.kind is OpKind.IDENTITY for part in parts) and all(
        part.kind is OpKind.IDENTITY or isinstance(part.bound().get("input"), Value) for part in parts
    )


def _as_bias(call: OpCall, tape: Tape) -> Sequence[OpCall] | None:
    """A layer and the shift of its channels that follows, as a layer with a bias."""
    if call.function is not affine:  # a sum of a signal with itself is called so, too, and has no shift to take
        return None
    source = call.inputs[0]
    layer = source.producer
    if layer is None or layer.kind is not OpKind.LINEAR or not tape.inner(source) or len(layer.inputs) != 1:
        return None
    scale, shift = call.args[1], call.args[2]
    if not bool((scale == 1).all()):
        return None
    bias = per_channel(shift, source)
    bound = layer.bound()
    known = bound.get("bias")
    if bias is None:
        return None if known is None else _bias_in_shift(call, layer, known)
    whole = bias.to(bound["weight"].dtype) if known is None else known + bias.to(known.dtype)
    return [replace(_with_bias(layer, whole), outputs=call.outputs)]


def _with_bias(layer: OpCall, bias: Tensor | None) -> OpCall:
    args, kwargs = layer.args, dict(layer.kwargs)
    if "bias" in kwargs or len(args) < 3:
        kwargs["bias"] = bias
    else:
        args = (*args[:2], bias, *args[3:])
    return replace(layer, args=args, kwargs=kwargs)


def _bias_in_shift(call: OpCall, layer: OpCall, bias: Tensor) -> Sequence[OpCall]:
    """A layer with a bias and a shift that differs from position to position: all of the shift in one place."""
    plain, y = _with_bias(layer, None), replace(call.inputs[0], tensor=None, maker=None)
    plain.outputs = (y,)
    y.producer = plain
    source, scale, shift = call.args
    shift = shift + bias.to(shift).reshape(-1, *[1] * (len(source.shape) - 2))
    return [plain, replace(call, args=(y, scale, shift), inputs=(y,), kwargs={}, members=())]


def per_channel(constant: Tensor, value: Value) -> Tensor | None:
    """A constant that broadcasts over ``value`` ``(n, c, *positions)`` as ``(c,)``; ``None`` if it varies elsewhere."""
    size = constant.shape
    if len(size) != len(value.shape) or any(extent != 1 for axis, extent in enumerate(size) if axis != 1):
        return None
    return constant.reshape(-1).expand(value.shape[1])


def _before_view(call: OpCall, tape: Tape) -> Sequence[OpCall] | None:
    """An affine map of a view as a view of an affine map, if a layer of weights stands before the view."""
    if call.kind is not OpKind.NORM or call.name not in ("affine", "batch_norm") or len(call.inputs) != 1:
        return None
    moved = call.inputs[0]
    view = moved.producer
    if view is None or not _rearranges(view) or not tape.inner(moved) or not tape.inner(view.inputs[0]):
        return None
    source, constants = view.inputs[0], _constants(call)
    if constants is None or not _behind_layer(source):
        return None
    views = [view]
    while True:
        pulled = [_pulled_back(constant, moved, source, tape.n) for constant in constants]
        if all(part is not None for part in pulled):
            return _views_of_affine(call, source, pulled, views)
        maker = source.producer  # between two views the channels may lie where no constant has a place
        if maker is None or not _rearranges(maker) or not tape.inner(maker.inputs[0]):
            return None
        views.insert(0, maker)
        source = maker.inputs[0]


def _views_of_affine(
    call: OpCall, source: Value, constants: Sequence[Tensor | None], views: Sequence[OpCall]
) -> Sequence[OpCall]:
    draft = Draft(call)
    x = draft.apply(AFFINE, affine, source, *constants, shape=source.shape)
    for number, view in enumerate(views, start=1):
        changed = view.reading({view.inputs[0]: x})
        x = replace(view.outputs[0], tensor=None, maker=None, producer=changed)
        changed.outputs = call.outputs if number == len(views) else (x,)
        draft.calls.append(changed)
    return draft.calls


def _rearranges(call: OpCall) -> bool:
    """Whether a call is a view with as many entries as what it shows."""
    one = call.kind is OpKind.VIEW and len(call.inputs) == len(call.outputs) == 1
    return one and torch.Size(call.outputs[0].shape).numel() == torch.Size(call.inputs[0].shape).numel()


def _behind_layer(value: Value) -> bool:
    """Whether only views stand between a layer of weights and ``value``."""
    while value.producer is not None and value.producer.kind is OpKind.VIEW and len(value.producer.inputs) == 1:
        value = value.producer.inputs[0]
    return value.producer is not None and value.producer.kind is OpKind.LINEAR


def _constants(call: OpCall) -> tuple[Tensor, Tensor] | None:
    """Scale and shift of an affine map, shaped to broadcast over its input."""
    if call.name == "affine":
        return call.args[1], call.args[2]
    found = affine_of(call)
    if found is None:
        return None
    shape = (1, -1, *[1] * (len(call.inputs[0].shape) - 2))
    scale, shift = (part.reshape(shape) for part in found)
    return scale, shift


def _pulled_back(constant: Tensor, moved: Value, source: Value, n: int) -> Tensor | None:
    """The constant of ``moved`` as one of ``source``, of which it is a view; smallest shape that broadcasts."""
    if constant.numel() == 1:
        return constant.reshape([1] * len(source.shape))
    if (constant.shape[0] != 1 and moved.shape[0] == n > 1) or source.shape[0] % max(n, 1):
        return None  # it differs from image to image, or the images lie in another axis
    numbers = places(moved, source, n)
    if numbers is None or distinct(numbers) != numbers.numel() or not bool((numbers > 0).all()):
        return None
    flat = constant.new_empty(numbers.numel())
    flat[(numbers - 1).flatten().to(flat.device)] = constant.expand(moved.shape)[: len(numbers)].reshape(-1)
    pulled = flat.reshape(max(source.shape[0] // max(n, 1), 1), *source.shape[1:])
    if len(pulled) != 1:
        if not bool((pulled == pulled[:1]).all()):
            return None
        pulled = pulled[:1]
    for axis in range(1, pulled.dim()):
        first = pulled.narrow(axis, 0, 1)
        if bool((pulled == first).all()):
            pulled = first
    return pulled.clone()


def affine_of(call: OpCall) -> tuple[Tensor, Tensor] | None:
    """Scale and shift ``(c,)`` of a batch norm, named or written by hand; ``None`` if it is no map of channels."""
    bound = call.bound()
    if call.name == "affine" and call.kind is OpKind.NORM:
        value = call.inputs[0]
        found = [per_channel(constant, value) for constant in call.args[1:]]
        return None if found[0] is None or found[1] is None else (found[0], found[1])
    if call.name != "batch_norm" or bound.get("running_var") is None:
        return None
    one = torch.ones((), dtype=bound["running_var"].dtype, device=bound["running_var"].device)
    weight, bias = bound.get("weight"), bound.get("bias")
    scale = (one if weight is None else weight.detach()) / (bound["running_var"] + float(bound.get("eps", 1e-5))).sqrt()
    shift = (0 * one if bias is None else bias.detach()) - bound["running_mean"] * scale
    return scale, shift
