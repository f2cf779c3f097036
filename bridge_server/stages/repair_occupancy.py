"""A coarse look at a mesh from outside: cells that its surface fills, those that a flood from outside reaches, and
outlines. It knows nothing of winding or of rays, so it serves as a referee.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from bridge_server.run import Run
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import face_areas

SPACING_PX = 0.75
POINTS_AT_ONCE = 1 << 21
OUTLINE_AXES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]], np.float64)


def surface_points(mesh: Mesh, spacing_m: float) -> Iterator[Float32[np.ndarray, "points 3"]]:
    """Points all over the surface, nowhere further than about ``spacing_m`` from the next; in blocks."""
    corners = mesh.positions_m[mesh.faces]
    sides = np.linalg.norm(np.roll(corners, -1, axis=1) - corners, axis=2)
    longest = sides.argmax(axis=1)
    turn = (longest[:, None] + np.arange(3)) % 3
    length = np.take_along_axis(sides, longest[:, None], axis=1)[:, 0]
    height = 2.0 * face_areas(mesh) / np.maximum(length, 1e-30)
    along, up = (_parts(size, spacing_m) for size in (length, height))
    kind = along * 64 + up
    for code in np.unique(kind).tolist():
        weights = lattice(1 << code // 64, 1 << code % 64)
        chosen = np.flatnonzero(kind == code)
        step = max(POINTS_AT_ONCE // len(weights), 1)
        for start in range(0, len(chosen), step):
            rows = chosen[start : start + step]
            some = np.take_along_axis(corners[rows], turn[rows][..., None], axis=1)
            yield np.einsum("wc,fcd->fwd", weights, some).reshape(-1, 3)


def _parts(size_m: Float64[np.ndarray, "faces"], spacing_m: float) -> Int64[np.ndarray, "faces"]:
    """How often to halve each size until it is no more than the spacing, nine times at most."""
    return np.ceil(np.log2(np.clip(size_m / spacing_m, 1.0, 512.0))).astype(np.int64)


def lattice(along: int, up: int) -> Float32[np.ndarray, "points 3"]:
    """Barycentric weights of points in as many columns along the first edge and rows up to the last corner.

    The first row lies on the edge, so that a hair-thin triangle is covered all along.
    """
    u, v = np.meshgrid((np.arange(along) + 0.5) / along, np.arange(up) / up, indexing="ij")
    weights = np.stack([(1.0 - u) * (1.0 - v), u * (1.0 - v), v], axis=-1)
    return weights.reshape(-1, 3).astype(np.float32)


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
    mesh: Mesh, middle_m: Float64[np.ndarray, "3"], pixel_m: float, width_px: int, run: Run
) -> Bool[np.ndarray, "views width_width"]:
    """Silhouettes along seven directions, each ``width_px`` wide and high around ``middle_m``."""
    pictures = np.zeros((len(OUTLINE_AXES), width_px * width_px), bool)
    frame = np.concatenate([_picture_axes(axis) for axis in OUTLINE_AXES]).T / pixel_m
    shift = (width_px / 2.0 - middle_m @ frame).astype(np.float32)
    for points in surface_points(mesh, SPACING_PX * pixel_m):
        at = np.clip((points @ frame.astype(np.float32) + shift).astype(np.int32), 0, width_px - 1)
        for view, picture in enumerate(pictures):
            run.checkpoint(0.0, "comparing outlines")
            picture[at[:, 2 * view] * width_px + at[:, 2 * view + 1]] = True
    return pictures


def _picture_axes(ahead: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "2 3"]:
    right = np.cross(ahead, np.eye(3)[np.argmin(np.abs(ahead))])
    up = np.cross(ahead, right)
    return np.stack([right / np.linalg.norm(right), up / np.linalg.norm(up)])


def outline_likeness(before: Mesh, after: Mesh, run: Run, width_px: int = 128) -> float:
    """Least intersection over union of the silhouettes along seven directions.

    How many points they take is not known before, so progress stands still and ``run`` serves to cancel.
    """
    (low, high), (other_low, other_high) = before.bounds_m, after.bounds_m
    low = np.minimum(low, other_low).astype(np.float64)
    high = np.maximum(high, other_high).astype(np.float64)
    pixel_m = max(float(np.linalg.norm(high - low)), 1e-30) / (width_px - 4)
    one, two = (outlines(mesh, (low + high) / 2.0, pixel_m, width_px, run) for mesh in (before, after))
    return float(((one & two).sum(axis=1) / np.maximum((one | two).sum(axis=1), 1)).min())
