"""The recipes against the paper: every number printed there has a place in a table, every name exists."""

import pytest

from equipoise.datasets import DATASETS
from equipoise.experiments import RECIPES, STATISTICS
from equipoise.experiments.presenting.figures import FIGURES
from equipoise.experiments.protocols.base import NEEDS
from equipoise.experiments.recipes.published import COCO_RESNET, RESNET, TABLE1, TABLE2, TABLE3, VGG, VOC_VGG
from equipoise.experiments.subject import READOUTS, source_of
from equipoise.records import method_options

CONTRACT = ["table1", "table2", "table3", "fig4", "fig5", "fig6", "fig7", "fig8", "fig9", "fig10", "fig11"]


def test_the_recipes_are_those_of_the_contract():
    assert RECIPES.names()[: len(CONTRACT)] == CONTRACT


@pytest.mark.parametrize("name", RECIPES)
def test_every_name_in_a_recipe_exists(name):
    recipe = RECIPES[name]
    assert recipe.name == name
    assert recipe.protocol.needs in NEEDS
    assert recipe.figure is None or recipe.figure in FIGURES
    labels = [one.label for one in recipe.methods]
    assert len(set(labels)) == len(labels)
    for one in recipe.methods:
        assert source_of(one.method)
        assert one.readout in READOUTS
        if ":" not in one.method:
            assert set(one.options) <= set(method_options(one.method))
    assert {dataset for dataset, _ in recipe.pairs} <= set(DATASETS)
    assert all(column.statistic in STATISTICS for column in recipe.columns)


def test_a_sanity_check_ranks_no_methods():
    recipe = RECIPES["fig7"]
    assert any("cannot rank methods" in note for note in recipe.notes)
    assert {column.higher_is_better for column in recipe.columns} == {None}


@pytest.mark.parametrize("name", ["table1", "table2", "table3"])
def test_every_number_of_the_paper_has_a_place(name):
    recipe = RECIPES[name]
    places = {
        (dataset, model, one.label, setting.label, column.label)
        for dataset, model in recipe.pairs
        for one in recipe.methods
        for setting in recipe.settings
        for column in recipe.columns
    }
    assert set(recipe.published) <= places
    for place in recipe.published:
        assert recipe.paper_value(*place) == recipe.published[place]


def test_other_weights_are_set_beside_the_same_architecture():
    recipe = RECIPES["table3"]
    place = ("imagenet_segmentation", VGG)
    assert recipe.beside("segmentation", "examples.vgg16:build") == (place, True)
    assert recipe.beside("segmentation", "efficientnet_lite0") == (("imagenet_segmentation", RESNET), False)
    assert recipe.beside("imagenet_segmentation", VGG) == (place, True)
    assert recipe.beside("voc2007", "examples.resnet50:build") == (None, False)
    assert recipe.paper_value("segmentation", "examples.vgg16:build", "AE", "", "Out/In") == 0.456
    assert recipe.paper_value("segmentation", "examples.resnet50:build", "AE", "", "Out/In") == 0.490


def test_numbers_read_off_the_paper():
    """A few of each table, at the corners, where a shifted column would show."""
    assert TABLE1["voc2007", VOC_VGG, "Grad-CAM", "L", "ALL PG"] == 0.866
    assert TABLE1["voc2007", VOC_VGG, "AE", "P", "DIF PR"] == 0.117
    assert TABLE1["coco2014", COCO_RESNET, "Grad-CAM", "L", "DIF PR"] == 0.668
    assert TABLE1["coco2014", COCO_RESNET, "AE", "P", "DIF PG"] == 0.674
    assert ("voc2007", VOC_VGG, "Guided Backprop", "L", "ALL PR") not in TABLE1
    assert len(TABLE1) == 9 * 2 * 16 - 2 * 8
    assert TABLE2["voc2007", VOC_VGG, "C", "", "ALL PG"] == pytest.approx(0.839)
    assert TABLE2["voc2007", VOC_VGG, "C+A+U+Psi", "", "DIF PG"] == pytest.approx(0.748)
    assert TABLE3["imagenet_segmentation", VGG, "AE", "", "Out/In"] == 0.456
    assert TABLE3["imagenet_segmentation", RESNET, "AGF", "", "mAP"] == 0.622
    assert len(TABLE3) == 6 * 4
