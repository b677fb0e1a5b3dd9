"""The attributions of a data set: made in batches by any number of workers, kept in Parquet, read lazily."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._lazy import lazily

if TYPE_CHECKING:
    from equipoise.attributions.api import attribute_dataset as attribute_dataset
    from equipoise.attributions.merging import merge as merge
    from equipoise.attributions.reading import Attributions as Attributions
    from equipoise.attributions.reading import Entry as Entry
    from equipoise.attributions.reading import open_attributions as open_attributions
    from equipoise.attributions.sources import SOURCES as SOURCES
    from equipoise.attributions.sources import Source as Source
    from equipoise.attributions.sources import open_source as open_source
    from equipoise.attributions.status import Silent as Silent
    from equipoise.attributions.status import Watcher as Watcher

__getattr__, __dir__ = lazily(__name__)
