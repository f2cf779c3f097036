"""The baked maps as image files, in the channels and conventions that each export target wants."""

import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from bridge_server.run import Run
from bridge_server.stages.png_writer import encode_png, flip_green, to_8_bits
from bridge_server.values.package import FileRole, PackageFile
from bridge_server.values.texture import AlbedoMap, ColorSpace, NormalMap, PackedMap, Packing

POLL_S = 0.1
JPEG_QUALITY = 92
NEUTRAL_DETAIL = 0
"""The mask map's blue channel masks a detail map, of which there is none."""


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """An image that is to be written, and how its bytes are made."""

    suffix: str
    """Of the file name, with its extension."""
    role: FileRole
    color_space: ColorSpace
    compression: str
    encode: Callable[[], bytes]
    embedded: bool = False
    """Goes into the GLB."""
    kept: bool = True
    """Lies beside the meshes as a file of its own."""


def plan_base_color(albedo: AlbedoMap) -> ImagePlan:
    """Base colour, sRGB."""
    return ImagePlan(
        "BC.png",
        FileRole.BASE_COLOR,
        ColorSpace.SRGB,
        "TC_DEFAULT",
        lambda: encode_png(albedo.pixels, srgb=True),
    )


def plan_normal(normal: NormalMap, *, directx: bool, sixteen_bit: bool) -> ImagePlan:
    """Tangent-space normals with green up (OpenGL) or down (DirectX)."""

    def encode() -> bytes:
        pixels = flip_green(normal.pixels) if directx else normal.pixels
        return encode_png(pixels if sixteen_bit else to_8_bits(pixels))

    suffix, role = ("N.png", FileRole.NORMAL_DIRECTX) if directx else ("N_GL.png", FileRole.NORMAL_OPENGL)
    return ImagePlan(suffix, role, ColorSpace.LINEAR, "TC_NORMALMAP", encode)


def plan_orm(packed: PackedMap) -> ImagePlan:
    """Occlusion, roughness, metallic."""
    pixels = orm_pixels(packed)
    return ImagePlan("ORM.png", FileRole.ORM, ColorSpace.LINEAR, "TC_MASKS", lambda: encode_png(pixels))


def plan_mask_map(packed: PackedMap) -> ImagePlan:
    """Unity HDRP's mask map."""
    pixels = mask_map_pixels(packed)
    return ImagePlan("MASK.png", FileRole.MASK_MAP, ColorSpace.LINEAR, "TC_MASKS", lambda: encode_png(pixels))


def plan_invented(invented: Bool[np.ndarray, "size size"]) -> ImagePlan:
    """White where inpainting made the colour up."""
    pixels = invented.astype(np.uint8) * np.uint8(255)
    return ImagePlan("INV.png", FileRole.INVENTED_MASK, ColorSpace.LINEAR, "TC_GRAYSCALE", lambda: encode_png(pixels))


def plan_jpeg(pixels: UInt8[np.ndarray, "size size 3"], plan: ImagePlan) -> ImagePlan:
    """The same image as a JPEG at full chroma, for files that travel over the web."""

    def encode() -> bytes:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        return stream.getvalue()

    return replace(plan, suffix=plan.suffix.replace(".png", ".jpg"), encode=encode)


def encode_all(plans: tuple[ImagePlan, ...], prefix: str, run: Run) -> tuple[PackageFile, ...]:
    """Encode in parallel (compression releases the interpreter), with checkpoints while waiting."""
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1), thread_name_prefix="png") as pool:
        pending = [pool.submit(plan.encode) for plan in plans]
        try:
            while not all(future.done() for future in pending):
                run.checkpoint(sum(future.done() for future in pending) / len(pending), "images")
                wait(pending, timeout=POLL_S)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return tuple(
        PackageFile(
            path=f"{prefix}_{plan.suffix}",
            role=plan.role,
            data=future.result(),
            color_space=plan.color_space,
            compression=plan.compression,
        )
        for plan, future in zip(plans, pending, strict=True)
    )


def orm_pixels(packed: PackedMap) -> UInt8[np.ndarray, "size size 3"]:
    """Occlusion, roughness, metallic, out of either packing; no bit is lost."""
    if packed.packing is not Packing.MASK_MAP:
        return packed.pixels
    metallic, occlusion, smoothness = packed.pixels[..., 0], packed.pixels[..., 1], packed.pixels[..., 3]
    return np.stack([occlusion, 255 - smoothness, metallic], axis=-1)


def mask_map_pixels(packed: PackedMap) -> UInt8[np.ndarray, "size size 4"]:
    """Metallic, occlusion, detail mask, smoothness, out of either packing."""
    if packed.packing is Packing.MASK_MAP:
        return packed.pixels
    occlusion, roughness, metallic = np.moveaxis(packed.pixels, -1, 0)
    return np.stack([metallic, occlusion, np.full_like(metallic, NEUTRAL_DETAIL), 255 - roughness], axis=-1)
