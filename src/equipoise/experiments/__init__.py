"""Experiments: the paper's tables and figures as recipes, their protocols, and the runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._lazy import lazily

if TYPE_CHECKING:
    from equipoise.experiments.model.method_run import MethodRun as MethodRun
    from equipoise.experiments.model.statistics import STATISTICS as STATISTICS
    from equipoise.experiments.presenting.writing import write as write
    from equipoise.experiments.recipes.recipe import Column as Column
    from equipoise.experiments.recipes.recipe import Recipe as Recipe
    from equipoise.experiments.recipes.recipe import Setting as Setting
    from equipoise.experiments.recipes.scenes import RECIPES as RECIPES
    from equipoise.experiments.running.runner import Observer as Observer
    from equipoise.experiments.running.runner import Plan as Plan
    from equipoise.experiments.running.runner import Run as Run
    from equipoise.experiments.running.runner import run as run
    from equipoise.experiments.subject import READOUTS as READOUTS

# Imported when first asked for: a recipe loads nothing that only its run needs.
__getattr__, __dir__ = lazily(__name__)
