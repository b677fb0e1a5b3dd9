"""The tape: one forward pass as a list of operations on the signal, in order, with what each read.

A tape holds the operations twice: as they were called (`Trace.recorded`), and in the canonical
vocabulary (`Trace.calls`), which is what rules see; see `equipoise.engine.canonical`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from equipoise._registry import nearest
from equipoise.engine.operations import Operation, OpKind, is_in_place, operation_name
from equipoise.engine.sites import Site
from equipoise.errors import LayerError, UntracedTensorError


def map_nested(item: Any, change: Callable[[Any], Any]) -> Any:
    """Apply ``change`` to every leaf of nested tuples, lists and dicts."""
    if isinstance(item, _SEQUENCES):
        parts = [map_nested(part, change) if isinstance(part, _NESTED) else change(part) for part in item]
        return parts if type(item) is list else tuple(parts)
    if isinstance(item, dict):
        return {key: map_nested(part, change) for key, part in item.items()}
    return change(item)


_SEQUENCES = (tuple, list)
_NESTED = (tuple, list, dict)
HOLD_NOTHING = frozenset({int, float, bool, str, type(None)})
"""Types of what is neither a tensor nor holds one."""


def tensors_in(item: Any) -> list[Tensor]:
    """Every tensor in nested tuples, lists and dicts, in order."""
    if isinstance(item, Tensor):
        return [item]
    found: list[Tensor] = []
    _collect(item, found)
    return found


def _collect(item: Any, found: list[Tensor]) -> None:
    if isinstance(item, Tensor):
        found.append(item)
    elif isinstance(item, _NESTED):
        for part in item.values() if isinstance(item, dict) else item:
            if type(part) not in HOLD_NOTHING:
                _collect(part, found)


_STEPS = frozenset({"heaviside"})


@dataclass(eq=False, slots=True)
class Value:
    """One state of one tensor that depends on the input.

    Attributes:
        index: Position in the order of creation; the network input is 0. A value that stands between two
            recorded ones has a fraction.
        shape: Its shape.
        dtype: Its dtype in the forward pass; comparisons make values, too.
        producer: The call of the canonical tape that makes it; ``None`` for the network input.
        pixels: Whether it is the input image up to slicing, padding and affine maps by constants.
        tensor: The data, where the tape keeps it; see `Trace.data`.
        first_reader: Index of the earliest call that reads it, so the last to need it on the way back.
        maker: The call that made it as it was recorded.
    """

    index: float
    shape: tuple[int, ...]
    dtype: torch.dtype
    producer: OpCall | None
    pixels: bool
    tensor: Tensor | None = None
    first_reader: int | None = None
    maker: OpCall | None = None

    @property
    def discrete(self) -> bool:
        """Whether it is a mask or an index: nothing to differentiate, so it carries no relevance."""
        return not (self.dtype.is_floating_point or self.dtype.is_complex)

    def __repr__(self) -> str:
        return f"Value({self.index:g}, {'x'.join(map(str, self.shape))})"


@dataclass(eq=False, slots=True)
class OpCall:
    """One operation of the forward pass.

    Attributes:
        index: Position on the tape.
        function: The torch callable.
        operation: Its word in the vocabulary, ``None`` if it has none.
        args: Positional arguments, each signal replaced by its `Value`.
        kwargs: Keyword arguments, likewise.
        inputs: The values read, in order of appearance.
        outputs: The values made.
        site: Where it was called.
        before: Zeros (or -inf, for a maximum) that an explicit pad put around the first input; the
            pad is part of this call, so padded positions are no neurons.
        members: The calls that this one stands for, where it stands for several.
    """

    function: Callable[..., Any]
    operation: Operation | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[Value, ...]
    site: Site
    outputs: tuple[Value, ...] = ()
    index: int = 0
    before: tuple[int, ...] = ()
    members: tuple[OpCall, ...] = ()

    def __repr__(self) -> str:  # the arguments hold weights
        shapes = " -> ".join(
            ", ".join("x".join(map(str, value.shape)) for value in values) for values in (self.inputs, self.outputs)
        )
        return f"OpCall({self.index:g}, {self.name}, {shapes}, {self.site})"

    @property
    def name(self) -> str:
        """What torch calls the operation."""
        if self.operation is None and self.members:  # written anew, an unknown operation keeps its name
            return self.members[-1].name
        return self.operation.name if self.operation else operation_name(self.function)

    @property
    def kind(self) -> OpKind | None:
        """The kind of operation, ``None`` if unknown."""
        return self.operation.kind if self.operation else None

    def bound(self) -> dict[str, Any]:
        """The arguments by parameter name."""
        return self.operation.bind(self.args, self.kwargs) if self.operation else dict(self.kwargs)

    def reading(self, changes: Mapping[Value, Value]) -> OpCall:
        """The same call on other inputs, its outputs its own."""

        def change(item: Any) -> Any:
            return changes.get(item, item) if isinstance(item, Value) else item

        inputs = tuple(dict.fromkeys(change(value) for value in self.inputs))
        return replace(self, args=map_nested(self.args, change), kwargs=map_nested(self.kwargs, change), inputs=inputs)

    def run(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run the operation again, out of place, on other tensors in place of `inputs`.

        Returns:
            One tensor for each of `outputs`. Constants are cast where the tensors have another dtype than had
            the inputs, and moved to the device of the signal.
        """
        given: dict[Value, Tensor] = dict(zip(self.inputs, tensors, strict=True))
        if self.name in _STEPS:  # torch has no derivative for them; it is zero
            tensors = tuple(tensor.detach() for tensor in tensors)
            given = dict(zip(self.inputs, tensors, strict=True))
        if self.before:
            fill = -torch.inf if self.kind is OpKind.MAX_POOL else 0.0
            given[self.inputs[0]] = nn.functional.pad(tensors[0], self.before, value=fill)
        written = self.args[0] if self.args and is_in_place(self.function, self.args, self.kwargs) else None
        other = next((t.dtype for v, t in given.items() if t.is_floating_point() and t.dtype != v.dtype), None)
        device = next((t.device for v, t in given.items() if not v.discrete), tensors[0].device if tensors else None)

        def restore(item: Any) -> Any:
            is_written = item is written
            if isinstance(item, Value):
                item = given[item]
            elif other is not None and isinstance(item, Tensor) and item.is_floating_point():
                item = item.to(other)  # constants follow the dtype that the signal is given in
            if isinstance(item, Tensor) and device is not None and item.device != device:
                item = item.to(device)  # and its device: what a view moves is found out on the CPU
            if isinstance(item, Tensor) and item.is_inference():  # autograd would not save such a weight
                item = item.clone()
            return item.clone() if is_written and isinstance(item, Tensor) else item

        args, kwargs = map_nested(self.args, restore), map_nested(self.kwargs, restore)
        result = self.function(*args, **kwargs)
        if operation_name(self.function) == "setitem":
            result = args[0]
        return tuple(tensors_in(result))


