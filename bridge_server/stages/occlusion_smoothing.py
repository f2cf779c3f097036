"""Denoising and enlarging a map by the shape of the surface that it lies on; nothing crosses from chart to chart."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.run import Run

PLANE_SHARPNESS = 1.0
"""Texels whose centre lies off the plane of the middle one by this many texel widths weigh a third."""
NORMAL_POWER = 16.0
VALUE_SPREAD = 0.25
"""Difference of openness at which the weight falls to a third: keeps contact shadows."""


@dataclass(frozen=True, slots=True)
class SurfaceMap:
    """The surface at each texel; charts are -1 where there is none."""

    charts: Int32[np.ndarray, "size size"]
    points_m: Float32[np.ndarray, "size size 3"]
    normals: Float32[np.ndarray, "size size 3"]
    texel_m: float
    """Width of a texel on the surface."""


def denoised(
    values: Float32[np.ndarray, "size size"], surface: SurfaceMap, rounds: int, run: Run
) -> Float32[np.ndarray, "size size"]:
    """Edge-avoiding à-trous filter (Dammertz et al. 2010) with a 5 x 5 kernel whose holes double each round."""
    kernel = np.array([1.0, 4.0, 6.0, 4.0, 1.0], np.float32) / 16.0
    for level in range(rounds):
        step = 1 << level
        sums, total = np.zeros_like(values), np.zeros_like(values)
        for row in range(-2, 3):
            for column in range(-2, 3):
                run.checkpoint(level / rounds, "denoising")
                mine, other, weight = _neighbours(values, surface, (row * step, column * step))
                weight *= kernel[row + 2] * kernel[column + 2]
                sums[mine] += weight * values[other]
                total[mine] += weight
        values = np.where(total > 0.0, sums / np.maximum(total, 1e-12), values)
    return values


def _neighbours(
    values: Float32[np.ndarray, "size size"], surface: SurfaceMap, offset: tuple[int, int]
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Texels, their neighbours of the same chart at one offset, and how much these weigh."""
    here, there = _shifted(len(values), offset)
    rows, columns = np.nonzero((surface.charts[here] == surface.charts[there]) & (surface.charts[here] >= 0))
    mine = (rows + here[0].start, columns + here[1].start)
    other = (rows + there[0].start, columns + there[1].start)
    normal = surface.normals[mine]
    off_plane = np.einsum("ij,ij->i", surface.points_m[other] - surface.points_m[mine], normal)
    facing = np.maximum(np.einsum("ij,ij->i", normal, surface.normals[other]), 0.0)
    change = (values[other] - values[mine]) / VALUE_SPREAD
    far = off_plane / (PLANE_SHARPNESS * max(surface.texel_m, 1e-12) * max(abs(offset[0]), abs(offset[1]), 1))
    return mine, other, (facing**NORMAL_POWER * np.exp(-(far**2) - change**2)).astype(np.float32)


def _shifted(size: int, offset: tuple[int, int]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of a map and of the same map moved by the offset, where both exist."""
    here = tuple(slice(max(0, -step), size - max(0, step)) for step in offset)
    there = tuple(slice(max(0, step), size - max(0, -step)) for step in offset)
    return (here[0], here[1]), (there[0], there[1])


def enlarged(
    values: Float32[np.ndarray, "small small"], small: SurfaceMap, large: SurfaceMap, factor: int
) -> Float32[np.ndarray, "size size"]:
    """Joint bilateral upsampling (Kopf et al. 2007): the four coarse texels around, of the same chart and facing."""
    size, coarse = len(large.charts), len(values)
    rows, columns = np.nonzero(large.charts >= 0)
    y, x = (rows + 0.5) / factor - 0.5, (columns + 0.5) / factor - 0.5
    top, left = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    sums, total = np.zeros(len(rows)), np.zeros(len(rows))
    chart, normal = large.charts[rows, columns], large.normals[rows, columns]
    for down in (0, 1):
        for right in (0, 1):
            near = np.clip(top + down, 0, coarse - 1), np.clip(left + right, 0, coarse - 1)
            across = np.where(down, y - top, 1 - y + top) * np.where(right, x - left, 1 - x + left)
            facing = np.maximum(np.einsum("ij,ij->i", normal, small.normals[near]), 0.0)
            weight = (across + 1e-3) * (facing**NORMAL_POWER + 1e-4) * (small.charts[near] == chart)
            sums += weight * values[near]
            total += weight
    result = np.ones((size, size), np.float32)
    found = total > 0.0
    result[rows[found], columns[found]] = (sums[found] / total[found]).astype(np.float32)
    _fill_lost(result, rows, columns, found)
    return result


def _fill_lost(
    result: Float32[np.ndarray, "size size"], rows: np.ndarray, columns: np.ndarray, found: np.ndarray
) -> None:
    """Give texels that no coarse texel of their chart served the value of the nearest one that was, in place."""
    if found.all() or not found.any():
        return
    from scipy.spatial import cKDTree

    tree = cKDTree(np.stack([rows[found], columns[found]], axis=1))
    nearest = tree.query(np.stack([rows[~found], columns[~found]], axis=1))[1]
    result[rows[~found], columns[~found]] = result[rows[found][nearest], columns[found][nearest]]
