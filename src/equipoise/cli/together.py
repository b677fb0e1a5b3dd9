"""Photos of a command line explained together: read ahead, several of one shape at once, by every method."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from equipoise._signals import shielded
from equipoise.attributions.memory import Memory, kept_for_later
from equipoise.attributions.sizing import Sizing
from equipoise.batches import Batch, Maps
from equipoise.errors import EquipoiseError, ImageError, NotFiniteError, ShapeError
from equipoise.explanation import Explanation
from equipoise.images import one_line
from equipoise.view import Photo, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from equipoise.answers import Answers, ScoreOf
    from equipoise.cli.console import RunConsole
    from equipoise.cli.photos import PhotoFile
    from equipoise.network import BoundMethod, Network
    from equipoise.wanted import PhotoTarget

AHEAD: Final = 8
"""Photos that are read and prepared beyond the batch."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A photo as the network takes it.

    Attributes:
        file: Where it is.
        photo: As a person sees it.
        inputs: ``(1, c, *space)``.
    """

    file: PhotoFile
    photo: Photo
    inputs: Tensor


@dataclass(eq=False)
class Together:
    """Explains photos.

    Args:
        network: The network.
        targets: What is explained of each.
        bound: The methods by name; one that fails is taken out.
        console: Told what could not be done.
    """

    network: Network
    targets: Sequence[PhotoTarget]
    bound: dict[str, BoundMethod]
    console: RunConsole
    _sizing: Sizing | None = None

    def explained(self, photos: Sequence[PhotoFile]) -> Iterator[tuple[PhotoFile, dict[str, Explanation]]]:
        """Each photo and its explanations by method, in order; none of a photo that could not be done, which is said.

        Raises:
            EquipoiseError: If no method is left that can explain this network.
        """
        memory: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if len(photos) > 1:
            self._sizing = Sizing(Memory(self.network.device))
            memory = kept_for_later(self.network.device)
        with ThreadPoolExecutor(1) as reader, memory:
            ahead: deque[tuple[PhotoFile, Future[Shown | str]]] = deque()
            rest = iter(photos)
            while True:
                size = 1 if self._sizing is None else self._sizing.next()
                for photo in islice(rest, size + AHEAD - len(ahead)):
                    with shielded():
                        ahead.append((photo, reader.submit(self._shown, photo)))
                if not ahead:
                    return
                group: list[Shown] = []
                while ahead and len(group) < size:
                    with shielded():
                        photo, shown = ahead[0][0], ahead[0][1].result()
                    if group and (isinstance(shown, str) or shown.inputs.shape != group[0].inputs.shape):
                        break
                    ahead.popleft()
                    if isinstance(shown, str):
                        self.console.trouble(shown)
                        yield photo, {}
                        break
                    group.append(shown)
                if group:
                    self.console.begin(one_line(group[0].file.path.name))
                    yield from self._of_group(group)

    def _shown(self, file: PhotoFile) -> Shown | str:
        """A photo read and prepared; or what is wrong with it."""
        try:
            photo = Photo.read(file.path, self.network.spec.preprocessing)
            return Shown(file, photo, self.network.prepare(photo.image if photo.array is None else photo.array))
        except (ImageError, ShapeError, NotFiniteError) as error:  # another array of the folder may fit
            name, said = one_line(file.path), one_line(error)
            return said if said.startswith(name) else f"{name}: {said}"

    def _of_group(
        self, group: Sequence[Shown], *, again: bool = False
    ) -> Iterator[tuple[PhotoFile, dict[str, Explanation]]]:
        """Photos of one shape, as many at once as memory holds; a single one may be tried twice."""
        elements = group[0].inputs.numel()
        if self._sizing is not None:
            self._sizing.begin(len(group), elements)
        started = time.perf_counter()
        try:
            views, found = self._at_once(group)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            error.__traceback__ = None  # whose frames hold what did not fit
        else:
            if self._sizing is not None:
                self._sizing.note(len(group), time.perf_counter() - started, elements)
            for place, (shown, view) in enumerate(zip(group, views, strict=True)):
                yield shown.file, self._of_one(place, shown, view, found)
            return
        if self._sizing is not None:
            self._sizing.too_large(len(group))
        if len(group) == 1 and not again:  # what held the memory may be gone by now
            yield from self._of_group(group, again=True)
            return
        if len(group) == 1:
            self.console.trouble(f"{one_line(group[0].file.path)}: there is not enough memory to explain it")
            yield group[0].file, {}
            return
        half = len(group) // 2
        yield from self._of_group(group[:half])
        yield from self._of_group(group[half:])

    def _of_one(
        self, place: int, shown: Shown, view: View, found: dict[str, tuple[Maps, list[list[ScoreOf]]]]
    ) -> dict[str, Explanation]:
        explanations = {}
        for name, (maps, scores) in found.items():
            if place in maps.failed:
                self.console.trouble(f"{one_line(shown.file.path)}: {name}: {one_line(maps.failed[place])}")
            elif name in self.bound:
                made = Explanation.made(view, self.bound[name], scores[place], maps.each[place], maps.notes[place])
                explanations[name] = made
        return explanations

    def _at_once(self, group: Sequence[Shown]) -> tuple[list[View], dict[str, tuple[Maps, list[list[ScoreOf]]]]]:
        """What the network says of each photo, and what each method gave.

        Raises:
            EquipoiseError: If no method is left that can explain this network.
        """
        network = self.network
        sizes = [shown.photo.image.size for shown in group]
        boxes = [network.spec.preprocessing.box(*size) for size in sizes]
        inputs = torch.cat([shown.inputs for shown in group])

        def view(place: int, answers: Answers) -> View:
            return View(network, group[place].photo, group[place].inputs, answers, boxes[place])

        def wish(place: int, answers: Answers) -> list[ScoreOf]:
            return view(place, answers).targets(self.targets)

        batch = Batch(network, inputs, [partial(wish, place) for place in range(len(group))], sizes, boxes)
        found = {}
        every = list(self.bound.values())
        for name in list(self.bound):
            try:
                maps = batch.explain(self.bound[name], every)
            except EquipoiseError as error:  # what a method cannot do with one photo, it can do with none
                del self.bound[name]
                if not self.bound:
                    raise
                self.console.trouble(f"{name} is left out: {one_line(error)}")
            else:
                found[name] = maps, batch.scores
        return [view(place, answers) for place, answers in enumerate(batch.answers)], found


def _out_of_memory(error: BaseException) -> bool:
    # on the CPU torch raises a plain RuntimeError, known by its words alone
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
