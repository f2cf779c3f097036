"""Inner hulls that cannot be seen from outside: found by rays, cut at the narrowest place, checked by a flood.

A hull is hidden where hardly any ray leaves it. A piece of the mesh that is hidden as a whole goes. A hull that hangs
on the outer surface by small holes is parted from it along the shortest loops between the faces that lie open and
those that see nothing (a minimum cut over the dual graph, each edge as dear as it is long). It goes only where these
loops are small beside the space that it bounds: the inside of a cup, a vase or a pipe is as wide as its mouth, or not
much wider, and stays.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from bridge_server.backends.raycaster.base import Raycaster, RayScene
from bridge_server.run import PartialRun, Run
from bridge_server.stages.repair_necks import hangs_on_necks, hollow_width_m
from bridge_server.stages.repair_occupancy import reached_from_outside
from bridge_server.stages.repair_visibility import openness, strata
from bridge_server.stages.surface_places import SceneLocate
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import (
    component_labels,
    edge_table,
    face_areas,
    face_components,
    half_edge_pairs,
)
from bridge_server.values.surface import SurfaceField

SAMPLES = 12_000
"""Faces of the first look at the whole mesh."""
SAMPLES_A_PIECE = 6
"""Faces of the first look that every piece gets at least, as long as there are not too many pieces."""
HIDDEN = 0.01
"""A piece counts as hidden where on the average less than this share of its rays leaves."""
DARK = 0.03
"""A face sees nothing where less than this share of the rays leaves, its own and its neighbours'."""
OPEN = 0.35
"""A face lies open where at least this share leaves. Between the two the cut is free."""
OUTWARD = 0.5
"""How much of its length an edge between open faces costs less, so that of two narrow places the outer one is cut."""
RAYS = 24
"""Rays on each side of a face in the look at single faces."""
SMOOTHINGS = 4
"""How often a face's share is averaged with its neighbours'."""
MEAN_OPEN = 0.015
"""Most that the rays of an inner hull may leave on the average."""
LEAST_SHARE = 0.01
"""A hull that hangs on the surface and has less than this share of its area is left: a pocket, a nostril."""
NARROW = 0.35
"""The widest hole that an inner hull may hang on, over the width of the space inside (four volumes by area). A bottle
whose neck is a quarter as wide as its body has about as much, and its mouth is wider than the absolute limit."""
GLASS_SAMPLES = 400
OPAQUE = 0.98
REFEREE_CELLS = (64, 192)
"""Least and most cells of the referee's grid along the longest side."""
SCALE = 1 << 20
"""Units that the dearest edge is counted in by the cut."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """What cannot be seen."""

    in_pieces: Bool[np.ndarray, "faces"]
    """Faces of pieces that are hidden as a whole."""
    in_hulls: Bool[np.ndarray, "faces"]
    """Faces of hulls that hang on the surface by small holes."""
    pieces: int
    hulls: int
    opening_m: float
    """Width of the widest hole that such a hull hangs on; 0 without one."""

    @property
    def faces(self) -> Bool[np.ndarray, "faces"]:
        """All of them."""
        return np.asarray(self.in_pieces | self.in_hulls)


@dataclass(frozen=True, slots=True)
class Looked:
    """A mesh that is looked at, with what all steps need of it."""

    scene: RayScene
    mesh: Mesh
    areas: Float64[np.ndarray, "faces"]
    pieces: Int64[np.ndarray, "faces"]


@dataclass(frozen=True, slots=True)
class Hull:
    """One hull that hangs on the surface."""

    faces: Int64[np.ndarray, "faces"]
    opening_m: float


def hidden_surfaces(scene: RayScene, mesh: Mesh, max_opening_m: float, run: Run) -> Hidden:
    """Find all faces that belong to inner hulls; ``scene`` holds the mesh.

    A hull that hangs on the surface by a hole wider than ``max_opening_m`` is meant to be hollow.
    """
    areas = face_areas(mesh)
    pieces = face_components(mesh.faces)
    count = int(pieces.max(initial=-1)) + 1
    none = np.zeros(len(mesh.faces), bool)
    nothing = Hidden(none, none, 0, 0, 0.0)
    sampled = _first_look(areas, pieces, count)
    shares = openness(scene, mesh, sampled, PartialRun(run, 0.0, 0.2))
    unseen = np.bincount(pieces[sampled], shares < HIDDEN, count) / np.bincount(pieces[sampled], minlength=count)
    mean = np.bincount(pieces[sampled], shares, count) / np.bincount(pieces[sampled], minlength=count)
    if not unseen.any():
        return nothing
    gone = mean < HIDDEN
    looked = Looked(scene, mesh, areas, pieces)
    gone[gone] = _confirmed(looked, np.flatnonzero(gone), PartialRun(run, 0.2, 0.4))
    if gone.all():  # nothing to hide behind: rays do not tell what this is
        return nothing
    total = np.bincount(pieces, areas, count)
    doubtful = ~gone & (unseen * total > LEAST_SHARE * total.sum())
    hulls = _hanging_hulls(looked, doubtful[pieces], max_opening_m, PartialRun(run, 0.4, 1.0))
    in_hulls = none.copy()
    for hull in hulls:
        in_hulls[hull.faces] = True
    widest_m = max((hull.opening_m for hull in hulls), default=0.0)
    return Hidden(gone[pieces], in_hulls, int(gone.sum()), len(hulls), widest_m)


def _first_look(
    areas: Float64[np.ndarray, "faces"], pieces: Int64[np.ndarray, "faces"], count: int
) -> Int64[np.ndarray, "chosen"]:
    order = np.argsort(pieces, kind="stable")
    sizes = np.bincount(pieces, minlength=count)
    first = np.cumsum(sizes) - sizes
    a_piece = min(SAMPLES_A_PIECE, max(SAMPLES // count, 1))
    steps = (np.arange(a_piece) + 0.5) / a_piece
    own = order[(first[:, None] + (steps * sizes[:, None]).astype(np.int64)).reshape(-1)]
    return np.concatenate([strata(areas, SAMPLES), own])


def _confirmed(looked: Looked, doubtful: Int64[np.ndarray, "pieces"], run: Run) -> Bool[np.ndarray, "pieces"]:
    """Which pieces are hidden under a second, closer look."""
    found = np.zeros(len(doubtful), bool)
    areas = looked.areas
    order = np.argsort(looked.pieces, kind="stable")
    ends = np.cumsum(np.bincount(looked.pieces))
    for row, piece in enumerate(doubtful.tolist()):
        faces = order[ends[piece - 1] if piece else 0 : ends[piece]]
        closer = faces[strata(areas[faces], 400)] if len(faces) > 400 else faces
        part = PartialRun(run, row / len(doubtful), (row + 1) / len(doubtful))
        shares = openness(looked.scene, looked.mesh, closer, part, few=12, many=64) if len(closer) else np.ones(1)
        found[row] = shares.mean() < HIDDEN
    return found


def _hanging_hulls(looked: Looked, asked: Bool[np.ndarray, "faces"], max_opening_m: float, run: Run) -> list[Hull]:
    if not asked.any():
        return []
    mesh, areas = looked.mesh, looked.areas
    table = edge_table(mesh.faces)
    pairs = half_edge_pairs(table)
    ends = mesh.positions_m[table.edges[table.of_half_edge[pairs[:, 0]]]].astype(np.float64)
    length = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1)
    links = pairs // 3
    shares = np.full(len(mesh.faces), 1.0, np.float32)
    rows = np.flatnonzero(asked)
    shares[rows] = openness(looked.scene, mesh, rows, PartialRun(run, 0.0, 0.7), many=RAYS)
    smooth = _smoothed(shares, areas, links)
    least = LEAST_SHARE * areas.sum()
    sunk = _large_patches(smooth < DARK, areas, links, least)
    if not sunk.any():
        return []
    run.checkpoint(0.7, "cutting inner hulls off")
    cost = length * (1.0 - OUTWARD * np.clip(smooth[links].mean(axis=1) / OPEN, 0.0, 1.0))
    below = _below_cut(_large_patches(smooth >= OPEN, areas, links, least), sunk, links, cost)
    labels = _labels_within(below, links)
    found = []
    for label in range(int(labels.max(initial=-1)) + 1):
        run.checkpoint(0.8, "weighing inner hulls")
        inside = labels == label
        cut = inside[links[:, 0]] != inside[links[:, 1]]
        opening_m = _widest_opening(table.edges[table.of_half_edge[pairs[cut, 0]]], length[cut])
        area = float(areas[inside].sum())
        mean = float((shares[inside] * areas[inside]).sum()) / max(area, 1e-300)
        if area <= least or opening_m > max_opening_m or mean > MEAN_OPEN:
            continue
        if opening_m > NARROW * hollow_width_m(mesh, inside) or not flood_agrees(mesh, inside, opening_m):
            continue
        if not hangs_on_necks(mesh, inside, table.edges[table.of_half_edge[pairs[cut, 0]]]):
            found.append(Hull(np.flatnonzero(inside), opening_m))
    return found


def _smoothed(
    shares: Float32[np.ndarray, "faces"], areas: Float64[np.ndarray, "faces"], links: Int64[np.ndarray, "links 2"]
) -> Float64[np.ndarray, "faces"]:
    """Averaged over neighbours, each as much as it is large."""
    weights = np.maximum(areas, 1e-300)
    values = shares.astype(np.float64)
    one, two = links.T
    for _ in range(SMOOTHINGS):
        sums, total = values * weights, weights.copy()
        for here, there in ((one, two), (two, one)):
            sums += np.bincount(here, (values * weights)[there], len(values))
            total += np.bincount(here, weights[there], len(values))
        values = sums / total
    return values


def _large_patches(
    chosen: Bool[np.ndarray, "faces"],
    areas: Float64[np.ndarray, "faces"],
    links: Int64[np.ndarray, "links 2"],
    least_m2: float,
) -> Bool[np.ndarray, "faces"]:
    """The chosen faces without patches of less than ``least_m2``."""
    labels = _labels_within(chosen, links)
    large = np.bincount(labels[chosen], areas[chosen], minlength=1) > least_m2
    return np.asarray(chosen & large[np.maximum(labels, 0)])


def _labels_within(chosen: Bool[np.ndarray, "faces"], links: Int64[np.ndarray, "links 2"]) -> Int64[np.ndarray, "f"]:
    """Connected patches of the chosen faces, counted from 0; -1 elsewhere."""
    within = links[chosen[links].all(axis=1)]
    labels = component_labels(len(chosen), within)
    found = np.full(len(chosen), -1, np.int64)
    found[chosen] = np.unique(labels[chosen], return_inverse=True)[1].reshape(-1)
    return found


def _below_cut(
    lit: Bool[np.ndarray, "faces"],
    sunk: Bool[np.ndarray, "faces"],
    links: Int64[np.ndarray, "links 2"],
    cost: Float64[np.ndarray, "links"],
) -> Bool[np.ndarray, "faces"]:
    """The sunk faces and those on their side of the cheapest border between them and the lit ones."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    number = np.where(lit, 0, np.where(sunk, 1, -1))
    between = np.flatnonzero(number < 0)
    number[between] = np.arange(2, 2 + len(between))
    count = 2 + len(between)
    rows, columns = number[links[:, 0]], number[links[:, 1]]
    kept = (rows != columns) & ~((rows < 2) & (columns < 2))
    capacity = np.maximum(np.round(cost / max(float(cost.max()), 1e-300) * SCALE), 1.0)
    rows, columns, capacity = rows[kept], columns[kept], capacity[kept]
    both = coo_array(
        (np.concatenate([capacity, capacity]), (np.concatenate([rows, columns]), np.concatenate([columns, rows]))),
        shape=(count, count),
    ).tocsr()
    both.data = np.minimum(both.data, 2**31 - 1)
    graph = both.astype(np.int32)
    flow = maximum_flow(graph, 1, 0).flow
    left = (graph - flow).tocsr()
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = np.zeros(count, bool)
    reached[breadth_first_order(left, 1, return_predecessors=False)] = True
    return np.asarray(reached[number] & ~lit)


