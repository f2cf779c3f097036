"""Convex decomposition: a solid as a handful of convex pieces."""

from dataclasses import dataclass
from typing import Protocol

from bridge_server.backends.table import BackendKind
from bridge_server.run import Run
from bridge_server.values.mesh import Mesh


@dataclass(frozen=True, slots=True, kw_only=True)
class DecompositionSettings:
    """How many pieces, what one is worth, how long it may take."""

    max_pieces: int
    piece_cost: float
    """Volume, as a share of the solid's, that a further piece has to save to be made."""
    seed: int
    time_limit_s: float
    """After this the best decomposition so far is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decomposition:
    """Closed convex meshes that together hold the solid, with as many vertices as their hulls have."""

    pieces: tuple[Mesh, ...]
    complete: bool
    """False where the time limit ended the search."""


class Decomposer(Protocol):
    """Splits a closed mesh into convex pieces."""

    @property
    def identity(self) -> str:
        """Name and version, for the cache key."""

    def decompose(self, solid: Mesh, settings: DecompositionSettings, run: Run) -> Decomposition:
        """Raises ``StageFailed`` where the mesh is no solid, or where the time limit passes without any answer."""


DECOMPOSERS: BackendKind[Decomposer] = BackendKind(
    name="decomposer",
    table={
        "planes": "bridge_server.backends.decomposer.planes:PlanesDecomposer",
        "coacd": "bridge_server.backends.decomposer.coacd:CoacdDecomposer",
        "hull": "bridge_server.backends.decomposer.hull:HullDecomposer",
    },
    entry_point_group="open3dforge.decomposers",
)
