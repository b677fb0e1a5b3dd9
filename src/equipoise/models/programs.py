"""Networks whose architecture and weights are in one file: programs of ``torch.export`` (``.pt2``) and ONNX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from equipoise._registry import Registry
from equipoise.errors import MissingPackageError, UnsupportedModelError, WeightsError
from equipoise.models.program_check import check_program


@dataclass(frozen=True)
class Program:
    """A network from a file.

    Attributes:
        module: In eval mode, on the CPU.
        shape: Of its input, ``(n, c, *space)``; ``None`` where any number will do.
    """

    module: nn.Module
    shape: tuple[int | None, ...]

    @property
    def changes(self) -> dict[str, Any]:
        """What its input's shape says of preprocessing, as fields of `Preprocessing`; mean and deviation do not."""
        if len(self.shape) < 3 or any(side is None for side in self.shape[1:]):
            return {}
        channels, *space = (int(side or 0) for side in self.shape[1:])
        if len(space) == 2:
            size = (space[0], space[1])
            return {"resize": size, "crop": size}
        return {"size": tuple(space), "mean": (0.0,) * channels, "std": (1.0,) * channels}


PROGRAMS: Registry[Callable[[Path], Program]] = Registry("suffix of a network's file")
"""Readers by suffix; none runs code of the file."""


def is_program(name: str) -> bool:
    """Whether a text names such a file."""
    return Path(name).suffix in PROGRAMS


def load_program(path: Path) -> Program:
    """The network in a file.

    Raises:
        WeightsError: If there is no such file, or it is damaged or holds code.
        UnsupportedModelError: If it takes several inputs, or ONNX of an operation that cannot be converted.
        MissingPackageError: If the converter is not installed.
    """
    if not path.is_file():
        raise WeightsError(f"there is no file {path}")
    program = PROGRAMS[path.suffix](path)
    for parameter in program.module.parameters():
        parameter.requires_grad_(True)
    return program


@PROGRAMS.register(".pt2")
def _exported(path: Path) -> Program:
    check_program(path)
    try:
        loaded = torch.export.load(path)
        module = loaded.module()
    except Exception as error:  # a damaged archive may fail in any way
        raise WeightsError(f"{path} cannot be read as a program of torch.export: {_first_line(error)}") from error
    names = set(loaded.graph_signature.user_inputs)
    inputs = [node.meta.get("val") for node in loaded.graph.nodes if node.op == "placeholder" and node.name in names]
    tensors = [value for value in inputs if isinstance(value, torch.Tensor)]
    if len(tensors) != 1 or len(names) != 1:
        raise UnsupportedModelError(f"{path} takes {len(names)} inputs; a network that is explained takes one")
    shape = tuple(side if isinstance(side, int) else None for side in tensors[0].shape)
    return Program(module, shape)


@PROGRAMS.register(".onnx")
def _onnx(path: Path) -> Program:
    try:
        import onnx  # noqa: PLC0415  # optional
        import onnx2torch  # noqa: PLC0415  # as above
    except ImportError as error:
        raise MissingPackageError(f"{path} needs onnx and onnx2torch: pip install equipoise[onnx]") from error
    try:
        model = onnx.load(path)
    except Exception as error:  # as above
        raise WeightsError(f"{path} cannot be read as ONNX: {_first_line(error)}") from error
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        raise UnsupportedModelError(f"{path} takes {len(inputs)} inputs; a network that is explained takes one")
    _drop_identities(model.graph)
    try:
        module: nn.Module = onnx2torch.convert(model)
    except Exception as error:  # as above
        raise UnsupportedModelError(
            f"{path} cannot be converted by onnx2torch: {_first_line(error)}; export it with opset_version=17 or "
            "lower, or save the network by torch.export.save as a .pt2 file"
        ) from error
    sides = inputs[0].type.tensor_type.shape.dim
    return Program(module.eval(), tuple(side.dim_value or None for side in sides))


def _drop_identities(graph: Any) -> None:
    """Give equal weights their one name: torch's exporter copies them by operations that the converter refuses."""
    results = {value.name for value in graph.output}
    same = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Identity" and node.output[0] not in results
    }
    kept = [node for node in graph.node if node.output[0] not in same]
    for node in kept:
        for place, name in enumerate(node.input):
            while name in same:
                name = same[name]  # noqa: PLW2901  # a copy of a copy
            node.input[place] = name
    del graph.node[:]
    graph.node.extend(kept)


_LONGEST: Final = 200  # letters of another library's words


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:_LONGEST] if lines else type(error).__name__
