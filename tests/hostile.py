"""Files that somebody means ill by, or that went wrong on their way: made from a seed, the same every time."""

import io
import pickle
import random
import struct
import zipfile
import zlib

import numpy as np
import torch
from PIL import Image

PAGES = (
    b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
    b"<!DOCTYPE html><html><body onload=alert(1)>",
    b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><svg>&b;</svg>",
    b"%PDF-1.7\n1 0 obj",
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    b"#!/bin/sh\nrm -rf /\n",
    *(b"PK\x03\x04", b"MZ", b"\x7fELF"),
)
FORMATS = tuple(
    (kind, ending, mode)
    for kind, ending, modes in (
        ("PNG", "png", ("RGB", "RGBA", "P", "1", "LA", "I;16")),
        ("JPEG", "jpg", ("RGB", "L", "CMYK")),
        ("GIF", "gif", ("P",)),
        ("WEBP", "webp", ("RGBA",)),
        ("TIFF", "tif", ("RGB", "CMYK", "I;16", "F", "LAB")),
        ("BMP", "bmp", ("RGB",)),
        ("PPM", "ppm", ("RGB",)),
        ("ICO", "ico", ("RGBA",)),
        ("JPEG2000", "jp2", ("RGB",)),
    )
    for mode in modes
)


def valid(rng, *, side=24, **options):
    """A file that is what it says: its bytes and its ending."""
    kind, ending, mode = rng.choice(FORMATS)
    noise = np.frombuffer(rng.randbytes(side * side * 4), np.uint8).reshape(side, side, 4)
    image = Image.fromarray(noise[..., :3].copy())
    if mode in {"I;16", "F"}:
        wide = noise[..., :2].copy().view(np.uint16)[..., 0]
        image = Image.fromarray(wide if mode == "I;16" else wide.astype(np.float32))
    elif mode == "LAB":
        image = Image.frombytes("LAB", image.size, image.tobytes())
    else:
        image = image.convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue(), ending


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *between, depth=8, color=2, data=None):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    packed = zlib.compress(b"\0" * 100) if data is None else data
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(between) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def cut(rng):
    data, ending = valid(rng)
    return data[: rng.randrange(len(data))], ending


def flipped(rng):
    data, ending = valid(rng)
    found = bytearray(data)
    for _ in range(rng.choice((1, 4, 40))):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found), ending


def grown(rng):
    data, ending = valid(rng)
    return data + rng.randbytes(rng.randrange(5000)), ending


def misnamed(rng):
    return valid(rng)[0], rng.choice(FORMATS)[1]


def wrong_magic(rng):
    data, ending = valid(rng)
    return rng.choice(
        (b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\xff\xff\xff\xffWEBP", b"\xff\xd8\xff\xe0", b"II*\0", b"BM")
    ) + data[8:], ending


def bomb(rng):
    side = rng.choice((20_000, 65_535, 2**31 - 1))
    return rng.choice((
        lambda: (png(side, side), "png"),
        lambda: (png(2**32 - 1, 1), "png"),
        lambda: (png(0, 0), "png"),
        lambda: (png(100, 100, data=zlib.compress(b"\0" * 5_000_000)), "png"),
        lambda: (b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0xF7, 0, 0) + b"\0" * 768 + b",", "gif"),
        lambda: (b"P6 %d %d 255\n" % (side, side), "ppm"),
        lambda: (b"P6 -1 -1 255\n" + b"\0" * 30, "ppm"),
        lambda: (b"BM" + struct.pack("<IHHIIiiHHIIiiII", 99, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0), "bmp"),
    ))()  # fmt: skip


def huge_head(rng):
    text = zlib.compress(b"A" * rng.choice((100, 70_000_000)), 9)
    return rng.choice((
        lambda: (png(4, 4, chunk(b"zTXt", b"a\0\0" + text), data=zlib.compress(b"\0" * 52)), "png"),
        lambda: (png(4, 4, chunk(b"iCCP", b"a\0\0" + text), data=zlib.compress(b"\0" * 52)), "png"),
        lambda: (png(4, 4, struct.pack(">I", 2**31 - 1) + b"tEXt"), "png"),
        lambda: (b"\xff\xd8" + b"\xff\xfe\xff\xff" + b"A" * 65533 + b"\xff\xd9", "jpg"),
        lambda: (valid(random.Random(4), icc_profile=rng.randbytes(3000))[0], "jpg"),
    ))()  # fmt: skip


def exif_loop(rng):
    """Directories of tags that lead to themselves, to one another, or to nowhere."""
    to = rng.choice((8, 0, 26, 2**32 - 1))
    tags = (
        struct.pack("<H", 2)
        + struct.pack("<HHII", 0x8769, 4, 1, to)
        + struct.pack("<HHII", 0x0112, 3, rng.choice((1, 2**31)), rng.randrange(12))
    )
    tiff = b"II*\0" + struct.pack("<I", 8) + tags + struct.pack("<I", to)
    if rng.random() < 0.3:
        return tiff, "tif"
    body = io.BytesIO()
    Image.new("RGB", (8, 8)).save(body, rng.choice(("JPEG", "PNG", "WEBP")), exif=b"Exif\0\0" + tiff)
    return body.getvalue(), "jpg"


