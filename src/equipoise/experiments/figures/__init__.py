"""The paper's figures, drawn from the rows and maps of a run."""

from equipoise.experiments.figures import curves as curves
from equipoise.experiments.figures import pictures as pictures
from equipoise.experiments.figures.base import FIGURES as FIGURES
