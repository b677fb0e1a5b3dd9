"""How much does a parameter of a method move its map?"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from equipoise._typing import Float
from equipoise.metrics.localization import positive_ratio
from equipoise.metrics.maps import check_maps
from equipoise.metrics.similarity import rank_correlation


class Sensitivity(NamedTuple):
    """One number per value of the parameter.

    Attributes:
        rank_correlation: ``(g,)``, with the map of the first value; see `rank_correlation`.
        positive_ratio: ``(g,)``, see `positive_ratio`.
    """

    rank_correlation: Float[Tensor, " g"]
    positive_ratio: Float[Tensor, " g"]


def sensitivity_to_gamma(maps_by_gamma: Float[Tensor, "g h w"]) -> Sensitivity:
    """What Attribution Equilibrium's gamma changes on one image: the order of pixels, and the area claimed.

    Args:
        maps_by_gamma: ``(g, h, w)``, the maps of one image, that of the reference gamma first.

    Returns:
        Correlation with the first map and positive ratio, one of each per map; NaN as those functions say.

    Raises:
        ShapeError: If the maps are not floating ``(g, h, w)``.
    """
    maps = check_maps(maps_by_gamma)
    return Sensitivity(rank_correlation(maps, maps[:1].expand_as(maps)), positive_ratio(maps))
