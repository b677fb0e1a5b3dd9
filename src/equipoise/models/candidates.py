"""Which registered architecture weights fit: found by the names and shapes of their tensors."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from equipoise.models.checkpoints import count_channels, count_classes
from equipoise.models.construction import skeleton
from equipoise.models.every_source import SOURCES
from equipoise.models.families import cnn_families, representative
from equipoise.models.wrappings import COUNTERS, StateDict, bare, below

if TYPE_CHECKING:
    from equipoise.models.sources import ModelEntry

_TRIED: Final = 30  # architectures that are built, without memory, for their shapes
_MORE: Final = 5  # ... after one was found
_TURNS: Final = (6, 2, 1, 1)  # how many of the likeliest family, the second, ... are tried in turn
_INSIDE: Final = 0.8  # of the names
_SHOWN: Final = 3
_ALIKE: Final = 0.5  # of the outermost names of a family's smallest network and of the weights
_VARIANTS: Final = ("tf_", "test_", "gc", "eca", "resnetblur", "resnetaa")  # of others' shapes: tried last


@dataclass(frozen=True)
class Candidate:
    """An architecture whose tensors have the names and shapes of some weights.

    Attributes:
        name: As `equipoise.models.load_model` takes it.
        classes: As many as the weights have.
        channels: Of the input, likewise.
    """

    name: str
    classes: int
    channels: int


def candidates(state: StateDict, hints: Iterable[str] = (), count: int = _SHOWN) -> list[Candidate]:
    """Architectures of torchvision and timm that weights fit, their numbers of classes and channels aside.

    A few dozen of the likeliest are built, without memory for their weights.

    Args:
        state: Weights by name.
        hints: Texts in which the architecture's name may stand: a file's name, a hyper-parameter.
        count: How many at most.

    Returns:
        Those that a hint names first, then torchvision's; empty if there is none.
    """
    state = {name: tensor for name, tensor in bare(state).items() if not name.endswith(COUNTERS)}
    texts = [hint.casefold() for hint in hints]
    found = _found(state, texts, count)
    if not found and (inner := _inside(state)):
        found = _found(inner, texts, count)
    return found


def _found(state: StateDict, texts: Sequence[str], count: int) -> list[Candidate]:
    found: list[Candidate] = []
    left = _TRIED
    for name in _likely(state, texts):
        if not left or len(found) == count:
            break
        left -= 1
        if (candidate := _fits(state, name)) is not None:
            found.append(candidate)
            left = min(left, _MORE)
    return found


def _inside(state: StateDict) -> StateDict:
    """What is under the one outermost name that nearly all have; nothing if there is none such."""
    outer = Counter(name.partition(".")[0] for name in state)
    name, number = outer.most_common(1)[0] if outer else ("", 0)
    return below(state, f"{name}.") if number > _INSIDE * len(state) else {}


def suggestion(state: StateDict, hints: Iterable[str], but: str) -> str:
    """What to say of weights that do not fit: the architectures that they do fit; nothing if none is found."""
    found = [one for one in candidates(state, hints) if one.name != but]
    if not found:
        return ""
    return f"; its names and shapes are those of {' or '.join(one.name for one in found)}"


def _likely(state: StateDict, texts: Sequence[str]) -> Iterator[str]:
    """Names of architectures, likeliest first, each once."""
    given: set[str] = set()
    families = _alike(set(map(_pattern, state)))
    own = [f"bundled/{name}" for name in SOURCES["bundled"].architectures()]  # few, and what examples are made of
    for name in (*_named(texts, families), *own, *_in_turns(families)):
        if name not in given:
            given.add(name)
            yield name


def _named(texts: Sequence[str], families: Sequence[str]) -> list[str]:
    """The architectures of the families whose names stand in one of the texts, longest first."""
    names = [name for family in families for name in cnn_families()[family]]
    found = [name for name in names if any(_stands(name.partition("/")[2], text) for text in texts)]
    return sorted(found, key=len, reverse=True)


def _stands(name: str, text: str) -> bool:
    return re.search(rf"(?<![a-z0-9]){re.escape(name)}(?![a-z0-9])", text) is not None


def _alike(patterns: set[str]) -> list[str]:
    """The families whose smallest network is most like this, by its names less digits; torchvision's come first."""
    tops = {pattern.partition(".")[0] for pattern in patterns}
    known = _family_patterns()
    likely = [
        family for family, names in known.items() if _share(tops, {name.partition(".")[0] for name in names}) >= _ALIKE
    ]
    return sorted(likely, key=lambda family: -round(_share(patterns, known[family]), 2))[: len(_TURNS)]


def _share(one: set[str], other: Collection[str]) -> float:
    return len(one.intersection(other)) / max(len(one.union(other)), 1)


@cache
def _family_patterns() -> dict[str, frozenset[str]]:
    """For each family the names of the tensors of its smallest network, digits aside."""
    return {
        family: frozenset(
            _pattern(name)
            for name in _skeleton_of(_entry(representative(family)))
            if not name.endswith(COUNTERS)
        )
        for family in cnn_families()
    }  # fmt: skip


def _pattern(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _in_turns(families: Sequence[str]) -> list[str]:
    """The architectures of the families, likelier ones more often; the shortest names first: variants come later."""
    rows = [deque(sorted(cnn_families()[family], key=_plainness)) for family in families]
    names: list[str] = []
    while any(rows):
        for row, turn in zip(rows, _TURNS, strict=False):
            names += [row.popleft() for _ in range(min(turn, len(row)))]
    return names


def _plainness(name: str) -> tuple[bool, int, str]:
    return name.partition("/")[2].startswith(_VARIANTS), len(name), name


def _entry(name: str) -> ModelEntry:
    source, _, architecture = name.partition("/")
    entry = SOURCES[source].find(architecture)
    if entry is None:  # the families are of the very same lists
        raise KeyError(name)
    return entry


def _skeleton_of(entry: ModelEntry, **arguments: Any) -> dict[str, Any]:
    return skeleton(entry.construct, entry.classes, **arguments).state_dict()


def _fits(state: StateDict, name: str) -> Candidate | None:
    entry = _entry(name)
    wanted = {key: tensor.shape for key, tensor in _skeleton_of(entry).items() if not key.endswith(COUNTERS)}
    if wanted.keys() != state.keys():
        return None
    differing = [key for key, shape in wanted.items() if state[key].shape != shape]
    if len(differing) > 4 or any(state[key].ndim != len(wanted[key]) for key in differing):
        return None  # no more than a classifier's and a first layer's
    classes = count_classes(state, entry.construct, entry.classes)
    channels = count_channels(state, entry.construct, classes, entry.preprocessing.channels)
    more = {} if channels == entry.preprocessing.channels else {"in_chans": channels}
    built = skeleton(entry.construct, classes, **more).state_dict()
    return Candidate(name, classes, channels) if all(state[key].shape == built[key].shape for key in wanted) else None
