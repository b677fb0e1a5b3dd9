"""Shapes and types in signatures are checked while the tests run; this says how."""

import inspect
import random

_drawn = random.getrandbits
random.getrandbits = random.Random(0).getrandbits  # which entry of a list is looked at is no draw of a test's own
from beartype import BeartypeConf, beartype  # noqa: E402  # it takes the function over when it is imported
from jaxtyping import TypeCheckError  # noqa: E402

check = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeCheckError))
"""An int is a float, as PEP 484 says."""


@check
def _taken(entries: list[int]) -> None:
    """Beartype has what it draws by once it has checked a list."""


random.getrandbits = _drawn


def unchecked(function):
    """The function as users without jaxtyping have it, to see what it says itself of a wrong argument."""
    return inspect.unwrap(function)
