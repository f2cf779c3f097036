"""Sewing up seams: border vertices that almost meet become one, and borders are split where a vertex lies on them."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64

from bridge_server.run import PartialRun, Run
from bridge_server.values.mesh import Mesh, edge_face_counts
from bridge_server.values.mesh_topology import (
    compacted,
    component_labels,
    distinct_corners,
    edge_table,
    half_edge_ends,
    without_doubles,
)

LEAST_EDGE_SHARE = 0.25
"""Vertices closer than this share of the shortest edge at either of them may meet, even within the tolerance, so that
no triangle collapses."""
PASSES = 4
"""A face with such vertices on all three sides takes three."""
EDGES_AT_ONCE = 4096
"""Edges between two checkpoints."""
MOST_EDGES = 100_000
"""More border edges than this are no seam."""


@dataclass(frozen=True, slots=True)
class Stitched:
    """Outcome of ``stitched``."""

    mesh: Mesh
    joined: int
    """Border vertices that were merged with others."""
    inserted: int
    """Border vertices that were made corners of the face across."""


def stitched(mesh: Mesh, tolerance_m: float, run: Run) -> Stitched:
    """Close seams narrower than the tolerance. A step that would crowd an edge is left out."""
    run.checkpoint(0.0, "seams")
    joined = _better(mesh, _welded_borders(mesh, tolerance_m))
    found = joined
    inserted = 0
    for turn in range(PASSES):
        part = PartialRun(run, (turn + 1) / (PASSES + 1), (turn + 2) / (PASSES + 1))
        step, count = _split_borders(found, tolerance_m, part)
        after = _better(found, step)
        if after is found:
            break
        found, inserted = after, inserted + count
    return Stitched(found, len(mesh.positions_m) - len(joined.positions_m), inserted)


def _better(before: Mesh, after: Mesh) -> Mesh:
    """The later one where it has fewer borders and no more crowded edges."""
    if after is before or not len(after.faces):
        return before
    old, new = (edge_face_counts(mesh.faces) for mesh in (before, after))
    better = (new == 1).sum() < (old == 1).sum() and (new > 2).sum() <= (old > 2).sum()
    return after if better else before


def _borders(mesh: Mesh) -> tuple[Int64[np.ndarray, "borders"], Int64[np.ndarray, "borders 2"]]:
    """Half-edges with no partner, and their ends."""
    table = edge_table(mesh.faces)
    rows = np.flatnonzero(table.counts[table.of_half_edge] == 1)
    return rows, half_edge_ends(mesh.faces)[rows]


def _welded_borders(mesh: Mesh, tolerance_m: float) -> Mesh:
    from scipy.spatial import cKDTree

    _, ends = _borders(mesh)
    used = np.unique(ends)
    if not len(used):
        return mesh
    places = mesh.positions_m[used].astype(np.float64)
    pairs = cKDTree(places).query_pairs(tolerance_m, output_type="ndarray").astype(np.int64)
    if not len(pairs):
        return mesh
    edges = half_edge_ends(mesh.faces)
    length = np.linalg.norm(mesh.positions_m[edges[:, 0]].astype(np.float64) - mesh.positions_m[edges[:, 1]], axis=1)
    shortest = np.full(len(mesh.positions_m), np.inf)
    for side in (0, 1):
        np.minimum.at(shortest, edges[:, side], length)
    gap = np.linalg.norm(places[pairs[:, 0]] - places[pairs[:, 1]], axis=1)
    pairs = pairs[gap <= LEAST_EDGE_SHARE * shortest[used[pairs]].min(axis=1)]
    owner = np.arange(len(mesh.positions_m))
    labels = component_labels(len(used), pairs)
    first = np.unique(labels, return_index=True)[1]
    owner[used] = used[first[labels]]
    faces = owner[mesh.faces].astype(np.int32)
    faces = faces[distinct_corners(faces)]
    return compacted(mesh.positions_m, faces[without_doubles(faces)])


def _split_borders(mesh: Mesh, tolerance_m: float, run: Run) -> tuple[Mesh, int]:
    """Insert the border vertices that lie on one border edge of each face into it."""
    rows, ends = _borders(mesh)
    if not len(rows) or len(rows) > MOST_EDGES:
        return mesh, 0
    face = rows // 3
    edge_of, vertex, along = _vertices_on(mesh, ends, np.unique(ends), tolerance_m, run)
    hit = np.unique(edge_of)
    chosen = hit[np.unique(face[hit], return_index=True)[1]]
    if not len(chosen):
        return mesh, 0
    fans = []
    for row, edge in enumerate(chosen.tolist()):
        if not row % EDGES_AT_ONCE:
            run.checkpoint(0.5 + 0.5 * row / len(chosen), "seams")
        on = np.arange(*np.searchsorted(edge_of, [edge, edge + 1]))
        chain = [ends[edge, 0], *vertex[on[np.argsort(along[on])]].tolist(), ends[edge, 1]]
        apex = mesh.faces[face[edge], (rows[edge] % 3 + 2) % 3]
        fans += [(a, b, apex) for a, b in pairwise(chain)]
    left = np.ones(len(mesh.faces), bool)
    left[face[chosen]] = False
    faces = np.concatenate([mesh.faces[left], np.array(fans, np.int32)])
    faces = faces[distinct_corners(faces)]
    return Mesh(positions_m=mesh.positions_m, faces=faces[without_doubles(faces)]), len(fans) - len(chosen)


def _vertices_on(
    mesh: Mesh, ends: Int64[np.ndarray, "borders 2"], used: Int64[np.ndarray, "used"], tolerance_m: float, run: Run
) -> tuple[Int64[np.ndarray, "found"], Int64[np.ndarray, "found"], Float64[np.ndarray, "found"]]:
    """Edge (ascending), vertex and place along the edge of all border vertices that lie on an edge not their own."""
    from scipy.spatial import cKDTree

    places = mesh.positions_m.astype(np.float64)
    start, way = places[ends[:, 0]], places[ends[:, 1]] - places[ends[:, 0]]
    length = np.linalg.norm(way, axis=1)
    tree, middle, reach = cKDTree(places[used]), start + way / 2.0, length / 2.0 + tolerance_m
    near: list[list[int]] = []
    for first in range(0, len(ends), EDGES_AT_ONCE):
        run.checkpoint(0.5 * first / len(ends), "seams")
        some = slice(first, first + EDGES_AT_ONCE)
        near += tree.query_ball_point(middle[some], reach[some]).tolist()
    counts = np.array([len(row) for row in near])
    edge = np.repeat(np.arange(len(ends)), counts)
    vertex = used[np.concatenate([np.array(row, np.int64) for row in near])] if counts.sum() else edge
    offset = places[vertex] - start[edge]
    along = np.einsum("ij,ij->i", offset, way[edge]) / np.maximum(length[edge], 1e-300) ** 2
    gap = np.linalg.norm(offset - along[:, None] * way[edge], axis=1)
    inside = np.minimum(along, 1.0 - along) * length[edge] > np.minimum(tolerance_m, 0.05 * length[edge])
    on = (gap <= tolerance_m) & inside & (vertex[:, None] != ends[edge]).all(axis=1)
    return edge[on], vertex[on], along[on]
