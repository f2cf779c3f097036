"""From a place on the low poly to the place on the high poly that it stands for."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from bridge_server.backends.raycaster.base import NearestPlaces, RayScene
from bridge_server.values.mesh import Mesh

SURFACES_PASSED = 6
"""How many surfaces a ray passes before it gives up."""
START_SHARE = 1e-3
"""Rays start this share of the cage behind the low poly, so that a surface that coincides with it is hit."""
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
    face_normals: Float32[np.ndarray, "faces 3"]
    """Outward, unit length."""
    mesh: Mesh
    cage_m: float
    """How far from the low poly a ray looks, to either side."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Nearest accepted hit so far."""

    faces: Int32[np.ndarray, "points"]
    barycentrics: Float32[np.ndarray, "points 3"]
    distances_m: Float32[np.ndarray, "points"]


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
    count = len(points_m)
    found = _Found(
        faces=np.full(count, -1, np.int32),
        barycentrics=np.zeros((count, 3), np.float32),
        distances_m=np.full(count, np.inf, np.float32),
    )
    inside = _look_outward(target, points_m, normals, found)
    _look_inward(target, points_m, normals, np.flatnonzero(~inside), found)
    by_ray = found.faces >= 0
    lost = np.flatnonzero(~by_ray)
    if len(lost):
        faces, barycentrics = _closest(target, points_m[lost], normals[lost])
        found.faces[lost], found.barycentrics[lost] = faces, barycentrics
    facing = by_ray.copy()
    facing[lost] = np.einsum("ij,ij->i", target.face_normals[found.faces[lost]], normals[lost]) > 0.0
    return HighPlaces(faces=found.faces, barycentrics=found.barycentrics, by_ray=by_ray, facing=facing)


def measured_cage_m(scene: RayScene, points_m: Float32[np.ndarray, "points 3"], diagonal_m: float) -> float:
    """A cage that holds nearly all of the high poly, from the distance of sample points of the low poly to it."""
    distance = float(np.percentile(scene.nearest(points_m).distances_m, CAGE_PERCENTILE)) if len(points_m) else 0.0
    return float(np.clip(CAGE_FACTOR * distance, CAGE_LEAST * diagonal_m, CAGE_MOST * diagonal_m))


def _look_outward(
    target: Target,
    points_m: Float32[np.ndarray, "points 3"],
    normals: Float32[np.ndarray, "points 3"],
    found: _Found,
) -> Bool[np.ndarray, "points"]:
    """Follow the rays to the end of the cage and write what they find; whether each point lies inside a solid."""
    entered = np.zeros(len(points_m), np.int32)
    inside = np.zeros(len(points_m), np.bool_)

    def visit(met: _Met) -> Bool[np.ndarray, "met"]:
        left = met.same_way & (entered[met.rays] == 0)
        entered[met.rays] += np.where(left, 0, np.where(met.same_way, -1, 1)).astype(np.int32)
        inside[met.rays[left]] = True
        nearer = met.same_way & ~left & ~inside[met.rays] & (met.gone_m < found.distances_m[met.rays])
        _take(found, met, left | nearer)
        return np.ones(len(met.rays), np.bool_)

    _follow(target, points_m, normals, np.arange(len(points_m)), visit, outward=True)
    return inside


def _look_inward(
    target: Target,
    points_m: Float32[np.ndarray, "points 3"],
    normals: Float32[np.ndarray, "points 3"],
    rays: Int64[np.ndarray, "rays"],
    found: _Found,
) -> None:
    """Follow the rays up to the first surface that faces the same way, and write what is nearer than ``found``."""

    def visit(met: _Met) -> Bool[np.ndarray, "met"]:
        _take(found, met, met.same_way & (np.abs(met.gone_m) < found.distances_m[met.rays]))
        return ~met.same_way

    _follow(target, points_m, normals, rays, visit, outward=False)


@dataclass(frozen=True, slots=True)
class _Met:
    """Surfaces that rays have met within the cage, one a ray."""

    rays: Int64[np.ndarray, "met"]
    faces: Int32[np.ndarray, "met"]
    barycentrics: Float32[np.ndarray, "met 3"]
    gone_m: Float32[np.ndarray, "met"]
    """How far from the low poly."""
    same_way: Bool[np.ndarray, "met"]
    """Whether the surface faces the way the low poly does."""


def _follow(
    target: Target,
    points_m: Float32[np.ndarray, "points 3"],
    normals: Float32[np.ndarray, "points 3"],
    rays: Int64[np.ndarray, "rays"],
    visit: Callable[[_Met], Bool[np.ndarray, "met"]],
    *,
    outward: bool,
) -> None:
    """Show ``visit`` each surface that rays meet within the cage, in turn; it says which rays go on."""
    start = np.float32(target.cage_m * START_SHARE)
    along = normals if outward else -normals
    gone = np.full(len(points_m), -start, np.float32)
    for _ in range(SURFACES_PASSED):
        if len(rays) == 0:
            return
        origins = points_m[rays] + along[rays] * gone[rays, None]
        hits = target.scene.first_hits(origins, along[rays], target.cage_m + float(start))
        gone[rays] += hits.distances_m
        met = (hits.faces >= 0) & (gone[rays] <= target.cage_m)
        rays, faces = rays[met], hits.faces[met]
        same_way = np.einsum("ij,ij->i", target.face_normals[faces], normals[rays]) > 0.0
        rays = rays[visit(_Met(rays, faces, hits.barycentrics[met], gone[rays], same_way))]
        gone[rays] += start


def _take(found: _Found, met: _Met, chosen: Bool[np.ndarray, "met"]) -> None:
    rows = met.rays[chosen]
    found.faces[rows], found.barycentrics[rows] = met.faces[chosen], met.barycentrics[chosen]
    found.distances_m[rows] = np.abs(met.gone_m[chosen])


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
    away = np.flatnonzero(np.einsum("ij,ij->i", target.face_normals[faces], normals) <= 0.0)
    for step in range(PROBES):
        if len(away) == 0:
            break
        best = np.full(len(away), np.inf, np.float32)
        for side in (1.0, -1.0):
            offset = np.float32(side * target.cage_m * 2.0**step)
            found = target.scene.nearest((points_m[away] + normals[away] * offset).astype(np.float32))
            gap = np.linalg.norm(_places(target, found) - points_m[away], axis=1)
            turned = np.einsum("ij,ij->i", target.face_normals[found.faces], normals[away]) > 0.0
            better = turned & (gap < best)
            rows = away[better]
            faces[rows], barycentrics[rows] = found.faces[better], found.barycentrics[better]
            best[better] = gap[better]
        away = away[np.isinf(best)]
    return faces, barycentrics


def _places(target: Target, found: NearestPlaces) -> Float32[np.ndarray, "points 3"]:
    return np.einsum("pc,pcd->pd", found.barycentrics, target.mesh.positions_m[target.mesh.faces[found.faces]]).astype(
        np.float32
    )


def unit_rows(vectors: Float64[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
    """Each row at length 1; +Y where there is nothing to normalise."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    up = np.broadcast_to(np.array([0.0, 1.0, 0.0], vectors.dtype), vectors.shape)
    return np.divide(vectors, length, out=up.copy(), where=length > 1e-20).astype(np.float32)
