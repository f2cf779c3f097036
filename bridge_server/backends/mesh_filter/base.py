"""Filters that make a mesh cleaner or lighter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, Int32

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


@runtime_checkable
class CountingFilter(Protocol):
    """A mesh filter that counts pieces quickly."""

    def piece_count(self, mesh: Mesh) -> int:
        """As ``values.mesh_topology.piece_count``."""


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


@dataclass(frozen=True, slots=True, eq=False)
class SeamedMesh:
    """A mesh with texture coordinates by wedges: one for each distinct pair of point and coordinates."""

    positions: Float64[np.ndarray, "points 3"]
    uvs: Float64[np.ndarray, "wedges 2"]
    """In units of length, scaled so that a shift of the texture and of the surface by as much are as bad."""
    points: Int32[np.ndarray, "wedges"]
    faces: Int32[np.ndarray, "faces 3"]
    """Into the wedges."""
    weights: Float64[np.ndarray, "faces"] | None = None
    """How much each face matters, beside its area; None for all alike."""


@dataclass(frozen=True, slots=True, eq=False)
class FitSamples:
    """Places on a mesh and on a level of it, by which the level is fitted."""

    points_m: Float32[np.ndarray, "samples 3"]
    """On the original mesh."""
    weights: Float64[np.ndarray, "samples"]
    """Share of the area that each stands for; they sum to 1."""
    onto_level: Int32[np.ndarray, "samples"]
    """Face of the level nearest to each."""
    faces: Int32[np.ndarray, "back"]
    """Of the level, on which it is sampled: in the middle of each face, then on each edge, then at each point."""
    shares: Float64[np.ndarray, "back 3"]
    """Barycentric weights of these places."""
    edges: int
    onto_original: Int32[np.ndarray, "back"]
    """Face of the original nearest to each."""
    meant_m: Float64[np.ndarray, "back 3"]
    """Where the original shows what these places show."""


@runtime_checkable
class SeamedFilter(Protocol):
    """A mesh filter that can make a textured mesh lighter without tearing its seams."""

    @property
    def identity(self) -> str:
        """As ``MeshFilter.identity``."""

    def clean(self, mesh: Mesh, run: Run) -> Mesh:
        """As ``MeshFilter.clean``."""

    def decimate(self, mesh: Mesh, triangle_count: int, run: Run) -> Mesh:
        """As ``MeshFilter.decimate``."""

    def collapse_with_seams(
        self, mesh: SeamedMesh, triangle_counts: Sequence[int], outline: float, run: Run
    ) -> list[SeamedMesh]:
        """A mesh for each of the falling counts, over the wedges that came in, out of one row of collapses.

        More triangles than wanted where borders and seams hold too much. Points and wedges move to where the error is
        least; wedges of one point keep one place, so no seam cracks. The outline of no chart moves by more than
        ``outline`` on the texture, in the unit of ``uvs``.
        """

    def fit(self, level: Mesh, original: Mesh, samples: FitSamples, run: Run) -> Float64[np.ndarray, "points 3"]:
        """Places of the points of a level in metres, moved to where it lies nearer to the original.

        All its points are in use. Borders stay, no face turns far or folds, and texture stays where it is meant.
        """


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
