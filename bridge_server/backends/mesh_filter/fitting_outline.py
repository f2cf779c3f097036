"""Outlines of rough meshes: where faces are too large for the bumps, they are moved out toward where outlines run.

The fit lays a surface in the middle of bumps that are finer than its triangles, and outlines run along their tips, so
that what is made of such bumps comes out too slim. In the middle the mean distance hardly changes with a small step, so
a step outward costs little: of what the mesh lacks in reach it gets as much as lets the mean be.
"""

import numpy as np
from jaxtyping import Float64

from bridge_server.backends.mesh_filter.fitting import Fit, move_by
from bridge_server.backends.mesh_filter.sampling import back_places
from bridge_server.values.mesh import Mesh, vertex_normals

ROUGH = 0.35
"""Mean chord between normals from which a mesh counts as rough; 20 degrees."""
DIRECTIONS = 64
STEP = 0.3
"""How far vertices are moved at most, over the mean distance; that grows by about a fortieth then."""


def move_out(fit: Fit) -> None:
    """Move the vertices of a rough closed mesh outward; any other mesh stays as it is."""
    if (fit.opposite < 0).any() or fit.turned < ROUGH:
        return
    lacking = mean_reach(fit.dense.places) - mean_reach(fit.light.places)
    by = min(lacking, STEP * fit.mean_of(fit.distances))
    if by <= 0.0:
        return
    surface = Mesh(positions_m=fit.light.places.astype(np.float32), faces=fit.light.faces)
    faces, shares, _ = back_places(fit.light)
    move_by(fit, by * vertex_normals(surface).astype(np.float64), fit.light.normals(), (faces, shares))


def mean_reach(places: Float64[np.ndarray, "vertices 3"]) -> float:
    """How far a mesh reaches in a direction, on the average of many and their opposites: half its mean width."""
    directions = np.random.default_rng(0).standard_normal((DIRECTIONS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return float(np.mean([np.ptp(places @ direction) for direction in directions])) / 2.0
