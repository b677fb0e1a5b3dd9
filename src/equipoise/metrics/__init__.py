"""How good a heat map is: plain functions on tensors, and beside each a ``torchmetrics.Metric``.

Heat maps are ``(n, h, w)``, floating, signed: above 0 speaks for the class. Each function returns one number
per map; a map for which a metric is not defined gives NaN, never a made-up value. The classes sum over a data
set, leave NaN out and count it (`AttributionMetric.undefined_count`). The functions need torch alone unless
they say otherwise; the classes need torchmetrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipoise._lazy import lazily

if TYPE_CHECKING:
    from equipoise.metrics.base import AttributionMetric as AttributionMetric
    from equipoise.metrics.canvases import CANVASES as CANVASES
    from equipoise.metrics.catalog import CATALOG as CATALOG
    from equipoise.metrics.catalog import MetricFacts as MetricFacts
    from equipoise.metrics.curves import Deletion as Deletion
    from equipoise.metrics.curves import EarlyInsertion as EarlyInsertion
    from equipoise.metrics.curves import Insertion as Insertion
    from equipoise.metrics.curves import Road as Road
    from equipoise.metrics.curves import abpc as abpc
    from equipoise.metrics.curves import aopc as aopc
    from equipoise.metrics.curves import area as area
    from equipoise.metrics.curves import deletion_auc as deletion_auc
    from equipoise.metrics.curves import insertion_auc as insertion_auc
    from equipoise.metrics.curves import rise_shares as rise_shares
    from equipoise.metrics.detail import Complexity as Complexity
    from equipoise.metrics.detail import Sparseness as Sparseness
    from equipoise.metrics.detail import StartingDetail as StartingDetail
    from equipoise.metrics.detail import StrideEnergy as StrideEnergy
    from equipoise.metrics.detail import complexity as complexity
    from equipoise.metrics.detail import sparseness as sparseness
    from equipoise.metrics.detail import starting_detail as starting_detail
    from equipoise.metrics.faithfulness import SalienceFaithfulness as SalienceFaithfulness
    from equipoise.metrics.faithfulness import SingleDeletion as SingleDeletion
    from equipoise.metrics.faithfulness import salience_faithfulness as salience_faithfulness
    from equipoise.metrics.faithfulness import single_deletion as single_deletion
    from equipoise.metrics.grid import GridPointingGame as GridPointingGame
    from equipoise.metrics.grid import aggregate_attributions as aggregate_attributions
    from equipoise.metrics.grid import grid_pointing as grid_pointing
    from equipoise.metrics.grid import keep_top as keep_top
    from equipoise.metrics.grid import tile as tile
    from equipoise.metrics.imputation import ROAD_SHARES as ROAD_SHARES
    from equipoise.metrics.imputation import impute as impute
    from equipoise.metrics.imputation import road_curve as road_curve
    from equipoise.metrics.localization import EnergyPointingGame as EnergyPointingGame
    from equipoise.metrics.localization import OutsideInsideRatio as OutsideInsideRatio
    from equipoise.metrics.localization import PointingGame as PointingGame
    from equipoise.metrics.localization import PositiveRatio as PositiveRatio
    from equipoise.metrics.localization import center_map as center_map
    from equipoise.metrics.localization import energy_pointing as energy_pointing
    from equipoise.metrics.localization import outside_inside_ratio as outside_inside_ratio
    from equipoise.metrics.localization import pointing_hit as pointing_hit
    from equipoise.metrics.localization import positive_ratio as positive_ratio
    from equipoise.metrics.maps import resize_map as resize_map
    from equipoise.metrics.maps import smooth as smooth
    from equipoise.metrics.over_data_sets import METRICS as METRICS
    from equipoise.metrics.perturbation import EARLY_SHARES as EARLY_SHARES
    from equipoise.metrics.perturbation import INSERTION_SHARES as INSERTION_SHARES
    from equipoise.metrics.perturbation import perturb as perturb
    from equipoise.metrics.perturbation import perturbation_curve as perturbation_curve
    from equipoise.metrics.pixel_sets import ORDERS as ORDERS
    from equipoise.metrics.pixel_sets import clustered_mask as clustered_mask
    from equipoise.metrics.pixel_sets import ranking as ranking
    from equipoise.metrics.pixel_sets import scattered_mask as scattered_mask
    from equipoise.metrics.pixel_sets import top_mask as top_mask
    from equipoise.metrics.randomization import INITIALIZERS as INITIALIZERS
    from equipoise.metrics.randomization import cascade as cascade
    from equipoise.metrics.randomization import independent as independent
    from equipoise.metrics.randomization import randomize as randomize
    from equipoise.metrics.randomization import stages as stages
    from equipoise.metrics.ranks import RelevanceRankAccuracy as RelevanceRankAccuracy
    from equipoise.metrics.ranks import relevance_rank_accuracy as relevance_rank_accuracy
    from equipoise.metrics.segmentation import F1 as F1
    from equipoise.metrics.segmentation import MeanIoU as MeanIoU
    from equipoise.metrics.segmentation import PixelAccuracy as PixelAccuracy
    from equipoise.metrics.segmentation import PixelAP as PixelAP
    from equipoise.metrics.segmentation import f1 as f1
    from equipoise.metrics.segmentation import intersection_over_union as intersection_over_union
    from equipoise.metrics.segmentation import pixel_accuracy as pixel_accuracy
    from equipoise.metrics.segmentation import pixel_average_precision as pixel_average_precision
    from equipoise.metrics.sensitivity import Sensitivity as Sensitivity
    from equipoise.metrics.sensitivity import sensitivity_to_gamma as sensitivity_to_gamma
    from equipoise.metrics.similarity import HogCorrelation as HogCorrelation
    from equipoise.metrics.similarity import RankCorrelation as RankCorrelation
    from equipoise.metrics.similarity import StructuralSimilarity as StructuralSimilarity
    from equipoise.metrics.similarity import hog_correlation as hog_correlation
    from equipoise.metrics.similarity import rank_correlation as rank_correlation
    from equipoise.metrics.similarity import structural_similarity as structural_similarity
    from equipoise.metrics.stability import ComplexityRise as ComplexityRise
    from equipoise.metrics.stability import MaxSensitivity as MaxSensitivity
    from equipoise.metrics.stability import complexity_rise as complexity_rise
    from equipoise.metrics.stability import histogram_entropy as histogram_entropy
    from equipoise.metrics.stability import max_sensitivity as max_sensitivity
    from equipoise.metrics.strides import stride_energy as stride_energy

# Imported when first asked for: a plain function must not load torchmetrics or scikit-image for its neighbors.
__getattr__, __dir__ = lazily(__name__)
