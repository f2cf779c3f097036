"""Triangles for a hole.

A hole that looks round from its middle gets rings of fewer and fewer vertices, so that a big one is no fan of slivers.
Any other gets a grid of triangles as wide as its edges (Delaunay 1934), and one that has no flat view is closed by
cutting off its best-shaped corner again and again.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

RING_STEP = 0.9
"""Distance from ring to ring, in edge lengths of the outer one."""
LAST_RING = 6
"""A ring of so many vertices or fewer is closed by a fan."""
MOST_GRID_POINTS = 20_000
"""A hole that would take more points than this in its box is closed from corner to corner."""


@dataclass(frozen=True, slots=True)
class Patch:
    """New faces of one hole; indices up to the loop's length mean its vertices, the rest the new ones."""

    added: Float64[np.ndarray, "added 3"]
    faces: Int64[np.ndarray, "faces 3"]

    def area_m2(self, rim: Float64[np.ndarray, "n 3"]) -> float:
        """Area over the loop with these corners."""
        corners = np.concatenate([rim, self.added])[self.faces]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        return float(np.linalg.norm(cross, axis=1).sum() / 2.0)


def patch_of(rim: Float64[np.ndarray, "n 3"], loop: Int64[np.ndarray, "n"], taken: set[int]) -> Patch:
    """Close a loop, given in the direction that the patch winds; ``taken`` are the edges that are there already."""
    count = len(rim)
    if count == 3:
        return Patch(np.zeros((0, 3)), np.array([[0, 1, 2]]))
    flat = flattened(rim)
    ahead = np.roll(flat, -1, axis=0)
    turn = flat[:, 0] * ahead[:, 1] - flat[:, 1] * ahead[:, 0]
    if count > LAST_RING and (turn > 1e-6 * np.abs(turn).max()).all():
        return ring_patch(rim)
    if count > LAST_RING and (fine := grid_patch(rim, flat)) is not None:
        return fine
    return Patch(np.zeros((0, 3)), cut_corners(rim, flat, loop, taken))


def without_doubled_edges(
    patch: Patch, rim: Float64[np.ndarray, "n 3"], loop: Int64[np.ndarray, "n"], taken: set[int]
) -> Patch:
    """The patch, with a point in the middle of each inner edge that runs where the mesh has one already."""
    count = len(loop)
    owners: dict[tuple[int, int], list[int]] = {}
    faces: list[list[int]] = patch.faces.tolist()
    for number, face in enumerate(faces):
        for k in range(3):
            a, b = sorted((face[k], face[(k + 1) % 3]))
            if b < count and b - a not in (1, count - 1):
                owners.setdefault((a, b), []).append(number)
    added: list[Float64[np.ndarray, "3"]] = []
    for a, b in owners:
        if int(min(loop[a], loop[b])) << 32 | int(max(loop[a], loop[b])) not in taken:
            continue
        middle = count + len(patch.added) + len(added)
        added.append((rim[a] + rim[b]) / 2.0)
        for number in [n for n, face in enumerate(faces) if a in face and b in face]:
            face = faces[number]
            k = next(k for k in range(3) if {face[k], face[(k + 1) % 3]} == {a, b})
            start, end, apex = face[k], face[(k + 1) % 3], face[(k + 2) % 3]
            faces[number] = [start, middle, apex]
            faces.append([middle, end, apex])
    if not added:
        return patch
    return Patch(np.concatenate([patch.added, np.stack(added)]), np.array(faces, np.int64))


