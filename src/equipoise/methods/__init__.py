"""The methods: each is a starting relevance, a composite of rules and a readout."""

from equipoise.methods.ae import AttributionEquilibrium as AttributionEquilibrium
from equipoise.methods.base import METHODS as METHODS
from equipoise.methods.base import Attributor as Attributor
from equipoise.methods.base import attribute as attribute
from equipoise.methods.base import heatmap as heatmap
from equipoise.methods.base import make_method as make_method
from equipoise.methods.lrp import AlphaBetaLRP as AlphaBetaLRP
from equipoise.methods.lrp import CompositeLRP as CompositeLRP
