"""What the field remesher works on: a dense surface with short edges, its normals, and the lines it must keep.

Lines are borders and edges that turn by more than ``HARD_EDGE_DEG``; where they end, meet or bend sharply is a point.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, UInt8

from bridge_server.backends.compiled import compiled_loops
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh_topology import component_labels, half_edge_ends

HARD_EDGE_DEG = 60.0
"""As hard edges of maps (``stages/corner_normals``)."""
BEND_COSINE = 0.7
"""Cosine of the turn from which on a line has a corner."""
REACH = 0.5
"""How far along a line its direction is measured, over the side of a quad."""
LEAST_LINE = 2.0
"""A line of hard edges shorter than so many quads is noise."""
FREE, LINE, POINT = 0, 1, 2
UPRIGHT = (0.0, 1.0, 0.0)
"""Normal of a vertex whose faces have no area or cancel each other."""
MOST_SPLITS = 12
MOST_FACES = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class FieldSurface:
    """Lengths are shares of the diagonal."""

    places: Float64[np.ndarray, "vertices 3"]
    faces: Int32[np.ndarray, "faces 3"]
    normals: Float64[np.ndarray, "vertices 3"]
    areas: Float64[np.ndarray, "vertices"]
    hard: Bool[np.ndarray, "faces 3"]
    """Whether the edge from corner k to corner k + 1 lies on a line."""
    kinds: UInt8[np.ndarray, "vertices"]
    """``FREE``, ``LINE`` or ``POINT``."""
    along: Float64[np.ndarray, "vertices 3"]
    """Direction of the line at its vertices, 0 elsewhere."""


def refined(
    places: Float64[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"], longest: float
) -> tuple[Float64[np.ndarray, "more 3"], Int32[np.ndarray, "most 3"]]:
    """Halve edges longer than ``longest``, again and again; a face is cut into two, three or four."""
    for _ in range(MOST_SPLITS):
        ends = half_edge_ends(faces)
        long = np.linalg.norm(places[ends[:, 0]] - places[ends[:, 1]], axis=1) > longest
        if not long.any() or len(faces) > MOST_FACES:
            break
        codes = ends.min(axis=1) << 32 | ends.max(axis=1)
        unique, inverse = np.unique(codes[long], return_inverse=True)
        middle = np.full(len(ends), -1, np.int64)
        middle[long] = len(places) + inverse.reshape(-1)
        places = np.concatenate([places, (places[unique >> 32] + places[unique & 0xFFFFFFFF]) / 2.0])
        faces = _cut(faces, middle.reshape(-1, 3), places)
    return places, faces


def _cut(
    faces: Int32[np.ndarray, "faces 3"], middle: Int64[np.ndarray, "faces 3"], places: Float64[np.ndarray, "vertices 3"]
) -> Int32[np.ndarray, "more 3"]:
    """Faces by the number of their edges that have a new vertex in the middle (-1 for none)."""
    count = (middle >= 0).sum(axis=1)
    # Turned so that a single cut is on the first edge, and a single whole edge is the last.
    turn = np.where(count == 1, (middle >= 0).argmax(axis=1), ((middle < 0).argmax(axis=1) + 1) % 3)
    pick = (np.arange(3) + turn[:, None]) % 3
    a, b, c = np.take_along_axis(faces.astype(np.int64), pick, 1).T
    p, q, r = np.take_along_axis(middle, pick, 1).T
    none, one, two, three = (count == n for n in range(4))
    shorter = np.linalg.norm(places[p] - places[c], axis=1) < np.linalg.norm(places[a] - places[q], axis=1)
    parts = [
        (none, (a, b, c)),
        (one, (a, p, c)),
        (one, (p, b, c)),
        (two, (p, b, q)),
        (two & shorter, (a, p, c)),
        (two & shorter, (p, q, c)),
        (two & ~shorter, (a, p, q)),
        (two & ~shorter, (a, q, c)),
        (three, (a, p, r)),
        (three, (p, b, q)),
        (three, (r, q, c)),
        (three, (p, q, r)),
    ]
    return np.concatenate([np.stack(corners, 1)[rows] for rows, corners in parts]).astype(np.int32)


def field_surface(
    places: Float64[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"], side: float
) -> FieldSurface:
    """Measure a surface that is to get quads of the length ``side``."""
    corners = places[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    doubled = np.linalg.norm(cross, axis=1)
    unit = np.divide(cross, doubled[:, None], out=np.zeros_like(cross), where=doubled[:, None] > 0.0)
    flat = faces.reshape(-1)
    ahead, back = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    angles = np.arctan2(np.linalg.norm(np.cross(ahead, back), axis=2), np.einsum("fki,fki->fk", ahead, back))
    normals = _unit(_gathered(flat, (unit[:, None, :] * angles[:, :, None]).reshape(-1, 3), len(places)))
    normals[~normals.any(axis=1)] = UPRIGHT
    areas = np.bincount(flat, np.repeat(doubled / 6.0, 3), len(places))
    hard = _lines(places, faces, unit, LEAST_LINE * side)
    kinds, along = _kinds(places, faces, hard, REACH * side)
    return FieldSurface(places, faces, normals, areas, hard.reshape(-1, 3), kinds, along)


def _lines(
    places: Float64[np.ndarray, "vertices 3"],
    faces: Int32[np.ndarray, "faces 3"],
    normals: Float64[np.ndarray, "faces 3"],
    least: float,
) -> Bool[np.ndarray, "half_edges"]:
    """Half-edges on borders and on hard edges that hang together over at least ``least``."""
    opposite = opposite_half_edges(faces)
    border = opposite < 0
    cosine = np.einsum("hi,hi->h", np.repeat(normals, 3, axis=0), normals[opposite // 3])
    hard = ~border & (cosine < np.cos(np.radians(HARD_EDGE_DEG)))
    ends = half_edge_ends(faces)
    edges = np.flatnonzero(hard)
    labels = component_labels(len(places), ends[edges])[ends[edges, 0]]
    length = np.linalg.norm(places[ends[edges, 0]] - places[ends[edges, 1]], axis=1)
    total = np.bincount(labels, length / 2.0, int(labels.max(initial=-1)) + 1)
    hard[edges[total[labels] < least]] = False
    return np.asarray(border | hard)


def _kinds(
    places: Float64[np.ndarray, "vertices 3"],
    faces: Int32[np.ndarray, "faces 3"],
    hard: Bool[np.ndarray, "half_edges"],
    reach: float,
) -> tuple[UInt8[np.ndarray, "vertices"], Float64[np.ndarray, "vertices 3"]]:
    """Kind of each vertex, and the direction of its line."""
    starts, ends = line_links(faces, hard, len(places))
    kinds, along = np.zeros(len(places), np.uint8), np.zeros((len(places), 3))
    compiled_loops("field_lines").trace_lines(places, starts, ends, reach, BEND_COSINE, kinds, along)
    return kinds, along


def line_links(
    faces: Int32[np.ndarray, "faces 3"], hard: Bool[np.ndarray, "half_edges"], count: int
) -> tuple[Int64[np.ndarray, "vertices_and_one"], Int64[np.ndarray, "links"]]:
    """Where the neighbours of each vertex along lines begin, and who they are."""
    ends = half_edge_ends(faces)[hard]
    both = np.unique(np.concatenate([ends, ends[:, ::-1]]), axis=0)
    return np.searchsorted(both[:, 0], np.arange(count + 1)).astype(np.int64), both[:, 1].copy()


def _gathered(
    rows: Int32[np.ndarray, "n"], values: Float64[np.ndarray, "n 3"], count: int
) -> Float64[np.ndarray, "count 3"]:
    return np.stack([np.bincount(rows, values[:, axis], count) for axis in range(3)], axis=1)


def _unit(vectors: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0.0)
