"""One convex hull around everything: always there, never fails, and holds only what is convex."""

from dataclasses import dataclass
from importlib.metadata import version

from bridge_server.backends.decomposer.base import Decomposition, DecompositionSettings
from bridge_server.backends.table import Availability
from bridge_server.run import Run
from bridge_server.values.convex import convex_hull
from bridge_server.values.mesh import Mesh

LEAST_THICKNESS = 0.005
"""Of a flat mesh, as a share of its diagonal."""


@dataclass(frozen=True, slots=True)
class HullDecomposer:
    """The trivial decomposition."""

    @property
    def identity(self) -> str:
        """Changes with Qhull, which SciPy brings."""
        return f"hull 2 scipy {version('scipy')}"

    @classmethod
    def availability(cls) -> Availability:
        """SciPy is always installed."""
        return Availability(available=True, detail=f"scipy {version('scipy')}")

    def decompose(self, solid: Mesh, settings: DecompositionSettings, run: Run) -> Decomposition:  # noqa: ARG002
        """The hull of all vertices that faces use."""
        run.checkpoint(0.0, "convex hull")
        used = solid.positions_m[solid.faces.reshape(-1)]
        hull = convex_hull(used, max(LEAST_THICKNESS * solid.diagonal_m, 1e-6))
        return Decomposition(pieces=(hull,), complete=True)
