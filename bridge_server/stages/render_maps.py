"""Baked maps as the pictures read them: all channels in linear light, in a pyramid of sizes."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from bridge_server.stages.render_places import Places, Surface, cross, interpolated, unit
from bridge_server.stages.shading import decode_srgb
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.texture import AlbedoMap, NormalMap, PackedMap, Packing

LARGEST_LEVEL_PX = 2048
"""Larger maps are halved before use: no picture here shows more, and memory stays under 250 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedMaterial:
    """Baked maps on an unwrapped mesh. ``levels[k]`` holds every map at 1 / 2**k of the size, channel by channel.

    Channels: base colour (linear) 0 to 2, tangent normal 3 to 5, occlusion, roughness, metallic.
    """

    uvs: Float32[np.ndarray, "vertices 2"]
    tangents: Float32[np.ndarray, "vertices 4"]
    levels: tuple[Float32[np.ndarray, "9 size size"], ...]
    texels_per_m: float
    """Texel density of the placed mesh at level 0."""

    def at(self, places: Places, texel_m: float) -> Surface:
        """Bilinear look-up in the level whose texels are about as wide as the picture's samples."""
        wanted = np.log2(max(texel_m * self.texels_per_m, 1.0))
        level = self.levels[min(round(float(wanted)), len(self.levels) - 1)]
        maps = bilinear(level, interpolated(self.uvs, places.corners, places.weights))
        tangents = interpolated(self.tangents[:, :3], places.corners, places.weights)
        handed = np.sign(self.tangents[:, 3].take(places.corners[:, 0]))
        bitangents = cross(places.normals, tangents)
        bent = places.normals * maps[:, 5:6]
        bent += tangents * maps[:, 3:4]
        bent += bitangents * (maps[:, 4] * handed)[:, None]
        return Surface(
            normals=unit(bent),
            base_color=maps[:, 0:3],
            openness=maps[:, 6],
            roughness=maps[:, 7],
            metallic=maps[:, 8],
        )


def mapped_material(
    unwrapped: UnwrappedMesh, *, scale: float, normal: NormalMap, albedo: AlbedoMap, packed: PackedMap
) -> MappedMaterial:
    """Material of an unwrapped mesh that is placed at ``scale`` times its size."""
    levels = _levels(normal=normal, albedo=albedo, packed=packed)
    enlargement = levels[0].shape[1] / max(unwrapped.atlas_px, 1) / scale
    return MappedMaterial(
        uvs=np.asfortranarray(unwrapped.uvs),
        tangents=np.asfortranarray(unwrapped.tangents),
        levels=levels,
        texels_per_m=unwrapped.texel_density_px_per_m * enlargement,
    )


def bilinear(
    planes: Float32[np.ndarray, "channels size size"], uv: Float32[np.ndarray, "points 2"]
) -> Float32[np.ndarray, "points channels"]:
    """Bilinear look-up; UV outside the unit square is clamped to the border."""
    channels, size, _ = planes.shape
    start, part = [], []
    for number in range(2):
        place = np.clip(uv[:, number] * np.float32(size) - np.float32(0.5), 0.0, size - 1.0)
        start.append(np.minimum(place.astype(np.int32), max(size - 2, 0)))
        part.append(place - start[-1])
    right = min(size - 1, 1)
    texels = (start[1] * size + start[0])[None, :] + np.array([[0], [right], [right * size], [right * size + right]])
    along, down = part
    shares = (1 - along) * (1 - down), along * (1 - down), (1 - along) * down, along * down
    result = np.empty((len(uv), channels), np.float32, order="F")
    for number, plane in enumerate(planes.reshape(channels, -1)):
        result[:, number] = sum(plane.take(texel) * share for texel, share in zip(texels, shares, strict=True))
    return result


def _levels(
    *, normal: NormalMap, albedo: AlbedoMap, packed: PackedMap
) -> tuple[Float32[np.ndarray, "9 size size"], ...]:
    tangent_normal = _planes(normal.pixels).astype(np.float32) * np.float32(2.0 / 65535.0) - np.float32(1.0)
    layers = [
        _reduced(layer)
        for layer in (decode_srgb(_planes(albedo.pixels)), tangent_normal, _occlusion_roughness_metallic(packed))
    ]
    size = max(layer.shape[1] for layer in layers)
    levels = [np.concatenate([_enlarged(layer, size) for layer in layers])]
    while levels[-1].shape[1] % 2 == 0 and levels[-1].shape[1] > 64:
        levels.append(_halved(levels[-1]))
    return tuple(levels)


def _planes(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _occlusion_roughness_metallic(packed: PackedMap) -> Float32[np.ndarray, "3 size size"]:
    planes = _planes(packed.pixels)
    if packed.packing is Packing.MASK_MAP:
        planes = np.stack([planes[1], 255 - planes[3], planes[0]])
    return planes[:3].astype(np.float32) * np.float32(1.0 / 255.0)


def _reduced(layer: Float32[np.ndarray, "channels size size"]) -> Float32[np.ndarray, "channels small small"]:
    while layer.shape[1] > LARGEST_LEVEL_PX and layer.shape[1] % 2 == 0:
        layer = _halved(layer)
    return layer


def _halved(fine: Float32[np.ndarray, "channels size size"]) -> Float32[np.ndarray, "channels half half"]:
    rows = fine[:, 0::2] + fine[:, 1::2]
    return (rows[:, :, 0::2] + rows[:, :, 1::2]) * np.float32(0.25)


def _enlarged(layer: Float32[np.ndarray, "channels size size"], size: int) -> Float32[np.ndarray, "channels big big"]:
    times = size // layer.shape[1]
    return layer if times == 1 else np.repeat(np.repeat(layer, times, axis=1), times, axis=2)
