"""Convex hulls as meshes: closed, wound outward, with as many vertices as allowed."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64

from bridge_server.values.mesh import Mesh, face_cross_products

if TYPE_CHECKING:
    from scipy.spatial import ConvexHull

NEEDLE = 3e-5
"""Height, as a share of the diagonal, below which rounding decides where a triangle faces; its neighbours serve."""
GROWTH_STEPS = 16
PUSHED_TOGETHER = 0.25
"""Points are heeded in one step where they are missed by this share of the worst."""
BLOCK_NUMBERS = 2_000_000
"""Distances held in memory at a time."""
WIDE_FACET = "QH6347"
"""Qhull's number for a face that it cannot make flat; other errors mean that there is no volume."""


def convex_hull(points_m: Float[np.ndarray, "points 3"], least_thickness_m: float = 0.0) -> Mesh:
    """Convex hull (Barber et al., "The Quickhull algorithm", 1996).

    Points that lie in a plane, on a line or in one place are first spread to ``least_thickness_m`` across it.
    Raises ``ValueError`` where they are flat all the same.
    """
    from scipy.spatial import QhullError

    points = np.unique(points_m.astype(np.float64), axis=0)
    if least_thickness_m > 0.0:
        points = _thickened(points, least_thickness_m)
    try:
        hull = _quickhull(points)
    except (QhullError, ValueError) as error:
        raise ValueError(f"{len(points)} points span no volume") from error
    faces = hull.simplices.copy()
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = np.einsum("ij,ij->i", normals, hull.equations[:, :3]) < 0.0
    faces[inward] = faces[inward][:, ::-1]
    used, renumbered = np.unique(faces, return_inverse=True)
    return Mesh(
        positions_m=points[used].astype(np.float32), faces=renumbered.reshape(-1, 3).astype(np.int32)
    )  # fmt: skip


def reduced_hull(hull: Mesh, max_vertices: int, slack_m: float) -> Mesh:
    """The hull with at most ``max_vertices`` vertices; see ``reduced_hulls``."""
    return next(reduced_hulls(hull, (max_vertices,), slack_m))


def reduced_hulls(hull: Mesh, counts: Sequence[int], slack_m: float) -> Iterator[Mesh]:
    """For each rising count the hull with at most so many of its vertices, chosen farthest first.

    A hull of fewer vertices lies inside; its faces are pushed out where a vertex of the whole one is farther than
    ``slack_m`` outside, but never out of the bounding box, so what stood on the floor still does. The last one is the
    hull itself where a count allows it. A count whose vertices lie in one plane is left out; where it is the last one,
    the hull itself stands in.
    """
    order: Int64[np.ndarray, "chosen"] | None = None
    for count in counts:
        if len(hull.positions_m) <= count:
            yield hull
            return
        if order is None:
            order = farthest_first(hull.positions_m, min(max(counts), len(hull.positions_m)))
        try:
            smaller = _grown(convex_hull(hull.positions_m[order[:count]]), hull, slack_m)
        except ValueError:
            if count != counts[-1]:
                continue
            smaller = hull
        yield smaller


def _grown(result: Mesh, hull: Mesh, slack_m: float) -> Mesh:
    """Faces that lack a vertex of the whole hull by more than the slack are pushed out, and no others."""
    low, high = hull.bounds_m
    points = hull.positions_m.astype(np.float64)
    for _ in range(GROWTH_STEPS):
        positions = result.positions_m.astype(np.float64)
        moves = _pushes(positions, result.faces, points, slack_m)
        if moves is None:
            break
        result = convex_hull(np.clip(positions + moves, low, high))
    return result


