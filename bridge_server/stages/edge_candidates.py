"""Which half-edge collapses a wedge mesh offers, and what lies around its points (see ``edge_collapse``)."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from bridge_server.values.mesh_topology import component_labels


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Neighbours, faces and features around the points of a mesh."""

    codes: Int64[np.ndarray, "edges"]
    """Both points of each edge in one number, rising."""
    edges: Int64[np.ndarray, "edges 2"]
    half_edges: Int64[np.ndarray, "edges 2"]
    """First two half-edges (face * 3 + corner) of each edge; -1 where there is only one."""
    border: Bool[np.ndarray, "edges"]
    seam: Bool[np.ndarray, "edges"]
    """Both sides have other wedges."""
    broken: Bool[np.ndarray, "edges"]
    """More than two faces, or two that wind against each other."""
    on_border: Bool[np.ndarray, "points"]
    valence: Int64[np.ndarray, "points"]
    """Number of neighbours."""
    neighbour_start: Int64[np.ndarray, "points"]
    neighbour_list: Int64[np.ndarray, "ends"]
    corner_start: Int64[np.ndarray, "points"]
    corner_count: Int64[np.ndarray, "points"]
    corner_list: Int64[np.ndarray, "corners"]

    def neighbours(self, points: Int64[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
        """Row in ``points`` and neighbour, for all neighbours of all points given."""
        row, at = _spread(self.neighbour_start[points], self.valence[points])
        return row, self.neighbour_list[at]

    def star(self, points: Int64[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
        """Row in ``points`` and corner (face * 3 + corner), for all corners at the points given."""
        row, at = _spread(self.corner_start[points], self.corner_count[points])
        return row, self.corner_list[at]

    def has_edge(self, a: Int64[np.ndarray, "n"], b: Int64[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
        """Whether the points are joined."""
        code = np.minimum(a, b) << 32 | np.maximum(a, b)
        at = np.minimum(np.searchsorted(self.codes, code), len(self.codes) - 1)
        return np.asarray(self.codes[at] == code)

    def feature_half_edges(self, faces: Int64[np.ndarray, "f 3"]) -> tuple[np.ndarray, np.ndarray]:
        """Start and end wedge of all half-edges on borders and seams."""
        rows = self.half_edges[self.border | self.seam].reshape(-1)
        rows = rows[rows >= 0]
        return faces.reshape(-1)[rows], faces.reshape(-1)[onward(rows)]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Collapses of point u onto point v; both sides of a seam have their own pair of wedges."""

    u: Int64[np.ndarray, "n"]
    v: Int64[np.ndarray, "n"]
    source: Int64[np.ndarray, "2 n"]
    target: Int64[np.ndarray, "2 n"]
    two_sided: Bool[np.ndarray, "n"]
    on_feature: Bool[np.ndarray, "n"]
    at_border: Bool[np.ndarray, "n"]

    def at(self, rows: Int64[np.ndarray, "m"]) -> "Candidates":
        """Some of them, in that order."""
        return Candidates(
            self.u[rows],
            self.v[rows],
            self.source[:, rows],
            self.target[:, rows],
            self.two_sided[rows],
            self.on_feature[rows],
            self.at_border[rows],
        )


def surroundings(faces: Int64[np.ndarray, "f 3"], points: Int64[np.ndarray, "w"], count: int) -> Surroundings:
    """Look at all edges once."""
    corners = points[faces]
    start, end = corners.reshape(-1), corners[:, [1, 2, 0]].reshape(-1)
    code = np.minimum(start, end) << 32 | np.maximum(start, end)
    order = np.argsort(code, kind="stable")
    codes, first, uses = np.unique(code[order], return_index=True, return_counts=True)
    one = order[first]
    two = np.where(uses > 1, order[np.minimum(first + 1, len(order) - 1)], -1)
    edges = np.stack([codes >> 32, codes & 0xFFFFFFFF], axis=1)
    wedge_start, wedge_end = faces.reshape(-1), faces[:, [1, 2, 0]].reshape(-1)
    paired = uses == 2
    broken = (uses > 2) | (paired & (start[one] == start[two]))
    seam = paired & ~broken & ((wedge_start[one] != wedge_end[two]) | (wedge_end[one] != wedge_start[two]))
    both = np.concatenate([edges, edges[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    valence = np.bincount(both[:, 0], minlength=count)
    on_border = np.zeros(count, bool)
    on_border[edges[uses == 1].reshape(-1)] = True
    corner_count = np.bincount(start, minlength=count)
    return Surroundings(
        codes=codes,
        edges=edges,
        half_edges=np.stack([one, two], axis=1),
        border=uses == 1,
        seam=seam,
        broken=broken,
        on_border=on_border,
        valence=valence,
        neighbour_start=np.cumsum(valence) - valence,
        neighbour_list=both[:, 1],
        corner_start=np.cumsum(corner_count) - corner_count,
        corner_count=corner_count,
        corner_list=np.argsort(start, kind="stable"),
    )


def onward(half_edges: Int64[np.ndarray, "n"]) -> Int64[np.ndarray, "n"]:
    """The next half-edge of the same face; it starts where the given one ends."""
    return np.where(half_edges % 3 == 2, half_edges - 2, half_edges + 1)


def pinched_points(
    faces: Int64[np.ndarray, "f 3"], points: Int64[np.ndarray, "w"], near: Surroundings
) -> Bool[np.ndarray, "points"]:
    """Points that must stay because the surface is no surface there: several fans meet, or an edge is broken."""
    sound = ~near.border & ~near.broken
    one, two = near.half_edges[sound].T
    links = np.concatenate([np.stack([one, onward(two)], axis=1), np.stack([onward(one), two], axis=1)])
    fans = component_labels(faces.size, links)
    first_corner = np.unique(fans, return_index=True)[1]
    pinched = np.bincount(points[faces.reshape(-1)[first_corner]], minlength=len(near.valence)) > 1
    pinched[near.edges[near.broken].reshape(-1)] = True
    return pinched


def find_candidates(
    faces: Int64[np.ndarray, "f 3"],
    points: Int64[np.ndarray, "w"],
    near: Surroundings,
    locked: Bool[np.ndarray, "points"],
) -> Candidates:
    """All collapses that borders and seams allow, in both directions of each edge."""
    count = len(near.valence)
    borders = np.bincount(near.edges[near.border].reshape(-1), minlength=count)
    seams = np.bincount(near.edges[near.seam].reshape(-1), minlength=count)
    wedges = np.bincount(points[np.unique(faces)], minlength=count)
    off_features = ~locked & (borders + seams == 0) & (wedges == 1)
    along_border = ~locked & (borders == 2) & (seams == 0) & (wedges == 1)
    along_seam = ~locked & (seams == 2) & (borders == 0) & (wedges == 2)
    one, two = near.half_edges.T
    flat = faces.reshape(-1)
    start = np.stack([flat[one], np.where(near.seam, flat[onward(two)], flat[one])])
    end = np.stack([flat[onward(one)], np.where(near.seam, flat[two], flat[onward(one)])])
    parts = []
    for source, target in ((start, end), (end, start)):
        u = points[source[0]]
        allowed = off_features[u] | (near.border & along_border[u]) | (near.seam & along_seam[u])
        rows = np.flatnonzero(allowed & ~near.broken)
        parts.append((u[rows], points[target[0, rows]], source[:, rows], target[:, rows], rows))
    rows = np.concatenate([part[4] for part in parts])
    return Candidates(
        u=np.concatenate([part[0] for part in parts]),
        v=np.concatenate([part[1] for part in parts]),
        source=np.concatenate([part[2] for part in parts], axis=1),
        target=np.concatenate([part[3] for part in parts], axis=1),
        two_sided=near.seam[rows],
        on_feature=(near.seam | near.border)[rows],
        at_border=near.border[rows],
    )


def _spread(start: Int64[np.ndarray, "n"], count: Int64[np.ndarray, "n"]) -> tuple[np.ndarray, np.ndarray]:
    """Row and index for every member of runs that begin at ``start`` and are ``count`` long."""
    row = np.repeat(np.arange(len(start)), count)
    return row, np.arange(len(row)) + np.repeat(start - (np.cumsum(count) - count), count)
