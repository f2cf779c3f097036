"""Holes that are meant: mouths of vessels, and windows that one looks through."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from bridge_server.backends.raycaster.base import Raycaster, RayScene
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import boundary_loops

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
ROUND = 0.9
"""This share of the corners of a window across from another turns inward."""
DEPTHS = (0.0, 0.3, 0.55, 0.75, 0.9)
"""Where rays start: so far on the way from the middle of the hole to its rim."""
RIM_POINTS = 24
ALIKE = 0.05
"""Two windows across from each other have as many edges, one more or less, and differ by less than this in width;"""
ACROSS = 0.7
"""and the way between them runs within 45 degrees of the normal: the two sides of a hull lean."""


@dataclass(frozen=True, slots=True)
class Openings:
    """Tells holes that are meant from those that are not."""

    mesh: Mesh
    scene: Callable[[], RayScene]
    """The mesh made ready for rays; asked for only where a hole is large enough to be a window."""
    rims: Callable[[], list[Float64[np.ndarray, "n 3"]]]
    """All its holes."""

    def is_meant(self, rim: Float64[np.ndarray, "n 3"]) -> bool:
        """Whether a hole should stay; ``rim`` are its corners in order, either way round."""
        offset = rim - rim.mean(axis=0)
        area = np.cross(offset, np.roll(offset, -1, axis=0)).sum(axis=0)
        size = float(np.linalg.norm(area))
        span = _span(rim)
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
        """Whether one looks through it and out on the other side, straight or by the hole across that is like it."""
        some = rim[np.linspace(0, len(rim) - 1, min(RIM_POINTS, len(rim))).astype(np.int64)]
        middle = rim.mean(axis=0)
        points = np.concatenate([middle + depth * (some - middle) for depth in DEPTHS]).astype(np.float32)
        return any(self._passes(points, way) for way in (normal, *self._ways_across(rim, normal)))

    def _ways_across(
        self, rim: Float64[np.ndarray, "n 3"], normal: Float64[np.ndarray, "3"]
    ) -> list[Float64[np.ndarray, "3"]]:
        found: list[Float64[np.ndarray, "3"]] = []
        if not _is_round(rim, normal):
            return found
        for other in self.rims():
            way = other.mean(axis=0) - rim.mean(axis=0)
            distance, span = float(np.linalg.norm(way)), _span(rim)
            like = abs(len(other) - len(rim)) <= 1 and abs(_span(other) - span) < ALIKE * span
            if like and distance > span and abs(way @ normal) > ACROSS * distance:
                found.append(way / distance)
        return found

    def _passes(self, points: Float32[np.ndarray, "points 3"], way: Float64[np.ndarray, "3"]) -> bool:
        free: Float32[np.ndarray, "points"] = np.ones(len(points), np.float32)
        for side in (1.0, -1.0):
            ways = np.broadcast_to((side * way).astype(np.float32), points.shape)
            free *= ~self.scene().occluded(points, np.ascontiguousarray(ways))
        return float(free.mean()) >= THROUGH


def _is_round(rim: Float64[np.ndarray, "n 3"], normal: Float64[np.ndarray, "3"]) -> bool:
    """Whether hardly any corner turns the wrong way: a broken rim is ragged, one that was made is smooth."""
    edges = np.roll(rim, -1, axis=0) - rim
    turns = np.cross(np.roll(edges, 1, axis=0), edges) @ normal
    return float((turns > 0.0).mean()) >= ROUND


def _span(rim: Float64[np.ndarray, "n 3"]) -> float:
    return 2.0 * float(np.linalg.norm(rim - rim.mean(axis=0), axis=1).max())


def openings_of(mesh: Mesh, raycaster: Raycaster) -> Openings:
    """A judge of the holes of one mesh, which does nothing before it is asked."""
    return Openings(
        mesh,
        functools.cache(lambda: raycaster.scene(mesh.positions_m, mesh.faces)),
        functools.cache(lambda: [mesh.positions_m[loop].astype(np.float64) for loop in boundary_loops(mesh.faces)]),
    )
