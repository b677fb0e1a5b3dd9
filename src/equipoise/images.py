"""Read image files as a person sees them: upright, in sRGB, on white, and never larger than memory allows.

`read_image` is for files, `as_rgb` for Pillow images and `from_array` for arrays; all give a Pillow image of
mode ``RGB``. Handled: EXIF rotation, embedded ICC profiles, CMYK (also Adobe's inverted kind), palettes,
transparency (shown on white), 1, 12 and 16 bit, floating-point TIFF, animations (first frame).
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from equipoise.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

MAX_PIXELS: Final = 100_000_000
"""Largest image read, in pixels: width times height as the file declares them, checked before decoding."""

MAX_BYTES: Final = 1_000_000_000
"""Largest file read, in bytes, checked before reading."""

FORMATS: Final = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "JPEG2000", "AVIF", "ICO")
"""Pillow decoders that are tried, where this Pillow has them; none runs another program, as EPS would."""

EXTENSIONS: Final = frozenset(
    f".{ending}"
    for endings in (
        ("png", "apng", "jpg", "jpeg", "jpe", "jfif", "mpo", "gif", "webp", "tif", "tiff", "bmp", "dib"),
        ("ppm", "pgm", "pbm", "pnm", "jp2", "j2k", "avif", "ico", "heic", "heif"),
    )
    for ending in endings
)
"""File name endings by which a folder's images are found, in lower case."""

_ORIENTATION: Final = 0x0112  # EXIF tag; the value says how the stored pixels were turned
_UPRIGHT: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIFF_BITS, _TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
_HEIC_BRANDS: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")


