"""Every kind of image file that people upload, and the ones that nobody should."""

import contextlib
import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from bridge_server.errors import InputError
from bridge_server.pipeline.inputs import KEPT_EDGE_PX, decode_photo, read_mesh_source
from bridge_server.values.image import Photo, View


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def gradient(width: int = 64, height: int = 48) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, 128 + 0 * x], -1).astype(np.uint8))


def decode(data: bytes, name: str = "cup.png") -> Photo:
    return decode_photo(data, name, View.FRONT)


def codes(photo: Photo) -> set[str]:
    return {notice.code for notice in photo.notices}


def png_of_16_bits(values: np.ndarray) -> bytes:
    """Colour or grey PNG of 16 bits a channel, written by hand because Pillow cannot."""
    height, width = values.shape[:2]
    kind = {2: 0, 3: 2}[values.ndim]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png_that_claims(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"IHDR" + header
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    data = zlib.compress(bytes(1_000_000))
    return head + struct.pack(">I", len(data)) + b"IDAT" + data + struct.pack(">I", zlib.crc32(b"IDAT" + data))


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "JPEG", "WEBP", "GIF"])
def test_every_known_format_decodes_to_the_same_picture_whatever_its_name(kind: str) -> None:
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    photo = decode(encoded(gradient(), kind, **options), name="wrong.extension")
    assert photo.pixels.shape == (48, 64, 4)
    assert not photo.has_alpha
    difference = np.abs(photo.pixels[..., :3].astype(int) - np.asarray(gradient()).astype(int))
    assert difference.mean() < (0.1 if kind in ("PNG", "BMP", "TIFF", "WEBP") else 8)


@pytest.mark.parametrize("tag", range(1, 9))
def test_exif_orientation_is_applied(tag: int) -> None:
    upright = gradient()
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[tag]) if tag in undo else upright
    exif = Image.Exif()
    exif[0x0112] = tag
    photo = decode(encoded(stored, "PNG", exif=exif))
    np.testing.assert_array_equal(photo.pixels[..., :3], np.asarray(upright))


def test_alpha_is_kept_and_seen() -> None:
    image = gradient().convert("RGBA")
    alpha = np.full((48, 64), 255, np.uint8)
    alpha[:, :20] = 90
    image.putalpha(Image.fromarray(alpha))
    photo = decode(encoded(image))
    assert photo.has_alpha
    np.testing.assert_array_equal(photo.pixels[..., 3], alpha)
    np.testing.assert_array_equal(photo.pixels[..., :3], np.asarray(gradient()))
    opaque = decode(encoded(gradient().convert("RGBA")))
    assert not opaque.has_alpha


