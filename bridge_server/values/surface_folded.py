"""A surface field that is mirrored with its mesh."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from bridge_server.values.surface import Locate, SurfaceField, SurfaceSample


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldedField(SurfaceField):
    """Another field of which one sector is seen in all: points are folded into that sector before they are looked up.

    The space around an axis is cut into ``sectors`` equal wedges, every second of them a mirror image. Two sectors
    are the two sides of a plane.
    """

    inner: SurfaceField
    center_m: tuple[float, float, float]
    """A point on the axis."""
    right: tuple[float, float, float]
    """Unit vector in the plane where the kept sector begins, away from the axis."""
    ahead: tuple[float, float, float]
    """Unit vector at right angles to ``right``, towards the kept sector; the axis is their cross product."""
    sectors: int
    """Even, at least 2."""

    def sample(self, points_m: Float32[np.ndarray, "points 3"], locate: Locate) -> SurfaceSample:
        """Material of the inner field at each point's place in the kept sector."""
        return self.inner.sample(self.folded(points_m), locate)

    def folded(self, points_m: Float32[np.ndarray, "points 3"]) -> Float32[np.ndarray, "points 3"]:
        """Each point's place in the kept sector."""
        right, ahead = np.array(self.right), np.array(self.ahead)
        offset = points_m.astype(np.float64) - np.array(self.center_m)
        x, y = offset @ right, offset @ ahead
        along = offset - x[:, None] * right - y[:, None] * ahead
        width = 2.0 * np.pi / self.sectors
        angle = np.mod(np.arctan2(y, x), 2.0 * width)
        angle = np.where(angle > width, 2.0 * width - angle, angle)
        radius = np.hypot(x, y)
        x, y = radius * np.cos(angle), radius * np.sin(angle)
        placed = np.array(self.center_m) + along + x[:, None] * right + y[:, None] * ahead
        return placed.astype(np.float32)
