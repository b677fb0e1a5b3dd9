"""The vocabulary: which torch call is which kind of operation, and how its arguments are named.

A network speaks in a few dozen words, whether it uses modules, functions or operators. Adding a
word is one call of `register`; giving it a rule is a composite's business.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from equipoise._registry import Registry


class OpKind(enum.Enum):
    """What an operation does to the signal; composites give rules to kinds."""

    LINEAR = "linear map"
    """Convolution, transposed convolution, linear layer: weights known, signal in, signal out."""
    MAX_POOL = "max pool"
    AVERAGE_POOL = "average pool"
    """Any fixed average of positions: average pools, means, interpolation."""
    NORM = "normalization"
    ACTIVATION = "activation"
    GATE = "gate activation"
    """Squashes to a bounded factor (sigmoid, softmax): its result usually multiplies a signal."""
    ADD = "addition"
    MULTIPLY = "multiplication"
    CONCATENATE = "concatenation"
    REDUCE = "sum"
    """A sum over dimensions, such as over stacked branches."""
    VIEW = "view"
    """Moves, copies or drops entries without arithmetic: reshape, slice, permute, pad, split."""
    IDENTITY = "identity"
    MATMUL = "matrix product of two signals"


@dataclass(frozen=True, slots=True)
class Operation:
    """One word of the vocabulary.

    Attributes:
        name: As torch calls it, without the in-place underscore.
        kind: What it does to the signal.
        parameters: Names of the leading positional parameters, where a rule or the engine reads them.
        refuse: Called with the bound arguments before the operation runs; returns a sentence that
            says why the operation cannot be traced, or ``None``.
    """

    name: str
    kind: OpKind
    parameters: tuple[str, ...] = ()
    refuse: Callable[[Mapping[str, Any]], str | None] | None = None

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Name the positional arguments that have names here."""
        return {**dict(zip(self.parameters, args, strict=False)), **kwargs}


OPERATIONS: Registry[Operation] = Registry("operation")
"""Every operation the engine knows, by torch's name for it."""


def register(
    names: str,
    kind: OpKind,
    parameters: str = "",
    refuse: Callable[[Mapping[str, Any]], str | None] | None = None,
) -> None:
    """Add words, separated by blanks, to the vocabulary.

    Example:
        >>> register("my_custom_relu", OpKind.ACTIVATION)
        >>> OPERATIONS["my_custom_relu"].kind.value
        'activation'
    """
    for name in names.split():
        OPERATIONS.add(name, Operation(name, kind, tuple(parameters.split()), refuse))


def operation_name(function: Callable[..., Any]) -> str:
    """The name a torch callable goes by here: ``add`` for ``add_``, ``__iadd__``, ``__radd__``, ``torch.add``."""
    name: str = getattr(function, "__name__", str(function))
    if name.startswith("__") and name.endswith("__"):
        inner = name[2:-2]
        return _DUNDER.get(inner, inner)
    return name[:-1] if name.endswith("_") and not name.startswith("_") else name


