"""The vocabulary: which torch call is which kind of operation, and how its arguments are named.

A network speaks in a few dozen words, whether it uses modules, functions or operators. Adding a
word is one call of `register`; giving it a rule is a composite's business.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

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
    MAXIMUM = "maximum"
    """The larger (or smaller) of several signals, entry by entry."""
    SELECT = "choice"
    """A choice between signals by a mask, entry by entry."""
    MASK = "comparison"
    """A comparison or another result without a derivative: it carries no relevance."""
    VIEW = "view"
    """Moves, copies or drops entries without arithmetic: reshape, slice, permute, pad, split."""
    IDENTITY = "identity"
    MATMUL = "matrix product of two signals"

    # There is one of each: enum's own hash is a call of Python for each look into a set, of which there are thousands.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Operation:
    """One word of the vocabulary.

    Attributes:
        name: As torch calls it, without the in-place underscore.
        kind: What it does to the signal.
        parameters: Names of the leading positional parameters, where a rule or the engine reads them.
        pointwise: Whether each entry of the result depends on one entry of each signal, up to broadcasting.
    """

    name: str
    kind: OpKind
    parameters: tuple[str, ...] = ()
    pointwise: bool = False

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Name the positional arguments that have names here."""
        return {**dict(zip(self.parameters, args, strict=False)), **kwargs}


_POINTWISE = frozenset({
    OpKind.ACTIVATION, OpKind.GATE, OpKind.ADD, OpKind.MULTIPLY, OpKind.MAXIMUM, OpKind.SELECT, OpKind.MASK,
    OpKind.IDENTITY,
})  # fmt: skip

OPERATIONS: Registry[Operation] = Registry("operation")
"""Every operation the engine knows, by torch's name for it."""


def register(
    names: str,
    kind: OpKind,
    parameters: str = "",
    *,
    pointwise: bool | None = None,
) -> None:
    """Add words, separated by blanks, to the vocabulary.

    Args:
        names: What torch calls the operations.
        kind: What they do.
        parameters: Names of the leading positional parameters, separated by blanks.
        pointwise: Whether they work entry by entry; ``None``: as most operations of the kind do.

    Example:
        >>> register("my_custom_relu", OpKind.ACTIVATION)
        >>> OPERATIONS["my_custom_relu"].kind.value
        'activation'
    """
    each = kind in _POINTWISE if pointwise is None else pointwise
    for name in names.split():
        OPERATIONS.add(name, Operation(name, kind, tuple(parameters.split()), each))


