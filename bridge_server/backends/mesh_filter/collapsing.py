"""Quadric edge collapse (Garland and Heckbert 1997) to an exact count, in compiled loops."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int32, UInt8

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.paint import paint_quadrics
from bridge_server.run import Run
from bridge_server.values.mesh import Mesh

STEP = 16_384
"""Faces that go between two checkpoints."""
SPARE = 65_536
"""Room in the heap beyond 2.2 entries for each face; a face has 1.5 edges, and stale entries go when it is full."""
TURN_SHARE = 0.3
"""How much a turn of a face costs, over the square root of the mean area of the faces."""

Looks = tuple[Float64[np.ndarray, "vertices channels"], float]
"""Looks of the vertices and their weight (see ``paint``)."""


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """How metres become shares of the diagonal around the middle of the box, and back."""

    middle_m: Float64[np.ndarray, "3"]
    diagonal_m: float

    def of(self, positions_m: np.ndarray) -> Float64[np.ndarray, "n 3"]:
        """From metres."""
        return np.ascontiguousarray((positions_m - self.middle_m) / self.diagonal_m)

    def metres(self, places: Float64[np.ndarray, "n 3"]) -> np.ndarray:
        """To metres, in single precision."""
        return np.asarray(places * self.diagonal_m + self.middle_m, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """A mesh that was collapsed, in shares of the dense one's diagonal."""

    places: Float64[np.ndarray, "vertices 3"]
    faces: Int32[np.ndarray, "faces 3"]
    owners: Int32[np.ndarray, "dense"]
    """For each vertex of the dense mesh the one of this mesh that it went into, -1 where its piece is gone."""
    unit: Unit

    def mesh(self) -> Mesh:
        """In metres."""
        return Mesh(positions_m=self.unit.metres(self.places), faces=self.faces)


@dataclass(frozen=True, slots=True, eq=False)
class Halfway:
    """A dense mesh whose cheapest edges are gone. What faces matter more decides little before, and all after."""

    places: Float64[np.ndarray, "vertices 3"]
    faces: Int32[np.ndarray, "faces 3"]
    border: UInt8[np.ndarray, "vertices"]
    """1 for vertices at borders."""
    owners: Int32[np.ndarray, "dense"]
    """As of ``Light``."""


def unit_of(mesh: Mesh) -> Unit:
    """Middle and diagonal of the box."""
    low, high = mesh.bounds_m
    return Unit((low.astype(np.float64) + high) / 2.0, mesh.diagonal_m or 1.0)


def collapsed(
    source: Mesh,
    triangle_count: int,
    run: Run,
    *,
    weights: Float64[np.ndarray, "faces"] | None = None,
    paint: Looks | None = None,
    sparing: bool = False,
    start: Halfway | None = None,
) -> Light:
    """Collapse edges to ``triangle_count``.

    The source is a surface without doubles or null faces. A cost is what a collapse adds to an area times a squared
    distance, both in shares of the diagonal. ``weights`` say how much each face matters. With ``sparing``, turns of
    faces cost too, and an edge goes into one of its ends: that leaves faces as they were, where most of them can stay.
    With ``start``, what it lacks is not looked at again.
    """
    run.checkpoint(0.0, "decimating")
    surface = dense_surface(source, weights, paint, sparing=sparing)
    if start is not None:
        surface = gone_on(surface, start)
    way, loops = in_order(surface), compiled_loops("collapse")
    for limits in loops.LIMITS:
        reduce_to(way, triangle_count, limits, run)
        if surface.counts[loops.LIVE] <= triangle_count:
            break
    faces, _, used, owners = survivors(surface)
    if start is not None:
        owners = np.where(start.owners >= 0, owners[start.owners], -1)
    return Light(surface.places[used], faces, owners, unit_of(source))


def halfway(
    source: Mesh,
    triangle_count: int,
    run: Run,
    *,
    weights: Float64[np.ndarray, "faces"] | None = None,
    paint: Looks | None = None,
) -> Halfway:
    """As ``collapsed`` begins: to so many faces, or as few as no face turns far for and none becomes a sliver."""
    run.checkpoint(0.0, "decimating")
    surface = dense_surface(source, weights, paint)
    reduce_to(in_order(surface), triangle_count, compiled_loops("collapse").LIMITS[0], run)
    faces, _, used, owners = survivors(surface)
    return Halfway(surface.places[used], faces, surface.border[used], owners)


