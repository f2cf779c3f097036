"""A surface field in sparse voxels, as volumetric generators make it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from bridge_server.values.surface import Locate, SurfaceField, SurfaceSample

SAMPLE_BLOCK = 1 << 18
"""Points looked up at once, which bounds the working memory."""
AXIS_BITS = 21
"""Bits of a code that each axis takes: up to two million cells an edge."""
LAST_CELL = (1 << AXIS_BITS) - 1
LEAST_WEIGHT = 1e-6
"""Where the cells that are present weigh no more than this together, the nearest one serves."""
NEAR_CELLS = 4.0


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
            place = (points_m[block].astype(np.float64) - np.asarray(self.origin_m)) / self.voxel_m - 0.5
            values, total = self._trilinear(place)
            lost = np.flatnonzero(total <= LEAST_WEIGHT)
            if len(lost):
                values[lost] = self.attributes[self._nearest(place[lost])]
            found[block] = values
        return SurfaceSample(
            base_color=found[:, :3],
            metallic=found[:, 3],
            roughness=found[:, 4],
            opacity=found[:, 5],
            emissive=np.zeros((len(points_m), 3), np.float32),
        )

    def _trilinear(
        self, place: Float64[np.ndarray, "points 3"]
    ) -> tuple[Float32[np.ndarray, "points 6"], Float32[np.ndarray, "points"]]:
        """Means over the cells that are present, and the weight that these have of all eight.

        Points are looked up in the order of their cells, so that neighbours find what they need in the cache; and
        since codes sort by z last, the upper cell of a column is the next entry after the lower one.
        """
        low = np.floor(np.clip(place, -2.0, 1 << AXIS_BITS)).astype(np.int64)
        order = np.argsort(cell_codes(np.clip(low, 0, LAST_CELL)), kind="stable")
        low = low[order]
        share = (place[order] - low).astype(np.float32)
        sums = np.zeros((len(place), 6), np.float32)
        total = np.zeros(len(place), np.float32)
        for x, y in np.ndindex(2, 2):
            column = np.abs(1 - x - share[:, 0]) * np.abs(1 - y - share[:, 1])
            rows, present = self._pair(low + np.array([x, y, 0]))
            for z in (0, 1):
                weight = np.where(present[z], column * np.abs(1 - z - share[:, 2]), np.float32(0.0))
                sums += weight[:, None] * self.attributes[rows[z]]
                total += weight
        values, weights = np.empty_like(sums), np.empty_like(total)
        values[order] = sums / np.maximum(total, np.float32(LEAST_WEIGHT))[:, None]
        weights[order] = total
        return values, weights

    def _pair(
        self, cells: Int64[np.ndarray, "points 3"]
    ) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Rows of each cell and of the one above it in z, and whether they are present."""
        inside = ((cells[:, :2] >= 0) & (cells[:, :2] <= LAST_CELL)).all(axis=1)
        z = cells[:, 2]
        wanted = cell_codes(np.clip(cells, 0, LAST_CELL))
        last = len(self.codes) - 1
        lower = np.searchsorted(self.codes, wanted)
        met = self.codes[np.minimum(lower, last)] == wanted
        upper = np.where(z < 0, lower, lower + met)
        above = self.codes[np.minimum(upper, last)] == np.where(z < 0, wanted, wanted + 1)
        rows = np.minimum(lower, last), np.minimum(upper, last)
        present = (
            inside & met & (lower <= last) & (z >= 0) & (z <= LAST_CELL),
            inside & above & (upper <= last) & (z >= -1) & (z < LAST_CELL),
        )
        return rows, present

    def _nearest(self, place: Float64[np.ndarray, "points 3"]) -> Int64[np.ndarray, "points"]:
        """Row of the cell whose centre is nearest, sought among those around the points, farther and farther away."""
        from scipy.spatial import cKDTree

        cells = code_cells(self.codes)
        lowest, highest = place.min(axis=0), place.max(axis=0)
        reach = NEAR_CELLS
        while True:
            around = np.flatnonzero(((cells >= lowest - reach) & (cells <= highest + reach)).all(axis=1))
            whole = len(around) == len(cells)
            if len(around):
                away, row = cKDTree(cells[around]).query(place)
                if whole or away.max() <= reach:
                    return np.asarray(around[row], np.int64)
            reach *= 4.0


def cell_codes(cells: Int64[np.ndarray, "cells 3"]) -> Int64[np.ndarray, "cells"]:
    """One number for each cell; they sort by x, then y, then z. Coordinates lie in [0, 2**21)."""
    x, y, z = cells.astype(np.int64).T
    return x << 2 * AXIS_BITS | y << AXIS_BITS | z


def code_cells(codes: Int64[np.ndarray, "cells"]) -> Int64[np.ndarray, "cells 3"]:
    """Undo ``cell_codes``."""
    mask = (1 << AXIS_BITS) - 1
    return np.stack([codes >> 2 * AXIS_BITS, codes >> AXIS_BITS & mask, codes & mask], axis=1)
