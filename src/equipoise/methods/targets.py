"""What is explained: one class score of each image, several, or any function of the logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from equipoise._typing import Float, Int
from equipoise.errors import ShapeError, TargetError


@dataclass(frozen=True)
class ClassGroup:
    """Several classes that stand for one, such as all the breeds of "dog": the log-sum-exp of their logits.

    Its softmax probability is the sum of theirs. A target like any function of the logits; methods that set
    a class against the others know its members, and so never set a dog against a dog.

    Args:
        members: Indices of the classes, each once, at least one.

    Raises:
        TargetError: If there is no member, or one is named twice.

    Example:
        >>> ClassGroup((0, 1))(torch.zeros(1, 3))
        tensor([0.6931])
    """

    members: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.members or len(set(self.members)) != len(self.members):
            raise TargetError(f"a group of classes names each member once, at least one, not {self.members!r}")

    def __call__(self, logits: Float[Tensor, "n C"]) -> Float[Tensor, " n"]:
        """The group's score of each image.

        Raises:
            TargetError: If a member is no class of these logits.
        """
        if wrong := [index for index in self.members if not 0 <= index < logits.shape[1]]:
            raise TargetError(f"class {wrong[0]} does not exist: this network has classes 0 to {logits.shape[1] - 1}")
        return logits[:, list(self.members)].logsumexp(1)


@dataclass(eq=False)
class Deferred:
    """A target that is chosen once the network has been asked: one forward pass then serves choice and method.

    Attributes:
        choose: From the class scores ``(n, C)`` to any other form of a target.
        logits: What the network said, ``(n, C)``; ``None`` before a method has asked.
    """

    choose: Callable[[Tensor], Any]
    logits: Tensor | None = None
    _chosen: Any = None

    def ask(self, logits: Tensor) -> Any:
        """The target; the first scores that are shown decide, which are the network's own."""
        if self.logits is None:
            self.logits = logits.detach()
            self._chosen = self.choose(self.logits)
        return self._chosen


Target: TypeAlias = (
    int
    | Sequence[int]
    | Sequence[Sequence[int]]
    | Tensor
    | Callable[[Tensor], Tensor]
    | Sequence[Callable[[Tensor], Tensor]]
    | Deferred
    | None
)
"""Every accepted form of a target; see `equipoise.attribute`."""


@dataclass(frozen=True)
class Targets:
    """The targets of a batch, brought to one form.

    Attributes:
        seeds: Gradient of each explained score with respect to the logits, ``(k, n, C)``: one-hot
            for a class.
        indices: The classes, ``(k, n)``; ``None`` when a function of the logits is explained.
        members: 1 at the classes that each target stands for, else 0, ``(k, n, C)``: one-hot for a class,
            several for a `ClassGroup`; ``None`` for any other function.
        against: 1 at the classes that it is set against, by name as in a contrast of two, ``(k, n, C)``; ``None``:
            all others.
        scores: The explained scores, ``(k, n)``.
        counts: How many of the ``k`` rows are meant for each image, when that differs; the rest
            of an image's rows repeat its first class.
        single: Whether the user named one target per image, so that the result has no target axis.
        first: The number of the first target, where these are a part of all: for notes.
    """

    seeds: Float[Tensor, "k n C"]
    indices: Int[Tensor, "k n"] | None
    members: Float[Tensor, "k n C"] | None
    scores: Float[Tensor, "k n"]
    counts: tuple[int, ...] | None
    single: bool
    first: int = 0
    against: Float[Tensor, "k n C"] | None = None

    @property
    def others(self) -> Float[Tensor, "k n C"] | None:
        """1 at the classes that each target is set against; ``None`` for a function that knows none."""
        if self.members is None:
            return None
        return 1 - self.members if self.against is None else self.against

    @property
    def class_seeds(self) -> Float[Tensor, "k n C"]:
        """`seeds` of the target alone: of a contrast without those of what it is set against."""
        return self.seeds if self.against is None or self.members is None else self.seeds * self.members

    def parts(self, at_once: int) -> Iterator[Targets]:
        """The same ``at_once`` targets at a time, without what `format` needs."""
        for first in range(0, len(self.seeds), max(1, at_once)):
            rows = slice(first, first + max(1, at_once))
            cut = [None if one is None else one[rows] for one in (self.indices, self.members, self.against)]
            seeds, scores, number = self.seeds[rows], self.scores[rows], self.first + first
            yield replace(
                self, seeds=seeds, indices=cut[0], members=cut[1], against=cut[2], scores=scores, first=number
            )

    def format(self, result: Float[Tensor, "k n *shape"]) -> Tensor | list[Tensor]:
        """Arrange ``(k, n, ...)`` as the user asked.

        Returns:
            ``(n, ...)`` for one target per image, ``(n, k, ...)`` for an index matrix, and for a
            ragged list of lists a list of ``(k_i, ...)``.
        """
        if self.single:
            return result[0]
        per_image = result.transpose(0, 1)
        if self.counts is None:
            return per_image.contiguous()
        return [image[:count].clone() for image, count in zip(per_image, self.counts, strict=True)]