def is_in_place(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call says that it writes into its first argument."""
    name: str = getattr(function, "__name__", "")
    if name.startswith("__"):
        return name == "__setitem__" or (name.startswith("__i") and name not in _NOT_IN_PLACE)
    if name.endswith("_") or kwargs.get("out") is not None:
        return True
    if "inplace" in kwargs:
        return bool(kwargs["inplace"])
    position = _INPLACE_POSITION.get(name)
    return position is not None and len(args) > position and bool(args[position])


_NOT_IN_PLACE = {"__int__", "__index__", "__init__", "__invert__", "__iter__"}
_DUNDER = {
    "iadd": "add", "radd": "add", "isub": "sub", "imul": "mul", "rmul": "mul", "itruediv": "div",
    "truediv": "div", "matmul": "matmul", "rmatmul": "matmul", "pow": "pow", "neg": "neg", "rsub": "rsub",
    "getitem": "getitem", "setitem": "setitem", "rtruediv": "rdiv", "rdiv": "rdiv", "ipow": "pow",
}  # fmt: skip
_INPLACE_POSITION = {
    "relu": 1, "relu6": 1, "silu": 1, "mish": 1, "selu": 1, "celu": 2, "elu": 2, "leaky_relu": 2,
    "hardswish": 1, "hardsigmoid": 1, "hardtanh": 3, "threshold": 3, "dropout": 3, "dropout2d": 3,
    "alpha_dropout": 3, "feature_dropout": 3, "rrelu": 4,
}  # fmt: skip


def _dropout_training(bound: Mapping[str, Any]) -> str | None:
    active = bound.get("training", True) and bound.get("p", 0.5) > 0
    return "dropout is active, so the network is in train mode" if active else None


def _norm_training(bound: Mapping[str, Any]) -> str | None:
    if bound.get("training", False):
        return "batch normalization uses the batch's own statistics, so an image would depend on its batch"
    return None


def _rrelu_training(bound: Mapping[str, Any]) -> str | None:
    return "rrelu draws random slopes in train mode" if bound.get("training", False) else None


_CONV = "input weight bias stride padding dilation groups"
register("conv1d conv2d conv3d", OpKind.LINEAR, _CONV)
register(
    "conv_transpose1d conv_transpose2d conv_transpose3d",
    OpKind.LINEAR,
    "input weight bias stride padding output_padding groups dilation",
)
register("linear", OpKind.LINEAR, "input weight bias")

register("max_pool1d max_pool2d max_pool3d", OpKind.MAX_POOL, "input kernel_size stride padding dilation")
register("adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax max", OpKind.MAX_POOL)
register("avg_pool1d avg_pool2d avg_pool3d mean interpolate upsample", OpKind.AVERAGE_POOL)
register("adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d", OpKind.AVERAGE_POOL)

register(
    "batch_norm",
    OpKind.NORM,
    "input running_mean running_var weight bias training momentum eps",
    _norm_training,
)
register("layer_norm group_norm instance_norm local_response_norm rms_norm normalize", OpKind.NORM)

register(
    "relu relu6 leaky_relu elu selu celu gelu silu mish hardswish softplus softsign prelu hardtanh threshold "
    "clamp clamp_min clamp_max clip abs square pow sqrt rsqrt logsigmoid hardshrink softshrink tanhshrink "
    "log_softmax neg",
    OpKind.ACTIVATION,
)
register("rrelu", OpKind.ACTIVATION, "input lower upper training inplace", _rrelu_training)
register("sigmoid hardsigmoid tanh softmax exp", OpKind.GATE)

register("add sub rsub", OpKind.ADD, "input other")
register("mul multiply div true_divide", OpKind.MULTIPLY, "input other")
register("cat concat concatenate stack hstack vstack", OpKind.CONCATENATE, "tensors dim")
register("sum", OpKind.REDUCE)
register("matmul mm bmm", OpKind.MATMUL, "input other")

register("dropout", OpKind.IDENTITY, "input p training", _dropout_training)
register("dropout1d dropout2d dropout3d feature_dropout alpha_dropout", OpKind.IDENTITY, "input p training",
         _dropout_training)  # fmt: skip
register(
    "clone contiguous to float double half bfloat16 type type_as cpu cuda detach requires_grad alias positive",
    OpKind.IDENTITY,
)
register(
    "reshape view flatten unflatten squeeze unsqueeze permute transpose t movedim moveaxis swapaxes swapdims "
    "expand expand_as repeat tile reshape_as view_as getitem narrow select slice chunk split unbind unsafe_chunk "
    "unsafe_split tensor_split split_with_sizes flip roll pad pixel_shuffle pixel_unshuffle channel_shuffle "
    "unfold index_select broadcast_to repeat_interleave rot90 native_channel_shuffle",
    OpKind.VIEW,
)  # fmt: skip