def _pushes(
    positions: Float64[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    points: Float64[np.ndarray, "points 3"],
    slack_m: float,
) -> Float64[np.ndarray, "vertices 3"] | None:
    """Least moves of the corners of faces after which each face, by itself, passes the slack inside its farthest point.

    A projection onto the constraint (Kaczmarz 1937) for each of the worst points; a corner follows the longest of its
    moves. None where no point is missed.
    """
    corners = positions[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(cross, axis=1)
    sound = length > 1e-12 * length.max()
    faces, corners, normals = faces[sound], corners[sound], cross[sound] / length[sound, None]
    heights = points @ normals.T - np.einsum("fi,fi->f", normals, corners[:, 0])
    face, lacking_m = heights.argmax(axis=1), heights.max(axis=1) - slack_m
    worst = float(lacking_m.max())
    if worst <= 0.0:
        return None
    rows = np.flatnonzero(lacking_m > PUSHED_TOGETHER * worst)
    rows = rows[np.argsort(lacking_m[rows])]
    weights = _barycentric(points[rows], corners[face[rows]])
    sizes = lacking_m[rows, None] * weights / (weights**2).sum(axis=1, keepdims=True)
    moves, longest = np.zeros_like(positions), np.zeros(len(positions))
    for row, size in zip(face[rows], sizes, strict=True):
        longer = size > longest[faces[row]]
        longest[faces[row][longer]] = size[longer]
        moves[faces[row][longer]] = size[longer, None] * normals[row]
    return moves


def _barycentric(
    points: Float64[np.ndarray, "points 3"], corners: Float64[np.ndarray, "points 3 3"]
) -> Float64[np.ndarray, "points 3"]:
    """Of the feet of the points in the planes of their triangles, clipped to these."""
    one, two, to = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    normal = np.cross(one, two)
    area = (normal**2).sum(axis=1)
    second = np.einsum("pi,pi->p", np.cross(to, two), normal) / area
    third = np.einsum("pi,pi->p", np.cross(one, to), normal) / area
    weights = np.clip(np.stack([1.0 - second - third, second, third], axis=1), 0.0, 1.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), np.float64)


def farthest_first(points_m: Float[np.ndarray, "points 3"], count: int) -> Int64[np.ndarray, "count"]:
    """Indices of a tetrahedron of far points, then each time of the point farthest outside the hull so far."""
    points = points_m.astype(np.float64)
    first = int(np.argmax(np.linalg.norm(points - points.mean(axis=0), axis=1)))
    second = int(np.argmax(np.linalg.norm(points - points[first], axis=1)))
    along = points[second] - points[first]
    third = int(np.argmax(np.linalg.norm(np.cross(points - points[first], along), axis=1)))
    across = np.cross(along, points[third] - points[first])
    chosen = [first, second, third, int(np.argmax(np.abs((points - points[first]) @ across)))]
    while len(chosen) < count:
        hull = _quickhull(points[chosen])  # adding a point to a finished hull fails where points share a plane
        outside = (points @ hull.equations[:, :3].T + hull.equations[:, 3]).max(axis=1)
        best = int(np.argmax(outside))
        if outside[best] <= 1e-9:
            break
        chosen.append(best)
    return np.array(chosen, np.int64)


def outside_distance_m(hull: Mesh, points_m: Float[np.ndarray, "points 3"]) -> Float64[np.ndarray, "points"]:
    """Distance to the outermost face plane of a convex mesh: negative inside, a lower bound outside."""
    cross = face_cross_products(hull)
    length = np.linalg.norm(cross, axis=1, keepdims=True)
    corners = hull.positions_m[hull.faces].astype(np.float64)
    longest = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
    sound = (length[:, 0] > NEEDLE * longest * hull.diagonal_m) | (length[:, 0] == length.max())
    normals = cross[sound] / length[sound]
    offsets = np.einsum("ij,ij->i", normals, hull.positions_m.astype(np.float64)[hull.faces[sound, 0]])
    result = np.empty(len(points_m))
    block = max(1, BLOCK_NUMBERS // len(normals))
    for start in range(0, len(points_m), block):
        part = points_m[start : start + block].astype(np.float64)
        result[start : start + block] = (part @ normals.T - offsets).max(axis=1)
    return result


def is_convex(mesh: Mesh, tolerance_m: float) -> bool:
    """True where no vertex lies farther than ``tolerance_m`` outside any face."""
    return bool(outside_distance_m(mesh, mesh.positions_m).max() <= tolerance_m)


def _quickhull(points: Float64[np.ndarray, "points 3"]) -> "ConvexHull":
    """Qhull's answer; where points that nearly share a plane defeat it, that of points moved by rounding errors."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return ConvexHull(points)
    except QhullError as error:
        if WIDE_FACET not in str(error):
            raise
        return ConvexHull(points, qhull_options="QJ")


def _thickened(points: Float64[np.ndarray, "points 3"], thickness_m: float) -> Float64[np.ndarray, "more 3"]:
    centered = points - points.mean(axis=0)
    axes = np.linalg.eigh(centered.T @ centered)[1].T
    thin: Bool[np.ndarray, "3"] = np.ptp(centered @ axes.T, axis=0) < thickness_m
    for axis in axes[thin]:
        points = np.concatenate([points - axis * thickness_m / 2, points + axis * thickness_m / 2])
    return points
