"""What one visitor looks at: a photo, the network's forward pass of it, and the maps made so far."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch
from torch import Tensor

from equipoise.answers import ClassScore, ScoreOf
from equipoise.app.keeping import Kept, Made, weight_of
from equipoise.app.lanes import Stop
from equipoise.app.networks import SharedInputs, SharedNetwork
from equipoise.app.reading import Read, in_this_process
from equipoise.app.tasks import Offer, offer_of
from equipoise.errors import ImageError, NotFiniteError, OptionError, ShapeError, TargetError
from equipoise.explaining import of_input
from equipoise.explanation import Explanation
from equipoise.images import one_line
from equipoise.methods.propagation import Propagation
from equipoise.methods.scores import Box
from equipoise.methods.targets import ClassGroup
from equipoise.records import to_json
from equipoise.view import Photo, View
from equipoise.wanted import TEXTS, Top, on_device, parse_target, similar_to
from equipoise.wording import Wording, wording_of

if TYPE_CHECKING:
    from equipoise.engine import Trace
    from equipoise.inputs import Prepares
    from equipoise.network import BoundMethod

OWN: Final = "ae"
"""The method of the first view, and the one that the page's gamma is for."""

NAMED: Final = frozenset({"class", "negative", "contrast", "group", "pixel", "box"})
"""Kinds of scores that a visitor may name; the others of `equipoise.wanted` read files, which are the server's."""

Explained: TypeAlias = int | str
"""What is explained: a class, value or box by its index, or another score in the words of `equipoise.wanted`."""

SHOWN: Final = 720
"""Longer side of a photo on the page, in pixels."""


def _given(key: str, path: str, takes: Prepares, read: Read) -> Photo | str:
    """What is given for an input; that which is passed as it is by its name alone."""
    try:
        return path if takes is None else read(path, takes)
    except (ImageError, ShapeError, NotFiniteError) as error:
        raise type(error)(f"input {key!r}: {error}") from error


def _named(path: str) -> str:
    """A file without its folder; of several arrays in it one may be named after a ``#``."""
    if "#" not in path or Path(path).exists():
        return Path(path).name
    file, _, key = path.rpartition("#")
    return f"{Path(file).name}#{key}"


