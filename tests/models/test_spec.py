"""Classes by index, name and synonym; the bounds of the input."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from equipoise.errors import TargetError, UnknownNameError
from equipoise.models import ModelSpec, Preprocessing
from equipoise.models.labels import class_names, imagenet_classes


def spec(classes, synonyms=()):
    return ModelSpec(
        name="a/b",
        source="a",
        architecture="b",
        classes=tuple(classes),
        synonyms=tuple(synonyms),
        preprocessing=Preprocessing(crop=(32, 40), mean=(0.5, 0.5, 0.25), std=(0.5, 0.25, 0.25)),
        weights="random",
        weights_checksum="0" * 64,
    )


PETS = spec(
    ["tabby", "tiger cat", "catamaran", "hound", "Hound", "ox"],
    ["tabby, tabby cat", "tiger cat", "catamaran, sailing boat", "dog", "dog", "ox"],
)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (0, 0),
        (5, 5),
        ("5", 5),
        (" 1 ", 1),
        ("Tabby", 0),  # exact, although "tabby cat" holds it too
        ("tabby cat", 0),  # synonym
        ("SAILING BOAT", 2),
        ("tiger", 1),  # a whole word
        ("sailing", 2),
        ("cata", 2),  # a part
        (" ox ", 5),
    ],
)
def test_class_index(query, index):
    assert PETS.class_index(query) == index


@pytest.mark.parametrize(
    ("query", "candidates"),
    [("cat", ["tabby (0)", "tiger cat (1)"]), ("hound", ["hound (3)", "Hound (4)"]), ("dog", ["hound (3)"])],
)
def test_ambiguous_names_list_candidates(query, candidates):
    with pytest.raises(UnknownNameError, match="fits 2 classes") as caught:
        PETS.class_index(query)
    assert all(candidate in str(caught.value) for candidate in candidates)
    assert "catamaran" not in str(caught.value)


def test_many_candidates_are_cut_short():
    with pytest.raises(UnknownNameError, match=r"fits 20 classes.*kind 7 \(7\) and 12 more"):
        spec(f"kind {i}" for i in range(20)).class_index("kind")


def test_a_miss_lists_the_nearest():
    with pytest.raises(UnknownNameError, match="no class called 'tabbi'; the nearest are tabby"):
        PETS.class_index("tabbi")


@pytest.mark.parametrize("query", ["", "  ", "(", "qqq"])
def test_a_miss_with_nothing_near(query):
    with pytest.raises(UnknownNameError, match="no class called"):
        PETS.class_index(query)


@pytest.mark.parametrize("query", [6, -1, "6", True])
def test_an_index_out_of_range(query):
    with pytest.raises(TargetError, match="its classes are 0 to 5"):
        PETS.class_index(query)


def test_preprocess_and_bounds():
    low, high = PETS.input_bounds
    assert low.tolist() == [-1.0, -2.0, -1.0]
    assert high.tolist() == [1.0, 2.0, 3.0]
    result = PETS.preprocess(Image.new("RGB", (50, 60), "white"))
    assert result.shape == (3, 32, 40)
    assert torch.equal(result.amax((1, 2)), high)


def test_repr_leaves_out_the_classes():
    assert "catamaran" not in repr(PETS)


def test_imagenet_names_and_synonyms_are_in_one_order():
    names, lemmas = class_names(1000)
    assert names == imagenet_classes()
    assert (names[281], names[285], names[967], names[0]) == ("tabby", "Egyptian cat", "espresso", "tench")
    shared = sum(
        bool(set(name.casefold().split()) & set(lemma.casefold().replace(",", " ").split()))
        for name, lemma in zip(names, lemmas, strict=True)
    )
    assert shared >= 990  # a shift by one would leave a few dozen
    assert spec(names, lemmas).class_index("tabby cat") == 281
    assert spec(names, lemmas).class_index("crane") == 517


@pytest.mark.parametrize("count", [11221, 11821, 21841, 21842, 21843])
def test_larger_sets_have_names(count):
    names, lemmas = class_names(count)
    assert len(names) == len(lemmas) == count
    assert "Egyptian cat" in names


def test_other_numbers_get_numbers():
    assert class_names(3) == (("class 0", "class 1", "class 2"), ())


def test_given_names_win_if_there_are_enough():
    assert class_names(2, ("a", "b")) == (("a", "b"), ())
    assert class_names(3, ("a", "b"))[0][2] == "class 2"
