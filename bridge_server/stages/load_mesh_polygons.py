"""Polygons of a mesh file as triangles, hollow outlines included.

A fan from the first corner serves a convex polygon. Elsewhere it would lay triangles outside the polygon, turned over;
such a polygon loses one ear after the other (Meisters 1975), seen along its normal (Newell).
"""

import numpy as np
from jaxtyping import Float64, Int64

FLAT = 1e-9
"""A triangle below this share of its polygon's area has none."""
MOST_CORNERS = 4096
"""Polygons of more corners keep their fan: cutting ears takes time by the square of their number."""
HALVES, OTHER_HALVES = ((0, 1, 2), (0, 2, 3)), ((1, 2, 3), (1, 3, 0))
"""Corners of a quad's triangles by either diagonal."""


def polygon_triangles(
    positions: Float64[np.ndarray, "vertices 3"],
    corner_vertices: Int64[np.ndarray, "corners"],
    lengths: Int64[np.ndarray, "polygons"],
) -> Int64[np.ndarray, "triangles 3"]:
    """Rows of ``corner_vertices``, three a triangle, those of a polygon of n corners n - 2.

    Polygons lie one after another, each as many corners long as ``lengths`` says; those under three give nothing.
    Every vertex must be there. Those that are not finite, and polygons that cross themselves, get some triangles.
    """
    triangles = np.maximum(lengths - 2, 0)
    polygon = np.repeat(np.arange(len(lengths)), triangles)
    begins = np.cumsum(lengths) - lengths
    places = np.cumsum(triangles) - triangles
    first = begins[polygon]
    ahead = np.arange(len(polygon)) - places[polygon]
    fans = np.stack([first, first + ahead + 1, first + ahead + 2], axis=1)
    bad, normals = _misfits(positions[corner_vertices[fans]], polygon, lengths)
    bad, normals = bad[lengths[bad] <= MOST_CORNERS], normals[lengths[bad] <= MOST_CORNERS]
    four = lengths[bad] == 4
    _turn_diagonals(fans, positions[corner_vertices], begins[bad[four]], places[bad[four]], normals[four])
    for number, normal in zip(bad[~four].tolist(), normals[~four], strict=True):
        begin, count = int(begins[number]), int(lengths[number])
        outline = _flattened(positions[corner_vertices[begin : begin + count]], normal)
        fans[places[number] : places[number] + count - 2] = begin + _without_ears(outline)
    return fans


def _misfits(
    corners: Float64[np.ndarray, "triangles 3 3"], polygon: Int64[np.ndarray, "triangles"], lengths: np.ndarray
) -> tuple[Int64[np.ndarray, "bad"], Float64[np.ndarray, "bad 3"]]:
    """Polygons whose fan has a turned or flat triangle, and their normals, twice the area long."""
    several = lengths[polygon] > 3
    corners, polygon = corners[several], polygon[several]
    with np.errstate(invalid="ignore", over="ignore"):
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        whole = np.stack([np.bincount(polygon, normals[:, axis], len(lengths)) for axis in range(3)], axis=1)
        squared = np.einsum("ij,ij->i", whole, whole)
        along = np.einsum("ij,ij->i", normals, whole[polygon])
        bad = np.unique(polygon[along <= FLAT * squared[polygon]])
    bad = bad[(squared[bad] > 0.0) & np.isfinite(squared[bad])]
    return bad, whole[bad]


def _turn_diagonals(
    fans: Int64[np.ndarray, "triangles 3"],
    points: Float64[np.ndarray, "corners 3"],
    begins: Int64[np.ndarray, "quads"],
    places: Int64[np.ndarray, "quads"],
    normals: Float64[np.ndarray, "quads 3"],
) -> None:
    """Give quads their other diagonal, in place, where the smaller of its triangles is larger."""

    def smaller(halves: np.ndarray) -> np.ndarray:
        corners = points[halves]
        areas = np.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])
        return np.asarray(np.einsum("qti,qi->qt", areas, normals).min(axis=1))

    one, other = (begins[:, None, None] + np.array(halves) for halves in (HALVES, OTHER_HALVES))
    better = smaller(other) > smaller(one)
    fans[places[better, None] + (0, 1)] = other[better]


def _flattened(
    points: Float64[np.ndarray, "corners 3"], normal: Float64[np.ndarray, "3"]
) -> Float64[np.ndarray, "corners 2"]:
    """Seen against the normal, so that the polygon goes around to the left."""
    axis = int(np.abs(normal).argmax())
    flat = np.delete(points - points.mean(axis=0), axis, axis=1)
    return flat * (1.0, np.sign(normal[axis]) * (-1.0 if axis == 1 else 1.0))


def _without_ears(outline: Float64[np.ndarray, "corners 2"]) -> Int64[np.ndarray, "triangles 3"]:
    """Corners of the triangles that are cut off, one after the other.

    Where no corner is an ear, as in an outline that crosses itself, what is left becomes a fan.
    """
    left, ring = np.arange(len(outline)), outline
    least = FLAT * abs(float(_cross(outline, np.roll(outline, -1, axis=0)).sum()))
    found: list[tuple[int, int, int]] = []
    tip = 0
    while len(left) > 3:
        around = np.roll(np.arange(len(left)), -tip).tolist()
        tip = next((corner for corner in around if _is_ear(ring, corner, least)), -1)
        if tip < 0:
            break
        found.append((int(left[tip - 1]), int(left[tip]), int(left[(tip + 1) % len(left)])))
        left, ring = np.delete(left, tip), np.delete(ring, tip, axis=0)
    fan = [(int(left[0]), int(left[ahead]), int(left[ahead + 1])) for ahead in range(1, len(left) - 1)]
    return np.array([*found, *fan], np.int64)


def _is_ear(ring: Float64[np.ndarray, "corners 2"], tip: int, least: float) -> bool:
    """Whether the triangle at this corner has an area, and no other corner lies in it.

    Corners in the place of one of its own do not count: an outline may touch itself, as around a hole.
    """
    before, here, after = ring[tip - 1], ring[tip], ring[(tip + 1) % len(ring)]
    if _cross(here - before, after - here) <= least:
        return False
    inside = (
        (_cross(here - before, ring - before) >= 0.0)
        & (_cross(after - here, ring - here) >= 0.0)
        & (_cross(before - after, ring - after) >= 0.0)
    )
    shared = (ring[inside, None] == np.stack([before, here, after])).all(axis=2).any(axis=1)
    return bool(shared.all())


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0])
