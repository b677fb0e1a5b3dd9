"""The one entrance: what is checked of a network and its images before any method works, and how it is run.

Every method passes here, whether it follows the signal on the tape, by autograd, or looks at the scores alone.
"""

from __future__ import annotations

import math
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.engine import devices
from equipoise.engine.outputs import Output, pick_output
from equipoise.engine.remembered import Remembered
from equipoise.engine.watch import Follow, Watch
from equipoise.errors import (
    EquipoiseError,
    ModelModeError,
    NetworkError,
    NotFiniteError,
    UnsupportedModelError,
)

_MEMORY_WORDS = ("out of memory", "not enough memory", "can't allocate memory")
_QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.ao.nn.sparse.quantized",
              "torch.nn.quantized", "torchao", "bitsandbytes")  # fmt: skip


def python_module(model: nn.Module) -> nn.Module:
    """The network itself, without `torch.nn.DataParallel` and `torch.compile` around it.

    Raises:
        UnsupportedModelError: If ``model`` is no `torch.nn.Module`.
    """
    if not isinstance(model, nn.Module):
        raise UnsupportedModelError(f"the model must be a torch.nn.Module, not {type(model).__name__}")
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return python_module(model.module)
    original = getattr(model, "_orig_mod", None)  # what torch.compile wraps
    return python_module(original) if isinstance(original, nn.Module) else model


