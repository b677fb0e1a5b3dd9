"""Which of a network's results holds the class scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from torch import Tensor

from equipoise._registry import nearest
from equipoise.errors import NoScoresError, OptionError, ShapeError

Output: TypeAlias = int | str | Callable[[Any], Tensor] | None
"""The option ``output`` of every method: an index, a key or field, a function of the model's result, or ``None``."""

_USUAL: Final = ("logits", "out")  # what the scores of a dictionary are called
_CHOOSE = "choose with output= (an index, a key, or a function of the model's result)"


def pick_output(result: Any, n: int, output: Output = None) -> Tensor:
    """The class scores in what a network returned.

    Args:
        result: What the network returned for ``n`` images.
        n: Number of images.
        output: Which part of it; ``None``: the tensor itself, what is called ``logits``, or the one entry of a
            tuple that has the shape of class scores.

    Returns:
        Logits ``(n, C)``; one score per image ``(n,)`` becomes ``(n, 1)``.

    Raises:
        NoScoresError: If nothing, or more than one thing, has the shape of class scores.
        ShapeError: If it is a tensor of another dtype.
        OptionError: If ``output`` names nothing that the network returned.
    """
    logits = _named(result, n) if output is None else _chosen(result, output)
    what = "the model returned" if output is None else f"output={_label(output)} gives"
    if not isinstance(logits, Tensor):
        raise NoScoresError(f"{what} {_shape(logits)}, not logits (n, C)", logits)
    if not logits.is_floating_point():
        raise ShapeError(f"{what} {tuple(logits.shape)} of {logits.dtype}; expected floating-point logits ({n}, C)")
    if logits.dim() == 1 and len(logits) == n:
        return logits.unsqueeze(1)
    if logits.dim() != 2 or len(logits) != n:
        hint = f"; {_CHOOSE}, such as output=lambda result: result.flatten(2).mean(2)" if logits.dim() > 2 else ""
        batched = ", one row for each image of the batch" if logits.dim() < 2 else ""
        raise NoScoresError(f"{what} {tuple(logits.shape)}; expected logits ({n}, C){batched}{hint}", logits)
    return logits


def raw_output(result: Any, output: Output = None) -> Any:
    """What a target that is a function of the model's raw output is given.

    Args:
        result: What the network returned.
        output: Which part of it; ``None``: the tensor itself, what is called ``logits`` or ``out``, else all of it.

    Raises:
        OptionError: If ``output`` names nothing that the network returned.
    """
    if output is not None:
        return _chosen(result, output)
    if isinstance(result, Mapping):
        return next((result[key] for key in _USUAL if isinstance(result.get(key), Tensor)), result)
    found = getattr(result, "logits", None)
    return found if isinstance(found, Tensor) else result


def _named(result: Any, n: int) -> Any:
    """The part of ``result`` that can be nothing but the logits."""
    if isinstance(result, Tensor):
        return result
    entries = _entries(result)
    if entries is None:
        return getattr(result, "logits", result)
    if isinstance(entries.get("logits"), Tensor):
        return entries["logits"]
    found = [key for key, entry in entries.items() if _scores(entry, n)]
    mapping = isinstance(result, Mapping)
    if len(found) == 1 and not mapping and next(iter(entries.values())) is not None:
        return entries[found[0]]
    listed = ", ".join(f"{key!r}: {_shape(entry)}" for key, entry in entries.items()) or "nothing"
    if not found:
        raise NoScoresError(
            f"the model returned {type(result).__name__} ({listed}), none of it ({n}, C); {_CHOOSE}", result
        )
    which = " or ".join(f"output={key!r}" for key in found)
    raise NoScoresError(
        f"the model returned {type(result).__name__} ({listed}), which may be logits or not; {_CHOOSE}: {which}", result
    )


def _entries(result: Any) -> dict[int | str, Any] | None:
    """The parts of a result by field, key or index; ``None`` if it has no parts."""
    if isinstance(result, Mapping):
        return dict(result)
    if isinstance(result, tuple | list):
        fields = getattr(result, "_fields", None) or range(len(result))
        return dict(zip(fields, result, strict=True))
    return None


def _scores(entry: Any, n: int) -> bool:
    return isinstance(entry, Tensor) and entry.dim() == 2 and len(entry) == n and entry.is_floating_point()


def _chosen(result: Any, output: int | str | Callable[[Any], Tensor]) -> Any:
    if callable(output):
        return output(result)
    if isinstance(result, Tensor):
        raise OptionError(
            f"output is {output!r}, but the model returned one tensor {tuple(result.shape)}; leave it out"
        )
    try:
        if isinstance(result, Mapping):
            return result[output] if output in result else list(result.values())[output]  # type: ignore[index]
        if isinstance(output, str):
            return getattr(result, output)
        return result[output]
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        entries = _entries(result)
        known = [str(key) for key in (entries if entries is not None else vars(result))]
        near = nearest(str(output), known)
        hint = f"did you mean {near[0]}? " if near else ""
        raise OptionError(
            f"output is {output!r}, which the model did not return; {hint}it returned: {', '.join(known) or 'nothing'}"
        ) from error


def check_output_option(output: Any) -> Output:
    """``output``, if it can name a part of a result.

    Raises:
        OptionError: If it is no index, name or function.
    """
    if output is None or callable(output) or (isinstance(output, int | str) and not isinstance(output, bool)):
        return output  # type: ignore[no-any-return]  # the line above says what it is
    raise OptionError(f"output is {output!r}; it is an index, a key, or a function of the model's result")


def _label(output: Any) -> str:
    return getattr(output, "__name__", type(output).__name__) if callable(output) else repr(output)


def _shape(entry: Any) -> str:
    return str(tuple(entry.shape)) if isinstance(entry, Tensor) else type(entry).__name__
