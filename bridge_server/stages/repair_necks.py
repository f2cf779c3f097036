"""Openings that are meant: where the hole by which an inner hull hangs on the surface is the bore of a neck.

A tunnel through a wall has a tube on its inside at most: around its end the outer surface spreads out. The neck of a
bottle is a tube on both sides. Rings around the opening are looked at, on either side of its border, by the distance
along the surface: over a way as long as a ring is wide they have to stay as wide as they are, and to face away from
the axis outside, and towards it inside.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from bridge_server.values.mesh import Mesh, face_cross_products
from bridge_server.values.mesh_topology import component_labels

ROUND = 0.7
"""Least width of a neck's border by the area that it goes around, over its width by its length: 1 for a circle, 0.73
for an ellipse four times as long as wide. A crack is longer."""
FLAT = 0.35
"""Most that a corner of the border leaves its plane, over the width: the cut follows the edges of the mesh."""
THICK = 5.0
"""Most that the outer tube is wide, over the width of the opening: walls of up to two widths of the bore,"""
SLENDER = 0.5
"""and over the width of the space inside."""
EVEN = 1.5
"""How much rings may grow or shrink along a tube."""
UPRIGHT = 0.7
"""Least mean of the cosine between the faces of a tube and the way from the axis."""
REACH = 16.0
"""How far from the border, in widths of the opening, a tube may end."""
STEPS_A_WIDTH = 8
ALIKE = 0.5
"""Openings narrower than this share of the widest are no necks and no tunnels, but flaws: they do not count."""


@dataclass(frozen=True, slots=True)
class Opening:
    """One closed border between an inner hull and the rest."""

    vertices: Int64[np.ndarray, "vertices"]
    width_m: float
    """Diameter of the circle as long as the border."""
    center: Float64[np.ndarray, "3"]
    axis: Float64[np.ndarray, "3"]
    """Unit normal of its plane, either way."""


def hangs_on_necks(mesh: Mesh, inside: Bool[np.ndarray, "faces"], cut: Int64[np.ndarray, "edges 2"]) -> bool:
    """Whether every opening of a hull (``inside``) is the bore of a neck; ``cut`` are the edges of its border."""
    borders = _borders(cut)
    width = [float(np.linalg.norm(np.subtract(*mesh.positions_m[edges.T]), axis=1).sum() / np.pi) for edges in borders]
    wide = [edges for edges, own in zip(borders, width, strict=True) if own >= ALIKE * max(width)]
    openings = [_opening(mesh, edges) for edges in wide]
    return bool(openings) and all(opening is not None and _is_neck(mesh, inside, opening) for opening in openings)


def hollow_width_m(mesh: Mesh, inside: Bool[np.ndarray, "faces"]) -> float:
    """Four volumes over the area: the bore of a long pipe, two thirds of the width of a ball."""
    corners = mesh.positions_m[mesh.faces[inside]].astype(np.float64)
    corners = corners - corners.mean(axis=(0, 1))
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    volume = np.einsum("ij,ij->i", corners[:, 0], cross).sum() / 6.0
    area = np.linalg.norm(cross, axis=1).sum() / 2.0
    return float(4.0 * abs(volume) / max(area, 1e-300))


def _borders(cut: Int64[np.ndarray, "edges 2"]) -> list[Int64[np.ndarray, "some 2"]]:
    used, numbers = np.unique(cut, return_inverse=True)
    labels = component_labels(len(used), numbers.reshape(-1, 2))[numbers.reshape(-1, 2)[:, 0]]
    return [cut[labels == label] for label in range(int(labels.max(initial=-1)) + 1)]


def _opening(mesh: Mesh, edges: Int64[np.ndarray, "edges 2"]) -> Opening | None:
    """None where the border is no round and flat loop."""
    vertices, uses = np.unique(edges, return_counts=True)
    if len(vertices) < 3 or (uses != 2).any():
        return None
    ends = mesh.positions_m.astype(np.float64)[_in_order(edges)]
    way = np.roll(ends, -1, axis=0) - ends
    length = np.linalg.norm(way, axis=1)
    center = ((ends + 0.5 * way) * length[:, None]).sum(axis=0) / max(float(length.sum()), 1e-300)
    area = np.cross(ends - center, way).sum(axis=0) / 2.0
    size, width_m = float(np.linalg.norm(area)), float(length.sum() / np.pi)
    if 2.0 * np.sqrt(size / np.pi) < ROUND * width_m or not size:
        return None
    axis = area / size
    if np.abs((ends - center) @ axis).max() > FLAT * width_m:
        return None
    return Opening(vertices, width_m, center, axis)


def _in_order(edges: Int64[np.ndarray, "edges 2"]) -> Int64[np.ndarray, "edges"]:
    """The corners of a loop, one after the other."""
    beside: dict[int, list[int]] = {}
    for one, two in edges.tolist():
        beside.setdefault(one, []).append(two)
        beside.setdefault(two, []).append(one)
    path = [int(edges[0, 0]), int(edges[0, 1])]
    while path[-1] != path[0]:
        one, two = beside[path[-1]]
        path.append(two if one == path[-2] else one)
    return np.array(path[:-1], np.int64)


def _is_neck(mesh: Mesh, inside: Bool[np.ndarray, "faces"], opening: Opening) -> bool:
    """Whether there is a tube that faces the axis, on either side of the border, and around it one that faces away."""
    bore_m = EVEN * opening.width_m
    neck_m = min(THICK * opening.width_m, SLENDER * hollow_width_m(mesh, inside))
    if not _is_tube(mesh, ~inside, opening, neck_m, 1.0):
        return False
    return any(_is_tube(mesh, side, opening, bore_m, -1.0) for side in (inside, ~inside))


def _is_tube(mesh: Mesh, side: Bool[np.ndarray, "faces"], opening: Opening, widest_m: float, outward: float) -> bool:
    """Whether there is a tube around the axis of the opening, no wider than ``widest_m``, on one side of its border."""
    distance = _distances(mesh, side, opening)
    chosen = np.flatnonzero(side & np.isfinite(distance[mesh.faces]).all(axis=1))
    if not len(chosen):
        return False
    cross = face_cross_products(Mesh(positions_m=mesh.positions_m, faces=mesh.faces[chosen])) / 2.0
    from_axis = mesh.positions_m.astype(np.float64)[mesh.faces[chosen]].mean(axis=1) - opening.center
    from_axis -= (from_axis @ opening.axis)[:, None] * opening.axis
    from_axis /= np.maximum(np.linalg.norm(from_axis, axis=1, keepdims=True), 1e-300)
    area = np.linalg.norm(cross, axis=1)
    facing = outward * np.einsum("ij,ij->i", cross, from_axis)
    step_m = opening.width_m / STEPS_A_WIDTH
    begin, end = distance[mesh.faces[chosen]].min(axis=1), distance[mesh.faces[chosen]].max(axis=1)
    end = np.maximum(end, begin + step_m)
    at = (np.arange(int(REACH * STEPS_A_WIDTH)) + 0.5) * step_m
    around, upright = (_density(at, begin, end, weights) for weights in (area, facing))
    return _has_even_run(around / np.pi, upright >= UPRIGHT * around, step_m, widest_m)


def _distances(mesh: Mesh, side: Bool[np.ndarray, "faces"], opening: Opening) -> Float64[np.ndarray, "vertices"]:
    """From the border along edges of one side; infinite for vertices of faces that lie beyond ``REACH``."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    faces = mesh.faces[side].astype(np.int64)
    ends = np.unique(np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1), axis=0)
    length = np.linalg.norm(np.subtract(*mesh.positions_m.astype(np.float64)[ends.T]), axis=1)
    count = len(mesh.positions_m)
    graph = coo_array((np.maximum(length, 1e-12), (ends[:, 0], ends[:, 1])), shape=(count, count)).tocsr()
    limit_m = REACH * opening.width_m + float(length.max())
    return np.asarray(dijkstra(graph, directed=False, indices=opening.vertices, limit=limit_m, min_only=True))


def _density(
    at: Float64[np.ndarray, "places"],
    begin: Float64[np.ndarray, "faces"],
    end: Float64[np.ndarray, "faces"],
    weights: Float64[np.ndarray, "faces"],
) -> Float64[np.ndarray, "places"]:
    """Sum over the faces that span a place of their weight over the length of their span."""
    rate = weights / (end - begin)
    steps = np.zeros(len(at) + 1)
    np.add.at(steps, np.searchsorted(at, begin), rate)
    np.add.at(steps, np.searchsorted(at, end), -rate)
    return np.asarray(np.cumsum(steps)[:-1])


def _has_even_run(
    width: Float64[np.ndarray, "places"], upright: Bool[np.ndarray, "places"], step_m: float, widest_m: float
) -> bool:
    """Whether rings somewhere stay as wide as the first of them, and upright, for as long a way as that is wide."""
    for first in np.flatnonzero(upright & (width > 0.0) & (width <= widest_m)).tolist():
        last = first + int(np.ceil(width[first] / step_m))
        run = slice(first, last)
        even = (width[run] <= EVEN * width[first]) & (width[run] >= width[first] / EVEN)
        if last <= len(width) and (even & upright[run]).all():
            return True
    return False
