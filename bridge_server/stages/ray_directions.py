"""Which way a ray leaves the low poly.

Rays along smoothed normals leave no gap and no overlap at edges, but they lean wherever an edge is near, and straight
detail on a flat face comes out skewed. Without skew, rays run along the normal of the face, and turn to the smoothed
one within a narrow band along the edges alone, so that there is neither a gap nor an overlap there either.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float32

from bridge_server.backends.raycaster.base import Raycaster, RayScene
from bridge_server.backends.texels.base import Places, texel_kernels
from bridge_server.stages.bake_choices import RayDirection
from bridge_server.stages.corner_normals import corner_normals, hard_half_edges
from bridge_server.stages.trace_rays import unit_rows
from bridge_server.values.mesh import Mesh, UnwrappedMesh, vertex_normals

SKEW_EDGE_DEG = 20.0
"""Edges that turn by less than this belong to a curved surface, on which the smoothed normal is the right one."""
BAND_CAGES = 2.0
"""Width of the band as a multiple of the cage. A ray moves sideways by at most the cage, and the blend is at its
steepest 1.5 times as steep as a straight one, so from 1.5 on rays of one face never cross."""
SLIVER = 1e-4
"""Width of the triangles that stand for edges, as a share of their length."""

Directions = Callable[[Float32[np.ndarray, "rays 3"], Places], Float32[np.ndarray, "rays 3"]]
"""From points on the low poly, and where on it they lie, to unit directions, outward."""


def ray_directions(low: UnwrappedMesh, choice: RayDirection, cage_m: float, raycaster: Raycaster) -> Directions:
    """The directions of rays that look for the high poly up to ``cage_m`` away."""
    welded = low.welded_mesh()
    smooth = vertex_normals(welded)[low.welded[low.faces]]
    if choice is RayDirection.SMOOTH:
        return _interpolating(smooth)
    hard = hard_half_edges(welded, SKEW_EDGE_DEG)
    if not hard.any():
        return _interpolating(smooth)
    along_faces, along_smooth = _interpolating(corner_normals(welded, hard)), _interpolating(smooth)
    edges = _edge_scene(welded, hard, raycaster)
    band_m = np.float32(BAND_CAGES * cage_m)

    def directions(points_m: Float32[np.ndarray, "rays 3"], low: Places) -> Float32[np.ndarray, "rays 3"]:
        found = along_faces(points_m, low)
        away = np.minimum(edges.nearest(points_m).distances_m / band_m, np.float32(1.0))
        rows = np.flatnonzero(away < 1.0)
        share = (away * away * (3.0 - 2.0 * away))[rows, None]
        leaning = along_smooth(points_m[rows], Places(faces=low.faces[rows], weights=low.weights[rows]))
        found[rows] = unit_rows((leaning + share * (found[rows] - leaning)).astype(np.float64))
        return found

    return directions


def _interpolating(corners: Float32[np.ndarray, "faces 3 3"]) -> Directions:
    kernels = texel_kernels()

    def directions(_: Float32[np.ndarray, "rays 3"], low: Places) -> Float32[np.ndarray, "rays 3"]:
        return kernels.interpolated(corners, low, unit=True)

    return directions


def _edge_scene(mesh: Mesh, hard: Bool[np.ndarray, "half_edges"], raycaster: Raycaster) -> RayScene:
    """The hard edges as triangles so thin that the nearest place on them is the nearest place on the edge."""
    ends = np.stack([mesh.faces, np.roll(mesh.faces, -1, axis=1)], axis=2).reshape(-1, 2)[hard]
    ends = np.unique(np.sort(ends, axis=1), axis=0)
    start, stop = mesh.positions_m[ends[:, 0]], mesh.positions_m[ends[:, 1]]
    along = stop - start
    least = np.eye(3, dtype=np.float32)[np.abs(along).argmin(axis=1)]
    aside = np.cross(along, least) * np.float32(SLIVER)
    corners = np.stack([start, stop, (start + stop) / 2 + aside], axis=1).reshape(-1, 3).astype(np.float32)
    return raycaster.scene(corners, np.arange(len(corners), dtype=np.int32).reshape(-1, 3))
