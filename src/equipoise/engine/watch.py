"""Watching a network run: chance and batch statistics are refused, and nothing hides from the gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NoReturn, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from equipoise.engine.operations import is_operator, plain_name
from equipoise.engine.sites import call_site
from equipoise.engine.spelling import everyday
from equipoise.errors import (
    EquipoiseError,
    ModelModeError,
    NetworkError,
    ShapeError,
    UnsupportedModelError,
    UntracedTensorError,
)

Write: TypeAlias = Callable[[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]], Any]
"""Runs a torch function on its arguments, and writes down that it did."""

Follow: TypeAlias = Literal["autograd"] | Write | None

Refusal: TypeAlias = Callable[[Callable[..., Any], Sequence[Any], Mapping[str, Any]], str | None]
"""From a torch function and its arguments to the sentence that refuses it, or ``None``."""


def _argument(args: Sequence[Any], kwargs: Mapping[str, Any], position: int, names: str, default: Any = None) -> Any:
    for name in names.split():
        if name in kwargs:
            return kwargs[name]
    return args[position] if len(args) > position else default


def _random(func: Callable[..., Any], _args: Sequence[Any], _kwargs: Mapping[str, Any]) -> str:
    name = getattr(func, "__name__", "this call")
    return f"{name} draws random numbers, so two passes differ; draw them once and keep them as a buffer"


def _dropout(*, default: bool) -> Refusal:
    def refuse(_func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        p = _argument(args, kwargs, 1, "p", 0.5)
        if p > 0 and _argument(args, kwargs, 2, "training train", default):
            return "dropout is active; pass it training=self.training, then call model.eval()"
        return None

    return refuse


def _batch_norm(_func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    if _argument(args, kwargs, 5, "training use_input_stats", default=False):
        return (
            "batch normalization uses the batch's own statistics, so an image would depend on its batch; keep running "
            "statistics (track_running_stats=True), then call model.eval()"
        )
    return None


def _instance_norm(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    mean = _argument(args, kwargs, 1 if func is F.instance_norm else 3, "running_mean")
    if mean is not None and _argument(args, kwargs, 5, "use_input_stats", default=True):
        return "instance normalization would change its running statistics; call model.eval() first"
    return None


def _rrelu(position: int) -> Refusal:
    def refuse(_func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        if _argument(args, kwargs, position, "training", default=False):
            return "rrelu draws random slopes; pass it training=self.training, then call model.eval()"
        return None

    return refuse


def _attention_dropout(position: int, training: int | None) -> Refusal:
    def refuse(_func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
        active = training is None or _argument(args, kwargs, training, "training", default=True)
        if active and _argument(args, kwargs, position, "dropout_p", 0.0) > 0:
            return "attention's dropout is active; pass it dropout_p=0 in eval mode, then call model.eval()"
        return None

    return refuse


def _fractional_pool(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    samples = _argument(args, kwargs, 5, "_random_samples")
    return _random(func, args, kwargs) if samples is None else None


_REFUSALS: dict[str, Refusal] = {}
"""What is refused by name; a call's in-place underscore and its overload are left out."""


def _register(names: str, refusal: Refusal) -> None:
    _REFUSALS.update(dict.fromkeys(names.split(), refusal))


_register(
    "rand randn randint rand_like randn_like randint_like randperm bernoulli normal uniform exponential geometric "
    "cauchy log_normal random multinomial poisson binomial _standard_gamma _sample_dirichlet gumbel_softmax",
    _random,
)
_register("dropout dropout1d dropout2d dropout3d feature_dropout native_dropout", _dropout(default=True))
_register("alpha_dropout feature_alpha_dropout", _dropout(default=False))
_register("batch_norm native_batch_norm cudnn_batch_norm _native_batch_norm_legit", _batch_norm)
_register("instance_norm", _instance_norm)
_register("rrelu", _rrelu(3))
_register("rrelu_with_noise", _rrelu(4))
_register("scaled_dot_product_attention", _attention_dropout(4, None))
_register("multi_head_attention_forward", _attention_dropout(10, 13))
_register("fractional_max_pool2d fractional_max_pool2d_with_indices", _fractional_pool)
_register("fractional_max_pool3d fractional_max_pool3d_with_indices", _fractional_pool)

