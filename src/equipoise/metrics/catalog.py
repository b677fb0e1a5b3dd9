"""The catalog of metrics: the one place that says what is measured of a map, and what its numbers mean.

Protocols declare what they measure by these names, recipes ask for it by them, tables and figures write their labels,
and the classes of `METRICS` describe themselves by them. Importing this loads nothing heavy.

Example:
    >>> CATALOG.canonical("GridPG")
    'grid_pointing_game'
    >>> CATALOG["pointing_game"].aggregation
    'class_mean'
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from equipoise._registry import Registry

Aggregation: TypeAlias = Literal["mean", "class_mean"]
"""How the numbers of many maps become one: their mean, or the mean over the classes of each class's mean."""


@dataclass(frozen=True)
class MetricFacts:
    """What has to be known of a metric to read its numbers.

    Args:
        label: What tables, figures and rows call it.
        summary: One line.
        undefined: When the value of one map is NaN; such a map is counted and left out.
        range: The lowest and the highest value.
        higher_is_better: ``None``: neither, it describes a map.
        aggregation: How the numbers of many maps become one.
    """

    label: str
    summary: str
    undefined: str
    range: tuple[float, float] = (0.0, 1.0)
    higher_is_better: bool | None = True
    aggregation: Aggregation = "mean"


CATALOG: Registry[MetricFacts] = Registry("metric")
"""Name to facts; a label is an alias of its name."""


def describe(name: str, facts: MetricFacts, *, aliases: tuple[str, ...] = ()) -> MetricFacts:
    """Put a metric into the `CATALOG`, under its name, its label and its aliases.

    Raises:
        DuplicateNameError: If one of them is taken.
    """
    spellings = dict.fromkeys((facts.label, *aliases))
    return CATALOG.add(name, facts, aliases=tuple(one for one in spellings if one != name))


_NOT_FINITE = "the map is not finite"
_PAIR = "one of the maps is constant or not finite"
_NO_LABEL = "the image has no label that the network knows, or the map is not finite"

# Where the map lies.
describe(
    "pointing_game",
    MetricFacts(
        "pointing",
        "Share of maps whose maximum lies on the object, mean over classes",
        "the mask is empty, or the map is not finite",
        aggregation="class_mean",
    ),
)
describe(
    "positive_ratio",
    MetricFacts("positive ratio", "Share of pixels above 0: the area a map claims", _NOT_FINITE, higher_is_better=None),
)
describe(
    "energy_pointing_game",
    MetricFacts(
        "energy",
        "Share of the positive relevance that lies on the object",
        "nothing is positive, the mask is empty, or the map is not finite",
    ),
    aliases=("relevance_mass_accuracy", "relevance mass accuracy"),
)
describe(
    "relevance_rank_accuracy",
    MetricFacts(
        "rank accuracy",
        "Of the map's highest pixels, as many as the object has, the share on it",
        "the mask is empty, or the map is not finite",
    ),
)
describe(
    "outside_inside_ratio",
    MetricFacts(
        "outside-inside",
        "Mean relevance outside the object over the mean inside",
        "the mask is empty or full, the mean inside is 0, or the map is constant or not finite",
        (0.0, math.inf),
        higher_is_better=False,
    ),
)
describe(
    "outside_inside_ratio_positive",
    MetricFacts(
        "outside-inside positive",
        "Mean positive relevance outside the object over the mean inside",
        "the mask is empty or full, nothing is positive inside, or the map is not finite",
        (0.0, math.inf),
        higher_is_better=False,
    ),
)
describe(
    "grid_pointing_game",
    MetricFacts(
        "GridPG",
        "Share of the positive relevance in the cell of the explained class",
        "nothing is positive (at most 1e-7 in sum), or the map is not finite",
    ),
)
describe(
    "grid_pointing_game_top_k",
    MetricFacts(
        "GridPG top-k",
        "The same of the k highest pixels, k being those that Attribution Equilibrium leaves positive",
        "nothing is positive (at most 1e-7 in sum), or the map is not finite",
    ),
)
describe(
    "outside_share",
    MetricFacts(
        "outside share",
        "Share of the map's magnitude, of either sign, outside the cell that the score sees",
        "the map is zero everywhere, or not finite",
        higher_is_better=False,
    ),
)
describe(
    "net_relevance",
    MetricFacts(
        "net relevance",
        "Sum of the relevance on the pixels in question over the sum of its magnitude there",
        "the map is zero there, or not finite",
        (-1.0, 1.0),
        higher_is_better=None,
    ),
)
describe(
    "sign_accuracy",
    MetricFacts(
        "sign",
        "Share of objects whose summed relevance has the sign of what they add to the score",
        _NOT_FINITE,
    ),
)

# The map as a segmentation.
describe(
    "pixel_ap",
    MetricFacts(
        "AP",
        "Average precision of the map as a detector of the object's pixels",
        "the mask is empty, or the map is not finite (two_channel: or constant)",
    ),
    aliases=("mAP",),
)
describe(
    "pixel_ap_two_channel",
    MetricFacts(
        "AP two-channel",
        "Average precision on the pixels of object and background in one list",
        "the mask is empty, or the map is constant or not finite",
    ),
)
describe(
    "pixel_ap_hard",
    MetricFacts(
        "AP hard",
        "The same of the map cut to 0 and 1",
        "the mask is empty, or the map is not finite",
    ),
)
describe(
    "pixel_accuracy",
    MetricFacts(
        "pixel accuracy", "Share of all pixels that the map, cut at a threshold, classifies right", _NOT_FINITE
    ),
)
describe(
    "mean_iou",
    MetricFacts("mIoU", "Intersection over union of the cut map, mean of object and background", _NOT_FINITE),
)
describe(
    "f1",
    MetricFacts(
        "F1",
        "Harmonic mean of precision and recall of the cut map, on the object",
        "neither mask nor map has a pixel, or the map is not finite",
    ),
)

