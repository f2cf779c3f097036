"""Convex hulls as meshes: closed, wound outward, with as many vertices as allowed."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from bridge_server.values.mesh import Mesh, face_cross_products, vertex_normals

if TYPE_CHECKING:
    from scipy.spatial import ConvexHull

GROWTH_STEPS = 4
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

    A hull of fewer vertices lies inside; it is grown along its normals until no vertex of the whole one is farther
    than ``slack_m`` outside, but never out of the bounding box, so what stood on the floor still does. The last one
    is the hull itself where a count allows it.
    """
    order: Int64[np.ndarray, "chosen"] | None = None
    for count in counts:
        if len(hull.positions_m) <= count:
            yield hull
            return
        if order is None:
            order = farthest_first(hull.positions_m, min(max(counts), len(hull.positions_m)))
        yield _grown(convex_hull(hull.positions_m[order[:count]]), hull, slack_m)


def _grown(result: Mesh, hull: Mesh, slack_m: float) -> Mesh:
    low, high = hull.bounds_m
    for _ in range(GROWTH_STEPS):
        lacking_m = float(outside_distance_m(result, hull.positions_m).max()) - slack_m
        if lacking_m <= 0.0:
            break
        grown = result.positions_m + vertex_normals(result) * np.float32(lacking_m)
        result = convex_hull(np.clip(grown, low, high))
    return result


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
    sound = length[:, 0] > 1e-12 * length.max()
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
