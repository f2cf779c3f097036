"""The door: bytes of image and mesh files become ``Photo`` and ``MeshSource`` values, or are refused with a reason.

Everything here reads hostile files. Sizes are read from the header and judged before a single pixel is decoded.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageFile

from bridge_server.errors import InputError
from bridge_server.stages import load_mesh_formats
from bridge_server.values.base import Notice, Severity
from bridge_server.values.image import Photo, View
from bridge_server.values.source import MeshSource

LEAST_EDGE_PX = 32
GREATEST_EDGE_PX = 20_000
GREATEST_AREA_PX = 100_000_000
KEPT_EDGE_PX = 4096
"""Larger photos are reduced to this edge: no map or grid of ours resolves more."""

KNOWN_FORMATS = "PNG, JPEG, WebP, TIFF, BMP and GIF"
KNOWN_MESHES = "GLB, glTF, FBX, OBJ, PLY and STL"
_SAVE_AGAIN = "Open it in an image editor and save it again as PNG or JPEG."
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_photo(data: bytes, name: str, view: View) -> Photo:
    """Decode an image file: upright, sRGB, 8 bits, straight alpha, at most ``KEPT_EDGE_PX`` an edge.

    What had to be bent to fit stands in the photo's notices. Raises ``InputError`` whose subject is ``name``.
    """
    opened = _open(data, name)
    _refuse_size(opened.size, name)
    notices = _notices_on_opening(opened, name)
    width, height = opened.size
    scale = min(1.0, KEPT_EDGE_PX / max(width, height))
    try:
        if scale < 1.0:
            opened.draft(opened.mode, (round(width * scale), round(height * scale)))
        opened.load()
        orientation = opened.getexif().get(_ORIENTATION_TAG, 1)
        image, told = _to_srgb(opened, name)
    except InputError:
        raise
    except Exception as error:
        raise _damaged(error, name) from error
    if scale < 1.0:
        kept = (max(1, round(width * scale)), max(1, round(height * scale)))
        image = image.resize(kept, Image.Resampling.LANCZOS, reducing_gap=3.0)
        message = f"{name} has {width} x {height} px and was reduced to {kept[0]} x {kept[1]} px."
        told.append(Notice(code="photo_reduced", message=message, severity=Severity.INFO))
    if orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
    pixels = np.array(image, np.uint8)
    has_alpha = bool((pixels[..., 3] < 255).any())
    return Photo(pixels=pixels, view=view, name=name, has_alpha=has_alpha, notices=(*notices, *told))


def read_mesh_source(data: bytes, name: str, companions: Iterable[tuple[str, bytes]] = ()) -> MeshSource:
    """Take in a mesh file with the files it refers to, after a first look at what it claims to be.

    Raises ``InputError`` whose subject is ``name``.
    """
    return load_mesh_formats.read_mesh_source(name, data, tuple(companions))


@dataclass(frozen=True, slots=True)
class _Format:
    name: str
    starts: tuple[bytes, ...]
    module: str
    opener: str


_FORMATS = (
    _Format("PNG", (b"\x89PNG\r\n\x1a\n",), "PngImagePlugin", "PngImageFile"),
    _Format("JPEG", (b"\xff\xd8\xff",), "JpegImagePlugin", "JpegImageFile"),
    _Format("TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TiffImagePlugin", "TiffImageFile"),
    _Format("BMP", (b"BM",), "BmpImagePlugin", "BmpImageFile"),
    _Format("GIF", (b"GIF87a", b"GIF89a"), "GifImagePlugin", "GifImageFile"),
)
_WEBP = _Format("WebP", (), "WebPImagePlugin", "WebPImageFile")


def _open(data: bytes, name: str) -> ImageFile.ImageFile:
    """Read the header with the decoder that the first bytes call for, whatever the file is called.

    The decoder classes are used directly because ``Image.open`` judges sizes by a process-wide setting.
    """
    if not data:
        raise InputError("the file is empty.", subject=name, remedy="Choose a photo that opens in an image viewer.")
    found = next((f for f in _FORMATS if data.startswith(f.starts)), None)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        found = _WEBP
    if found is None:
        remedy = f"Known are {KNOWN_FORMATS}, and {KNOWN_MESHES} for meshes; save it as one of these."
        raise InputError(f"is not an image that can be read: {_guess(data)}.", subject=name, remedy=remedy)
    import importlib

    module: ModuleType = importlib.import_module(f"PIL.{found.module}")
    try:
        opened: ImageFile.ImageFile = getattr(module, found.opener)(io.BytesIO(data))
    except Exception as error:
        message = f"has the start of a {found.name} file, but its header is damaged ({_cause(error)})."
        raise InputError(message, subject=name, remedy=_SAVE_AGAIN) from error
    return opened


def _cause(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _guess(data: bytes) -> str:
    """What a file that is no known image seems to be, for the message."""
    if data.startswith(b"\x76\x2f\x31\x01"):
        return "it is an OpenEXR file"
    if data[4:8] == b"ftyp":
        return "it is a HEIC, AVIF or video file"
    if data.startswith(b"%PDF"):
        return "it is a PDF"
    sample = data[:512]
    if all(byte >= 32 or byte in b"\t\n\r" for byte in sample):
        return "it holds text"
    return "its first bytes belong to no known format"


def _refuse_size(size: tuple[int, int], name: str) -> None:
    width, height = size
    if min(size) < LEAST_EDGE_PX:
        raise InputError(
            f"has {width} x {height} px; at least {LEAST_EDGE_PX} px an edge are needed.",
            subject=name,
            remedy="Use a larger photo: from 512 px on an edge results are good.",
        )
    if max(size) > GREATEST_EDGE_PX or width * height > GREATEST_AREA_PX:
        raise InputError(
            f"has {width} x {height} px; at most {GREATEST_EDGE_PX} px an edge and "
            f"{GREATEST_AREA_PX // 1_000_000} megapixels are taken.",
            subject=name,
            remedy=f"Scale it down; more than {KEPT_EDGE_PX} px an edge are never used.",
        )


def _notices_on_opening(image: ImageFile.ImageFile, name: str) -> list[Notice]:
    """What only the header tells: further frames, and colour of 16 bits that the decoder itself reduces."""
    notices = []
    if any(";16" in str(tile) for tile in image.tile) and not image.mode.startswith("I;16"):
        notices.append(_converted(name, "16-bit colour"))
    try:
        frames = int(getattr(image, "n_frames", 1))
    except Exception as error:
        raise _damaged(error, name) from error
    if frames > 1:
        message = f"{name} holds {frames} frames or pages; the first one is used."
        remedy = "Save the frame you want as a picture of its own."
        notices.append(Notice(code="photo_first_frame", message=message, remedy=remedy))
    return notices


def _damaged(error: Exception, name: str) -> InputError:
    """Decoders raise anything on hostile bytes; here it becomes the one error that users see."""
    return InputError(f"is damaged or cut short ({_cause(error)}).", subject=name, remedy=_SAVE_AGAIN)


def _to_srgb(image: Image.Image, name: str) -> tuple[Image.Image, list[Notice]]:
    """Any mode to RGBA in sRGB, and what has to be told about it."""
    notices: list[Notice] = []
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16"):
        image, alpha = _grey_16_to_8(image)
        notices.append(_converted(name, "16-bit grey"))
    elif image.mode in ("I", "F"):
        raise InputError(
            "holds 32-bit numbers, whose black and white are not known.",
            subject=name,
            remedy="Save it with 8 or 16 bits a channel.",
        )
    else:
        if image.mode in ("CMYK", "L", "LA", "1"):
            notices.append(_converted(name, "CMYK" if image.mode == "CMYK" else "greyscale"))
        alpha = _alpha_of(image)
        if image.mode in ("P", "PA", "1"):
            image = image.convert("RGB")
        elif image.mode in ("LA", "RGBA", "La", "RGBa"):
            straight = image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode))
            image = straight.convert("L" if straight.mode == "LA" else "RGB")
    converted = _apply_profile(image, profile) if profile else None
    if profile and converted is None:
        message = f"{name} carries a colour profile that cannot be used; its colours are taken as sRGB."
        notices.append(Notice(code="photo_profile_ignored", message=message))
    rgba = (converted or image.convert("RGB")).convert("RGBA")
    if alpha is not None:
        rgba.putalpha(alpha)
    return rgba, notices


def _converted(name: str, was: str) -> Notice:
    message = f"{name} is {was} and was converted to 8-bit sRGB."
    return Notice(code="photo_converted", message=message, severity=Severity.INFO)


def _alpha_of(image: Image.Image) -> Image.Image | None:
    if image.mode in ("LA", "RGBA", "La", "RGBa", "PA") or "transparency" in image.info:
        return image.convert("RGBA").getchannel("A")
    return None


def _grey_16_to_8(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    values = np.asarray(image).astype(np.uint32)
    grey: UInt8[np.ndarray, "height width"] = ((values * 255 + 32767) // 65535).astype(np.uint8)
    key = image.info.get("transparency")
    alpha = Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)) if isinstance(key, int) else None
    return Image.fromarray(grey), alpha


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The image in sRGB by its embedded profile, or None where the profile does not fit the pixels."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