def resolve_targets(target: Target, logits: Float[Tensor, "n C"]) -> Targets:
    """Read any accepted form of ``target``; the forms are listed at `equipoise.attribute`.

    Raises:
        TargetError: If a class is outside ``0 .. C-1``, or the number of targets does not fit the batch.
        ShapeError: If a tensor or a callable's result has the wrong shape.
    """
    target = _listed(target.ask(logits) if isinstance(target, Deferred) else target)
    if callable(target) or (isinstance(target, Sequence) and target and all(callable(one) for one in target)):
        return _from_functions(target, logits)  # type: ignore[arg-type]  # the line above says what it holds
    n = logits.shape[0]
    if target is None:
        return _of_classes(logits.argmax(1).unsqueeze(0), logits, None, single=True)
    if isinstance(target, Tensor):
        return _from_tensor(target, logits)
    if isinstance(target, bool):
        raise TargetError(f"a target is a class index, not the truth value {target}")
    if hasattr(target, "__index__"):
        return _from_indices(torch.full((1, n), target.__index__()), logits, None, single=True)
    if isinstance(target, str | Deferred) or not isinstance(target, Sequence):
        raise TargetError(f"a target is None, an int, ints, a LongTensor or a callable, not {type(target).__name__}")
    if len(target) != n:
        raise TargetError(f"{len(target)} targets for a batch of {n} images")
    if target and isinstance(target[0], Sequence):
        return _from_ragged(target, logits)  # type: ignore[arg-type]  # the first entry shows its form
    return _from_tensor(_integers(target), logits)


def _listed(target: Any) -> Any:
    """Arrays of other libraries as tensors, and rows that are arrays or tensors as lists."""
    if isinstance(target, Tensor) or callable(target):
        return target
    if hasattr(target, "__array__"):  # numpy and its like, without importing them
        try:
            return torch.as_tensor(target)
        except (TypeError, ValueError, RuntimeError) as error:
            raise TargetError(f"a target array holds class indices, not {target!r}") from error
    if isinstance(target, list | tuple):
        return [row.tolist() if getattr(row, "ndim", None) and hasattr(row, "tolist") else row for row in target]
    return target


def _integers(values: object) -> Tensor:
    try:
        tensor = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TargetError(f"targets must be class indices, not {values!r}") from error
    if tensor.dtype == torch.bool or tensor.is_floating_point():
        raise TargetError(f"targets must be whole numbers, not {tensor.dtype}")
    return tensor.to("cpu", torch.long)


def _from_tensor(target: Tensor, logits: Tensor) -> Targets:
    n = logits.shape[0]
    if target.dtype == torch.bool or target.is_floating_point() or target.is_complex():
        raise TargetError(f"a target tensor holds class indices (torch.long), not {target.dtype}")
    target = target.to("cpu", torch.long)
    if target.dim() == 0:
        target = target.expand(n)
    if target.dim() > 2 or target.shape[0] != n or target.numel() == 0 < n:
        raise ShapeError(f"target has shape {tuple(target.shape)}; expected ({n},) or ({n}, k)")
    if target.dim() == 1:
        return _from_indices(target.unsqueeze(0), logits, None, single=True)
    _refuse_one_hot(target, logits.shape[1])
    return _from_indices(target.t(), logits, None, single=False)


