"""A network ready to be explained: how it is had, checked and run, and how a method is bound to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import torch
from PIL import Image
from torch import Tensor, nn

from equipoise import records
from equipoise.answers import Answers, ScoreOf, answers_of
from equipoise.engine.entrance import aside, check_model, check_scores, checking, python_module, run
from equipoise.errors import OptionError, ShapeError, UnsupportedModelError
from equipoise.methods import METHODS, ClassGroup, make_method
from equipoise.methods.propagation import Propagation
from equipoise.methods.reading import Look, Reading
from equipoise.methods.registering import layer_name
from equipoise.models.array_preprocessing import ArrayPreprocessing
from equipoise.models.own_preprocessing import OwnPreprocessing

if TYPE_CHECKING:
    from pathlib import Path

    from equipoise.engine import Output, Trace
    from equipoise.methods import Attributor
    from equipoise.models import ModelSpec, Preprocessing

DENSE: Final = frozenset({"segmentation", "detection"})
"""Tasks whose scores are read off an output that is none."""


@dataclass(frozen=True, eq=False)
class Network:
    """A network and what is known about it.

    Attributes:
        module: The network; it is never changed.
        spec: Its classes and preprocessing.
        name: As it was asked for.
        output: Which part of its result is the logits, as of every method.
        assumed: What nobody said about it and so was assumed: ``"preprocessing"``, ``"classes"`` or ``"activation"``
            to a sentence.
        examples: A folder of photos to offer; ``None``: none.
    """

    module: nn.Module = field(repr=False)
    spec: ModelSpec
    name: str = ""
    output: Output = None
    assumed: Mapping[str, str] = field(default_factory=dict)
    examples: Path | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed, one sentence each; explanations and records repeat it."""
        return tuple(self.assumed.values())

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return device_of(self.module)

    @property
    def pictures(self) -> Preprocessing | OwnPreprocessing:
        """How photos are prepared, for what needs photos.

        Raises:
            UnsupportedModelError: If it takes none.
        """
        preprocessing = self.spec.preprocessing
        if isinstance(preprocessing, ArrayPreprocessing):
            size = " x ".join(map(str, preprocessing.size))
            raise UnsupportedModelError(f"{self.spec.name} takes arrays of {size} values, and this needs photos")
        return preprocessing

    def check(self) -> None:
        """Refuse a network that no method can explain.

        Raises:
            UnsupportedModelError: If it is no `torch.nn.Module`, or quantized.
            ModelModeError: If its forward pass would be random, or change statistics.
            NotFiniteError: If a weight is NaN or infinite.
        """
        check_model(python_module(self.module))

    def prepare(self, image: Image.Image | Tensor) -> Tensor:
        """A photo, or an array ``(c, *space)``, as the network takes it: ``(1, c, *space)``, on its device.

        Raises:
            ShapeError: If an array does not fit.
        """
        if isinstance(image, Tensor):
            preprocessing = self.spec.preprocessing
            if isinstance(preprocessing, OwnPreprocessing):
                raise UnsupportedModelError(f"the preprocessing of {self.spec.name} is a function of a photo")
            return like_weights(preprocessing.of_array(image).unsqueeze(0), self.module)
        return like_weights(self.spec.preprocess(image).unsqueeze(0), self.module)

    def black(self) -> Tensor:
        """What the network takes of a black photo, or of an array of its lowest values: ``(1, c, *space)``."""
        return like_weights(black_of(self.spec.preprocessing), self.module)

    @property
    def reads(self) -> Output:
        """The option ``output`` of methods: how the class scores are read off the network's result."""
        dense = self.spec.task in DENSE and not isinstance(self.output, Reading)
        return Reading(self.output) if dense else self.output

    def logits(self, inputs: Tensor) -> Tensor:
        """What the network says, as `logits_of`."""
        return logits_of(self.module, inputs, self.reads)

    def answers(self, inputs: Tensor) -> Answers:
        """What the network says of one photo, in the words of its task.

        Args:
            inputs: ``(1, c, h, w)``.

        Raises:
            EquipoiseError: As `logits_of`.
        """
        reads = self.reads
        if not isinstance(reads, Reading):
            return answers_of(self.spec, self.logits(inputs)[0])
        look = Look(reads.output)
        scores = logits_of(self.module, inputs, look)
        return answers_of(self.spec, scores[0], _on_cpu(look.raw))

    def certainty(self, inputs: Tensor, index: int) -> Tensor:
        """The probability of a class, or its score where there is none: ``(n,)``, float32 on the CPU."""
        if isinstance(self.reads, Reading):
            found = [self.answers(one[None]).one(index) for one in inputs]
        else:
            found = [answers_of(self.spec, scores).one(index) for scores in self.logits(inputs)]
        return torch.tensor([one.logit if one.probability is None else one.probability for one in found])

    def bind(self, method: Any, **options: Any) -> BoundMethod:
        """Bind a method, by name or any callable ``(model, inputs, target) -> Tensor``.

        A method that has an option ``input_bounds`` gets those of the preprocessing, unless the options name
        others or its profile is ``"reference"``, which knows only the image's own extremes.

        Raises:
            UnknownNameError: If no method has that name.
            UnknownOptionError: If the method does not take one of the options.
            OptionError: If an option is outside its range.
        """
        if self.reads is not None:
            options.setdefault("output", self.reads)
        named = isinstance(method, str)
        if not named and not callable(method):
            kind = type(method).__name__
            raise OptionError(
                f"a method is one name, or a callable (model, inputs, target), not {kind}; ask one by one"
            )
        if named:
            known = records.method_options(method)
            if "input_bounds" in known and options.get("profile", known.get("profile")) != "reference":
                bounds = self.spec.input_bounds
                if bounds is not None:
                    options.setdefault("input_bounds", tuple(bound.to(self.device) for bound in bounds))
            if options.get("layer") is not None:  # by name, so that the record can say which
                several = getattr(METHODS[method], "several_layers", False)
                options["layer"] = layer_name(python_module(self.module), options["layer"], several=several)
        attributor = make_method(method, self.module, **options)
        return BoundMethod(attributor, records.method_record(method, options, attributor), together=named)