def region(members: Sequence[OpCall], entries: Sequence[Value], exit_: Value) -> Callable[..., Tensor]:
    """A function that runs several calls, from tensors for ``entries`` to one for ``exit_``."""

    def run(*tensors: Tensor) -> Tensor:
        known = dict(zip(entries, tensors, strict=True))
        for call in members:
            made = call.run(*[known[value] for value in call.inputs])
            known.update(zip(call.outputs, made, strict=True))
        return known[exit_]

    run.__name__ = "region"
    return run


def _as_it_ran(call: OpCall, device: str) -> AbstractContextManager[Any]:
    """The autocast under which a call ran, which the network may have entered itself; known by its mixed dtypes."""
    constants = [item for item in tensors_in((call.args, call.kwargs)) if item.is_floating_point()]
    dtypes = {value.dtype for value in (*call.inputs, *call.outputs)} | {item.dtype for item in constants}
    half = next((value.dtype for value in (*call.inputs, *call.outputs) if value.dtype in _HALF), None)
    return torch.autocast(device, half, enabled=half is not None and len(dtypes) > 1)


_HALF = frozenset({torch.bfloat16, torch.float16})


@dataclass(eq=False)
class Trace:
    """The tape of one forward pass of ``n`` images.

    Attributes:
        input: The network input's value.
        output: The value the network returned (the logits).
        calls: Every operation on the signal in the canonical vocabulary, in order.
        recorded: Every operation on the signal as it was called, in order.
        barriers: Values that no canonical call may reach across, since relevance starts or ends there.
        twins: For values whose images do not come first, those of the canonical tape in which they do.
        written: Every call that it ever had, those included that others took the place of.
        mixed: Values that mix images or hold some of them only, and the calls that made them.
        module_outputs: What each module returned last, by dotted name.
        n: Number of images.
        dense: Whether the scores are read off an output that is none: a class for each pixel, boxes.
    """

    n: int
    names: dict[int, str]
    input: Value
    calls: list[OpCall] = field(default_factory=list)
    module_outputs: dict[str, Value] = field(default_factory=dict)
    recorded: list[OpCall] = field(default_factory=list)
    barriers: set[Value] = field(default_factory=set)
    twins: dict[Value, Value] = field(default_factory=dict)
    written: set[OpCall] = field(default_factory=set)
    mixed: dict[Value, OpCall] = field(default_factory=dict)
    dense: bool = False
    output: Value = field(init=False)

    def __del__(self) -> None:
        """Undo what its calls and values hold of one another, so that all of it goes now.

        Python finds such rings only now and then, and goes by the number of objects, where one may hold many megabytes.
        """
        pending = [*self.recorded, *self.written]
        while pending:
            call = pending.pop()
            pending += call.members
            for value in (*call.outputs, *call.inputs):
                pending += {one for one in (value.producer, value.maker) if one is not None and one is not call}
                value.producer = value.maker = value.tensor = None

    def copied(self) -> Trace:
        """Another tape of the same pass as it was recorded, with calls and values of its own; the data are shared."""
        own: dict[Value, Value] = {self.input: replace(self.input)}

        def change(item: Any) -> Any:
            return own[item] if isinstance(item, Value) else item

        found = Trace(self.n, self.names, own[self.input], dense=self.dense)
        for call in self.recorded:
            args, kwargs = map_nested(call.args, change), map_nested(call.kwargs, change)
            new = replace(call, args=args, kwargs=kwargs, inputs=tuple(own[value] for value in call.inputs))
            new.outputs = tuple(replace(value, producer=new, maker=new) for value in call.outputs)
            own.update(zip(call.outputs, new.outputs, strict=True))
            found.recorded.append(new)
        found.module_outputs = {name: own[value] for name, value in self.module_outputs.items()}
        found.barriers = {own[value] for value in self.barriers}
        found.output = own[self.output]
        return found

    @property
    def logits(self) -> Tensor:
        """The network's output, ``(n, C)``."""
        return self.data(self.output)

    def data(self, value: Value) -> Tensor:
        """The data of ``value``; computed again from kept values where the tape did not keep it."""
        if value.tensor is None:
            if value.producer is None:
                raise UntracedTensorError("the network input was released; trace with keep=True to propagate twice")
            sources = [self.data(source) for source in value.producer.inputs]
            with (
                torch.inference_mode(mode=False),
                torch.no_grad(),
                _as_it_ran(value.producer, sources[0].device.type),
            ):
                made = value.producer.run(*sources)
            for target, tensor in zip(value.producer.outputs, made, strict=True):
                target.tensor = tensor if target.tensor is None else target.tensor
        assert value.tensor is not None  # noqa: S101  # set just above
        return value.tensor

    def evaluate(self, value: Value, image: Tensor) -> Tensor:
        """What ``value``, one of the `Value.pixels`, would be for another input image."""
        if value.producer is None:
            return image
        inputs = [self.evaluate(source, image) for source in value.producer.inputs]
        return value.producer.run(*inputs)[value.producer.outputs.index(value)]

    def ancestors(self, value: Value) -> set[Value]:
        """Every value that ``value`` depends on, itself included: of the tape as recorded and of the canonical one."""
        found: set[Value] = set()
        pending = [value]
        while pending:
            current = pending.pop()
            if current not in found:
                found.add(current)
                for call in {current.maker, current.producer}:
                    pending.extend(call.inputs if call else ())
        return found

    def layer(self, name: str) -> Value:
        """The output of the module called ``name``.

        Raises:
            LayerError: If there is no such module, or it returned no single tensor that depends on the input.
        """
        if name in self.module_outputs:
            return self.module_outputs[name]
        known = list(self.names.values())
        if name in known:
            raise LayerError(f"the module {name!r} returned no tensor in this forward pass")
        near = nearest(name, list(self.module_outputs))
        raise LayerError(f"no module is called {name!r}; " + (f"did you mean {', '.join(near)}?" if near else ""))
