"""The questions of bakes in plain NumPy, by the rays of any scene: what compiled kernels are held against.

A ray caster without kernels of its own may answer with these.
"""

import numpy as np
from jaxtyping import Float32

from bridge_server.backends.raycaster.base import CastsRays, FacingHits, Lookouts, RayHits
from bridge_server.values.directions import turned_frames

SURFACES_PASSED = 64
"""How many surfaces that face away a ray passes before it gives up."""
START_SHARE = 1e-3
"""Rays start this share of the cage behind the point, so that a surface that coincides with it is hit."""


def facing_hits(
    scene: CastsRays,
    face_normals: Float32[np.ndarray, "faces 3"],
    points_m: Float32[np.ndarray, "points 3"],
    outward: Float32[np.ndarray, "points 3"],
    cage_m: float,
) -> FacingHits:
    """Of the surfaces that face outward the nearest to each point along that direction, to either side."""
    count = len(points_m)
    found = RayHits(
        faces=np.full(count, -1, np.int32),
        barycentrics=np.zeros((count, 3), np.float32),
        distances_m=np.full(count, np.inf, np.float32),
    )
    start = np.float32(cage_m * START_SHARE)
    for side in (np.float32(1.0), np.float32(-1.0)):
        ray, along = np.arange(count), outward * side
        gone = np.full(count, -start, np.float32)
        for _ in range(SURFACES_PASSED):
            hits = scene.first_hits(points_m[ray] + along[ray] * gone[ray, None], along[ray], cage_m + float(start))
            hit = hits.faces >= 0
            ray, faces, weights = ray[hit], hits.faces[hit], hits.barycentrics[hit]
            gone[ray] += hits.distances_m[hit]
            facing = np.einsum("ij,ij->i", face_normals[faces], outward[ray]) > 0.0
            away = np.abs(gone[ray])
            better = facing & (away < found.distances_m[ray]) & (away <= cage_m)
            chosen = ray[better]
            found.faces[chosen], found.barycentrics[chosen] = faces[better], weights[better]
            found.distances_m[chosen] = away[better]
            ray = ray[~facing & (gone[ray] < cage_m)]
            if len(ray) == 0:
                break
            gone[ray] += start
    outermost = scene.first_hits(points_m + outward * np.float32(cage_m), -outward, 2.0 * cage_m).faces
    covered = (found.faces >= 0) & (outermost >= 0) & (outermost != found.faces)
    return FacingHits(
        faces=found.faces, barycentrics=found.barycentrics, distances_m=found.distances_m, covered=covered
    )


def openness(
    scene: CastsRays,
    sets: Float32[np.ndarray, "sets samples 3"],
    lookouts: Lookouts,
    start_m: float,
    reach_m: float,
) -> Float32[np.ndarray, "points"]:
    """Share of each point's directions that meet nothing within reach."""
    count, samples = len(lookouts.points_m), sets.shape[1]
    flat = lookouts.face_normals
    tangents, bitangents = turned_frames(lookouts.normals, lookouts.turns)
    frames = np.stack([tangents, bitangents, lookouts.normals], axis=1)
    directions = np.matmul(sets[lookouts.chosen], frames).reshape(-1, 3)
    above = np.matmul(directions.reshape(count, samples, 3), flat[:, :, None])[:, :, 0] > 1e-3
    origins = np.repeat(lookouts.points_m + flat * np.float32(start_m), samples, axis=0)
    blocked = np.ones(count * samples, np.bool_)
    cast = np.flatnonzero(above.reshape(-1))
    blocked[cast] = scene.occluded(origins[cast], directions[cast], reach_m)
    seen = (~blocked).reshape(count, samples).sum(axis=1)
    valid = above.sum(axis=1)
    return np.where(valid > 0, seen / np.maximum(valid, 1), 1.0).astype(np.float32)
