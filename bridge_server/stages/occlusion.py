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
DIGITS = 7
"""Enough for the most samples that may be asked for, counted by fours."""
ROBERTS = (0.7548776662466927, 0.5698402909980532)
"""Powers of the inverse of the plastic number."""


def hemisphere_sets(samples: int, parts: int = 1) -> Float32[np.ndarray, "sets_times_parts samples_each 3"]:
    """Unit directions about +Z, density in proportion to the cosine.

    ``parts``, of which ``samples`` must be a multiple, deals out each set to so many places that look out together;
    part k of set s is row ``s * parts + k``. Each part goes round the whole hemisphere.
    """
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
    whole = np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=2).astype(np.float32)
    digits = index[:, None] // parts ** np.arange(DIGITS)
    part = digits.sum(axis=1) % parts  # the sum of digits follows no run of neighbours, near or far, in the set
    dealt = np.stack([whole[:, part == one] for one in range(parts)], axis=1)
    return dealt.reshape(SETS * parts, samples // parts, 3)


@dataclass(frozen=True, slots=True)
class Hemisphere:
    """What looks out from each point."""

    scene: RayScene
    sets: Float32[np.ndarray, "sets samples 3"]
    """Of ``hemisphere_sets``, dealt out to the spots of a texel."""
    start_m: float
    """How far above the face rays start."""
    reach_m: float
    """What lies farther away does not count."""


def openness(
    hemisphere: Hemisphere,
    points_m: Float32[np.ndarray, "points 3"],
    normals: Float32[np.ndarray, "points 3"],
    face_normals: Float32[np.ndarray, "points 3"],
    texel: Int64[np.ndarray, "texels 2"],
) -> Float32[np.ndarray, "texels"]:
    """Share of directions that meet nothing within reach, seen from the points of each texel together.

    ``texel`` is the row and column, from which the turn of the set follows; its points stand one after another, as
    many as the set was dealt out to. Directions that dip below the face, where the smoothed normal leans away from it,
    do not count.
    """
    parts = len(hemisphere.sets) // SETS
    chosen = (texel[:, :1] * 7 + texel[:, 1:] * 3) % SETS * parts + np.arange(parts)
    lookouts = Lookouts(
        points_m=points_m,
        normals=normals,
        face_normals=face_normals,
        turns=np.repeat(2.0 * np.pi * ((texel @ np.array(ROBERTS)) % 1.0), parts),
        chosen=chosen.reshape(-1).astype(np.int32),
    )
    each = hemisphere.scene.openness(hemisphere.sets, lookouts, hemisphere.start_m, hemisphere.reach_m)
    return each.reshape(-1, parts).mean(axis=1)
