"""Stage ``clean``: doubles, null faces, non-manifold places and tiny pieces go; all faces outward."""

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np

from bridge_server.backends.mesh_filter.base import MeshFilter
from bridge_server.errors import StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.base import Notice, Severity
from bridge_server.values.mesh import HighPoly, Mesh, area_m2, is_watertight
from bridge_server.values.mesh_slivers import without_slivers
from bridge_server.values.mesh_split import split_non_manifold, tidied_surface
from bridge_server.values.mesh_topology import EdgeTable, compacted, edge_table, face_areas, face_components, tidied
from bridge_server.values.mesh_winding import oriented_outward


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean(Stage):
    """Clean the high poly; colours stay where they were."""

    name: ClassVar[str] = "clean"
    writes: ClassVar[str] = "high_poly"
    version: ClassVar[int] = 3
    min_component_share: Annotated[float, Range(0.0, 0.5)] = 0.01
    """A loose piece goes where both its diagonal and its area are below this share of the largest piece's."""
    sliver_share: Annotated[float, Range(0.0, 0.001)] = 1e-7
    """A triangle lower than this share of the diagonal gives its place to its neighbours; 0 leaves all."""
    max_loss_share: Annotated[float, Range(0.0, 1.0)] = 0.05
    """More area than this is never lost: the step that would lose it is refused."""

    def __call__(self, run: Run, mesh_filter: MeshFilter, *, high_poly: HighPoly) -> HighPoly:
        """What went, and what was refused, stands in the notices."""
        notices: list[Notice] = []
        mesh = tidied(high_poly.mesh)
        if not len(mesh.faces):
            raise StageFailed("all faces are degenerate.", subject=self.name, remedy="Bring a mesh with a surface.")
        if dropped := len(high_poly.mesh.faces) - len(mesh.faces):
            message = f"{dropped:,} doubled or degenerate faces were dropped."
            notices.append(Notice(code="doubles_dropped", message=message, severity=Severity.INFO))
        mesh = self._mended(mesh, notices)
        table = edge_table(mesh.faces)
        found = self._filtered(mesh, table, mesh_filter, notices, PartialRun(run, 0.1, 0.7))
        run.checkpoint(0.7, "tiny pieces")
        known = table if found is mesh else None
        mesh = self._without_crumbs(found, known, notices)
        run.checkpoint(0.85, "winding")
        mesh, _ = oriented_outward(mesh, table=known if mesh is found else None)
        return replace(high_poly, mesh=mesh, notices=tuple(notices))

    def _mended(self, mesh: Mesh, notices: list[Notice]) -> Mesh:
        """Without triangles that have no height, as far as that opens nothing."""
        found = without_slivers(mesh, self.sliver_share * mesh.diagonal_m)
        if found is not mesh:
            count = len(mesh.faces) - len(found.faces)
            message = f"Triangles without height were mended, {count:,} of them by dropping them."
            notices.append(Notice(code="slivers_mended", message=message, severity=Severity.INFO))
        return found

    def _filtered(self, mesh: Mesh, table: EdgeTable, mesh_filter: MeshFilter, notices: list[Notice], run: Run) -> Mesh:
        """The filter's result, or the own clean-up where the filter failed or lost too much.

        A mesh that is a manifold already, without faces of no area, has no need of it.
        """
        crowded = bool((table.counts > 2).any())
        if not crowded and face_areas(mesh).min() > 0.0 and split_non_manifold(mesh, table) is mesh:
            return mesh
        try:
            found = mesh_filter.clean(mesh, run)
            lost = 1.0 - area_m2(found) / max(area_m2(mesh), 1e-300)
            if lost > self.max_loss_share:
                raise StageFailed(f"it would lose {lost:.1%} of the area.")
            if is_watertight(mesh) and not is_watertight(found):
                raise StageFailed("it would open a closed mesh.")
        except StageFailed as error:
            message = f"The filter {mesh_filter.identity} was refused: {error.message} The own clean-up served instead."
            notices.append(Notice(code="clean_fallback", message=message))
            return split_non_manifold(mesh)
        return tidied_surface(found) if crowded else found  # where it had to choose which faces stay joined

    def _without_crumbs(self, mesh: Mesh, table: EdgeTable | None, notices: list[Notice]) -> Mesh:
        pieces = face_components(mesh.faces, table)
        count = int(pieces.max()) + 1
        if count == 1:
            return mesh
        areas = np.bincount(pieces, face_areas(mesh), count)
        corners = mesh.positions_m[mesh.faces].astype(np.float64)
        low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
        np.minimum.at(low, pieces, corners.min(axis=1))
        np.maximum.at(high, pieces, corners.max(axis=1))
        spans = np.linalg.norm(high - low, axis=1)
        tiny = (spans < self.min_component_share * spans.max()) & (areas < self.min_component_share * areas.max())
        lost = float(areas[tiny].sum() / areas.sum())
        if not tiny.any():
            return mesh
        if lost > self.max_loss_share:
            message = f"{int(tiny.sum()):,} tiny pieces stay, because together they make {lost:.1%} of the area."
            notices.append(Notice(code="crumbs_kept", message=message, remedy="Lower clean.min_component_share."))
            return mesh
        message = f"{int(tiny.sum()):,} tiny loose pieces were dropped ({lost:.2%} of the area)."
        notices.append(Notice(code="crumbs_dropped", message=message, severity=Severity.INFO))
        return compacted(mesh.positions_m, mesh.faces[~tiny[pieces]])
