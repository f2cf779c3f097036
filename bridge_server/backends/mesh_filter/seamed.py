"""Edge collapse of a textured mesh that tears no seam: places and texture coordinates are found together.

A point off all lines may go onto any neighbour, one on a seam or border only along it, with the wedges of both sides;
points where lines meet or end stay. Where both ends are alike, the point that is left moves to where the error is
least (``seamed_kernels``).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.base import SeamedMesh
from bridge_server.backends.mesh_filter.collapsing import SPARE, STEP
from bridge_server.run import Run


def seam_collapsed(mesh: SeamedMesh, triangle_counts: Sequence[int], outline: float, run: Run) -> list[SeamedMesh]:
    """See ``SeamedFilter.collapse_with_seams``."""
    kernels, quadric = compiled_loops("seamed"), compiled_loops("quadric")
    low, high = mesh.positions.min(axis=0), mesh.positions.max(axis=0)
    middle, diagonal = (low + high) / 2.0, float(np.linalg.norm(high - low)) or 1.0
    surface = working_arrays(kernels, (mesh.positions - middle) / diagonal, mesh.uvs / diagonal, mesh)
    quadric.link_corners(surface)
    bench = kernels.Bench(np.zeros(4, np.int32), np.zeros(7), np.zeros(7), np.zeros((7, 7)), np.zeros(2), np.zeros(42))
    compiled_loops("seam_start").prepare(
        surface, bench, np.ones(len(mesh.faces)) if mesh.weights is None else mesh.weights
    )
    room = round(2.2 * len(mesh.faces)) + SPARE
    work = surface, bench, quadric.Heap(np.zeros(room), np.zeros((room, 3), np.int32))

    def reached() -> SeamedMesh:
        alive = surface.alive != 0
        points = np.array(mesh.points)
        points[surface.corners[alive]] = surface.faces[alive]
        return SeamedMesh(
            positions=surface.places * diagonal + middle,
            uvs=surface.uvs * diagonal,
            points=points,
            faces=surface.corners[alive],
        )

    return reduced_through(work, triangle_counts, outline / diagonal, reached, run)


def reduced_through(
    work: tuple[Any, Any, Any], targets: Sequence[int], outline: float, reached: Callable[[], SeamedMesh], run: Run
) -> list[SeamedMesh]:
    """What ``reached`` tells at each of the falling counts; at the last ones the same where nothing more may go.

    The heap is filled again as long as that helps: a collapse may become valid by others beside it.
    """
    loops, counts = compiled_loops("seam_collapse"), work[0].counts
    start, found = int(counts[loops.LIVE]), list[SeamedMesh]()
    for limits in compiled_loops("seamed").LIMITS:
        before = start + 1
        while len(found) < len(targets) and counts[loops.LIVE] < before:
            before = int(counts[loops.LIVE])
            loops.fill_heap(*work)
            going = True
            while going and len(found) < len(targets):
                live = int(counts[loops.LIVE])
                run.checkpoint((start - live) / max(start - targets[-1], 1), "collapsing edges")
                step = max(targets[len(found)], live - STEP)
                full = loops.collapse(*work, step, outline, *limits)
                going = not full and counts[loops.LIVE] <= step
                if counts[loops.LIVE] <= targets[len(found)]:
                    found.append(reached())
    return found + [reached()] * (len(targets) - len(found))


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
        drift=np.zeros(wedges),
        counts=np.array([len(mesh.faces), 0, 1], np.int64),
    )
