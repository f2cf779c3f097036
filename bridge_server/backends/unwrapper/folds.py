"""Charts that fall over themselves in the plane: the faces that do are found and become charts of their own."""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32

from bridge_server.values.half_edges import corner_groups, opposite_half_edges
from bridge_server.values.texel_grid import cover_centers, gathered


def folded_faces(
    uvs: Float32[np.ndarray, "corners 2"],
    faces: Int32[np.ndarray, "faces 3"],
    rank: Float64[np.ndarray, "faces"],
    size_px: int,
) -> Bool[np.ndarray, "faces"]:
    """Faces that share a texel centre with another one of higher rank."""
    cells = gathered(cover_centers(uvs, faces, size_px))
    count = np.bincount(cells.index, minlength=size_px * size_px)
    shared = np.flatnonzero(count[cells.index] > 1)
    index, face = cells.index[shared], cells.faces[shared]
    order = np.lexsort((face, rank[face], index))
    index, face = index[order], face[order]
    beaten = np.concatenate([index[1:] == index[:-1], np.zeros(min(len(index), 1), np.bool_)])
    folded = np.zeros(len(faces), np.bool_)
    folded[face[beaten]] = True
    return folded


def connected_charts(
    mesh_faces: Int32[np.ndarray, "faces 3"], labels: Int32[np.ndarray, "faces"]
) -> Int32[np.ndarray, "faces"]:
    """Number the pieces of faces that share a label and hang together across edges, from 0."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    opposite = opposite_half_edges(mesh_faces)
    edge = np.flatnonzero(opposite >= 0)
    one, other = edge // 3, opposite[edge] // 3
    same = labels[one] == labels[other]
    count = len(mesh_faces)
    graph = coo_matrix((np.ones(int(same.sum()), np.int8), (one[same], other[same])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int32)


def split_vertices(
    mesh_faces: Int32[np.ndarray, "faces 3"], charts: Int32[np.ndarray, "faces"]
) -> tuple[Int32[np.ndarray, "corners"], Int32[np.ndarray, "faces 3"]]:
    """One vertex for every fan of corners within a chart: the mesh vertex it was, and the faces into the new ones."""
    opposite = opposite_half_edges(mesh_faces)
    face = np.arange(len(opposite)) // 3
    joined = (opposite >= 0) & (charts[face] == charts[np.maximum(opposite, 0) // 3])
    groups, labels = corner_groups(opposite, joined)
    vertices = np.empty(groups, np.int32)
    vertices[labels] = mesh_faces.reshape(-1)
    return vertices, labels.reshape(-1, 3)
