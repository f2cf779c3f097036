"""Cutting a mesh apart where it is no surface: at edges of more than two faces and at points where fans meet."""

import numpy as np
from jaxtyping import Int64

from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import (
    EdgeTable,
    component_labels,
    edge_table,
    half_edge_ends,
    half_edge_pairs,
    tidied,
)


def split_non_manifold(mesh: Mesh) -> Mesh:
    """Give every fan of faces around a point a vertex of its own; places and faces stay.

    At an edge of more than two faces those that enclose a piece of solid between them stay joined, so that two boxes
    that touch along an edge become two closed boxes. A face that finds no partner gets a border there. Vertices
    that no face uses are dropped; a mesh that is a manifold already comes back as it is.
    """
    table = edge_table(mesh.faces)
    pairs = np.concatenate([half_edge_pairs(table), paired_by_angle(mesh, table)])
    links = corner_links(mesh, pairs)
    fans = component_labels(mesh.faces.size, links)
    corner_vertex = mesh.faces.reshape(-1).astype(np.int64)
    _, first = np.unique(fans, return_index=True)
    if len(first) == len(mesh.positions_m):
        return mesh
    by_vertex = np.lexsort((first, corner_vertex[first]))
    rank = np.empty_like(by_vertex)
    rank[by_vertex] = np.arange(len(by_vertex))
    owner = corner_vertex[first][by_vertex]
    faces = rank[np.unique(fans, return_inverse=True)[1].reshape(-1)].reshape(-1, 3)
    return Mesh(positions_m=mesh.positions_m[owner], faces=faces.astype(np.int32))


def tidied_surface(mesh: Mesh) -> Mesh:
    """Tidied, and parted again where merging equal vertices joined what only touches."""
    return split_non_manifold(tidied(mesh))


def non_manifold_counts(mesh: Mesh) -> tuple[int, int]:
    """Number of edges with more than two faces, and of vertices that a split would add."""
    table = edge_table(mesh.faces)
    return int((table.counts > 2).sum()), len(split_non_manifold(mesh).positions_m) - len(np.unique(mesh.faces))


def corner_links(mesh: Mesh, pairs: Int64[np.ndarray, "pairs 2"]) -> Int64[np.ndarray, "links 2"]:
    """Pairs of corners at the same vertex on both sides of joined half-edges, in either direction of winding."""
    ends = half_edge_ends(mesh.faces)
    one, two = pairs.T
    next_one, next_two = (np.where(h % 3 == 2, h - 2, h + 1) for h in (one, two))
    opposite = ends[one, 0] == ends[two, 1]
    at_start = np.where(opposite, next_two, two)
    at_end = np.where(opposite, two, next_two)
    return np.concatenate([np.stack([one, at_start], axis=1), np.stack([next_one, at_end], axis=1)])


def paired_by_angle(mesh: Mesh, table: EdgeTable) -> Int64[np.ndarray, "pairs 2"]:
    """Partners among the half-edges of each crowded edge: neighbours in angle with solid between them."""
    order = np.argsort(table.of_half_edge, kind="stable")
    begin = np.cumsum(table.counts) - table.counts
    pairs: list[tuple[int, int]] = []
    for edge in np.flatnonzero(table.counts > 2):
        half_edges = order[begin[edge] : begin[edge] + table.counts[edge]]
        pairs += solid_partners(mesh, half_edges, table.edges[edge])
    return np.array(pairs, np.int64).reshape(-1, 2)


def solid_partners(
    mesh: Mesh, half_edges: Int64[np.ndarray, "n"], edge: Int64[np.ndarray, "2"]
) -> list[tuple[int, int]]:
    """Match the half-edges of one edge like brackets, in the order of their faces' angle around it.

    Seen along the edge, a face that runs along it has its solid at smaller angles, one that runs against it at larger.
    """
    positions = mesh.positions_m.astype(np.float64)
    face, corner = half_edges // 3, half_edges % 3
    start = mesh.faces[face, corner]
    apex = mesh.faces[face, (corner + 2) % 3]
    axis = positions[edge[1]] - positions[edge[0]]
    axis /= max(float(np.linalg.norm(axis)), 1e-300)
    side = np.eye(3)[np.argmin(np.abs(axis))]
    right = np.cross(axis, side)
    right /= np.linalg.norm(right)
    up = np.cross(axis, right)
    out = positions[apex] - positions[edge[0]]
    angle = np.arctan2(out @ up, out @ right)
    along = start == edge[0]
    ring = [int(i) for i in np.lexsort((along, angle))]
    pairs: list[tuple[int, int]] = []
    found = True
    while found and len(ring) > 1:
        found = False
        for place in range(len(ring)):
            lower, upper = ring[place - 1], ring[place]
            if along[upper] and not along[lower]:
                pairs.append((int(half_edges[lower]), int(half_edges[upper])))
                ring = [i for i in ring if i not in (lower, upper)]
                found = True
                break
    return pairs
