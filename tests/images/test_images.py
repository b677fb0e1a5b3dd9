"""Images are read as a person sees them, and bad files are refused in one line."""

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, TiffImagePlugin

from equipoise.errors import ImageError
from equipoise.images import MAX_PIXELS, as_rgb, decode_image, find_images, from_array, read_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def quarters(width=40, height=20):
    """Red and green above, blue and white below: shows any turn or mirror."""
    image = Image.new("RGB", (width, height), WHITE)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    return image


def corners(image):
    """The colors of the four corners, a little inside, each channel rounded to 0, 64, 128, 192 or 255."""
    w, h = image.size
    points = [
        (w // 5, h // 5),
        (w - w // 5 - 1, h // 5),
        (w // 5, h - h // 5 - 1),
        (w - w // 5 - 1, h - h // 5 - 1),
    ]
    return [tuple(min(255, round(v / 64) * 64) for v in image.getpixel(point)) for point in points]


def save(image, path, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path, orientation, ending):
    # store the picture the way a camera held differently would, so that reading must undo it
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transposition that inverts the orientation's
    upright = quarters()
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if ending in {"jpg", "webp"} else {}
    read = read_image(save(stored, tmp_path / f"a.{ending}", exif=exif, **options))
    assert read.size == upright.size
    assert corners(read) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_meaningless_orientation_is_ignored(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert corners(read_image(save(quarters(), tmp_path / "a.png", exif=exif))) == [RED, GREEN, BLUE, WHITE]


def test_damaged_exif_is_ignored(tmp_path):
    path = save(quarters(), tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff", quality=95)
    assert corners(read_image(path)) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("ending", ["jpg", "tif"])
def test_cmyk(tmp_path, ending):
    path = save(quarters().convert("CMYK"), tmp_path / f"a.{ending}")
    assert corners(read_image(path)) == [RED, GREEN, BLUE, WHITE]


def test_adobe_inverted_cmyk_jpeg(tmp_path):
    path = save(quarters().convert("CMYK"), tmp_path / "a.jpg", quality=95)
    assert b"Adobe" in path.read_bytes()  # the marker that says: stored inverted
    assert corners(read_image(path)) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("mode", ["L", "1"])
def test_gray(tmp_path, mode):
    gray = Image.new("L", (40, 20), 0)
    gray.paste(255, (20, 0, 40, 20))
    read = read_image(save(gray.convert(mode), tmp_path / "a.png"))
    assert read.mode == "RGB"
    assert corners(read) == [(0, 0, 0), WHITE, (0, 0, 0), WHITE]


@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
def test_alpha_is_shown_on_white(tmp_path, ending):
    image = quarters().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 20, 10))  # clear where it was red, with black below
    image.paste((0, 0, 255, 128), (20, 10, 40, 20))  # half blue where it was white
    options = {"lossless": True, "exact": True} if ending == "webp" else {}
    read = read_image(save(image, tmp_path / f"a.{ending}", **options))
    assert corners(read) == [WHITE, GREEN, BLUE, (128, 128, 255)]


def test_gray_with_alpha(tmp_path):
    image = Image.new("LA", (40, 20), (0, 255))
    image.paste((0, 0), (0, 0, 20, 10))
    assert corners(read_image(save(image, tmp_path / "a.png"))) == [WHITE, (0, 0, 0), (0, 0, 0), (0, 0, 0)]


def test_palette_with_a_clear_entry(tmp_path):
    palette = quarters().quantize(8)
    clear = palette.getpixel((5, 5))
    for name in ("a.png", "a.gif"):
        path = save(palette, tmp_path / name, transparency=clear)
        assert corners(read_image(path)) == [WHITE, GREEN, BLUE, WHITE]


def test_palette_without_transparency(tmp_path):
    assert corners(read_image(save(quarters().quantize(8), tmp_path / "a.png"))) == [RED, GREEN, BLUE, WHITE]


def test_key_color(tmp_path):
    path = save(quarters(), tmp_path / "a.png", transparency=RED)
    assert corners(read_image(path)) == [WHITE, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_is_scaled_and_not_cut(tmp_path, ending):
    values = np.linspace(0, 65535, 200).astype(np.uint16).reshape(1, 200).repeat(4, axis=0)
    read = np.asarray(read_image(save(Image.fromarray(values), tmp_path / f"a.{ending}")))
    expected = np.round(values / 257.0)[:, :, None].repeat(3, axis=2)
    assert np.abs(read.astype(float) - expected).max() <= 1


def test_16_bit_big_endian_array():
    values = np.full((4, 4), 0x8000, dtype=">u2")
    image = Image.frombytes("I;16B", (4, 4), values.tobytes())
    assert as_rgb(image).getpixel((0, 0)) == (128, 128, 128)


def test_16_bit_tiff_with_white_as_zero(tmp_path):
    values = Image.fromarray(np.full((4, 4), 65535, dtype=np.uint16))
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[262] = 0
    path = save(values, tmp_path / "a.tif", tiffinfo=tags)
    data = bytearray(path.read_bytes())
    at = data.find(struct.pack("<HHI", 262, 3, 1))  # Pillow writes 1 whatever the tag says
    data[at + 8 : at + 10] = struct.pack("<H", 0)
    path.write_bytes(data)
    assert read_image(path).getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[0.0, 0.5, 1.0]], [0, 128, 255]),
        ([[0.0, 100.0, 255.0]], [0, 100, 255]),
        ([[-1.0, 0.0, 1.0]], [0, 128, 255]),
        ([[0.0, 2000.0, 4000.0]], [0, 128, 255]),
        ([[0.0, float("nan"), 1.0]], [0, 0, 255]),
        ([[-5.0, -5.0, -5.0]], [0, 0, 0]),
    ],
)
def test_float_tiff(tmp_path, values, expected):
    path = save(Image.fromarray(np.array(values, dtype=np.float32)), tmp_path / "a.tif")
    assert np.asarray(read_image(path))[0, :, 0].tolist() == expected


def test_32_bit_integers(tmp_path):
    path = save(Image.fromarray(np.array([[0, 32896, 65535]], dtype=np.int32)), tmp_path / "a.tif")
    assert np.asarray(read_image(path))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_first_frame_of_an_animation(tmp_path, ending):
    frames = [Image.new("RGB", (40, 20), BLUE), Image.new("RGB", (40, 20), RED)]
    options = {"lossless": True} if ending == "webp" else {}
    path = save(quarters(), tmp_path / f"a.{ending}", save_all=True, append_images=frames, **options)
    assert corners(read_image(path)) == [RED, GREEN, BLUE, WHITE]


def test_animated_png_whose_still_is_not_shown(tmp_path):
    still = Image.new("RGB", (40, 20), BLUE)
    path = save(still, tmp_path / "a.png", save_all=True, append_images=[quarters()], default_image=True)
    assert corners(read_image(path)) == [RED, GREEN, BLUE, WHITE]


def swapped_profile():
    """An RGB profile whose red primary is sRGB's green and the other way round."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(data[at : at + 4]): at for at in range(132, 132 + 12 * struct.unpack_from(">I", data, 128)[0], 12)}
    red, green = tags[b"rXYZ"], tags[b"gXYZ"]
    data[red : red + 4], data[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(data).replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_embedded_profile_is_applied(tmp_path, mode):
    path = save(quarters().convert(mode), tmp_path / "a.png", icc_profile=swapped_profile())
    assert corners(read_image(path)) == [GREEN, RED, BLUE, WHITE]


def test_broken_profile_is_ignored(tmp_path):
    path = save(quarters(), tmp_path / "a.png", icc_profile=b"no profile at all")
    assert corners(read_image(path)) == [RED, GREEN, BLUE, WHITE]


def test_lab_tiff(tmp_path):
    path = save(Image.new("LAB", (4, 4), (255, 128, 128)), tmp_path / "a.tif")
    assert min(read_image(path).getpixel((0, 0))) >= 250


def test_result_carries_nothing_of_the_file(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    read = read_image(save(quarters(), tmp_path / "a.jpg", exif=exif, icc_profile=swapped_profile()))
    assert read.info == {}
    assert not dict(read.getexif())


# --- files that are refused


def png(width, height, body=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body or zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")


def refused(path):
    with pytest.raises(ImageError) as caught:
        read_image(path)
    text = str(caught.value)
    assert path.name in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("width", "height"), [(10_001, 10_000), (20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_bomb_is_refused_by_its_header(tmp_path, width, height):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(width, height))
    assert "megapixels" in refused(path)


def test_bomb_costs_no_memory(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(30_000, 30_000, zlib.compress(b"\0" * 1_000_000)))
    code = (
        "import resource, sys\n"
        "from equipoise.errors import ImageError\n"
        "from equipoise.images import read_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    read_image(sys.argv[1])\nexcept ImageError:\n    pass\nelse:\n    sys.exit('read it')\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 50_000  # kB; the pixels would be 2.7 GB
    assert done.stderr == ""


def test_limit_is_the_documented_one(tmp_path):
    assert MAX_PIXELS == 100_000_000
    path = save(Image.new("1", (10_000, 10_000)), tmp_path / "largest.png")
    assert read_image(path).size == (10_000, 10_000)


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "webp", "tif", "bmp", "ppm"])
@pytest.mark.parametrize("kept", [0.03, 0.5, 0.9])
def test_cut_off_file(tmp_path, ending, kept):
    rng = np.random.default_rng(0)
    path = tmp_path / f"a.{ending}"
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    refused(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"this is no image", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\x89PNG\r\n\x1a\n", "damaged|not an image"),
        (png(0, 5), "damaged|no pixels|not an image"),
    ],
)
def test_not_an_image(tmp_path, content, words):
    import re

    path = tmp_path / "a.png"
    path.write_bytes(content)
    assert re.search(words, refused(path))


def test_missing_folder_and_pipe(tmp_path):
    assert "no such file" in refused(tmp_path / "missing.png")
    assert "folder" in refused(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    assert "regular" in refused(tmp_path / "pipe.png")


def test_a_name_with_line_breaks_stays_one_line(tmp_path):
    path = tmp_path / "a\nb\x1b[31m.png"
    path.write_bytes(b"x")
    with pytest.raises(ImageError, match=r"a\\nb\\x1b\[31m\.png: is not an image") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ImageError):
        read_image("zero\0byte.png")


def damaged_files():
    files = {}
    rng = np.random.default_rng(1)
    noise = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM"):
        buffer = io.BytesIO()
        noise.save(buffer, kind)
        files[kind] = buffer.getvalue()
    return files


FILES = damaged_files()


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(FILES)),
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_any_damage_gives_an_image_or_one_line(kind, places):
    data = bytearray(FILES[kind])
    for place, value in places:
        data[int(place * min(len(data), 200))] = value
    refusal = "a.img: "
    try:
        assert decode_image(bytes(data), "a.img").mode == "RGB"
    except ImageError as error:
        refusal = str(error)
    assert refusal.startswith("a.img: ")
    assert "\n" not in refusal


# --- arrays and folders


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1), (4, 6, 3), (4, 6, 4)])
def test_array(shape):
    image = from_array(np.full(shape, 255, dtype=np.uint8))
    assert (image.mode, image.size) == ("RGB", (6, 4))
    assert image.getpixel((0, 0)) == WHITE


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 6, 2), np.uint8),
        np.zeros((3, 4, 6), np.uint8),
        np.zeros((4, 6)),
        np.zeros((0, 6), np.uint8),
        np.zeros(5, np.uint8),
    ],
)
def test_array_of_another_kind(array):
    with pytest.raises(ImageError, match=r"uint8 of shape \(h, w\)"):
        from_array(array)


def test_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "sub/c.tif", "sub.png"):
        path = tmp_path / name
        path.mkdir() if name == "sub.png" else path.write_bytes(b"x")
    assert [p.name for p in find_images(tmp_path)] == ["a.png", "b.JPG"]
    assert [p.name for p in find_images(tmp_path, recursive=True)] == ["a.png", "b.JPG", "c.tif"]
    with pytest.raises(ImageError):
        find_images(tmp_path / "missing")
