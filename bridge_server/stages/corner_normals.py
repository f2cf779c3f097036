"""Smooth normals with hard edges: each corner of a face has its own."""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from bridge_server.backends.texels.base import texel_kernels
from bridge_server.blocks import over_blocks
from bridge_server.values.half_edges import corner_groups, opposite_half_edges
from bridge_server.values.mesh import Mesh, face_cross_products

HARD_EDGE_DEG = 60.0
"""Edges of a high poly that turn by more than this stay edges in every map, where nothing else is asked for."""
SMOOTH_DEG = 180.0
"""From this angle on no edge is hard."""


def unit_face_normals(mesh: Mesh) -> Float64[np.ndarray, "faces 3"]:
    """Outward unit normals; zero where a face has no area."""
    unit = np.zeros((len(mesh.faces), 3))

    def normalise(rows: slice) -> None:
        cross = face_cross_products(Mesh(positions_m=mesh.positions_m, faces=mesh.faces[rows]))
        length = np.linalg.norm(cross, axis=1, keepdims=True)
        np.divide(cross, length, out=unit[rows], where=length > 0.0)

    over_blocks(normalise, len(unit))
    return unit


def hard_half_edges(mesh: Mesh, angle_deg: float) -> Bool[np.ndarray, "half_edges"]:
    """Half-edges across which the surface turns by more than the angle; borders are not among them."""
    normals = unit_face_normals(mesh)
    hard = np.zeros(mesh.faces.size, np.bool_)
    some = _faces_that_may_turn(mesh, normals, angle_deg)
    opposite = opposite_half_edges(mesh.faces[some])
    inner = np.flatnonzero(opposite >= 0)
    cosine = np.einsum("ij,ij->i", normals[some[inner // 3]], normals[some[opposite[inner] // 3]])
    turned = inner[cosine < np.cos(np.radians(angle_deg))]
    hard[some[turned // 3] * 3 + turned % 3] = True
    return hard


def _faces_that_may_turn(
    mesh: Mesh, normals: Float64[np.ndarray, "faces 3"], angle_deg: float
) -> Int64[np.ndarray, "chosen"]:
    """All faces on every edge that may turn by more than the angle, found without knowing which faces meet where.

    Where each face around a vertex leans from one of them by half the angle at most, no two differ by more than all of
    it. A hard edge has two vertices where that does not hold.
    """
    chosen = np.zeros((len(mesh.positions_m), 3), np.float32)
    single = normals.astype(np.float32)
    for corner in range(3):
        chosen[mesh.faces[:, corner]] = single
    least = np.cos(np.radians(angle_deg) / 2.0) + 1e-5  # leaves room for single precision
    leaning = np.empty(mesh.faces.shape, np.bool_)

    def lean(rows: slice) -> None:
        leaning[rows] = np.einsum("fi,fci->fc", single[rows], chosen[mesh.faces[rows]]) < least

    over_blocks(lean, len(leaning))
    doubtful = np.zeros(len(mesh.positions_m), np.bool_)
    doubtful[mesh.faces[leaning]] = True
    return np.flatnonzero(doubtful[mesh.faces].sum(axis=1) > 1)


def corner_normals(mesh: Mesh, hard: Bool[np.ndarray, "half_edges"]) -> Float32[np.ndarray, "faces 3 3"]:
    """Angle-weighted normals, averaged around each vertex up to the hard edges; unit length."""
    normals = texel_kernels().vertex_normals(mesh.positions_m, mesh.faces)[mesh.faces]
    if not hard.any():
        return normals
    beside = np.zeros(len(mesh.positions_m), np.bool_)
    edges = np.flatnonzero(hard)
    beside[mesh.faces.reshape(-1)[edges]] = True
    beside[np.roll(mesh.faces, -1, axis=1).reshape(-1)[edges]] = True
    chosen = np.flatnonzero(beside[mesh.faces].any(axis=1))
    part = Mesh(positions_m=mesh.positions_m, faces=mesh.faces[chosen])
    groups, labels = corner_groups(opposite_half_edges(part.faces), ~hard.reshape(-1, 3)[chosen].reshape(-1))
    weighted = (unit_face_normals(part)[:, None, :] * corner_angles(part)[:, :, None]).reshape(-1, 3)
    sums = np.stack([np.bincount(labels, weighted[:, axis], minlength=groups) for axis in range(3)], axis=1)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    averaged = np.divide(sums, length, out=np.zeros_like(sums), where=length > 1e-30)[labels].reshape(-1, 3, 3)
    use = beside[part.faces] & (length[labels].reshape(-1, 3) > 1e-30)
    normals[chosen] = np.where(use[:, :, None], averaged, normals[chosen]).astype(np.float32)
    return normals


def corner_angles(mesh: Mesh) -> Float64[np.ndarray, "faces 3"]:
    """Interior angles in radians."""
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    ahead = np.roll(corners, -1, axis=1) - corners
    behind = np.roll(corners, 1, axis=1) - corners
    return np.arctan2(np.linalg.norm(np.cross(ahead, behind), axis=2), np.einsum("fci,fci->fc", ahead, behind))
