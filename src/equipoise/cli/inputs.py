"""Which files a command line names for each input of a network of several: ``image=a.png depth=a.npy``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from equipoise._registry import nearest
from equipoise.cli.photos import collect
from equipoise.errors import ImageError, OptionError
from equipoise.images import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from equipoise.cli.photos import PhotoFile


@dataclass(frozen=True)
class FilesOfInputs:
    """What one forward pass takes.

    Attributes:
        stem: Begins the names of its files.
        files: By the name of the input.
    """

    stem: str
    files: Mapping[str, Path]


def inputs_of(model: str) -> tuple[str, ...]:
    """The names of a description's inputs; none if it is of a network of one input, or no description.

    Raises:
        DescriptionError: If a description says something that cannot be.
    """
    if not model.endswith(".toml"):
        return ()
    from equipoise.models.description import read_description  # noqa: PLC0415  # not needed for every network

    return tuple(read_description(Path(model)).inputs)


def collect_inputs(
    names: Sequence[str], inputs: Sequence[str], model: str, *, recursive: bool
) -> tuple[list[FilesOfInputs], list[str]]:
    """The files of each forward pass, and what is wrong with others.

    A file for each input is one pass; of folders files of the same name, whatever their endings, belong together.

    Args:
        names: As typed, ``NAME=PATH`` each.
        inputs: Of the network.
        model: Its name.
        recursive: Whether to look into the folders of folders.

    Raises:
        OptionError: If an input has no files or several times some, or there is no such input.
        ImageError: If there are no such files.
    """
    found: dict[str, list[PhotoFile]] = {}
    for text in names:
        name, equals, place = text.partition("=")
        if not equals or name in found:
            form = " ".join(f"{one}=FILE" for one in inputs)
            raise OptionError(f"{model} takes the inputs {', '.join(inputs)}: give {form}, a file or a folder each")
        found[name], problems = collect([place], recursive=recursive)
        if problems:
            raise ImageError(problems[0])
    check_names(list(found), inputs)
    first, *others = inputs
    if all(len(files) == 1 for files in found.values()):
        return [FilesOfInputs(found[first][0].stem, {one: found[one][0].path for one in inputs})], []
    by_stem = {one: {file.stem: file.path for file in found[one]} for one in inputs}
    passes, problems = [], []
    for stem, path in by_stem[first].items():
        lacking = [one for one in others if stem not in by_stem[one]]
        if lacking:
            problems.append(f"{one_line(path)} has no {lacking[0]}: no file of its name there")
        else:
            passes.append(FilesOfInputs(stem, {one: by_stem[one][stem] for one in inputs}))
    return passes, problems


def check_wrt(wrt: str, inputs: Sequence[str], model: str) -> None:
    """Refuse an input to explain that is none of a network's.

    Args:
        wrt: As typed.
        inputs: Of the network; none, if it takes one.
        model: Its name.

    Raises:
        OptionError: If there is no such input, or the network takes one alone.
    """
    if wrt in inputs:
        return
    if not inputs:
        raise OptionError(f"--wrt {one_line(wrt)} names one of several inputs, and {model} takes one")
    near = nearest(wrt, list(inputs), 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise OptionError(f"--wrt: no input is called {one_line(wrt)!r}; {hint}{model} takes {', '.join(inputs)}")


def check_names(given: Sequence[str], inputs: Sequence[str]) -> None:
    """Refuse names that are not those of the inputs.

    Raises:
        OptionError: If one is none, or one lacks.
    """
    from equipoise.inputs import check_given  # noqa: PLC0415  # loads torch

    check_given(given, inputs)