# What the network says as pixels come and go.
describe(
    "insertion",
    MetricFacts(
        "insertion",
        "Mean score while the most relevant pixels appear",
        "the curve holds NaN, as for a map that is not finite",
    ),
)
describe(
    "deletion",
    MetricFacts(
        "deletion",
        "Mean score while the most relevant pixels vanish",
        "the curve holds NaN, as for a map that is not finite",
        higher_is_better=False,
    ),
)
describe(
    "early_insertion",
    MetricFacts(
        "insertion 1-5 %",
        "Mean score with the 1, 2 and 5 % most relevant pixels alone",
        "the curve holds NaN, as for a map that is not finite",
    ),
)
describe(
    "road",
    MetricFacts(
        "ROAD",
        "Mean score while the most relevant pixels are removed and imputed",
        "the curve holds NaN, as for a map that is not finite",
        higher_is_better=False,
    ),
)
describe(
    "single_deletion",
    MetricFacts(
        "single deletion",
        "Rank correlation of patches' relevance and of what each one's absence costs",
        "all patches have the same relevance or cost the same, or the map is not finite",
        (-1.0, 1.0),
    ),
)
describe(
    "salience_faithfulness",
    MetricFacts(
        "SaCo",
        "Do groups of pixels cost the network by as much as the map says?",
        "the map is constant or not finite",
        (-1.0, 1.0),
    ),
)
describe(
    "max_sensitivity",
    MetricFacts(
        "max-sensitivity",
        "How far a map moves at most while the image hardly does",
        "the map is zero everywhere or not finite",
        (0.0, math.inf),
        higher_is_better=False,
    ),
)
describe(
    "complexity_rise",
    MetricFacts(
        "eMPRT",
        "Rise of the maps' entropy once the network is random; ranks no methods",
        "one of the maps is constant or not finite",
        (-1.0, math.inf),
        higher_is_better=None,
    ),
)
describe("accuracy", MetricFacts("accuracy", "Share of photos whose own class the network names", _NO_LABEL))
describe(
    "agreement",
    MetricFacts("agreement", "Share of photos that the network names as it named the whole photo", _NOT_FINITE),
)
describe("probability", MetricFacts("probability", "Probability of the explained class", _NOT_FINITE))
describe("area", MetricFacts("area", "Area under the probability over the shares, as a mean height", _NOT_FINITE))
describe(
    "flip",
    MetricFacts(
        "flip",
        "Share of photos that get another class without the chosen pixels",
        _NOT_FINITE,
        higher_is_better=None,
    ),
)
describe(
    "drop",
    MetricFacts(
        "drop",
        "By how much the probability of the class falls without the chosen pixels",
        _NOT_FINITE,
        (-1.0, 1.0),
        higher_is_better=None,
    ),
)
describe("kept", MetricFacts("kept", "Share of photos that keep their class by the chosen pixels alone", _NOT_FINITE))
describe(
    "clustering",
    MetricFacts(
        "clustering",
        "Of a chosen pixel's neighbors the share that is chosen too",
        "nothing is chosen, or " + _NOT_FINITE,
        higher_is_better=None,
    ),
)

# Two maps beside each other: a sanity check wants them unlike, stability wants them alike. And a map by itself.
describe(
    "rank_correlation",
    MetricFacts(
        "rank correlation", "Rank correlation of the pixels of two maps", _PAIR, (-1.0, 1.0), higher_is_better=None
    ),
    aliases=("Spearman",),
)
describe(
    "rank_correlation_absolute",
    MetricFacts(
        "rank correlation of absolute maps",
        "Rank correlation of the magnitudes of the pixels of two maps",
        _PAIR,
        (-1.0, 1.0),
        higher_is_better=None,
    ),
)
describe(
    "ssim",
    MetricFacts(
        "SSIM",
        "Structural similarity of two maps, each scaled to 0..1",
        _PAIR,
        (-1.0, 1.0),
        higher_is_better=None,
    ),
)
describe(
    "hog",
    MetricFacts(
        "HOG",
        "Rank correlation of two maps' histograms of oriented gradients",
        _PAIR,
        (-1.0, 1.0),
        higher_is_better=None,
    ),
)
describe(
    "sum",
    MetricFacts("sum", "Sum of the map", _NOT_FINITE, (-math.inf, math.inf), higher_is_better=None),
)

# How fine a map is; none says that it is right.
_SPARSE = "the map is zero everywhere or not finite"
describe(
    "starting_detail",
    MetricFacts(
        "detail",
        "Share of a map's variance that no upsampled starting grid explains",
        "the map is constant or not finite",
        higher_is_better=None,
    ),
)
describe(
    "sparseness",
    MetricFacts("Gini index", "Gini index of the magnitudes: how few pixels hold the map", _SPARSE),
)
describe(
    "complexity",
    MetricFacts(
        "entropy",
        "Entropy of the pixels' shares of the map's total magnitude, in nats",
        _SPARSE,
        (0.0, math.inf),
        higher_is_better=False,
    ),
)
describe(
    "stride_energy",
    MetricFacts(
        "grid pattern",
        "Share of a map's fine structure that repeats with the network's stride",
        "the map has no fine structure or is not finite",
        higher_is_better=False,
    ),
)
