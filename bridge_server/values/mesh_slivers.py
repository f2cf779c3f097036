"""Triangles without height: needles lose their short edge, flat caps give their long edge to the neighbour across.

Either way the surface stays as closed as it was; dropping such faces would tear it.
"""

import numpy as np
from jaxtyping import Float64, Int32, Int64

from bridge_server.values.mesh import Mesh, edge_face_counts
from bridge_server.values.mesh_topology import (
    compacted,
    component_labels,
    distinct_corners,
    edge_table,
    half_edge_ends,
    half_edge_pairs,
    without_doubles,
)

PASSES = 6


def without_slivers(mesh: Mesh, height_m: float) -> Mesh:
    """Mend triangles that are lower than ``height_m``; what cannot be mended without harm stays."""
    found = mesh
    for _ in range(PASSES):
        low = heights(found.positions_m, found.faces) < height_m
        if not low.any():
            break
        after = _turned(_collapsed(found, height_m), height_m)
        if after is found:
            break
        found = after
    return found


def heights(places: np.ndarray, faces: Int32[np.ndarray, "faces 3"]) -> Float64[np.ndarray, "faces"]:
    """Least height of each triangle: twice its area over its longest edge."""
    corners = places.astype(np.float64)[faces]
    cross = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    longest = np.linalg.norm(corners - np.roll(corners, -1, axis=1), axis=2).max(axis=1)
    return np.asarray(cross / np.maximum(longest, 1e-300))


def _collapsed(mesh: Mesh, height_m: float) -> Mesh:
    """Ends of edges shorter than the height become one, where that leaves no edge worse than it was."""
    ends = half_edge_ends(mesh.faces)
    places = mesh.positions_m.astype(np.float64)
    short = np.linalg.norm(places[ends[:, 0]] - places[ends[:, 1]], axis=1) < height_m
    if not short.any():
        return mesh
    labels = component_labels(len(places), ends[short])
    first = np.unique(labels, return_index=True)[1]
    faces = first[labels][mesh.faces].astype(np.int32)
    faces = faces[distinct_corners(faces)]
    faces = faces[without_doubles(faces)]
    if not len(faces):
        return mesh
    before, after = edge_face_counts(mesh.faces), edge_face_counts(faces)
    worse = (after == 1).sum() > (before == 1).sum() or (after > 2).sum() > (before > 2).sum()
    return mesh if worse else compacted(mesh.positions_m, faces)


def _turned(mesh: Mesh, height_m: float) -> Mesh:
    """Flip the longest edge of low triangles, as many at once as share no face or corner."""
    table = edge_table(mesh.faces)
    pairs = half_edge_pairs(table)
    face, other = pairs.T // 3
    low = heights(mesh.positions_m, mesh.faces)
    ends = half_edge_ends(mesh.faces)
    places = mesh.positions_m.astype(np.float64)
    length = np.linalg.norm(places[ends[:, 0]] - places[ends[:, 1]], axis=1).reshape(-1, 3)
    longest = length.argmax(axis=1)
    agree = ends[pairs[:, 0], 0] == ends[pairs[:, 1], 1]
    asked = [(low[f] < height_m) & (longest[f] == half % 3) for f, half in zip((face, other), pairs.T, strict=True)]
    rows = np.flatnonzero((asked[0] | asked[1]) & agree)
    if not len(rows):
        return mesh
    known = set((table.edges[:, 0] << 32 | table.edges[:, 1]).tolist())
    faces = mesh.faces.copy()
    used: set[int] = set()
    turned = False
    for row in rows[np.argsort(np.minimum(low[face[rows]], low[other[rows]]), kind="stable")].tolist():
        quad = _quad(mesh.faces, pairs[row])
        if not used.isdisjoint(quad) or min(quad[1], quad[3]) << 32 | max(quad[1], quad[3]) in known:
            continue
        a, b, c, d = quad
        new = np.array([[a, b, d], [b, c, d]], np.int32)
        old = low[[face[row], other[row]]].min()
        if b == d or heights(mesh.positions_m, new).min() <= old:
            continue
        faces[face[row]], faces[other[row]] = new
        used.update(quad)
        turned = True
    return Mesh(positions_m=mesh.positions_m, faces=faces) if turned else mesh


def _quad(faces: Int32[np.ndarray, "faces 3"], pair: Int64[np.ndarray, "2"]) -> tuple[int, int, int, int]:
    """Corners around two faces that share an edge from the first to the third, in the sense of the first face."""
    one, two = pair.tolist()
    start, end, apex = np.roll(faces[one // 3], -(one % 3)).tolist()
    across = int(faces[two // 3, (two % 3 + 2) % 3])
    return end, apex, start, across
