"""Smooth normals with hard edges: each corner of a face has its own."""

import numpy as np
from jaxtyping import Bool, Float32, Float64

from bridge_server.values.half_edges import corner_groups, opposite_half_edges
from bridge_server.values.mesh import Mesh, face_cross_products, vertex_normals

SMOOTH_DEG = 180.0
"""From this angle on no edge is hard."""


def unit_face_normals(mesh: Mesh) -> Float64[np.ndarray, "faces 3"]:
    """Outward unit normals; zero where a face has no area."""
    cross = face_cross_products(mesh)
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    return np.divide(cross, length, out=np.zeros_like(cross), where=length > 0.0)


def hard_half_edges(mesh: Mesh, angle_deg: float) -> Bool[np.ndarray, "half_edges"]:
    """Half-edges across which the surface turns by more than the angle; borders are not among them."""
    opposite = opposite_half_edges(mesh.faces)
    normals = unit_face_normals(mesh)
    inner = np.flatnonzero(opposite >= 0)
    cosine = np.einsum("ij,ij->i", normals[inner // 3], normals[opposite[inner] // 3])
    hard = np.zeros(len(opposite), np.bool_)
    hard[inner] = cosine < np.cos(np.radians(angle_deg))
    return hard


def corner_normals(mesh: Mesh, hard: Bool[np.ndarray, "half_edges"]) -> Float32[np.ndarray, "faces 3 3"]:
    """Angle-weighted normals, averaged around each vertex up to the hard edges; unit length."""
    normals = vertex_normals(mesh)[mesh.faces]
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
