"""Pieces of a wrapped surface drawn close to it again: the wrap lies a grid cell outside."""

from collections.abc import Sequence

import numpy as np

from bridge_server.stages.collision_fit import outside_all_m, surface_samples
from bridge_server.stages.collision_shapes import fit_convex
from bridge_server.values.convex import convex_hull
from bridge_server.values.mesh import Mesh

SAMPLES = 20_000


def drawn_close(hulls: Sequence[Mesh], mesh: Mesh, least_thickness_m: float, seed: int) -> tuple[Mesh, ...]:
    """For each hull that of the surface in it; a point in several belongs to the one in which it lies deepest.

    Hulls without any surface in them are left out.
    """
    samples = surface_samples(mesh, seed, SAMPLES)
    points = np.concatenate([mesh.positions_m[np.unique(mesh.faces)].astype(np.float64), samples])
    owner = outside_all_m([fit_convex(hull) for hull in hulls], points).argmin(axis=0)
    return tuple(
        convex_hull(points[owner == number], least_thickness_m)
        for number in range(len(hulls))
        if (owner == number).any()
    )
