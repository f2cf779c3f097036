"""Which triangles meet at which edge. Half-edge ``3 f + k`` runs from corner k of face f to corner k + 1."""

import numpy as np
from jaxtyping import Bool, Int32, Int64


def opposite_half_edges(faces: Int32[np.ndarray, "faces 3"]) -> Int64[np.ndarray, "half_edges"]:
    """For each half-edge the one that runs the other way along the same edge, or -1.

    Where more than two faces share an edge, they pair in the order in which they come; edges between a vertex and
    itself pair with nothing.
    """
    start = faces.reshape(-1).astype(np.int64)
    end = np.roll(faces, -1, axis=1).reshape(-1).astype(np.int64)
    opposite = np.full(len(start), -1, np.int64)
    if len(start) == 0:
        return opposite
    vertices = max(int(faces.max()) + 1, 1)
    forward = start < end
    code = (np.minimum(start, end) * vertices + np.maximum(start, end)) * 2 + forward
    order = np.argsort(code, kind="stable")
    ordered = code[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    place = np.arange(len(ordered))
    rank = np.empty(len(ordered), np.int64)
    rank[order] = place - place[first][np.cumsum(first) - 1]
    ahead, back = np.flatnonzero(forward), np.flatnonzero(start > end)
    width = int(rank.max()) + 1
    ahead_key, back_key = (code[side] // 2 * width + rank[side] for side in (ahead, back))
    back = back[np.argsort(back_key, kind="stable")]
    back_key.sort()
    slot = np.searchsorted(back_key, ahead_key)
    slot_in = np.minimum(slot, max(len(back_key) - 1, 0))
    met = (back_key[slot_in] == ahead_key) if len(back_key) else np.zeros(len(ahead), np.bool_)
    opposite[ahead[met]] = back[slot_in[met]]
    opposite[back[slot_in[met]]] = ahead[met]
    return opposite


def corner_groups(
    opposite: Int64[np.ndarray, "half_edges"], joined: Bool[np.ndarray, "half_edges"]
) -> tuple[int, Int32[np.ndarray, "corners"]]:
    """Number the fans of corners around each vertex that hang together across ``joined`` half-edges.

    A corner has the number of the half-edge that starts at it; the result counts groups from 0.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = np.flatnonzero(joined & (opposite >= 0))
    across = opposite[edges]
    edge_ends = edges // 3 * 3 + (edges + 1) % 3
    across_ends = across // 3 * 3 + (across + 1) % 3
    rows, columns = np.concatenate([edges, edge_ends]), np.concatenate([across_ends, across])
    count = len(opposite)
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(count, count))
    groups, labels = connected_components(graph, directed=False)
    return int(groups), labels.astype(np.int32)
