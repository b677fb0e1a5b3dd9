"""The registry of methods and the one call that serves them all."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol, Self, TypeAlias, overload, runtime_checkable

import torch
from torch import Tensor, nn

from equipoise._registry import Registry, nearest
from equipoise.engine.entrance import aside, check_model, check_pixels, native, python_module, run
from equipoise.engine.outputs import Output, check_output_option, pick_output
from equipoise.errors import NoScoresError, OptionError, ShapeError, UnknownOptionError, UnsupportedModelError
from equipoise.methods.reading import Look, Reading, areas, detected, functions_of, only_column
from equipoise.methods.registering import MethodRegistry
from equipoise.methods.scores import is_detections
from equipoise.methods.several import Inputs, attribute_each, inside
from equipoise.methods.targets import ClassGroup, Target, Targets, joined


@runtime_checkable
class Attributor(Protocol):
    """A method bound to a model: what ``METHODS[name](model, **options)`` makes."""

    def attribute(self, inputs: Tensor, target: Target = None) -> Tensor | list[Tensor]:
        """Explain the class score ``target`` of each image; shapes as in `equipoise.attribute`."""
        ...


Level: TypeAlias = Literal["pixel", "map"]
"""``"pixel"``: a value for each color of each pixel; ``"map"``: one channel, resized to the input."""


class Method:
    """Base of every method of the registry: one that is bound to a model and explains batches of images.

    A subclass says how in `explained`; most derive from `equipoise.methods.propagation.Propagation` or
    `equipoise.methods.evaluate.ManyPasses`, which do.

    Attributes:
        title: What people call it; what is registered without one is called by its registered name.
        summary: One line for ``equipoise list methods``: what it shows.
        level: See `Level`. Of the class as its defaults give it; of an instance as its options do.
        signed: Whether negative values mean evidence against the class; likewise.
        costly: Whether it takes longer than thirty forward and backward passes; the group ``fast`` leaves it out.
        blind: Whether it knows nothing of the image, and is there as the floor of comparisons; it is offered last.
        several_layers: Whether its option ``layer`` takes a list.
        output: Which part of the model's result is the logits; an option of every registered method.
        notes: What it has to say of its last result, one sentence each.
    """

    title: ClassVar[str]
    summary: ClassVar[str]
    level: Level = "pixel"
    signed: bool = True
    costly: bool = False
    blind: ClassVar[bool] = False
    several_layers: ClassVar[bool] = False
    output: Output = None

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.notes: list[str] = []

    def explained(self, images: Tensor, target: Target) -> tuple[Targets, Tensor]:
        """The targets, and the attribution ``(k, n, c, *space)`` of each.

        Args:
            images: Checked, ``(n, c, *space)``, at least one, in a dtype that the model takes.
            target: As in `attribute`.
        """
        raise NotImplementedError  # abstract: every method defines it

    def attribute(self, inputs: Tensor, target: Target = None) -> Tensor | list[Tensor]:
        """Explain each image of a batch.

        Args:
            inputs: Float ``(n, 3, h, w)``, preprocessed.
            target: As in `equipoise.attribute`.

        Returns:
            The attribution in the inputs' dtype: ``(n, 3, h, w)`` or ``(n, 1, h, w)``, or with the targets' axis.

        Raises:
            EquipoiseError: As `equipoise.attribute`.
        """
        check_inputs(inputs)
        if not len(inputs):
            return torch.zeros_like(inputs)
        images = native(self.model, inputs)
        with aside(inputs.device):
            targets, found = self._read(images, target)
            return targets.format(found.to(inputs.dtype))

    def _read(self, images: Tensor, target: Target) -> tuple[Targets, Tensor]:
        """As `explained`, also of a network that gives more than class scores; see `Reading`."""
        unread: NoScoresError | None = None
        if not isinstance(self.output, Reading):
            try:
                return self.explained(images, target)
            except NoScoresError as error:  # then what it gives is read
                unread = error
        raw = self.output.output if isinstance(self.output, Reading) else self.output
        functions = functions_of(target)
        if functions is None or all(isinstance(one, ClassGroup) for one in functions):
            seen = Look(raw)
            try:
                run(python_module(self.model), images.clone(), seen)
            except ShapeError:
                if unread is None or is_detections(seen.raw):
                    raise
                raise unread from None  # it names what the network gave, and which of it may be scores
            if is_detections(seen.raw):
                functions = detected(seen.raw, target)
                target = functions if isinstance(target, list | tuple | Tensor) else functions[0]
            else:
                shares = areas(seen.raw)
                target = shares.argmax(1) if target is None else target
                targets, found = self._reading(Reading(raw)).explained(images, target)
                self.notes += _nowhere(targets, shares)
                return targets, found
        each = [self._reading(Reading(raw, one)).explained(images, only_column) for one in functions]
        targets = joined([one for one, _ in each], single=callable(target))
        return targets, torch.cat([found for _, found in each])

    def _reading(self, output: Reading) -> Self:
        """The same method on what is read off the network; its notes are this one's."""
        reader = copy.copy(self)
        reader.output = output
        reader.notes = self.notes
        return reader