def _widest_opening(edges: Int64[np.ndarray, "cut 2"], length: Float64[np.ndarray, "cut"]) -> float:
    """Diameter of the circle as long as the longest connected piece of the border."""
    if not len(edges):
        return 0.0
    used, numbers = np.unique(edges, return_inverse=True)
    labels = component_labels(len(used), numbers.reshape(-1, 2))
    return float(np.bincount(labels[numbers.reshape(-1, 2)[:, 0]], length).max() / np.pi)


def flood_agrees(mesh: Mesh, gone: Bool[np.ndarray, "faces"], opening_m: float) -> bool:
    """Whether a flood from outside that enters no hole as wide as ``opening_m`` reaches the same cells without them.

    What is hidden only by what is to go along with it would be laid open, and so would a surface taken by mistake.
    """
    low, high = (bound.astype(np.float64) for bound in mesh.bounds_m)
    side_m = max(float((high - low).max()), 1e-30)
    closing = 2
    cells = int(np.clip(np.ceil((2 * closing - 1) * side_m / max(opening_m, 1e-30)), *REFEREE_CELLS))
    cell_m = side_m / cells
    corner = low - (closing + 2.5) * cell_m
    shape = np.ceil((high - low) / cell_m).astype(int) + 2 * (closing + 3)
    size = (int(shape[0]), int(shape[1]), int(shape[2]))
    without = Mesh(positions_m=mesh.positions_m, faces=mesh.faces[~gone])
    before, after = (reached_from_outside(m, corner, cell_m, size, closing) for m in (mesh, without))
    return float((before ^ after).sum()) <= 2e-4 * before.size


def covered_by_glass(field: SurfaceField, mesh: Mesh, hidden: Bool[np.ndarray, "faces"], raycaster: Raycaster) -> bool:
    """Whether any of the surface around what rays call hidden lets light through."""
    around = np.flatnonzero(~hidden)
    chosen = around[strata(face_areas(mesh)[around], GLASS_SAMPLES)]
    points = mesh.positions_m[mesh.faces[chosen]].mean(axis=1)
    return bool((field.sample(np.ascontiguousarray(points, np.float32), SceneLocate(raycaster)).opacity < OPAQUE).any())
