"""Every table and figure of Nam & Lee 2024 as a recipe."""

from __future__ import annotations

from typing import Final, Literal

from equipoise.experiments.model.method_run import MethodRun
from equipoise.experiments.protocols.gallery import Gallery
from equipoise.experiments.protocols.grid import Grid
from equipoise.experiments.protocols.insertion import Perturbation
from equipoise.experiments.protocols.pointing import Pointing
from equipoise.experiments.protocols.sanity import Sanity
from equipoise.experiments.protocols.segmentation import Segmentation
from equipoise.experiments.protocols.study import PerturbationStudy
from equipoise.experiments.recipes import published as numbers
from equipoise.experiments.recipes.published import COCO_RESNET, COCO_VGG, RESNET, VGG, VOC_RESNET, VOC_VGG
from equipoise.experiments.recipes.recipe import RECIPES, Column, Recipe, Setting

__all__ = ["COMPARED", "RECIPES"]

SMOOTHED: Final = 0.02
"""TorchRay smooths gradients by this share of the longer side before it looks for their maximum."""

POINTING_PAIRS: Final = (
    ("voc2007", VOC_VGG), ("voc2007", VOC_RESNET), ("coco2014", COCO_VGG), ("coco2014", COCO_RESNET),
)  # fmt: skip

_VOC: Final = {"resnet50": ("voc2007", VOC_RESNET), "vgg16": ("voc2007", VOC_VGG)}
_SEGMENTATION: Final = {"resnet50": ("imagenet_segmentation", RESNET), "vgg16": ("imagenet_segmentation", VGG)}

POINTING_REFERENCES: Final = {
    "voc2007": _VOC,
    "voc2007_original": _VOC,
    "voc2007_restored": _VOC,
    "coco2014": {"resnet50": ("coco2014", COCO_RESNET), "vgg16": ("coco2014", COCO_VGG)},
}
"""Networks that the paper does not have are set beside its own of their architecture, or its ResNet-50."""

AE = MethodRun("AE", "ae")
GRAD_CAM = MethodRun("Grad-CAM", "grad_cam")
GUIDED = MethodRun("Guided Backprop", "guided_backprop", readout="largest", smooth=SMOOTHED)
C_EB = MethodRun("c*EB", "contrastive_eb")
LRP_COMP = MethodRun("LRP-COMP", "lrp_composite")
C_LRP = MethodRun("c*LRP", "contrastive_lrp")
RELEVANCE_CAM = MethodRun("Relevance-CAM", "relevance_cam")
RSP = MethodRun("RSP", "rsp")
AGF = MethodRun("AGF", "agf")
RAP = MethodRun("RAP", "rap")
INTEGRATED = MethodRun("Integrated Gradients", "integrated_gradients")
RANDOM = MethodRun("Random", "random")

COMPARED: Final = (GRAD_CAM, LRP_COMP, C_EB, C_LRP, AGF, RELEVANCE_CAM, RSP, AE)
"""The columns of Fig. 4, in its order."""

PR = Column("PR", "positive_ratio")

RECIPES.add(
    "table1",
    Recipe(
        name="table1",
        title="Table 1: pointing game and positive ratio",
        summary="pointing game and positive ratio on VOC 2007 and COCO 2014, all and difficult images",
        protocol=Pointing(),
        pairs=POINTING_PAIRS,
        methods=(GRAD_CAM, GUIDED, C_EB, LRP_COMP, C_LRP, RELEVANCE_CAM, RSP, AGF, AE),
        columns=(
            Column("ALL PG", "pointing_game"),
            Column("ALL PR", "positive_ratio", statistic="class_mean"),
            Column("DIF PG", "pointing_game", {"hard": True}),
            Column("DIF PR", "positive_ratio", {"hard": True}, "class_mean"),
            Column("ALL energy", "energy_pointing_game", statistic="class_mean"),
        ),
        settings=(Setting("L"), Setting("P", {"predicted": True})),
        published=numbers.TABLE1,
        references=POINTING_REFERENCES,
        notes=(
            "Targets L: every labeled class; P: those that the network says are there.",
            "PG: pointing game; PR: share of the pixels with positive relevance; energy: share of it on the object.",
            "DIF: images where the class covers less than a quarter beside another class.",
        ),
    ),
)

RECIPES.add(
    "table2",
    Recipe(
        name="table2",
        title="Table 2: ablation of the propagation rule, gamma = 2",
        summary="pointing game of AE without some of its terms C, A, U and Psi, on VOC 2007",
        protocol=Pointing(),
        pairs=POINTING_PAIRS[:2],
        methods=tuple(
            MethodRun(label, "ae", {"gamma": 2.0, "terms": terms})
            for label, terms in (
                ("C", ("C",)),
                ("C+Psi", ("C", "shift")),
                ("A+U", ("A", "U")),
                ("C+A+U", ("C", "A", "U")),
                ("C+A+U+Psi", ("C", "A", "U", "shift")),
            )
        ),
        columns=(
            Column("ALL PG", "pointing_game"),
            Column("DIF PG", "pointing_game", {"hard": True}),
            Column("ALL PR", "positive_ratio", statistic="class_mean"),
            Column("ALL energy", "energy_pointing_game", statistic="class_mean"),
        ),
        published=numbers.TABLE2,
        references=POINTING_REFERENCES,
    ),
)

