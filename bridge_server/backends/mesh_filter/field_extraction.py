"""From the two fields to a light mesh: squares of the lattice, each cut along a diagonal."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32, UInt8

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.collapsing import survivors, working_arrays
from bridge_server.backends.mesh_filter.field_levels import Level
from bridge_server.backends.mesh_filter.field_surface import FREE, LINE, POINT, FieldSurface, line_links
from bridge_server.run import Run
from bridge_server.values.mesh_topology import component_labels, half_edge_ends

LEAST_ROUNDS, MOST_ROUNDS, ROUND_VERTICES = 6, 60, 60_000
"""So many rounds are made on a level as ``ROUND_VERTICES`` holds its vertices."""
NEARNESS = 9.0
"""How fast the say of a vertex in its lattice point falls with the squared distance, over that of the side."""
SEED = 20_015


@dataclass(frozen=True, slots=True, eq=False)
class Extracted:
    """A light mesh over the dense one; lengths are shares of the diagonal."""

    places: Float64[np.ndarray, "vertices 3"]
    faces: Int32[np.ndarray, "faces 3"]
    hard: Bool[np.ndarray, "faces 3"]
    kinds: UInt8[np.ndarray, "vertices"]
    origins: Int32[np.ndarray, "vertices"]
    """The dense vertex that each stands for."""
    owners: Int32[np.ndarray, "dense"]
    """The light vertex that each dense one went into."""


def directions(levels: list[Level], run: Run) -> list[Float64[np.ndarray, "vertices 3"]]:
    """The direction field, smoothed from the coarsest level on to the finest, on every level as the finest has it.

    What a coarse level found by itself may lean by some degrees, which over many rows would be a row more or less.
    """
    loops = compiled_loops("field")
    random = np.random.default_rng(SEED)
    q = random.standard_normal(levels[-1].places.shape)
    for step, level in enumerate(reversed(levels)):
        run.checkpoint(step / len(levels), "field of directions")
        q = _tangent(q[level.coarser] if len(level.coarser) else q, level)
        loops.smooth_directions(
            level.normals, level.kinds, level.starts, level.beside, level.weights, q, rounds_of(level)
        )
    return [_tangent(q[level.origins], level) for level in levels]


def rounds_of(level: Level) -> int:
    """More on coarse levels, where they cost nothing and decide how rows run as a whole."""
    return min(max(ROUND_VERTICES // len(level.places), LEAST_ROUNDS), MOST_ROUNDS)


def _tangent(q: Float64[np.ndarray, "vertices 3"], level: Level) -> Float64[np.ndarray, "vertices 3"]:
    """Made upright on the normals, of unit length; lines have their own."""
    q = q - np.einsum("ij,ij->i", q, level.normals)[:, None] * level.normals
    length = np.linalg.norm(q, axis=1, keepdims=True)
    axis = np.eye(3)[np.abs(level.normals).argmin(axis=1)]
    spare = np.cross(level.normals, axis)
    q = np.where(length > 1e-6, q / np.maximum(length, 1e-300), spare / np.linalg.norm(spare, axis=1, keepdims=True))
    return np.where((level.kinds == LINE)[:, None], level.along, q)


def lattice(
    surface: FieldSurface, levels: list[Level], q: list[Float64[np.ndarray, "vertices 3"]], side: float, run: Run
) -> Float64[np.ndarray, "vertices 3"]:
    """The place field of the finest level. Lines are divided evenly first, and lead what lies beside them."""
    loops = compiled_loops("field")
    divided = surface.places.copy()
    starts, ends = line_links(surface.faces, surface.hard.reshape(-1), len(divided))
    compiled_loops("field_lines").divide_lines(surface.places, starts, ends, surface.kinds, side, divided)
    p = levels[-1].places.copy()
    for step, (level, turned) in enumerate(zip(reversed(levels), reversed(q), strict=True)):
        run.checkpoint(step / len(levels), "field of places")
        p = p[level.coarser] if len(level.coarser) else p
        out = np.einsum("ij,ij->i", p - level.places, level.normals)
        p = p - out[:, None] * level.normals
        held = level.kinds != FREE
        p[held] = divided[level.origins[held]]
        loops.smooth_places(
            level.places, level.normals, level.kinds, level.starts, level.beside, level.weights, turned, p, side,
            rounds_of(level),
        )  # fmt: skip
    return p


def extracted(
    surface: FieldSurface, q: Float64[np.ndarray, "vertices 3"], p: Float64[np.ndarray, "vertices 3"], side: float
) -> Extracted:
    """Collapse what lies at one lattice point, and put what is left there."""
    loops, kernels = compiled_loops("field_merging"), compiled_loops("quadric")
    ends = half_edge_ends(surface.faces)
    ends = np.unique(np.sort(ends, axis=1), axis=0)
    same = np.zeros(len(ends), np.bool_)
    compiled_loops("field").at_one_point(surface.places, surface.normals, surface.kinds, q, p, side, ends, same)
    groups = component_labels(len(p), ends[same])
    away = np.linalg.norm(p - surface.places, axis=1)
    work = working_arrays(kernels, surface.places.copy(), surface.faces)
    kernels.link_corners(work)
    work.border[:] = 0
    work.border[border_vertices(surface.faces)] = 1
    hard = surface.hard.copy()
    while loops.merge_groups(work, hard, surface.kinds, groups, away):
        pass
    faces, alive, used, owners = survivors(work)
    kinds = surface.kinds[used]
    counts = np.where(surface.kinds >= kinds[owners], np.exp(-NEARNESS * (away / side) ** 2), 0.0) + 1e-12 * (
        surface.kinds >= kinds[owners]
    )
    total = np.bincount(owners, counts, len(used))
    places = np.stack([np.bincount(owners, counts * p[:, axis], len(used)) for axis in range(3)], 1) / total[:, None]
    places[kinds == POINT] = surface.places[used[kinds == POINT]]
    return Extracted(places, faces, hard[alive], kinds, used.astype(np.int32), owners)


def border_vertices(faces: Int32[np.ndarray, "faces 3"]) -> Int32[np.ndarray, "n"]:
    """Vertices on edges of one face."""
    ends = half_edge_ends(faces)
    codes, counts = np.unique(ends.min(axis=1) << 32 | ends.max(axis=1), return_counts=True)
    border = codes[counts == 1]
    return np.unique(np.concatenate([border >> 32, border & 0xFFFFFFFF])).astype(np.int32)
