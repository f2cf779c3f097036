"""All pairs of neighbouring triangles that would make a fair quad, and how good each is."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from bridge_server.run import Run
from bridge_server.stages.quad_field import cross_field
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh import UnwrappedMesh

FIELD_SHARE = 0.3
"""How much of a quad's quality is whether its sides follow the field of directions."""


@dataclass(frozen=True, slots=True)
class QuadCandidates:
    """Pairs of triangles, those with the lower half-edge first."""

    faces: Int64[np.ndarray, "pairs 2"]
    corners: Int64[np.ndarray, "pairs 4"]
    """Vertices around the quad; corners 0 and 2 are the ends of the common edge."""
    deviation_deg: Float64[np.ndarray, "pairs"]
    """How far the four corners are from a right angle, their mean."""
    quality: Float64[np.ndarray, "pairs"]
    """1 for a flat rectangle along the field, 0 for the worst."""

    def at(self, rows: Int64[np.ndarray, "chosen"] | Bool[np.ndarray, "pairs"]) -> "QuadCandidates":
        """Some of them."""
        return QuadCandidates(self.faces[rows], self.corners[rows], self.deviation_deg[rows], self.quality[rows])


def quad_candidates(mesh: UnwrappedMesh, max_bend_deg: float, max_deviation_deg: float, run: Run) -> QuadCandidates:
    """Triangles that share an edge with all its attributes, so never across a UV seam or a hard edge.

    The quad is convex on the surface and in the texture, and bends little along either diagonal, so that a program
    that splits it the other way still shows nearly the same surface.
    """
    field = cross_field(mesh.welded_mesh(), run)
    opposite = opposite_half_edges(mesh.faces)
    half = np.flatnonzero(opposite > np.arange(len(opposite)))
    pair = np.stack([half, opposite[half]], axis=1)
    faces, flat = pair // 3, mesh.faces.reshape(-1).astype(np.int64)
    ahead, last = faces * 3 + (pair + 1) % 3, faces * 3 + (pair + 2) % 3
    corners = np.stack([flat[pair[:, 0]], flat[last[:, 1]], flat[pair[:, 1]], flat[last[:, 0]]], axis=1)
    places = mesh.positions_m.astype(np.float64)[corners]
    worst, mean = _corner_deviations_deg(places)
    bend = _bend_deg(places)
    edges, outer = field.edges.reshape(-1), np.concatenate([ahead, last], axis=1)
    along = (edges[outer] * np.conj(field.crosses[outer // 3])).real.mean(axis=1)
    shape = (1.0 - mean / 90.0) * (1.0 - 0.5 * bend / max(max_bend_deg, 1e-9))
    quality = shape * (1.0 - FIELD_SHARE * (1.0 - along) / 2.0)
    fair = (worst <= max_deviation_deg) & (bend <= max_bend_deg) & _convex_in_texture(mesh, corners)
    return QuadCandidates(faces, corners, mean, quality).at(fair)


def _corner_deviations_deg(
    places: Float64[np.ndarray, "pairs 4 3"],
) -> tuple[Float64[np.ndarray, "pairs"], Float64[np.ndarray, "pairs"]]:
    """Largest and mean distance of the corners from 90 degrees; at the ends of the diagonal both angles add up."""
    first = _triangle_angles_deg(places[:, [0, 1, 2]])
    second = _triangle_angles_deg(places[:, [0, 2, 3]])
    angles = np.stack([first[:, 0] + second[:, 0], first[:, 1], first[:, 2] + second[:, 1], second[:, 2]], axis=1)
    deviation = np.abs(angles - 90.0)
    return deviation.max(axis=1), deviation.mean(axis=1)


def _triangle_angles_deg(corners: Float64[np.ndarray, "pairs 3 3"]) -> Float64[np.ndarray, "pairs 3"]:
    onward, back = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    area = np.linalg.norm(np.cross(onward, back), axis=2)
    return np.asarray(np.degrees(np.arctan2(area, np.einsum("fki,fki->fk", onward, back))))


def _bend_deg(places: Float64[np.ndarray, "pairs 4 3"]) -> Float64[np.ndarray, "pairs"]:
    """The larger angle between the halves, over both ways to split the quad; 180 where a half has no area."""
    largest = np.zeros(len(places))
    for halves in (((0, 1, 2), (0, 2, 3)), ((0, 1, 3), (1, 2, 3))):
        normals = [np.cross(places[:, b] - places[:, a], places[:, c] - places[:, a]) for a, b, c in halves]
        size = np.linalg.norm(normals[0], axis=1) * np.linalg.norm(normals[1], axis=1)
        dot = np.einsum("fi,fi->f", normals[0], normals[1])
        cosine = np.divide(dot, size, out=np.full(len(places), -1.0), where=size > 0.0)
        largest = np.maximum(largest, np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
    return largest


def _convex_in_texture(mesh: UnwrappedMesh, corners: Int64[np.ndarray, "pairs 4"]) -> Bool[np.ndarray, "pairs"]:
    uvs = mesh.uvs.astype(np.float64)[corners]
    onward = np.roll(uvs, -1, axis=1) - uvs
    before = np.roll(onward, 1, axis=1)
    turn = before[:, :, 0] * onward[:, :, 1] - before[:, :, 1] * onward[:, :, 0]
    return np.asarray((turn > 0.0).all(axis=1) | (turn < 0.0).all(axis=1))
