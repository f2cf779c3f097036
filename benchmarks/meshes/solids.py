"""Solids by formulas, and their surfaces."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64, Int64

SMOOTH_M = 0.06
BALLS = (
    ((0.0, -0.05, 0.0), 0.24), ((0.0, 0.22, 0.02), 0.16), ((0.1, 0.38, 0.0), 0.06), ((-0.1, 0.38, 0.0), 0.06),
    ((0.0, 0.2, 0.17), 0.05), ((0.11, -0.4, 0.05), 0.09), ((-0.11, -0.4, 0.05), 0.09),
)  # fmt: skip
"""Centre and radius in metres: body, head, ears, snout, feet."""
LIMBS = (
    ((0.15, 0.05, 0.0), (0.38, -0.1, 0.12), 0.045), ((-0.15, 0.05, 0.0), (-0.36, 0.16, 0.1), 0.045),
    ((0.1, -0.2, 0.0), (0.11, -0.4, 0.02), 0.07), ((-0.1, -0.2, 0.0), (-0.11, -0.4, 0.02), 0.07),
)  # fmt: skip
"""Two ends and a radius: arms and legs."""


def figure_distance(points: Float64[np.ndarray, "points 3"]) -> Float64[np.ndarray, "points"]:
    """About the signed distance to a rounded figure 0.9 m high; the smooth union is that of Inigo Quilez."""
    parts = [np.linalg.norm(points - center, axis=1) - radius for center, radius in BALLS]
    for start, end, radius in LIMBS:
        axis = np.subtract(end, start)
        share = np.clip((points - start) @ axis / (axis @ axis), 0.0, 1.0)
        parts.append(np.linalg.norm(points - start - share[:, None] * axis, axis=1) - radius)
    whole = parts[0]
    for part in parts[1:]:
        blend = np.clip(0.5 + 0.5 * (part - whole) / SMOOTH_M, 0.0, 1.0)
        whole = part + (whole - part) * blend - SMOOTH_M * blend * (1.0 - blend)
    return np.asarray(whole)


def surface_of(
    distance: Callable[[Float64[np.ndarray, "points 3"]], np.ndarray], cells: int
) -> tuple[Float64[np.ndarray, "vertices 3"], Int64[np.ndarray, "faces 3"]]:
    """Marching cubes over the cube from -0.55 to 0.55 m; negative is inside, faces are wound outward."""
    from skimage.measure import marching_cubes

    axis = np.linspace(-0.55, 0.55, cells + 1)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    values = np.concatenate([distance(block) for block in np.array_split(grid, 64)]).reshape((cells + 1,) * 3)
    points, faces, _, _ = marching_cubes(values.astype(np.float32), 0.0, spacing=(1.1 / cells,) * 3)
    corners = points.astype(np.float64)[faces]
    volume = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    wound = faces if volume > 0.0 else faces[:, ::-1]
    return points.astype(np.float64) - 0.55, wound.astype(np.int64)


def revolved(
    rows: Float64[np.ndarray, "rings around 3"], capped: bool
) -> tuple[Float64[np.ndarray, "vertices 3"], Int64[np.ndarray, "faces 3"]]:
    """Rings around the Y axis, counter-clockwise seen from above, joined in their order; caps are fans."""
    rings, around = rows.shape[:2]
    r, c = np.meshgrid(np.arange(rings - 1), np.arange(around), indexing="ij")
    a, b = (r * around + c).reshape(-1), (r * around + (c + 1) % around).reshape(-1)
    faces = [np.stack([a, b, a + around], 1), np.stack([b, b + around, a + around], 1)]
    points = rows.reshape(-1, 3)
    if capped:
        last = (rings - 1) * around
        edge, after = np.arange(around), (np.arange(around) + 1) % around
        bottom, top = len(points), len(points) + 1
        points = np.concatenate([points, rows[[0, -1]].mean(axis=1)])
        faces += [
            np.stack([after, edge, np.full(around, bottom)], 1),
            np.stack([last + edge, last + after, np.full(around, top)], 1),
        ]
    return points, np.concatenate(faces)
