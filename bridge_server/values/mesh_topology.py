"""Edges, neighbours, components and winding of triangle meshes.

A half-edge is numbered ``face * 3 + corner`` and runs from that corner to the next one of its face.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from bridge_server.blocks import over_blocks
from bridge_server.values.mesh import Mesh


@dataclass(frozen=True, slots=True)
class EdgeTable:
    """Undirected edges and who uses them."""

    edges: Int64[np.ndarray, "edges 2"]
    """Lower vertex index first."""
    of_half_edge: Int64[np.ndarray, "half_edges"]
    """Edge of each half-edge."""
    counts: Int64[np.ndarray, "edges"]
    """How many faces use each edge."""


def edge_table(faces: Int32[np.ndarray, "faces 3"]) -> EdgeTable:
    """Find all edges."""
    ends = half_edge_ends(faces)
    codes = ends.min(axis=1) << 32 | ends.max(axis=1)
    unique, inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)
    edges = np.stack([unique >> 32, unique & 0xFFFFFFFF], axis=1)
    return EdgeTable(edges, inverse.reshape(-1), counts)


def half_edge_ends(faces: Int32[np.ndarray, "faces 3"]) -> Int64[np.ndarray, "half_edges 2"]:
    """Start and end vertex of each half-edge."""
    return faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64)


def half_edge_pairs(table: EdgeTable) -> Int64[np.ndarray, "pairs 2"]:
    """The two half-edges of every edge that exactly two faces use, in either direction of winding."""
    order = np.argsort(table.of_half_edge, kind="stable")
    first = (np.cumsum(table.counts) - table.counts)[table.counts == 2]
    return np.stack([order[first], order[first + 1]], axis=1)


def component_labels(count: int, links: Int64[np.ndarray, "links 2"]) -> Int64[np.ndarray, "nodes"]:
    """Number of the connected component of each node, counted from 0 in order of first appearance."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def piece_count(mesh: Mesh) -> int:
    """How many pieces there are of faces that hang together by vertices."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    faces, vertices = len(mesh.faces), len(mesh.positions_m)
    # One row of the graph a face, with its three vertices, which needs no sorting; the rows of vertices are empty
    begins = np.minimum(np.arange(faces + vertices + 1, dtype=np.int32), faces) * np.int32(3)
    columns = mesh.faces.reshape(-1) + np.int32(faces)
    graph = csr_array((np.ones(len(columns)), columns, begins), shape=(faces + vertices, faces + vertices))
    found = connected_components(graph, directed=False, return_labels=False)
    return int(found) - int((np.bincount(mesh.faces.reshape(-1), minlength=vertices) == 0).sum())


def face_components(faces: Int32[np.ndarray, "faces 3"], table: EdgeTable | None = None) -> Int64[np.ndarray, "faces"]:
    """Components of faces that hang together by any edge, manifold or not."""
    table = table or edge_table(faces)
    edge_nodes = len(faces) + table.of_half_edge
    links = np.stack([np.arange(len(faces) * 3) // 3, edge_nodes], axis=1)
    labels = component_labels(len(faces) + len(table.edges), links)[: len(faces)]
    return np.unique(labels, return_inverse=True)[1].reshape(-1)


def compacted(positions_m: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]) -> Mesh:
    """The mesh without the vertices that no face uses; order is kept."""
    used = np.zeros(len(positions_m), bool)
    used[faces.reshape(-1)] = True
    renumbered = np.cumsum(used) - 1
    return Mesh(positions_m=positions_m[used], faces=renumbered[faces].astype(np.int32))


def distinct_corners(faces: Int32[np.ndarray, "faces 3"]) -> Bool[np.ndarray, "faces"]:
    """True for faces whose three corners are three vertices."""
    a, b, c = faces.T
    return np.asarray((a != b) & (b != c) & (c != a))


def without_doubles(faces: Int32[np.ndarray, "faces 3"]) -> Bool[np.ndarray, "faces"]:
    """True for the first of all faces that use the same three vertices, whichever way they wind."""
    ordered = np.sort(faces, axis=1)
    keep = np.zeros(len(faces), bool)
    keep[np.unique(ordered, axis=0, return_index=True)[1]] = True
    return keep


def tidied(mesh: Mesh) -> Mesh:
    """Equal vertices merged, faces without three corners and doubled faces dropped, unused vertices dropped."""
    kept, owner = welded_exactly(mesh.positions_m)
    faces = owner[mesh.faces].astype(np.int32)
    faces = faces[distinct_corners(faces)]
    faces = faces[without_doubles(faces)]
    return compacted(mesh.positions_m[kept], faces)


def face_areas(mesh: Mesh) -> Float64[np.ndarray, "faces"]:
    """Area of each face in square metres."""
    areas = np.empty(len(mesh.faces))

    def measure(rows: slice) -> None:
        corners = mesh.positions_m[mesh.faces[rows]].astype(np.float64)
        (x, y, z), (u, v, w) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
        areas[rows] = np.sqrt((y * w - z * v) ** 2 + (z * u - x * w) ** 2 + (x * v - y * u) ** 2) / 2.0

    over_blocks(measure, len(areas))
    return areas


def welded_exactly(
    positions: Float32[np.ndarray, "vertices 3"],
) -> tuple[Int64[np.ndarray, "kept"], Int64[np.ndarray, "vertices"]]:
    """Rows that stay, and for each vertex the index among them of the one it equals; order of first use is kept."""
    keys = np.ascontiguousarray(positions + np.float32(0.0)).view("V12").reshape(-1)  # adding 0 turns -0 into 0
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse.reshape(-1)]


def welded_nearby(
    positions: Float32[np.ndarray, "vertices 3"], tolerance_m: float
) -> tuple[Int64[np.ndarray, "kept"], Int64[np.ndarray, "vertices"]]:
    """As ``welded_exactly`` for vertices that are closer than the tolerance, chains of them included."""
    from scipy.spatial import cKDTree

    kept, owner = welded_exactly(positions)
    close = cKDTree(positions[kept]).query_pairs(tolerance_m, output_type="ndarray").astype(np.int64)
    if not len(close):
        return kept, owner
    labels = component_labels(len(kept), close)
    _, first, groups = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return kept[first[order]], rank[groups.reshape(-1)][owner]


def boundary_loops(faces: Int32[np.ndarray, "faces 3"]) -> list[Int64[np.ndarray, "vertices"]]:
    """Simple closed loops of border half-edges, in the direction of the faces beside them.

    A walk that meets a vertex again gives off the part between as a loop of its own, so no loop touches itself.
    """
    table = edge_table(faces)
    border = table.counts[table.of_half_edge] == 1
    onward: dict[int, list[int]] = {}
    for start, end in half_edge_ends(faces)[border].tolist():
        onward.setdefault(start, []).append(end)
    loops: list[Int64[np.ndarray, "vertices"]] = []
    for start in list(onward):
        while onward.get(start):
            path, place = [start], {start: 0}
            while True:
                ends = onward.get(path[-1])
                if not ends:
                    break
                vertex = ends.pop(0)
                if vertex in place:
                    loop = path[place[vertex] :]
                    loops.append(np.array(loop, np.int64))
                    for gone in loop[1:]:
                        del place[gone]
                    del path[place[vertex] + 1 :]
                else:
                    place[vertex] = len(path)
                    path.append(vertex)
    return loops
