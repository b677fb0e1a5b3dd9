"""The numbers that Nam & Lee 2024 print in their Tables 1, 2 and 3."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

Numbers = MappingProxyType[tuple[str, str, str, str, str], float]

# One line per method and targets (L: all labels, P: predicted ones); per network and data set: pointing
# game and positive ratio of ALL, then of DIF.
_TABLE1: Final = """
Grad-CAM         L .866 .698 .740 .677  .903 .651 .823 .641  .542 .711 .490 .688  .573 .677 .523 .668
Grad-CAM         P .945 .772 .924 .733  .953 .736 .932 .715  .727 .741 .689 .711  .705 .723 .674 .702
Guided-BackProp  L .758 -    .530 -     .771 -    .594 -     .365 -    .288 -     .410 -    .340 -
Guided-BackProp  P .880 -    .784 -     .857 -    .756 -     .600 -    .536 -     .573 -    .516 -
c*EB             L .766 .474 .634 .468  .857 .404 .741 .411  .472 .466 .417 .453  .536 .387 .485 .397
c*EB             P .856 .456 .784 .434  .945 .398 .887 .407  .659 .458 .620 .433  .671 .382 .636 .388
LRP-COMP         L .702 .473 .502 .444  .843 .355 .771 .323  .411 .466 .364 .465  .515 .367 .446 .371
LRP-COMP         P .831 .468 .755 .448  .897 .343 .851 .331  .618 .455 .574 .432  .606 .344 .581 .348
c*LRP            L .719 .461 .521 .464  .852 .341 .779 .333  .434 .454 .388 .451  .533 .361 .479 .367
c*LRP            P .851 .451 .773 .418  .903 .323 .871 .311  .643 .447 .591 .441  .638 .358 .611 .354
Relevance-CAM    L .640 .474 .510 .450  .746 .476 .569 .497  .395 .479 .328 .480  .434 .502 .369 .508
Relevance-CAM    P .849 .430 .765 .389  .834 .470 .690 .478  .616 .458 .570 .440  .574 .498 .521 .503
RSP              L .849 .364 .712 .363  .859 .431 .749 .415  .540 .343 .479 .348  .558 .441 .504 .421
RSP              P .946 .348 .903 .324  .909 .437 .836 .410  .725 .337 .680 .331  .688 .438 .654 .431
AGF              L .824 .279 .672 .274  .645 .364 .507 .369  .492 .286 .430 .283  .395 .371 .353 .370
AGF              P .925 .268 .882 .255  .717 .368 .679 .364  .703 .281 .661 .269  .553 .367 .543 .362
AE               L .878 .125 .758 .118  .897 .191 .797 .178  .553 .124 .498 .122  .578 .187 .527 .183
AE               P .958 .124 .923 .117  .961 .197 .937 .184  .747 .124 .707 .120  .708 .195 .674 .192
"""

_TABLE1_COLUMNS: Final = ("ALL PG", "ALL PR", "DIF PG", "DIF PR")

# VGG-16 ALL, DIF; ResNet-50 ALL, DIF; pointing game in percent on VOC 2007, gamma = 2.
_TABLE2: Final = """
C        83.9 69.6  85.6 72.6
C+Psi    87.2 73.2  88.5 76.9
A+U      84.3 71.8  81.2 68.4
C+A+U    83.3 71.1  86.4 74.1
C+A+U+Psi 87.2 74.8 88.5 77.1
"""

# mAP and outside-inside ratio: VGG-16, then ResNet-50.
_TABLE3: Final = """
c*LRP         .356 .979  .516 .926
c*EB          .353 .983  .428 .883
RSP           .603 .670  .608 .785
Relevance-CAM .393 .965  .505 .682
AGF           .598 .678  .622 .767
AE            .549 .456  .559 .490
"""

VOC_VGG, VOC_RESNET = "torchray/vgg16_voc", "torchray/resnet50_voc"
COCO_VGG, COCO_RESNET = "torchray/vgg16_coco", "torchray/resnet50_coco"
VGG, RESNET = "torchvision/vgg16.IMAGENET1K_V1", "torchvision/resnet50.IMAGENET1K_V1"


def _table1() -> Numbers:
    found = {}
    for line in _TABLE1.strip().splitlines():
        label, setting, *numbers = line.split()
        blocks = (("voc2007", VOC_VGG), ("voc2007", VOC_RESNET), ("coco2014", COCO_VGG), ("coco2014", COCO_RESNET))
        keys = [(data, model, column) for data, model in blocks for column in _TABLE1_COLUMNS]
        for (data, model, column), number in zip(keys, numbers, strict=True):
            if number != "-":
                found[data, model, label.replace("-BackProp", " Backprop"), setting, column] = float(number)
    return MappingProxyType(found)


def _table2() -> Numbers:
    found = {}
    for line in _TABLE2.strip().splitlines():
        label, *numbers = line.split()
        keys = [(model, column) for model in (VOC_VGG, VOC_RESNET) for column in ("ALL PG", "DIF PG")]
        for (model, column), number in zip(keys, numbers, strict=True):
            found["voc2007", model, label, "", column] = float(number) / 100
    return MappingProxyType(found)


def _table3() -> Numbers:
    found = {}
    for line in _TABLE3.strip().splitlines():
        label, *numbers = line.split()
        keys = [(model, column) for model in (VGG, RESNET) for column in ("mAP", "Out/In")]
        for (model, column), number in zip(keys, numbers, strict=True):
            found["imagenet_segmentation", model, label, "", column] = float(number)
    return MappingProxyType(found)


TABLE1: Final = _table1()
"""Pointing game (PG) and positive ratio (PR), VOC 2007 and COCO 2014, all images and the difficult ones (DIF)."""

TABLE2: Final = _table2()
"""Ablation of the terms: pointing game, ALL and DIF."""

TABLE3: Final = _table3()
"""ImageNet-Segmentation: mAP and outside-inside ratio."""
