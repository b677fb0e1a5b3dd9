"""Drawn scenes with known causes, and small networks trained on them: what a map should say is known."""

from equipoise.datasets.drawing import SHAPES as SHAPES
from equipoise.datasets.drawing import TEXTURES as TEXTURES
from equipoise.datasets.drawing import Bias as Bias
from equipoise.datasets.drawing import Scenes as Scenes
from equipoise.datasets.drawing import draw as draw
from equipoise.scenes.builds import plain_0 as plain_0
from equipoise.scenes.builds import plain_1 as plain_1
from equipoise.scenes.builds import residual_0 as residual_0
from equipoise.scenes.builds import residual_1 as residual_1
from equipoise.scenes.builds import shortcut_0 as shortcut_0
from equipoise.scenes.builds import shortcut_1 as shortcut_1
from equipoise.scenes.networks import load as load
from equipoise.scenes.networks import normalized as normalized
