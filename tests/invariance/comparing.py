"""The same map, a refusal by name, or a silent difference: what the methods make of a spelling."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from exceptions import DIFFERENT
from families import Family
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import equipoise
from equipoise.engine import record
from equipoise.engine.operations import operation_name
from equipoise.errors import EquipoiseError
from equipoise.methods import METHODS

TARGETS = [1, 3, 0]
# In float64 what remains are stabilizers, such as the epsilon of LRP.
TOLERANCE = {torch.float64: 5e-5, torch.float32: 1e-4}
FORWARD = {torch.float64: 1e-10, torch.float32: 1e-4}

# Options that keep a method cheap on a network of a few hundred neurons.
OPTIONS = {
    "smooth_grad": {"samples": 3}, "integrated_gradients": {"steps": 4}, "occlusion": {"window": 4},
    "rise": {"masks": 16, "grid": 3}, "extremal_perturbation": {"steps": 3}, "deep_lift_shap": {"baselines": 2},
    "gradient_shap": {"samples": 2}, "lime": {"samples": 20, "grid": 2, "penalty": 1e-4},
    "kernel_shap": {"samples": 20, "grid": 2},
}  # fmt: skip

RUNS = (
    "gradient", "input_x_gradient", "smooth_grad", "integrated_gradients", "gradient_shap", "deep_lift",
    "deep_lift_shap", "occlusion", "rise", "lime", "kernel_shap", "extremal_perturbation", "random",
)  # fmt: skip
"""The methods that run the network as it is: their maps follow from its function."""

TAPE = tuple(name for name in METHODS.names() if name not in RUNS)
"""The methods that read how the network is written."""

FEW = ("ae", "grad_cam", "contrastive_eb", "lrp_composite", "guided_backprop", "full_grad", "rap", "rsp", "agf")
"""One of each kind among them: each has rules of its own for layers, norms, activations, biases or starts."""

EXPORTED = "exported"
"""The spelling that every family has beside those of the catalogue."""

TOGETHER = ("ae", "agf", "rsp", "contrastive_eb")
"""The methods that add up over an image, which a wrong batch axis would show in."""


@dataclass(frozen=True)
class Outcome:
    """What a method made of a spelling.

    Attributes:
        error: The largest difference of any image's map, relative to that image's largest value in the base's.
        alone: The same of one image explained without the others; 0 where that was not tried.
        refusal: What the method said instead of giving a map.
        crash: An error that is no refusal.
    """

    error: float = 0.0
    alone: float = 0.0
    refusal: str = ""
    crash: str = ""

    def bad(self, tolerance: float) -> bool:
        """Whether it is neither the same map nor a refusal."""
        return bool(self.crash) or not (self.error <= tolerance and self.alone <= tolerance)


def attempt(method: str, model: nn.Module, images: Tensor, targets: list[int] | None = None) -> Tensor | Outcome:
    """The map of each image, or why there is none; the options of costly methods are small."""
    targets = TARGETS[: len(images)] if targets is None else targets
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = equipoise.attribute(model, images, targets, method=method, **OPTIONS.get(method, {}))
    except EquipoiseError as refusal:
        return Outcome(refusal=str(refusal) or type(refusal).__name__)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the finding
        return Outcome(crash=f"{type(error).__name__}: {error}")
    assert isinstance(found, Tensor)
    return found


def difference(found: Tensor, base: Tensor) -> float:
    """The largest difference of any image's map, relative to that image's largest value."""
    if found.shape != base.shape:
        return float("inf")
    scale = base.flatten(1).abs().amax(1).clamp(min=torch.finfo(base.dtype).tiny)
    worst = ((found - base).flatten(1).abs().amax(1) / scale).max()
    return float(worst) if worst.isfinite() else float("inf")


def compare(method: str, base: Tensor, model: nn.Module, images: Tensor, *, alone: int | None = None) -> Outcome:
    """What a method makes of a spelling, where it makes ``base`` of the base spelling.

    Args:
        method: Its name.
        base: Its map of the base spelling.
        model: The network in the other spelling.
        images: What is explained.
        alone: An image to explain again, without the others.
    """
    found = attempt(method, model, images)
    if isinstance(found, Outcome):
        return found
    error = difference(found, base)
    if alone is None:
        return Outcome(error)
    one = slice(alone, alone + 1)
    single = attempt(method, model, images[one], TARGETS[one])
    return single if isinstance(single, Outcome) else Outcome(error, difference(single, base[one]))


class Calls(TorchFunctionMode):
    """The names of all torch functions that a network calls."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names |= {operation_name(func), getattr(func, "__name__", "").removesuffix(".default")}
        return func(*args, **(kwargs or {}))


