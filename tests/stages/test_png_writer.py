"""PNGs that Pillow and OpenCV-like readers take back unchanged, in every depth and channel count."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bridge_server.stages.png_writer import encode_png, flip_green, png_size, to_8_bits


def _decode_16(data: bytes, channels: int) -> np.ndarray:
    """A slow, plain reader for 16-bit images, which Pillow cannot open in colour."""
    width, height = struct.unpack(">II", data[16:24])
    body, at = b"", 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            body += data[at + 8 : at + 8 + size]
        at += size + 12
    raw = zlib.decompress(body)
    step, stride = channels * 2, width * channels * 2
    before = bytearray(stride)
    rows = []
    for y in range(height):
        kind, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        for i in range(stride):
            a, b = (line[i - step] if i >= step else 0), before[i]
            line[i] = (line[i] + (0, a, b, (a + b) // 2)[kind]) % 256
        before = line
        rows.append(bytes(line))
    return np.frombuffer(b"".join(rows), ">u2").reshape(height, width, channels)


@pytest.mark.parametrize(
    ("shape", "mode"), [((7, 5), "L"), ((300, 9, 3), "RGB"), ((5, 8, 4), "RGBA"), ((4, 3, 2), "LA")]
)
@pytest.mark.parametrize("smooth", [False, True])
def test_pillow_reads_eight_bits_back(shape, mode, smooth):
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, shape, np.uint8)
    if smooth:
        pixels = np.cumsum(pixels % 3, axis=1).astype(np.uint8)
    data = encode_png(pixels)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(image), pixels)
    assert data == encode_png(pixels)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_come_back(channels):
    pixels = np.random.default_rng(2).integers(0, 65536, (6, 7, channels)).astype(np.uint16)
    data = encode_png(pixels)
    np.testing.assert_array_equal(_decode_16(data, channels), pixels)
    assert png_size(data) == (7, 6, 16, channels)


def test_only_what_is_srgb_says_so():
    pixels = np.zeros((2, 2, 3), np.uint8)
    assert b"sRGB" in encode_png(pixels, srgb=True)
    assert b"sRGB" not in encode_png(pixels)


def test_smooth_maps_shrink():
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (256, 1, 3))
    assert len(encode_png(ramp)) < 3000


@pytest.mark.parametrize("pixels", [np.zeros((2, 2, 3), np.float32), np.zeros((2, 2, 5), np.uint8)])
def test_other_arrays_are_refused(pixels):
    with pytest.raises(ValueError, match="PNG"):
        encode_png(pixels)


@pytest.mark.parametrize("data", [b"", b"\x89PNG", b"GIF89a" * 10])
def test_size_of_no_png_is_refused(data):
    with pytest.raises(ValueError, match="PNG"):
        png_size(data)


def test_eight_bits_are_the_nearest_and_green_flips_exactly():
    values = np.arange(0, 65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_8_bits(values), np.rint(values / 257.0).astype(np.uint8))
    pixels = np.random.default_rng(3).integers(0, 65536, (4, 4, 3)).astype(np.uint16)
    flipped = flip_green(pixels)
    np.testing.assert_array_equal(flipped[..., [0, 2]], pixels[..., [0, 2]])
    np.testing.assert_array_equal(to_8_bits(flipped)[..., 1], 255 - to_8_bits(pixels)[..., 1])
