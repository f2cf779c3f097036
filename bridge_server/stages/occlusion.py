"""Ambient occlusion: the cosine-weighted share of the hemisphere that a point of the surface sees.

Directions are a Hammersley set on the disk, lifted to the hemisphere (Malley's method), so that each carries the
same weight. Every point turns the set about its normal by an angle of its own from a low-discrepancy sequence over
the map (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences"), which spreads the error into
noise that the eye and the denoiser forgive.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from bridge_server.backends.raycaster.base import RayScene

SETS = 16
"""Different direction sets that points take turns with."""
ROBERTS = (0.7548776662466927, 0.5698402909980532)
"""Powers of the inverse of the plastic number."""


def hemisphere_sets(samples: int) -> Float32[np.ndarray, "sets samples 3"]:
    """Unit directions about +Z, density in proportion to the cosine."""
    index = np.arange(samples)
    across = (index + 0.5) / samples
    inverse = np.zeros(samples)
    for bit in range(max(samples - 1, 1).bit_length()):
        inverse += ((index >> bit) & 1) * 0.5 ** (bit + 1)
    shift = np.arange(SETS)[:, None] * np.array(ROBERTS)
    first = (across + shift[:, :1]) % 1.0
    angle = 2.0 * np.pi * ((inverse + shift[:, 1:]) % 1.0)
    radius = np.sqrt(first)
    height = np.sqrt(np.maximum(1.0 - first, 0.0))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=2).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Hemisphere:
    """What looks out from each point."""

    scene: RayScene
    sets: Float32[np.ndarray, "sets samples 3"]
    start_m: float
    """How far above the face rays start."""
    reach_m: float
    """What lies farther away does not count."""


def openness(
    hemisphere: Hemisphere,
    points_m: Float32[np.ndarray, "points 3"],
    normals: Float32[np.ndarray, "points 3"],
    face_normals: Float32[np.ndarray, "points 3"],
    texel: Int64[np.ndarray, "points 2"],
) -> Float32[np.ndarray, "points"]:
    """Share of directions that meet nothing within reach.

    ``texel`` is the row and column, from which the turn of the set follows. Directions that dip below the face,
    where the smoothed normal leans away from it, do not count.
    """
    count, samples = len(points_m), hemisphere.sets.shape[1]
    noise = texel @ np.array(ROBERTS)
    turn = 2.0 * np.pi * (noise % 1.0)
    tangents, bitangents = turned_frames(normals, turn)
    local = hemisphere.sets[(texel[:, 0] * 7 + texel[:, 1] * 3) % SETS]
    frames = np.stack([tangents, bitangents, normals], axis=1)
    directions = np.matmul(local, frames).reshape(-1, 3)
    above = np.matmul(directions.reshape(count, samples, 3), face_normals[:, :, None])[:, :, 0] > 1e-3
    origins = np.repeat(points_m + face_normals * np.float32(hemisphere.start_m), samples, axis=0)
    blocked = np.ones(count * samples, np.bool_)
    cast = np.flatnonzero(above.reshape(-1))
    blocked[cast] = hemisphere.scene.occluded(origins[cast], directions[cast], hemisphere.reach_m)
    seen = (~blocked).reshape(count, samples).sum(axis=1)
    valid = above.sum(axis=1)
    return np.where(valid > 0, seen / np.maximum(valid, 1), 1.0).astype(np.float32)


def turned_frames(
    normals: Float32[np.ndarray, "points 3"], turn: np.ndarray
) -> tuple[Float32[np.ndarray, "points 3"], Float32[np.ndarray, "points 3"]]:
    """Two unit vectors perpendicular to each normal (Duff et al. 2017), turned about it."""
    x, y, z = normals.astype(np.float64).T
    sign = np.where(z < 0.0, -1.0, 1.0)
    a = -1.0 / (sign + z)
    b = x * y * a
    one = np.stack([1.0 + sign * x * x * a, sign * b, -sign * x], axis=1)
    two = np.stack([b, sign + y * y * a, -y], axis=1)
    cosine, sine = np.cos(turn)[:, None], np.sin(turn)[:, None]
    return (cosine * one + sine * two).astype(np.float32), (cosine * two - sine * one).astype(np.float32)
