"""Frames about directions, and directions in frames."""

import numpy as np
from jaxtyping import Float32, Float64


def turned_frames(
    normals: Float32[np.ndarray, "points 3"], turn: Float64[np.ndarray, "points"]
) -> tuple[Float32[np.ndarray, "points 3"], Float32[np.ndarray, "points 3"]]:
    """Two unit vectors perpendicular to each normal (Duff et al. 2017), turned about it by an angle in radians."""
    x, y, z = normals.astype(np.float64).T
    sign = np.where(z < 0.0, -1.0, 1.0)
    a = -1.0 / (sign + z)
    b = x * y * a
    one = np.stack([1.0 + sign * x * x * a, sign * b, -sign * x], axis=1)
    two = np.stack([b, sign + y * y * a, -y], axis=1)
    cosine, sine = np.cos(turn)[:, None], np.sin(turn)[:, None]
    return (cosine * one + sine * two).astype(np.float32), (cosine * two - sine * one).astype(np.float32)


def in_tangent_space(
    directions: Float32[np.ndarray, "texels 3"],
    normals: Float32[np.ndarray, "texels 3"],
    tangents: Float32[np.ndarray, "texels 3"],
    signs: Float32[np.ndarray, "texels 1"],
) -> Float32[np.ndarray, "texels 3"]:
    """Unit directions in the frame of interpolated, not renormalised normals and tangents.

    The shader forms ``x tangent + y bitangent + z normal`` with ``bitangent = sign cross(normal, tangent)`` and
    normalises the sum, so x, y and z come from the inverse of that matrix, up to length. Directions that point
    below the low poly are laid on its plane.
    """
    bitangents = np.cross(normals, tangents) * np.where(signs < 0.0, -1.0, 1.0).astype(np.float32)
    rows = [np.cross(bitangents, normals), np.cross(normals, tangents), np.cross(tangents, bitangents)]
    volume = np.einsum("ij,ij->i", tangents, rows[0])
    found = np.stack([np.einsum("ij,ij->i", directions, row) for row in rows], axis=1) * np.sign(volume)[:, None]
    found[:, 2] = np.maximum(found[:, 2], 0.0)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.where(length > 1e-12, found / np.maximum(length, 1e-12), np.array([0.0, 0.0, 1.0], np.float32)).astype(
        np.float32
    )
