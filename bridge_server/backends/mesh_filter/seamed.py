"""Edge collapse of a textured mesh that tears no seam: places and texture coordinates are found together.

A point off all lines may go onto any neighbour, one on a seam or border only along it, with the wedges of both sides;
points where lines meet or end stay. Where both ends are alike, the point that is left moves to where the error is
least (``seamed_kernels``).
"""

from typing import Any

import numpy as np

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.base import SeamedMesh
from bridge_server.backends.mesh_filter.collapsing import SPARE, Collapses, reduce_to
from bridge_server.run import Run


def seam_collapsed(mesh: SeamedMesh, triangle_count: int, outline: float, run: Run) -> SeamedMesh:
    """See ``SeamedFilter.collapse_with_seams``."""
    kernels, loops = compiled_loops("seamed"), compiled_loops("seam_collapse")
    low, high = mesh.positions.min(axis=0), mesh.positions.max(axis=0)
    middle, diagonal = (low + high) / 2.0, float(np.linalg.norm(high - low)) or 1.0
    surface = working_arrays(kernels, (mesh.positions - middle) / diagonal, mesh.uvs / diagonal, mesh)
    compiled_loops("quadric").link_corners(surface)
    bench = kernels.Bench(np.zeros(4, np.int32), np.zeros(7), np.zeros(7), np.zeros((7, 7)), np.zeros(2))
    compiled_loops("seam_start").prepare(
        surface, bench, np.ones(len(mesh.faces)) if mesh.weights is None else mesh.weights
    )
    room = round(2.2 * len(mesh.faces)) + SPARE
    heap = compiled_loops("quadric").Heap(np.zeros(room), np.zeros((room, 3), np.int32))
    way = Collapses(loops, (surface, bench, heap), "collapsing edges")
    for limits in kernels.LIMITS:
        reduce_to(way, triangle_count, (outline / diagonal, *limits), run)
    alive = surface.alive != 0
    points = np.array(mesh.points)
    points[surface.corners[alive]] = surface.faces[alive]
    return SeamedMesh(
        positions=surface.places * diagonal + middle,
        uvs=surface.uvs * diagonal,
        points=points,
        faces=surface.corners[alive],
    )


def working_arrays(kernels: Any, places: np.ndarray, uvs: np.ndarray, mesh: SeamedMesh) -> Any:
    """What the loops change in place."""
    points, wedges = len(places), len(uvs)
    return kernels.Seamed(
        places=np.ascontiguousarray(places),
        uvs=np.ascontiguousarray(uvs),
        quadrics=np.zeros((wedges, 21)),
        areas=np.zeros(points),
        faces=np.ascontiguousarray(mesh.points[mesh.faces], np.int32),
        corners=np.array(mesh.faces, np.int32),
        alive=np.ones(len(mesh.faces), np.uint8),
        first=np.full(points, -1, np.int32),
        onward=np.full(mesh.faces.size, -1, np.int32),
        border=np.zeros(points, np.uint8),
        kinds=np.zeros(points, np.uint8),
        stamps=np.zeros(points, np.int32),
        marks=np.zeros(points, np.int32),
        ahead=np.full(wedges, -1, np.int32),
        behind=np.full(wedges, -1, np.int32),
        nothing=np.zeros(21),
        drift=np.zeros(wedges),
        counts=np.array([len(mesh.faces), 0, 1], np.int64),
    )
