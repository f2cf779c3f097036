"""Convex decomposition: a shape as a handful of convex pieces."""

from dataclasses import dataclass
from typing import Protocol

from bridge_server.backends.table import BackendKind
from bridge_server.run import Run
from bridge_server.values.mesh import Mesh


@dataclass(frozen=True, slots=True, kw_only=True)
class DecompositionSettings:
    """How many pieces, how large, how exact."""

    max_pieces: int
    max_vertices_per_piece: int
    concavity: float
    """Allowed concavity as a share of the size (CoACD's threshold)."""
    seed: int
    time_limit_s: float


class Decomposer(Protocol):
    """Splits a mesh into convex pieces."""

    @property
    def identity(self) -> str:
        """Name and version, for the cache key."""

    def decompose(self, mesh: Mesh, settings: DecompositionSettings, run: Run) -> tuple[Mesh, ...]:
        """Closed convex meshes that together hold the shape. Raises ``StageFailed`` on time-out or refusal."""


DECOMPOSERS: BackendKind[Decomposer] = BackendKind(
    name="decomposer",
    table={
        "coacd": "bridge_server.backends.decomposer.coacd:CoacdDecomposer",
        "hull": "bridge_server.backends.decomposer.hull:HullDecomposer",
    },
    entry_point_group="open3dforge.decomposers",
)
