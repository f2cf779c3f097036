"""A closed skin around any heap of triangles, in the manner of a shrink wrap.

The skin begins as the surface at a small distance around the triangles, seen from outside: a grid holds exact distances
near them, what can be reached from the grid's border without coming nearer than that distance is outside, and marching
cubes finds the border between. So the skin is closed whatever the triangles are: open, doubled, turned, crossing. Then
its vertices go back to the triangles they lie over; where they bridge a hole they go inward as far.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64

from bridge_server.backends.raycaster.base import Raycaster, RayScene
from bridge_server.errors import StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.values.mesh import Mesh, vertex_normals
from bridge_server.values.mesh_topology import edge_table, face_areas, tidied

MARGIN_CELLS = 3
"""Between the skin and the border of the grid."""
SAMPLES_PER_CELL = 6
BAND_CELLS = 2.0
"""Beyond the skin's distance up to which distances are exact."""
BLOCK = 1 << 16
LEAST_AGREEMENT = 0.6
"""Cosine between the way inward and the way to the nearest triangle, below which a vertex bridges a hole."""
KEPT_CELLS = 0.02
"""How far from the triangles the skin stays: both sides of a thin sheet do not fall into one."""
SMOOTHING_ROUNDS = 3


def wrapped(raycaster: Raycaster, mesh: Mesh, resolution: int, gap_cells: float, run: Run) -> Mesh:
    """The skin. Raises ``StageFailed`` where the triangles have no extent."""
    low, high = (corner.astype(np.float64) for corner in mesh.bounds_m)
    cell_m = float((high - low).max()) / resolution
    if cell_m <= 0.0:
        raise StageFailed("the mesh has no extent.", subject="remesh", remedy="Bring a mesh with a surface.")
    scene = raycaster.scene(mesh.positions_m, mesh.faces)
    border = MARGIN_CELLS + gap_cells
    start = low - border * cell_m
    shape = tuple(int(n) for n in np.ceil((high - low) / cell_m + 2.0 * border) + 1)
    distances = grid_distances(mesh, scene, (start, cell_m, shape), gap_cells + BAND_CELLS, PartialRun(run, 0.0, 0.6))
    run.checkpoint(0.6, "finding the outside")
    volume = np.where(reached_from_border(distances > gap_cells), np.minimum(gap_cells - distances, -1e-4), 0.0)
    volume = np.where(volume < 0.0, volume, np.maximum(gap_cells - distances, 1e-4)).astype(np.float32)
    skin = marched(volume, start, cell_m)
    run.checkpoint(0.8, "shrinking the skin")
    return shrunk(skin, (mesh, scene), cell_m, gap_cells, PartialRun(run, 0.8, 1.0))


def grid_distances(
    mesh: Mesh, scene: RayScene, grid: tuple[np.ndarray, float, tuple[int, ...]], reach_cells: float, run: Run
) -> Float32[np.ndarray, "x y z"]:
    """Distance of each grid point to the triangles in cells, exact up to ``reach_cells``."""
    from scipy import ndimage

    start, cell_m, shape = grid
    near = np.zeros(shape, bool)
    near[tuple(np.rint((covering_points(mesh, cell_m) - start) / cell_m).astype(np.int64).T)] = True
    distances = ndimage.distance_transform_edt(~near).astype(np.float32)
    close = np.argwhere(distances < reach_cells + 1.5)
    for first in range(0, len(close), BLOCK):
        run.checkpoint(first / len(close), "measuring distances")
        block = close[first : first + BLOCK]
        points = (start + block * cell_m).astype(np.float32)
        distances[tuple(block.T)] = scene.nearest(points).distances_m / cell_m
    return distances


def covering_points(mesh: Mesh, cell_m: float) -> Float64[np.ndarray, "points 3"]:
    """Vertices and places on the faces, so many that hardly a cell on the surface has none."""
    random = np.random.default_rng(7)
    areas = face_areas(mesh)
    counts = np.ceil(areas / (cell_m * cell_m) * SAMPLES_PER_CELL).astype(np.int64)
    face = np.repeat(np.arange(len(areas)), counts)
    corners = mesh.positions_m.astype(np.float64)[mesh.faces[face]]
    inside = np.einsum("nk,nkd->nd", random.dirichlet((1.0, 1.0, 1.0), len(face)), corners)
    return np.concatenate([mesh.positions_m[np.unique(mesh.faces)].astype(np.float64), inside])


def reached_from_border(passable: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "x y z"]:
    """What can be walked to from the corner of the grid, which is free."""
    from scipy import ndimage

    parts, _ = ndimage.label(passable)
    return np.asarray(parts == parts[0, 0, 0])


def marched(volume: Float32[np.ndarray, "x y z"], start: np.ndarray, cell_m: float) -> Mesh:
    """The surface where the volume changes its sign, wound outward; positive is inside."""
    from skimage.measure import marching_cubes

    places, faces, _, _ = marching_cubes(volume, 0.0, allow_degenerate=False)
    positions = (start + places.astype(np.float64) * cell_m).astype(np.float32)
    return tidied(Mesh(positions_m=positions, faces=np.ascontiguousarray(faces[:, ::-1], np.int32)))


def shrunk(skin: Mesh, onto: tuple[Mesh, RayScene], cell_m: float, gap_cells: float, run: Run) -> Mesh:
    """Vertices go to the triangles below them, or inward by the gap where there are none."""
    places = skin.positions_m.astype(np.float64)
    inward = -vertex_normals(skin).astype(np.float64)
    step = toward_surface(*onto, skin.positions_m, run)
    length = np.linalg.norm(step, axis=1)
    agreement = np.einsum("ij,ij->i", step, inward) / np.maximum(length, 1e-300)
    lands = (agreement > LEAST_AGREEMENT) & (length < 2.0 * gap_cells * cell_m)
    kept = np.minimum(KEPT_CELLS * cell_m / np.maximum(length, 1e-300), 1.0)
    moves = np.where(lands[:, None], step * (1.0 - kept)[:, None], inward * gap_cells * cell_m)
    neighbours = edge_table(skin.faces).edges
    for _ in range(SMOOTHING_ROUNDS):
        mean = mean_of_neighbours(moves, neighbours)
        moves = np.where(lands[:, None], moves, mean)
    return Mesh(positions_m=(places + moves).astype(np.float32), faces=skin.faces)


def toward_surface(
    onto: Mesh, scene: RayScene, points: Float32[np.ndarray, "points 3"], run: Run
) -> Float64[np.ndarray, "points 3"]:
    """From each point to the nearest place on the triangles."""
    parts = []
    for first in range(0, len(points), BLOCK):
        run.checkpoint(first / len(points), "shrinking the skin")
        block = points[first : first + BLOCK]
        found = scene.nearest(block)
        corners = onto.positions_m.astype(np.float64)[onto.faces[found.faces]]
        parts.append(np.einsum("nk,nkd->nd", found.barycentrics.astype(np.float64), corners) - block)
    return np.concatenate(parts)


def mean_of_neighbours(
    values: Float64[np.ndarray, "vertices 3"], edges: np.ndarray
) -> Float64[np.ndarray, "vertices 3"]:
    """Mean over the neighbours of each vertex."""
    ends = np.concatenate([edges, edges[:, ::-1]])
    count = len(values)
    degree = np.maximum(np.bincount(ends[:, 0], minlength=count), 1)
    sums = [np.bincount(ends[:, 0], values[ends[:, 1], k], count) for k in range(3)]
    return np.stack(sums, axis=1) / degree[:, None]