RECIPES.add(
    "table3",
    Recipe(
        name="table3",
        title="Table 3: maps as segmentations",
        summary="average precision and outside-inside ratio on ImageNet-Segmentation",
        protocol=Segmentation(),
        pairs=(("imagenet_segmentation", VGG), ("imagenet_segmentation", RESNET)),
        methods=(C_LRP, C_EB, RSP, RELEVANCE_CAM, AGF, AE, GRAD_CAM),
        columns=(
            Column("mAP", "pixel_ap"),
            Column("Out/In", "outside_inside_ratio"),
            Column("AP two-channel", "pixel_ap_two_channel"),
            Column("AP hard", "pixel_ap_hard"),
            Column("Out/In positive", "outside_inside_ratio_positive"),
            Column("pixel accuracy", "pixel_accuracy"),
            Column("mIoU", "mean_iou"),
            Column("energy", "energy_pointing_game"),
            PR,
        ),
        published=numbers.TABLE3,
        references={"imagenet_segmentation": _SEGMENTATION, "segmentation": _SEGMENTATION},
        offline_datasets={"imagenet_segmentation": "segmentation"},
        notes=(
            "The network's top class is explained.",
            "The paper does not say which average precision its mAP is; it is set beside that of the object alone.",
            "Out/In: mean relevance outside over inside the object, after scaling to 0..1 (Eq. 14), lower is better.",
        ),
    ),
)

RECIPES.add(
    "fig4",
    Recipe(
        name="fig4",
        title="Fig. 4: methods side by side",
        summary="maps of every compared method for images of one and of two objects",
        protocol=Gallery(explain="labels", groups=("two_object", "single"), classes=2),
        pairs=(("cats_dogs", VGG),),
        methods=COMPARED,
        columns=(PR, Column("sum", "sum")),
        figure="gallery",
        keep_maps=None,
        limit=12,
        notes=("The paper shows its networks for VOC 2007; `--dataset voc2007 --model torchray/vgg16_voc` does so.",),
    ),
)

RECIPES.add(
    "fig5",
    Recipe(
        name="fig5",
        title="Fig. 5: Attribution Equilibrium on several networks",
        summary="AE's maps on AlexNet, VGG-16, ResNet-50, Inception-V3 and DenseNet-121",
        protocol=Gallery(explain="predicted"),
        pairs=tuple(
            ("imagenet", f"torchvision/{name}.IMAGENET1K_V1")
            for name in ("alexnet", "vgg16", "resnet50", "inception_v3", "densenet121")
        ),
        methods=(AE,),
        columns=(PR, Column("sum", "sum")),
        figure="gallery",
        keep_maps=None,
        limit=12,
    ),
)

RECIPES.add(
    "fig6",
    Recipe(
        name="fig6",
        title="Fig. 6: watermarks and edges",
        summary="why photos with watermarks are taken for something else",
        protocol=Gallery(explain="both", groups=("watermark",), classes=2),
        pairs=(("cats_dogs", VGG),),
        methods=(AE, GRAD_CAM, LRP_COMP, C_LRP),
        columns=(PR, Column("sum", "sum")),
        figure="gallery",
        keep_maps=None,
        notes=("First the network's own answer, then the image's class where that is another.",),
    ),
)

RECIPES.add(
    "fig7",
    Recipe(
        name="fig7",
        title="Fig. 7: sanity check",
        summary="maps as the network's weights are randomized from the logits down",
        protocol=Sanity(),
        pairs=(("cats_dogs", VGG),),
        methods=(AE, GRAD_CAM, GUIDED, MethodRun("Input x Gradient", "input_x_gradient")),
        columns=(
            Column("rank correlation, first stage", "rank_correlation", step=1),
            Column("last stage", "rank_correlation", step=8),
            Column("absolute, last stage", "rank_correlation_absolute", step=8),
            Column("SSIM, last stage", "ssim", step=8),
            Column("HOG, last stage", "hog", step=8),
        ),
        figure="cascade",
        keep_maps=2,
        limit=10,
        notes=(
            "A map that stays as it was although the network forgot everything explains the image, not the network.",
            (
                "This test can show that something is wrong; it cannot rank methods: large activations stay large in a "
                "random network, so what multiplies them stays alike, and measures of similarity reward noise (Binder "
                "et al. 2023)."
            ),
        ),
    ),
)

