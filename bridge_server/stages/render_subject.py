"""What stands in front of the camera: a ray scene, and the material of every place on its surface."""

import dataclasses
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32, Int32

from bridge_server.backends.raycaster.base import Raycaster, RayHits, RayScene
from bridge_server.stages.shading import decode_srgb
from bridge_server.stages.surface_places import SceneLocate
from bridge_server.values.mesh import HighPoly, Mesh, UnwrappedMesh, face_cross_products, vertex_normals
from bridge_server.values.placement import Placement
from bridge_server.values.surface import Locate
from bridge_server.values.texture import AlbedoMap, NormalMap, PackedMap, Packing

LARGEST_LEVEL_PX = 2048
"""Larger maps are halved before use: no picture here shows more, and memory stays under 250 MB."""
CLAY = np.array([0.52, 0.53, 0.54], np.float32)
CLAY_LINE = np.array([0.05, 0.06, 0.07], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """Shading inputs of places on a surface; normals are unit length and in the scene's space."""

    normals: Float32[np.ndarray, "points 3"]
    base_color: Float32[np.ndarray, "points 3"]
    """Linear light."""
    metallic: Float32[np.ndarray, "points"]
    roughness: Float32[np.ndarray, "points"]
    openness: Float32[np.ndarray, "points"]


class Material(Protocol):
    """Answers what a hit place looks like."""

    def at(
        self, faces: Int32[np.ndarray, "points"], barycentrics: Float32[np.ndarray, "points 3"], texel_m: float
    ) -> Surface:
        """Material at each place, when a sample of the picture is about ``texel_m`` wide there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A surface ready to be rendered: placed positions in metres, Y up, with its ray scene."""

    scene: RayScene
    positions_m: Float32[np.ndarray, "vertices 3"]
    faces: Int32[np.ndarray, "faces 3"]
    normals: Float32[np.ndarray, "vertices 3"]
    face_normals: Float32[np.ndarray, "faces 3"]
    material: Material


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedMaterial:
    """Baked maps on an unwrapped mesh. ``levels[k]`` holds every map at 1 / 2**k of the size.

    Channels: base colour (linear) 0 to 2, tangent normal 3 to 5, occlusion, roughness, metallic.
    """

    mesh: UnwrappedMesh
    levels: tuple[Float32[np.ndarray, "size size 9"], ...]
    texels_per_m: float
    """Texel density of the placed mesh at level 0."""

    def at(
        self, faces: Int32[np.ndarray, "points"], barycentrics: Float32[np.ndarray, "points 3"], texel_m: float
    ) -> Surface:
        """Bilinear look-up in the level whose texels are about as wide as the picture's samples."""
        wanted = np.log2(max(texel_m * self.texels_per_m, 1.0))
        level = self.levels[min(round(float(wanted)), len(self.levels) - 1)]
        corners = self.mesh.faces[faces]
        uv = np.einsum("pc,pci->pi", barycentrics, self.mesh.uvs[corners])
        maps = bilinear(level, uv)
        normals = np.einsum("pc,pci->pi", barycentrics, self.mesh.normals[corners])
        tangents = np.einsum("pc,pci->pi", barycentrics, self.mesh.tangents[corners])
        handed = np.where(tangents[:, 3:] < 0.0, np.float32(-1.0), np.float32(1.0))
        bitangents = np.cross(normals, tangents[:, :3]) * handed
        bent = maps[:, 3:4] * tangents[:, :3] + maps[:, 4:5] * bitangents + maps[:, 5:6] * normals
        return Surface(
            normals=unit(bent),
            base_color=maps[:, 0:3],
            openness=maps[:, 6],
            roughness=maps[:, 7],
            metallic=maps[:, 8],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClayMaterial:
    """Plain grey, flat shaded, with a line along every edge: shows the triangles."""

    positions_m: Float32[np.ndarray, "vertices 3"]
    """Placed, as in the scene."""
    faces: Int32[np.ndarray, "faces 3"]

    def at(
        self, faces: Int32[np.ndarray, "points"], barycentrics: Float32[np.ndarray, "points 3"], texel_m: float
    ) -> Surface:
        """Face normals; dark where an edge is nearer than the width of a sample."""
        corners = self.positions_m[self.faces[faces]]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        doubled_area = np.linalg.norm(cross, axis=1)
        opposite = np.linalg.norm(corners[:, [1, 2, 0]] - corners[:, [2, 0, 1]], axis=2)
        heights = doubled_area[:, None] / np.maximum(opposite, np.float32(1e-12))
        edge_m = (barycentrics * heights).min(axis=1)
        paint = np.clip(edge_m / np.float32(texel_m) - np.float32(0.2), 0.0, 1.0)
        count = len(faces)
        return Surface(
            normals=cross / np.maximum(doubled_area, np.float32(1e-20))[:, None],
            base_color=CLAY_LINE + paint[:, None] * (CLAY - CLAY_LINE),
            metallic=np.zeros(count, np.float32),
            roughness=np.full(count, 0.7, np.float32),
            openness=np.ones(count, np.float32),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMaterial:
    """The high poly with the colours that its surface field has at each point."""

    high_poly: HighPoly
    normals: Float32[np.ndarray, "vertices 3"]
    locate: Locate

    def at(
        self, faces: Int32[np.ndarray, "points"], barycentrics: Float32[np.ndarray, "points 3"], texel_m: float
    ) -> Surface:
        """Smooth vertex normals and a sample of the field; nothing is occluded by itself."""
        del texel_m  # a field has no mip levels
        mesh = self.high_poly.mesh
        corners = mesh.faces[faces]
        points = np.einsum("pc,pci->pi", barycentrics, mesh.positions_m[corners])
        sample = self.high_poly.field.sample(points, self.locate)
        return Surface(
            normals=unit(np.einsum("pc,pci->pi", barycentrics, self.normals[corners])),
            base_color=sample.base_color,
            metallic=sample.metallic,
            roughness=sample.roughness,
            openness=np.ones(len(faces), np.float32),
        )


def mapped_subject(
    raycaster: Raycaster,
    unwrapped: UnwrappedMesh,
    placement: Placement,
    *,
    normal: NormalMap,
    albedo: AlbedoMap,
    packed: PackedMap,
) -> Subject:
    """The finished low poly with its maps, as it will stand in the level."""
    positions = placement.apply(unwrapped.positions_m)
    levels = _levels(normal=normal, albedo=albedo, packed=packed)
    enlargement = levels[0].shape[0] / max(unwrapped.atlas_px, 1) / placement.scale
    return Subject(
        scene=raycaster.scene(positions, unwrapped.faces),
        positions_m=positions,
        faces=unwrapped.faces,
        normals=unwrapped.normals,
        face_normals=_face_normals(positions, unwrapped.faces),
        material=MappedMaterial(
            mesh=unwrapped, levels=levels, texels_per_m=unwrapped.texel_density_px_per_m * enlargement
        ),
    )


def field_subject(raycaster: Raycaster, high_poly: HighPoly, placement: Placement) -> Subject:
    """The high poly, for comparison."""
    positions = placement.apply(high_poly.mesh.positions_m)
    normals = vertex_normals(high_poly.mesh)
    return Subject(
        scene=raycaster.scene(positions, high_poly.mesh.faces),
        positions_m=positions,
        faces=high_poly.mesh.faces,
        normals=normals,
        face_normals=_face_normals(positions, high_poly.mesh.faces),
        material=FieldMaterial(high_poly=high_poly, normals=normals, locate=SceneLocate(raycaster)),
    )


def clay_subject(subject: Subject) -> Subject:
    """The same shape in grey with its edges drawn."""
    return dataclasses.replace(subject, material=ClayMaterial(positions_m=subject.positions_m, faces=subject.faces))


def lifted_hits(subject: Subject, hits: RayHits, inside: Bool[np.ndarray, "points"]) -> Float32[np.ndarray, "points 3"]:
    """Hit points moved off the flat triangles onto the smooth surface that their normals promise.

    Shadow rays from here cast no facets (Hanika, "Hacking the shadow terminator", Ray Tracing Gems II, 2021).
    Places seen from the ``inside`` stay where they are.
    """
    corners = subject.faces[hits.faces]
    places = subject.positions_m[corners]
    weights = hits.barycentrics
    flat = np.einsum("pc,pci->pi", weights, places)
    lifted = np.zeros_like(flat)
    for corner in range(3):
        normal = subject.normals[corners[:, corner]]
        above = np.minimum(np.einsum("pi,pi->p", flat - places[:, corner], normal), 0.0)
        lifted += weights[:, corner : corner + 1] * (flat - above[:, None] * normal)
    return np.where(inside[:, None], flat, lifted)


def unit(vectors: Float32[np.ndarray, "points 3"]) -> Float32[np.ndarray, "points 3"]:
    """Vectors of length 1; a zero vector stays zero."""
    length = np.sqrt(np.einsum("pi,pi->p", vectors, vectors))
    return vectors / np.maximum(length, np.float32(1e-12))[:, None]


def bilinear(
    image: Float32[np.ndarray, "size size channels"], uv: Float32[np.ndarray, "points 2"]
) -> Float32[np.ndarray, "points channels"]:
    """Bilinear look-up; UV outside the unit square is clamped to the border."""
    size = image.shape[0]
    place = np.clip(uv * np.float32(size) - np.float32(0.5), 0.0, size - 1.0)
    start = np.minimum(place.astype(np.int32), max(size - 2, 0))
    part = place - start
    texel = start[:, 1] * size + start[:, 0]
    flat = image.reshape(size * size, -1)
    right = min(size - 1, 1)
    down = right * size
    along = part[:, :1]
    top = flat[texel] * (1 - along) + flat[texel + right] * along
    bottom = flat[texel + down] * (1 - along) + flat[texel + down + right] * along
    return top + (bottom - top) * part[:, 1:]


def _face_normals(
    positions_m: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]
) -> Float32[np.ndarray, "faces 3"]:
    cross = face_cross_products(Mesh(positions_m=positions_m, faces=faces))
    return (cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-30)).astype(np.float32)


def _levels(
    *, normal: NormalMap, albedo: AlbedoMap, packed: PackedMap
) -> tuple[Float32[np.ndarray, "size size 9"], ...]:
    tangent_normal = normal.pixels.astype(np.float32) * np.float32(2.0 / 65535.0) - np.float32(1.0)
    layers = [
        _reduced(layer) for layer in (decode_srgb(albedo.pixels), tangent_normal, _occlusion_roughness_metallic(packed))
    ]
    size = max(layer.shape[0] for layer in layers)
    levels = [np.concatenate([_enlarged(layer, size) for layer in layers], axis=2)]
    while levels[-1].shape[0] % 2 == 0 and levels[-1].shape[0] > 64:
        levels.append(_halved(levels[-1]))
    return tuple(levels)


def _occlusion_roughness_metallic(packed: PackedMap) -> Float32[np.ndarray, "size size 3"]:
    pixels = packed.pixels
    if packed.packing is Packing.MASK_MAP:
        chosen = np.stack([pixels[..., 1], 255 - pixels[..., 3], pixels[..., 0]], axis=-1)
    else:
        chosen = pixels[..., :3]
    return chosen.astype(np.float32) * np.float32(1.0 / 255.0)


def _reduced(layer: Float32[np.ndarray, "size size channels"]) -> Float32[np.ndarray, "small small channels"]:
    while layer.shape[0] > LARGEST_LEVEL_PX and layer.shape[0] % 2 == 0:
        layer = _halved(layer)
    return layer


def _halved(fine: Float32[np.ndarray, "size size channels"]) -> Float32[np.ndarray, "half half channels"]:
    return (fine[0::2, 0::2] + fine[1::2, 0::2] + fine[0::2, 1::2] + fine[1::2, 1::2]) * np.float32(0.25)


def _enlarged(layer: Float32[np.ndarray, "size size channels"], size: int) -> Float32[np.ndarray, "big big channels"]:
    times = size // layer.shape[0]
    return layer if times == 1 else np.repeat(np.repeat(layer, times, axis=0), times, axis=1)
