"""The methods: each is a starting relevance, a composite of rules and a readout."""

from equipoise.methods.ae import AttributionEquilibrium as AttributionEquilibrium
from equipoise.methods.base import METHODS as METHODS
from equipoise.methods.base import Attributor as Attributor
from equipoise.methods.base import attribute as attribute
from equipoise.methods.base import heatmap as heatmap
from equipoise.methods.base import make_method as make_method
from equipoise.methods.contrastive_lrp import ContrastiveLRP as ContrastiveLRP
from equipoise.methods.excitation import ContrastiveEB as ContrastiveEB
from equipoise.methods.excitation import ExcitationBackprop as ExcitationBackprop
from equipoise.methods.lrp import AlphaBetaLRP as AlphaBetaLRP
from equipoise.methods.lrp import CompositeLRP as CompositeLRP
from equipoise.methods.lrp import DeepTaylor as DeepTaylor
from equipoise.methods.relative import AGF as AGF
from equipoise.methods.relative import RAP as RAP
from equipoise.methods.relative import RSP as RSP
from equipoise.methods.relevance_cam import RelevanceCAM as RelevanceCAM
