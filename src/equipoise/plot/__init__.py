"""Figures for papers: heat maps with their class, probability, method, network and a color bar.

`single` draws one map, `compare` several in a grid; both take ``ax=`` as seaborn does, or make a `Drawing`, a
`matplotlib.figure.Figure` that pyplot does not know and whose ``save`` writes a caption beside the file.
"""

from equipoise.plot.captions import caption as caption
from equipoise.plot.drawing import DPIS as DPIS
from equipoise.plot.drawing import FORMATS as FORMATS
from equipoise.plot.drawing import VECTORS as VECTORS
from equipoise.plot.drawing import WIDTHS as WIDTHS
from equipoise.plot.drawing import Drawing as Drawing
from equipoise.plot.grid import compare as compare
from equipoise.plot.one import single as single
from equipoise.plot.panels import SCALES as SCALES
from equipoise.plot.panels import Shown as Shown
from equipoise.plot.words import worded as worded
