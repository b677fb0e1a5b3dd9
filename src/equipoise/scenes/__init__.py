"""Drawn scenes with known causes, and small networks trained on them: what a map should say is known."""

from equipoise.scenes.drawing import SHAPES as SHAPES
from equipoise.scenes.drawing import TEXTURES as TEXTURES
from equipoise.scenes.drawing import Bias as Bias
from equipoise.scenes.drawing import Scenes as Scenes
from equipoise.scenes.drawing import draw as draw
from equipoise.scenes.networks import load as load
from equipoise.scenes.networks import normalized as normalized
