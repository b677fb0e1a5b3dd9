"""Shapes and types in signatures are checked while the tests run; this says how."""

import inspect

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
"""An int is a float, as PEP 484 says."""


def unchecked(function):
    """The function as users without jaxtyping have it, to see what it says itself of a wrong argument."""
    return inspect.unwrap(function)
