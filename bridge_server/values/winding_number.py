"""Generalised winding numbers: how often a surface, open or torn as it may be, goes around a point.

1 inside a closed surface wound outward, 0 outside, -1 inside one that is inside out, and in between near holes
(Jacobson, Kavan and Sorkine-Hornung 2013, "Robust inside-outside segmentation using generalized winding numbers").
Far groups of faces count as one dipole each (Barill, Dickson, Schmidt, Levin and Jacobson 2018, "Fast winding numbers
for soups and clouds").
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

FACES_A_GROUP = 64
"""Faces that a group has on the average."""
NEAR = 3.0
"""A group is far where it is this many times its radius away."""
POINTS_AT_ONCE = 256
POINTS_NEAR_AT_ONCE = 16
"""Points whose near faces are gone through together, so that what is computed of them stays in the cache."""


@dataclass(frozen=True, slots=True)
class WindingField:
    """A surface made ready for many points."""

    corners: Float64[np.ndarray, "faces 3 3"]
    """Ordered by group."""
    begin: Int64[np.ndarray, "groups_and_one"]
    """First face of each group, and the number of faces."""
    center: Float64[np.ndarray, "groups 3"]
    dipole: Float64[np.ndarray, "groups 3"]
    """Sum of the area vectors."""
    radius: Float64[np.ndarray, "groups"]

    def at(self, points: Float64[np.ndarray, "points 3"]) -> Float64[np.ndarray, "points"]:
        """The winding number of each point, within a few hundredths."""
        found = np.empty(len(points))
        for start in range(0, len(points), POINTS_AT_ONCE):
            block = points[start : start + POINTS_AT_ONCE]
            way = self.center[None] - block[:, None]
            distance = np.linalg.norm(way, axis=2)
            near = distance < NEAR * self.radius
            share = np.einsum("pgi,gi->pg", way, self.dipole) / np.maximum(distance, 1e-300) ** 3
            far = np.where(near, 0.0, share).sum(axis=1) / (4.0 * np.pi)
            found[start : start + POINTS_AT_ONCE] = far + self._exactly(block, near)
        return found

    def _exactly(
        self, points: Float64[np.ndarray, "points 3"], near: Bool[np.ndarray, "points groups"]
    ) -> Float64[np.ndarray, "points"]:
        """What the faces of the near groups add to the winding number of each point."""
        faces_of = np.diff(self.begin)
        found = np.zeros(len(points))
        for start in range(0, len(points), POINTS_NEAR_AT_ONCE):
            few = points[start : start + POINTS_NEAR_AT_ONCE]
            row, group = np.nonzero(near[start : start + POINTS_NEAR_AT_ONCE])
            count = faces_of[group]
            row = np.repeat(row, count)
            face = np.arange(len(row)) + np.repeat(self.begin[group] - np.cumsum(count) + count, count)
            seen = self.corners[face] - few[row][:, None]
            found[start : start + POINTS_NEAR_AT_ONCE] = np.bincount(row, solid_angles(seen), len(few))
        return found / (4.0 * np.pi)


def winding_field(corners: Float64[np.ndarray, "faces 3 3"]) -> WindingField:
    """Group the faces by the cells of a grid."""
    middle = corners.mean(axis=1)
    low = middle.min(axis=0)
    side = float((middle.max(axis=0) - low).max()) or 1.0
    across = max(int(np.sqrt(len(corners) / FACES_A_GROUP)), 1)  # a surface fills about the square of a grid's width
    cell = np.minimum((middle - low) / side * across, across - 1).astype(np.int64)
    code = (cell[:, 0] * across + cell[:, 1]) * across + cell[:, 2]
    order = np.argsort(code, kind="stable")
    ordered = corners[order]
    begin = np.flatnonzero(np.diff(code[order], prepend=-1))
    vector = np.cross(ordered[:, 1] - ordered[:, 0], ordered[:, 2] - ordered[:, 0]) / 2.0
    area = np.maximum(np.linalg.norm(vector, axis=1), 1e-300)
    total = np.add.reduceat(area, begin)
    center = np.add.reduceat(middle[order] * area[:, None], begin) / total[:, None]
    group = np.repeat(np.arange(len(begin)), np.diff(begin, append=len(code)))
    reach = np.linalg.norm(ordered - center[group][:, None], axis=2).max(axis=1)
    return WindingField(
        corners=ordered,
        begin=np.append(begin, len(code)),
        center=center,
        dipole=np.add.reduceat(vector, begin),
        radius=np.maximum.reduceat(reach, begin),
    )


def winding_number(corners: Float64[np.ndarray, "faces 3 3"], point: Float64[np.ndarray, "3"]) -> float:
    """Sum of the solid angles of all faces over the whole sphere."""
    return float(solid_angles(corners - point).sum()) / (4.0 * np.pi)


def solid_angles(corners: Float64[np.ndarray, "faces 3 3"]) -> Float64[np.ndarray, "faces"]:
    """Signed solid angle of each triangle, seen from the origin (van Oosterom and Strackee 1983)."""
    # One array a coordinate: NumPy is slow along an axis of three.
    a, b, c = corners.transpose(1, 2, 0).copy()
    la, lb, lc = (np.sqrt(_dot(v, v)) for v in (a, b, c))
    triple = (
        a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    )
    return 2.0 * np.arctan2(triple, la * lb * lc + _dot(a, b) * lc + _dot(b, c) * la + _dot(c, a) * lb)


def _dot(a: Float64[np.ndarray, "3 faces"], b: Float64[np.ndarray, "3 faces"]) -> Float64[np.ndarray, "faces"]:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
