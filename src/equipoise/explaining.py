"""From a photo to an explanation in one call: `explain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

from equipoise.errors import OptionError
from equipoise.explanation import Explanation
from equipoise.inputs import SeveralInputs, Sources, is_several
from equipoise.loading import Model, described, load, load_kept
from equipoise.methods.several import Which
from equipoise.models.description import Said
from equipoise.network import Network
from equipoise.view import PhotoSource, View
from equipoise.wanted import Top, listed, parse_target


@overload
def explain(
    image: PhotoSource,
    model: Model = ...,
    method: Any = ...,
    target: Any = ...,
    *,
    preprocess: Any = ...,
    classes: Sequence[str] | None = ...,
    wrt: None = ...,
    **options: Any,
) -> Explanation: ...


@overload
def explain(
    image: Sources,
    model: Model = ...,
    method: Any = ...,
    target: Any = ...,
    *,
    preprocess: Any = ...,
    classes: Sequence[str] | None = ...,
    wrt: Which,
    **options: Any,
) -> Explanation: ...


@overload
def explain(
    image: tuple[Any, ...],
    model: Model = ...,
    method: Any = ...,
    target: Any = ...,
    *,
    preprocess: Any = ...,
    classes: Sequence[str] | None = ...,
    wrt: None = ...,
    **options: Any,
) -> tuple[Explanation, ...]: ...


@overload
def explain(
    image: Mapping[str, Any],
    model: Model = ...,
    method: Any = ...,
    target: Any = ...,
    *,
    preprocess: Any = ...,
    classes: Sequence[str] | None = ...,
    wrt: None = ...,
    **options: Any,
) -> dict[str, Explanation]: ...


def explain(
    image: PhotoSource | Sources,
    model: Model = "efficientnet_lite0",
    method: Any = "ae",  # a name or any callable
    target: Any = None,  # see Wanted, and lists of it
    *,
    preprocess: Any = None,  # any function of a photo
    classes: Sequence[str] | None = None,
    wrt: Which | None = None,
    **options: Any,  # the method's own
) -> Explanation | tuple[Explanation, ...] | dict[str, Explanation]:
    """Explain what a network saw in a photo.

    Args:
        image: A path of a photo or an array (``.npy``, ``.npz``, ``.pt``, ``.dcm``, ``.nii``), a Pillow image, a
            ``uint8`` array ``(h, w)`` or ``(h, w, 3)``, or any array that the network takes, channels first or last.
            For a network of several inputs a tuple, for ``model(*inputs)``, or a dict, for ``model(**inputs)``.
        model: A name for `equipoise.load_model` or ``"package.module:build"`` (the two last used are kept in
            memory), any `torch.nn.Module` in eval mode, or the pair ``(module, spec)`` that `equipoise.load_model`
            returned.
        method: A name of `equipoise.METHODS`, or any callable ``(model, inputs, target) -> Tensor``.
        target: ``None`` or ``"top"`` (the highest class), ``"top3"`` (the three highest), a class index, a
            class name, a `ClassGroup`, a function that maps logits ``(n, C)`` to scores ``(n,)``, or a list of
            these, which are explained together.
        preprocess: What the network takes of a photo: a function from a Pillow image to a tensor ``(c, h, w)``,
            such as ``weights.transforms()`` of torchvision. ``None``: what is known of the network; of a module
            alone ImageNet's, which the notes say.
            Of a network of several inputs a tuple or dict of these; ``None`` in it passes an input on as it is.
        classes: Names of the classes. ``None``: what is known, or numbers.
        wrt: Of several inputs the one to explain, by its place or name; ``None``: each, the others held as they are.
        **options: The method's own options, such as ``gamma`` of Attribution Equilibrium; ``output``, as of
            `equipoise.attribute`, for a network that returns more than its class scores.

    Returns:
        The explanation; its attribution is ``(c, h, w)``, or ``(k, c, h, w)`` for a list or ``"top3"``. Of several
        inputs one for each in a tuple or dict, or that of ``wrt`` alone.

    Raises:
        ImageError: If the photo cannot be read.
        UnknownNameError: If there is no such model, method or class; the text lists the nearest names.
        TargetError: If there is no such class.
        OptionError: If there is no such input.
        EquipoiseError: As `equipoise.load_model` and the method document.

    Example:
        >>> explanation = equipoise.explain("cat.jpg", target="Egyptian cat")  # doctest: +SKIP
        >>> explanation.save("why.png")  # doctest: +SKIP
    """
    said = Said(output=options.pop("output", None), preprocess=preprocess, classes=classes)
    if isinstance(image, tuple | Mapping):
        inputs = _network_of_several(model, said)
        options = inputs.options(options)
        inputs.check(image, wrt)
        views = inputs.views(image)
        first = next(iter(views.values()))  # places of a target are those of the first photo
        found = {
            key: of_input(_of_view(view, method, target, options, first), key)
            for key, view in views.items()
            if wrt is None or key == wrt
        }
        if wrt is not None:
            return found[wrt]
        return {str(key): one for key, one in found.items()} if isinstance(image, Mapping) else tuple(found.values())
    if wrt is not None:
        raise OptionError("wrt names one of several inputs, and one is given: give a tuple or a dict of them")
    network = described(load_kept(model), said) if isinstance(model, str) else load(model, said=said)
    return _of_view(View.of(image, network), method, target, options)


def _of_view(
    view: View, method: Any, target: Any, options: Mapping[str, Any], first: View | None = None
) -> Explanation:
    network, several = view.network, listed(target)
    wanted = [parse_target(one, network.spec) for one in ([target] if several is None else several)]
    bound = network.bind(method, **options)
    explanation = Explanation.of(view, bound, (first or view).targets(wanted))
    if several is not None or any(_several(one, network) for one in wanted):
        return explanation
    return explanation.select(0)


def _network_of_several(model: Any, said: Said) -> SeveralInputs:
    return SeveralInputs.described(model, said) if is_several(model) else SeveralInputs.of(model, said)


def of_input(explanation: Explanation, key: Which) -> Explanation:
    """An explanation whose record says which of several inputs it is of."""
    return replace(explanation, record={**explanation.record, "input": key})


def _several(target: object, network: Network) -> bool:
    """Whether a target may mean several classes of a photo."""
    if not isinstance(target, Top):
        return False
    return network.spec.task == "multi-label" if target.count is None else target.count > 1
