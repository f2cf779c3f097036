"""Filling holes with well-shaped triangles.

A patch (``repair_patches``) is bent so that it continues the surface around it (discrete thin plate; compare Liepa
2003, "Filling holes in meshes").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from bridge_server.run import Run
from bridge_server.stages.repair_patches import Patch, patch_of, without_doubled_edges
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import EdgeTable, boundary_loops, edge_table, face_areas, face_components

BULGE_SHARE = 0.005
"""A bent patch that leaves the bounding box by more than this share of the diagonal is left flat: it would grow a dome
on the end of a tube."""
BLISTER = 1.8
"""So is one that bending makes this many times as large: the rim leads inward, and the patch would be a blister."""
WHOLE_SHARE = 0.7
"""A patch with more than this share of the area of the piece that it closes would double the piece."""


@dataclass(frozen=True, slots=True)
class FilledHoles:
    """Outcome of ``fill_holes``."""

    mesh: Mesh
    filled: int
    left: int
    """Holes that are too large."""
    meant: int = 0
    """Holes that were left because they are meant."""


IsMeant: TypeAlias = Callable[[Float64[np.ndarray, "n 3"]], bool]


def nothing_meant(rim: Float64[np.ndarray, "n 3"]) -> bool:
    """Every hole is to be closed."""
    del rim
    return False


def fill_holes(
    mesh: Mesh, max_edges: int, max_share: float, run: Run, is_meant: IsMeant = nothing_meant
) -> FilledHoles:
    """Close all holes of at most ``max_edges`` edges that span at most ``max_share`` of the mesh's diagonal.

    Those that ``is_meant`` says yes to, when it is given their rim, stay open.
    """
    positions = mesh.positions_m.astype(np.float64)
    low, high = mesh.bounds_m
    limit_m, bulge_m = max_share * mesh.diagonal_m, BULGE_SHARE * mesh.diagonal_m
    loops = boundary_loops(mesh.faces)
    if not loops:
        return FilledHoles(mesh, 0, 0)
    table = edge_table(mesh.faces)
    pieces, areas = _pieces_of_vertices(mesh, table)
    taken = set((table.edges[:, 0] << 32 | table.edges[:, 1]).tolist())
    faces, added, count, filled, left, meant = [mesh.faces], [positions], len(positions), 0, 0, 0
    for done, loop in enumerate(loops):
        run.checkpoint(done / len(loops), f"filling hole {done + 1} of {len(loops)}")
        rim = positions[loop]
        if len(loop) > max_edges or 2.0 * np.linalg.norm(rim - rim.mean(axis=0), axis=1).max() > limit_m:
            left += 1
            continue
        if is_meant(rim):
            meant += 1
            continue
        backward = loop[::-1]
        patch = without_doubled_edges(
            patch_of(positions[backward], backward, taken), positions[backward], backward, taken
        )
        numbers = np.concatenate([backward, np.arange(count, count + len(patch.added))])
        closed = numbers[patch.faces]
        if patch.area_m2(positions[backward]) > WHOLE_SHARE * areas[pieces[loop[0]]]:
            left += 1
            continue
        bent = bent_patch(mesh, positions, backward, patch)
        inside = bool(((bent >= low - bulge_m) & (bent <= high + bulge_m)).all())
        grown = Patch(bent, patch.faces).area_m2(rim[::-1]) / max(patch.area_m2(rim[::-1]), 1e-300)
        added.append(bent if inside and grown < BLISTER else patch.added)
        faces.append(closed.astype(np.int32))
        count += len(patch.added)
        filled += 1
        ends = np.sort(closed[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        taken.update((ends[:, 0] << 32 | ends[:, 1]).tolist())
    if not filled:
        return FilledHoles(mesh, 0, left, meant)
    whole = Mesh(positions_m=np.concatenate(added).astype(np.float32), faces=np.concatenate(faces))
    return FilledHoles(whole, filled, left, meant)


def _pieces_of_vertices(
    mesh: Mesh, table: EdgeTable
) -> tuple[Int64[np.ndarray, "vertices"], Float64[np.ndarray, "pieces"]]:
    """Piece of each vertex, and area of each piece."""
    pieces = face_components(mesh.faces, table)
    found = np.zeros(len(mesh.positions_m), np.int64)
    found[mesh.faces] = pieces[:, None]
    return found, np.bincount(pieces, face_areas(mesh))


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
