"""Pieces of a wrapped surface drawn close to it again: the wrap lies a grid cell outside."""

from collections.abc import Sequence

import numpy as np

from bridge_server.stages.collision_fit import outside_all_m, surface_samples
from bridge_server.stages.collision_shapes import fit_convex
from bridge_server.values.convex import convex_hull
from bridge_server.values.mesh import Mesh

SAMPLES = 20_000


def drawn_close(hulls: Sequence[Mesh], mesh: Mesh, least_thickness_m: float, seed: int) -> tuple[Mesh, ...]:
    """For each hull that of the surface in it; hulls without any surface of their own are left out.

    A point in several hulls goes to the one that grows least by it, beginning with what each of them holds alone.
    """
    samples = surface_samples(mesh, seed, SAMPLES)
    points = np.concatenate([mesh.positions_m[np.unique(mesh.faces)].astype(np.float64), samples])
    depth = outside_all_m([fit_convex(hull) for hull in hulls], points)
    owner = depth.argmin(axis=0)
    shared = (depth <= 0.0).sum(axis=0) > 1
    own = [number for number in range(len(hulls)) if ((owner == number) & ~shared).any()]
    if own:
        cores = [fit_convex(convex_hull(points[(owner == number) & ~shared], least_thickness_m)) for number in own]
        growth = np.where(depth[own][:, shared] <= 0.0, outside_all_m(cores, points[shared]), np.inf)
        owner[shared] = np.where(np.isfinite(growth.min(axis=0)), np.array(own)[growth.argmin(axis=0)], owner[shared])
    return tuple(
        convex_hull(points[owner == number], least_thickness_m)
        for number in range(len(hulls))
        if (owner == number).any()
    )
