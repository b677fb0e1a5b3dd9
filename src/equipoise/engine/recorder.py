"""Writing the tape: a forward pass of an unmodified network, watched.

A `Watch` sees each torch call and hands it on here, where it is run as it is (so the result is
bit-equal to a plain pass) and an `OpCall` is appended to the `Trace`. Propagation then walks the tape
backwards; no hook on the model, no autograd graph and no rewritten module is involved.

In-place operations really happen in place. Before one does, values that the tape still needs are
copied, and the tensor object is bound to a new `Value`. So ``y.add_(x)`` is right whether or not its
result is used. A tensor that was changed through *another* one (a view and its base) gets, when it is
read, a new `Value` that puts together what was in the memory and what was written since (`Writes`).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.engine.aliases import Writes
from equipoise.engine.canonical import canonicalize
from equipoise.engine.entrance import check_model, check_scores, checking, python_module, run
from equipoise.engine.operations import OPERATIONS, Operation, OpKind, is_in_place, operation_name
from equipoise.engine.outputs import Output
from equipoise.engine.sites import call_site
from equipoise.engine.trace import HOLD_NOTHING, OpCall, Trace, Value, map_nested, tensors_in
from equipoise.errors import UnsupportedModelError, UntracedTensorError

_KEEPS_NOTHING = frozenset({OpKind.VIEW, OpKind.IDENTITY, OpKind.ACTIVATION, OpKind.GATE})
_AFFINE = frozenset({OpKind.VIEW, OpKind.IDENTITY, OpKind.ADD, OpKind.MULTIPLY})
_VIEW_PROPERTY = Operation("property", OpKind.VIEW)
# Calls that read no data; networks make them many times per layer.
_ASKS_NOTHING = frozenset({
    "size", "dim", "ndimension", "numel", "nelement", "stride", "is_contiguous", "is_floating_point", "is_complex",
    "data_ptr", "_assert", "len", "element_size", "get_device", "storage_offset", "untyped_storage", "repr", "format",
    "bool", "is_inference", "is_same_size", "is_nonzero", "equal", "allclose", "can_cast",
    "result_type", "__int__", "is_set_to", "is_shared", "broadcast_shapes",
})  # fmt: skip

_LEAVES_TORCH = frozenset({"numpy", "array", "__array__", "dlpack", "__dlpack__"})
_BECOMES_A_NUMBER = frozenset({"item", "tolist", "__float__", "__complex__"})
# The second argument gives a shape and nothing else.
_LIKE_ANOTHER: dict[str, Callable[..., Any]] = {
    "expand_as": Tensor.expand, "view_as": Tensor.view, "reshape_as": Tensor.reshape,
}  # fmt: skip
# They take only the shape, the dtype and the device of the signal.
_CONSTANTS = frozenset({
    "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty",
    "new_tensor", "new_empty_strided",
})  # fmt: skip
# Given a constant and the signal, they cast the constant.
_CASTS = frozenset({"to", "type_as"})


def record(model: nn.Module, inputs: Tensor, *, keep: Iterable[OpKind] | None = None, output: Output = None) -> Trace:
    """Run ``model`` on ``inputs`` and write down what happens.

    Args:
        model: Any module in eval mode; nothing of it changes, and nothing stays on it.
        inputs: Float ``(n, ...)``; not modified.
        keep: The kinds of operation whose inputs the tape keeps; ``None`` means all that compute.
            What is not kept is computed again when asked for.
        output: Which part of the model's result is the logits; see `pick_output`.

    Returns:
        The tape.

    Raises:
        ModelModeError: If the forward pass is random or would change running statistics.
        UntracedTensorError: If a tensor enters that the engine did not see being made.
        UnsupportedModelError: If the model cannot be traced at all, such as a TorchScript module.
        NotFiniteError: If a pixel or a weight is NaN or infinite.
        NetworkError: If the model fails.
        ShapeError: If the model does not return logits ``(n, C)``.
    """
    model = python_module(model)
    if isinstance(model, torch.jit.ScriptModule):
        raise UnsupportedModelError("a TorchScript module hides its operations; pass the nn.Module it was made from")
    modules = check_model(model)
    kinds = frozenset(OpKind) - _KEEPS_NOTHING if keep is None else frozenset(keep)
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.no_grad())
        recorder = _Recorder(modules, inputs, kinds)
        recorder.trace.dense = bool(getattr(output, "dense", False))
        recorder.take(getattr(output, "constants", ()))
        handle = nn.modules.module.register_module_forward_hook(recorder.on_module)
        stack.callback(handle.remove)
        with checking(inputs):
            logits = run(model, recorder.image, output, follow=recorder.write)
    trace = recorder.finish(logits)
    check_scores(model, trace.logits, inputs)
    return trace


def _constants(modules: Iterable[nn.Module]) -> Iterator[Tensor]:
    """Every tensor that belongs to modules: parameters, buffers and plain attributes."""
    for module in modules:
        for key, item in vars(module).items():
            if type(item) not in HOLD_NOTHING and (key not in _MODULE_FIELDS or (item and key in _HOLD_TENSORS)):
                yield from tensors_in(item)


_MODULE_FIELDS = frozenset(vars(nn.Module()))
_HOLD_TENSORS = frozenset({"_parameters", "_buffers"})


class _Recorder:
    """What writes; lives for one forward pass, in one thread."""

    def __init__(self, modules: Sequence[tuple[str, nn.Module]], inputs: Tensor, keep: frozenset[OpKind]) -> None:
        self.image = inputs.detach().clone()
        self._keep = keep
        self._modules = {id(module): name for name, module in modules}
        self._thread = threading.get_ident()
        # What each living tensor object stands for: its value (None: a constant), its version and the number of
        # writes to its memory then.
        self._known: dict[int, tuple[weakref.ref[Tensor], Value | None, int, int]] = {}
        self._kept: dict[int, list[Value]] = {}  # by storage, for `_rescue`
        self._writes = Writes()
        self._values = 0
        for tensor in _constants(module for _, module in modules):
            self._known[id(tensor)] = (weakref.ref(tensor), None, 0, 0)  # as `_bind` does, before anything was written
        image = self._new_value(self.image, None, pixels=True)
        self._keep_data(image, self.image)
        self.trace = Trace(inputs.shape[0], self._modules, image)

    def take(self, constants: Iterable[Tensor]) -> None:
        """Know tensors that what picks the output brings along."""
        for tensor in constants:
            self._bind(tensor, None)

    def on_module(self, module: nn.Module, _args: Any, output: Any) -> None:
        """Remember what a module returned."""
        name = self._modules.get(id(module))
        if name is None or threading.get_ident() != self._thread or not isinstance(output, Tensor):
            return
        known = self._known.get(id(output))
        if known is not None and known[1] is not None:
            self.trace.module_outputs[name] = known[1]

    def finish(self, logits: Tensor) -> Trace:
        """Close the tape at the model's logits ``(n, C)``."""
        value = self._read(logits, "the model's output")
        if value is None:
            raise UntracedTensorError("the model's output does not depend on its input")
        self._keep_data(value, logits.detach())
        self.trace.output = value
        self._known.clear()
        self._kept.clear()
        self._writes.clear()
        canonicalize(self.trace)
        return self.trace

    def write(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run a torch function and write it down."""
        what = operation_name(func)
        if what in _ASKS_NOTHING:
            return func(*args, **kwargs)
        if what == "get":
            return self._property(func, args, kwargs)
        read: dict[Value, Tensor] = {}

        def note(item: Any) -> Any:
            value = self._read(item, what) if isinstance(item, Tensor) else None
            if value is None:
                return item
            read[value] = item
            return value

        if what in _LIKE_ANOTHER and len(args) > 1 and isinstance(args[1], Tensor):
            return self.write(_LIKE_ANOTHER[what], (args[0], tuple(args[1].shape)), {})
        written = kwargs.get("out")
        recorded = {key: item for key, item in kwargs.items() if key != "out"}
        recorded_args, recorded = map_nested(args, note), map_nested(recorded, note)
        in_place = is_in_place(func, args, kwargs)
        casts_constant = what in _CASTS and not isinstance(recorded_args[0], Value)
        if not read or what in _CONSTANTS or casts_constant:
            result = func(*args, **kwargs)
            for tensor in tensors_in(result):
                self._bind(tensor, None)
            for tensor in tensors_in(written) if written is not None else ():
                self._bind(tensor, None)
            return result
        self._refuse_leaving(what, read)
        operation = OPERATIONS.get(what)
        self._keep_what_is_needed(operation, read)
        if in_place:
            written = args[0] if written is None else written
            recorded_args = self._prepare_write(written, recorded_args)
        versions = [] if in_place else [(t, t._version) for t in tensors_in((args, kwargs)) if not t.is_inference()]
        result = func(*args, **kwargs)
        if any(tensor._version != version for tensor, version in versions):
            raise UntracedTensorError(
                f"{what} at {call_site(self._modules)} changed an argument in place without saying so by its name"
            )
        results = [args[0]] if what == "setitem" else list(tensors_in(result))
        self._append(OpCall(func, operation, recorded_args, recorded, tuple(read), call_site(self._modules)), results)
        if in_place:
            self._note_writes(written)
        return result

    def _refuse_leaving(self, what: str, read: dict[Value, Tensor]) -> None:
        """Refuse a call whose result is no tensor, so that the signal would be lost without a word."""
        if what in _LEAVES_TORCH or (what in _BECOMES_A_NUMBER and not all(value.discrete for value in read)):
            raise UntracedTensorError(
                f"{what} at {call_site(self._modules)} takes the signal out of torch's sight; keep it a tensor"
            )

    def _prepare_write(self, written: Any, recorded: tuple[Any, ...]) -> tuple[Any, ...]:
        for tensor in tensors_in(written):
            self._rescue(tensor)
            known = self._known.get(id(tensor))
            if known is not None and known[1] is None:  # a constant that the signal is written into
                self._writes.remember(tensor)
            if recorded and recorded[0] is tensor:
                return (tensor.clone(), *recorded[1:])
        return recorded

    def _note_writes(self, written: Any) -> None:
        for tensor in tensors_in(written):
            known = self._known.get(id(tensor))
            if known is not None and known[1] is not None:
                self._writes.add(tensor, known[1])
                self._bind(tensor, known[1])

    def _append(self, call: OpCall, results: Sequence[Tensor]) -> None:
        if not results:
            return
        affine = call.kind in _AFFINE or call.name == "batch_norm"
        joined = call.kind is OpKind.CONCATENATE  # some networks normalize their input color by color
        pixels = joined or (affine and (len(call.inputs) == 1 or call.kind is OpKind.VIEW))
        pixels = pixels and all(value.pixels for value in call.inputs)
        call.outputs = tuple(self._new_value(tensor, call, pixels=pixels) for tensor in results)
        self.trace.recorded.append(call)

    def _property(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        if isinstance(result, Tensor) and result is not args[0]:
            value = self._read(args[0], "a property")
            if value is None:
                self._bind(result, None)
            else:
                self._append(OpCall(func, _VIEW_PROPERTY, (value,), {}, (value,), call_site(self._modules)), [result])
        return result

    def _read(self, tensor: Tensor, what: str) -> Value | None:
        """The value that ``tensor`` stands for, or ``None`` for a constant."""
        known = self._known.get(id(tensor))
        if known is None or known[0]() is not tensor:
            if not (tensor.is_floating_point() or tensor.is_complex()) or tensor.dim() == 0:
                return None
            raise UntracedTensorError(
                f"a tensor of shape {tuple(tensor.shape)} reached {what} at {call_site(self._modules)} without the "
                "engine having seen where it came from: a TorchScript function or a custom autograd Function made it, "
                "or it is a constant that no module holds (make it a buffer)"
            )
        _, value, version, writes = known
        if self._writes.count(tensor) > writes:
            value = self._refreshed(tensor, value, writes)
        elif value is not None and tensor._version != version:
            raise UntracedTensorError(
                f"a tensor of shape {tuple(tensor.shape)}, read by {what} at {call_site(self._modules)}, was changed "
                "in place in a way that the engine did not see; make that change out of place"
            )
        return value

    def _refreshed(self, tensor: Tensor, value: Value | None, since: int) -> Value:
        """The value of a tensor whose memory others have written to ``since``."""
        call = self._writes.overwritten(tensor, value, since, call_site(self._modules))
        self._append(call, [tensor])
        return call.outputs[0]

    def _new_value(self, tensor: Tensor, producer: OpCall | None, *, pixels: bool) -> Value:
        value = Value(float(self._values), tuple(tensor.shape), tensor.dtype, producer, pixels, maker=producer)
        self._values += 1
        self._bind(tensor, value)
        return value

    def _bind(self, tensor: Tensor, value: Value | None) -> None:
        version = 0 if tensor.is_inference() else tensor._version
        self._known[id(tensor)] = (weakref.ref(tensor), value, version, self._writes.count(tensor))

    def _keep_what_is_needed(self, operation: Operation | None, read: dict[Value, Tensor]) -> None:
        needed = operation is None or operation.kind in self._keep
        for value, tensor in read.items():
            if needed or tensor.dim() <= 2:  # vectors of features are cheaper to keep than to make again
                self._keep_data(value, tensor)

    def _keep_data(self, value: Value, tensor: Tensor) -> None:
        if value.tensor is None:
            value.tensor = tensor.detach()
            self._kept.setdefault(tensor.untyped_storage().data_ptr(), []).append(value)

    def _rescue(self, tensor: Tensor) -> None:
        """Copy every kept value whose memory is about to be overwritten."""
        for value in self._kept.pop(tensor.untyped_storage().data_ptr(), []):
            if value.tensor is not None:
                value.tensor = value.tensor.clone()