def dense_surface(
    source: Mesh, weights: Float64[np.ndarray, "faces"] | None, paint: Looks | None, *, sparing: bool = False
) -> Any:
    """Working arrays of a mesh with its quadrics; arguments as of ``collapsed``."""
    kernels = compiled_loops("quadric")
    surface = working_arrays(kernels, unit_of(source).of(source.positions_m), source.faces, sparing=sparing)
    kernels.link_corners(surface)
    kernels.gather_quadrics(surface, np.ones(len(source.faces)) if weights is None else weights)
    if paint is not None and (added := paint_quadrics(surface.places, source.faces, *paint)).any():
        surface.quadrics[:] += added
        kernels.write_off_all(surface.places, surface.quadrics)
    return surface


def gone_on(dense: Any, start: Halfway) -> Any:
    """Working arrays of what ``start`` has left, with the quadrics of the dense surface."""
    kernels = compiled_loops("quadric")
    surface = working_arrays(kernels, start.places.copy(), start.faces)
    kernels.link_corners(surface)
    kernels.sum_quadrics(dense.quadrics, start.owners, surface.quadrics)
    kernels.write_off_all(surface.places, surface.quadrics)
    surface.border[:] = start.border
    return surface


def in_order(surface: Any) -> "Collapses":
    """Collapses by cost, the cheapest first."""
    room = round(2.2 * len(surface.faces)) + SPARE
    heap = compiled_loops("quadric").Heap(np.zeros(room), np.zeros((room, 3), np.int32))
    return Collapses(compiled_loops("collapse"), (surface, heap))


def survivors(
    surface: Any,
) -> tuple[Int32[np.ndarray, "left 3"], Bool[np.ndarray, "faces"], Int32[np.ndarray, "used"], Int32[np.ndarray, "all"]]:
    """Faces that collapses have left, by new numbers; which they were; their vertices; where each vertex went."""
    compiled_loops("collapse").follow_owners(surface.owners)
    alive = surface.alive != 0
    used = np.unique(surface.faces[alive])
    renumbered = np.full(len(surface.owners), -1, np.int32)
    renumbered[used] = np.arange(len(used))
    return renumbered[surface.faces[alive]], alive, used, renumbered[surface.owners]


def working_arrays(
    kernels: ModuleType,
    places: Float64[np.ndarray, "n 3"],
    faces: Int32[np.ndarray, "f 3"],
    *,
    sparing: bool = False,
) -> Any:
    """What the loops change in place; ``sparing`` as in ``collapsed``."""
    count = len(places)
    mean_area = mean_face_area(places, faces) if sparing else 0.0
    return kernels.Surface(
        places=places,
        quadrics=np.zeros((count, 11)),
        faces=np.array(faces, np.int32),
        alive=np.ones(len(faces), np.uint8),
        first=np.full(count, -1, np.int32),
        onward=np.full(faces.size, -1, np.int32),
        border=np.zeros(count, np.uint8),
        stamps=np.zeros(count, np.int32),
        marks=np.zeros(count, np.int32),
        owners=np.arange(count, dtype=np.int32),
        counts=np.array([len(faces), 0, 1], np.int64),
        turn_length=TURN_SHARE * mean_area**0.5,
        least_area=mean_area,
    )


def mean_face_area(places: Float64[np.ndarray, "n 3"], faces: Int32[np.ndarray, "f 3"]) -> float:
    """In squared units of the places."""
    corners = places[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return float(np.linalg.norm(cross, axis=1).mean() / 2.0)


@dataclass(frozen=True, slots=True, eq=False)
class Collapses:
    """A way to collapse edges, and the mesh that it works on."""

    loops: ModuleType
    """Has ``fill_heap``, which takes ``work``, and ``collapse``, which takes ``work``, a count and the limits."""
    work: tuple[Any, ...]
    """The surface, which has the counts, what else the loops need, and the heap."""
    note: str = "decimating"
    """What the user is told meanwhile."""


def reduce_to(way: Collapses, target: int, limits: tuple[float, ...], run: Run) -> None:
    """Fill the heap and empty it, again as long as that helps: a collapse may become valid by others beside it."""
    loops, work = way.loops, way.work
    counts = work[0].counts
    before = start = int(counts[loops.LIVE])
    while before > target:
        loops.fill_heap(*work)
        going = True
        while going and counts[loops.LIVE] > target:
            live = int(counts[loops.LIVE])
            run.checkpoint((start - live) / (start - target), way.note)
            step = max(target, live - STEP)
            full = loops.collapse(*work, step, *limits)
            going = not full and counts[loops.LIVE] <= step
        left = int(counts[loops.LIVE])
        if left == before:
            return
        before = left
