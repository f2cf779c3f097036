"""UV unwrapping: cutting a mesh into charts and packing them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.backends.table import BackendKind
from bridge_server.run import Run
from bridge_server.values.mesh import Mesh

NO_ROOM = "NO_ROOM"
"""Reason of the ``StageFailed`` that an unwrapper raises where its charts do not fit with the gap that is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnwrapSettings:
    """How charts are cut and packed."""

    resolution_px: int
    padding_px: int
    texels_per_m: float
    """Wanted texel density; 0 lets the packer fill the square."""
    time_limit_s: float
    hard_edge_angle_deg: float = 60.0
    """Edges that turn by more than this are left to be seams where the unwrapper can choose."""
    most_stretch: float = 1.03
    """How far a chart's stretch (L2, 1 is none) may go for the sake of fewer charts."""
    most_charts: int = 0
    """Wanted count at most; stretch may go further for it. 0 leaves the count to the stretch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Atlas:
    """Charts in the unit square."""

    vertices: Int32[np.ndarray, "corners"]
    """For each new vertex the mesh vertex it was split from."""
    faces: Int32[np.ndarray, "faces 3"]
    """Same faces in the same order, into the new vertices."""
    uvs: Float32[np.ndarray, "corners 2"]
    charts: Int32[np.ndarray, "faces"]
    method: str
    """Which implementation served in the end (a time-out may have handed over to a simpler one)."""


class Unwrapper(Protocol):
    """Makes atlases."""

    @property
    def identity(self) -> str:
        """Name and version, for the cache key."""

    def unwrap(self, mesh: Mesh, settings: UnwrapSettings, run: Run) -> Atlas:
        """No overlap, every face in a chart. Raises ``StageFailed`` where the mesh cannot be unwrapped."""

    def repack(self, mesh: Mesh, atlas: Atlas, settings: UnwrapSettings, run: Run) -> Float32[np.ndarray, "corners 2"]:
        """The same charts packed anew, for another size or gap. Raises ``StageFailed`` where they do not fit."""


UNWRAPPERS: BackendKind[Unwrapper] = BackendKind(
    name="unwrapper",
    table={
        "isometric": "bridge_server.backends.unwrapper.isometric:IsometricUnwrapper",
        "xatlas": "bridge_server.backends.unwrapper.xatlas:XatlasUnwrapper",
        "planar": "bridge_server.backends.unwrapper.planar:PlanarUnwrapper",
    },
    entry_point_group="open3dforge.unwrappers",
)