def black_of(preprocessing: Preprocessing | OwnPreprocessing | ArrayPreprocessing) -> Tensor:
    """What becomes of a black photo, or of an array of the lowest values: ``(1, c, *space)``, on the CPU."""
    if isinstance(preprocessing, OwnPreprocessing):
        return preprocessing(Image.new("RGB", (256, 256))).unsqueeze(0)
    return preprocessing.normalize(torch.zeros(1, preprocessing.channels, *preprocessing.space))


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights are; the CPU if it has none."""
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))


def like_weights(inputs: Tensor, module: nn.Module) -> Tensor:
    """``inputs`` on the device and in the dtype of a module's weights."""
    dtypes = (weight.dtype for weight in module.parameters() if weight.is_floating_point())
    return inputs.to(device_of(module), next(dtypes, inputs.dtype))


def _on_cpu(raw: Any) -> Any:
    """A raw output, detached, on the CPU, in float32."""
    if isinstance(raw, Tensor):
        found = raw.detach().cpu()
        return found.float() if found.is_floating_point() else found
    if isinstance(raw, list | tuple):
        return [_on_cpu(one) for one in raw]
    return {key: _on_cpu(one) for key, one in raw.items()} if isinstance(raw, dict) else raw


def logits_of(module: nn.Module, inputs: Tensor, output: Output = None) -> Tensor:
    """What a network says: ``(n, C)``, float32 on the CPU.

    Args:
        module: The network.
        inputs: ``(n, c, h, w)``, on any device.
        output: Which part of its result is the logits.

    Raises:
        ModelModeError: If its forward pass would be random, or change statistics.
        ShapeError: If its result holds no logits ``(n, C)``, or several things that may be.
        NotFiniteError: If a pixel or a weight is NaN or infinite.
        EquipoiseError: If no method can explain it, or it fails.
    """
    module = python_module(module)
    check_model(module)
    inputs = like_weights(inputs, module)
    with aside(inputs.device):
        with checking(inputs):
            logits = run(module, inputs.clone(), output)
        check_scores(module, logits, inputs)
    return logits.float().cpu()


