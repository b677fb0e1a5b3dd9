"""Running the network itself, many times: scores of any target, chunks that fit the memory, progress."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Final, Self

import torch
from torch import Tensor, nn

from equipoise._progress import Bar, shown, tell
from equipoise.engine.entrance import (
    check_model,
    check_scores,
    checking,
    out_of_memory,
    python_module,
    run,
)
from equipoise.engine.numerics import working_dtype
from equipoise.engine.outputs import Output
from equipoise.errors import OptionError, UnsupportedModelError, UntracedTensorError
from equipoise.methods.base import Method
from equipoise.methods.targets import Deferred, Target, Targets, resolve_targets

USUAL: Final = 224 * 224
"""Positions of the images that ``chunk`` is said of."""

_LOG = logging.getLogger("equipoise")
_WORTH_SHOWING = 2.0  # seconds

Work = Callable[[Tensor, Tensor], None]
"""Called with step numbers ``(m,)`` and image numbers ``(m,)``; whatever it keeps, it keeps at its end."""


class ManyPasses(Method):
    """Base of the methods that run the network itself; a subclass says how in `explain`.

    Args:
        model: Any network in eval mode that torch can differentiate; it is not changed.
        chunk: How many images pass the network at once, fewer of more than 224 x 224 pixels;
            halved by itself when memory runs out.

    Raises:
        OptionError: If ``chunk`` is no positive whole number.
    """

    costly = True

    def __init__(self, model: nn.Module, *, chunk: int = 64) -> None:
        super().__init__(model)
        self.chunk = whole("chunk", chunk)

    def explain(self, batch: Batch) -> Tensor:
        """The attribution ``(k, n, c, *space)``."""
        raise NotImplementedError  # abstract: every method defines it

    def explained(self, images: Tensor, target: Target) -> tuple[Targets, Tensor]:
        """See `Method`."""
        batch = Batch(self, images, target)
        return batch.targets, self.explain(batch)


def at_once(chunk: int, images: Tensor) -> int:
    """How many of these images ``(n, c, *space)`` take the memory of ``chunk`` of the usual size; at most that."""
    return max(1, chunk * USUAL // max(USUAL, math.prod(images.shape[2:])))


class Batch:
    """One batch being explained.

    Attributes:
        image: The images, ``(n, c, *space)``.
        logits: What the network says about them, ``(n, C)``.
        targets: What is explained.
        dtype: Where sums are kept: float64 stays, anything narrower becomes float32.
        name: The method, for progress.
    """

    def __init__(self, method: ManyPasses, inputs: Tensor, target: Target, logits: Tensor | None = None) -> None:
        self.model = python_module(method.model)
        check_model(self.model)
        self.output = method.output
        self.chunk = at_once(method.chunk, inputs)
        self.name = type(method).__name__
        self.image = inputs.detach().clone()
        self.dtype = working_dtype(inputs.dtype)
        with checking(inputs):
            self.logits = self._first_pass() if logits is None else logits
        check_scores(self.model, self.logits, inputs)
        if isinstance(target, Deferred):
            target = target.ask(self.logits)
        self.targets = resolve_targets(target, self.logits)
        self._functions: tuple[Callable[[Tensor], Tensor], ...] = ()
        if self.targets.indices is None:
            self._functions = (target,) if callable(target) else tuple(target)  # type: ignore[arg-type]  # else classes

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.image)

    @property
    def k(self) -> int:
        """Number of targets of each image."""
        return len(self.targets.seeds)

    def forward(self, points: Tensor) -> Tensor:
        """Logits ``(m, C)`` of ``points`` ``(m, c, *space)``."""
        return network_logits(self.model, points.to(self.image.dtype), self.output)

    def forward_in_chunks(self, points: Tensor) -> Tensor:
        """As `forward`, without gradients, ``chunk`` images at a time, halved when memory runs out."""
        parts: list[Tensor] = []
        done = 0
        while done < len(points):
            rows = points[done : done + self.chunk]
            with torch.no_grad():
                if self._fits(partial(_append, parts, self.forward, rows), len(rows)):
                    done += len(rows)
        return torch.cat(parts)

    def scores(self, logits: Tensor, steps: Tensor, images: Tensor, *, probability: bool = False) -> Tensor:
        """The explained scores ``(k, m)`` of altered images.

        Args:
            logits: Of the altered images, ``(m, C)``.
            steps: Which alteration each row is, ascending, ``(m,)``; two rows of one step differ in their image.
            images: Which image each row was, ``(m,)``.
            probability: Whether a class's (or a group's) score is its probability, not its logit.
        """
        if probability and self.targets.members is not None and self._functions:
            told = self.targets.members if self.targets.against is None else self.targets.members - self.targets.against
            return (logits.softmax(1) * told[:, images]).sum(2).to(self.dtype)
        if not self._functions:
            assert self.targets.indices is not None  # noqa: S101  # no function, so classes
            values = logits.softmax(1) if probability else logits
            return values.gather(1, self.targets.indices[:, images].t()).t().to(self.dtype)
        parts = []
        for step in dict.fromkeys(steps.tolist()):  # the user's function is given its batch in its own order
            here = steps == step
            whole_batch = self.logits.index_copy(0, images[here], logits[here].to(self.logits.dtype))
            parts.append(torch.stack([function(whole_batch)[images[here]] for function in self._functions]))
        return torch.cat(parts, 1).to(self.dtype)

    def gradients(self, points: Tensor, steps: Tensor, images: Tensor) -> Tensor:
        """Gradient of the explained scores by the pixels at ``points``, ``(k, m, c, *space)``."""
        with torch.enable_grad():
            leaf = points.detach().requires_grad_()
            scores = self.scores(self.forward(leaf), steps, images)
            return pixel_gradients(scores.sum(1), leaf).to(self.dtype)

    def over(self, steps: int, work: Work, *, passes: int = 1, announce: bool = True) -> None:
        """Do ``steps`` alterations of every image, ``chunk`` rows at a time, halved when memory runs out.

        Args:
            steps: How many alterations.
            work: Does some of them.
            passes: Forward passes of each; work that makes several reports them itself to `progress`.
            announce: Whether to say how many passes are to come.
        """
        total, done = steps * self.n, 0
        with Progress(self.name, total * passes, announce=announce) as self.progress:
            while done < total:
                rows = torch.arange(done, min(done + self.chunk, total), device=self.image.device)
                if self._fits(partial(work, rows // self.n, rows % self.n), len(rows)):
                    done += len(rows)
                    if passes == 1:
                        self.progress.advance(len(rows))

    def _fits(self, job: Callable[[], None], rows: int) -> bool:
        """Whether the memory holds ``job`` with ``rows`` images; if not, `chunk` is halved."""
        if _succeeds(job, rows):
            return True
        self.chunk = max(rows // 2, 1)  # outside the except block, where the failed pass is freed
        if self.image.device.type == "cuda":
            torch.cuda.empty_cache()
        _LOG.info("%s: out of memory; %d images at once from here on", self.name, self.chunk)
        return False

    def _first_pass(self) -> Tensor:
        parts: list[Tensor] = []
        self.over(1, lambda _, images: parts.append(self.forward(self.image[images])), announce=False)
        return torch.cat(parts)


def network_logits(model: nn.Module, points: Tensor, output: Output = None) -> Tensor:
    """Run the network on a copy of ``points``, so that one that writes into its input does no harm.

    Where gradients are wanted, it sees none of its own ``no_grad``, ``inference_mode`` and ``detach``.

    Raises:
        EquipoiseError: As `equipoise.engine.entrance.run`.
    """
    return run(model, points.clone(), output, "autograd" if torch.is_grad_enabled() else None)


def differentiated(outputs: Tensor, leaf: Tensor, *, keep: bool = False) -> Tensor:
    """The gradient of ``outputs``, a scalar, by ``leaf``.

    Args:
        outputs: What is differentiated.
        leaf: By what.
        keep: Whether the graph is needed again.

    Raises:
        UntracedTensorError: If nothing that torch can differentiate leads from one to the other.
        UnsupportedModelError: If torch cannot differentiate the network.
    """
    if outputs.requires_grad:
        try:
            (gradient,) = torch.autograd.grad(outputs, leaf, retain_graph=keep, allow_unused=True)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            raise UnsupportedModelError(not_differentiable(error)) from error
        if gradient is not None:
            return gradient
    raise UntracedTensorError(UNREACHED)


UNREACHED = (
    "the explained score does not depend on the image by anything that torch can differentiate, so it has no "
    "gradient: a step such as argmax, rounding or a custom function cuts it off; take a method without, such as rise"
)


def not_differentiable(error: Exception) -> str:
    """The sentence for an error that autograd raised."""
    said = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return f"torch cannot differentiate this network ({said}); choose a method without gradients, such as rise"


def pixel_gradients(outputs: Tensor, leaf: Tensor) -> Tensor:
    """Gradient of each of ``outputs`` ``(k,)`` by ``leaf``, stacked.

    Raises:
        UntracedTensorError: If one does not depend on it.
        UnsupportedModelError: If torch cannot differentiate the network.
    """
    last = len(outputs) - 1
    return torch.stack([differentiated(one, leaf, keep=index < last) for index, one in enumerate(outputs)])


def whole(name: str, value: object, least: int = 1) -> int:
    """``value`` as a whole number.

    Raises:
        OptionError: If it is none, or below ``least``.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise OptionError(f"{name} is {value!r}; it must be a whole number from {least} on")
    return value


