"""Whether a ``.pt2`` file is data alone: `torch.export.load` would run what some entries of the archive say.

It unpickles weights and constants that are marked so, loads compiled libraries, and evaluates texts: sizes as SymPy's,
guards as Python's. Here all of that is looked at first, and whatever a plain program does not need is refused.
"""

from __future__ import annotations

import ast
import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import torch

from equipoise.errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

_MEMBERS: Final = re.compile(
    r"(archive_format|archive_version|byteorder|\.data/(version|serialization_id)|models/model\.json"
    r"|data/weights/(model_weights_config\.json|weight_\d+)|data/constants/(model_constants_config\.json|tensor_\d+)"
    r"|data/sample_inputs/model\.pt|extra/[^/]*)"
)
_PAYLOADS: Final = re.compile(r"(weight|tensor)_\d+")
_TARGETS: Final = re.compile(
    r"torch\.ops\.aten\.\w+\.\w+|_operator\.(getitem|add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge)"
    r"|torch\.(sym_\w+|_check)|math\.(ceil|floor|trunc|sqrt)"
)
_CALLS: Final = frozenset({
    "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Mod", "Max", "Min", "Eq", "Ne", "Lt", "Le", "Gt",
    "Ge", "And", "Or", "Not", "FloorDiv", "CleanDiv", "CeilDiv", "PythonMod", "ModularIndexing", "Where", "ToFloat",
    "FloorToInt", "CeilToInt", "TruncToInt", "RoundToInt", "IntTrueDiv", "FloatTrueDiv", "PowByNatural", "floor",
    "ceiling", "true", "false",
})  # fmt: skip
_ON_SIZES: Final = re.compile(r"sym_(max|min|not|ite|float|int|sum|sqrt)")  # functions of torch
_SYMBOL: Final = re.compile(r"[a-z_]{1,8}\d+(_\d+)?")
_OPERATIONS: Final = (
    ast.Expression, ast.Load, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp, ast.operator, ast.unaryop, ast.boolop,
    ast.cmpop, ast.keyword, ast.Tuple, ast.Subscript,
)  # fmt: skip
_LONGEST: Final = 20_000  # letters
_LOOKS: Final = frozenset({"size", "shape", "dtype", "device", "dim", "ndim", "stride", "numel"})  # at a guard's tensor


def check_program(path: Path) -> None:
    """Refuse an archive that holds anything that could run.

    Raises:
        WeightsError: If it is no archive of ``torch.export.save``, or holds code; the text says which.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive, path)
    except (zipfile.BadZipFile, json.JSONDecodeError, UnicodeDecodeError, KeyError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read as a program of torch.export") from error


def _check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    names = archive.namelist()
    roots = {name.partition("/")[0] for name in names}
    if len(roots) != 1 or len(names) != len(set(names)):
        raise WeightsError(f"{path} is no archive of torch.export.save; save the program again with torch 2.8 or later")
    root = roots.pop()
    for name in names:
        if _MEMBERS.fullmatch(name.removeprefix(f"{root}/")) is None:
            raise WeightsError(
                f"{path} holds {name.removeprefix(f'{root}/')}, which no plain program has and which may be code; "
                "save it by torch.export.save, with torch 2.8 or later"
            )
    for config in ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json"):
        for key, payload in json.loads(archive.read(f"{root}/{config}"))["config"].items():
            if payload.get("use_pickle") or not _PAYLOADS.fullmatch(str(payload.get("path_name"))):
                raise WeightsError(f"{path} holds {key} as a pickled object, which may be code, so it is not loaded")
    try:  # torch itself would read it without this restraint where it fails with it
        torch.load(io.BytesIO(archive.read(f"{root}/data/sample_inputs/model.pt")), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise WeightsError(f"{path} holds sample inputs that may be code, so it is not loaded") from error
    _check_texts(json.loads(archive.read(f"{root}/models/model.json")), path)


def _check_texts(program: Mapping[str, Any], path: Path) -> None:
    for key, text in _texts(program):
        if key in {"target", "as_operator"} and _TARGETS.fullmatch(text) is None:
            raise WeightsError(f"{path} calls {text}, which is no operation of torch's own on tensors")
        if key == "expr_str" and not _harmless(text, guard=False):
            raise WeightsError(f"{path} says {text!r} of a size, which may be code, so it is not loaded")
    for name in program.get("range_constraints", {}):
        if not _harmless(name, guard=False):
            raise WeightsError(f"{path} says {name!r} of a size, which may be code, so it is not loaded")
    for text in program.get("guards_code") or ():
        if not _harmless(text, guard=True):
            raise WeightsError(f"{path} has the guard {text!r}, which may be code, so it is not loaded")
    if program["graph_module"].get("treespec_namedtuple_fields"):
        raise WeightsError(f"{path} returns a class of your own; export a network that returns a tensor, tuple or dict")


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text in nested lists and dicts, with the key under which it is; metadata, which is shown alone, aside."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name != "metadata" or not isinstance(inner, dict):
                yield from _texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)
    elif isinstance(value, str):
        yield key, value


def _harmless(text: str, *, guard: bool) -> bool:
    """Whether a text is arithmetic on sizes and nothing else."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return False
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return len(text) < _LONGEST and all(_plain(node, functions, guard=guard) for node in ast.walk(tree))


def _plain(node: ast.AST, functions: set[int], *, guard: bool) -> bool:
    if isinstance(node, ast.Constant):
        return not isinstance(node.value, str | bytes) or (isinstance(node.value, str) and node.value.isidentifier())
    if isinstance(node, ast.Name):
        return node.id in _CALLS if id(node) in functions else (guard and "__" not in node.id) or _known(node.id)
    if isinstance(node, ast.Attribute):
        return guard and (node.attr in _LOOKS or _ON_SIZES.fullmatch(node.attr) is not None)
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name | ast.Attribute)
    return isinstance(node, _OPERATIONS) or (guard and isinstance(node, ast.List))


def _known(name: str) -> bool:
    return name in {"oo", "int_oo", "True", "False"} or _SYMBOL.fullmatch(name) is not None