_SQUASHING: Final = {"SoftmaxBackward0": "softmax", "SigmoidBackward0": "sigmoid"}
_MOVING: Final = ("View", "Squeeze", "Unsqueeze", "Select", "Reshape", "Alias", "Slice", "Clone")  # of torch's graph


def tried(module: nn.Module, inputs: Tensor, output: Output = None) -> tuple[Tensor, str | None]:
    """What a network says of one image, and by which squashing it ends: ``"softmax"``, ``"sigmoid"`` or ``None``.

    Args:
        module: The network.
        inputs: ``(1, c, *space)``.
        output: Which part of its result is the scores.

    Raises:
        EquipoiseError: As `logits_of`.
    """
    logits = logits_of(module, inputs, output)
    with aside(inputs.device, grad=True):
        last = run(python_module(module), inputs.clone().requires_grad_(), output).grad_fn
    while last is not None and type(last).__name__.startswith(_MOVING):
        last = last.next_functions[0][0]
    return logits, _SQUASHING.get(type(last).__name__)


@dataclass(frozen=True, eq=False)
class BoundMethod:
    """A method bound to a network, with what a record says of it.

    Attributes:
        attributor: Computes the attribution.
        record: Name, level, sign and every option.
        together: Whether it takes several targets at once.
    """

    attributor: Attributor
    record: Mapping[str, Any]
    together: bool

    @property
    def coarse(self) -> bool:
        """Whether its maps are a layer's, resized, rather than of single pixels."""
        return self.record.get("level") == "map"

    @property
    def notes(self) -> tuple[str, ...]:
        """What the method had to say of its last result."""
        return tuple(str(note) for note in getattr(self.attributor, "notes", ()))

    def attribute(self, inputs: Tensor, scores: Sequence[ScoreOf], trace: Trace | None = None) -> Tensor:
        """Explain several scores of one image, from one forward pass where the method can.

        Args:
            inputs: ``(1, c, h, w)``.
            scores: What is explained, ``k`` of it.
            trace: Of a method that follows the tape: the forward pass of ``inputs``, where it was recorded before.

        Returns:
            ``(k, c, h, w)``.

        Raises:
            ShapeError: If the method returned another shape.
        """
        if self.together:
            target, method = _as_one(scores, inputs.device), self.attributor
            known = all(isinstance(one, int | ClassGroup) for one in scores)  # others may read more than the trace has
            if trace is not None and known and isinstance(method, Propagation):
                found: Any = method.attribute_trace(trace, target)[0]
            else:
                found = method.attribute(inputs, target)[0]
        else:
            targets = [torch.tensor([one], device=inputs.device) if isinstance(one, int) else one for one in scores]
            found = torch.cat([torch.as_tensor(self.attributor.attribute(inputs, target)) for target in targets])
        if not isinstance(found, Tensor) or found.dim() != inputs.dim() or len(found) != len(scores):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            name, space = self.record["name"], {3: "l", 5: "d, h, w"}.get(inputs.dim(), "h, w")
            raise ShapeError(
                f"{name} returned {shape} for {len(scores)} targets of one photo; expected (k, c, {space})"
            )
        return found.detach()


def _as_one(scores: Sequence[ScoreOf], device: torch.device) -> Any:
    """Several scores of one image as one target."""
    if all(isinstance(score, int) for score in scores):
        return torch.tensor([scores], device=device)
    return [ClassGroup((score,)) if isinstance(score, int) else score for score in scores]
