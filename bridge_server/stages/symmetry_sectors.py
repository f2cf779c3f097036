"""Cutting a mesh to one sector around an axis and repeating it, mirrored by turns, without a gap at the seams."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import compacted, distinct_corners

SNAP_SHARE = 1e-5
"""Vertices nearer to a plane than this share of the diagonal are put onto it."""


@dataclass(frozen=True, slots=True)
class Sectors:
    """Equal wedges around an axis; sector 0 begins at ``right`` and opens towards ``ahead``.

    With two sectors it is the half space on the side of ``ahead``.
    """

    center_m: Float64[np.ndarray, "3"]
    right: Float64[np.ndarray, "3"]
    ahead: Float64[np.ndarray, "3"]
    count: int

    def begun_at(self, sector: int) -> "Sectors":
        """The same wedges, counted from another one."""
        angle = 2.0 * np.pi * sector / self.count
        right = np.cos(angle) * self.right + np.sin(angle) * self.ahead
        ahead = np.cos(angle) * self.ahead - np.sin(angle) * self.right
        return Sectors(self.center_m, _exact(right), _exact(ahead), self.count)

    def planes(self) -> list[Float64[np.ndarray, "3"]]:
        """Inward unit normals of the planes that bound sector 0."""
        if self.count == 2:
            return [self.ahead]
        angle = 2.0 * np.pi / self.count
        return [self.ahead, _exact(np.sin(angle) * self.right - np.cos(angle) * self.ahead)]

    def transforms(self) -> list[Float64[np.ndarray, "3 3"]]:
        """What takes sector 0 to each sector: turns for the even ones, reflections for the odd ones."""
        axis = np.cross(self.right, self.ahead)
        base = np.stack([self.right, self.ahead, axis])
        found = []
        for sector in range(self.count):
            odd = sector % 2
            angle = 2.0 * np.pi * (sector + odd) / self.count
            turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1.0]])
            found.append(_exact(base.T @ turn @ np.diag([1.0, -1.0 if odd else 1.0, 1.0]) @ base))
        return found


def _exact(values: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Rounded so that right angles give exact zeros and ones."""
    return np.round(values, 15) + 0.0


def mirrored(mesh: Mesh, sectors: Sectors) -> Mesh:
    """Keep sector 0 of the mesh and repeat it in all the others; vertices on the seams are shared.

    Faces that lie in a seam go, because they would become walls inside. The result is as closed as the mesh was.
    """
    positions = mesh.positions_m.astype(np.float64) - sectors.center_m
    faces = mesh.faces.astype(np.int64)
    on: list[Bool[np.ndarray, "vertices"]] = []
    snap_m = SNAP_SHARE * mesh.diagonal_m
    for normal in sectors.planes():
        positions, faces, on = clipped(positions, faces, on, normal, snap_m)
    if not len(faces):
        return Mesh(positions_m=np.zeros((0, 3), np.float32), faces=np.zeros((0, 3), np.int32))
    first, last = on[0], on[-1]
    if sectors.count > 2:
        axis = np.cross(sectors.right, sectors.ahead)
        positions[first & last] = (positions[first & last] @ axis)[:, None] * axis
    parts, placed = [], []
    for sector, transform in enumerate(sectors.transforms()):
        owner = np.full(len(positions), sector)
        if sector % 2:
            owner[first] = (sector + 1) % sectors.count
            owner[last] = sector - 1
        owner[first & last] = 0
        parts.append(owner * len(positions) + np.arange(len(positions)))
        placed.append(positions @ transform.T + sectors.center_m)
    numbers = [part[faces] if sector % 2 == 0 else part[faces][:, ::-1] for sector, part in enumerate(parts)]
    used, inverse = np.unique(np.concatenate(numbers), return_inverse=True)
    whole = inverse.reshape(-1, 3).astype(np.int32)
    places = np.concatenate(placed).astype(np.float32)[used]
    return compacted(places, whole[distinct_corners(whole)])


def clipped(
    positions: Float64[np.ndarray, "v 3"],
    faces: Int64[np.ndarray, "f 3"],
    on: list[Bool[np.ndarray, "v"]],
    normal: Float64[np.ndarray, "3"],
    snap_m: float,
) -> tuple[Float64[np.ndarray, "kept 3"], Int64[np.ndarray, "left 3"], list[Bool[np.ndarray, "kept"]]]:
    """What lies on the side of ``normal`` of the plane through the origin; flags of vertices on it are added to ``on``.

    A new vertex on an edge between two vertices of an earlier plane lies on that plane too. Every edge is cut once,
    so that its faces stay joined.
    """
    height = positions @ normal
    touching = np.abs(height) <= snap_m
    positions = np.where(touching[:, None], positions - height[:, None] * normal, positions)
    side = np.where(touching, 0, np.sign(height)).astype(np.int64)
    corner_side = side[faces]
    whole = faces[(corner_side >= 0).all(axis=1) & (corner_side > 0).any(axis=1)]
    crossing = faces[(corner_side > 0).any(axis=1) & (corner_side < 0).any(axis=1)]
    ends = crossing[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    cut = side[ends[:, 0]] * side[ends[:, 1]] < 0
    codes = ends.min(axis=1) << 32 | ends.max(axis=1)
    unique = np.unique(codes[cut])
    a, b = unique >> 32, unique & 0xFFFFFFFF
    share = height[a] / (height[a] - height[b])
    added = positions[a] + share[:, None] * (positions[b] - positions[a])
    added -= (added @ normal)[:, None] * normal
    middle = np.where(cut, len(positions) + np.searchsorted(unique, codes), -1).reshape(-1, 3)
    on = [np.concatenate([flags, flags[a] & flags[b]]) for flags in on]
    on.append(np.concatenate([touching, np.ones(len(added), bool)]))
    return np.concatenate([positions, added]), np.concatenate([whole, _upper_parts(crossing, middle, side)]), on


def _upper_parts(
    crossing: Int64[np.ndarray, "f 3"], middle: Int64[np.ndarray, "f 3"], side: Int64[np.ndarray, "v"]
) -> Int64[np.ndarray, "parts 3"]:
    """Triangles of the positive side of faces that cross the plane; ``middle`` is the cut on edge k to k + 1, or -1."""
    parts = [np.zeros((0, 3), np.int64)]
    for turn in range(3):
        face, cut = np.roll(crossing, -turn, axis=1), np.roll(middle, -turn, axis=1)
        s = side[face]
        tip = (s[:, 0] > 0) & (s[:, 1] < 0) & (s[:, 2] < 0)
        parts.append(np.stack([face[tip, 0], cut[tip, 0], cut[tip, 2]], axis=1))
        base = (s[:, 0] < 0) & (s[:, 1] > 0) & (s[:, 2] > 0)
        parts.append(np.stack([cut[base, 0], face[base, 1], face[base, 2]], axis=1))
        parts.append(np.stack([cut[base, 0], face[base, 2], cut[base, 2]], axis=1))
        half = (s[:, 0] == 0) & (s[:, 1] * s[:, 2] < 0)
        up = half & (s[:, 1] > 0)
        parts.append(np.stack([face[up, 0], face[up, 1], cut[up, 1]], axis=1))
        down = half & (s[:, 2] > 0)
        parts.append(np.stack([face[down, 0], cut[down, 1], face[down, 2]], axis=1))
    return np.concatenate(parts)
