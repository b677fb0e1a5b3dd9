"""What is attributed, by what, and where the results go."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from equipoise.attributions.parts import Values
from equipoise.engine.precision import PRECISIONS
from equipoise.errors import OptionError

if TYPE_CHECKING:
    from equipoise.loading import Model
    from equipoise.models.description import Said

Keep: TypeAlias = Literal["maps", "sums", "none"]
"""What is kept of a map: itself and its sums, its sums alone, nothing."""

KEEPS: Final = ("maps", "sums", "none")
LABEL: Final = "label"
"""The target "what the photo is labelled as"."""

FORMAT: Final = "equipoise attributions 1"


@dataclass(frozen=True)
class Plan:
    """A run.

    Args:
        model: The network; a text where workers are in other processes.
        methods: Names, or callables, and the options of each.
        targets: What is explained of each photo: as `equipoise.wanted.parse_target` takes them, or `LABEL`.
        weights: Of a network that is named.
        said: What is said of the network in place of what is known.
        device: Where the network goes; ``None``: where it is, or the CPU.
        batch: Photos at once; ``None``: found out.
        memory: The most bytes that a worker may take; ``None``: what is free.
        precision: Of the network's convolutions.
        keep: What is kept of a map.
        values: How a map's values are kept.
        readers: Processes that read ahead for each worker; ``None``: as the device needs.
        strict: End at the first photo that cannot be done.
        folder: Where a user's own modules are looked for.
    """

    model: Model
    methods: Sequence[tuple[Any, Mapping[str, Any]]]
    targets: Sequence[Any] = (None,)
    weights: str | None = None
    said: Said | None = None
    device: str | None = None
    batch: int | None = None
    memory: int | None = None
    precision: str = "float32"
    keep: Keep = "maps"
    values: Values = "float16"
    readers: int | None = None
    strict: bool = False
    folder: str | None = None

    def __post_init__(self) -> None:
        if self.keep not in KEEPS:
            raise OptionError(f"keep is {self.keep!r}; choose from {', '.join(KEEPS)}")
        if self.values not in {"float16", "float32"}:
            raise OptionError(f"values is {self.values!r}; choose from float16, float32")
        if self.batch is not None and self.batch < 1:
            raise OptionError(f"batch is {self.batch}; it has to be at least 1")
        if self.readers is not None and self.readers < 0:
            raise OptionError(f"readers is {self.readers}; it has to be at least 0")
        object.__setattr__(self, "precision", PRECISIONS.canonical(self.precision))
        if not self.methods:
            raise OptionError("no method is named")
        if not self.targets:
            raise OptionError("no target is named")

    @property
    def kept(self) -> Values | None:
        """How maps are kept; ``None``: they are not."""
        return self.values if self.keep == "maps" else None


@dataclass(frozen=True)
class Task:
    """Some of the items, by their places in the run.

    Attributes:
        start: The first.
        stop: One past the last.
    """

    start: int
    stop: int

    def alone(self) -> list[Task]:
        """Each item by itself."""
        return [Task(index, index + 1) for index in range(self.start, self.stop)]


@dataclass(frozen=True)
class Answer:
    """What a worker did of a task.

    Attributes:
        task: The task, with as many items as were done.
        rows: How many there are.
        failed: What could not be done.
        notes: What methods said, and how often.
        batch: How many photos it explains at once by now.
        seconds: That it took.
        left_out: Methods that cannot explain this network, and why.
    """

    task: Task
    rows: int
    failed: tuple[Any, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)
    batch: int = 1
    seconds: float = 0.0
    left_out: Mapping[str, str] = field(default_factory=dict)


def digest(told: Any) -> str:
    """64 hex digits of JSON values."""
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
