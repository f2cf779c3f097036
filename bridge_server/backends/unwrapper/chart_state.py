"""Charts while they are being made: which faces hang together in the plane, and where their corners lie."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Complex128, Float64, Int64

from bridge_server.backends.unwrapper.flattening import flattened, lying_flat
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh import Mesh


@dataclass(frozen=True, slots=True)
class Surface:
    """What never changes: the triangles, laid flat one by one, and who lies beside whom."""

    faces: Int64[np.ndarray, "faces 3"]
    positions_m: Float64[np.ndarray, "vertices 3"]
    opposite: Int64[np.ndarray, "half_edges"]
    shapes: Complex128[np.ndarray, "faces 3"]
    areas_m2: Float64[np.ndarray, "faces"]
    lengths_m: Float64[np.ndarray, "half_edges"]
    normals: Float64[np.ndarray, "faces 3"]
    """Unit length; zero where a face has no area."""
    hard: Bool[np.ndarray, "half_edges"]
    """Edges that shade hard where a chart ends there."""

    @property
    def area_m2(self) -> float:
        """Of all faces."""
        return float(self.areas_m2.sum())

    @property
    def beside(self) -> Int64[np.ndarray, "faces 3"]:
        """The face across each edge, or -1."""
        return np.where(self.opposite >= 0, self.opposite // 3, -1).reshape(-1, 3)


@dataclass(frozen=True, slots=True)
class Charts:
    """A cut of the surface, laid flat."""

    labels: Int64[np.ndarray, "faces"]
    """Chart of each face; numbers need not be consecutive."""
    joined: Bool[np.ndarray, "half_edges"]
    """Edges across which faces hang together in the plane."""
    corners: Complex128[np.ndarray, "faces 3"]
    """Place of each corner in the plane of its chart, in metres."""


@dataclass(frozen=True, slots=True)
class LaidFlat:
    """Some faces in the plane, and the singular values of the map that brought them there."""

    corners: Complex128[np.ndarray, "subset 3"]
    large: Float64[np.ndarray, "subset"]
    small: Float64[np.ndarray, "subset"]
    vertices: Int64[np.ndarray, "subset 3"]
    """Numbers of the vertices in the plane."""


def surface_of(mesh: Mesh, hard_edge_angle_deg: float) -> Surface:
    """Everything that is computed once."""
    positions = mesh.positions_m.astype(np.float64)
    faces = mesh.faces.astype(np.int64)
    corners = positions[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    doubled = np.linalg.norm(cross, axis=1)
    normals = np.divide(cross, doubled[:, None], out=np.zeros_like(cross), where=doubled[:, None] > 0.0)
    opposite = opposite_half_edges(mesh.faces)
    other = np.maximum(opposite, 0) // 3
    cosine = np.einsum("hi,hi->h", normals[np.arange(len(opposite)) // 3], normals[other])
    return Surface(
        faces=faces,
        positions_m=positions,
        opposite=opposite,
        shapes=lying_flat(corners),
        areas_m2=doubled / 2.0,
        lengths_m=np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2).reshape(-1),
        normals=normals,
        hard=(opposite >= 0) & (cosine < np.cos(np.radians(hard_edge_angle_deg))),
    )


def vertex_numbers(
    opposite: Int64[np.ndarray, "half_edges"], joined: Bool[np.ndarray, "half_edges"]
) -> tuple[int, Int64[np.ndarray, "corners"]]:
    """Number the corners that are one vertex in the plane: fans that hang together across joined edges."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = np.flatnonzero(joined)
    across = opposite[edges]
    edge_ends = edges // 3 * 3 + (edges + 1) % 3
    once = edges < across
    edges, across, edge_ends = edges[once], across[once], edge_ends[once]
    across_ends = across // 3 * 3 + (across + 1) % 3
    rows, columns = np.concatenate([edges, edge_ends]), np.concatenate([across_ends, across])
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(opposite), len(opposite)))
    count, labels = connected_components(graph, directed=False)
    return int(count), labels.astype(np.int64)


def following(half_edges: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
    """The next half-edge around the same face, whose number is that of the corner where this one ends."""
    return half_edges // 3 * 3 + (half_edges + 1) % 3


def connected(
    opposite: Int64[np.ndarray, "half_edges"], joined: Bool[np.ndarray, "half_edges"]
) -> Int64[np.ndarray, "faces"]:
    """Number the pieces of faces that hang together across joined edges."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    edges = np.flatnonzero(joined)
    count = len(opposite) // 3
    links = (edges // 3, opposite[edges] // 3)
    graph = coo_matrix((np.ones(len(edges), np.int8), links), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def same_label(
    opposite: Int64[np.ndarray, "half_edges"], labels: Int64[np.ndarray, "faces"]
) -> Bool[np.ndarray, "half_edges"]:
    """Edges with the same label on both sides."""
    here = np.repeat(labels, 3)
    return (opposite >= 0) & (here == labels[np.maximum(opposite, 0) // 3])


def laid_flat(
    surface: Surface,
    subset: Int64[np.ndarray, "subset"],
    groups: Int64[np.ndarray, "subset"],
    *,
    joined: Bool[np.ndarray, "half_edges"],
    start: Complex128[np.ndarray, "subset 3"],
    rounds: int,
) -> LaidFlat:
    """Flatten some faces, in connected groups, from where their corners start."""
    local = np.full(len(surface.faces), -1, np.int64)
    local[subset] = np.arange(len(subset))
    half_edges = (subset[:, None] * 3 + np.arange(3)).reshape(-1)
    across = np.maximum(surface.opposite[half_edges], 0)
    there = joined[half_edges]
    count, numbers = vertex_numbers(np.where(there, local[across // 3] * 3 + across % 3, -1), there)
    size = np.bincount(numbers, minlength=count)
    flat = start.reshape(-1)
    places = (np.bincount(numbers, flat.real, count) + 1j * np.bincount(numbers, flat.imag, count)) / size
    corners = numbers.reshape(-1, 3)
    pinned = corners[np.unique(groups, return_index=True)[1], 0]
    result = flattened(surface.shapes[subset], corners, places, pinned, rounds)
    return LaidFlat(corners=result.places[corners], large=result.large, small=result.small, vertices=corners)
