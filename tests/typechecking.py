"""What checks annotations while tests run.

The engine's tapes are edited by functions within functions, which exist anew in every forward pass; to write a
checker for each of them took a third of the tests' time, and they are called by what is checked already.
"""

from typing import Self

from shapes import check

DOORS = frozenset({
    "equipoise.cli.app._root",  # typer hands over click's context where typer's is asked for
    "equipoise.explanation.explain",
    "equipoise.loading.alone",
    "equipoise.loading._as_network",
    "equipoise.loading.described",
    "equipoise.loading.load",
    "equipoise.models.own.retold",
    "equipoise.methods.base.check_inputs",
    "equipoise.methods.base.make_method",
    "equipoise.methods.bounds.parse_bounds",
    "equipoise.methods.evaluate.whole",
    "equipoise.models.own.spec_of",
    "equipoise.models.own_preprocessing.as_preprocessing",
    "equipoise.view.Photo.read",
    "equipoise.view.View.of",
    "equipoise.wanted.listed",
    "equipoise.wanted.parse_target",
})  # fmt: skip
"""Where a user's own values come in: these refuse what is of no use themselves, in a sentence that tests read.

So do the constructors of the methods, which take the options, and what a target is handed on by until it is read.
"""


def checked(function):
    """``function`` with its annotations checked, unless it is a door or was made within another."""
    name = getattr(function, "__qualname__", "")
    hints = getattr(function, "__annotations__", {})
    users = function.__module__.startswith("equipoise.methods.") and ("target" in hints or name.endswith("__init__"))
    if "<locals>" in name or users or f"{function.__module__}.{name}" in DOORS or hints.get("return") in {"Self", Self}:
        return function  # Self means something within its class alone
    return check(function)
