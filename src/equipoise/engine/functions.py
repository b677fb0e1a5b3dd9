"""What a function of one signal does, entry by entry, found by evaluating it: not by its name."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from equipoise.engine.trace import OpCall, Value

Behavior = Literal["rectifier", "bounded", "other"]

_FAR = (-300.0, -30.0, 30.0, 300.0)
_NEAR = tuple(step / 2 for step in range(-16, 17))
_MOST = 4096  # entries looked at, where the function has weights and so differs from entry to entry


def behavior(call: OpCall) -> Behavior:
    """What kind of function an activation is.

    ``"rectifier"``: it passes what is large and positive and holds back what is negative, as a ReLU does, or it is a
    clipped ReLU. ``"bounded"``: a factor, as of a gate. ``"other"``: neither.
    """
    if not call.members:
        key = tuple(None if isinstance(item, Value) else item for item in call.args)
        words = tuple(sorted((name, item) for name, item in call.kwargs.items() if not isinstance(item, Value)))
        if all(isinstance(item, int | float | str | bool | None) for item in (*key, *[word for _, word in words])):
            return _of_function(call.function, key, words)
    return _judged(_sampled(call))


@lru_cache(maxsize=256)
def _of_function(function: Any, args: tuple[Any, ...], kwargs: tuple[tuple[str, Any], ...]) -> Behavior:
    x = torch.tensor([*_FAR, *_NEAR], dtype=torch.float64)
    with torch.no_grad():
        made = function(*[x.clone() if item is None else item for item in args], **dict(kwargs))
    return _judged(made.unsqueeze(1))


def _sampled(call: OpCall) -> Tensor:
    """The function at every sample, ``(samples, entries)``."""
    samples = torch.tensor([*_FAR, *_NEAR], dtype=torch.float64)
    signal = call.inputs[0]
    with torch.no_grad():
        try:
            made = call.run(samples)[0]
            if made.shape == samples.shape:
                return made.unsqueeze(1)
        except (RuntimeError, IndexError):
            pass  # it has weights, or asks for more dimensions: it is given all that the signal has
        rows = []
        for sample in samples.tolist():
            made = call.run(torch.full(signal.shape, sample, dtype=torch.float64))[0].flatten()
            rows.append(made[:: max(1, made.numel() // _MOST)])
        return torch.stack(rows)


def rising(call: OpCall) -> bool:
    """Whether an affine function of one signal rises everywhere."""
    y = _sampled(call)
    return bool((y[3] > y[0]).all())


def _judged(y: Tensor) -> Behavior:
    far_below, below, above, far_above = y[0], y[1], y[2], y[3]
    near = y[4:]
    if not bool(torch.isfinite(torch.stack([far_below, below, above, far_above])).all()):
        return "other"
    rising, other = far_above / 300, far_below / -300
    steady = ((above / 30 - rising).abs() <= 0.05 * rising.abs()).all()
    if bool(steady and (rising > 1e-6).all() and (other < 0.999 * rising).all() and (other > -1e-3 * rising).all()):
        return "rectifier"
    flat = (far_above.abs() <= 1.05 * above.abs() + 1e-9) & (far_below.abs() <= 1.05 * below.abs() + 1e-9)
    if not bool(flat.all()):
        return "other"
    zero = near[len(_NEAR) // 2]
    kinks = (near[2:] - 2 * near[1:-1] + near[:-2]).abs() > 1e-9
    clipped = (zero == 0) & (kinks.sum(0) <= 4) & (far_above > 0)
    return "rectifier" if bool(clipped.all()) else "bounded"
