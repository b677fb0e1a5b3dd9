"""Labelled photos with masks from the layouts that data sets come in.

Every reader turns a folder into a `DataSet` of `Sample`; `DATASETS` lists them, `open_dataset` opens one.
"""

from __future__ import annotations

from equipoise.datasets.base import DATASETS as DATASETS
from equipoise.datasets.base import DataSet as DataSet
from equipoise.datasets.base import DataSetEntry as DataSetEntry
from equipoise.datasets.base import Sample as Sample
from equipoise.datasets.base import open_dataset as open_dataset
from equipoise.datasets.registered import register_all

register_all()