@dataclass(eq=False)
class Session:
    """A photo before a network; of a network of several inputs one of them, the others held.

    What can be chosen and what the network says is asked of the first input's session.

    Args:
        network: The network.
        looked: What it saw; ``None``: so many visitors came that it had to give way.
        name: Of the photo, for people.
        stop: The visitor's stop button.
        input: Name of the input; of a network of one input none.
        first: The session of the first input; ``None``: it is this one.
        beside: Of the first input's session those of the others.
        kept: What was made of it.
        shown: What was asked of each view of the page when it was last made.
    """

    network: SharedNetwork
    looked: View | None
    name: str
    stop: Stop = field(default_factory=Stop)
    input: str = ""
    first: Session | None = None
    beside: tuple[Session, ...] = ()
    kept: Kept = field(default_factory=Kept)
    shown: dict[str, str] = field(default_factory=dict)
    _others: dict[str, ScoreOf] = field(default_factory=dict)
    _twin: Session | None = None

    @classmethod
    def open(cls, path: str, network: SharedNetwork, stop: Stop | None = None, read: Read = in_this_process) -> Session:
        """Read a photo and show it to a network.

        Args:
            path: Of the photo.
            network: The network.
            stop: Of the visitor.
            read: Reads the photo.

        Raises:
            ImageError: If it cannot be read.
            CancelledError: If the visitor stopped it.
        """
        stop = stop or Stop()
        name = _named(path)
        try:
            photo = read(path, network.spec.preprocessing)
            with network.work(stop):
                view = View.of(photo, network)
        except ImageError as error:  # a visitor need not know the server's folders
            raise ImageError(str(error).replace(one_line(path), one_line(name))) from error
        return cls(network, replace(view, photo=replace(view.photo, path=name)), name, stop)

    @classmethod
    def open_each(
        cls,
        paths: Mapping[str, str],
        network: SharedInputs,
        stop: Stop | None = None,
        read: Read = in_this_process,
    ) -> Session:
        """Read a photo or an array for each input and show them to a network; the session of the first.

        Args:
            paths: By input.
            network: The network.
            stop: Of the visitor.
            read: Reads a photo or an array.

        Raises:
            ImageError: If one cannot be read.
            CancelledError: If the visitor stopped it.
        """
        stop = stop or Stop()
        names = {key: _named(path) for key, path in paths.items()}
        try:
            views = network.views(
                {key: _given(key, path, network.prepares[key], read) for key, path in paths.items()}, stop
            )
        except ImageError as error:  # as in `open`
            text = str(error)
            for key, path in paths.items():
                text = text.replace(one_line(path), one_line(names[key]))
            raise ImageError(text) from error
        made: list[Session] = []
        for key, (view, alone) in views.items():
            named = replace(view, photo=replace(view.photo, path=names[key]))
            made.append(cls(alone, named, names[key], stop, key, made[0] if made else None))
        made[0].beside = tuple(made[1:])
        return made[0]

    @property
    def forgotten(self) -> bool:
        """Whether even the photo had to give way to others."""
        return self.looked is None

    @property
    def view(self) -> View:
        """What the network saw.

        Raises:
            OptionError: If it is `forgotten`.
        """
        if self.looked is None:
            raise OptionError("so many visitors came that this photo was forgotten; give it again")
        return self.looked

    @property
    def inputs(self) -> tuple[Session, ...]:
        """Of the first input's session: it and those of the others, in the order of the description."""
        return (self, *self.beside)

    def parts(self, wrt: str | None) -> tuple[Session, ...]:
        """The input of a name alone, or each: for ``None``, and where there is none of that name."""
        return tuple(one for one in self.inputs if one.input == wrt) or self.inputs

    @property
    def dims(self) -> int:
        """How many dimensions of positions there are: 1 of a signal, 2 of a photo, 3 of a volume."""
        return self.view.inputs.dim() - 2

    @property
    def words(self) -> Wording:
        """How the network's maps are told."""
        return wording_of(self.network.spec)

    @property
    def offer(self) -> Offer:
        """What can be chosen; several inputs are not compared with several others."""
        offer = offer_of(self.network.spec)
        return replace(offer, pairs=False) if self.beside or self.first else offer

    @property
    def scores(self) -> tuple[ClassScore, ...]:
        """What the network says of the photo, the first first; what it says is there is never left out."""
        said = self.view.answers.said()
        first = self.view.top(max(self.offer.count, len(said)))
        return tuple(one for one in first if one.index is not None and self._can_be_explained(one.index))

    def targets(self, wanted: Sequence[str | int]) -> list[Explained]:
        """What a visitor chose or typed: indices, names, groups, scores in words; none: what the network says.

        Raises:
            UnknownNameError: If no class has a name; the text lists the nearest ones.
            TargetError: If an index is no class, or there is nothing to explain.
            OptionError: If a score in words would read a file.
        """
        found: dict[Explained, None] = {}
        for one in wanted or [""]:
            found.update(dict.fromkeys(self._meant(one)))
        if not found:
            raise TargetError("the network finds nothing in this photo")
        return list(found)

    def score(self, target: Explained) -> ScoreOf:
        """The score that a target of `targets` stands for.

        Raises:
            TargetError: If there is no such class.
        """
        if self.first is not None:
            return self.first.score(target)
        if isinstance(target, int):
            return self.view.answers.target(target)
        if target in self._others:
            return self._others[target]
        return self.view.targets([parse_target(target, self.network.spec)])[0]

    def pixel_at(self, across: float, down: float) -> Explained:
        """The target "the class that wins at this pixel, there alone", of a class for each pixel.

        Args:
            across: Of the photo's width, 0 to 1.
            down: Of its height.

        Returns:
            In the words of a target: the place in the first input's pixels.

        Raises:
            TargetError: If the network does not see that pixel, or gives no class for each.
        """
        raw, (width, height) = self.view.answers.raw, self.view.size
        x, y = self.view.share_of(across * width, down * height)
        if not isinstance(raw, Tensor):
            raise TargetError("the network gives no class for each pixel")
        if not (0 <= x < 1 and 0 <= y < 1):
            raise TargetError("the network does not see this part of the photo")
        winner = int(raw[0, :, int(y * raw.shape[2]), int(x * raw.shape[3])].argmax())
        name = self.view.answers.name(winner)
        left, top, right, bottom = (self.first or self).view.box
        column, row = left + x * (right - left), top + y * (bottom - top)
        return f"pixel:{winner if '|' in name else name}|{column:.1f}|{row:.1f}"

    def compare_with(self, path: str, read: Read = in_this_process) -> str:
        """The target "how like another photo this one is", for a network that gives a vector.

        Args:
            path: Of the other photo.
            read: Reads it.

        Raises:
            ImageError: If the other photo cannot be read.
        """
        name = one_line(Path(path).name)
        try:
            photo = read(path, self.network.spec.preprocessing)
            with self.network.work(self.stop):
                other = self.view.beside(photo)
        except ImageError as error:  # as in `open`
            raise ImageError(str(error).replace(one_line(path), name)) from error
        other = replace(other, photo=replace(other.photo, path=name))
        self._others[f"similarity:{name}"] = on_device(similar_to(other, name), self.network.device)
        return f"similarity:{name}"

    def certainty(self, inputs: Tensor, target: Explained) -> Tensor:
        """How sure the network is of a target for each of some images: a probability, or the score: ``(n,)``."""
        score = self.score(target)
        if isinstance(target, int) and not isinstance(score, Box):
            return self.network.certainty(inputs, target)
        found = []
        for one in inputs:
            try:
                found.append(self.network.answers(one[None]).score(score).logit)
            except TargetError:  # no such box is found any more
                found.append(0.0)
        return torch.tensor(found)

    def _can_be_explained(self, index: int) -> bool:
        """Whether there is anything to explain of a class; of one that wins at no pixel there is not."""
        try:
            self.view.answers.target(index)
        except TargetError:
            return False
        return True

    def _meant(self, one: str | int) -> list[Explained]:
        """The targets that a choice stands for: an index where there is one, else the words themselves."""
        if one in self._others:
            return [one]
        words = str(one).strip()
        kind, colon, _ = words.partition(":")
        known = words.casefold() in {name.casefold() for name in self.network.spec.classes}
        if colon and not known and kind in TEXTS and TEXTS.canonical(kind) not in NAMED:
            raise OptionError(f"{kind}: reads a file, which the page does not; name one of {', '.join(sorted(NAMED))}")
        target = parse_target(words, self.network.spec) if words else Top()
        indices = [self.view.score(score).index for score in self.view.targets([target])]
        return [words if index is None else index for index in indices]

    def slow(self) -> Session:
        """The same for slow work: it has a line of its own to wait in and is stopped by itself; what is made is shared.

        Raises:
            CancelledError: If the visitor stopped it.
        """
        if self._twin is None:
            stop, made = Stop(), list[Session]()
            for one in self.inputs:
                network, first = one.network.slow(self.stop), made[0] if made else None
                kept = one.kept.beside()
                made.append(replace(one, network=network, stop=stop, first=first, beside=(), kept=kept, _twin=None))
            made[0].beside = tuple(made[1:])
            self._twin = made[0]
        return self._twin

    def halt(self) -> None:
        """Stop all work."""
        self.stop.request()
        if self._twin is not None:
            self._twin.stop.request()

    def end(self) -> None:
        """Stop all work, and keep nothing that can be made again; the visitor is away."""
        self.halt()
        self.rest()

    def rest(self) -> None:
        """Keep nothing that can be made again."""
        self.forget_passes()
        for one in self.inputs:
            one.kept.maps.clear()

    def forget_passes(self) -> None:
        """Keep no recorded forward pass."""
        twins = () if self._twin is None else self._twin.inputs
        for one in (*self.inputs, *twins):
            one.kept.passes.clear()

    def forget(self) -> None:
        """Keep not even the photo; the page says so when it is asked for it."""
        self.rest()
        for one in self.inputs:
            one.looked = None
            one._others.clear()  # noqa: SLF001  # of this class
        self._twin = None

    @property
    def weight(self) -> int:
        """About how many bytes it keeps, without recorded forward passes."""
        return sum(one.kept.weight + (0 if one.looked is None else weight_of(one.looked)) for one in self.inputs)

    def explain(self, target: Explained, method: str = OWN, options: Mapping[str, Any] | None = None) -> Made:
        """The explanation of one target, from memory if it was made before.

        Raises:
            EquipoiseError: If the method cannot explain the network, or an option is wrong.
            CancelledError: If the visitor stopped it.
        """
        options = dict(options or {})
        view = self.view

        def make() -> Made:
            bound = self.network.bind(method, **options)
            score = self.score(target)
            started = time.perf_counter()
            with self.network.work(self.stop):
                trace = self._trace_for(bound) if isinstance(score, int | ClassGroup) else None
                explanation = Explanation.of(view, bound, [score], trace).select(0)
            seconds = time.perf_counter() - started
            return Made(self.told(explanation).thumbnail(SHOWN), seconds)

        return self.kept.remember(to_json([method, options, target]), make)

    def told(self, explanation: Explanation) -> Explanation:
        """An explanation whose record says which of several inputs it is of."""
        return of_input(explanation, self.input) if self.input else explanation

    def full(self, target: Explained, method: str = OWN, options: Mapping[str, Any] | None = None) -> Explanation:
        """As `explain`, with the photo at its own resolution."""
        explanation = self.explain(target, method, options).explanation
        return replace(explanation, image=self.view.photo.image, box=self.view.box)

    def _trace_for(self, bound: BoundMethod) -> Trace | None:
        """The forward pass for a method that needs little of it, recorded once; others make their own."""
        method = bound.attributor
        if not isinstance(method, Propagation) or method.keep is None:
            return None
        return self.kept.recorded(method.keep, lambda: method.trace(self.view.inputs))
