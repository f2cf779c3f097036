"""A surface field in sparse voxels, as volumetric generators make it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from bridge_server.values.surface import Locate, SurfaceField, SurfaceSample

SAMPLE_BLOCK = 1 << 18
"""Points looked up at once, which bounds the working memory."""
AXIS_BITS = 21
"""Bits of a code that each axis takes: up to two million cells an edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VoxelField(SurfaceField):
    """Attributes in the cells of a grid, most of which are empty."""

    origin_m: tuple[float, float, float]
    """Lowest corner of cell (0, 0, 0)."""
    voxel_m: float
    """Edge length of a cell."""
    codes: Int64[np.ndarray, "cells"]
    """Strictly rising ``cell_codes`` of the cells that are present; at least one."""
    attributes: Float32[np.ndarray, "cells 6"]
    """Base colour (3, linear light), metallic, roughness, alpha; at the centre of each cell."""

    def sample(self, points_m: Float32[np.ndarray, "points 3"], locate: Locate) -> SurfaceSample:  # noqa: ARG002 - voxels need no mesh
        """Trilinear over the cells that are present around a point; where there is none, the nearest one."""
        found = np.empty((len(points_m), 6), np.float32)
        for start in range(0, len(points_m), SAMPLE_BLOCK):
            block = slice(start, start + SAMPLE_BLOCK)
            found[block] = self._trilinear(points_m[block].astype(np.float64))
        return SurfaceSample(
            base_color=found[:, :3],
            metallic=found[:, 3],
            roughness=found[:, 4],
            opacity=found[:, 5],
            emissive=np.zeros((len(points_m), 3), np.float32),
        )

    def _trilinear(self, points_m: Float64[np.ndarray, "points 3"]) -> Float32[np.ndarray, "points 6"]:
        place = (points_m - np.asarray(self.origin_m)) / self.voxel_m - 0.5
        low = np.floor(place)
        share = place - low
        sums = np.zeros((len(place), 6))
        total = np.zeros(len(place))
        for corner in np.ndindex(2, 2, 2):
            step = np.asarray(corner)
            weight = np.where(step == 1, share, 1.0 - share).prod(axis=1)
            row, present = self._rows((low + step).astype(np.int64))
            weight = np.where(present, weight, 0.0)
            sums += weight[:, None] * self.attributes[row]
            total += weight
        lost = np.flatnonzero(total <= 1e-6)
        total[lost] = 1.0
        result = sums / total[:, None]
        if len(lost):
            result[lost] = self.attributes[self._nearest(place[lost])]
        return result.astype(np.float32)

    def _rows(self, cells: Int64[np.ndarray, "points 3"]) -> tuple[np.ndarray, np.ndarray]:
        inside = np.all((cells >= 0) & (cells < 1 << AXIS_BITS), axis=1)
        wanted = cell_codes(np.where(inside[:, None], cells, 0))
        row = np.minimum(np.searchsorted(self.codes, wanted), len(self.codes) - 1)
        return row, inside & (self.codes[row] == wanted)

    def _nearest(self, place: Float64[np.ndarray, "points 3"]) -> Int64[np.ndarray, "points"]:
        from scipy.spatial import cKDTree

        return np.asarray(cKDTree(code_cells(self.codes)).query(place)[1], dtype=np.int64)


def cell_codes(cells: Int64[np.ndarray, "cells 3"]) -> Int64[np.ndarray, "cells"]:
    """One number for each cell; they sort by x, then y, then z. Coordinates lie in [0, 2**21)."""
    x, y, z = cells.astype(np.int64).T
    return x << 2 * AXIS_BITS | y << AXIS_BITS | z


def code_cells(codes: Int64[np.ndarray, "cells"]) -> Int64[np.ndarray, "cells 3"]:
    """Undo ``cell_codes``."""
    mask = (1 << AXIS_BITS) - 1
    return np.stack([codes >> 2 * AXIS_BITS, codes >> AXIS_BITS & mask, codes & mask], axis=1)
