"""Does a map depend on what the network learned? Copies of it with random layers, from the logits down."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from equipoise._registry import Registry
from equipoise._typing import Float
from equipoise.engine import check_mode
from equipoise.errors import LayerError, OptionError

INITIALIZERS: Registry[Callable[[nn.Module], None]] = Registry("initializer")
"""Each overwrites the parameters that a module holds itself, drawing from torch's generator of the CPU."""


@INITIALIZERS.register("ae")
def ae(module: nn.Module) -> None:
    """Weights by Glorot's uniform rule, biases and other vectors uniform in 0 to 1.

    Biases of that size are large and keep most units on.

    References:
        Nam & Lee 2024, section 5.2.2, as the public code does it.
    """
    for parameter in module.parameters(recurse=False):
        if parameter.dim() >= 2:
            nn.init.xavier_uniform_(parameter)
        else:
            nn.init.uniform_(parameter)


@INITIALIZERS.register("reset")
def reset(module: nn.Module) -> None:
    """As the module's class draws its parameters itself; batch norm forgets its statistics too.

    Raises:
        OptionError: If the class has no ``reset_parameters``.
    """
    method = getattr(module, "reset_parameters", None)
    if method is None:
        raise OptionError(f"{type(module).__name__} has no reset_parameters(); use another initializer")
    method()


@INITIALIZERS.register("normal")
def normal(module: nn.Module) -> None:
    """Weights by He's normal rule, which keeps the size of activations; biases 0 and scales 1."""
    for name, parameter in module.named_parameters(recurse=False):
        if parameter.dim() >= 2:
            nn.init.kaiming_normal_(parameter)
        else:
            nn.init.constant_(parameter, 1.0 if name == "weight" else 0.0)


def stages(model: nn.Module, inputs: Float[Tensor, "n c *space"]) -> list[str]:
    """The modules that hold parameters themselves, in the order of execution, from the logits down.

    A module that runs several times counts where it runs last; one that does not run is left out.

    Args:
        model: A network in eval mode; it is not changed.
        inputs: What to run it on, preprocessed.

    Returns:
        Their dotted names, the last to run first.

    Raises:
        ModelModeError: If the forward pass would be random or change statistics.

    References:
        Adebayo et al. 2018 (*Sanity Checks for Saliency Maps*), "cascading randomization".
    """
    check_mode(model)
    calls: list[str] = []

    def noting(name: str) -> Callable[..., None]:
        return lambda *_: calls.append(name)

    handles = [module.register_forward_hook(noting(name)) for name, module in model.named_modules() if _holds(module)]
    try:
        with torch.no_grad():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return list(dict.fromkeys(reversed(calls)))


def randomize(model: nn.Module, layers: Sequence[str], initializer: str = "ae", seed: int = 0) -> nn.Module:
    """A copy of a network with some layers drawn anew.

    Each module draws from a stream of its own, that of its name and the seed: in which company it is randomized,
    the device, and torch's random state do not matter, and the latter stays as it was.

    Args:
        model: Any network; it is not changed.
        layers: Dotted names of modules; of a block all modules within are drawn.
        initializer: A name in `INITIALIZERS`: ``"ae"``, ``"reset"`` or ``"normal"``.
        seed: Another seed, other parameters.

    Raises:
        LayerError: If the network has no module of a name, or that module holds no parameters.
        OptionError: If a module cannot be drawn that way.
        UnknownNameError: If there is no such initializer.
    """
    draw = INITIALIZERS[initializer]
    copied = copy.deepcopy(model)
    modules = dict(copied.named_modules())
    for layer in dict.fromkeys(layers):
        found = [(name, module) for name, module in modules.items() if _within(name, layer) and _holds(module)]
        if not found:
            raise LayerError(f"the network has no module {layer!r} with parameters")
        for name, module in found:
            _redraw(module, draw, zlib.crc32(f"{seed} {name}".encode()))
    return copied


def _within(name: str, layer: str) -> bool:
    return not layer or name == layer or name.startswith(f"{layer}.")


def _holds(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None


def _redraw(module: nn.Module, draw: Callable[[nn.Module], None], seed: int) -> None:
    """On the CPU, so that every device gets the same numbers."""
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    device = own[0].device
    module.cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)
        draw(module)
    module.to(device)


def cascade(
    model: nn.Module,
    inputs: Float[Tensor, "n c h w"],
    *,
    initializer: str = "ae",
    seed: int = 0,
    layers: Sequence[str] | None = None,
) -> Iterator[tuple[str, nn.Module]]:
    """Copies of a network, each with one more layer drawn anew, from the logits down.

    The next copy is made when it is asked for, and none is kept.

    Args:
        model: A network in eval mode; it is not changed.
        inputs: What to run it on to find the order of its layers.
        initializer: See `randomize`.
        seed: See `randomize`.
        layers: Names of layers or blocks in the order to draw them; ``None``: `stages`.

    Yields:
        The name of the layer drawn last, and a copy in which it and all before it are drawn.

    Raises:
        LayerError: If the network has no such layer.
        ModelModeError: If the forward pass would be random or change statistics.
        UnknownNameError: If there is no such initializer.

    References:
        Adebayo et al. 2018, "cascading randomization"; Nam & Lee 2024, section 5.2.2.
    """
    names = stages(model, inputs) if layers is None else list(layers)
    for index, name in enumerate(names):
        yield name, randomize(model, names[: index + 1], initializer, seed)


def independent(
    model: nn.Module,
    inputs: Float[Tensor, "n c h w"],
    *,
    initializer: str = "ae",
    seed: int = 0,
    layers: Sequence[str] | None = None,
) -> Iterator[tuple[str, nn.Module]]:
    """Copies of a network, each with one layer drawn anew and all others as they were; as `cascade` otherwise.

    References:
        Adebayo et al. 2018, "independent randomization".
    """
    for name in stages(model, inputs) if layers is None else layers:
        yield name, randomize(model, [name], initializer, seed)
