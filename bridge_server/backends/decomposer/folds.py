"""Planes of the faces beside inward folds: along them a body made of boards and blocks falls into these."""

import numpy as np
from jaxtyping import Float64

FOLD_RAD = 0.12
"""Edges that fold inward by less are taken for smooth."""
NORMAL_STEPS = 50
OFFSET_STEPS = 200
"""How finely planes are told apart: by components of the normal, and by the offset as a share of the size."""

Plane = tuple[Float64[np.ndarray, "3"], float]
"""Unit normal and distance from the origin along it."""


def fold_planes(positions: Float64[np.ndarray, "vertices 3"], faces: np.ndarray, most: int) -> list[Plane]:
    """The planes that touch the longest folds first; edges must join two faces."""
    corners = positions[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    size = np.linalg.norm(cross, axis=1)
    normals = cross / np.maximum(size, 1e-300)[:, None]
    offsets = np.einsum("fi,fi->f", normals, corners[:, 0])
    starts, ends = faces.reshape(-1), np.roll(faces, -1, axis=1).reshape(-1)
    codes, twins = starts * len(positions) + ends, ends * len(positions) + starts
    order = np.argsort(codes, kind="stable")
    at = order[np.minimum(np.searchsorted(codes[order], twins), len(codes) - 1)]
    mine, other = np.arange(len(codes)) // 3, at // 3
    length = np.linalg.norm(positions[ends] - positions[starts], axis=1)
    # Where the edge folds inward, the far corner of this face lies in front of the neighbour's plane.
    apex = positions[np.roll(faces, -2, axis=1).reshape(-1)]
    height = size[mine] / np.maximum(length, 1e-300)
    rise = np.einsum("ei,ei->e", normals[other], apex) - offsets[other]
    folded = (codes[at] == twins) & (rise > np.sin(FOLD_RAD) * height) & (size[mine] > 0.0) & (size[other] > 0.0)
    if not folded.any():
        return []
    chosen = other[folded]
    scale = max(float(np.linalg.norm(np.ptp(positions, axis=0))), 1e-300)
    keys = np.round(np.column_stack([normals[chosen] * NORMAL_STEPS, offsets[chosen] * (OFFSET_STEPS / scale)]))
    _, first, group = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    touched = np.bincount(group.reshape(-1), length[folded], len(first))
    best = np.argsort(-touched, kind="stable")[:most]
    return [(normals[face], float(offsets[face])) for face in chosen[first[best]]]
