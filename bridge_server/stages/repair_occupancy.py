"""A coarse look at a mesh from outside: cells that its surface fills, those that a flood from outside reaches, and
outlines. It knows nothing of winding or of rays, so it serves as a referee."""

import numpy as np
from jaxtyping import Bool, Float32, Float64

from bridge_server.values.mesh import Mesh

POINTS_AT_ONCE = 1 << 21
OUTLINE_AXES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]], np.float64)


def surface_points(mesh: Mesh, spacing_m: float) -> list[Float32[np.ndarray, "points 3"]]:
    """Points all over the surface, nowhere further than about ``spacing_m`` from the next; in blocks."""
    corners = mesh.positions_m[mesh.faces]
    longest = np.sqrt(np.square(corners - np.roll(corners, -1, axis=1)).sum(axis=2).max(axis=1))
    parts = np.ceil(np.clip(longest / spacing_m, 1.0, 512.0)).astype(np.int64)
    parts = 1 << np.ceil(np.log2(parts)).astype(np.int64)
    blocks = []
    for count in np.unique(parts).tolist():
        weights = lattice(count)
        chosen = np.flatnonzero(parts == count)
        step = max(POINTS_AT_ONCE // len(weights), 1)
        for start in range(0, len(chosen), step):
            some = corners[chosen[start : start + step]]
            blocks.append(np.einsum("wc,fcd->fwd", weights, some).reshape(-1, 3))
    return blocks


def lattice(count: int) -> Float32[np.ndarray, "points 3"]:
    """Barycentric weights of the middles of the small triangles that ``count`` parts an edge make."""
    i, j = np.meshgrid(np.arange(count), np.arange(count), indexing="ij")
    up, down = i + j < count, i + j < count - 1
    first = np.concatenate([i[up] + 1 / 3, i[down] + 2 / 3])
    second = np.concatenate([j[up] + 1 / 3, j[down] + 2 / 3])
    weights = np.stack([first, second, count - first - second], axis=1) / count
    return weights.astype(np.float32)


def reached_from_outside(
    mesh: Mesh, low_m: Float64[np.ndarray, "3"], cell_m: float, shape: tuple[int, int, int], closing: int
) -> Bool[np.ndarray, "x y z"]:
    """Cells that a ball ``closing`` cells in radius can touch when it rolls in from outside.

    The grid has to stand clear of the mesh by more than ``closing`` cells on every side.
    """
    from scipy.ndimage import binary_dilation, label

    solid = np.zeros(shape, bool)
    for points in surface_points(mesh, cell_m / 2.0):
        cells = np.clip(((points - low_m) / cell_m).astype(np.int64), 0, np.array(shape) - 1)
        solid[tuple(cells.T)] = True
    walls = binary_dilation(solid, iterations=closing) if closing else solid
    labels, _ = label(~walls)
    outside = labels == labels[0, 0, 0]
    return binary_dilation(outside, iterations=closing, mask=~solid) if closing else outside


def outlines(
    mesh: Mesh, low_m: Float64[np.ndarray, "3"], pixel_m: float, width_px: int
) -> list[Bool[np.ndarray, "width width"]]:
    """Silhouettes along seven directions, each ``width_px`` wide; ``low_m`` is the corner of a cube that holds it."""
    middle = low_m + 0.5 * pixel_m * width_px / np.sqrt(3.0)
    pictures = [np.zeros((width_px, width_px), bool) for _ in OUTLINE_AXES]
    for points in surface_points(mesh, 0.5 * pixel_m):
        offset = points.astype(np.float64) - middle
        for axis, picture in zip(OUTLINE_AXES, pictures, strict=True):
            ahead = axis / np.linalg.norm(axis)
            right = np.cross(ahead, np.eye(3)[np.argmin(np.abs(ahead))])
            right /= np.linalg.norm(right)
            seen = np.stack([offset @ right, offset @ np.cross(ahead, right)], axis=1)
            at = np.clip((seen / pixel_m + width_px / 2.0).astype(np.int64), 0, width_px - 1)
            picture[at[:, 0], at[:, 1]] = True
    return pictures


def outline_likeness(before: Mesh, after: Mesh, width_px: int = 192) -> float:
    """Least intersection over union of the silhouettes along seven directions."""
    low, high = (
        np.minimum(before.bounds_m[0], after.bounds_m[0]).astype(np.float64),
        np.maximum(before.bounds_m[1], after.bounds_m[1]).astype(np.float64),
    )
    side_m = max(float((high - low).max()), 1e-30)
    pixel_m = side_m * np.sqrt(3.0) / (width_px - 2)
    corner = (low + high) / 2.0 - 0.5 * pixel_m * width_px / np.sqrt(3.0)
    pairs = zip(*(outlines(mesh, corner, pixel_m, width_px) for mesh in (before, after)), strict=True)
    return min(float((a & b).sum() / max((a | b).sum(), 1)) for a, b in pairs)