def one_line(text: object) -> str:
    """``text`` without line breaks or other control characters, for messages and names of files."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(text))


def read_image(path: str | os.PathLike[str], *, most: int | None = None) -> Image.Image:
    """Read a file as a person sees it.

    Args:
        path: An image file of one of `FORMATS`; the content decides, not the ending.
        most: The largest image read, in pixels; ``None``: `MAX_PIXELS`.

    Returns:
        Mode ``RGB``, upright, sRGB, transparency on white, first frame of an animation.

    Raises:
        ImageError: If there is no such file, or it is a folder, empty, no image, damaged, cut off or larger
            than ``most``; the text is one line that names the file.
    """
    return decode_image(read_file(path), path, most=most)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a regular, non-empty file of at most `MAX_BYTES`.

    Raises:
        ImageError: If it cannot be read or is larger; the text is one line that names the file.
    """
    name = one_line(os.fspath(path))
    try:
        found = Path(path).stat()
        if stat.S_ISDIR(found.st_mode):
            raise ImageError(f"{name}: is a folder, not an image")
        if not stat.S_ISREG(found.st_mode):
            raise ImageError(f"{name}: is not a regular file")
        if found.st_size > MAX_BYTES:
            raise ImageError(f"{name}: has {found.st_size} bytes; at most {MAX_BYTES} are read")
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise ImageError(f"{name}: no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise ImageError(f"{name}: cannot be read ({one_line(getattr(error, 'strerror', error))})") from error
    if not data:
        raise ImageError(f"{name}: is empty")
    return data


def decode_image(data: bytes, path: str | os.PathLike[str], *, most: int | None = None) -> Image.Image:
    """As `read_image`, from the file's bytes; ``path`` is used in messages alone.

    Raises:
        ImageError: As `read_image`.
    """
    name, most = one_line(os.fspath(path)), MAX_PIXELS if most is None else most
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damaged metadata, which this function copes with
        try:
            Image.init()  # knows every decoder
            with Image.open(io.BytesIO(data), formats=[kind for kind in FORMATS if kind in Image.OPEN]) as image:
                _check_size(image.size, most)
                if getattr(image, "default_image", False):  # an animated PNG's still, which is not shown
                    image.seek(1)
                image.load()
                _check_size(image.size, most)  # an icon says its true size only now
                return as_rgb(image)
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from None
        except UnidentifiedImageError:
            raise ImageError(f"{name}: {_foreign(data)}") from None
        except Image.DecompressionBombError:
            raise ImageError(f"{name}: {_too_large(most)}") from None
        except MemoryError:
            raise ImageError(f"{name}: not enough memory to read this image") from None
        except Exception as error:  # noqa: BLE001  # a decoder may raise anything when a file is damaged
            reason = one_line(error) or type(error).__name__
            raise ImageError(f"{name}: is damaged or cut off ({reason})") from None


def as_rgb(image: Image.Image) -> Image.Image:
    """Turn a Pillow image of any mode upright and into sRGB, transparency on white.

    Args:
        image: Any mode; its EXIF orientation, ICC profile and transparency are obeyed.

    Returns:
        A new image of mode ``RGB``; a rotation may have swapped width and height.

    Raises:
        ImageError: If the image is larger than `MAX_PIXELS`, has no pixels, or a mode nothing converts.
    """
    _check_size(image.size)
    image.load()
    try:
        rgb = _upright(_flat(image), _orientation(image))
    except ImageError:
        raise
    except (ValueError, OSError, ImageCms.PyCMSError) as error:
        raise ImageError(f"images of mode {image.mode} cannot be shown ({one_line(error)})") from error
    rgb.info = {}
    return rgb


def from_array(array: NDArray[Any]) -> Image.Image:
    """Make an image from pixel values.

    Args:
        array: ``uint8``, ``(h, w)``, ``(h, w, 1)``, ``(h, w, 3)`` or ``(h, w, 4)``, 0 to 255; a fourth
            channel is opacity.

    Raises:
        ImageError: If the dtype or the shape is another; the text prints both.
    """
    shape = array.shape
    fits = len(shape) == 2 or (len(shape) == 3 and shape[2] in {1, 3, 4})
    if array.dtype != np.uint8 or not fits or 0 in shape:
        raise ImageError(
            f"an image array is uint8 of shape (h, w), (h, w, 3) or (h, w, 4), not {array.dtype} of shape {shape}"
        )
    if len(shape) == 3 and shape[2] == 1:
        array = array[:, :, 0]
    return as_rgb(Image.fromarray(np.ascontiguousarray(array)))


def find_images(folder: str | os.PathLike[str], *, recursive: bool = False) -> list[Path]:
    """The files of a folder whose endings are in `EXTENSIONS`, sorted; hidden files are left out.

    Raises:
        ImageError: If the folder cannot be listed.
    """
    try:
        listed: Iterable[Path] = Path(folder).rglob("*") if recursive else Path(folder).iterdir()
        return sorted(
            path
            for path in listed
            if path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and path.is_file()
        )
    except OSError as error:
        raise ImageError(f"{one_line(folder)}: cannot be listed ({one_line(error.strerror)})") from error


def _too_large(most: int) -> str:
    return f"has more than {most // 1_000_000} megapixels, the most that is read"


def _check_size(size: tuple[int, int], most: int | None = None) -> None:
    most = MAX_PIXELS if most is None else most
    if size[0] * size[1] > most:
        raise ImageError(f"is {size[0]} x {size[1]} pixels; {_too_large(most)}")
    if 0 in size:
        raise ImageError("has no pixels")


def _foreign(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS:
        return "is a HEIC photo, which is not read; save it as JPEG or PNG"
    return "is not an image, or is of a kind that is not read"


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001  # damaged metadata says nothing about how the image stands
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _flat(image: Image.Image) -> Image.Image:
    """Without profile, transparency or depth: a new image of mode RGB."""
    if image.mode in {"I", "F"} or image.mode.startswith("I;"):
        return _from_depth(image)
    if image.mode == "LAB":
        return _through(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")
    if not image.has_transparency_data:
        color = image.convert("RGB") if image.mode in {"P", "1"} else image.copy()
        return _managed(color, image.info.get("icc_profile"))
    layered = image.convert("RGBA")  # also makes a palette's or a key color's transparency a channel
    color = _managed(layered.convert("RGB"), image.info.get("icc_profile"))
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(color, mask=layered.getchannel("A"))
    return white


def _managed(image: Image.Image, icc: bytes | None) -> Image.Image:
    """From the embedded profile's space to sRGB; a profile that does not fit is left aside, as viewers do."""
    if icc and image.mode in {"RGB", "L", "CMYK"}:
        try:
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            if not ImageCms.getProfileDescription(profile).strip().startswith("sRGB"):
                return _through(image, profile, image.mode)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")


def _through(image: Image.Image, profile: ImageCms.ImageCmsProfile, mode: str) -> Image.Image:
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:
        raise ImageError("its color profile cannot be applied")
    return converted


def _from_depth(image: Image.Image) -> Image.Image:
    """More than 8 bits per pixel, gray: scale to 0..255 as `_white` and the TIFF header say."""
    values = np.asarray(image)
    low, white = _black_and_white(image, values)
    key = image.info.get("transparency")
    clear = values == key if isinstance(key, int) else None
    with np.errstate(all="ignore"):
        scaled = (values.astype(np.float32) - low) * np.float32(255.0 / (white - low))
    gray = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).clip(0.0, 255.0)
    if _tiff_tag(image, _TIFF_PHOTOMETRIC, 1) == _WHITE_IS_ZERO and image.mode.startswith("I;"):
        gray = 255.0 - gray
    if clear is not None:
        gray[clear] = 255.0
    return Image.fromarray((gray + 0.5).astype(np.uint8)).convert("RGB")


def _black_and_white(image: Image.Image, values: NDArray[Any]) -> tuple[float, float]:
    """The values shown black and white: the type's range where it has one, else the nearest customary range.

    Integers of up to 16 bits have one. Wider integers and floats are taken as 0..1 (floats), 0..255
    (floats) or 0..65535 (integers) if they fit, else stretched from their lowest to their highest value.
    """
    if image.mode.startswith("I;"):
        return 0.0, float(2 ** min(16, _tiff_tag(image, _TIFF_BITS, 16)) - 1)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    customary = (1.0, 255.0) if image.mode == "F" else (65535.0,)
    fitting = [white for white in customary if low >= 0.0 and high <= white]
    if fitting:
        return 0.0, fitting[0]
    return low, (high if high > low else low + 1.0)


def _tiff_tag(image: Image.Image, tag: int, default: int) -> int:
    value = getattr(image, "tag_v2", {}).get(tag, default)
    return int(value[0] if isinstance(value, tuple) else value)
