"""Squares among the triangles of an extracted mesh, and its places on the dense surface."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.field_surface import FieldSurface, line_links
from bridge_server.backends.mesh_filter.sampling import Gap, Walkable
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh_topology import half_edge_ends

WORST_DEG = 70.0
"""How far a corner of a quad may be from a right angle, as ``quadrangulate`` allows by default."""


def diagonals(
    places: Float64[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"], hard: Bool[np.ndarray, "faces 3"]
) -> Int64[np.ndarray, "quads 2"]:
    """Both half-edges of each edge that cuts a quad in two; the squarest quads first, none across a line."""
    opposite = opposite_half_edges(faces)
    half = np.flatnonzero((opposite > np.arange(len(opposite))) & ~hard.reshape(-1))
    pair = np.stack([half, opposite[half]], axis=1)
    owner, flat = pair // 3, faces.reshape(-1)
    last = owner * 3 + (pair + 2) % 3
    around = np.stack([flat[pair[:, 0]], flat[last[:, 1]], flat[pair[:, 1]], flat[last[:, 0]]], axis=1)
    off = np.abs(corner_angles_deg(places[around]) - 90.0)
    rows = np.flatnonzero(off.max(axis=1) <= WORST_DEG)
    rows = rows[np.argsort(off[rows].mean(axis=1), kind="stable")]
    chosen = np.zeros(len(rows), np.bool_)
    compiled_loops("field").match(owner[rows, 0], owner[rows, 1], np.zeros(len(faces), np.bool_), chosen)
    return pair[rows[chosen]]


def corner_angles_deg(around: Float64[np.ndarray, "quads 4 3"]) -> Float64[np.ndarray, "quads 4"]:
    """Between both sides at each corner, 0 to 180."""
    onward, back = np.roll(around, -1, axis=1) - around, np.roll(around, 1, axis=1) - around
    cross = np.linalg.norm(np.cross(onward, back), axis=2)
    return np.asarray(np.degrees(np.arctan2(cross, np.einsum("qki,qki->qk", onward, back))))


def quad_edges(faces: Int32[np.ndarray, "faces 3"], cuts: Int64[np.ndarray, "quads 2"]) -> Int64[np.ndarray, "edges 2"]:
    """Edges but those that cut quads, lower vertex first."""
    keep = np.ones(faces.size, np.bool_)
    keep[cuts.reshape(-1)] = False
    ends = np.sort(half_edge_ends(faces)[keep], axis=1)
    codes = np.unique(ends[:, 0] << 32 | ends[:, 1])
    return np.stack([codes >> 32, codes & 0xFFFFFFFF], axis=1)


@dataclass(slots=True, eq=False)
class Ground:
    """The dense surface that vertices of a light one stay on; knows where they were last."""

    surface: FieldSurface
    walkable: Walkable
    line_starts: Int64[np.ndarray, "vertices_and_one"]
    line_ends: Int64[np.ndarray, "links"]

    @classmethod
    def of(cls, surface: FieldSurface) -> "Ground":
        """List what is around each vertex."""
        walkable = Walkable.of(surface.places, surface.faces)
        starts, ends = line_links(surface.faces, surface.hard.reshape(-1), len(surface.places))
        return cls(surface, walkable, starts, ends)

    def drop(
        self, points: Float64[np.ndarray, "n 3"], start: Int32[np.ndarray, "n"]
    ) -> tuple[Float64[np.ndarray, "n 3"], Int32[np.ndarray, "n"]]:
        """Nearest places and their faces, found from the faces given."""
        gap = Gap.of(np.ascontiguousarray(points), start, np.ones(len(points)))
        gap.walk(self.walkable)
        return self.walkable.at(gap.found.faces, gap.found.shares), np.asarray(gap.found.faces)

    def drop_on_lines(
        self, points: Float64[np.ndarray, "n 3"], origins: Int32[np.ndarray, "n"]
    ) -> tuple[Float64[np.ndarray, "n 3"], Int32[np.ndarray, "n"]]:
        """Nearest places on lines, and a line vertex beside each, walked to from the line vertices given."""
        found, at = np.array(points), np.array(origins)
        compiled_loops("field_lines").walk_lines(
            self.surface.places, self.surface.kinds, self.line_starts, self.line_ends, found, at
        )
        return found, at
