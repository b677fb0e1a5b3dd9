"""What a source of models is, and the registry of sources.

A source knows architectures by name and hands out an `ModelEntry` for each: how to build the network, and how
to fetch the weights that belong to the name. Everything that is alike for all sources (seeds, files,
number of classes, checks) is in `equipoise.models.zoo`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from equipoise._registry import Registry
from equipoise.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import nn

    from equipoise.models.construction import Construct
    from equipoise.models.preprocessing import Preprocessing
    from equipoise.models.wrappings import StateDict


@dataclass(frozen=True)
class ModelEntry:
    """One architecture with the weights that a name stands for, nothing built or fetched yet.

    Args:
        source: Name of the source.
        architecture: The source's name for the network.
        tag: Which of its pretrained weights; ``None`` when it has none.
        classes: Number of outputs of the pretrained weights.
        preprocessing: What they were trained on.
        construct: Builds the network for a number of classes and keyword arguments (``in_chans`` and those of its
            library's constructor), in the process's random state.
        fetch: Has the file of the pretrained weights at hand, downloaded if need be; builds nothing.
        pretrained: Builds the network with the pretrained weights, for such keyword arguments (``num_classes``, too),
            and gives the file's SHA-256.
        translate: Renames the tensors of a file that follows an older naming; gets the network's skeleton.
        labels: Names of the outputs, if the publisher gives any.
        license: Of the weights.
        citation: Of the weights.
    """

    source: str
    architecture: str
    tag: str | None
    classes: int
    preprocessing: Preprocessing
    construct: Construct = field(repr=False)
    fetch: Callable[[], Path] = field(repr=False)
    pretrained: Callable[..., tuple[nn.Module, str]] = field(repr=False)
    translate: Callable[[StateDict, nn.Module], StateDict] = field(repr=False, default=lambda state, _network: state)
    labels: tuple[str, ...] | None = field(repr=False, default=None)
    license: str | None = None
    citation: str | None = None

    @property
    def base(self) -> str:
        """Source and architecture, without a tag: ``"torchvision/resnet50"``."""
        return f"{self.source}/{self.architecture}"

    @property
    def name(self) -> str:
        """The canonical name: ``"torchvision/resnet50.IMAGENET1K_V2"``."""
        return f"{self.base}.{self.tag}" if self.tag else self.base


def refuse_other_shapes(name: str, classes: int, arguments: Mapping[str, Any]) -> None:
    """Refuse pretrained weights that would have to be cut to fit.

    Raises:
        OptionError: If other classes or channels are asked for than these weights have.
    """
    for key, known, words in (("num_classes", classes, "classes"), ("in_chans", 3, "channels")):
        if arguments.get(key, known) != known:
            raise OptionError(
                f"the pretrained weights of {name} have {known} {words}, not {arguments[key]}; give weights of your "
                "own (weights=, --weights FILE) or weights='random'"
            )


def without_shapes(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments less those that `refuse_other_shapes` checked."""
    return {key: value for key, value in arguments.items() if key not in {"num_classes", "in_chans"}}


@runtime_checkable
class Source(Protocol):
    """Where networks come from."""

    def names(self) -> list[str]:
        """Canonical names, without the source, of all pretrained convolutional classifiers."""
        ...

    def architectures(self) -> list[str]:
        """Names, without tags, of all convolutional networks."""
        ...

    def find(self, name: str) -> ModelEntry | None:
        """The entry behind ``architecture`` or ``architecture.tag``, in any case of letters.

        Returns:
            ``None`` if the source has no such architecture, or no such tag of it.

        Raises:
            UnsupportedModelError: If it has the architecture and that is no convolutional network.
        """
        ...


SOURCES: Registry[Source] = Registry("model source")
"""Filled by `equipoise.models.every_source`; a name without a source is looked up in the order of registration."""