def _refuse_one_hot(target: Tensor, classes: int) -> None:
    """A row as long as there are classes and made of zeros and ones names class 0 many times: it is no list of classes.

    Of two classes ``[0, 1]`` is such a list, and read as one.
    """
    if target.numel() and target.shape[1] == classes > 2 and bool(((target == 0) | (target == 1)).all()):
        raise TargetError(
            f"target {tuple(target.shape)} holds zeros and ones alone and looks one-hot; pass target.argmax(1), the "
            "indices of the classes"
        )


def _from_ragged(target: Sequence[Sequence[int]], logits: Tensor) -> Targets:
    if not all(len(row) for row in target):
        raise TargetError("each image of a list of lists needs at least one class index")
    rows = [_integers(list(row)) for row in target]
    if len({len(row) for row in rows}) == 1:
        _refuse_one_hot(torch.stack(rows), logits.shape[1])
    most = max(len(row) for row in rows)
    padded = torch.stack([torch.cat([row, row[:1].expand(most - len(row))]) for row in rows], dim=1)
    return _from_indices(padded, logits, tuple(len(row) for row in rows), single=False)


def _from_indices(indices: Tensor, logits: Tensor, counts: tuple[int, ...] | None, *, single: bool) -> Targets:
    """Indices as a user named them; they lie on the CPU, where to look at them makes nobody wait."""
    classes = logits.shape[1]
    if indices.numel() and (indices.min() < 0 or indices.max() >= classes):
        wrong = indices[(indices < 0) | (indices >= classes)][0].item()
        raise TargetError(f"class {wrong} does not exist: this network has classes 0 to {classes - 1}")
    return _of_classes(indices.to(logits.device, non_blocking=True), logits, counts, single=single)


def _of_classes(indices: Tensor, logits: Tensor, counts: tuple[int, ...] | None, *, single: bool) -> Targets:
    seeds = torch.zeros(*indices.shape, logits.shape[1], dtype=logits.dtype, device=logits.device)
    seeds.scatter_(2, indices.unsqueeze(2), 1.0)
    scores = logits.gather(1, indices.t()).t()
    return Targets(seeds, indices, seeds, scores, counts, single)


def _from_function(function: Callable[[Tensor], Tensor], logits: Tensor) -> Targets:
    with torch.enable_grad():
        leaf = logits.detach().requires_grad_()
        scores = function(leaf)
        if not isinstance(scores, Tensor) or scores.shape != logits.shape[:1]:
            found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ShapeError(
                f"the target function must map logits {tuple(logits.shape)} to ({len(logits)},), not {found}"
            )
        if not scores.is_floating_point():
            return _from_tensor(scores, logits)
        if not scores.requires_grad:
            raise TargetError("the target function's scores do not depend on the logits")
        (seeds,) = torch.autograd.grad(scores.sum(), leaf)
    members, against = (_marked(getattr(function, name, None), logits) for name in ("members", "others"))
    return Targets(seeds.unsqueeze(0), None, members, scores.detach().unsqueeze(0), None, single=True, against=against)


def _marked(classes: tuple[int, ...] | None, logits: Tensor) -> Tensor | None:
    """1 at some classes, else 0, ``(1, n, C)``."""
    if classes is None:
        return None
    found = torch.zeros_like(logits)
    found[:, list(classes)] = 1
    return found.unsqueeze(0)


def _from_functions(
    functions: Callable[[Tensor], Tensor] | Sequence[Callable[[Tensor], Tensor]], logits: Tensor
) -> Targets:
    """A function of the logits, or several, each explained for every image."""
    if callable(functions):
        return _from_function(functions, logits)
    return joined([_from_function(function, logits) for function in functions], single=False)


def joined(each: Sequence[Targets], *, single: bool) -> Targets:
    """The targets of several forward passes or functions as one.

    Args:
        each: Of the same images.
        single: Whether the user named one.
    """
    against = [one.against for one in each]
    if any(one is not None for one in against):  # then of each
        against = [one.others for one in each]
    return Targets(
        torch.cat([one.seeds for one in each]),
        _together([one.indices for one in each]),
        _together([one.members for one in each]),
        torch.cat([one.scores for one in each]),
        None,
        single=single,
        against=_together(against),
    )


def _together(parts: Sequence[Tensor | None]) -> Tensor | None:
    """All parts as one; ``None`` if one is absent."""
    known = [part for part in parts if part is not None]
    return torch.cat(known) if len(known) == len(parts) else None
