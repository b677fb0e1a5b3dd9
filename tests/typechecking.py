"""What checks annotations while tests run.

The engine's tapes are edited by functions within functions, which exist anew in every forward pass; to write a
checker for each of them took a third of the tests' time, and they are called by what is checked already.
"""

from shapes import check


def checked(function):
    """``function`` with its annotations checked, unless it was made within another."""
    return function if "<locals>" in getattr(function, "__qualname__", "") else check(function)
