"""Tangent frames as MikkTSpace defines them (Mikkelsen, "Simulation of wrinkled surfaces revisited", 2008).

Unreal, Blender and glTF viewers all rebuild these frames, so a normal map that is baked against them shades without
seams. Corners that share position, normal and texture coordinate form groups: fans around a vertex across shared
edges, as far as the texture keeps its handedness. A group's tangent is the angle-weighted mean of its faces' texture
directions, each projected on the plane of the vertex normal.

Texture coordinates come in with V down (see ``space``). The sign in the fourth component belongs to V up, so that
``cross(normal, tangent) * sign`` points up in the picture, which is where an OpenGL normal map's green points.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from bridge_server.values.half_edges import corner_groups, opposite_half_edges

TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class TangentSplit:
    """A mesh re-indexed so that each vertex has one tangent."""

    vertices: Int32[np.ndarray, "new_vertices"]
    """For each new vertex the one that it was."""
    faces: Int32[np.ndarray, "faces 3"]
    tangents: Float32[np.ndarray, "new_vertices 4"]


def mikktspace_tangents(
    positions_m: Float32[np.ndarray, "vertices 3"],
    normals: Float32[np.ndarray, "vertices 3"],
    uvs: Float32[np.ndarray, "vertices 2"],
    faces: Int32[np.ndarray, "faces 3"],
) -> Float32[np.ndarray, "faces 3 4"]:
    """Tangent and bitangent sign of every corner.

    A corner whose texture coordinates determine nothing takes the tangent of another corner at the same vertex, or
    one of its own choosing perpendicular to the normal.
    """
    if len(faces) == 0:
        return np.zeros((0, 3, 4), np.float32)
    welded = _welded(positions_m, normals, uvs)[faces]
    corners = positions_m.astype(np.float64)[faces]
    corner_normals = normals.astype(np.float64)[faces]
    directions, sound, upright = _texture_directions(corners, uvs.astype(np.float64)[faces])
    flat = (welded == np.roll(welded, 1, axis=1)).any(axis=1) | (corners == np.roll(corners, 1, axis=1)).all(2).any(1)
    sound &= ~flat
    directions[~sound] = 0.0
    groups, labels, upright = _groups(np.where(flat[:, None], -1 - np.arange(3), welded), sound, upright)
    sums = _weighted_sums(corners, corner_normals, directions, groups, labels)
    length = np.linalg.norm(sums, axis=1)
    known = length > TINY
    tangents = np.zeros((len(faces) * 3, 4))
    tangents[:, :3] = np.divide(sums, length[:, None], out=np.zeros_like(sums), where=known[:, None])[labels]
    tangents[:, 3] = np.where(np.repeat(upright, 3), 1.0, -1.0)
    found = known[labels] & ~np.repeat(flat, 3)
    _borrow(tangents, found, welded.reshape(-1), corner_normals.reshape(-1, 3))
    return tangents.reshape(-1, 3, 4).astype(np.float32)


def split_by_tangent(faces: Int32[np.ndarray, "faces 3"], tangents: Float32[np.ndarray, "faces 3 4"]) -> TangentSplit:
    """Give each vertex one tangent, splitting those whose corners disagree (mirrored texture coordinates)."""
    keys = np.empty(len(faces) * 3, dtype=[("vertex", np.int32), ("tangent", np.void, 16)])
    keys["vertex"] = faces.reshape(-1)
    keys["tangent"] = np.ascontiguousarray(tangents.reshape(-1, 4) + np.float32(0.0)).view("V16").reshape(-1)
    _, first, inverse = np.unique(keys.view("V20"), return_index=True, return_inverse=True)
    order = np.lexsort((first, faces.reshape(-1)[first]))
    renumber = np.empty(len(order), np.int32)
    renumber[order] = np.arange(len(order), dtype=np.int32)
    chosen = first[order]
    return TangentSplit(
        vertices=faces.reshape(-1)[chosen].astype(np.int32),
        faces=renumber[inverse.reshape(-1)].reshape(-1, 3),
        tangents=tangents.reshape(-1, 4)[chosen],
    )


def _welded(positions_m: np.ndarray, normals: np.ndarray, uvs: np.ndarray) -> Int64[np.ndarray, "vertices"]:
    """One number for all vertices that are equal in everything."""
    rows = np.ascontiguousarray(np.concatenate([positions_m, normals, uvs], axis=1, dtype=np.float32) + np.float32(0))
    return np.unique(rows.view(f"V{rows.shape[1] * 4}").reshape(-1), return_inverse=True)[1].reshape(-1)


def _texture_directions(
    corners: Float64[np.ndarray, "faces 3 3"], uvs: Float64[np.ndarray, "faces 3 2"]
) -> tuple[Float64[np.ndarray, "faces 3"], Bool[np.ndarray, "faces"], Bool[np.ndarray, "faces"]]:
    """Direction in which U rises, whether it is determined, and whether the texture is not mirrored (V up)."""
    along, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    s1, t1 = (uvs[:, 1] - uvs[:, 0]).T
    s2, t2 = (uvs[:, 2] - uvs[:, 0]).T
    t1, t2 = -t1, -t2
    area = s1 * t2 - t1 * s2
    upright = area > 0.0
    tangent = t2[:, None] * along - t1[:, None] * other
    bitangent = s1[:, None] * other - s2[:, None] * along
    size, size_t = np.linalg.norm(tangent, axis=1), np.linalg.norm(bitangent, axis=1)
    sound = (np.abs(area) > TINY) & (size > TINY) & (size_t > TINY)
    scale = np.divide(np.where(upright, 1.0, -1.0), size, out=np.zeros_like(size), where=sound)
    return tangent * scale[:, None], sound, upright


def _groups(
    welded: Int64[np.ndarray, "faces 3"], sound: Bool[np.ndarray, "faces"], upright: Bool[np.ndarray, "faces"]
) -> tuple[int, Int32[np.ndarray, "corners"], Bool[np.ndarray, "faces"]]:
    """Fans of corners; faces without texture area take the handedness of the neighbour that reaches them first."""
    opposite = opposite_half_edges(np.where(welded < 0, 0, welded + 1).astype(np.int32))
    across = np.where(opposite >= 0, opposite // 3, -1).reshape(-1, 3)
    settled, upright = sound.copy(), upright.copy()
    while True:
        waiting = np.flatnonzero(~settled & ((across >= 0) & settled[across]).any(axis=1))
        if len(waiting) == 0:
            break
        ready = np.where((across[waiting] >= 0) & settled[across[waiting]], across[waiting], len(sound))
        upright[waiting] = upright[ready.min(axis=1)]
        settled[waiting] = True
    face = np.arange(len(opposite)) // 3
    joined = (opposite >= 0) & (upright[face] == upright[np.maximum(opposite, 0) // 3])
    groups, labels = corner_groups(opposite, joined)
    return groups, labels, upright


def _weighted_sums(
    corners: Float64[np.ndarray, "faces 3 3"],
    normals: Float64[np.ndarray, "faces 3 3"],
    directions: Float64[np.ndarray, "faces 3"],
    groups: int,
    labels: Int32[np.ndarray, "corners"],
) -> Float64[np.ndarray, "groups 3"]:
    """Sum of the projected directions of each group, weighed by the projected angle at the corner."""
    ahead = _projected(np.roll(corners, -1, axis=1) - corners, normals)
    behind = _projected(np.roll(corners, 1, axis=1) - corners, normals)
    angle = np.arccos(np.clip(np.einsum("fci,fci->fc", ahead, behind), -1.0, 1.0))
    weighted = (_projected(directions[:, None, :], normals) * angle[:, :, None]).reshape(-1, 3)
    return np.stack([np.bincount(labels, weighted[:, axis], minlength=groups) for axis in range(3)], axis=1)


def _projected(vectors: np.ndarray, normals: Float64[np.ndarray, "faces 3 3"]) -> Float64[np.ndarray, "faces 3 3"]:
    """Unit vectors in the planes of the normals; zero where nothing is left."""
    flat = vectors - normals * np.einsum("fci,fci->fc", np.broadcast_to(vectors, normals.shape), normals)[:, :, None]
    length = np.linalg.norm(flat, axis=2, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > TINY)


def _borrow(
    tangents: Float64[np.ndarray, "corners 4"],
    found: Bool[np.ndarray, "corners"],
    welded: Int64[np.ndarray, "corners"],
    normals: Float64[np.ndarray, "corners 3"],
) -> None:
    """Fill corners that nothing determines, in place."""
    missing = np.flatnonzero(~found)
    if len(missing) == 0:
        return
    lender = np.full(int(welded.max()) + 1, -1, np.int64)
    givers = np.flatnonzero(found)[::-1]
    lender[welded[givers]] = givers
    source = lender[welded[missing]]
    tangents[missing] = tangents[np.maximum(source, 0)]
    alone = missing[source < 0]
    axis = np.eye(3)[np.argmin(np.abs(normals[alone]), axis=1)]
    side = axis - normals[alone] * np.einsum("ij,ij->i", axis, normals[alone])[:, None]
    tangents[alone, :3] = side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), TINY)
    tangents[alone, 3] = 1.0
