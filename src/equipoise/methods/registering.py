"""What every method takes, added where it is registered: ``output``, and modules in place of their names."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from torch import nn

from equipoise._registry import Registry
from equipoise.engine.entrance import python_module
from equipoise.engine.outputs import check_output_option
from equipoise.errors import LayerError

T = TypeVar("T")

_WRAPPERS = ("module.", "_orig_mod.")  # what DataParallel and torch.compile put before a name


class MethodRegistry(Registry[T]):
    """Methods by name; each class that is registered takes the options that all have, and has a title."""

    def add(self, name: str, entry: T, *, aliases: tuple[str, ...] = ()) -> T:
        """See `Registry`."""
        if isinstance(entry, type) and hasattr(entry, "output"):
            _take_common_options(entry)
            _entitle(entry, name)
        return super().add(name, entry, aliases=aliases)


def _entitle(cls: type, name: str) -> None:
    """Give ``cls`` a title, unless it has one; a title that it inherits is another method's."""
    if "title" not in vars(cls):
        cls.title = name.replace("_", " ").capitalize()  # type: ignore[attr-defined]  # every method may have one


def _take_common_options(cls: type) -> None:
    """Let ``cls`` take ``output``, a network in its wrappers, and modules where it takes the name of a layer."""
    construct: Callable[..., None] = cls.__init__  # type: ignore[misc]  # it calls it on its own instances
    signature = inspect.signature(construct)
    parameters = signature.parameters
    if "output" in parameters:  # it inherits a constructor that does
        return
    layers = [name for name in parameters if name.endswith("layer")]

    @functools.wraps(construct)
    def __init__(self: Any, model: nn.Module, *args: Any, output: Any = None, **options: Any) -> None:  # noqa: N807
        output = check_output_option(output)
        network = python_module(model)
        for option in layers:
            if options.get(option) is not None:
                several = option == "layer" and getattr(cls, "several_layers", False)
                options[option] = layer_name(network, options[option], several=several)
        construct(self, network, *args, **options)
        self.output = output

    kind = inspect.Parameter.KEYWORD_ONLY
    added = inspect.Parameter("output", kind, default=None, annotation="Output")
    __init__.__signature__ = signature.replace(parameters=[*parameters.values(), added])  # type: ignore[attr-defined]
    cls.__init__ = __init__  # type: ignore[misc]


def layer_name(model: nn.Module, layer: Any, *, several: bool = False) -> Any:
    """The name of a layer given by its name or as the module itself.

    Args:
        model: The network.
        layer: A name, a module, or a list of these.
        several: Whether a list is welcome.

    Returns:
        The name; a tuple of names for a list.

    Raises:
        LayerError: If it is no module of the network, or a list where one layer is needed.
    """
    if isinstance(layer, nn.Module):
        inner = python_module(layer)
        for name, module in model.named_modules():
            if module is layer or module is inner:
                return name
        raise LayerError(f"the layer, a {type(layer).__name__}, is no module of this network; pass one of its own")
    if isinstance(layer, str):
        return _spelled(model, layer)
    if isinstance(layer, Sequence):
        if not several:
            raise LayerError(
                f"this method starts at one layer, not at {len(layer)}: pass a name or a module "
                "(the class activation maps take several, and give the mean of their maps)"
            )
        if not layer:
            raise LayerError("the list of layers is empty; name at least one, or leave it out")
        return tuple(layer_name(model, one) for one in layer)
    raise LayerError(f"a layer is a module's name or the module, not {type(layer).__name__}")


def _spelled(model: nn.Module, name: str) -> str:
    """``name``, or what it is called inside, where a wrapper stands before or within it."""
    names = [known for known, _ in model.named_modules()]
    if name in names:
        return name
    plain: dict[str, str] = {known.replace("_orig_mod.", ""): known for known in names}
    short = name
    while short.startswith(_WRAPPERS):
        short = short.partition(".")[2]
    return plain.get(short, name)  # the tape says what is near to an unknown one
