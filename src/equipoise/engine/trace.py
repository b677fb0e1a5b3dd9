"""The tape: one forward pass as a list of operations on the signal, in order, with what each read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from equipoise._registry import nearest
from equipoise.engine.operations import Operation, OpKind, is_in_place, operation_name
from equipoise.engine.sites import Site
from equipoise.errors import LayerError, UntracedTensorError


def map_nested(item: Any, change: Callable[[Any], Any]) -> Any:
    """Apply ``change`` to every leaf of nested tuples, lists and dicts."""
    if isinstance(item, tuple | list):
        return (
            type(item)(map_nested(part, change) for part in item)
            if type(item) in (tuple, list)
            else tuple(map_nested(part, change) for part in item)
        )
    if isinstance(item, dict):
        return {key: map_nested(part, change) for key, part in item.items()}
    return change(item)


def tensors_in(item: Any) -> Iterator[Tensor]:
    """Every tensor in nested tuples, lists and dicts, in order."""
    if isinstance(item, Tensor):
        yield item
    elif isinstance(item, tuple | list):
        for part in item:
            yield from tensors_in(part)
    elif isinstance(item, dict):
        yield from tensors_in(list(item.values()))


@dataclass(eq=False, slots=True)
class Value:
    """One state of one tensor that depends on the input.

    Attributes:
        index: Position in the order of creation; the network input is 0.
        shape: Its shape, batch dimension first.
        dtype: Its dtype in the forward pass.
        producer: The call that made it; ``None`` for the network input.
        pixels: Whether it is the input image up to slicing, padding and affine maps by constants.
        tensor: The data, where the tape keeps it; see `Trace.data`.
        first_reader: Index of the earliest call that reads it, so the last to need it on the way back.
    """

    index: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    producer: OpCall | None
    pixels: bool
    tensor: Tensor | None = None
    first_reader: int | None = None

    def __repr__(self) -> str:
        return f"Value({self.index}, {'x'.join(map(str, self.shape))})"


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

    @property
    def name(self) -> str:
        """What torch calls the operation."""
        return self.operation.name if self.operation else operation_name(self.function)

    @property
    def kind(self) -> OpKind | None:
        """The kind of operation, ``None`` if unknown."""
        return self.operation.kind if self.operation else None

    def bound(self) -> dict[str, Any]:
        """The arguments by parameter name."""
        return self.operation.bind(self.args, self.kwargs) if self.operation else dict(self.kwargs)

    def absorb(self, source: Value, before: tuple[int, ...]) -> None:
        """Read ``source`` instead of its zero-padded copy, and pad it here."""
        padded = self.inputs[0]

        def change(item: Any) -> Any:
            return source if item is padded else item

        self.args, self.kwargs = map_nested(self.args, change), map_nested(self.kwargs, change)
        self.inputs = (source, *self.inputs[1:])
        self.before = before

    def run(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Run the operation again, out of place, on other tensors in place of `inputs`.

        Returns:
            One tensor for each of `outputs`.
        """
        given: dict[Value, Tensor] = dict(zip(self.inputs, tensors, strict=True))
        if self.before:
            fill = -torch.inf if self.kind is OpKind.MAX_POOL else 0.0
            given[self.inputs[0]] = nn.functional.pad(tensors[0], self.before, value=fill)
        written = self.args[0] if is_in_place(self.function, self.args, self.kwargs) else None

        def restore(item: Any) -> Any:
            is_written = item is written
            item = given[item] if isinstance(item, Value) else item
            if isinstance(item, Tensor) and item.is_inference():  # autograd would not save such a weight
                item = item.clone()
            return item.clone() if is_written and isinstance(item, Tensor) else item

        args, kwargs = map_nested(self.args, restore), map_nested(self.kwargs, restore)
        result = self.function(*args, **kwargs)
        if operation_name(self.function) == "setitem":
            result = args[0]
        return tuple(tensor for tensor in tensors_in(result) if tensor.is_floating_point())


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
        calls: Every operation on the signal, in order.
        module_outputs: What each module returned last, by dotted name.
        n: Number of images.
    """

    n: int
    names: dict[int, str]
    input: Value
    calls: list[OpCall] = field(default_factory=list)
    module_outputs: dict[str, Value] = field(default_factory=dict)
    output: Value = field(init=False)

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
                target.tensor = tensor
        assert value.tensor is not None  # noqa: S101  # set just above
        return value.tensor

    def evaluate(self, value: Value, image: Tensor) -> Tensor:
        """What ``value``, one of the `Value.pixels`, would be for another input image."""
        if value.producer is None:
            return image
        inputs = [self.evaluate(source, image) for source in value.producer.inputs]
        return value.producer.run(*inputs)[value.producer.outputs.index(value)]

    def ancestors(self, value: Value) -> set[Value]:
        """Every value that ``value`` depends on, itself included."""
        found: set[Value] = set()
        pending = [value]
        while pending:
            current = pending.pop()
            if current not in found:
                found.add(current)
                pending.extend(current.producer.inputs if current.producer else ())
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