def per_dimension(bound: Mapping[str, Any], d: int, name: str, default: Any) -> tuple[int, ...]:
    """An argument of a convolution or pool, such as its stride, as one number for each of ``d`` dimensions."""
    given = bound.get(name)
    given = default if given is None or given == [] else given
    return (given,) * d if isinstance(given, int) else tuple(given) * (d // len(given))


def operation_name(function: Callable[..., Any]) -> str:
    """The name a torch callable goes by here: ``add`` for ``add_``, ``__iadd__``, ``torch.add`` and ``aten.add``."""
    name = plain_name(function)
    if name.startswith("__") and name.endswith("__"):
        inner = name[2:-2]
        return _DUNDER.get(inner, inner)
    name = name[:-1] if name.endswith("_") and not name.startswith("_") else name
    return _SYNONYMS.get(name, name)


def plain_name(function: Callable[..., Any]) -> str:
    """Torch's name for a callable; operators of `torch.ops`, of which exported programs are made, without overload."""
    name: str = getattr(function, "__name__", str(function))
    return name.split(".", 1)[0] if is_operator(function) else name


def is_operator(function: Callable[..., Any]) -> bool:
    """Whether a callable is one of `torch.ops`, whose arguments stand in the order of its schema."""
    return isinstance(function, _OPERATORS)


_OPERATORS = (torch._ops.OpOverload, torch._ops.OpOverloadPacket)  # noqa: SLF001  # no public name


def is_in_place(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call says that it writes into its first argument."""
    name = plain_name(function)
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
    "getitem": "getitem", "setitem": "setitem", "rtruediv": "rdiv", "rdiv": "rdiv", "ipow": "pow", "float": "__float__",
    "int": "__int__", "and": "logical_and", "or": "logical_or", "xor": "logical_xor", "invert": "logical_not",
    "iand": "logical_and", "ior": "logical_or",
}  # fmt: skip
_SYNONYMS = {
    "multiply": "mul", "true_divide": "div", "divide": "div", "subtract": "sub", "greater": "gt", "greater_equal": "ge",
    "less": "lt", "less_equal": "le", "not_equal": "ne", "negative": "neg", "absolute": "abs", "clip": "clamp",
    "concat": "cat", "concatenate": "cat", "special_expit": "sigmoid", "fmax": "maximum", "fmin": "minimum",
    "bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_not": "logical_not", "special_erf": "erf",
    "_unsafe_view": "view", "max_pool1d_with_indices": "max_pool1d", "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d", "adaptive_max_pool1d_with_indices": "adaptive_max_pool1d",
    "adaptive_max_pool2d_with_indices": "adaptive_max_pool2d",
    "adaptive_max_pool3d_with_indices": "adaptive_max_pool3d", "special_log1p": "log1p", "_softmax": "softmax",
    "_threshold": "threshold", "log_sigmoid": "logsigmoid",
    "special_ndtr": "ndtr", "special_exp2": "exp2", "special_expm1": "expm1", "special_log_softmax": "log_softmax",
    "special_softmax": "softmax", "matrix_norm": "linalg_norm",
}  # fmt: skip
_INPLACE_POSITION = {
    "relu": 1, "relu6": 1, "silu": 1, "mish": 1, "selu": 1, "celu": 2, "elu": 2, "leaky_relu": 2,
    "hardswish": 1, "hardsigmoid": 1, "hardtanh": 3, "threshold": 3, "dropout": 3, "dropout2d": 3,
    "alpha_dropout": 3, "feature_dropout": 3, "rrelu": 4,
}  # fmt: skip


_CONV = "input weight bias stride padding dilation groups"
register("conv1d conv2d conv3d", OpKind.LINEAR, _CONV)
register(
    "conv_transpose1d conv_transpose2d conv_transpose3d",
    OpKind.LINEAR,
    "input weight bias stride padding output_padding groups dilation",
)
register("linear", OpKind.LINEAR, "input weight bias")

register("max_pool1d max_pool2d max_pool3d", OpKind.MAX_POOL, "input kernel_size stride padding dilation")
register("adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d", OpKind.MAX_POOL, "input output_size")
register("amax amin max min", OpKind.MAX_POOL, "input dim keepdim")
register("topk", OpKind.MAX_POOL, "input k dim")
register("avg_pool1d avg_pool2d avg_pool3d interpolate upsample", OpKind.AVERAGE_POOL)
register("mean", OpKind.AVERAGE_POOL, "input dim keepdim")
register("adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d", OpKind.AVERAGE_POOL, "input output_size")

register(
    "batch_norm",
    OpKind.NORM,
    "input running_mean running_var weight bias training momentum eps",
    pointwise=True,
)
register("layer_norm group_norm instance_norm local_response_norm rms_norm normalize", OpKind.NORM)

register(
    "relu relu6 leaky_relu elu selu celu gelu silu mish hardswish softplus softsign prelu hardtanh threshold "
    "clamp clamp_min clamp_max abs square pow sqrt rsqrt logsigmoid hardshrink softshrink tanhshrink neg "
    "rdiv rpow reciprocal exp exp2 expm1 log log1p log2 log10 erf erfc sin cos logaddexp sign heaviside nan_to_num "
    "round floor ceil trunc ndtr atan asinh sinh cosh tan",
    OpKind.ACTIVATION,
    "input",
)
register("log_softmax", OpKind.ACTIVATION, "input dim", pointwise=False)
register("rrelu", OpKind.ACTIVATION, "input lower upper training inplace")
register("sigmoid hardsigmoid tanh", OpKind.GATE, "input")
register("softmax softmin", OpKind.GATE, "input dim", pointwise=False)

register("add sub rsub", OpKind.ADD, "input other")
register("mul div", OpKind.MULTIPLY, "input other")
register("lerp", OpKind.ADD, "input end weight")
register("addcmul addcdiv", OpKind.ADD, "input tensor1 tensor2")
register("maximum minimum", OpKind.MAXIMUM, "input other")
register("where", OpKind.SELECT, "condition input other")
register("masked_fill", OpKind.SELECT, "input mask value")
register("gt lt ge le eq ne logical_and logical_or logical_xor logical_not isnan isinf isfinite signbit", OpKind.MASK)
register("argmax argmin argsort", OpKind.MASK, pointwise=False)
register("cat", OpKind.CONCATENATE, "tensors dim")
register("stack", OpKind.CONCATENATE, "tensors dim")
register("hstack vstack", OpKind.CONCATENATE, "tensors")
register("sum", OpKind.AVERAGE_POOL, "input dim keepdim")
register("matmul mm bmm mv inner", OpKind.MATMUL, "input other")
register("addmm addbmm baddbmm addmv", OpKind.MATMUL, "input mat1 mat2")
register("einsum", OpKind.MATMUL, "equation operands")
register("tensordot", OpKind.MATMUL, "input other dims")
register("bilinear", OpKind.MATMUL, "input1 input2 weight bias")

register("dropout", OpKind.IDENTITY, "input p training")
register("dropout1d dropout2d dropout3d feature_dropout alpha_dropout", OpKind.IDENTITY, "input p training")
register(
    "clone contiguous to float double half bfloat16 type type_as cpu cuda detach requires_grad alias positive",
    OpKind.IDENTITY,
    "input",
)
register(
    "reshape view flatten unflatten squeeze unsqueeze permute transpose t movedim moveaxis swapaxes swapdims "
    "expand expand_as repeat tile reshape_as view_as getitem narrow select slice chunk split unbind unsafe_chunk "
    "unsafe_split tensor_split split_with_sizes flip roll pad pixel_shuffle pixel_unshuffle channel_shuffle "
    "unfold index_select broadcast_to repeat_interleave rot90 native_channel_shuffle setitem copy index_copy "
    "slice_scatter select_scatter as_strided gather take_along_dim overwrite broadcast_tensors adjoint ravel "
    "hsplit vsplit dsplit masked_select take meshgrid",
    OpKind.VIEW,
)  # fmt: skip
