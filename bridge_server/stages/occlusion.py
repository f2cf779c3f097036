"""Ambient occlusion: the cosine-weighted share of the hemisphere that a point of the surface sees.

Directions are a Hammersley set on the disk, lifted to the hemisphere (Malley's method), so that each carries the
same weight. Every point turns the set about its normal by an angle of its own from a low-discrepancy sequence over
the map (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences"), which spreads the error into
noise that the eye and the denoiser forgive.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from bridge_server.backends.raycaster.base import Lookouts, RayScene

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
    lookouts = Lookouts(
        points_m=points_m,
        normals=normals,
        face_normals=face_normals,
        turns=2.0 * np.pi * ((texel @ np.array(ROBERTS)) % 1.0),
        chosen=((texel[:, 0] * 7 + texel[:, 1] * 3) % SETS).astype(np.int32),
    )
    return hemisphere.scene.openness(hemisphere.sets, lookouts, hemisphere.start_m, hemisphere.reach_m)
