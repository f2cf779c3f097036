"""From a place on the low poly to the place on the high poly that it stands for."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32

from bridge_server.backends.raycaster.base import FacingHits, RayScene
from bridge_server.values.mesh import Mesh

SURFACES_PASSED = 16
"""How many surfaces that may cover a place are looked at before the search gives up."""
START_SHARE = 1e-3
"""Rays go on this share of the cage behind a surface, so that they do not meet it again."""
PROBES = 6
"""How often the search for a closest place that faces the right way moves on, twice as far each time."""
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
    facing: Bool[np.ndarray, "points"]
    """False where nothing near faces the same way, so that the other side of a wall had to serve."""


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
    """The surface nearest to each point along its normal that faces the same way and can be seen from outside.

    Both sides of a thin shell lie within the cage; the far one faces away and is passed. A surface inside another
    solid, as under a bolt that is stuck into a plate, is hidden: on the way out from it a ray leaves a solid that it
    has not entered, and then the outermost surface that it leaves so is taken. Where no ray finds anything, the
    closest point that faces the same way serves.
    """
    found = target.scene.facing_hits(points_m, normals, target.cage_m)
    _uncover(target, points_m, normals, found)
    by_ray = found.faces >= 0
    lost = np.flatnonzero(~by_ray)
    if len(lost):
        faces, barycentrics = _closest(target, points_m[lost], normals[lost])
        found.faces[lost], found.barycentrics[lost] = faces, barycentrics
    facing = by_ray.copy()
    facing[lost] = _facing(target, found.faces[lost], normals[lost]) > 0.0
    return HighPlaces(faces=found.faces, barycentrics=found.barycentrics, by_ray=by_ray, facing=facing)


def measured_cage_m(scene: RayScene, points_m: Float32[np.ndarray, "points 3"], diagonal_m: float) -> float:
    """A cage that holds nearly all of the high poly, from the distance of sample points of the low poly to it."""
    distance = float(np.percentile(scene.nearest(points_m).distances_m, CAGE_PERCENTILE)) if len(points_m) else 0.0
    return float(np.clip(CAGE_FACTOR * distance, CAGE_LEAST * diagonal_m, CAGE_MOST * diagonal_m))


def _uncover(
    target: Target,
    points_m: Float32[np.ndarray, "points 3"],
    normals: Float32[np.ndarray, "points 3"],
    found: FacingHits,
) -> None:
    """Go on outward from what was found, and take the surface by which a ray leaves a solid that it has not entered.

    Only where something lies farther out at all, which whoever found the place has seen.
    """
    start = np.float32(target.cage_m * START_SHARE)
    ray = np.flatnonzero(found.covered)
    places = _places(target, found.faces[ray], found.barycentrics[ray])
    gone = np.zeros(len(points_m), np.float32)
    gone[ray] = np.einsum("ij,ij->i", places - points_m[ray], normals[ray]) + start
    entered = np.zeros(len(points_m), np.int32)
    for _ in range(SURFACES_PASSED):
        if len(ray) == 0:
            return
        origins = points_m[ray] + normals[ray] * gone[ray, None]
        hits = target.scene.first_hits(origins, normals[ray], 2.0 * target.cage_m)
        gone[ray] += hits.distances_m
        met = (hits.faces >= 0) & (gone[ray] <= target.cage_m)
        ray, faces, weights = ray[met], hits.faces[met], hits.barycentrics[met]
        same_way = _facing(target, faces, normals[ray]) > 0.0
        left = same_way & (entered[ray] == 0)
        entered[ray] += np.where(left, 0, np.where(same_way, -1, 1)).astype(np.int32)
        chosen = ray[left]
        found.faces[chosen], found.barycentrics[chosen] = faces[left], weights[left]
        gone[ray] += start


def _closest(
    target: Target,
    points_m: Float32[np.ndarray, "points 3"],
    normals: Float32[np.ndarray, "points 3"],
) -> tuple[Int32[np.ndarray, "points"], Float32[np.ndarray, "points 3"]]:
    """Closest place; where that faces away, as the other side of a thin wall does, the closest that does not.

    It is looked for from places farther and farther along the normal, to both sides. Where all of them find places
    that face away, the closest one stays.
    """
    near = target.scene.nearest(points_m)
    faces, barycentrics = near.faces.copy(), near.barycentrics.copy()
    away = np.flatnonzero(_facing(target, faces, normals) <= 0.0)
    for step in range(PROBES):
        if len(away) == 0:
            break
        best = np.full(len(away), np.inf, np.float32)
        for side in (1.0, -1.0):
            offset = np.float32(side * target.cage_m * 2.0**step)
            found = target.scene.nearest((points_m[away] + normals[away] * offset).astype(np.float32))
            gap = np.linalg.norm(_places(target, found.faces, found.barycentrics) - points_m[away], axis=1)
            turned = _facing(target, found.faces, normals[away]) > 0.0
            better = turned & (gap < best)
            rows = away[better]
            faces[rows], barycentrics[rows] = found.faces[better], found.barycentrics[better]
            best[better] = gap[better]
        away = away[np.isinf(best)]
    return faces, barycentrics


def _facing(
    target: Target, faces: Int32[np.ndarray, "points"], normals: Float32[np.ndarray, "points 3"]
) -> Float32[np.ndarray, "points"]:
    """Positive where a face looks the way of a normal; zero where it has no area."""
    corners = target.mesh.positions_m[target.mesh.faces[faces]]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return np.einsum("ij,ij->i", cross, normals)


def _places(
    target: Target, faces: Int32[np.ndarray, "points"], barycentrics: Float32[np.ndarray, "points 3"]
) -> Float32[np.ndarray, "points 3"]:
    corners = target.mesh.positions_m[target.mesh.faces[faces]]
    return np.einsum("pc,pcd->pd", barycentrics, corners).astype(np.float32)


def unit_rows(vectors: Float64[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
    """Each row at length 1; +Y where there is nothing to normalise."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    up = np.broadcast_to(np.array([0.0, 1.0, 0.0], vectors.dtype), vectors.shape)
    return np.divide(vectors, length, out=up.copy(), where=length > 1e-20).astype(np.float32)
