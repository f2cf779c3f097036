"""CoACD (Wei et al., "Approximate convex decomposition for 3D meshes with collision-aware concavity", 2022).

The search costs time by the triangles it cuts and by its patience, and gains little by either: on the simplified
solid with a tenth of the default's tree search the pieces hold as well, in a fifth of the time.
"""

import importlib.util
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from bridge_server.backends.decomposer.base import DecompositionSettings
from bridge_server.backends.isolation import call_isolated
from bridge_server.backends.table import Availability
from bridge_server.errors import StageFailed
from bridge_server.run import Run
from bridge_server.values.convex import convex_hull, reduced_hull
from bridge_server.values.mesh import Mesh

SEARCH_TRIANGLES = 800
SIMPLIFY_STEPS = (0.0005, 0.001, 0.002, 0.004, 0.008)
"""Distances that simplification may move the surface by, as shares of the diagonal: below a piece's own slack."""
SAMPLES = 600
TREE_NODES = 10
TREE_ITERATIONS = 40
SLACK = 0.01
"""How far a reduced piece may fall short, as a share of the mesh's diagonal."""
WRAP_CELLS = 48
"""Along the longest side of the grid in which an open mesh is wrapped."""
CLOSED_CELLS = 4
"""Holes narrower than twice this are closed."""
WRAP_SAMPLES = 100_000


@dataclass(frozen=True, slots=True)
class CoacdDecomposer:
    """Runs in a child process: the library neither reports progress nor stops when asked."""

    @property
    def identity(self) -> str:
        """Changes with the library and with how we call it."""
        return f"coacd {version('coacd')} manifold {version('manifold3d')} 1"

    @classmethod
    def availability(cls) -> Availability:
        """Whether the package is installed."""
        if importlib.util.find_spec("coacd") is None:
            return Availability(available=False, detail="coacd is not installed.", remedy="pip install coacd")
        return Availability(available=True, detail=f"coacd {version('coacd')}")

    def decompose(self, mesh: Mesh, settings: DecompositionSettings, run: Run) -> tuple[Mesh, ...]:
        """Convex pieces, the largest first. Raises ``StageFailed`` on time-out, crash or an empty answer."""
        clouds = call_isolated(
            "bridge_server.backends.decomposer.coacd:search",
            mesh.positions_m,
            mesh.faces,
            settings,
            run=run,
            time_limit_s=settings.time_limit_s,
            note="convex decomposition",
        )
        pieces = []
        for cloud in clouds:
            try:
                hull = convex_hull(cloud)
            except ValueError:
                continue  # a sliver without volume holds nothing
            pieces.append(reduced_hull(hull, settings.max_vertices_per_piece, SLACK * mesh.diagonal_m))
        if not pieces:
            raise StageFailed("found no piece with a volume.", subject="coacd")
        return tuple(pieces)


def search(positions_m: np.ndarray, faces: np.ndarray, settings: DecompositionSettings) -> list[np.ndarray]:
    """Vertices of each piece; runs in the child process."""
    import coacd

    coacd.set_log_level("off")
    solid = _as_solid(positions_m, faces) or _as_solid(*_wrapped(positions_m, faces))
    if solid is None:
        raise StageFailed("the mesh bounds no solid.", subject="coacd")
    parts = coacd.run_coacd(
        coacd.Mesh(*solid),
        threshold=settings.concavity,
        max_convex_hull=settings.max_pieces,
        preprocess_mode="off",
        resolution=SAMPLES,
        mcts_nodes=TREE_NODES,
        mcts_iterations=TREE_ITERATIONS,
        seed=settings.seed,
    )
    clouds = [np.asarray(points, np.float32) for points, _ in parts]
    return sorted(clouds, key=lambda points: -float(np.prod(np.ptp(points, axis=0))))


def _as_solid(positions_m: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """All shells united and simplified, still closed and manifold; None where the mesh bounds no solid.

    CoACD's own way to a solid is a remesh on a grid, which costs time and loses thin walls.
    """
    from manifold3d import Error, Manifold, Mesh, OpType

    solid = Manifold(Mesh(positions_m.astype(np.float32), faces.astype(np.uint32)))
    if solid.status() != Error.NoError or solid.volume() <= 0.0:
        return None
    shells = solid.decompose()
    if len(shells) > 1:
        solid = Manifold.batch_boolean(shells, OpType.Add)
    diagonal_m = float(np.linalg.norm(np.ptp(positions_m, axis=0)))
    for step in SIMPLIFY_STEPS:
        if solid.num_tri() <= SEARCH_TRIANGLES:
            break
        solid = solid.simplify(step * diagonal_m)
    if solid.num_tri() < 4:
        return None
    mesh = solid.to_mesh()
    return np.array(mesh.vert_properties[:, :3], np.float64), np.array(mesh.tri_verts, np.int32)


def _wrapped(positions_m: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A closed surface one grid cell around an open or tangled one; what it encloses is filled, small holes closed."""
    from scipy.ndimage import distance_transform_edt, label
    from scipy.spatial import KDTree
    from skimage.measure import marching_cubes

    extent = np.ptp(positions_m, axis=0).astype(np.float64)
    cell_m = float(extent.max()) / WRAP_CELLS
    margin = CLOSED_CELLS + 2
    origin = positions_m.min(axis=0).astype(np.float64) - margin * cell_m
    shape = np.ceil(extent / cell_m).astype(int) + 2 * margin + 1
    grid = np.stack(np.meshgrid(*(np.arange(count) for count in shape), indexing="ij"), axis=-1)
    near_m = KDTree(_spread(positions_m, faces)).query(
        grid.reshape(-1, 3) * cell_m + origin, distance_upper_bound=margin * cell_m
    )[0]
    cells = np.minimum(near_m / cell_m, margin).reshape(shape)
    # Outside is where a ball of CLOSED_CELLS rolls in from the border, and as far as that ball reaches.
    rooms, _ = label(cells > CLOSED_CELLS)
    outside = distance_transform_edt(rooms != rooms[0, 0, 0]) <= CLOSED_CELLS - 1
    vertices, triangles, _, _ = marching_cubes(np.where(outside, cells - 1.0, np.minimum(cells - 1.0, -0.5)), 0.0)
    return vertices * cell_m + origin, triangles


def _spread(positions_m: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Points all over the surface, by area, the same on every run."""
    rng = np.random.default_rng(0)
    corners = positions_m[faces].astype(np.float64)
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    ends = np.cumsum(areas)
    at = np.searchsorted(ends, rng.random(WRAP_SAMPLES) * ends[-1])
    weights = rng.dirichlet((1.0, 1.0, 1.0), WRAP_SAMPLES)
    spread: np.ndarray = np.einsum("pc,pcd->pd", weights, corners[np.minimum(at, len(faces) - 1)])
    return spread