_CONVOLVES = {
    **{f"conv{d}d": d + 2 for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": d + 2 for d in (1, 2, 3)},
}
_QUANTIZES = frozenset({"quantize_per_tensor", "quantize_per_channel", "quantize_per_tensor_dynamic"})
_HIDES = frozenset({"detach", "detach_", "requires_grad_"})
_LEAVES_TORCH = frozenset({"numpy", "__array__", "__dlpack__"})
_SET_GRAD = torch._C._set_grad_enabled  # noqa: SLF001  # what no_grad and set_grad_enabled call


class Watch(TorchFunctionMode):
    """Sees each torch call of a forward pass before it runs; holds for one pass, in one thread.

    ``inference_mode`` inside the network has no effect. Where the signal is followed, ``detach`` and ``.data`` give
    the tensor itself; where autograd follows it, ``no_grad`` has no effect, either.

    Args:
        model: The network, to say where a call stands.
        follow: Who follows the signal: ``"autograd"``, or what is handed each call to run it and write it down (a
            second mode would have torch find its way to each call twice); ``None``: nobody.
    """

    def __init__(self, model: nn.Module, follow: Follow = None) -> None:
        super().__init__()
        self._model = model
        self._transparent = follow is not None
        self._differentiable = follow == "autograd"
        self._write = follow if callable(follow) else None
        tensors = [*model.parameters(), *model.buffers()] if self._differentiable else []
        # Autograd saves no tensor that was made in inference mode, so it is given copies.
        self._copies: dict[int, Tensor] = {
            id(tensor): tensor.detach().clone() for tensor in tensors if tensor.is_inference()
        }

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name: str = getattr(func, "__name__", "")
        if name in {"__get__", "__set__"}:
            return self._property(func, args, kwargs)
        self._refuse(func, name, args, kwargs)
        if self._differentiable and func is _SET_GRAD:
            return None
        if self._differentiable:
            args, kwargs = self._thawed(args), self._thawed(kwargs)
            if (instead := self._differentiably(func, name, args, kwargs)) is not None:
                return instead
        if name in _HIDES and self._transparent and self._is_signal(args[0]) and not _is_weight(args[0]):
            return self._run(Tensor.__getitem__, (args[0], ...), {}) if name == "detach" else args[0]
        if self._write is not None and is_operator(func) and (spelled := everyday(func)) is not func:
            with self:
                return spelled(*args, **kwargs)
        return self._run(func, args, kwargs)

    def _is_signal(self, item: Any) -> bool:
        """Whether a tensor may depend on the image."""
        return isinstance(item, Tensor) and (self._write is not None or item.grad_fn is not None)

    def _run(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        if not torch.is_inference_mode_enabled():
            return func(*args, **kwargs) if self._write is None else self._write(func, args, kwargs)
        with torch.inference_mode(mode=False), torch.set_grad_enabled(self._differentiable):
            return func(*args, **kwargs) if self._write is None else self._write(func, args, kwargs)

    def _differentiably(self, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: Any) -> Any:
        """What autograd refuses though it has a derivative, in other words; ``None``: nothing of the kind."""
        if name.endswith("_") and args and _is_weight(args[0]):
            with torch.no_grad():  # a network that writes into its own weights, as it does without gradients
                return func(*args, **kwargs)
        if kwargs.get("out") is not None:
            return self._written(func, args, kwargs)
        if name in _PARTS and args and isinstance(args[0], Tensor):
            return _parts(args[0], self._run(func, args, kwargs), _argument(args, kwargs, _PARTS[name], "dim", 0))
        if not name.endswith("_") or name.startswith("_") or name in _HIDES:
            return None
        try:
            return self._run(func, args, kwargs)
        except RuntimeError as error:
            if "in-place" not in str(error) and "inplace" not in str(error):
                raise
            self._stop(NetworkError, f"{name} writes where autograd cannot follow; write it out of place, say by cat")

    def _written(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A call with ``out=``, which autograd refuses, as one without and a copy, which it follows."""
        out = kwargs["out"]
        made = self._run(func, args, {key: item for key, item in kwargs.items() if key != "out"})
        with torch.inference_mode(mode=False), torch.set_grad_enabled(True):
            for place, tensor in zip(_tuple(out), _tuple(made), strict=True):
                if place.shape != tensor.shape:
                    place.resize_(tensor.shape)
                place.copy_(tensor)
        return out

    def _property(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        which = getattr(getattr(func, "__self__", None), "__name__", "")
        tensor = args[0] if args else None
        if self._transparent and self._is_signal(tensor) and not _is_weight(tensor):
            if which == "data" and func.__name__ == "__get__":
                return self._run(Tensor.__getitem__, (tensor, ...), {})
            if which == "requires_grad" and func.__name__ == "__set__":
                return None
        return self._run(func, args, kwargs)

    def _refuse(self, func: Callable[..., Any], name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        if name.startswith("__"):
            if name in _LEAVES_TORCH:
                self._stop(UntracedTensorError, f"{name} takes the signal out of torch's sight")
            return
        name = plain_name(func)
        word = name[:-1] if name.endswith("_") and not name.startswith("_") else name
        refusal = _REFUSALS.get(word)
        if refusal is not None:
            sentence = refusal(func, args, kwargs)
            if sentence is not None and not (refusal is _batch_norm and self._holds(args)):
                self._stop(ModelModeError, sentence)
        dims = _CONVOLVES.get(word)
        if dims is not None and args and isinstance(args[0], Tensor) and args[0].dim() == dims - 1:
            shape = tuple(args[0].shape)
            self._stop(ShapeError, f"{word} reads {shape} without a batch axis; for one image pass image.unsqueeze(0)")
        if word in _QUANTIZES:
            self._stop(
                UnsupportedModelError, "the network is quantized; pass the one in floating point that it was made from"
            )

    def _holds(self, args: Sequence[Any]) -> bool:
        """Whether what is read first is a weight: standardizing weights by a batch norm depends on no batch."""
        if not args or not isinstance(args[0], Tensor):
            return False
        address = args[0].untyped_storage().data_ptr()
        return any(weight.untyped_storage().data_ptr() == address for weight in self._model.parameters())

    def _stop(self, error: type[EquipoiseError], sentence: str) -> NoReturn:
        names = {id(module): name for name, module in self._model.named_modules()}
        raise error(f"{call_site(names)}: {sentence}")

    def _thawed(self, item: Any) -> Any:
        if not self._copies:
            return item
        if isinstance(item, Tensor):
            return self._copies.get(id(item), item)
        if isinstance(item, tuple | list) and type(item) in {tuple, list}:
            return type(item)(self._thawed(part) for part in item)
        if isinstance(item, dict):
            return {key: self._thawed(part) for key, part in item.items()}
        return item


def _tuple(item: Any) -> tuple[Tensor, ...]:
    return (item,) if isinstance(item, Tensor) else tuple(item)


_PARTS = {"chunk": 2, "split": 2, "split_with_sizes": 2, "tensor_split": 2, "unbind": 1}
"""What takes a tensor apart, and where its axis stands among the arguments."""


def _parts(tensor: Tensor, found: Sequence[Tensor], dim: int) -> tuple[Tensor, ...]:
    """The parts as slices, one by one: into views that were made together autograd lets nobody write."""
    if found and found[0].dim() < tensor.dim():
        return tuple(tensor.select(dim, place) for place in range(len(found)))
    sizes = [part.shape[dim] for part in found]
    return tuple(tensor.narrow(dim, sum(sizes[:place]), size) for place, size in enumerate(sizes))


def _is_weight(item: Any) -> bool:
    """Whether a tensor belongs to the network rather than to the signal."""
    return isinstance(item, nn.Parameter)
