"""Filters that make a mesh cleaner or lighter."""

from typing import Protocol

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
        """About ``triangle_count`` triangles by quadric error; fewer than that where the mesh has fewer."""


MESH_FILTERS: BackendKind[MeshFilter] = BackendKind(
    name="mesh_filter",
    table={
        "quadric": "bridge_server.backends.mesh_filter.quadric:QuadricFilter",
        "pymeshlab": "bridge_server.backends.mesh_filter.pymeshlab:PyMeshLabFilter",
        "simplification": "bridge_server.backends.mesh_filter.simplification:SimplificationFilter",
    },
    entry_point_group="open3dforge.mesh_filters",
)
