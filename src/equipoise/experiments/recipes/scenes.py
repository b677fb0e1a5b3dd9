"""The benchmark that needs no download: drawn scenes, packaged networks, every method that can explain them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from equipoise.experiments.protocols.scenes import OBJECT, OTHER, OWN, SHORTCUT, UNUSED, DrawnScenes
from equipoise.experiments.recipes.known import KNOWN, MORE
from equipoise.experiments.recipes.paper import RANDOM
from equipoise.experiments.recipes.recipe import RECIPES, Column, Recipe

__all__ = ["EVERY", "RECIPES"]

_SMALL: Final = {"Occlusion": {"window": 8, "stride": 4}}
"""Options for 56 pixels in place of those for 224."""

EVERY: Final = (
    *(one for one in KNOWN if one != RANDOM),
    *(replace(one, options=_SMALL.get(one.label, one.options)) for one in MORE),
    RANDOM,
)
"""Every method, Attribution Equilibrium first, what knows nothing last; those of many forward passes take fewer."""

RECIPES.add(
    "scenes",
    Recipe(
        name="scenes",
        title="Scenes: what the network used is known",
        summary="drawn scenes and packaged networks, no download: relevance on cause and shortcut, and its sign",
        protocol=DrawnScenes(),
        pairs=tuple(("scenes", f"equipoise.scenes:{name}_0") for name in ("plain", "residual", "shortcut")),
        methods=EVERY,
        columns=(
            Column("mass", "energy_pointing_game", {"detail": OBJECT}),
            Column("rank", "relevance_rank_accuracy", {"detail": OBJECT}),
            Column("sign", "sign_accuracy", {"detail": OWN}),
            Column("sign of others", "sign_accuracy", {"detail": OTHER}),
            Column("unused mark", "energy_pointing_game", {"detail": UNUSED}, higher_is_better=False),
            Column("shortcut", "energy_pointing_game", {"detail": SHORTCUT}),
        ),
        keep_maps=0,
        limit=20,
        offline_models=(),
        notes=(
            "mass, rank: of the positive relevance, and of the highest pixels, the share on the cause.",
            "The cause: all objects of the class's shape, where the answer turns over once they are taken away.",
            "sign: the map's sum over an object has the sign of what the object adds to the score.",
            "sign of others: the same of objects of other shapes alone, most of which take from it.",
            "unused mark: of the positive relevance, the share on a watermark that moves the score by less than 0.5.",
            "shortcut: the same on a watermark without which the answer turns over.",
            "RISE, LIME, Kernel SHAP, SmoothGrad, Integrated Gradients, Extremal Perturbation take fewer steps here.",
        ),
    ),
)
