"""Experiments: the paper's tables and figures as recipes, their protocols, and the runner."""

from equipoise.experiments import paper as paper
from equipoise.experiments.recipe import RECIPES as RECIPES
from equipoise.experiments.recipe import Column as Column
from equipoise.experiments.recipe import MethodRun as MethodRun
from equipoise.experiments.recipe import Recipe as Recipe
from equipoise.experiments.recipe import Setting as Setting
from equipoise.experiments.runner import Observer as Observer
from equipoise.experiments.runner import Plan as Plan
from equipoise.experiments.runner import Run as Run
from equipoise.experiments.runner import run as run
from equipoise.experiments.statistics import STATISTICS as STATISTICS
from equipoise.experiments.subject import READOUTS as READOUTS