def flattened(rim: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 2"]:
    """The loop seen along its area vector (Newell), from its middle; it runs counter-clockwise."""
    offset = rim - rim.mean(axis=0)
    normal = np.cross(offset, np.roll(offset, -1, axis=0)).sum(axis=0)
    size = float(np.linalg.norm(normal))
    normal = normal / size if size > 0.0 else np.array([0.0, 0.0, 1.0])
    right = np.cross(normal, np.eye(3)[np.argmin(np.abs(normal))])
    right /= np.linalg.norm(right)
    return np.stack([offset @ right, offset @ np.cross(normal, right)], axis=1)


def ring_patch(rim: Float64[np.ndarray, "n 3"]) -> Patch:
    """Rings towards the middle, each with half the vertices of the one around it, and a fan at the end."""
    middle = rim.mean(axis=0)
    ring, places = np.arange(len(rim)), rim
    added: list[np.ndarray] = []
    faces: list[tuple[int, int, int]] = []
    count = len(rim)
    while len(ring) > LAST_RING:
        shrink = max(1.0 - RING_STEP * 2.0 * np.pi / len(ring), 0.3)
        inner = np.arange(count, count + (len(ring) + 1) // 2)
        places = middle + (places[::2] - middle) * shrink
        added.append(places)
        count += len(inner)
        for j in range(len(inner)):
            here, beyond = inner[j], inner[(j + 1) % len(inner)]
            if 2 * j + 1 < len(ring):
                odd, even = ring[2 * j + 1], ring[(2 * j + 2) % len(ring)]
                faces += [(ring[2 * j], odd, here), (odd, beyond, here), (odd, even, beyond)]
            else:
                faces += [(ring[2 * j], ring[0], here), (ring[0], beyond, here)]
        ring = inner
    faces += [(ring[j], ring[(j + 1) % len(ring)], count) for j in range(len(ring))]
    added.append(places.mean(axis=0, keepdims=True))
    return Patch(np.concatenate(added), np.array(faces, np.int64))


def grid_patch(rim: Float64[np.ndarray, "n 3"], flat: Float64[np.ndarray, "n 2"]) -> Patch | None:
    """Delaunay triangles over the rim and a hexagonal grid inside it, as wide as the rim's edges are on the average.

    None where the loop crosses itself in the flat view, or where the triangles do not keep to it.
    """
    from scipy.spatial import Delaunay, QhullError

    ahead = np.roll(flat, -1, axis=0)
    step = float(np.linalg.norm(ahead - flat, axis=1).mean())
    low, high = flat.min(axis=0), flat.max(axis=0)
    if not step > 0.0 or np.prod((high - low) / step + 1.0) > MOST_GRID_POINTS:
        return None
    rows = np.arange(low[1], high[1], step * np.sqrt(0.75))
    columns = np.arange(low[0] - step, high[0] + step, step)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1)
    grid[1::2, :, 0] += 0.5 * step
    points = grid.reshape(-1, 2)
    points = points[within(flat, points) & (_distance_to_loop(flat, points) > 0.6 * step)]
    everything = np.concatenate([flat, points])
    try:
        faces = Delaunay(everything).simplices.astype(np.int64)
    except (QhullError, ValueError):
        return None
    faces = faces[within(flat, everything[faces].mean(axis=1))]
    a, b, c = (everything[faces[:, k]] for k in range(3))
    turn = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    faces = np.where((turn < 0.0)[:, None], faces[:, ::-1], faces)
    ends = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    codes = set((ends[:, 0] << 32 | ends[:, 1]).tolist())
    lone = {code for code in codes if (code & 0xFFFFFFFF) << 32 | code >> 32 not in codes}
    count = np.arange(len(rim))
    wanted = set((count << 32 | np.roll(count, -1)).tolist())
    if len(codes) != len(ends) or lone != wanted or len(np.unique(faces)) != len(everything):
        return None
    return Patch(_lifted(rim, flat, points), faces)


def _lifted(
    rim: Float64[np.ndarray, "n 3"], flat: Float64[np.ndarray, "n 2"], points: Float64[np.ndarray, "added 2"]
) -> Float64[np.ndarray, "added 3"]:
    """Places in space of points of the flat view: means of the rim, each corner as much as it is near, and shifted."""
    distance = np.linalg.norm(points[:, None] - flat[None], axis=2)
    weights = 1.0 / np.maximum(distance, 1e-300) ** 3
    weights /= weights.sum(axis=1, keepdims=True)
    axes, *_ = np.linalg.lstsq(flat, rim - rim.mean(axis=0), rcond=None)
    return np.asarray(weights @ rim + (points - weights @ flat) @ axes)


def within(loop: Float64[np.ndarray, "n 2"], points: Float64[np.ndarray, "points 2"]) -> Bool[np.ndarray, "points"]:
    """Which points lie inside a loop, by how often a ray to the right crosses it."""
    found = np.zeros(len(points), bool)
    for start, end in zip(loop, np.roll(loop, -1, axis=0), strict=True):
        spans = (start[1] > points[:, 1]) != (end[1] > points[:, 1])
        if start[1] != end[1]:
            across = start[0] + (points[:, 1] - start[1]) / (end[1] - start[1]) * (end[0] - start[0])
            found ^= spans & (points[:, 0] < across)
    return found


def _distance_to_loop(
    loop: Float64[np.ndarray, "n 2"], points: Float64[np.ndarray, "points 2"]
) -> Float64[np.ndarray, "points"]:
    nearest = np.full(len(points), np.inf)
    for start, end in zip(loop, np.roll(loop, -1, axis=0), strict=True):
        way = end - start
        along = np.clip((points - start) @ way / max(float(way @ way), 1e-300), 0.0, 1.0)
        nearest = np.minimum(nearest, np.linalg.norm(points - start - along[:, None] * way, axis=1))
    return nearest


def cut_corners(
    rim: Float64[np.ndarray, "n 3"], flat: Float64[np.ndarray, "n 2"], loop: Int64[np.ndarray, "n"], taken: set[int]
) -> Int64[np.ndarray, "faces 3"]:
    """Ear clipping that takes the ear with the widest smallest angle first; the flat view decides what is an ear.

    A cut along an edge that the mesh has already would crowd it, so such ears come last.
    """
    left = list(range(len(rim)))
    faces: list[tuple[int, int, int]] = []

    def worth(place: int) -> float:
        a, b, c = left[place - 1], left[place], left[(place + 1) % len(left)]
        score = least_angle(rim[[a, b, c]])
        if len(left) > 3 and int(min(loop[a], loop[c])) << 32 | int(max(loop[a], loop[c])) in taken:
            return score - 20.0
        ab, ac = flat[b] - flat[a], flat[c] - flat[a]
        if ab[0] * ac[1] - ab[1] * ac[0] <= 0.0:
            return score - 10.0
        others = flat[[i for i in left if i not in (a, b, c)]]
        return score - 5.0 if len(others) and covers(flat[[a, b, c]], others) else score

    scores = [worth(place) for place in range(len(left))]
    while len(left) > 3:
        place = int(np.argmax(scores))
        faces.append((left[place - 1], left[place], left[(place + 1) % len(left)]))
        del left[place], scores[place]
        for near in ((place - 1) % len(left), place % len(left)):
            scores[near] = worth(near)
    faces.append((left[0], left[1], left[2]))
    return np.array(faces, np.int64)


def least_angle(corners: Float64[np.ndarray, "3 3"]) -> float:
    """Smallest angle of a triangle, in radians."""
    ahead = np.roll(corners, -1, axis=0) - corners
    behind = np.roll(corners, 1, axis=0) - corners
    height = np.linalg.norm(np.cross(ahead, behind), axis=1)
    return float(np.arctan2(height, np.einsum("ij,ij->i", ahead, behind)).min())


def covers(triangle: Float64[np.ndarray, "3 2"], points: Float64[np.ndarray, "n 2"]) -> bool:
    """Whether any point lies in the counter-clockwise triangle or on its edge."""
    side = np.roll(triangle, -1, axis=0) - triangle
    offset = points[:, None] - triangle[None]
    return bool((side[:, 0] * offset[..., 1] - side[:, 1] * offset[..., 0] >= 0.0).all(axis=1).any())