def animated(rng):
    frames = [Image.new("RGB", (16, 16), (rng.randrange(256), 0, 0)) for _ in range(rng.choice((2, 30)))]
    buffer, kind = io.BytesIO(), rng.choice((("GIF", "gif"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")))
    frames[0].save(
        buffer,
        kind[0],
        save_all=True,
        append_images=frames[1:],
        **({"default_image": True} if kind[0] == "PNG" else {}),
    )
    data = buffer.getvalue()
    return (data if rng.random() < 0.5 else data[: rng.randrange(len(data))]), kind[1]


def posing(rng):
    return rng.choice(PAGES) + rng.randbytes(rng.randrange(300)), rng.choice(("png", "jpg", "gif", "webp"))


def noise(rng):
    return rng.randbytes(rng.choice((0, 1, 7, 100, 10_000))), rng.choice(FORMATS)[1]


PHOTOS = (cut, flipped, grown, misnamed, wrong_magic, bomb, huge_head, exif_loop, animated, posing, noise)


class Code:
    """Runs where it is unpickled by those who trust it."""

    def __reduce__(self):
        return (exec, ("import os; os.environ['HOSTILE'] = 'it ran'",))


def saved(save, *what):
    buffer = io.BytesIO()
    save(buffer, *what)
    return buffer.getvalue()


def npy(shape, *, kind="<f4", data=b"", version=b"\x01\x00", pad=0):
    head = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode() + b" " * pad + b"\n"
    size = struct.pack(
        "<H" if version == b"\x01\x00" else "<I", min(len(head), 65535) if version == b"\x01\x00" else len(head)
    )
    return b"\x93NUMPY" + version + size + head + data


def pickled(rng):
    objects = np.array([Code()], dtype=object)
    return rng.choice((
        lambda: (saved(lambda file: np.save(file, objects, allow_pickle=True)), "npy"),
        lambda: (saved(lambda file: np.savez(file, a=objects)), "npz"),
        lambda: (pickle.dumps(Code()), rng.choice(("npy", "npz", "pt", "pth"))),
        lambda: (saved(lambda file: torch.save(Code(), file)), "pt"),
        lambda: (saved(lambda file: torch.save({"a": torch.zeros(4, 5, 6), "b": Code()}, file)), "pt"),
    ))()  # fmt: skip


def huge_array(rng):
    shape = rng.choice(((2**62,), (10**6, 10**6), (0,), (-1, 5), (2**31, 2**31, 2**31), (600_000_000,)))
    return rng.choice((
        lambda: (npy(shape), "npy"),
        lambda: (npy(shape, version=b"\x02\x00", pad=2_000_000), "npy"),
        lambda: (npy("a" * 50_000), "npy"),
        lambda: (npy((3, 4), kind="|O"), "npy"),
        lambda: (npy((4, 5, 6), kind=rng.choice(("<c8", "<U4", "|V9", "x", "<f2"))) + b"\0" * 240, "npy"),
        lambda: (packed({"a.npy": npy(shape, data=b"\0" * 1000)}), "npz"),
    ))()  # fmt: skip


def packed(files, kind=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return buffer.getvalue()


def zip_bomb(rng):
    zeros = b"\0" * rng.choice((1000, 30_000_000))
    return rng.choice((
        lambda: (packed({"a.npy": npy((len(zeros) // 4,), data=zeros)}), "npz"),
        lambda: (packed({f"{index}.npy": npy((250,), data=b"\0" * 1000) for index in range(300)}), "npz"),
        lambda: (packed({"../../a.npy": npy((4, 5, 6), data=b"\0" * 480), "/etc/b.npy": b""}), "npz"),
        lambda: (packed({"archive/data.pkl": zeros, "archive/version": b"3"}), "pt"),
        lambda: (packed({}), "npz"),
        lambda: (packed({"a": packed({"a.npy": zeros})}), "npz"),
    ))()  # fmt: skip


def cut_array(rng):
    values = torch.frombuffer(bytearray(rng.randbytes(120)), dtype=torch.uint8).reshape(4, 5, 6)
    data, ending = rng.choice((
        lambda: (saved(lambda file: np.save(file, values.numpy())), "npy"),
        lambda: (saved(lambda file: np.savez(file, a=values.numpy())), "npz"),
        lambda: (saved(lambda file: torch.save(values, file)), "pt"),
        lambda: (saved(lambda file: torch.save({"a": values, "b": values}, file)), "pt"),
        lambda: (saved(lambda file: torch.save(torch.zeros(1).expand(10**6, 10**6), file)), "pt"),
        lambda: (saved(lambda file: torch.save(torch.full((4, 5, 6), float("nan")), file)), "pt"),
    ))()  # fmt: skip
    found = bytearray(data if rng.random() < 0.2 else data[: rng.randrange(len(data))])
    if found and rng.random() < 0.5:
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found), rng.choice((ending, ending, "npy", "npz", "pt"))


def medical(rng):
    sides = rng.choice(((4, 5, 6), (30_000, 30_000, 30_000), (-1, 5, 5), (0, 0, 0)))
    head = bytearray(348)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, 3, *sides, 1, 1, 1, 1)
    struct.pack_into("<hh", head, 70, rng.choice((16, 4, 9999)), 32)
    struct.pack_into("<f", head, 108, 352.0)
    head[344:348] = b"n+1\0"
    body = bytes(head) + b"\0" * 4 + rng.randbytes(rng.choice((0, 480)))
    return rng.choice(
        (
            (body, "nii"),
            (zlib.compress(body), "nii.gz"),
            (b"\0" * 128 + b"DICM" + rng.randbytes(200), "dcm"),
            (b"", "dcm"),
        )
    )


ARRAYS = (pickled, huge_array, zip_bomb, cut_array, medical, noise)


def files(folder, seed, count, kinds):
    """Write so many files, one after another; each is gone when the next is asked for."""
    rng = random.Random(seed)
    for index in range(count):
        kind = kinds[index % len(kinds)]
        data, ending = kind(rng)
        if kind is noise and kinds is ARRAYS:
            ending = rng.choice(("npy", "npz", "pt", "nii", "dcm"))
        path = folder / f"{index}.{kind.__name__}.{ending}"
        path.write_bytes(data)
        yield path
        path.unlink()
