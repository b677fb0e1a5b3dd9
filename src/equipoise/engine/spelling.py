"""Operations of ``torch.ops.aten`` in torch's everyday spelling: exported programs speak nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from equipoise.engine.operations import is_operator, plain_name

Function = Callable[..., Any]


def everyday(func: Function) -> Function:
    """The function of `torch`, `torch.nn.functional` or `Tensor` that does what ``func`` does and takes its arguments.

    Args:
        func: Any torch function; only those of ``torch.ops.aten`` have another spelling.

    Returns:
        It, or ``func`` itself where there is none.
    """
    if not is_operator(func) or not str(func).startswith("aten."):
        return func
    name = plain_name(func)
    if name in _ADAPTED:
        return _ADAPTED[name]
    if name.endswith("_"):
        return getattr(Tensor, name, None) or _in_place(name[:-1]) or func
    homes = (torch, F, Tensor)
    return next((found for home in homes if callable(found := getattr(home, name, None))), func)


def _in_place(name: str) -> Function | None:
    function = getattr(F, name, None)
    if function is None:
        return None

    def write(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs, inplace=True)

    return write


def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    var: Tensor | None,
    *rest: Any,
    **options: Any,
) -> Tensor:
    names = ("training", "momentum", "eps")
    options = dict(zip(names, rest, strict=False)) | {key: value for key, value in options.items() if key in names}
    return F.batch_norm(x, mean, var, weight, bias, **options)


def _instance_norm(  # noqa: PLR0917  # as aten orders them
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    var: Tensor | None,
    use_input_stats: bool,  # noqa: FBT001  # as aten orders it
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,  # noqa: FBT001  # as aten orders it
) -> Tensor:
    del cudnn_enabled
    return F.instance_norm(x, mean, var, weight, bias, use_input_stats, momentum, eps)


def _batch_norm_in_eval(  # noqa: PLR0917  # as aten orders them
    x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, momentum: float, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    none = torch.empty(0)
    return F.batch_norm(x, mean, var, weight, bias, momentum=momentum, eps=eps), none, none


def _layer_norm(x: Tensor, shape: Sequence[int], *rest: Any, **options: Any) -> Tensor:
    options.pop("cudnn_enable", None)
    return F.layer_norm(x, list(shape), *rest[:3], **options)


def _layer_norm_and_more(x: Tensor, shape: Sequence[int], *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    none = torch.empty(0)
    return _layer_norm(x, shape, *rest), none, none


def _group_norm(x: Tensor, groups: int, *rest: Any, **options: Any) -> Tensor:
    options.pop("cudnn_enabled", None)
    return F.group_norm(x, groups, *rest[:3], **options)


def _convolution(  # noqa: PLR0917  # as aten orders them
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,  # noqa: FBT001  # as aten orders it
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    d = weight.dim() - 2
    if transposed:
        turned: Callable[..., Tensor] = getattr(F, f"conv_transpose{d}d")
        return turned(x, weight, bias, stride, padding, output_padding, groups, dilation)
    plain: Callable[..., Tensor] = getattr(F, f"conv{d}d")
    return plain(x, weight, bias, stride, padding, dilation, groups)


def _slice(x: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Tensor:
    return x[(slice(None),) * (dim % x.dim()) + (slice(start, end, step),)]


def _pad(x: Tensor, pad: Sequence[int], value: float = 0) -> Tensor:
    return F.pad(x, list(pad), "constant", value)


def _resized(mode: str) -> Function:
    def resize(x: Tensor, size: Sequence[int] | None, *rest: Any, **options: Any) -> Tensor:
        aligned = bool(rest[0]) if mode in _ALIGNS and rest else options.get("align_corners", False)
        factors = rest[-1] if rest and isinstance(rest[-1], list | tuple) else options.get("scale_factors")
        corners = {"align_corners": aligned} if mode in _ALIGNS else {}
        return F.interpolate(
            x, None if size is None else list(size), None if factors is None else list(factors), mode, **corners
        )

    return resize


_ALIGNS = frozenset({"linear", "bilinear", "trilinear", "bicubic"})
_ADAPTED: dict[str, Function] = {
    "batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm_in_eval,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "native_layer_norm": _layer_norm_and_more,
    "group_norm": _group_norm,
    "convolution": _convolution,
    "slice": _slice,
    "constant_pad_nd": _pad,
    "pad": F.pad,
    "upsample_nearest1d": _resized("nearest"),
    "upsample_nearest2d": _resized("nearest"),
    "upsample_nearest3d": _resized("nearest"),
    "upsample_linear1d": _resized("linear"),
    "upsample_bilinear2d": _resized("bilinear"),
    "upsample_trilinear3d": _resized("trilinear"),
    "upsample_bicubic2d": _resized("bicubic"),
}
