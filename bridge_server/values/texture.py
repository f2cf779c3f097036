"""Maps that are baked for the low poly. Row 0 is the top of the image, V = 0."""

import enum
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8, UInt16

from bridge_server.values.base import Value


class ColorSpace(enum.StrEnum):
    """How stored numbers relate to light."""

    SRGB = "sRGB"
    LINEAR = "linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class TexelHits(Value):
    """For every covered (sub-)texel of an atlas: the place on the high poly that it takes its detail from.

    ``index`` counts row-major over a square of ``resolution_px * supersample`` texels an edge. ``low_*`` is the
    place on the unwrapped mesh, ``high_*`` on the high poly; weights are of corners 1 and 2 (corner 0 has the rest).
    """

    resolution_px: int
    supersample: int
    index: Int32[np.ndarray, "texels"]
    low_face: Int32[np.ndarray, "texels"]
    low_weights: Float32[np.ndarray, "texels 2"]
    high_face: Int32[np.ndarray, "texels"]
    high_weights: Float32[np.ndarray, "texels 2"]
    by_ray: Bool[np.ndarray, "texels"]
    """True where the ray inside the cage hit; False where the closest point served."""
    coverage: Bool[np.ndarray, "resolution_px resolution_px"]
    """Texels that a chart touches, before dilation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NormalMap(Value):
    """Tangent-space normals, OpenGL green, 16 bits: value / 65535 * 2 - 1."""

    pixels: UInt16[np.ndarray, "size size 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AlbedoMap(Value):
    """Base colour, sRGB, 8 bits."""

    pixels: UInt8[np.ndarray, "size size 3"]
    invented: Bool[np.ndarray, "size size"] | None = None
    """Texels whose colour was made up by inpainting; None where nothing was inpainted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetallicRoughnessMap(Value):
    """Channel 0 metallic, channel 1 roughness, linear, 8 bits."""

    pixels: UInt8[np.ndarray, "size size 2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AoMap(Value):
    """Ambient occlusion, cosine-weighted, linear, 8 bits; 255 is open."""

    pixels: UInt8[np.ndarray, "size size"]


class Packing(enum.StrEnum):
    """Which channel carries what in a packed map."""

    ORM = "orm"
    """Unreal: red occlusion, green roughness, blue metallic."""
    METALLIC_ROUGHNESS = "metallic_roughness"
    """glTF: green roughness, blue metallic; red occlusion as well, so that one file serves both."""
    MASK_MAP = "mask_map"
    """Unity HDRP: red metallic, green occlusion, blue detail mask, alpha smoothness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedMap(Value):
    """Several linear maps in the channels of one image."""

    packing: Packing
    pixels: UInt8[np.ndarray, "size size channels"]
