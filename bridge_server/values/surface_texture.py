"""A surface field that hangs on a textured mesh, as glTF describes materials."""

import enum
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, UInt8

from bridge_server.values.base import Value
from bridge_server.values.surface import Locate, SurfaceField, SurfaceSample

SAMPLE_BLOCK = 1 << 18
"""Points looked up at once, which bounds the working memory."""


class Wrap(enum.StrEnum):
    """What lies beyond the edge of an image."""

    REPEAT = "repeat"
    CLAMP = "clamp"
    MIRROR = "mirror"


class AlphaMode(enum.StrEnum):
    """How the alpha of the base colour is read."""

    OPAQUE = "opaque"
    MASK = "mask"
    BLEND = "blend"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextureImage(Value):
    """An image with the way texture coordinates reach it. Row 0 is V = 0."""

    pixels: UInt8[np.ndarray, "height width channels"]
    wrap_u: Wrap = Wrap.REPEAT
    wrap_v: Wrap = Wrap.REPEAT
    uv_set: int = 0
    """0 or 1: which of the two coordinate sets of the mesh applies."""
    uv_transform: tuple[float, float, float, float, float, float] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    """Rows of a 2 x 3 matrix that is applied to the coordinates first (KHR_texture_transform)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialTextures(Value):
    """One material: factors multiply images; colours of factors are linear light."""

    name: str = ""
    base_color_factor: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    base_color_image: TextureImage | None = None
    """3 or 4 channels, sRGB with straight linear alpha."""
    metallic_factor: float = 0.0
    roughness_factor: float = 1.0
    metallic_roughness_image: TextureImage | None = None
    """At least 3 channels, linear: green roughness, blue metallic."""
    emissive_factor: tuple[float, float, float] = (0.0, 0.0, 0.0)
    emissive_image: TextureImage | None = None
    """At least 3 channels, sRGB."""
    alpha_mode: AlphaMode = AlphaMode.OPAQUE
    alpha_cutoff: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class TextureField(SurfaceField):
    """Materials on the faces of a mesh, looked up by texture coordinates of each corner."""

    positions_m: Float32[np.ndarray, "vertices 3"]
    faces: Int32[np.ndarray, "faces 3"]
    corner_uvs: Float32[np.ndarray, "faces 3 2"]
    """Origin top left; a corner has its own, so seams stay seams where positions are welded."""
    face_materials: Int32[np.ndarray, "faces"]
    """Index into ``materials``."""
    materials: tuple[MaterialTextures, ...]
    second_uvs: Float32[np.ndarray, "faces 3 2"] | None = None
    corner_colors: Float32[np.ndarray, "faces 3 4"] | None = None
    """Linear colour and alpha that multiply the base colour."""

    def sample(self, points_m: Float32[np.ndarray, "points 3"], locate: Locate) -> SurfaceSample:
        """Bilinear lookup, in linear light, at the nearest place on the mesh."""
        places = locate(self.positions_m, self.faces, points_m)
        count = len(points_m)
        base, emissive = np.empty((count, 3), np.float32), np.empty((count, 3), np.float32)
        metallic, roughness, opacity = (np.empty(count, np.float32) for _ in range(3))
        kinds = self.face_materials[places.faces]
        for kind in np.unique(kinds):
            rows = np.flatnonzero(kinds == kind)
            for start in range(0, len(rows), SAMPLE_BLOCK):
                block = rows[start : start + SAMPLE_BLOCK]
                found = self._look_up(self.materials[kind], places.faces[block], places.barycentrics[block])
                base[block], metallic[block], roughness[block], opacity[block], emissive[block] = found
        return SurfaceSample(
            base_color=base, metallic=metallic, roughness=roughness, opacity=opacity, emissive=emissive
        )

    def _look_up(
        self, material: MaterialTextures, faces: Int32[np.ndarray, "points"], weights: Float32[np.ndarray, "points 3"]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Base colour, metallic, roughness, opacity and emission of places that share one material."""

        def texels(image: TextureImage, decode: Float32[np.ndarray, "256"]) -> Float32[np.ndarray, "points channels"]:
            corners = self.second_uvs if image.uv_set == 1 and self.second_uvs is not None else self.corner_uvs
            uvs = np.einsum("pc,pcd->pd", weights.astype(np.float64), corners[faces].astype(np.float64))
            return bilinear(image, uvs, decode)

        count = len(faces)
        color = np.tile(np.array(material.base_color_factor, np.float32), (count, 1))
        if material.base_color_image is not None:
            found = texels(material.base_color_image, SRGB_TO_LINEAR)
            color[:, : found.shape[1]] *= found
        if self.corner_colors is not None:
            color *= np.einsum("pc,pcd->pd", weights, self.corner_colors[faces])
        metallic = np.full(count, material.metallic_factor, np.float32)
        roughness = np.full(count, material.roughness_factor, np.float32)
        if material.metallic_roughness_image is not None:
            found = texels(material.metallic_roughness_image, BYTE_TO_UNIT)
            roughness *= found[:, 1]
            metallic *= found[:, 2]
        emissive = np.tile(np.array(material.emissive_factor, np.float32), (count, 1))
        if material.emissive_image is not None and emissive.any():
            emissive *= texels(material.emissive_image, SRGB_TO_LINEAR)[:, :3]
        opacity = np.ones(count, np.float32)
        if material.alpha_mode is AlphaMode.BLEND:
            opacity = np.clip(color[:, 3], 0.0, 1.0)
        elif material.alpha_mode is AlphaMode.MASK:
            opacity = (color[:, 3] >= material.alpha_cutoff).astype(np.float32)
        return color[:, :3], metallic, roughness, opacity, emissive