RECIPES.add(
    "fig8",
    Recipe(
        name="fig8",
        title="Fig. 8: gamma",
        summary="pointing game and positive ratio of AE over its parameter gamma, on VOC 2007",
        protocol=Pointing(),
        pairs=POINTING_PAIRS[:2],
        methods=tuple(
            MethodRun(f"gamma {gamma:.1f}", "ae", {"gamma": gamma}) for gamma in (1.0, 1.2, 1.4, 1.6, 1.8, 2.0)
        ),
        columns=(
            Column("ALL PG", "pointing_game"),
            Column("DIF PG", "pointing_game", {"hard": True}),
            Column("ALL PR", "positive_ratio", statistic="class_mean"),
            Column("ALL energy", "energy_pointing_game", statistic="class_mean"),
        ),
        figure="sweep",
    ),
)

RECIPES.add(
    "fig9",
    Recipe(
        name="fig9",
        title="Fig. 9: grid pointing game",
        summary="in a grid of photos, the share of the positive relevance in the right one",
        protocol=Grid(),
        pairs=(("imagenet", VGG),),
        methods=(
            AE,
            GRAD_CAM,
            MethodRun("Grad-CAM, middle layer", "grad_cam", layer="middle"),
            MethodRun("Guided Backprop", "guided_backprop", readout="absolute_sum"),
            MethodRun("Integrated Gradients", "integrated_gradients", {"steps": 20}),
            MethodRun("Input x Gradient", "input_x_gradient"),
        ),
        columns=(
            Column("GridPG", "grid_pointing_game"),
            Column("GridPG top-k", "grid_pointing_game_top_k"),
            PR,
        ),
        figure="grid",
        keep_maps=None,
        notes=("top-k: only the k highest positive pixels of each map count, k being those that AE leaves positive.",),
    ),
)

RECIPES.add(
    "fig10",
    Recipe(
        name="fig10",
        title="Fig. 10: insertion",
        summary="accuracy as the most relevant 1 to 20 % of the pixels are inserted",
        protocol=Perturbation(),
        pairs=(
            ("imagenet", VGG),
            ("imagenet", RESNET),
            ("imagenet", "torchvision/densenet121.IMAGENET1K_V1"),
            ("imagenet", "torchvision/inception_v3.IMAGENET1K_V1"),
            ("imagenet", "torchvision/alexnet.IMAGENET1K_V1"),
        ),
        methods=(AE, GRAD_CAM, RAP, RSP, AGF, LRP_COMP, C_LRP, C_EB, RELEVANCE_CAM, RANDOM),
        columns=(
            *(Column(f"accuracy, {share} %", "accuracy", step=share / 100) for share in (1, 5, 10, 20)),
            Column("clean", "accuracy", step=1.0, higher_is_better=None),
            Column("agreement, 10 %", "agreement", step=0.1),
            Column("probability, 10 %", "probability", step=0.1),
            Column("area, 1 to 20 %", "area"),
        ),
        figure="insertion",
        keep_maps=0,
    ),
)

RECIPES.add(
    "fig11",
    Recipe(
        name="fig11",
        title="Fig. 11: erasing pixels",
        summary="does erasing 4,000 pixels flip the class because they matter, or because they are scattered?",
        protocol=PerturbationStudy(),
        pairs=(("imagenet", VGG),),
        methods=(
            AE,
            RAP,
            GRAD_CAM,
            LRP_COMP,
            MethodRun("Random pixels", "random"),
            MethodRun("Random disc", "equipoise.experiments.recipes.disc:disc"),
        ),
        columns=(
            Column("flip", "flip"),
            Column("drop", "drop"),
            Column("kept", "kept"),
            Column("clustering", "clustering"),
        ),
        figure="study",
        keep_maps=3,
        notes=(
            "flip: share of images that get another class when the pixels are erased.",
            "drop: of the probability of the class; kept: share that keeps it when these pixels alone are shown.",
            "clustering: of a chosen pixel's neighbors the share that is chosen too.",
        ),
    ),
)


def _perturbed(name: str, title: str, mode: Literal["insertion", "deletion"], canvas: str) -> Recipe:
    """RISE's measure, which the paper discusses in section 5.4."""
    return Recipe(
        name=name,
        title=title,
        summary=f"RISE's {mode} score: area under the probability over all shares of the pixels",
        protocol=Perturbation(mode=mode, canvas=canvas, shares=tuple(step / 56 for step in range(57))),
        pairs=(("imagenet", VGG),),
        methods=(AE, GRAD_CAM, RAP, RSP, AGF, LRP_COMP, C_LRP, C_EB, RELEVANCE_CAM, RANDOM),
        columns=(Column("area", "area", higher_is_better=mode == "insertion"),),
        keep_maps=0,
        limit=200,
        notes=("4 rows of pixels at a time where RISE takes one; at 224 x 224 pixels, 57 steps.",),
    )


RECIPES.add("insertion", _perturbed("insertion", "Insertion score (RISE)", "insertion", "blur"))
RECIPES.add("deletion", _perturbed("deletion", "Deletion score (RISE)", "deletion", "zero"))