def names_what_it_refuses(sentence: str, model: nn.Module, images: Tensor) -> bool:
    """Whether a refusal says the name of an operation that the network calls."""
    with torch.no_grad(), Calls() as calls:
        model(images)
    words = {re.escape(name) for name in calls.names if name}
    return re.search(rf"(?<!\w)({'|'.join(words)})(?!\w)", sentence) is not None


def state_of(model: nn.Module) -> list[Any]:
    """What explaining must leave as it is."""
    hooks = [
        (name, module.training, {k: len(v) for k, v in vars(module).items() if k.endswith("_hooks")}, set(vars(module)))
        for name, module in model.named_modules()
    ]
    tensors = [
        (name, id(t), t._version, t.requires_grad, t.grad is None)
        for name, t in [*model.named_parameters(), *model.named_buffers()]
    ]
    return [hooks, tensors, torch.is_grad_enabled()]


@dataclass
class Row:
    """Everything that was found out about one spelling.

    Attributes:
        family: Name of the family.
        spelling: Name of the spelling.
        dtype: Of weights and images.
        forward: How far its logits are from those of the base spelling.
        outcomes: What each method made of it; a method that does not fit the base is left out.
        wrong: What else is wrong with it, in words.
    """

    family: str
    spelling: str
    dtype: torch.dtype
    forward: float
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Everything that must not be, in words."""
        found = [f"{self.spelling}: {text}" for text in self.wrong]
        if not self.forward <= FORWARD[self.dtype]:
            found.append(f"{self.spelling}: it is not the same function, {self.forward:.1e}")
        for method, outcome in self.outcomes.items():
            if outcome.crash:
                found.append(f"{self.spelling}, {method}: {outcome.crash}")
            elif method in DIFFERENT.get(self.family, {}).get(self.spelling, ()):
                continue
            elif outcome.bad(TOLERANCE[self.dtype]):
                found.append(f"{self.spelling}, {method}: off by {outcome.error:.1e}, alone by {outcome.alone:.1e}")
        return found


class Study:
    """One family with the maps of its base spelling.

    Args:
        family: The family.
        methods: Which methods are asked.
        dtype: Of weights and images.
    """

    def __init__(self, family: Family, methods: Iterable[str], dtype: torch.dtype = torch.float64) -> None:
        self.family, self.dtype = family, dtype
        self.images = family.images(dtype=dtype)
        self.model = family.network(dtype=dtype)
        self.bases = {method: attempt(method, self.model, self.images) for method in methods}
        with torch.no_grad():
            self.logits = self.model(self.images)

    def examine(self, spelling: str, *, alone: Iterable[str] = TOGETHER, methods: Iterable[str] | None = None) -> Row:
        """Compare one spelling with the base.

        Args:
            spelling: Its name.
            alone: The methods that explain an image alone, too.
            methods: Which of the study's methods are asked; ``None``: all.
        """
        return self._row(spelling, self.family.network(spelling, self.dtype), alone, methods)

    def exported(self, methods: Iterable[str] = FEW) -> Row:
        """Compare what ``torch.export`` makes of the base spelling: its calls in torch's own small vocabulary."""
        program = torch.export.export(self.model, (self.images,))
        return self._row(EXPORTED, program.module(), (), methods)  # others change the batch, which the export fixed

    def _row(self, spelling: str, model: nn.Module, alone: Iterable[str], methods: Iterable[str] | None = None) -> Row:
        with torch.no_grad():
            logits = model(self.images)
        row = Row(self.family.name, spelling, self.dtype, difference(logits, self.logits))
        before = state_of(model)
        row.wrong += self._recording(model, logits)
        together = set(alone)
        asked = set(self.bases if methods is None else methods)
        for method, base in self.bases.items():
            if isinstance(base, Outcome) or method not in asked:
                continue
            other = 1 if method in together else None
            row.outcomes[method] = found = compare(method, base, model, self.images, alone=other)
            if found.refusal and not names_what_it_refuses(found.refusal, model, self.images):
                row.wrong.append(f"{method} refuses without a name: {found.refusal}")
        if state_of(model) != before:
            row.wrong.append("something is left on the model")
        return row

    def _recording(self, model: nn.Module, logits: Tensor) -> list[str]:
        try:
            found = record(model, self.images).logits
        except EquipoiseError:
            return []
        except Exception as error:  # noqa: BLE001  # whatever it is, it is the finding
            return [f"recording crashed: {type(error).__name__}: {error}"]
        return [] if torch.equal(found, logits) else ["the recorded forward pass is not bit-equal"]
