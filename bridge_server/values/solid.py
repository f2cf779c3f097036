"""The solid that a mesh bounds, and one that is wrapped around a surface which bounds none.

Solids are those of manifold3d: closed, oriented, and cut, united and measured exactly.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, Float64

from bridge_server.values.mesh import Mesh

if TYPE_CHECKING:
    from manifold3d import Manifold

SIMPLIFY_STEPS = (0.0005, 0.001, 0.002, 0.004, 0.008)
"""Distances that simplification may move the surface by, as shares of the diagonal."""
AGGRESSION = 3.0
"""How fast the error threshold of edge collapse rises."""
STUCK = 1.5
"""Times the wanted count of triangles at which edge collapse has failed."""
MORE_TRIANGLES = (1.0, 1.5, 2.0)
VOLUME_ERROR = 0.03
"""Volume that may be lost for few triangles, as a share of the solid's."""
WRAP_CELLS = 48
"""Along the longest side of the grid in which an open mesh is wrapped."""
CLOSED_CELLS = 4
"""Holes narrower than twice this are closed."""
EXACT_CELLS = 2.5
SAMPLES = 100_000


def bounded_solid(mesh: Mesh) -> "Manifold | None":
    """All shells united, and cavities that nobody can get into filled. None where the mesh is open or inside out."""
    from manifold3d import Error, Manifold
    from manifold3d import Mesh as Arrays

    solid = Manifold(Arrays(np.array(mesh.positions_m, np.float32), np.array(mesh.faces, np.uint32)))
    if solid.status() != Error.NoError or solid.volume() <= 0.0:
        return None
    solid = cavities_filled(solid)
    return solid if solid.num_tri() >= 4 and solid.volume() > 0.0 else None


def cavities_filled(solid: "Manifold") -> "Manifold":
    """All shells united without those that are wound inward, around an inside that is closed off."""
    from manifold3d import Manifold, OpType

    shells = [shell for shell in solid.decompose() if shell.volume() > 0.0]
    return Manifold.batch_boolean(shells, OpType.Add) if len(shells) > 1 else shells[0]


def mesh_of(solid: "Manifold") -> Mesh:
    """Its triangles."""
    arrays = solid.to_mesh()
    return Mesh(
        positions_m=np.array(arrays.vert_properties[:, :3], np.float32), faces=np.array(arrays.tri_verts, np.int32)
    )


def simplified(solid: "Manifold", triangles: int, diagonal_m: float) -> "Manifold":
    """The solid with about as many triangles; with more where thin parts would lose too much of their volume.

    Edges are collapsed by quadric error, which keeps volume better than moving the surface within a distance: at 800
    triangles a blade lost 3 % of its volume in place of 18 %. Where that is stuck, on slivers say, the surface moves.
    """
    if solid.num_tri() <= triangles:
        return solid
    flat = _moved(solid, triangles, diagonal_m, SIMPLIFY_STEPS[:1])
    found = flat
    for more in MORE_TRIANGLES:
        count = int(more * triangles)
        found = _collapsed(flat, count, diagonal_m)
        if found.num_tri() > STUCK * count:
            found = _moved(found, count, diagonal_m, SIMPLIFY_STEPS)
        if abs(found.volume() - solid.volume()) <= VOLUME_ERROR * solid.volume():
            break
    return found


def _collapsed(solid: "Manifold", triangles: int, diagonal_m: float) -> "Manifold":
    """By edge collapse; the solid itself where the result bounds none."""
    from fast_simplification import simplify
    from manifold3d import Error, Manifold
    from manifold3d import Mesh as Arrays

    if solid.num_tri() <= triangles:
        return solid
    arrays = solid.to_mesh()
    center = np.array(solid.bounding_box()).reshape(2, 3).mean(axis=0)
    unit = ((np.array(arrays.vert_properties[:, :3]) - center) / diagonal_m).astype(np.float32)
    positions, faces = simplify(unit, np.array(arrays.tri_verts, np.int32), target_count=triangles, agg=AGGRESSION)
    placed = (positions.astype(np.float64) * diagonal_m + center).astype(np.float32)
    simpler = Manifold(Arrays(placed, faces.astype(np.uint32)))
    sound = simpler.status() == Error.NoError and simpler.num_tri() >= 4 and simpler.volume() > 0.0
    return simpler if sound else solid


def _moved(solid: "Manifold", triangles: int, diagonal_m: float, steps: tuple[float, ...]) -> "Manifold":
    """By moving the surface, at most as far as ``steps`` allow; flat faces stay exact."""
    for step in steps:
        if solid.num_tri() <= triangles:
            break
        simpler = solid.simplify(step * diagonal_m)
        if simpler.num_tri() < 4 or simpler.volume() <= 0.0:
            break
        solid = simpler
    return solid


def wrapped(mesh: Mesh) -> Mesh:
    """A closed surface one grid cell around an open or tangled one; what it encloses is filled, small holes closed."""
    from scipy.ndimage import distance_transform_edt, label
    from scipy.spatial import KDTree
    from skimage.measure import marching_cubes

    extent = np.ptp(mesh.positions_m, axis=0).astype(np.float64)
    cell_m = float(extent.max()) / WRAP_CELLS
    margin = CLOSED_CELLS + 2
    origin = mesh.positions_m.min(axis=0).astype(np.float64) - margin * cell_m
    shape = np.ceil(extent / cell_m).astype(int) + 2 * margin + 1
    points = (spread_points(mesh, SAMPLES) - origin) / cell_m
    touched = np.zeros(shape, np.bool_)
    touched[tuple(np.rint(points).astype(int).T)] = True
    # Exact near the surface that comes out, to a cell farther off.
    cells = np.minimum(distance_transform_edt(~touched), float(margin))
    near = np.argwhere(cells <= EXACT_CELLS)
    cells[tuple(near.T)] = KDTree(points).query(near.astype(np.float64))[0]
    # Outside is where a ball of CLOSED_CELLS rolls in from the border, and as far as that ball reaches.
    rooms, _ = label(cells > CLOSED_CELLS)
    outside = distance_transform_edt(rooms != rooms[0, 0, 0]) <= CLOSED_CELLS - 1
    vertices, triangles, _, _ = marching_cubes(np.where(outside, cells - 1.0, np.minimum(cells - 1.0, -0.5)), 0.0)
    positions: Float32[np.ndarray, "vertices 3"] = (vertices * cell_m + origin).astype(np.float32)
    return Mesh(positions_m=positions, faces=triangles.astype(np.int32))


def spread_points(mesh: Mesh, count: int) -> Float64[np.ndarray, "count 3"]:
    """Points all over the surface, by area, the same on every run."""
    rng = np.random.default_rng(0)
    corners = mesh.positions_m[mesh.faces].astype(np.float64)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    ends = np.cumsum(areas)
    at = np.searchsorted(ends, rng.random(count) * ends[-1])
    weights = rng.dirichlet((1.0, 1.0, 1.0), count)
    spread: Float64[np.ndarray, "count 3"] = np.einsum("pc,pcd->pd", weights, corners[np.minimum(at, len(areas) - 1)])
    return spread