def _srgb_table() -> Float32[np.ndarray, "256"]:
    encoded = np.arange(256) / 255.0
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return linear.astype(np.float32)


SRGB_TO_LINEAR = _srgb_table()
"""IEC 61966-2-1 for every stored byte."""
BYTE_TO_UNIT = (np.arange(256) / 255.0).astype(np.float32)


def bilinear(
    image: TextureImage, uvs: Float64[np.ndarray, "points 2"], decode: Float32[np.ndarray, "256"]
) -> Float32[np.ndarray, "points channels"]:
    """Weigh the four texels around each coordinate after decoding them; a fourth channel is always linear.

    A coordinate that is not finite reads as 0.
    """
    height, width, channels = image.pixels.shape
    a, b, c, d, e, f = image.uv_transform
    across_uv, down_uv = np.where(np.isfinite(uvs), uvs, 0.0).T
    u = (a * across_uv + b * down_uv + c) * width - 0.5
    v = (d * across_uv + e * down_uv + f) * height - 0.5
    left, top = np.floor(u), np.floor(v)
    across, down = (u - left).astype(np.float32)[:, None], (v - top).astype(np.float32)[:, None]
    columns = [_wrapped(left + step, width, image.wrap_u) for step in (0, 1)]
    rows = [_wrapped(top + step, height, image.wrap_v) for step in (0, 1)]

    def texel(row: Int64[np.ndarray, "points"], column: Int64[np.ndarray, "points"]) -> Float32[np.ndarray, "p c"]:
        stored = image.pixels[row, column]
        light = decode[stored]
        if channels == 4:
            light[:, 3] = BYTE_TO_UNIT[stored[:, 3]]
        return light

    upper = texel(rows[0], columns[0]) * (1 - across) + texel(rows[0], columns[1]) * across
    lower = texel(rows[1], columns[0]) * (1 - across) + texel(rows[1], columns[1]) * across
    return upper * (1 - down) + lower * down


def _wrapped(index: Float64[np.ndarray, "points"], size: int, wrap: Wrap) -> Int64[np.ndarray, "points"]:
    if wrap is Wrap.CLAMP:
        return np.clip(index, 0, size - 1).astype(np.int64)
    if wrap is Wrap.MIRROR:
        folded = np.mod(index, 2 * size)
        return np.minimum(folded, 2 * size - 1 - folded).astype(np.int64)
    return np.mod(index, size).astype(np.int64)
