"""The small world, and a recipe on it."""

import pytest

import colors
from colors import PERFECT, UNIFORM
from equipoise.experiments import Column, Recipe
from equipoise.experiments.protocols.pointing import Pointing


@pytest.fixture
def world(tmp_path):
    return colors.write_world(tmp_path / "world")


@pytest.fixture
def make_recipe():
    def make(protocol=None, methods=(PERFECT, UNIFORM), **changes):
        values = {
            "name": "small",
            "title": "A small table",
            "summary": "of the small world",
            "protocol": protocol or Pointing(tolerance=1),
            "pairs": (("folder", "colors:build"),),
            "methods": methods,
        }
        if "columns" not in changes:
            values["columns"] = tuple(Column(name, name) for name in values["protocol"].metrics)
        return Recipe(**(values | changes))

    return make
