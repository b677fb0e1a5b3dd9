"""The methods: each is a starting relevance, a composite of rules and a readout."""

import importlib as _importlib
import pkgutil as _pkgutil

from equipoise.methods.ae import AttributionEquilibrium as AttributionEquilibrium
from equipoise.methods.base import METHODS as METHODS
from equipoise.methods.base import Attributor as Attributor
from equipoise.methods.base import attribute as attribute
from equipoise.methods.base import heatmap as heatmap
from equipoise.methods.base import make_method as make_method
from equipoise.methods.baselines import Random as Random
from equipoise.methods.cam import GradCam as GradCam
from equipoise.methods.cam import GradCamPlusPlus as GradCamPlusPlus
from equipoise.methods.cam import ScoreCam as ScoreCam
from equipoise.methods.captum_methods import DeepLift as DeepLift
from equipoise.methods.captum_methods import DeepLiftShap as DeepLiftShap
from equipoise.methods.captum_methods import GradientShap as GradientShap
from equipoise.methods.captum_squares import KernelShap as KernelShap
from equipoise.methods.captum_squares import Lime as Lime
from equipoise.methods.contrastive_lrp import ContrastiveLRP as ContrastiveLRP
from equipoise.methods.excitation import ContrastiveEB as ContrastiveEB
from equipoise.methods.excitation import ExcitationBackprop as ExcitationBackprop
from equipoise.methods.extremal import ExtremalPerturbation as ExtremalPerturbation
from equipoise.methods.gradient import Gradient as Gradient
from equipoise.methods.gradient import InputXGradient as InputXGradient
from equipoise.methods.gradient import IntegratedGradients as IntegratedGradients
from equipoise.methods.gradient import SmoothGrad as SmoothGrad
from equipoise.methods.guided import FullGrad as FullGrad
from equipoise.methods.guided import GuidedBackprop as GuidedBackprop
from equipoise.methods.lrp import AlphaBetaLRP as AlphaBetaLRP
from equipoise.methods.lrp import CompositeLRP as CompositeLRP
from equipoise.methods.lrp import DeepTaylor as DeepTaylor
from equipoise.methods.perturbation import Occlusion as Occlusion
from equipoise.methods.perturbation import Rise as Rise
from equipoise.methods.relative import AGF as AGF
from equipoise.methods.relative import RAP as RAP
from equipoise.methods.relative import RSP as RSP
from equipoise.methods.relevance_cam import RelevanceCAM as RelevanceCAM
from equipoise.methods.targets import ClassGroup as ClassGroup

# A file in this folder is all that a method needs to be found; the names above are those shown to users.
for _module in _pkgutil.iter_modules(__path__):
    _importlib.import_module(f"{__name__}.{_module.name}")
