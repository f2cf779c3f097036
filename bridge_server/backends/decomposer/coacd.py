"""CoACD (Wei et al., "Approximate convex decomposition for 3D meshes with collision-aware concavity", 2022), tuned.

The search costs time by the triangles it cuts and by its patience, and gains little by either: on the simplified
solid with a tenth of the default's tree search the pieces hold as well, in a fifth of the time. Its threshold decides
how many pieces come out, so several are tried, coarse ones first, without its own merging; ours follows, and the
cheapest by volume and number of pieces is taken. Each round's answer is kept, so the time limit gives the best so far.
"""

import importlib.util
import pickle
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bridge_server.backends.decomposer.base import Decomposition, DecompositionSettings
from bridge_server.backends.decomposer.merging import cost_m3, merged
from bridge_server.backends.isolation import call_isolated
from bridge_server.backends.table import Availability
from bridge_server.errors import StageFailed, WorkerDied
from bridge_server.run import Run
from bridge_server.values.convex import convex_hull
from bridge_server.values.mesh import Mesh
from bridge_server.values.solid import bounded_solid, simplified

if TYPE_CHECKING:
    from manifold3d import Manifold

THRESHOLDS = (0.15, 0.08, 0.05)
"""Allowed concavity as a share of the size, from coarse to fine."""
SEARCH_TRIANGLES = 800
SAMPLES = 600
TREE_NODES = 10
TREE_ITERATIONS = 40
MOST_PARTS = 64
"""A threshold that leaves more is taken as it is: CoACD itself merges down to this."""


@dataclass(frozen=True, slots=True)
class CoacdDecomposer:
    """Runs in a child process: the library neither reports progress nor stops when asked, and may abort."""

    @property
    def identity(self) -> str:
        """Changes with the library and with how we call it."""
        return f"coacd {version('coacd')} manifold {version('manifold3d')} 3"

    @classmethod
    def availability(cls) -> Availability:
        """Whether the package is installed."""
        if importlib.util.find_spec("coacd") is None:
            return Availability(available=False, detail="coacd is not installed.", remedy="pip install coacd")
        return Availability(available=True, detail=f"coacd {version('coacd')}")

    def decompose(self, solid: Mesh, settings: DecompositionSettings, run: Run) -> Decomposition:
        """Convex pieces, the largest first. Raises ``StageFailed`` on a time-out or crash before the first answer."""
        with tempfile.TemporaryDirectory(prefix="forge-coacd-") as folder:
            complete = True
            try:
                call_isolated(
                    "bridge_server.backends.decomposer.coacd:search",
                    solid.positions_m,
                    solid.faces,
                    settings,
                    folder,
                    run=run,
                    time_limit_s=settings.time_limit_s,
                    note="convex decomposition",
                )
            except (StageFailed, WorkerDied):
                complete = False
                if not list(Path(folder).glob("*.round")):
                    raise
            rounds = [pickle.loads(path.read_bytes()) for path in sorted(Path(folder).glob("*.round"))]
        _, clouds = min(rounds, key=lambda found: found[0])
        return Decomposition(pieces=tuple(convex_hull(cloud) for cloud in clouds), complete=complete)


def search(positions_m: np.ndarray, faces: np.ndarray, settings: DecompositionSettings, folder: str) -> None:
    """Write cost and vertices of the pieces, a file for each threshold; runs in the child process."""
    import coacd

    coacd.set_log_level("off")
    mesh = Mesh(positions_m=positions_m, faces=faces)
    whole = bounded_solid(mesh)
    if whole is None:
        raise StageFailed("the mesh bounds no solid.", subject="coacd")
    simple = simplified(whole, SEARCH_TRIANGLES, mesh.diagonal_m)
    arrays = simple.to_mesh()
    positions = np.array(arrays.vert_properties[:, :3], np.float64)
    triangles = np.array(arrays.tri_verts, np.int32)
    piece_m3 = settings.piece_cost * float(simple.volume())
    for number, threshold in enumerate(THRESHOLDS):
        parts = coacd.run_coacd(
            coacd.Mesh(positions, triangles),
            threshold=threshold,
            max_convex_hull=MOST_PARTS,
            preprocess_mode="off",
            resolution=SAMPLES,
            mcts_nodes=TREE_NODES,
            mcts_iterations=TREE_ITERATIONS,
            merge=False,
            seed=settings.seed,
        )
        pieces = merged(_hulls(parts), settings.max_pieces, piece_m3)
        cost = cost_m3(pieces, piece_m3)
        clouds = [np.asarray(piece.hull.to_mesh().vert_properties[:, :3], np.float32) for piece in pieces]
        clouds.sort(key=lambda points: -float(np.prod(np.ptp(points, axis=0))))
        partial = Path(folder, f"{number}.partial")
        partial.write_bytes(pickle.dumps((cost, clouds)))
        partial.replace(partial.with_suffix(".round"))


def _hulls(parts: list[tuple[np.ndarray, np.ndarray]]) -> list["Manifold"]:
    from manifold3d import Manifold

    hulls = [Manifold.hull_points(np.asarray(points, np.float32)) for points, _ in parts]
    solid = [hull for hull in hulls if hull.num_tri() >= 4 and hull.volume() > 0.0]
    if not solid:
        raise StageFailed("found no piece with a volume.", subject="coacd")
    return solid
