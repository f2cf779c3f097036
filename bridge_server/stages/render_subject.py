"""What stands in front of the camera: a ray scene, and the material of every place on its surface."""

import dataclasses
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64

from bridge_server.backends.raycaster.base import Raycaster, RayScene
from bridge_server.stages.render_maps import mapped_material
from bridge_server.stages.render_places import Places, Surface, interpolated, places_on, unit
from bridge_server.stages.surface_places import SceneLocate
from bridge_server.values.mesh import HighPoly, UnwrappedMesh, vertex_normals
from bridge_server.values.placement import Placement
from bridge_server.values.surface import Locate, SurfacePlaces
from bridge_server.values.texture import AlbedoMap, NormalMap, PackedMap

CLAY = np.array([0.52, 0.53, 0.54], np.float32)
CLAY_LINE = np.array([0.05, 0.06, 0.07], np.float32)


class Material(Protocol):
    """Answers what places look like."""

    def at(self, places: Places, texel_m: float) -> Surface:
        """Material at each place, when a sample of the picture is about ``texel_m`` wide there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A surface ready to be rendered: placed positions in metres, Y up, with its ray scene. Arrays in "F" order."""

    scene: RayScene
    positions_m: Float32[np.ndarray, "vertices 3"]
    faces: Int64[np.ndarray, "faces 3"]
    normals: Float32[np.ndarray, "vertices 3"]
    face_normals: Float32[np.ndarray, "faces 3"]
    material: Material

    def places(
        self,
        hit: Int64[np.ndarray, "points"],
        weights: Float32[np.ndarray, "points 3"],
        to_viewer: Float32[np.ndarray, "points 3"],
    ) -> Places:
        """What lies where rays met the faces ``hit``."""
        return places_on(
            self.positions_m,
            self.normals,
            self.faces,
            self.face_normals,
            hit=hit,
            weights=weights,
            to_viewer=to_viewer,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClayMaterial:
    """Plain grey, flat shaded, with a line along every edge: shows the triangles."""

    heights_m: Float32[np.ndarray, "faces 3"]
    """How far each corner is from the edge opposite."""
    usual_m: float
    """Edge of a triangle of middling area."""

    def at(self, places: Places, texel_m: float) -> Surface:
        """Face normals; dark where an edge is nearer than the width of a sample, less so where triangles are small."""
        count = len(places.faces)
        edge_m = np.full(count, np.inf, np.float32)
        for corner in range(3):
            heights = self.heights_m[:, corner].take(places.faces)
            np.minimum(edge_m, heights * places.weights[:, corner], out=edge_m)
        paint = np.clip(edge_m / np.float32(texel_m) - np.float32(0.2), 0.0, 1.0)
        paint = 1.0 - (1.0 - paint) * np.float32(min(max(self.usual_m / (12.0 * texel_m), 0.35), 1.0))
        return Surface(
            normals=places.facing * places.side[:, None],
            base_color=np.stack([line + paint * (clay - line) for clay, line in zip(CLAY, CLAY_LINE, strict=True)]).T,
            metallic=np.zeros(count, np.float32),
            roughness=np.full(count, 0.7, np.float32),
            openness=np.ones(count, np.float32),
        )


@dataclass(frozen=True, slots=True)
class _HitLocate:
    """A ``Locate`` for places on the high poly: where the field hangs on that very mesh, they are known already."""

    high_poly: HighPoly
    elsewhere: Locate
    places: Places

    def __call__(
        self,
        positions_m: Float32[np.ndarray, "vertices 3"],
        faces: Int32[np.ndarray, "faces 3"],
        points_m: Float32[np.ndarray, "points 3"],
    ) -> SurfacePlaces:
        """One place for each point."""
        mesh = self.high_poly.mesh
        if np.array_equal(faces, mesh.faces) and np.array_equal(positions_m, mesh.positions_m):
            return SurfacePlaces(faces=self.places.faces.astype(np.int32), barycentrics=self.places.weights)
        return self.elsewhere(positions_m, faces, points_m)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMaterial:
    """The high poly with the colours that its surface field has at each point."""

    high_poly: HighPoly
    locate: Locate

    def at(self, places: Places, texel_m: float) -> Surface:
        """Smooth vertex normals and a sample of the field; nothing is occluded by itself."""
        del texel_m  # a field has no mip levels
        points = interpolated(self.high_poly.mesh.positions_m, places.corners, places.weights)
        locate = _HitLocate(self.high_poly, self.locate, places)
        sample = self.high_poly.field.sample(np.ascontiguousarray(points), locate)
        return Surface(
            normals=unit(places.normals),
            base_color=np.asfortranarray(sample.base_color),
            metallic=sample.metallic,
            roughness=sample.roughness,
            openness=np.ones(len(points), np.float32),
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
    material = mapped_material(unwrapped, scale=placement.scale, normal=normal, albedo=albedo, packed=packed)
    positions = placement.apply(unwrapped.positions_m)
    return _subject(raycaster, positions, unwrapped.faces, unwrapped.normals, material)


def field_subject(raycaster: Raycaster, high_poly: HighPoly, placement: Placement) -> Subject:
    """The high poly, for comparison."""
    mesh = high_poly.mesh
    material = FieldMaterial(high_poly=high_poly, locate=SceneLocate(raycaster))
    return _subject(raycaster, placement.apply(mesh.positions_m), mesh.faces, vertex_normals(mesh), material)


def clay_subject(subject: Subject) -> Subject:
    """The same shape in grey with its edges drawn."""
    corners = subject.positions_m[subject.faces]
    doubled_area = np.linalg.norm(_crossed(subject.positions_m, subject.faces), axis=1)
    opposite = np.linalg.norm(corners[:, [1, 2, 0]] - corners[:, [2, 0, 1]], axis=2)
    heights = doubled_area[:, None] / np.maximum(opposite, np.float32(1e-12))
    material = ClayMaterial(
        heights_m=np.asfortranarray(heights.astype(np.float32)), usual_m=float(np.sqrt(np.median(doubled_area)))
    )
    return dataclasses.replace(subject, material=material)


def _subject(
    raycaster: Raycaster,
    positions_m: Float32[np.ndarray, "vertices 3"],
    faces: Int32[np.ndarray, "faces 3"],
    normals: Float32[np.ndarray, "vertices 3"],
    material: Material,
) -> Subject:
    return Subject(
        scene=raycaster.scene(positions_m, faces),
        positions_m=np.asfortranarray(positions_m),
        faces=np.asfortranarray(faces, np.int64),
        normals=np.asfortranarray(normals),
        face_normals=np.asfortranarray(unit(_crossed(positions_m, faces)), np.float32),
        material=material,
    )


def _crossed(
    positions_m: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"] | Int64[np.ndarray, "faces 3"]
) -> Float64[np.ndarray, "faces 3"]:
    exact = positions_m.astype(np.float64)
    first = exact[faces[:, 0]]
    return np.cross(exact[faces[:, 1]] - first, exact[faces[:, 2]] - first)