def _nowhere(targets: Targets, shares: Tensor) -> list[str]:
    """A note for each class that has the highest score at no pixel: its score is zero, and so is its map."""
    if targets.indices is None:
        return []
    empty = (shares.t().gather(0, targets.indices) == 0).nonzero().tolist()
    return [
        f"image {image}: class {int(targets.indices[k, image])} has the highest score at no pixel, so there is nothing "
        "to explain; equipoise.targets.region gives it a region"
        for k, image in empty
    ]


MethodFunction: TypeAlias = Callable[..., Tensor]
"""Any callable ``(model, inputs, target, **options) -> Tensor``."""

METHODS: Registry[type[Method]] = MethodRegistry("method")
"""Every method by name: ``METHODS["ae"](model, **options).attribute(inputs, target)``."""


def title_of(method: str) -> str:
    """What people call a method; one that is not registered is called as it is named here."""
    return str(getattr(METHODS[method], "title", method)) if method in METHODS else method


def make_method(method: str | MethodFunction, model: nn.Module, **options: Any) -> Attributor:
    """Bind a method, given by name or as any callable ``(model, inputs, target) -> Tensor``.

    Raises:
        UnsupportedModelError: If the model is no `torch.nn.Module`.
        UnknownNameError: If no method has that name; the text lists the nearest ones.
        UnknownOptionError: If the method does not take one of the options.
    """
    if not isinstance(model, nn.Module):
        raise UnsupportedModelError(f"the model must be a torch.nn.Module, not {type(model).__name__}")
    if not isinstance(method, str):
        given: object = method
        if not callable(given):
            kind = type(given).__name__
            raise OptionError(f"a method is one name, or a callable (model, inputs, target), not {kind}")
        if "output" in options:
            model = Picked(model, check_output_option(options.pop("output")))
        return _Function(method, model, options)
    name = METHODS.canonical(method)
    factory: Callable[..., Attributor] = METHODS[name]
    taken = [
        parameter.name
        for parameter in inspect.signature(factory).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for option in options:
        if option not in taken:
            near = nearest(option, taken)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise UnknownOptionError(f"{name} has no option {option!r}; {hint}it takes: {', '.join(taken) or 'none'}")
    return factory(model, **options)


@overload
def attribute(
    model: nn.Module, inputs: Tensor, target: Target = None, *, method: str | MethodFunction = "ae", **options: Any
) -> Tensor | list[Tensor]: ...


@overload
def attribute(
    model: nn.Module,
    inputs: Inputs,
    target: Target = None,
    *,
    method: str | MethodFunction = "ae",
    wrt: int | str | None = None,
    **options: Any,
) -> Any: ...


def attribute(
    model: nn.Module,
    inputs: Tensor | Inputs,
    target: Target = None,
    *,
    method: str | MethodFunction = "ae",
    wrt: int | str | None = None,
    **options: Any,
) -> Any:
    """Explain a class score of each image of a batch.

    Args:
        model: Any network in eval mode that maps ``(n, 3, h, w)`` to logits ``(n, C)``; it is not changed.
        inputs: Preprocessed images, float, ``(n, 3, h, w)``; any number of channels, and also signals ``(n, c, l)``
            and volumes ``(n, c, d, h, w)``. Of a network that takes several inputs a tuple of them, for
            ``model(*inputs)``, or a dict, for ``model(**inputs)``: tensors with one row for each image, of any shape
            and dtype; anything else (a flag, ``None``) is passed on.
        target: Which score: ``None`` (each image's top class), an ``int``, a sequence of ints or a
            LongTensor ``(n,)``; a LongTensor ``(n, k)`` or a ragged list of lists for several classes
            from one forward pass; or a callable that maps logits ``(n, C)`` to scores ``(n,)``, such as a
            `ClassGroup`; or ``k`` such callables, each explained for every image.
        method: A name of `METHODS`, or any callable ``(model, inputs, target) -> Tensor``.
        wrt: Of several inputs the one that is explained: its place in the tuple, or its key. ``None``: each. While
            one is explained, the others are held constant, and each image is explained on its own.
        **options: The method's own options, such as ``gamma`` of Attribution Equilibrium; and of every method
            ``output``: which part of the model's result holds the class scores, an index, a key or a function
            of the result. ``None`` takes the tensor itself, what is called ``logits``, or a tuple's one entry
            ``(n, C)``. A ``layer`` is a module's name or the module.

    Returns:
        The attribution: dtype and device of ``inputs``, signed, not normalized, detached.
        ``(n, 3, h, w)`` for pixel-level methods and ``(n, 1, h, w)`` for map-level ones; with a
        target ``(n, k)``, ``(n, k, c, h, w)``; with a ragged list, a list of ``(k_i, c, h, w)``.
        Of several inputs with ``wrt=None`` a tuple or dict of these, as ``inputs``; ``None`` stands for an input that
        no method explains, since it is no float tensor with positions.

    Raises:
        UnknownNameError: If the method is unknown.
        UnknownOptionError: If an option is unknown to the method.
        OptionError: If ``wrt`` is none of several inputs.
        EquipoiseError: As the method documents; every subclass is also a standard Python error.

    Example:
        >>> equipoise.attribute(model, {"image": a, "depth": b}, 3, wrt="depth")  # doctest: +SKIP
    """
    if isinstance(inputs, tuple | Mapping):
        named = {key: inside(one, model) if key.endswith("layer") else one for key, one in options.items()}

        def explain(network: nn.Module, images: Tensor, of: Target) -> Tensor | list[Tensor]:
            return make_method(method, network, **named).attribute(images, of)

        return attribute_each(explain, model, inputs, target, wrt)
    if wrt is not None:
        raise OptionError(f"wrt is {wrt!r}, which names one of several inputs: a tuple or a dict, not one tensor")
    return make_method(method, model, **options).attribute(inputs, target)


def check_inputs(inputs: Tensor) -> None:
    """Refuse what no method can explain.

    Raises:
        ShapeError: If ``inputs`` is not a floating-point batch with at least one spatial dimension.
    """
    if not isinstance(inputs, Tensor):
        raise ShapeError(f"inputs must be a torch.Tensor, not {type(inputs).__name__}")
    if inputs.dim() < 3 or 0 in inputs.shape[1:]:
        raise ShapeError(f"inputs have shape {tuple(inputs.shape)}; expected (n, 3, h, w)")
    if not inputs.is_floating_point():
        raise ShapeError(f"inputs have dtype {inputs.dtype}; expected preprocessed floating-point images")


class Picked(nn.Module):
    """A network that returns one part of what another returns: its logits ``(n, C)``.

    Args:
        model: The network.
        output: Which part; see `equipoise.engine.outputs.pick_output`.
    """

    def __init__(self, model: nn.Module, output: Output) -> None:
        super().__init__()
        self.model = model
        self.output = output
        self.train(model.training)

    def forward(self, inputs: Tensor) -> Tensor:
        """The logits."""
        return pick_output(self.model(inputs), len(inputs), self.output)


class _Function:
    """A user's own callable, seen as a method; its network and images are checked as for any other."""

    def __init__(self, function: MethodFunction, model: nn.Module, options: dict[str, Any]) -> None:
        self._model = model

        def call(inputs: Tensor, target: Target) -> object:
            return function(model, inputs, target, **options)

        self._call = call

    def attribute(self, inputs: Tensor, target: Target = None) -> Tensor:
        check_inputs(inputs)
        check_model(python_module(self._model))
        check_pixels(inputs)
        result: object = self._call(inputs, target)
        if not isinstance(result, Tensor) or result.shape[0] != inputs.shape[0]:
            found = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise ShapeError(f"the method returned {found} for inputs of shape {tuple(inputs.shape)}")
        return result.detach()


def heatmap(attribution: Tensor, *, dims: int = 2) -> Tensor:
    """Sum an attribution over its channels.

    Args:
        attribution: ``(..., c, h, w)``, as `attribute` returns it.
        dims: How many dimensions a map has: 2 of images; 1 of signals ``(..., c, l)``, 3 of volumes
            ``(..., c, d, h, w)``.

    Returns:
        ``(..., h, w)``, or ``(..., l)``, ``(..., d, h, w)``: the relevance of each pixel; the total is kept.

    Raises:
        ShapeError: If there is no channel dimension.
        OptionError: If ``dims`` is no whole number from 1 on.
    """
    if not isinstance(dims, int) or isinstance(dims, bool) or dims < 1:
        raise OptionError(f"dims is {dims!r}; a map has 1 (signals), 2 (images) or 3 dimensions (volumes)")
    if not isinstance(attribution, torch.Tensor) or attribution.dim() <= dims:
        found = tuple(attribution.shape) if isinstance(attribution, torch.Tensor) else type(attribution).__name__
        space = {1: "l", 2: "h, w", 3: "d, h, w"}.get(dims, f"{dims} dimensions")
        raise ShapeError(f"an attribution has shape (..., c, {space}), not {found}")
    return attribution.sum(dim=-1 - dims)
