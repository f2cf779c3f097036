"""Outlines of rough meshes: where faces are too large for the bumps, they are moved out toward where outlines run.

The fit lays a surface in the middle of bumps that are finer than its triangles, and outlines run along their tips, so
that what is made of such bumps comes out too slim. In the middle the mean distance hardly changes with a small step, so
a step outward costs little: of what the mesh lacks in reach it gets as much as lets the mean be.
"""

import numpy as np
from jaxtyping import Float64

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.fitting import LEAST_COSINE, LEAST_FOLD, Fit, follow
from bridge_server.backends.mesh_filter.sampling import Walkable, back_places

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
    surface, normals, before = fit.light.surface, fit.light.normals(), fit.light.places.copy()
    fit.light.places[...] += by * vertex_normals(fit.light)
    rows = np.arange(len(fit.light.faces))
    compiled_loops("fitting").undo_turns(surface, fit.opposite, rows, before, normals, LEAST_COSINE, LEAST_FOLD)
    faces, shares, _ = back_places(fit.light)
    follow(fit, faces, shares)


def mean_reach(places: Float64[np.ndarray, "vertices 3"]) -> float:
    """How far a mesh reaches in a direction, on the average of many and their opposites: half its mean width."""
    directions = np.random.default_rng(0).standard_normal((DIRECTIONS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return float(np.mean([np.ptp(places @ direction) for direction in directions])) / 2.0


def vertex_normals(surface: Walkable) -> Float64[np.ndarray, "vertices 3"]:
    """Unit normals by the area of the faces around; zeros where these cancel out."""
    weighted = np.repeat(surface.normals() * surface.areas()[:, None], 3, axis=0)
    corners = surface.faces.reshape(-1)
    summed = np.stack([np.bincount(corners, weighted[:, axis], len(surface.places)) for axis in range(3)], axis=1)
    return summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-300)
