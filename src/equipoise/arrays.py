"""Read arrays that are no photos: NumPy, torch, DICOM and NIfTI files, as what a network's preprocessing takes.

`read_array` is for files, `as_tensor` for arrays in memory; `as_channels` finds the channels among the dimensions and
checks the values against the range that the network's description gives.
"""

from __future__ import annotations

import importlib
import logging
import math
import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from equipoise._registry import Registry, nearest
from equipoise.errors import EquipoiseError, ImageError, MissingPackageError, NotFiniteError, ShapeError
from equipoise.images import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Reader: TypeAlias = Callable[[Path, str | None], Any]
"""From a file, and the name of one of its arrays where one is given, to an array or a tensor."""

ARRAY_READERS: Registry[Reader] = Registry("kind of array file")
"""How each kind of file is read, by the ending of its name."""

MAX_VALUES: Final = 500_000_000
"""The largest array read, in values."""

_LARGEST_TORCH: Final = 8 * MAX_VALUES  # bytes
_WHOLE: Final = {torch.uint8: 255.0, torch.uint16: 65535.0}  # what is full in types whose 0 is nothing
_TO_TORCH: Final = {"uint32": "int64", "uint64": "int64", "longdouble": "float64", "float128": "float64"}
_PLAIN: Final = (0.0, 1.0)


@runtime_checkable
class Takes(Protocol):
    """What is asked of a network's preprocessing: `Preprocessing` and `ArrayPreprocessing` have it."""

    @property
    def channels(self) -> int:
        """How many the network takes."""

    @property
    def space(self) -> tuple[int, ...]:
        """The positions that it takes; here their number of dimensions counts alone."""

    @property
    def value_range(self) -> tuple[float, float]:
        """The lowest and highest value that an array has."""


def is_array_file(path: str | os.PathLike[str]) -> bool:
    """Whether the name of a file ends as an array's does; a key may follow, as in ``scans.npz#t1``."""
    return _split(path)[1] is not None


def read_array(path: str | os.PathLike[str]) -> Tensor:
    """Read a file.

    Args:
        path: ``.npy``; ``.npz`` and ``.pt``, ``.pth`` of one array, or of several and the key of one after ``#``
            (``scans.npz#t1``); ``.dcm`` (DICOM: one frame or several, ``(frames, rows, columns)``, in the units of
            its rescale slope and intercept, inverted where low values are bright); ``.nii``, ``.nii.gz`` (NIfTI, in
            the units of its slope and intercept, axes as nibabel gives them). No file can run code.

    Returns:
        The file's own numbers, of any shape; in its dtype where torch has that, float32 in a file's own units.

    Raises:
        ImageError: If there is no such file, it is of another kind, damaged, or has several arrays and no key names
            one; the text is one line that names the file.
        MissingPackageError: If it needs a package that is not installed.
    """
    file, ending, key = _split(path)
    name = one_line(os.fspath(path))
    if ending is None:
        raise ImageError(f"{name}: is no array; the names of arrays end in {', '.join(ARRAY_EXTENSIONS)}")
    with _reading(file, name):
        return as_tensor(ARRAY_READERS[ending](file, key))


def array_names(path: str | os.PathLike[str]) -> list[str]:
    """The names of the arrays in a file of several, in its order; none of a file of one array, which needs no name.

    Raises:
        ImageError: As `read_array`.
    """
    file, ending, key = _split(path)
    if ending not in _NAMED or key is not None:
        return []
    with _reading(file, one_line(os.fspath(path))):
        names = _NAMED[ending](file)
    return names if len(names) > 1 else []


