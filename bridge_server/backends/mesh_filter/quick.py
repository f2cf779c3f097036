"""The quick mesh filter: edge collapse in passes over the whole mesh, which the cores share.

In each pass every vertex picks the cheapest edge that it owns, and the cheaper ones of these are collapsed where they
keep the topology and turn no face far. Slabs of space are worked on side by side, what reaches beyond its slab
afterwards. The slabs do not depend on the number of threads, so neither does the result. Quadrics are gathered anew
from the faces that are left whenever the arrays shrink, with a share of the old ones (between Garland and Heckbert
1997, who keep them all, and Lindstrom and Turk 1998, who keep none).
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType

import numpy as np
from jaxtyping import Float64, Int32, UInt8

from bridge_server.backends.compiled import compiled_loops, compiler_availability
from bridge_server.backends.mesh_filter.collapsing import collapsed, unit_of
from bridge_server.backends.table import Availability
from bridge_server.blocks import over_blocks
from bridge_server.run import PartialRun, Run
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_split import tidied_surface

VERSION = 3
SHARE, LATE_SHARE = 0.8, 0.1
"""Cheapest edges that a pass looks at, over half the faces. With as many in the late passes as in the early ones a
bumpy torus came out with a third more of the largest distance."""
LATE = 6.0
"""The late passes begin at so many times the wanted count."""
STALLED, STALLS = 0.01, 2
"""So many passes in a row that collapse less than this share of the edges they look at are the last ones."""
SHRINK, LATE_SHRINK = 0.7, 0.9
"""Arrays shrink, and quadrics are gathered anew, when less than this share of the faces is left."""
MEMORY = 0.2
"""What is kept of the old quadrics then. With all of it the mean distance grew by about a fifth."""
MOST_SLABS, SLAB_VERTICES = 16, 4_096
"""Most slabs, and about how many vertices one has at least."""
LEAST_BLOCK, BLOCKS = 2_048, 16
"""Vertices that a thread takes at a time, at least, and into how many parts they are cut: few, because each costs some
time to hand out, and the last passes, over few vertices, are shared too."""
SAMPLE = 4_096


@dataclass(frozen=True, slots=True)
class QuickFilter:
    """For previews: never opens, tears, joins or turns over what was sound."""

    @property
    def identity(self) -> str:
        """Name and version of the method."""
        return f"quick {VERSION}"

    @classmethod
    def availability(cls) -> Availability:
        """Whether the compiler is installed."""
        return compiler_availability()

    def clean(self, mesh: Mesh, run: Run) -> Mesh:
        """Doubles merged, faces without area dropped, parted where it is no surface."""
        run.checkpoint(0.1, "cleaning")
        return tidied_surface(mesh)

    def piece_count(self, mesh: Mesh) -> int:
        """Connected pieces, by vertices; quicker than counting them without the compiler."""
        parents = np.empty(len(mesh.positions_m), np.int32)
        return int(compiled_loops("quick_arrays").count_pieces(mesh.faces, parents))

    def decimate(self, mesh: Mesh, triangle_count: int, run: Run) -> Mesh:
        """The wanted count, or one less where faces go in pairs; more where the shells allow no fewer."""
        if len(mesh.faces) <= triangle_count:
            return mesh
        reduced = reduced_in_passes(mesh, triangle_count, PartialRun(run, 0.0, 0.8))
        if len(reduced.faces) <= triangle_count:
            return reduced
        reduced = tidied_surface(reduced)
        if len(reduced.faces) <= triangle_count:
            return reduced
        return collapsed(reduced, triangle_count, PartialRun(run, 0.8, 1.0)).mesh()


@dataclass(slots=True, eq=False)
class Working:
    """A mesh while it is collapsed; all arrays change in place, and are as in ``quadric_kernels.Surface``."""

    places: Float64[np.ndarray, "vertices 3"]
    quadrics: Float64[np.ndarray, "vertices 11"]
    border: UInt8[np.ndarray, "vertices"]
    first: Int32[np.ndarray, "vertices"]
    faces: Int32[np.ndarray, "faces 3"]
    alive: UInt8[np.ndarray, "faces"]
    onward: Int32[np.ndarray, "corners"]

    @property
    def chains(self) -> tuple[np.ndarray, ...]:
        """What the loops read to walk round a vertex."""
        return self.faces, self.alive, self.first, self.onward

    @property
    def live(self) -> int:
        """Faces that are left."""
        return int(np.count_nonzero(self.alive))


def working(vertices: int, faces: int) -> Working:
    """Room for so many; places and faces are to be written."""
    return Working(
        places=np.empty((vertices, 3)),
        quadrics=np.zeros((vertices, 11)),
        border=np.zeros(vertices, np.uint8),
        first=np.full(vertices, -1, np.int32),
        faces=np.empty((faces, 3), np.int32),
        alive=np.empty(faces, np.uint8),
        onward=np.empty(3 * faces, np.int32),
    )


def reduced_in_passes(mesh: Mesh, triangle_count: int, run: Run) -> Mesh:
    """``triangle_count`` faces or one less; more where the passes come to no more."""
    loops, arrays, unit = compiled_loops("quick"), compiled_loops("quick_arrays"), unit_of(mesh)
    work = working(len(mesh.positions_m), len(mesh.faces))
    work.faces[:] = mesh.faces

    def place(rows: slice) -> None:
        work.places[rows] = unit.of(mesh.positions_m[rows])

    over_blocks(place, len(work.places))
    arrays.link_sound_corners(*work.chains)
    gather(work, loops)
    start = live = work.live
    number = stalls = 0
    while live > triangle_count and stalls < STALLS:
        run.checkpoint((start - live) / (start - triangle_count), "decimating")
        share, shrink = (SHARE, SHRINK) if live > LATE * triangle_count else (LATE_SHARE, LATE_SHRINK)
        most = min((live - triangle_count + 1) // 2, max(round(share * live / 2), 1))
        stalls = stalls + 1 if collapse_pass(work, loops, most, number) <= STALLED * most else 0
        live, number = work.live, number + 1
        if live < shrink * len(work.faces):
            work = smaller(work, live, arrays)
            gather(work, loops)
    work = smaller(work, live, arrays)
    return Mesh(positions_m=unit.metres(work.places), faces=work.faces)


def block_of(work: Working) -> int:
    """Vertices that a thread takes at a time."""
    return max(LEAST_BLOCK, -(-len(work.places) // BLOCKS))


def gather(work: Working, loops: ModuleType) -> None:
    """Add the planes of the faces, and of the borders, to the quadrics; corners are chained."""
    held = (work.places, work.faces, work.first, work.onward, work.quadrics, work.border)
    over_blocks(lambda rows: loops.gather_range(*held, rows.start, rows.stop), len(work.places), block_of(work))


def collapse_pass(work: Working, loops: ModuleType, most: int, number: int) -> int:
    """Collapse up to ``most`` edges, and return how many. ``number`` counts the passes.

    Slabs work side by side, then others half a slab further, then what reaches beyond both goes one by one.
    """
    count, owns_upward = len(work.places), number % 2 == 0
    partners, costs = np.empty(count, np.int32), np.empty(count)
    held = (work.places, work.quadrics, work.border, *work.chains)
    over_blocks(
        lambda rows: loops.pick_range(*held, owns_upward, partners, costs, rows.start, rows.stop), count, block_of(work)
    )
    chosen = cheapest(costs, most)
    halves, amount = half_slabs_of(work.places, number % 3)
    taken, marks = np.zeros(count, np.uint8), np.zeros(count, np.int32)

    def collapse(own: Int32[np.ndarray, "own"], shift: int, slab: int, tag: int) -> int:
        return int(loops.collapse_some(*held, partners, taken, halves, shift, slab, own, marks, tag))

    def collapse_side_by_side(chosen: Int32[np.ndarray, "chosen"], shift: int) -> int:
        slabs = (halves[chosen] + np.uint8(shift)) >> 1
        chosen = chosen[np.argsort(slabs, kind="stable")]
        ends = np.cumsum(np.bincount(slabs, minlength=amount + shift))
        collapses = np.zeros(len(ends), np.int64)

        def within(rows: slice) -> None:
            slab = rows.start
            own = chosen[ends[slab - 1] if slab else 0 : ends[slab]]
            collapses[slab] = collapse(own, shift, slab, 2 * shift * most)

        over_blocks(within, len(ends), 1)
        return int(collapses.sum())

    found = 0
    for shift in range(2 if amount > 1 else 0):
        found += collapse_side_by_side(chosen, shift)
        chosen = chosen[partners[chosen] >= 0]
    return found + collapse(chosen, 0, loops.NONE, 4 * most)


def cheapest(costs: Float64[np.ndarray, "vertices"], most: int) -> Int32[np.ndarray, "chosen"]:
    """Vertices of the lowest finite costs, in the order of their numbers: neighbours in memory are met together."""
    dearest = np.partition(costs, most - 1)[most - 1] if most < len(costs) else np.inf
    chosen = np.flatnonzero(costs <= dearest)[:most] if dearest < np.inf else np.flatnonzero(costs < np.inf)
    return chosen.astype(np.int32)


def half_slabs_of(places: Float64[np.ndarray, "vertices 3"], axis: int) -> tuple[UInt8[np.ndarray, "vertices"], int]:
    """Halves of slabs across an axis, with about as many vertices each, and the number of slabs."""
    amount = max(min(len(places) // SLAB_VERTICES, MOST_SLABS), 1)
    halves = np.zeros(len(places), np.uint8)
    if amount > 1:
        sample = np.sort(places[:: max(len(places) // SAMPLE, 1), axis])
        cuts = sample[np.arange(1, 2 * amount) * len(sample) // (2 * amount)]
        loops = compiled_loops("quick_arrays")
        over_blocks(lambda rows: loops.number_halves(places, axis, cuts, halves, rows.start, rows.stop), len(places))
    return halves, amount


def smaller(work: Working, live: int, arrays: ModuleType) -> Working:
    """What is left, in arrays of its own, its corners chained anew; a share of the quadrics stays."""
    numbers = np.empty(len(work.places), np.int32)
    result = working(arrays.number_survivors(work.first, numbers), live)
    held = (work.places, work.quadrics, numbers, result.places, result.quadrics, MEMORY)

    def link() -> None:
        arrays.move_faces(work.faces, work.alive, numbers, result.faces)
        arrays.link_sound_corners(*result.chains)

    with ThreadPoolExecutor(1) as beside:
        linking = beside.submit(link)
        over_blocks(lambda rows: arrays.move_vertices(*held, rows.start, rows.stop), len(numbers))
        linking.result()
    return result
