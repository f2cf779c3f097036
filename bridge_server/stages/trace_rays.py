"""From a place on the low poly to the place on the high poly that it stands for."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32

from bridge_server.backends.raycaster.base import RayScene
from bridge_server.values.mesh import Mesh

CAGE_PERCENTILE = 99.0
CAGE_FACTOR = 2.0
"""Rays run along the normal, which is longer than the shortest way that is measured."""
CAGE_LEAST, CAGE_MOST = 1e-4, 0.05
"""Bounds of the automatic cage, as shares of the diagonal."""


@dataclass(frozen=True, slots=True)
class HighPlaces:
    """One place on the high poly for each ray."""

    faces: Int32[np.ndarray, "points"]
    barycentrics: Float32[np.ndarray, "points 3"]
    by_ray: Bool[np.ndarray, "points"]


@dataclass(frozen=True, slots=True)
class Target:
    """The high poly as rays see it."""

    scene: RayScene
    mesh: Mesh
    cage_m: float
    """How far from the low poly a ray looks, to either side."""


def places_on_high(
    target: Target,
    points_m: Float32[np.ndarray, "points 3"],
    normals: Float32[np.ndarray, "points 3"],
) -> HighPlaces:
    """The surface nearest to each point along its normal, within the cage and facing the same way.

    Both sides of a thin shell lie within the cage; the far one faces away and is passed. Where no ray finds
    anything, the closest point serves: preferably one that faces the same way.
    """
    found = target.scene.facing_hits(points_m, normals, target.cage_m)
    by_ray = found.faces >= 0
    lost = np.flatnonzero(~by_ray)
    if len(lost):
        faces, barycentrics = _closest(target, points_m[lost], normals[lost])
        found.faces[lost], found.barycentrics[lost] = faces, barycentrics
    return HighPlaces(faces=found.faces, barycentrics=found.barycentrics, by_ray=by_ray)


def measured_cage_m(scene: RayScene, points_m: Float32[np.ndarray, "points 3"], diagonal_m: float) -> float:
    """A cage that holds nearly all of the high poly, from the distance of sample points of the low poly to it."""
    distance = float(np.percentile(scene.nearest(points_m).distances_m, CAGE_PERCENTILE)) if len(points_m) else 0.0
    return float(np.clip(CAGE_FACTOR * distance, CAGE_LEAST * diagonal_m, CAGE_MOST * diagonal_m))


def _closest(
    target: Target,
    points_m: Float32[np.ndarray, "points 3"],
    normals: Float32[np.ndarray, "points 3"],
) -> tuple[Int32[np.ndarray, "points"], Float32[np.ndarray, "points 3"]]:
    """Closest place; where that faces away, the closest one to a point on the cage if it faces the right way."""
    near = target.scene.nearest(points_m)
    faces, barycentrics = near.faces.copy(), near.barycentrics.copy()
    away = np.flatnonzero(_facing(target, faces, normals) <= 0.0)
    if len(away):
        outer = target.scene.nearest((points_m[away] + normals[away] * np.float32(target.cage_m)).astype(np.float32))
        turned = _facing(target, outer.faces, normals[away]) > 0.0
        faces[away[turned]], barycentrics[away[turned]] = outer.faces[turned], outer.barycentrics[turned]
    return faces, barycentrics


def _facing(
    target: Target, faces: Int32[np.ndarray, "points"], normals: Float32[np.ndarray, "points 3"]
) -> Float32[np.ndarray, "points"]:
    """Positive where a face looks the way of a normal; zero where it has no area."""
    corners = target.mesh.positions_m[target.mesh.faces[faces]]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.einsum("ij,ij->i", cross, normals)


def unit_rows(vectors: Float64[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
    """Each row at length 1; +Y where there is nothing to normalise."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    up = np.broadcast_to(np.array([0.0, 1.0, 0.0], vectors.dtype), vectors.shape)
    return np.divide(vectors, length, out=up.copy(), where=length > 1e-20).astype(np.float32)
