"""Streams of photos: folders, lists, tables, tars, data sets: registered ones, torch's, Hugging Face's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from equipoise._registry import nearest
from equipoise.attributions.sources import files as files
from equipoise.attributions.sources import sets as sets
from equipoise.attributions.sources import tables as tables
from equipoise.attributions.sources import tars as tars
from equipoise.attributions.sources.base import SOURCES as SOURCES
from equipoise.attributions.sources.base import Label as Label
from equipoise.attributions.sources.base import Source as Source
from equipoise.attributions.sources.files import of_files
from equipoise.attributions.sources.sets import as_source_of_items
from equipoise.datasets import DATASETS
from equipoise.errors import EquipoiseError, OptionError
from equipoise.images import one_line


def open_source(what: Any, root: Path | None = None) -> Source:
    """The photos behind whatever names them.

    Args:
        what: A folder; files; ``photos.csv``, ``photos.parquet``; ``train-{000..012}.tar``; ``hf:FOLDER#split``; a name
            of `equipoise.datasets.DATASETS`; ``package.module:build``; several files and folders; a
            `torch.utils.data.Dataset` or anything else with a length and items; a `Source`.
        root: The folder of data sets; ``None``: what ``EQUIPOISE_DATA`` names.

    Raises:
        EquipoiseError: If there are no photos; one sentence.
    """
    if isinstance(what, str | os.PathLike):
        text = os.fspath(what)
        kind = next((kind for kind in SOURCES.values() if kind.takes(text)), None)
        if kind is not None:
            return kind.open(text, root)
        if Path(text).is_file():
            return of_files([text])
        raise _unknown(text)
    if isinstance(what, list | tuple) and what and all(isinstance(one, str | os.PathLike) for one in what):
        return open_source(what[0], root) if len(what) == 1 else of_files([os.fspath(one) for one in what])
    if isinstance(what, Sequence) and not what:
        raise OptionError("no photos are named")
    return as_source_of_items(what)


def _unknown(text: str) -> EquipoiseError:
    near = nearest(text, DATASETS.names(), 1)
    hint = f"; did you mean the data set {near[0]}?" if near else ""
    return OptionError(f"{one_line(text)}: no such file, folder or data set{hint}")