def check_model(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Refuse a network that no method can explain; nothing is run, and a second call costs next to nothing.

    Returns:
        Its modules and their names, as they were looked at.

    Raises:
        ModelModeError: If its forward pass would be random, or change statistics.
        UnsupportedModelError: If it is quantized.
        NotFiniteError: If a weight is NaN or infinite.
    """
    modules = list(model.named_modules())
    _check_modes(modules)
    _check_weights(modules)
    return modules


def check_mode(model: nn.Module) -> None:
    """Refuse a model whose forward pass is random or would change its statistics.

    Raises:
        ModelModeError: If a dropout, a normalization with statistics or the like is in train mode.
    """
    _check_modes(model.named_modules())


def _check_modes(modules: Iterable[tuple[str, nn.Module]]) -> None:
    for name, module in modules:
        if module.training and _moody(module):
            kind = getattr(module, "original_name", type(module).__name__)
            raise ModelModeError(
                f"{name or 'the model'} ({kind}) is in train mode, so its result is not that of the trained network; "
                "call model.eval() first"
            )


def _moody(module: nn.Module) -> bool:
    """Whether a module in train mode draws at random, depends on the batch, or changes its statistics."""
    if isinstance(module, nn.modules.dropout._DropoutNd):
        return module.p > 0
    if isinstance(module, nn.modules.instancenorm._InstanceNorm):
        return module.track_running_stats
    if isinstance(module, nn.modules.batchnorm._NormBase | nn.RReLU):
        return True
    if isinstance(module, nn.MultiheadAttention | nn.RNNBase):
        return module.dropout > 0
    if isinstance(module, torch.jit.ScriptModule):
        kind = str(getattr(module, "original_name", ""))
        return "BatchNorm" in kind or ("Dropout" in kind and getattr(module, "p", 0.5) > 0)
    return False


_SOUND: Remembered[bool] = Remembered()
"""Weights that were looked at and found sound."""


def check_weights(model: nn.Module, *, anew: bool = False) -> None:
    """Refuse quantized networks, and weights that are NaN or infinite; those seen before, when they have changed.

    Args:
        model: The network.
        anew: Whether to look at every weight.

    Raises:
        UnsupportedModelError: If a module or a weight is quantized.
        NotFiniteError: If a weight is NaN or infinite; the text says which.
    """
    _check_weights(model.named_modules(), anew=anew)


def _check_weights(modules: Iterable[tuple[str, nn.Module]], *, anew: bool = False) -> None:
    unknown: list[tuple[str, Tensor, bool]] = []
    for name, module in modules:
        if _is_quantized(type(module).__module__):
            _refuse_quantized(name, module)
        for held in (module._parameters, module._buffers):
            for key, tensor in held.items():
                if tensor is not None and (anew or tensor not in _SOUND):
                    _check_kind(name, module, key, tensor)
                    # a buffer may hold -inf on purpose, as a mask does
                    mask = not isinstance(tensor, nn.Parameter) and not isinstance(
                        module, nn.modules.batchnorm._NormBase
                    )
                    unknown.append((f"{name}.{key}" if name else key, tensor, mask))
    read = [(full, tensor, mask) for full, tensor, mask in unknown if _has_numbers(tensor)]
    for (full, tensor, mask), sound in zip(read, _sound([(one, mask) for _, one, mask in read]), strict=True):
        if not sound:
            wrong = _what_is_wrong(tensor, may_be_infinite=mask)
            raise NotFiniteError(f"the weight {full} holds {wrong}; no map can be made of it: mend the checkpoint")
    for _, tensor, _ in unknown:
        _SOUND.note(tensor, fact=True)


@lru_cache(maxsize=4096)
def _is_quantized(package: str) -> bool:
    return package.startswith(_QUANTIZED)


def _check_kind(module_name: str, module: nn.Module, name: str, tensor: Tensor) -> None:
    if nn.parameter.is_lazy(tensor):
        full = f"{module_name}.{name}" if module_name else name
        raise ModelModeError(f"the weight {full} has no values yet; run the model once, then call model.eval()")
    numbers = tensor.is_floating_point() or tensor.is_complex()
    if tensor.is_quantized or (isinstance(tensor, nn.Parameter) and not numbers):
        _refuse_quantized(module_name, module)


def _has_numbers(tensor: Tensor) -> bool:
    return bool(tensor.layout == torch.strided and tensor.is_floating_point() and not tensor.is_meta and tensor.numel())


def _sound(tensors: Sequence[tuple[Tensor, bool]]) -> list[bool]:
    """Whether all entries of each are numbers, and finite unless they may be infinite; a device is asked once."""
    flags: dict[torch.device, list[Tensor]] = {}
    with torch.inference_mode(mode=False), torch.no_grad():
        for tensor, may_be_infinite in tensors:
            ends = torch.stack(torch.aminmax(tensor.detach()))  # NaN comes through both
            flags.setdefault(tensor.device, []).append((~ends.isnan() if may_be_infinite else ends.isfinite()).all())
        found = {device: iter(torch.stack(here).tolist()) for device, here in flags.items()}
    return [next(found[tensor.device]) for tensor, _ in tensors]


def _refuse_quantized(name: str, module: nn.Module) -> None:
    raise UnsupportedModelError(
        f"{name or 'the model'} ({type(module).__name__}) is quantized, which no method explains; "
        "pass the floating-point network it was made from"
    )


def _what_is_wrong(tensor: Tensor, *, may_be_infinite: bool = False) -> str | None:
    if not tensor.numel():
        return None
    with torch.inference_mode(mode=False), torch.no_grad():
        low, high = torch.stack(torch.aminmax(tensor.detach())).tolist()  # NaN comes through both
    if math.isnan(low) or math.isnan(high):
        return "nan"
    return "inf" if not may_be_infinite and (math.isinf(low) or math.isinf(high)) else None


def check_pixels(images: Tensor) -> None:
    """Refuse images with pixels that are NaN or infinite.

    Raises:
        NotFiniteError: If one is; the text says which.
    """
    if images.numel() and _what_is_wrong(images) is not None:
        place = (~images.detach().isfinite()).nonzero()[0].tolist()
        value = images.detach()[tuple(place)].item()
        where = ", ".join(map(str, place))
        raise NotFiniteError(f"inputs[{where}] is {value}; every pixel must be a finite number")


@contextmanager
def checking(images: Tensor) -> Iterator[None]:
    """`check_pixels` around a first pass; `check_scores` is to follow, with the same images.

    On a CPU before the pass. An accelerator would be waited for, so it is asked once, of pixels and scores together;
    if the pass fails, of the pixels, which may be why.

    Raises:
        NotFiniteError: If a pixel is NaN or infinite.
    """
    asked = devices.free_to_ask(images)
    if asked:
        check_pixels(images)
    try:
        yield
    except Exception:
        if not asked:
            check_pixels(images)
        raise


def check_scores(model: nn.Module, logits: Tensor, images: Tensor) -> None:
    """Where scores are NaN or infinite, look for such a weight anew: `check_weights` sees no write by ``.data``.

    Args:
        model: The network.
        logits: Its scores.
        images: Of these images; their pixels are looked at where `checking` did not.

    Raises:
        NotFiniteError: If there is one, or a pixel is; the text says which.
    """
    asked = [logits] if devices.free_to_ask(images) else [images, logits]
    sound = _sound([(one, False) for one in asked if one.numel()])
    if len(asked) > 1 and not all(sound):
        check_pixels(images)
    if not all(sound):
        check_weights(model, anew=True)


def native(model: nn.Module, images: Tensor) -> Tensor:
    """The images, in the dtype of the weights where autocast alone lets the network take another.

    Asked before `aside`, under which no autocast is left to see.
    """
    images = images.detach()
    if torch.is_autocast_enabled(images.device.type):
        weight = next((weight for weight in model.parameters() if weight.is_floating_point()), images)
        return images.to(weight.dtype)
    return images


@contextmanager
def aside(device: torch.device, *, grad: bool = False) -> Iterator[None]:
    """Leave the caller's inference mode, no-grad and autocast: what a method computes does not depend on them.

    Under autocast a sum of gradients would be kept in half precision, and a map would be the network's rounding.

    Args:
        device: Where the work is done.
        grad: Whether gradients are wanted.
    """
    with (
        torch.inference_mode(mode=False),
        torch.set_grad_enabled(grad),
        torch.autocast(device_type=device.type, enabled=False),
    ):
        yield


def run(model: nn.Module, points: Tensor, output: Output = None, follow: Follow = None) -> Tensor:
    """Run a network on ``points``; it may write into them, so a caller hands over a copy.

    Args:
        model: The network, as `python_module` gives it.
        points: Images ``(m, c, *space)``.
        output: See `pick_output`.
        follow: See `Watch`.

    Returns:
        Logits ``(m, C)``.

    Raises:
        ModelModeError: If the pass is random, or an image depends on its batch.
        NetworkError: If the network fails.
        ShapeError: If it does not return logits.
    """
    shape = tuple(points.shape)
    with ExitStack() as stack:
        stack.enter_context(_uncompiled(model))
        stack.enter_context(Watch(model, follow))
        try:
            result = model(points)
        except EquipoiseError:
            raise
        except (RuntimeError, ValueError, IndexError, AssertionError) as error:
            if out_of_memory(error):
                raise
            raise NetworkError(_failed(model, points, shape, error)) from error
        return pick_output(result, shape[0], output)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(words in said for words in _MEMORY_WORDS)


def _failed(model: nn.Module, points: Tensor, shape: tuple[int, ...], error: Exception) -> str:
    said = next(iter(str(error).strip().splitlines()), type(error).__name__)
    text = f"the network fails on inputs of shape {shape}: {said}"
    weight = next((weight for weight in model.parameters() if weight.is_floating_point()), points)
    if weight.device != points.device:
        return f"{text}; the inputs are on {points.device} and the weights on {weight.device}: pass inputs.to(...)"
    if weight.dtype != points.dtype:
        return f"{text}; the inputs are {points.dtype} and the weights {weight.dtype}: pass inputs.to({weight.dtype})"
    if len(shape) == 3:
        return f"{text}; inputs are a batch (n, c, h, w): for one image pass image.unsqueeze(0)"
    if isinstance(model, torch.fx.GraphModule):
        return f"{text}; an exported program takes the shapes it was exported with: export it with a dynamic batch size"
    return text


_COMPILER_LOCK = threading.Lock()
_EAGER: list[Any] = []  # the compiler's stance while any thread runs a network, and how many do


@contextmanager
def _uncompiled(model: nn.Module) -> Iterator[None]:
    """Run what was compiled as it was written; nothing compiled lets anyone see its operations."""
    if "torch._dynamo" not in sys.modules:  # then nothing is compiled
        yield
        return
    with ExitStack() as stack:
        if any(hasattr(module, "_orig_mod") for module in model.modules()):
            stack.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", "Using `torch.compile.module.` when there are global hooks")
        with _COMPILER_LOCK:
            if not _EAGER:
                _EAGER.append(torch.compiler.set_stance("force_eager"))
            _EAGER.append(None)
        try:
            yield
        finally:
            with _COMPILER_LOCK:
                _EAGER.pop()
                if len(_EAGER) == 1:
                    _EAGER.pop().__exit__(None, None, None)
