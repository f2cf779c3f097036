"""Cutting a mesh apart where it is no surface: at edges of more than two faces and at points where fans meet."""

import numpy as np
from jaxtyping import Bool, Float64, Int64

from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import (
    EdgeTable,
    component_labels,
    edge_table,
    face_areas,
    half_edge_ends,
    half_edge_pairs,
    tidied,
)

MOST_PASSES = 6
"""A face is cut once a pass."""
FIN_SHARE = 0.01
"""A flap has less than this share of the area of the largest piece."""
MOST_FINS_SHARE = 0.05
"""All of them together have no more than this share of the area."""


def split_non_manifold(mesh: Mesh, table: EdgeTable | None = None) -> Mesh:
    """Give every fan of faces around a point a vertex of its own; places and faces stay.

    At an edge of more than two faces those that enclose a piece of solid between them stay joined, so that two boxes
    that touch along an edge become two closed boxes. A face that finds no partner gets a border there. Where both
    ends of such an edge belong to one fan all the same, the joined faces beyond the first two are cut in half and get
    a point of their own on the edge. Vertices that no face uses are dropped; a mesh that is a manifold already comes
    back as it is.
    """
    table = table or edge_table(mesh.faces)
    found = _fans_apart(mesh, table)
    if not (table.counts > 2).any():
        return found
    for turn in range(MOST_PASSES):
        table = edge_table(found.faces)
        if not (table.counts > 2).any():
            return found
        found = _fans_apart(_edges_apart(found, table, turn), None)
    return found


def _edges_apart(mesh: Mesh, table: EdgeTable, turn: int) -> Mesh:
    """Cut faces at crowded edges, all but one pair at each, as far as no face is asked for twice."""
    pairs = paired_by_angle(mesh, table)
    crowded = np.flatnonzero(table.counts[table.of_half_edge] > 2)
    single = np.setdiff1d(crowded, pairs)
    groups = [*pairs.tolist(), *([half_edge] for half_edge in single.tolist())]
    positions, faces = mesh.positions_m, mesh.faces.astype(np.int64)
    added: list[Float64[np.ndarray, "3"]] = []
    extra: list[list[int]] = []
    used: set[int] = set()
    seen: dict[int, int] = {}
    for group in groups:
        edge = int(table.of_half_edge[group[0]])
        seen[edge] = seen.get(edge, -1) + 1
        owners = {half_edge // 3 for half_edge in group}
        if not seen[edge] or owners & used:
            continue
        used |= owners
        middle = len(positions) + len(added)
        share = 0.5 + 0.4 * ((seen[edge] + turn) / (seen[edge] + turn + 1.0) - 0.5)
        start, end = positions[table.edges[edge]].astype(np.float64)
        added.append(start + share * (end - start))
        for half_edge in group:
            face, k = half_edge // 3, half_edge % 3
            a, b, c = np.roll(faces[face], -k).tolist()
            faces[face] = (a, middle, c)
            extra.append([middle, b, c])
    whole = np.concatenate([faces, np.array(extra, np.int64).reshape(-1, 3)])
    return Mesh(
        positions_m=np.concatenate([positions, np.array(added, np.float32).reshape(-1, 3)]),
        faces=whole.astype(np.int32),
    )


def _fans_apart(mesh: Mesh, table: EdgeTable | None) -> Mesh:
    table = table or edge_table(mesh.faces)
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


def fins_of(mesh: Mesh, table: EdgeTable) -> Bool[np.ndarray, "faces"]:
    """Faces of small flaps: patches with a border that hang on edges of more than two faces.

    A patch hangs together by edges of two faces. Nothing where the flaps are more than crumbs.
    """
    crowded = table.counts[table.of_half_edge] > 2
    if not crowded.any():
        return np.zeros(len(mesh.faces), bool)
    patches = component_labels(len(mesh.faces), half_edge_pairs(table) // 3)
    count = int(patches.max()) + 1
    areas = np.bincount(patches, face_areas(mesh), count)
    hangs, ends = np.zeros(count, bool), np.zeros(count, bool)
    hangs[patches[np.flatnonzero(crowded) // 3]] = True
    ends[patches[np.flatnonzero(table.counts[table.of_half_edge] == 1) // 3]] = True
    fins = hangs & ends & (areas < FIN_SHARE * areas.max())
    if areas[fins].sum() > MOST_FINS_SHARE * areas.sum():
        fins[:] = False
    return np.asarray(fins[patches])


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
