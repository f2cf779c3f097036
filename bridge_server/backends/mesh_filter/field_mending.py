"""Mending an extracted mesh: onto the surface, short edges out, folds turned, rows evened, the exact count."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.collapsing import survivors, working_arrays
from bridge_server.backends.mesh_filter.field_extraction import Extracted, border_vertices
from bridge_server.backends.mesh_filter.field_quads import Ground, diagonals, quad_edges
from bridge_server.backends.mesh_filter.field_rows import rows_of
from bridge_server.backends.mesh_filter.field_surface import FREE, LINE
from bridge_server.backends.mesh_filter.sampling import Walkable
from bridge_server.run import PartialRun, Run
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh_topology import half_edge_ends

SHORT = 0.4
"""Edges under this share of the side go."""
EVENING_ROUNDS = 4
TURN_ROUNDS = 10
STEP = 0.5
"""How far a vertex goes to the middle of its neighbours in a round."""
FOLD_COSINE = -0.8
"""No vertex moves so that neighbours turn back on each other like this; a little stricter than ``decimate`` is."""
SOUND = 0.1
"""A vertex does not move where that makes a face worse than this (see ``field_mending_kernels.shape``)."""
WORTH_OF_PAIR = 8.0
"""How much two single triangles weigh that go together, beside the squared errors of valences."""
MOST_PASSES = 200
MOST_ROWS, ROW_ROUNDS = 40, 3


def settled(light: Extracted, ground: Ground, side: float) -> Extracted:
    """On the surface, without short edges and folds."""
    light = grounded(light, ground)
    for _ in range(3):
        light = without_short(light, side, ground)
        light = with_poor_turned(light, ground)
        light = without_folds(light)
        light = evened(light, ground, 1)
    return light


def finished(light: Extracted, ground: Ground, side: float, target: int, run: Run) -> Extracted:
    """At most ``target`` triangles, where collapses can reach that, in even rows."""
    light = without_folds(evened(light, ground, EVENING_ROUNDS))
    light = without_rows(light, ground, target, PartialRun(run, 0.0, 0.5))
    light = reduced(light, ground, side, target, PartialRun(run, 0.5, 1.0))
    light = without_folds(with_poor_turned(light, ground))
    return evened(padded(light, ground, target), ground, 2)


def grounded(light: Extracted, ground: Ground) -> Extracted:
    """Every vertex on the surface or its line, and its origin where that is."""
    places, origins = light.places.copy(), light.origins.copy()
    free, line = light.kinds == FREE, light.kinds == LINE
    start = ground.walkable.first_face[origins[free]]
    places[free], faces = ground.drop(places[free], start)
    corners = ground.surface.faces[faces]
    gaps = np.linalg.norm(ground.surface.places[corners] - places[free][:, None], axis=2)
    origins[free] = corners[np.arange(len(corners)), gaps.argmin(axis=1)]
    places[line], origins[line] = ground.drop_on_lines(places[line], origins[line])
    return replace(light, places=places, origins=origins)


def upward(light: Extracted, ground: Ground) -> Float64[np.ndarray, "vertices 3"]:
    """Normals of the dense surface at free vertices, 0 at others."""
    up = ground.surface.normals[light.origins].copy()
    up[light.kinds != FREE] = 0.0
    return up


def without_short(light: Extracted, side: float, ground: Ground) -> Extracted:
    """Collapse edges that are much shorter than the side."""
    for _ in range(TURN_ROUNDS):
        ends = half_edge_ends(light.faces)
        ends = np.unique(np.sort(ends, axis=1), axis=0)
        length = np.linalg.norm(light.places[ends[:, 0]] - light.places[ends[:, 1]], axis=1)
        rows = np.flatnonzero(length < SHORT * side)
        rows = rows[np.argsort(length[rows], kind="stable")]
        after = collapsed_edges(light, ends[rows], len(light.faces), (-0.2, 0.1))
        if len(after.faces) == len(light.faces):
            break
        light = after
    return grounded(light, ground)


def collapsed_edges(
    light: Extracted, ends: Int64[np.ndarray, "edges 2"], most: int, limits: tuple[float, float]
) -> Extracted:
    """Collapse some of the edges, in their order, until ``most`` faces have gone."""
    loops, kinds = compiled_loops("field_mending"), light.kinds
    swap = kinds[ends[:, 1]] > kinds[ends[:, 0]]
    stays, goes = np.where(swap, ends[:, 1], ends[:, 0]), np.where(swap, ends[:, 0], ends[:, 1])
    equal = (kinds[stays] == kinds[goes])[:, None]
    targets = np.where(equal, (light.places[stays] + light.places[goes]) / 2.0, light.places[stays])
    work, hard = linked(light)
    gone = loops.collapse_listed(work, hard, kinds, stays, goes, targets, limits, most)
    return compacted_light(light, work, hard) if gone else light


def without_folds(light: Extracted) -> Extracted:
    """Collapse edges beside folds, even where lines are, as long as that leaves fewer."""
    loops = compiled_loops("field_folds")
    for _ in range(TURN_ROUNDS):
        work, hard = linked(light)
        if not loops.unfold(work, hard, light.kinds, linked(light)[0]):
            break
        light = compacted_light(light, work, hard)
    return light


def linked(light: Extracted) -> tuple[Any, Bool[np.ndarray, "faces 3"]]:
    """What collapses change in place, and a copy of the lines."""
    kernels = compiled_loops("quadric")
    work = working_arrays(kernels, light.places.copy(), light.faces)
    kernels.link_corners(work)
    work.border[border_vertices(light.faces)] = 1
    return work, light.hard.copy()


def compacted_light(light: Extracted, work: Any, hard: Bool[np.ndarray, "faces 3"]) -> Extracted:
    """What is left after collapses."""
    faces, alive, used, owners = survivors(work)
    kinds, origins = light.kinds[used], light.origins[used]
    return Extracted(work.places[used], faces, hard[alive], kinds, origins, owners[light.owners])


def with_poor_turned(light: Extracted, ground: Ground) -> Extracted:
    """Turn edges of needles and of faces that are turned over."""
    loops = compiled_loops("field_mending")
    faces, hard, up = light.faces.copy(), light.hard.copy(), upward(light, ground)
    for _ in range(TURN_ROUNDS):
        listed = Walkable.of(light.places, faces).surface
        if not loops.turn_poor(listed, hard, opposite_half_edges(faces), up):
            break
    return replace(light, faces=faces, hard=hard)


def evened(light: Extracted, ground: Ground, rounds: int) -> Extracted:
    """Move vertices toward the middle of their neighbours in rows, along the surface."""
    loops = compiled_loops("field_mending")
    cuts = diagonals(light.places, light.faces, light.hard)
    opposite = opposite_half_edges(light.faces)
    edges = quad_edges(light.faces, cuts)
    on_line = half_edge_ends(light.faces)[light.hard.reshape(-1)]
    on_line = np.unique(np.sort(on_line, axis=1), axis=0)
    degree = np.bincount(on_line.reshape(-1), minlength=len(light.places))
    stays = (light.kinds != FREE) & ((light.kinds != LINE) | (degree != 2))
    for _ in range(rounds):
        middle = _middles(light.places, edges)
        along = _middles(light.places, on_line)
        goal = np.where((light.kinds == FREE)[:, None], middle, along)
        goal[stays] = light.places[stays]
        before, up = light.places, upward(light, ground)
        moved = grounded(replace(light, places=before + STEP * (goal - before)), ground)
        was, now = np.zeros(len(light.faces)), np.zeros(len(light.faces))
        loops.shapes(before, light.faces, up, was)
        folded = _folded(before, light.faces, opposite)
        for _ in range(4):
            loops.shapes(moved.places, light.faces, up, now)
            worse = ((now < SOUND) & (now < was)) | (_folded(moved.places, light.faces, opposite) & ~folded)
            if not worse.any():
                break
            back = np.unique(light.faces[worse])
            moved.places[back], moved.origins[back] = before[back], light.origins[back]
        light = moved
    return light


def _folded(
    places: Float64[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"], opposite: Int64[np.ndarray, "edges"]
) -> Bool[np.ndarray, "faces"]:
    """Faces that turn back on a neighbour."""
    corners = places[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    cosine = np.einsum("fi,fki->fk", normals, normals[opposite.reshape(-1, 3) // 3])
    return np.asarray(((cosine < FOLD_COSINE) & (opposite.reshape(-1, 3) >= 0)).any(axis=1))


def _middles(
    places: Float64[np.ndarray, "vertices 3"], edges: Int64[np.ndarray, "edges 2"]
) -> Float64[np.ndarray, "vertices 3"]:
    """Mean of the neighbours; the place itself where there are none."""
    one, other = edges.T
    count = np.bincount(edges.reshape(-1), minlength=len(places))
    total = np.stack(
        [
            np.bincount(one, places[other, axis], len(places)) + np.bincount(other, places[one, axis], len(places))
            for axis in range(3)
        ],
        axis=1,
    )
    return np.where((count > 0)[:, None], total / np.maximum(count, 1)[:, None], places)


def reduced(light: Extracted, ground: Ground, side: float, target: int, run: Run) -> Extracted:
    """Take single triangles out by twos, and quads by joining opposite corners, until the count is met."""
    limits = (0.2, 0.1)
    for step in range(MOST_PASSES):
        run.checkpoint(step / MOST_PASSES, "mending quads")
        excess = len(light.faces) - target
        if excess <= 0:
            break
        after = collapsed_edges(light, candidates(light, side), excess, limits)
        if len(after.faces) == len(light.faces):
            if limits[0] < 0.0:
                break
            limits = (-0.5, 0.0)
        light = evened(grounded(after, ground), ground, 1)
    return light


def padded(light: Extracted, ground: Ground, target: int) -> Extracted:
    """Cut edges in half until at most one triangle is missing: those of single triangles, then the longest."""
    while len(light.faces) < target - 1:
        opposite = opposite_half_edges(light.faces)
        single = np.ones(len(light.faces), np.bool_)
        single[diagonals(light.places, light.faces, light.hard).reshape(-1) // 3] = False
        half = np.flatnonzero((opposite > np.arange(len(opposite))) & ~light.hard.reshape(-1))
        pair = np.stack([half, opposite[half]], axis=1)
        pair = pair[~_folded(light.places, light.faces, opposite)[pair // 3].any(axis=1)]
        ends = half_edge_ends(light.faces)[pair[:, 0]]
        length = np.linalg.norm(light.places[ends[:, 0]] - light.places[ends[:, 1]], axis=1)
        order = np.lexsort((-length, -single[pair // 3].sum(axis=1)))
        taken, chosen = np.zeros(len(light.faces), np.bool_), np.zeros(len(order), np.bool_)
        compiled_loops("field").match(pair[order, 0] // 3, pair[order, 1] // 3, taken, chosen)
        rows = order[chosen][: (target - len(light.faces)) // 2]
        if not len(rows):
            break
        light = grounded(_halved(light, pair[rows], ends[rows]), ground)
    return light


def _halved(light: Extracted, pair: Int64[np.ndarray, "edges 2"], ends: Int64[np.ndarray, "edges 2"]) -> Extracted:
    """New free vertices in the middle of edges that share no face, told by both half-edges and their ends."""
    count, faces, hard = len(light.places), light.faces.copy(), light.hard.copy()
    middle = count + np.arange(len(pair), dtype=np.int32)
    added, lined = [], []
    for half in pair.T:
        face, k = half // 3, half % 3
        after, last = (k + 1) % 3, (k + 2) % 3
        added.append(np.stack([middle, faces[face, after], faces[face, last]], axis=1))
        lined.append(np.stack([np.zeros(len(half), np.bool_), hard[face, after], np.zeros(len(half), np.bool_)], 1))
        faces[face, after] = middle
        hard[face, after] = False
    origins = light.origins[ends[:, 0]]
    free = np.full(len(pair), FREE, np.uint8)
    return Extracted(
        np.concatenate([light.places, light.places[ends].mean(axis=1)]),
        np.concatenate([faces, *added]).astype(np.int32),
        np.concatenate([hard, *lined]),
        np.concatenate([light.kinds, free]),
        np.concatenate([light.origins, origins]),
        light.owners,
    )


def without_rows(light: Extracted, ground: Ground, target: int, run: Run) -> Extracted:
    """Take whole rows out as long as one fits into what is too many."""
    loops = compiled_loops("field_rows")
    for step in range(MOST_ROWS):
        run.checkpoint(step / MOST_ROWS, "mending quads")
        excess = len(light.faces) - target
        for rungs in rows_of(light, ground, excess) if excess > 1 else ():
            work, hard = linked(light)
            back, hard_back = linked(light)
            if loops.collapse_row(work, hard, light.kinds, rungs[:, 0].copy(), rungs[:, 1].copy(), back, hard_back):
                light = evened(grounded(compacted_light(light, work, hard), ground), ground, ROW_ROUNDS)
                break
        else:
            break
    return light


def candidates(light: Extracted, side: float) -> Int64[np.ndarray, "edges 2"]:
    """Edges in the order in which they should go: what mends valences, and pairs of single triangles, first."""
    faces = light.faces
    cuts = diagonals(light.places, faces, light.hard)
    valence = np.bincount(quad_edges(faces, cuts).reshape(-1), minlength=len(light.places))
    opposite = opposite_half_edges(faces)
    half = np.flatnonzero((opposite > np.arange(len(opposite))) | (opposite < 0))
    ends = half_edge_ends(faces)[half]
    flat, across = faces.reshape(-1), np.where(opposite[half] < 0, half, opposite[half])
    tips = [flat[h // 3 * 3 + (h + 2) % 3] for h in (half, across)]
    quad = np.zeros(len(faces), np.bool_)
    quad[cuts.reshape(-1) // 3] = True
    is_cut = np.isin(half, cuts)
    singles = ~quad[half // 3] & ~quad[across // 3]
    worth = np.where(is_cut, 2, 4)
    after = valence[ends[:, 0]] + valence[ends[:, 1]] - worth
    around = np.stack([valence[ends[:, 0]], valence[ends[:, 1]], valence[tips[0]], valence[tips[1]]], axis=1)
    was = ((around - 4.0) ** 2).sum(axis=1)
    will = (after - 4.0) ** 2 + (around[:, 2] - 5.0) ** 2 + (around[:, 3] - 5.0) ** 2
    length = np.linalg.norm(light.places[ends[:, 0]] - light.places[ends[:, 1]], axis=1) / side
    cost = will - was + length * length - WORTH_OF_PAIR * (singles & ~is_cut)
    rows = np.flatnonzero(is_cut | singles)
    if not len(rows):
        rows = np.arange(len(half))
    return ends[rows[np.argsort(cost[rows], kind="stable")]]
