"""Figures that tell a good atlas from a bad one."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32

from bridge_server.values.texel_grid import gathered, touched_texels


@dataclass(frozen=True, slots=True)
class AtlasFigures:
    """As in ``UnwrappedMesh``."""

    texel_density_px_per_m: float
    texel_density_spread: float
    packing_efficiency: float
    stretch: float


def atlas_figures(
    corners_m: Float32[np.ndarray, "faces 3 3"],
    corner_uvs: Float32[np.ndarray, "faces 3 2"],
    charts: Int32[np.ndarray, "faces"],
    atlas_px: int,
) -> AtlasFigures:
    """Density of the charts, weighed by their area; share of the square; and stretch (Sander et al. 2001)."""
    places, uvs = corners_m.astype(np.float64), corner_uvs.astype(np.float64)
    along, other = places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]
    area_m2 = np.linalg.norm(np.cross(along, other), axis=1) / 2.0
    (s1, t1), (s2, t2) = (uvs[:, 1] - uvs[:, 0]).T, (uvs[:, 2] - uvs[:, 0]).T
    signed = s1 * t2 - s2 * t1
    area_uv = np.abs(signed) / 2.0
    count = int(charts.max()) + 1
    chart_m2, chart_uv = (np.bincount(charts, area, minlength=count) for area in (area_m2, area_uv))
    density = np.sqrt(np.divide(chart_uv, chart_m2, out=np.zeros(count), where=chart_m2 > 0.0)) * atlas_px
    total_m2, total_uv = float(chart_m2.sum()), float(chart_uv.sum())
    if total_m2 == 0.0 or total_uv == 0.0:
        return AtlasFigures(texel_density_px_per_m=0.0, texel_density_spread=0.0, packing_efficiency=0.0, stretch=1.0)
    mean = float((density * chart_m2).sum() / total_m2)
    spread = float(np.sqrt(((density - mean) ** 2 * chart_m2).sum() / total_m2) / mean)
    safe = np.where(signed == 0.0, 1.0, signed)[:, None]
    by_u, by_v = (along * t2[:, None] - other * t1[:, None]) / safe, (other * s1[:, None] - along * s2[:, None]) / safe
    squared = np.where(signed == 0.0, 0.0, ((by_u**2).sum(axis=1) + (by_v**2).sum(axis=1)) / 2.0)
    stretch = float(np.sqrt((squared * area_m2).sum() / total_m2) * np.sqrt(total_uv / total_m2))
    return AtlasFigures(
        texel_density_px_per_m=mean, texel_density_spread=spread, packing_efficiency=total_uv, stretch=stretch
    )


def least_gap_px(
    uvs: Float32[np.ndarray, "vertices 2"],
    faces: Int32[np.ndarray, "faces 3"],
    charts: Int32[np.ndarray, "faces"],
    atlas_px: int,
) -> int:
    """Empty texels between the two closest charts, counted over texels that a chart touches at all.

    0 where two charts touch the same texel or neighbours, ``atlas_px`` where there is only one chart.
    """
    from scipy.ndimage import distance_transform_cdt

    owner = np.full(atlas_px * atlas_px, -1, np.int32)
    cells = gathered(touched_texels(uvs, faces, atlas_px))
    chart = charts[cells.faces]
    owner[cells.index] = chart
    if (owner[cells.index] != chart).any():
        return 0
    square = owner.reshape(atlas_px, atlas_px)
    away, (rows, columns) = distance_transform_cdt(square < 0, metric="chessboard", return_indices=True)
    near = square[rows, columns]
    return min(_least_across(near, away), _least_across(near.T, away.T), atlas_px)


def _least_across(near: Int32[np.ndarray, "rows columns"], away: Float64[np.ndarray, "rows columns"]) -> int:
    """Least sum of distances over vertically neighbouring texels that belong to different charts."""
    border = near[1:] != near[:-1]
    return int((away[1:] + away[:-1])[border].min(initial=2**30))
