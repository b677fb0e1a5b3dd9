"""Annotations of the engine and the rules are held true while tests run."""

import pytest
import torch
from jaxtyping import TypeCheckError

from equipoise.engine.numerics import over_samples
from equipoise.rules.pooling import Pool


def test_a_shape_that_is_not_the_annotated_one_is_an_error():
    with pytest.raises(TypeCheckError):
        over_samples(torch.ones(2, 3, 4), torch.ones(2, 3))


def test_an_argument_of_another_type_is_an_error():
    with pytest.raises(TypeCheckError):
        Pool()("no step", [])
