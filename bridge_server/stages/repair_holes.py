"""Filling holes with well-shaped triangles.

A hole that looks round from its middle is closed by rings of fewer and fewer vertices, so that a big one is no fan of
slivers, and then bent to continue the surface around it (discrete thin plate; compare Liepa 2003, "Filling holes in
meshes"). Any other hole is closed by cutting off its best-shaped corner again and again.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from bridge_server.run import Run
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import boundary_loops, edge_table

RING_STEP = 0.9
"""Distance from ring to ring, in edge lengths of the outer one."""
BULGE_SHARE = 0.005
"""A bent patch that leaves the bounding box by more than this share of the diagonal is left flat: it would grow a dome
on the end of a tube."""
MOUTH_SHARE = 0.1
"""A mouth spans at least this share of the diagonal,"""
FLAT_SHARE = 0.01
"""leaves its plane by no more than this share,"""
TOP_SHARE = 0.05
"""and lies in this share of the height."""
LAST_RING = 6
"""A ring of so many vertices or fewer is closed by a fan."""


@dataclass(frozen=True, slots=True)
class Patch:
    """New faces of one hole; indices up to the loop's length mean its vertices, the rest the new ones."""

    added: Float64[np.ndarray, "added 3"]
    faces: Int64[np.ndarray, "faces 3"]


@dataclass(frozen=True, slots=True)
class FilledHoles:
    """Outcome of ``fill_holes``."""

    mesh: Mesh
    filled: int
    left: int
    """Holes that are too large."""
    mouths: int = 0
    """Holes that were left because they look like the mouth of a vessel."""


def fill_holes(mesh: Mesh, max_edges: int, max_share: float, run: Run, *, keep_mouths: bool = False) -> FilledHoles:
    """Close all holes of at most ``max_edges`` edges that span at most ``max_share`` of the mesh's diagonal."""
    positions = mesh.positions_m.astype(np.float64)
    low, high = mesh.bounds_m
    limit_m, bulge_m = max_share * mesh.diagonal_m, BULGE_SHARE * mesh.diagonal_m
    loops = boundary_loops(mesh.faces)
    table = edge_table(mesh.faces)
    taken = set((table.edges[:, 0] << 32 | table.edges[:, 1]).tolist())
    faces, added, count, filled, left, mouths = [mesh.faces], [positions], len(positions), 0, 0, 0
    for done, loop in enumerate(loops):
        run.checkpoint(done / len(loops), f"filling hole {done + 1} of {len(loops)}")
        rim = positions[loop]
        if len(loop) > max_edges or 2.0 * np.linalg.norm(rim - rim.mean(axis=0), axis=1).max() > limit_m:
            left += 1
            continue
        if keep_mouths and is_mouth(rim, low, high):
            mouths += 1
            continue
        backward = loop[::-1]
        patch = patch_of(positions[backward], backward, taken)
        numbers = np.concatenate([backward, np.arange(count, count + len(patch.added))])
        closed = numbers[patch.faces]
        if doubles_an_edge(closed, backward, taken):
            left += 1
            continue
        bent = bent_patch(mesh, positions, backward, patch)
        inside = bool(((bent >= low - bulge_m) & (bent <= high + bulge_m)).all())
        added.append(bent if inside else patch.added)
        faces.append(closed.astype(np.int32))
        count += len(patch.added)
        filled += 1
        ends = np.sort(closed[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        taken.update((ends[:, 0] << 32 | ends[:, 1]).tolist())
    if not filled:
        return FilledHoles(mesh, 0, left, mouths)
    whole = Mesh(positions_m=np.concatenate(added).astype(np.float32), faces=np.concatenate(faces))
    return FilledHoles(whole, filled, left, mouths)


def is_mouth(rim: Float64[np.ndarray, "n 3"], low: Float32[np.ndarray, "3"], high: Float32[np.ndarray, "3"]) -> bool:
    """Whether a hole is wide, flat, at the very top and looks up, as vessels and bags have it and broken scans do not.

    ``rim`` runs in the direction of the faces beside it, so its area vector points into the hole's inner side.
    """
    span = float(np.linalg.norm(high.astype(np.float64) - low))
    offset = rim - rim.mean(axis=0)
    area = np.cross(offset, np.roll(offset, -1, axis=0)).sum(axis=0)
    size = float(np.linalg.norm(area))
    if size <= 0.0 or 2.0 * np.linalg.norm(offset, axis=1).max() < MOUTH_SHARE * span:
        return False
    flat = np.abs(offset @ (area / size)).max() < FLAT_SHARE * span
    at_top = rim[:, 1].min() > high[1] - TOP_SHARE * (high[1] - low[1])
    return bool(flat and at_top and abs(area[1]) > 0.9 * size)


def doubles_an_edge(faces: Int64[np.ndarray, "faces 3"], loop: Int64[np.ndarray, "n"], taken: set[int]) -> bool:
    """Whether the patch would run an inner edge where the mesh has one already."""
    ends = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    rim = np.sort(np.stack([loop, np.roll(loop, -1)], axis=1), axis=1)
    inner = set((ends[:, 0] << 32 | ends[:, 1]).tolist()) - set((rim[:, 0] << 32 | rim[:, 1]).tolist())
    return not inner.isdisjoint(taken)


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
    return Patch(np.zeros((0, 3)), cut_corners(rim, flat, loop, taken))


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


def bent_patch(
    mesh: Mesh, positions: Float64[np.ndarray, "v 3"], loop: Int64[np.ndarray, "n"], patch: Patch
) -> Float64[np.ndarray, "added 3"]:
    """Move the new vertices so that the patch continues the surface around it without a crease.

    Least integral of the squared Laplacian (cotangent weights) over the patch and its rim.
    """
    if not len(patch.added):
        return patch.added
    from scipy.sparse import coo_array, diags_array
    from scipy.sparse.linalg import spsolve

    around = np.isin(mesh.faces, loop).any(axis=1)
    outside = mesh.faces[around].astype(np.int64)
    local, inverse = np.unique(outside, return_inverse=True)
    rim = np.searchsorted(local, loop)
    fixed = len(local)
    numbers = np.concatenate([rim, np.arange(fixed, fixed + len(patch.added))])
    faces = np.concatenate([inverse.reshape(-1, 3), numbers[patch.faces]])
    places = np.concatenate([positions[local], patch.added])
    count = len(places)
    corners = places[faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2.0
    area = np.maximum(area, 1e-6 * area.max())
    owned = sum(np.bincount(faces[:, i], area / 3.0, count) for i in range(3))
    ahead, behind = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    cotangent = np.einsum("fci,fci->fc", ahead, behind) / (4.0 * area[:, None])
    start, end = faces[:, [1, 2, 0]].reshape(-1), faces[:, [2, 0, 1]].reshape(-1)
    graph = coo_array((cotangent.reshape(-1), (start, end)), shape=(count, count)).tocsr()
    graph = graph + graph.T
    total = diags_array(np.asarray(graph.sum(axis=1)).reshape(-1))
    umbrella = (diags_array(1.0 / np.sqrt(np.maximum(owned, 1e-300))) @ (total - graph)).tocsr()[numbers]
    known, unknown = umbrella[:, :fixed], umbrella[:, fixed:]
    solved = np.asarray(spsolve((unknown.T @ unknown).tocsc(), -(unknown.T @ (known @ places[:fixed])))).reshape(-1, 3)
    return solved if np.isfinite(solved).all() else patch.added