@contextmanager
def _reading(file: Path, name: str) -> Iterator[None]:
    """Whatever goes wrong with a file as one line that names it.

    Raises:
        ImageError: In place of all but an `EquipoiseError` of another kind.
    """
    if not file.is_file():
        raise ImageError(f"{name}: {'is a folder' if file.is_dir() else 'no such file'}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is odd in a file; what is wrong is an error
            yield
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except EquipoiseError:
        raise
    except MemoryError:
        raise ImageError(f"{name}: not enough memory to read this array") from None
    except Exception as error:  # noqa: BLE001  # a reader may raise anything when a file is damaged
        said = re.sub(r"<[^<>]* at 0x[0-9a-f]+>", "what is no literal", next(iter(str(error).splitlines()), ""))
        reason = one_line(said) or type(error).__name__
        raise ImageError(f"{name}: is damaged or of another kind ({reason})") from None


def as_tensor(array: Any) -> Tensor:
    """An array of NumPy or a tensor, on the CPU, detached; a dtype that torch lacks becomes the next larger one.

    Raises:
        ImageError: If it holds no real numbers, none at all, or more than `MAX_VALUES`.
    """
    _check_count(tuple(np.shape(array)))
    if isinstance(array, Tensor):
        if array.is_complex() or array.is_quantized or array.layout != torch.strided:
            raise ImageError(f"an array holds real numbers, not {array.dtype}")
        return array.detach().cpu()
    values: NDArray[Any] = np.asarray(array)
    if values.dtype.kind not in "biuf":
        raise ImageError(f"an array holds real numbers, not {values.dtype}")
    kind = _TO_TORCH.get(values.dtype.name, values.dtype.newbyteorder("="))
    return torch.from_numpy(np.array(values, dtype=kind, order="C"))  # a copy: a file's may be read-only


def _check_count(shape: Sequence[int]) -> None:
    """Refuse an array by its shape alone, which a file says before its values are read.

    Raises:
        ImageError: If it holds no values, or more than `MAX_VALUES`.
    """
    if not 0 < math.prod(int(side) for side in shape) <= MAX_VALUES:
        raise ImageError(f"the array is {tuple(shape)}; it needs from 1 to {MAX_VALUES} values")


def as_channels(array: Tensor, preprocessing: Takes) -> Tensor:
    """The channels first, and the values as the network's description has them.

    Args:
        array: ``(*space)`` of one channel, ``(c, *space)`` or ``(*space, c)``; or a batch of one, ``(1, c, *space)``.
            Where ``value_range`` is 0 to 1, unsigned integers of 8 and 16 bits are scaled from the whole range of
            their type; all other values are taken as they are.
        preprocessing: The network's.

    Returns:
        ``(c, *space)``, float32, for ``preprocessing.of_array``.

    Raises:
        ShapeError: If the dimensions are others, or channels could be the first as well as the last.
        NotFiniteError: If a value is NaN or infinite.
        ImageError: If values lie outside ``value_range``.
    """
    placed = _channels_first(array, preprocessing.channels, len(preprocessing.space))
    values = _scaled(placed) if tuple(preprocessing.value_range) == _PLAIN else placed.to(torch.float32)
    if not bool(values.isfinite().all()):
        raise NotFiniteError("the array holds nan or infinity; every value must be a finite number")
    _check_range(values, preprocessing.value_range)
    return values.contiguous()


def _channels_first(array: Tensor, channels: int, dims: int) -> Tensor:
    """The array with the channels first.

    Raises:
        ShapeError: If that cannot be told.
    """
    shape, space = tuple(array.shape), ("l", "h, w", "d, h, w")[dims - 1]
    takes = f"the array is {shape}, and the network takes {channels} channel{'s' * (channels > 1)} of ({space})"
    batched = array.dim() == dims + 2 and shape[0] == 1
    inner = array[0] if batched else array
    if inner.dim() == dims and channels == 1:
        return inner[None]
    if inner.dim() == dims + 1:
        first, last = inner.shape[0] == channels, inner.shape[-1] == channels
        if first and last and channels > 1 and not batched:
            raise ShapeError(
                f"{takes}: the first or the last dimension may be its channels; give (1, {channels}, {space})"
            )
        if first:
            return inner
        if last:
            return inner.movedim(-1, 0)
    plain = f"({space}), " if channels == 1 else ""
    raise ShapeError(f"{takes}: an array is {plain}({channels}, {space}) or ({space}, {channels})")


def _scaled(array: Tensor) -> Tensor:
    """Float32; unsigned integers of 8 and 16 bits from 0 to 1, others as they are."""
    values = array.to(torch.float32)
    return values / _WHOLE[array.dtype] if array.dtype in _WHOLE else values


def _check_range(values: Tensor, value_range: Sequence[float]) -> None:
    low, high = (float(end) for end in value_range)
    lowest, highest = values.min().item(), values.max().item()
    slack = 1e-4 * (high - low)  # of rounding
    if lowest < low - slack or highest > high + slack:
        raise ImageError(
            f"the array has values from {lowest:.6g} to {highest:.6g}, and the network takes {low:g} to {high:g}; set "
            "preprocessing.value_range in the network's description to the range that it was trained on"
        )


@ARRAY_READERS.register(".npy")
def _npy(path: Path, key: str | None) -> Any:
    _no_key(key)
    with path.open("rb") as file:
        _check_count(_declared_shape(file))
    return np.load(path, mmap_mode="r", allow_pickle=False)


@ARRAY_READERS.register(".npz")
def _npz(path: Path, key: str | None) -> Any:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        name = _key(list(arrays.files), key)
        with arrays.zip.open(name if name in arrays.zip.namelist() else f"{name}.npy") as member:
            _check_count(_declared_shape(member))  # a few bytes may say that a thousand million zeros follow
        return arrays[name]


def _declared_shape(file: Any) -> tuple[int, ...]:
    """What the head of an array in NumPy's format says."""
    version = np.lib.format.read_magic(file)
    heads = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in heads:
        raise ImageError(f"is of version {version} of NumPy's format, which is not read")
    shape, _, _ = heads[version](file)
    return tuple(int(side) for side in shape)


def _names_of_npz(path: Path) -> list[str]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return list(arrays.files)


@ARRAY_READERS.register(".pt", aliases=(".pth",))
def _torch(path: Path, key: str | None) -> Any:
    found = _of_torch(path)
    if isinstance(found, Tensor):
        _no_key(key)
        return found
    return found[_key(list(found), key)]


def _of_torch(path: Path) -> Tensor | dict[str, Tensor]:
    """What torch.save wrote: a tensor, or several with names."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            size = sum(one.file_size for one in packed.infolist())
        if size > _LARGEST_TORCH:
            raise ImageError(f"says that it holds {size} bytes; at most {_LARGEST_TORCH} are read")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        if not zipfile.is_zipfile(path):
            raise ImageError("is damaged, or was not written by torch.save") from None
        text = "holds more than tensors, which could run code; save the tensor alone with torch.save"
        raise ImageError(text) from None
    if isinstance(found, Tensor):
        return found
    arrays = (
        {str(name): one for name, one in found.items() if isinstance(one, Tensor)} if isinstance(found, dict) else {}
    )
    if not arrays:
        raise ImageError(f"holds no tensor, and no dict of tensors, but a {type(found).__name__}")
    return arrays


def _names_of_torch(path: Path) -> list[str]:
    found = _of_torch(path)
    return [] if isinstance(found, Tensor) else list(found)


@ARRAY_READERS.register(".dcm")
def _dicom(path: Path, key: str | None) -> Any:
    _no_key(key)
    pydicom = _package("pydicom", "DICOM")
    with _silent("pydicom"):  # of values that break the standard, which most files have
        file = pydicom.dcmread(path)
        count = int(file.get("NumberOfFrames", 1) or 1)
        _check_count([int(file.Rows), int(file.Columns), count, int(file.get("SamplesPerPixel", 1))])
        stored = file.pixel_array
    if file.get("SamplesPerPixel", 1) > 1:
        return stored
    bits, signed = int(file.get("BitsStored", 8 * stored.itemsize)), bool(file.get("PixelRepresentation", 0))
    if file.get("PhotometricInterpretation") == "MONOCHROME1":  # the lowest value is the brightest
        stored = (-1 if signed else 2**bits - 1) - stored.astype(np.int64)
        stored = stored if signed or bits not in {8, 16} else stored.astype(f"uint{bits}")
    frames = stored if stored.ndim > 2 else stored[None]
    units = [_units(file, number) for number in range(len(frames))]
    if all(one == (1.0, 0.0) for one in units):
        return stored if not signed and bits == 8 * stored.itemsize else stored.astype(np.float32)
    scaled = [
        frame * np.float32(slope) + np.float32(intercept)
        for frame, (slope, intercept) in zip(frames, units, strict=True)
    ]
    return np.stack(scaled).astype(np.float32).reshape(stored.shape)


def _units(file: Any, frame: int) -> tuple[float, float]:
    """Slope and intercept of a frame: the file's, that of all its frames, or the frame's own."""
    groups = [*file.get("SharedFunctionalGroupsSequence", ())[:1]]
    groups += [*file.get("PerFrameFunctionalGroupsSequence", ())[frame : frame + 1]]
    found = [file, *(one for group in groups for one in group.get("PixelValueTransformationSequence", ()))]
    said = [
        (float(one.get("RescaleSlope", 1)), float(one.get("RescaleIntercept", 0)))
        for one in found
        if "RescaleSlope" in one
    ]
    return said[-1] if said else (1.0, 0.0)


@ARRAY_READERS.register(".nii", aliases=(".nii.gz",))
def _nifti(path: Path, key: str | None) -> Any:
    _no_key(key)
    nibabel = _package("nibabel", "NIfTI")
    with _silent("nibabel.global"):
        found = nibabel.load(path)
        _check_count(found.shape)
        return np.asanyarray(found.dataobj)


@contextmanager
def _silent(log: str) -> Iterator[None]:
    """Let a reader print nothing of what it finds odd."""
    logger = logging.getLogger(log)
    silent, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = silent


ARRAY_EXTENSIONS: Final = tuple(
    ending for name in ARRAY_READERS.names() for ending in (name, *ARRAY_READERS.aliases(name))
)
"""File name endings of arrays, in lower case; the longer after the shorter."""


_NAMED: Final[Mapping[str | None, Callable[[Path], list[str]]]] = {
    ".npz": _names_of_npz, ".pt": _names_of_torch, ".pth": _names_of_torch
}  # fmt: skip
"""How the names of the arrays in a file are read, by the ending of its name."""


def _split(path: str | os.PathLike[str]) -> tuple[Path, str | None, str | None]:
    """File, ending and key."""
    text, key = os.fspath(path), None
    if "#" in text and not Path(text).exists():
        text, _, key = text.rpartition("#")
    ending = next((one for one in ARRAY_EXTENSIONS if text.lower().endswith(one)), None)
    return Path(text), ending, key


def _key(keys: Sequence[str], key: str | None) -> str:
    """The key of the one array, or of the one that is named."""
    if key is None and len(keys) == 1:
        return keys[0]
    if key in keys:
        return str(key)
    listed = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
    if key is None:
        raise ImageError(f"holds {len(keys)} arrays ({listed}); name one after a #, as in file.npz#{(*keys, 'key')[0]}")
    near = nearest(key, list(keys))
    raise ImageError(f"has no array {key!r}; {f'did you mean {near[0]}? ' if near else ''}it holds {listed}")


def _no_key(key: str | None) -> None:
    if key is not None:
        raise ImageError(f"holds one array and no names, so #{key} names nothing")


def _package(name: str, files: str) -> Any:
    """A reader's module.

    Raises:
        MissingPackageError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackageError(f"{files} files need {name}: pip install equipoise[medical]") from error
