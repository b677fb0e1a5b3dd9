"""Benchmarks whose answer is known by construction: what a score cannot depend on deserves no relevance."""

from __future__ import annotations

from typing import Final

from equipoise.experiments.model.method_run import MethodRun
from equipoise.experiments.protocols.disconnected import DiFull, DiPart
from equipoise.experiments.protocols.pasting import AFTER, BEFORE
from equipoise.experiments.protocols.planted import Planted
from equipoise.experiments.protocols.watermark import ROLES, Watermark
from equipoise.experiments.recipes.paper import COMPARED, INTEGRATED, PR, RANDOM, RAP
from equipoise.experiments.recipes.published import VGG
from equipoise.experiments.recipes.recipe import RECIPES, Column, Recipe

__all__ = ["KNOWN", "MORE", "RECIPES"]

BUNDLED: Final = "efficientnet_lite0"

KNOWN: Final = (
    *reversed(COMPARED),
    RAP,
    MethodRun("Guided Backprop", "guided_backprop", readout="absolute_sum"),
    MethodRun("Input x Gradient", "input_x_gradient"),
    RANDOM,
)
"""The paper's methods, Attribution Equilibrium first, and what knows nothing last."""

MORE: Final = (
    MethodRun("AE fine", "ae", {"profile": "fine"}),
    MethodRun("LRP-alpha-beta", "lrp_alpha_beta"),
    MethodRun("Deep Taylor", "deep_taylor"),
    MethodRun("EB", "eb"),
    MethodRun("DeepLIFT", "deep_lift"),
    MethodRun("DeepLIFT SHAP", "deep_lift_shap"),
    MethodRun("Gradient", "gradient"),
    MethodRun("SmoothGrad", "smooth_grad", {"samples": 20}),
    MethodRun(INTEGRATED.label, INTEGRATED.method, {"steps": 20}),
    MethodRun("Gradient SHAP", "gradient_shap"),
    MethodRun("FullGrad", "full_grad"),
    MethodRun("Grad-CAM++", "grad_cam_plus_plus"),
    MethodRun("Score-CAM", "score_cam"),
    MethodRun("Occlusion", "occlusion", {"window": 32, "stride": 16}),
    MethodRun("RISE", "rise", {"masks": 200}),
    MethodRun("LIME", "lime", {"samples": 200}),
    MethodRun("Kernel SHAP", "kernel_shap", {"samples": 200}),
    MethodRun("Extremal Perturbation", "extremal_perturbation", {"steps": 40}),
)
"""All others; those of many forward passes take fewer than by default."""

CELL_COLUMNS: Final = (
    Column("localization", "grid_pointing_game"),
    Column("outside share", "outside_share"),
    PR,
)

RECIPES.add(
    "difull",
    Recipe(
        name="difull",
        title="DiFull: grids of photos, each seen by a network of its own",
        summary="relevance outside the one cell that the score can see, whose cells pass the network apart",
        protocol=DiFull(),
        pairs=(("imagenet", VGG),),
        methods=KNOWN,
        more=MORE,
        columns=CELL_COLUMNS,
        keep_maps=0,
        notes=(
            "localization: of the positive relevance, the share in the one cell that the score depends on.",
            "outside share: of the magnitude, of either sign, the share outside it, which is wrong by construction.",
            "Methods that read a feature map read the last one, of all cells side by side.",
        ),
    ),
)

RECIPES.add(
    "dipart",
    Recipe(
        name="dipart",
        title="DiPart: grids of photos, each read by a head of its own",
        summary="relevance outside the one cell whose last features the score is read from",
        protocol=DiPart(),
        pairs=(("imagenet", VGG),),
        methods=KNOWN,
        more=MORE,
        columns=CELL_COLUMNS,
        keep_maps=0,
        notes=(
            "localization: of the positive relevance, the share in the cell whose last features the score reads.",
            "outside share: of the magnitude, of either sign, the share outside it.",
            "As far as receptive fields reach across its border, a little relevance outside is right.",
        ),
    ),
)

RECIPES.add(
    "planted",
    Recipe(
        name="planted",
        title="Planted: objects pasted into photos",
        summary="relevance on an object that, pasted into a photo, turns the network's answer into its class",
        protocol=Planted(),
        pairs=(("segmentation", BUNDLED),),
        methods=KNOWN,
        more=MORE,
        columns=(
            Column("energy", "energy_pointing_game", {"detail": AFTER}),
            Column("pointing", "pointing_game", {"detail": AFTER}, "mean"),
            Column("PR", "positive_ratio", {"detail": AFTER}),
            Column("net", "net_relevance", {"detail": AFTER}),
            Column("energy before", "energy_pointing_game", {"detail": BEFORE}, higher_is_better=None),
            Column("net before", "net_relevance", {"detail": BEFORE}),
        ),
        keep_maps=0,
        notes=(
            "The class that the network names once the object is there is explained; the paste alone made it name it.",
            "energy: of the positive relevance, the share on the object; Random's is the share of the pixels.",
            "pointing: the map's maximum lies on the object, not a pixel beside it.",
            "net: sum of the relevance on the object over the sum of its magnitude there; a map without sign has 1.",
            "before: the map of the same class without the object, on the same pixels.",
            "An object is pasted into several photos, which are no strangers: intervals and tests are over objects.",
        ),
    ),
)

RECIPES.add(
    "watermark",
    Recipe(
        name="watermark",
        title="Watermark: words pasted on photos",
        summary="relevance on pasted words, for classes whose score they raise, lower and leave alone",
        protocol=Watermark(),
        pairs=(("imagenet", BUNDLED),),
        methods=KNOWN,
        more=MORE,
        columns=tuple(
            Column(f"{label} {role}", metric, {"detail": f"{role} {AFTER}"}, higher_is_better=best)
            for label, metric, bests in (
                ("energy", "energy_pointing_game", (True, None, False)),
                ("net", "net_relevance", (None, None, None)),  # a map without sign has 1
            )
            for role, best in zip(ROLES, bests, strict=True)
        ),
        keep_maps=0,
        limit=100,
        notes=(
            "raised, lowered, unmoved: of the 20 highest classes, whose score the words raise or lower most or least.",
            "energy: of the positive relevance, the share on the words; Random's is the share of the pixels.",
            "net: sum of the relevance on the words over that of its magnitude; a map without sign has 1.",
        ),
    ),
)
