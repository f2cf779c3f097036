"""One convex hull around everything: always there, never fails, and holds only what is convex."""

from dataclasses import dataclass
from importlib.metadata import version

from bridge_server.backends.decomposer.base import DecompositionSettings
from bridge_server.backends.table import Availability
from bridge_server.run import Run
from bridge_server.values.convex import convex_hull, reduced_hull
from bridge_server.values.mesh import Mesh

LEAST_THICKNESS = 0.005
"""Of a flat mesh, as a share of its diagonal."""

SLACK = 0.01
"""How far a reduced hull may fall short, as a share of the diagonal."""


@dataclass(frozen=True, slots=True)
class HullDecomposer:
    """The trivial decomposition."""

    @property
    def identity(self) -> str:
        """Changes with Qhull, which SciPy brings."""
        return f"hull 1 scipy {version('scipy')}"

    @classmethod
    def availability(cls) -> Availability:
        """SciPy is always installed."""
        return Availability(available=True, detail=f"scipy {version('scipy')}")

    def decompose(self, mesh: Mesh, settings: DecompositionSettings, run: Run) -> tuple[Mesh, ...]:
        """The hull of all vertices that faces use, with as many vertices as allowed."""
        run.checkpoint(0.0, "convex hull")
        used = mesh.positions_m[mesh.faces.reshape(-1)]
        hull = convex_hull(used, max(LEAST_THICKNESS * mesh.diagonal_m, 1e-6))
        return (reduced_hull(hull, settings.max_vertices_per_piece, SLACK * mesh.diagonal_m),)
