"""The paper's figures, drawn from the rows and maps of a run."""

from equipoise.experiments.presenting.figures import curves as curves
from equipoise.experiments.presenting.figures import pictures as pictures
from equipoise.experiments.presenting.figures.base import FIGURES as FIGURES
