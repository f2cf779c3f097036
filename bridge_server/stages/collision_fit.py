"""How well pieces hold a mesh, and the fewest vertices with which they still do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bridge_server.run import Run
from bridge_server.stages.collision_shapes import FittedShape, fit_convex
from bridge_server.values.convex import convex_hull, outside_distance_m, reduced_hull, reduced_hulls
from bridge_server.values.mesh import Mesh, face_cross_products, volume_m3
from bridge_server.values.solid import bounded_solid

SAMPLE_COUNT = 4096
TOLERANCE = 0.01
"""How far outside of all pieces a surface sample may lie, as a share of the mesh's diagonal."""
LOSSES = ((1.02, 0.4 * TOLERANCE), (1.0, 0.8 * TOLERANCE))
"""What fewer vertices may do to a piece, where the triangle budget is kept and where it is not.

The volume over that of the whole piece, and how far it may fall short of that, as a share of the mesh's diagonal.
"""
VERTEX_LADDER = (6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192)


@dataclass(frozen=True, slots=True, kw_only=True)
class HullLimits:
    """What an engine and the triangle budget allow."""

    triangles: int
    """Of all pieces together; a wish."""
    vertices: int
    """Of each piece; a must."""


def surface_samples(mesh: Mesh, seed: int, count: int = SAMPLE_COUNT) -> Float64[np.ndarray, "samples 3"]:
    """Points spread evenly over the surface by area."""
    rng = np.random.default_rng(seed)
    areas = np.linalg.norm(face_cross_products(mesh), axis=1)
    total = float(areas.sum())
    if total <= 0.0:
        return mesh.positions_m.astype(np.float64)
    at = (np.arange(count) + rng.random(count)) / count * total
    faces = mesh.faces[np.minimum(np.searchsorted(np.cumsum(areas), at), len(areas) - 1)]
    u, v = rng.random((2, count, 1))
    fold = u + v > 1.0
    u, v = np.where(fold, 1.0 - u, u), np.where(fold, 1.0 - v, v)
    a, b, c = (mesh.positions_m[faces[:, corner]].astype(np.float64) for corner in range(3))
    return a + u * (b - a) + v * (c - a)


def outside_all_m(
    pieces: Sequence[FittedShape], points: Float64[np.ndarray, "points 3"]
) -> Float64[np.ndarray, "pieces points"]:
    """Distance of each point to each piece; negative inside."""
    return np.stack([piece.outside_m(points) for piece in pieces])


def containment(pieces: Sequence[FittedShape], samples: Float64[np.ndarray, "samples 3"], tolerance_m: float) -> float:
    """Share of the samples that lie in at least one piece, or no farther outside than the tolerance."""
    return float((outside_all_m(pieces, samples).min(axis=0) <= tolerance_m).mean())


def excess_volume(pieces: Sequence[FittedShape], solid: Mesh) -> float:
    """Volume in any of the pieces and not in the closed mesh, over that of the mesh; NaN where it bounds no solid.

    Exact for convex pieces and boxes, to a per cent for balls and capsules, which count as round as the engine makes
    them.
    """
    from manifold3d import Manifold, OpType

    whole = bounded_solid(solid)
    volume = float(whole.volume()) if whole is not None else 0.0
    if whole is None or volume <= 0.0:
        return float("nan")
    hulls = [Manifold.hull_points(piece.outline.astype(np.float32)) for piece in pieces]
    return float((Manifold.batch_boolean(hulls, OpType.Add) - whole).volume()) / volume


def fit_hulls(hulls: Sequence[Mesh], mesh: Mesh, limits: HullLimits, run: Run) -> tuple[FittedShape, ...]:
    """Each hull with the fewest vertices that hold it; where that breaks the triangle budget, it may lose more."""
    fits: tuple[FittedShape, ...] = ()
    for swells, slack in LOSSES:
        found = []
        for number, hull in enumerate(hulls):
            run.checkpoint(0.86 + 0.08 * number / len(hulls), f"hull {number + 1} of {len(hulls)}")
            found.append(fit_convex(_fewest(hull, limits.vertices, slack * mesh.diagonal_m, swells)))
        fits = tuple(found)
        if sum(len(fit.mesh.faces) for fit in fits) <= limits.triangles:
            break
    return fits


def _fewest(hull: Mesh, most: int, slack_m: float, swells: float) -> Mesh:
    """With the fewest vertices that hold the hull and add little volume; else with the most allowed."""
    counts = [count for count in VERTEX_LADDER if count < most] + [most]
    most_m3 = swells * volume_m3(hull)
    smaller = hull
    for smaller in reduced_hulls(hull, counts, slack_m):
        falls_short_m = float(outside_distance_m(smaller, hull.positions_m).max())
        if falls_short_m <= 1.01 * slack_m and volume_m3(smaller) <= most_m3:
            break
    return smaller


def repaired(
    pieces: Sequence[FittedShape], samples: Float64[np.ndarray, "samples 3"], limits: HullLimits, tolerance_m: float
) -> tuple[FittedShape, ...]:
    """Pieces that lack samples are grown around those nearest to them."""
    outside_m = outside_all_m(pieces, samples)
    nearest = outside_m.argmin(axis=0)
    lacking = outside_m.min(axis=0) > tolerance_m
    result = list(pieces)
    for number in np.unique(nearest[lacking]).tolist():
        missed = samples[lacking & (nearest == number)].astype(np.float32)
        grown = convex_hull(np.concatenate([pieces[number].mesh.positions_m, missed]))
        result[number] = fit_convex(reduced_hull(grown, limits.vertices, 0.5 * tolerance_m))
    return tuple(result)
