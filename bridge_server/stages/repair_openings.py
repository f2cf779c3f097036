"""Holes that are meant: mouths of vessels, and windows that one looks through."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from bridge_server.backends.raycaster.base import RayScene
from bridge_server.values.mesh import Mesh

MOUTH_SHARE = 0.1
"""A mouth spans at least this share of the diagonal,"""
FLAT_SHARE = 0.01
"""leaves its plane by no more than this share,"""
TOP_SHARE = 0.05
"""and lies in this share of the height."""
WINDOW_SHARE = 0.02
"""A window spans at least this share of the diagonal."""
THROUGH = 0.5
"""A window lets through at least this share of the rays straight into it."""
DEPTHS = (0.0, 0.3, 0.55, 0.75, 0.9)
"""Where rays start: so far on the way from the middle of the hole to its rim."""
RIM_POINTS = 24


@dataclass(frozen=True, slots=True)
class Openings:
    """Tells holes that are meant from those that are not."""

    mesh: Mesh
    scene: Callable[[], RayScene]
    """The mesh made ready for rays; asked for only where a hole is large enough to be a window."""

    def is_meant(self, rim: Float64[np.ndarray, "n 3"]) -> bool:
        """Whether a hole should stay; ``rim`` are its corners in order, either way round."""
        offset = rim - rim.mean(axis=0)
        area = np.cross(offset, np.roll(offset, -1, axis=0)).sum(axis=0)
        size = float(np.linalg.norm(area))
        span = 2.0 * float(np.linalg.norm(offset, axis=1).max())
        diagonal = self.mesh.diagonal_m
        if size <= 0.0 or span < WINDOW_SHARE * diagonal:
            return False
        normal = area / size
        low, high = (bound.astype(np.float64) for bound in self.mesh.bounds_m)
        flat = np.abs(offset @ normal).max() < FLAT_SHARE * diagonal
        at_top = rim[:, 1].min() > high[1] - TOP_SHARE * (high[1] - low[1])
        mouth = span >= MOUTH_SHARE * diagonal and flat and at_top and abs(normal[1]) > 0.9
        return bool(mouth) or self._is_window(rim, normal)

    def _is_window(self, rim: Float64[np.ndarray, "n 3"], normal: Float64[np.ndarray, "3"]) -> bool:
        """Whether one looks through it and out on the other side."""
        some = rim[np.linspace(0, len(rim) - 1, min(RIM_POINTS, len(rim))).astype(np.int64)]
        middle = rim.mean(axis=0)
        points = np.concatenate([middle + depth * (some - middle) for depth in DEPTHS]).astype(np.float32)
        free: Float32[np.ndarray, "points"] = np.ones(len(points), np.float32)
        for side in (1.0, -1.0):
            ways = np.broadcast_to((side * normal).astype(np.float32), points.shape)
            free *= ~self.scene().occluded(points, np.ascontiguousarray(ways))
        return float(free.mean()) >= THROUGH
