"""Filters that make a mesh cleaner or lighter."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from bridge_server.backends.table import BackendKind
from bridge_server.run import Run
from bridge_server.values.mesh import Mesh


class MeshFilter(Protocol):
    """Decimates and cleans triangle meshes."""

    @property
    def identity(self) -> str:
        """Name and version, for the cache key."""

    def clean(self, mesh: Mesh, run: Run) -> Mesh:
        """Without duplicate vertices and faces, null faces, and with non-manifold edges and vertices resolved."""

    def decimate(self, mesh: Mesh, triangle_count: int, run: Run) -> Mesh:
        """About ``triangle_count`` triangles near the surface; fewer than that where the mesh has fewer.

        Raises ``StageFailed`` where the filter can do nothing with the mesh.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Paint:
    """What the vertices of a mesh look like, and how much that matters."""

    values: Float32[np.ndarray, "vertices channels"]
    """Perceptual colour and finish, each from 0 to 1."""
    weight: float
    """The distance, as a share of the diagonal, that is as bad as a change of one channel from 0 to 1."""


@runtime_checkable
class PaintedFilter(Protocol):
    """A mesh filter that can keep colour borders when it decimates."""

    @property
    def identity(self) -> str:
        """As ``MeshFilter.identity``."""

    def clean(self, mesh: Mesh, run: Run) -> Mesh:
        """As ``MeshFilter.clean``."""

    def decimate(self, mesh: Mesh, triangle_count: int, run: Run, paint: Paint | None = None) -> Mesh:
        """As ``MeshFilter.decimate``; ``paint`` belongs to the vertices of ``mesh``."""

    @property
    def keeps_paint(self) -> bool:
        """Always true."""


MESH_FILTERS: BackendKind[MeshFilter] = BackendKind(
    name="mesh_filter",
    table={
        "quadric": "bridge_server.backends.mesh_filter.quadric:QuadricFilter",
        "quick": "bridge_server.backends.mesh_filter.quick:QuickFilter",
        "pymeshlab": "bridge_server.backends.mesh_filter.pymeshlab:PyMeshLabFilter",
        "simplification": "bridge_server.backends.mesh_filter.simplification:SimplificationFilter",
        "quad_field": "bridge_server.backends.mesh_filter.field:QuadFieldFilter",
    },
    entry_point_group="open3dforge.mesh_filters",
)
