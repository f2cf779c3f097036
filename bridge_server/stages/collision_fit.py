"""How well pieces hold a mesh, and the fewest vertices with which they still do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bridge_server.run import Run
from bridge_server.stages.collision_shapes import FittedShape, fit_convex
from bridge_server.values.convex import reduced_hull
from bridge_server.values.mesh import Mesh, face_cross_products, is_watertight, volume_m3

SAMPLE_COUNT = 4096
TOLERANCE = 0.01
"""How far outside of all pieces a surface sample may lie, as a share of the mesh's diagonal."""
HOLDS = 0.97
"""Share of the samples that pieces must hold, relative to what the unreduced pieces hold."""
SWELLS = 1.2
"""Volume that fewer vertices may add, over that of the unreduced pieces."""
VERTEX_LADDER = (8, 10, 12, 16, 20, 24, 32, 48, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class HullLimits:
    """What an engine and the triangle budget allow."""

    triangles: int
    """Of all pieces together; a wish."""
    vertices: int
    """Of each piece; a must."""


def surface_samples(mesh: Mesh, seed: int) -> Float64[np.ndarray, "samples 3"]:
    """Points spread evenly over the surface by area."""
    rng = np.random.default_rng(seed)
    areas = np.linalg.norm(face_cross_products(mesh), axis=1)
    total = float(areas.sum())
    if total <= 0.0:
        return mesh.positions_m.astype(np.float64)
    at = (np.arange(SAMPLE_COUNT) + rng.random(SAMPLE_COUNT)) / SAMPLE_COUNT * total
    faces = mesh.faces[np.minimum(np.searchsorted(np.cumsum(areas), at), len(areas) - 1)]
    u, v = rng.random((2, SAMPLE_COUNT, 1))
    fold = u + v > 1.0
    u, v = np.where(fold, 1.0 - u, u), np.where(fold, 1.0 - v, v)
    a, b, c = (mesh.positions_m[faces[:, corner]].astype(np.float64) for corner in range(3))
    return a + u * (b - a) + v * (c - a)


def containment(pieces: Sequence[FittedShape], samples: Float64[np.ndarray, "samples 3"], tolerance_m: float) -> float:
    """Share of the samples that lie in at least one piece, or no farther outside than the tolerance."""
    held = np.zeros(len(samples), bool)
    for piece in pieces:
        held |= piece.outside_m(samples) <= tolerance_m
    return float(held.mean())


def excess_volume(pieces: Sequence[FittedShape], mesh: Mesh) -> float:
    """Volume of the pieces over that of the mesh, minus 1; NaN where the mesh is open or has no volume."""
    volume = volume_m3(mesh) if is_watertight(mesh) else 0.0
    return sum(piece.volume_m3 for piece in pieces) / volume - 1.0 if volume > 1e-15 else float("nan")


def fit_hulls(
    hulls: Sequence[Mesh], mesh: Mesh, samples: Float64[np.ndarray, "samples 3"], limits: HullLimits, run: Run
) -> tuple[FittedShape, ...]:
    """The hulls with as many vertices as the triangle budget allows, or the fewest that hold the mesh.

    A closed hull of n vertices has 2 n - 4 triangles. The ladder is climbed from the best step inside the budget.
    """
    tolerance_m = TOLERANCE * mesh.diagonal_m
    whole = tuple(fit_convex(hull) for hull in hulls)
    held = HOLDS * containment(whole, samples, tolerance_m)
    most_m3 = SWELLS * sum(fit.volume_m3 for fit in whole)
    steps = [count for count in VERTEX_LADDER if count < limits.vertices] + [limits.vertices]
    affordable = [count for count in steps if len(hulls) * (2 * count - 4) <= limits.triangles]
    fits: tuple[FittedShape, ...] = ()
    for step in steps[max(len(affordable) - 1, 0) :]:
        run.checkpoint(0.9, f"hulls of {step} vertices")
        fits = tuple(fit_convex(reduced_hull(hull, step, tolerance_m)) for hull in hulls)
        if containment(fits, samples, tolerance_m) >= held and sum(fit.volume_m3 for fit in fits) <= most_m3:
            break
    return fits