def _append(parts: list[Tensor], forward: Callable[[Tensor], Tensor], points: Tensor) -> None:
    parts.append(forward(points))


def _succeeds(job: Callable[[], None], rows: int) -> bool:
    try:
        job()
    except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if rows == 1 or not out_of_memory(error):
            raise
        return False
    return True


class Progress:
    """Says how many forward passes are to come, then how far they are.

    The number goes to the log ``equipoise`` before the first pass. If the work then looks longer than
    two seconds, the log is told of every tenth, and a terminal is shown a bar (`equipoise._progress`)
    unless that log has a handler of its own, which then shows the tenths.
    """

    def __init__(self, name: str, total: int, *, announce: bool = True) -> None:
        self._text = f"{name}: {total} forward passes"
        self._total, self._done, self._tenth = total, 0, 0
        self._bar: Bar | None = None
        self._shown = False
        self._start = time.monotonic()
        if announce:
            _LOG.info(self._text)
            tell(0, total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, passes: int) -> None:
        """Note that ``passes`` more are done."""
        self._done = min(self._done + passes, self._total)
        tell(self._done, self._total)
        elapsed = time.monotonic() - self._start
        if elapsed * self._total / max(self._done, 1) < _WORTH_SHOWING:
            return
        if not self._shown:
            self._show()
        if self._bar is not None:
            self._bar.update(self._done)
        if (tenth := 10 * self._done // self._total) > self._tenth:
            self._tenth = tenth
            _LOG.info("%s, %d done after %.0f s", self._text, self._done, elapsed)

    def _show(self) -> None:
        self._shown = True
        stream = sys.stderr
        if stream is not None and stream.isatty() and not _LOG.handlers:
            self._bar = shown(self._text, self._total)
