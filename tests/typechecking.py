"""What checks annotations while tests run.

The engine's tapes are edited by functions within functions, which exist anew in every forward pass; to write a
checker for each of them took a third of the tests' time, and they are called by what is checked already.
"""

import dataclasses
import functools
import inspect
import re
import types
import typing
from typing import Any, Self

import jaxtyping

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


SHAPED = re.compile(r"\b(Bool|Float|Int|Num|Shaped)\[")
"""An annotation that says a shape."""


def checked(function):
    """``function`` with its annotations checked, unless it is a door or was made within another."""
    name = getattr(function, "__qualname__", "")
    hints = getattr(function, "__annotations__", {})
    users = function.__module__.startswith("equipoise.methods.") and ("target" in hints or name.endswith("__init__"))
    if "<locals>" in name or users or f"{function.__module__}.{name}" in DOORS or hints.get("return") in {"Self", Self}:
        return function  # Self means something within its class alone
    return check(function)


def jaxtyped(thing=None, *, typechecker):
    """As `jaxtyping.jaxtyped`, which runs every call in a scope of shapes of its own, at 50 microseconds a call.

    Few annotations say a shape, so only those get the scope; of all others the types alone are checked. What was made
    within a function, anew in every forward pass, is not looked at.
    """
    if thing is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    if "<locals>" in thing.__qualname__:
        return thing
    if inspect.isclass(thing):
        made = vars(thing).get("__init__")
        if dataclasses.is_dataclass(thing) and made is not None and not hasattr(made, "__wrapped__"):
            thing.__init__ = jaxtyped(made, typechecker=typechecker)
        return thing
    shaped = any(SHAPED.search(str(hint)) for hint in getattr(thing, "__annotations__", {}).values())
    if shaped:
        return SCOPED(thing, typechecker=typechecker)
    thing.__annotations__ = {name: read(hint, thing) for name, hint in thing.__annotations__.items()}
    return typechecker(thing)


def read(hint, function):
    """An annotation as an object, or anything at all if its names are imported for type checkers alone."""
    one = types.SimpleNamespace(__annotations__={"hint": hint})
    try:
        return typing.get_type_hints(one, function.__globals__, include_extras=True)["hint"]
    except (NameError, AttributeError):
        return Any


SCOPED = jaxtyping.jaxtyped
jaxtyping.jaxtyped = jaxtyped  # the import hook writes its name before every function and class
