"""Files that nobody should send, and files that are merely unusual; sizes are claimed in headers, never allocated."""

import io
import re
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

from bridge_server.values.mesh import Mesh
from tests import shapes
from tests.end_to_end.input_files import obj_text, vase_pixels

PNG = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_that_claims(width: int, height: int) -> bytes:
    """The size stands in the header; the pixels are a megabyte of zeros."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1_000_000)))


def png_with_an_endless_comment() -> bytes:
    """A small picture with 100 MB of compressed text."""
    pieces = zlib.compressobj()
    packed = b"".join(pieces.compress(bytes(1_000_000)) for _ in range(100)) + pieces.flush()
    header = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    text = png_chunk(b"zTXt", b"Comment\0\0" + packed)
    return PNG + png_chunk(b"IHDR", header) + text + png_chunk(b"IDAT", zlib.compress(bytes(64 * 193)))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def truncated_png() -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    data = encoded(Image.fromarray(noise), "PNG")
    return data[: len(data) // 2]


def sixteen_bit_png() -> bytes:
    """The vase with 16 bits a channel and an alpha channel."""
    pixels = vase_pixels().astype(">u2") * np.uint16(257)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 6, 0, 0, 0)
    return PNG + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows, 1)) + png_chunk(b"IEND", b"")


def grey_png() -> bytes:
    return encoded(Image.fromarray(vase_pixels()).convert("LA"), "PNG")


def animated_gif() -> bytes:
    vase = Image.fromarray(vase_pixels())
    frames = [vase, vase.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100, disposal=2)


def cmyk_jpeg() -> bytes:
    """The vase on a plain wall; CMYK has no alpha channel."""
    vase = Image.fromarray(vase_pixels())
    wall = Image.new("RGBA", vase.size, (225, 228, 230, 255))
    return encoded(Image.alpha_composite(wall, vase).convert("CMYK"), "JPEG", quality=95)


def uniform_png() -> bytes:
    return encoded(Image.new("RGB", (300, 300), (120, 130, 140)), "PNG")


def invisible_png() -> bytes:
    return encoded(Image.new("RGBA", (300, 300), (120, 130, 140, 0)), "PNG")


REFUSED_PHOTOS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.png": (lambda: b"", "the file is empty"),
    "shopping list.png": (lambda: b"milk\neggs\nbread\n", "it holds text"),
    "cut short.png": (truncated_png, "damaged or cut short"),
    "bomb.png": (lambda: png_that_claims(60_000, 60_000), "60000 x 60000 px"),
    "comment bomb.png": (png_with_an_endless_comment, "damaged"),
    "one pixel.png": (lambda: encoded(Image.new("RGB", (1, 1)), "PNG"), "1 x 1 px"),
    "huge.png": (lambda: png_that_claims(20_000, 20_000), "20000 x 20000 px"),
    "model.3ds": (lambda: b"\x4d\x4d" + bytes(200), "no known format"),
    "noise.jpg": (lambda: b"\xff\xd8\xff" + bytes(300), "JPEG"),
}
"""File name -> its bytes, and what the refusal says."""
CONVERTED_PHOTOS: dict[str, tuple[Callable[[], bytes], str]] = {
    "deep.png": (sixteen_bit_png, "photo_converted"),
    "grey.png": (grey_png, "photo_converted"),
    "moving.gif": (animated_gif, "photo_first_frame"),
    "print.jpg": (cmyk_jpeg, "photo_converted"),
}
"""File name -> its bytes, and the notice that says what was done to it."""


def vertices_alone() -> bytes:
    return obj_text(Mesh(positions_m=shapes.box().positions_m, faces=np.zeros((0, 3), np.int32))).encode()


def not_a_number() -> bytes:
    return re.sub(r"^v 0\.\S+", "v nan", obj_text(shapes.sphere(0.5, 2)), flags=re.MULTILINE).encode()


def degenerate() -> bytes:
    lines = [f"v {x} {2 * x} 0" for x in range(12)]
    return "\n".join([*lines, *(f"f {a} {a + 1} {a + 2}" for a in range(1, 11))]).encode()


def faceless_ply() -> bytes:
    head = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    return (head + "element face 0\nproperty list uchar int vertex_indices\nend_header\n0 0 0\n1 0 0\n0 1 0\n").encode()


REFUSED_MESHES: dict[str, tuple[Callable[[], bytes], str]] = {
    "cloud.obj": (vertices_alone, "holds no triangles"),
    "faceless.ply": (faceless_ply, "holds no triangles"),
    "nan.obj": (not_a_number, "not a finite number"),
    "line.obj": (degenerate, "degenerate"),
    "old.fbx": (lambda: b"Kaydara FBX Binary  \0\x1a\0" + struct.pack("<I", 6100) + bytes(100), "FBX version 6.1"),
    "cut.stl": (lambda: b"binary".ljust(80) + struct.pack("<I", 5000) + bytes(120), "5,000"),
}
"""These have an extension and a head that pass at the door; the first stage refuses them."""
REFUSED_AT_THE_DOOR: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.obj": (lambda: b"", "the file is empty"),
    "text.glb": (lambda: b"this is a letter", "holds text"),
    "cut.glb": (lambda: struct.pack("<4sII", b"glTF", 2, 5000) + bytes(100), "truncated"),
    "text.fbx": (lambda: b"; FBX 7.5.0 project file", "FBX in ASCII"),
}


def ten_shells() -> Mesh:
    """Ten balls of two sizes that do not touch."""
    places = [(x, y, 0.0) for y in (0.0, 1.2) for x in (-2.0, -1.0, 0.0, 1.0, 2.0)]
    return shapes.merged(*(shapes.sphere(0.3 + 0.1 * (n % 2), 2, place) for n, place in enumerate(places)))


def open_bowl() -> Mesh:
    """Half a ball, open above."""
    ball = shapes.sphere(0.5, 4)
    below = (ball.positions_m[ball.faces][..., 1] < 0.02).all(axis=1)
    return Mesh(positions_m=ball.positions_m, faces=ball.faces[below])


def two_boxes_on_an_edge() -> Mesh:
    """Four faces meet at the edge that both boxes share, vertices and all."""
    first, second = shapes.box(), shapes.box(center=(1.0, 1.0, 0.0))
    both = shapes.merged(first, second)
    places, index = np.unique(both.positions_m.round(6), axis=0, return_inverse=True)
    return Mesh(positions_m=places.astype(np.float32), faces=index.reshape(-1)[both.faces].astype(np.int32))


def some_not_a_number() -> bytes:
    """One vertex in ten thousand faces lost its place."""
    lines = obj_text(shapes.sphere(0.5, 4)).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("v "))
    lines[first] = "v nan 0 0"
    return "\n".join(lines).encode()


ASSET_NAMES = {
    "..": "'.'",
    "../../evil": "'.'",
    "a/b": "'/'",
    "a\\b": "'\\\\'",
    "Käse": "'\\xe4'",
    "杯子": "'\\u676f'",
    "CON": "device name",
    "nul": "device name",
    "LPT1": "device name",
    "Com3.txt": "device name",
    "with space": "' '",
    "2fast": "start with a letter",
    "x" * 65: "65 characters",
    "line\nbreak": "'\\n'",
}
"""Name -> what the refusal says about it."""
FILE_NAMES = {
    "..png": "Asset",
    "CON.png": "CONAsset",
    "aux.png": "AuxAsset",
    "Käse & Brot.png": "KaseBrot",
    "杯子.png": "Asset",
    "SM_Cup (2).png": "Cup2",
    "$(reboot).png": "Reboot",
}
"""Name of a photo -> what its asset is called."""