def test_palette_with_a_transparent_entry_becomes_alpha() -> None:
    indices = np.zeros((40, 40), np.uint8)
    indices[10:30, 10:30] = 1
    image = Image.fromarray(indices, "P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    photo = decode(encoded(image, transparency=0))
    assert photo.has_alpha
    assert photo.pixels[0, 0, 3] == 0
    assert photo.pixels[20, 20].tolist() == [0, 0, 255, 255]


def test_sixteen_bits_are_scaled_and_told() -> None:
    ramp = np.linspace(0, 65535, 64)[None, :].repeat(40, 0).astype(np.uint16)
    grey = decode(png_of_16_bits(ramp))
    color = decode(png_of_16_bits(np.stack([ramp, ramp[:, ::-1], ramp], -1)))
    expected = np.round(ramp / 257.0)
    for photo in (grey, color):
        assert "photo_converted" in codes(photo)
        assert np.abs(photo.pixels[..., 0] - expected).max() <= 1
    assert np.abs(color.pixels[..., 1] - expected[:, ::-1]).max() <= 1


def test_greyscale_and_grey_with_alpha() -> None:
    photo = decode(encoded(gradient().convert("L")))
    assert "photo_converted" in codes(photo)
    assert (photo.pixels[..., 0] == photo.pixels[..., 2]).all()
    with_alpha = gradient().convert("LA")
    with_alpha.putalpha(77)
    assert (decode(encoded(with_alpha)).pixels[..., 3] == 77).all()
    one_bit = decode(encoded(gradient().convert("1")))
    assert set(np.unique(one_bit.pixels[..., 0])) == {0, 255}


def test_cmyk_is_converted_and_told() -> None:
    ink = Image.new("CMYK", (40, 40), (0, 255, 255, 0))
    photo = decode(encoded(ink, "JPEG", quality=100))
    assert "photo_converted" in codes(photo)
    red, green, blue, _ = photo.pixels[20, 20].tolist()
    assert red > 230
    assert green < 40
    assert blue < 40


def test_colour_profile_is_applied() -> None:
    """A profile equal to sRGB changes nothing; one with linear tone curves brightens 128 to 188."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    same = decode(encoded(gradient(), icc_profile=profile))
    assert np.abs(same.pixels[..., :3].astype(int) - np.asarray(gradient()).astype(int)).max() <= 2
    bright = decode(encoded(Image.new("RGB", (40, 40), (128, 128, 128)), icc_profile=linear_profile()))
    assert abs(int(bright.pixels[0, 0, 1]) - 188) <= 2


def linear_profile() -> bytes:
    """The sRGB profile with its tone curves replaced by identity."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack(">I", data[128:132])[0]
    for entry in range(count):
        tag, offset, _ = struct.unpack(">4sII", data[132 + 12 * entry : 144 + 12 * entry])
        if tag in (b"rTRC", b"gTRC", b"bTRC"):
            data[offset : offset + 12] = b"curv" + bytes(4) + struct.pack(">I", 0)
    return bytes(data)


def test_broken_profile_is_ignored_and_told() -> None:
    photo = decode(encoded(gradient(), icc_profile=b"not a profile"))
    assert "photo_profile_ignored" in codes(photo)
    np.testing.assert_array_equal(photo.pixels[..., :3], np.asarray(gradient()))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_several_frames_the_first_is_used_and_told(kind: str) -> None:
    frames = [Image.new("RGB", (40, 40), color) for color in ("red", "blue", "green")]
    photo = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert "photo_first_frame" in codes(photo)
    red, green, blue, _ = photo.pixels[20, 20].tolist()
    assert (red > 240, green < 20, blue < 20) == (True, True, True)


def test_large_photo_is_reduced_and_told() -> None:
    for kind in ("PNG", "JPEG"):
        photo = decode(encoded(Image.new("RGB", (9000, 1500), (10, 200, 30)), kind))
        assert photo.pixels.shape == (round(1500 * KEPT_EDGE_PX / 9000), KEPT_EDGE_PX, 4)
        assert "photo_reduced" in codes(photo)
        assert np.abs(photo.pixels[100, 100, :3].astype(int) - [10, 200, 30]).max() <= 3


TRUNCATED = encoded(Image.fromarray(np.random.default_rng(0).integers(0, 255, (80, 80, 3), np.uint8)))

REFUSED = {
    "empty": (b"", "empty"),
    "text": (b"this is a shopping list\nmilk\neggs\n", "holds text"),
    "truncated": (TRUNCATED[: len(TRUNCATED) // 2], "damaged or cut short"),
    "header_only": (TRUNCATED[:20], "header is damaged"),
    "jpeg_truncated": (encoded(gradient(400, 400), "JPEG")[:900], "damaged"),
    "one_pixel": (encoded(Image.new("RGB", (1, 1))), "1 x 1 px"),
    "small": (encoded(Image.new("RGB", (31, 200))), "31 x 200 px"),
    "bomb": (png_that_claims(20_000, 20_000), "20000 x 20000 px"),
    "long": (png_that_claims(65_535, 40), "65535 x 40 px"),
    "bmp_bomb": (b"BM" + bytes(12) + struct.pack("<IiiHHIIiiII", 40, 50000, 50000, 1, 24, 0, 0, 0, 0, 0, 0), "50000"),
    "exr": (b"\x76\x2f\x31\x01" + bytes(100), "OpenEXR"),
    "heic": (bytes(4) + b"ftypheic" + bytes(100), "HEIC"),
    "float_tiff": (encoded(Image.fromarray(np.zeros((40, 40), np.float32)), "TIFF"), "32-bit"),
    "noise": (np.random.default_rng(1).integers(0, 255, 4000, np.uint8).tobytes(), "no known format"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusal_names_file_rule_and_remedy(case: str) -> None:
    data, rule = REFUSED[case]
    with pytest.raises(InputError) as caught:
        decode(data, "my photo.png")
    assert caught.value.subject == "my photo.png"
    assert rule in caught.value.message
    assert caught.value.remedy


def test_bomb_is_refused_before_it_is_decoded() -> None:
    tracemalloc.start()
    with pytest.raises(InputError):
        decode(png_that_claims(20_000, 20_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_cut_and_flipped_byte_gives_a_photo_or_an_input_error() -> None:
    random = np.random.default_rng(7)
    for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"):
        data = encoded(gradient(), kind)
        for _ in range(60):
            broken = bytearray(data[: random.integers(1, len(data) + 1)])
            for place in random.integers(0, len(broken), 3):
                broken[place] = random.integers(0, 256)
            with contextlib.suppress(InputError):
                assert decode(bytes(broken)).pixels.shape[2] == 4


def test_mesh_source_is_judged_by_extension() -> None:
    stl = bytes(80) + struct.pack("<I", 1) + struct.pack("<12fH", *range(12), 0)
    assert read_mesh_source(stl, "A.STL").name == "A.STL"
    for data, name in ((b"x", "model.xyz"), (b"", "model.glb"), (b"x", "model")):
        with pytest.raises(InputError) as caught:
            read_mesh_source(data, name)
        assert caught.value.subject == name
        assert caught.value.remedy
