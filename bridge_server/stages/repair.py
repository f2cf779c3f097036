"""Stage ``repair``: winding, non-manifold places and holes, guarded so that no step eats the asset."""

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Annotated, ClassVar

import numpy as np

from bridge_server.errors import StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.stages.repair_holes import fill_holes
from bridge_server.stages.repair_native import isolated, shells_of
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.base import Notice, Severity
from bridge_server.values.mesh import HighPoly, Mesh, area_m2, edge_face_counts, is_watertight, volume_m3
from bridge_server.values.mesh_split import split_non_manifold
from bridge_server.values.mesh_topology import tidied
from bridge_server.values.mesh_winding import oriented_outward


class RepairMethod(enum.StrEnum):
    """Who repairs."""

    OWN = "own"
    PYMESHFIX = "pymeshfix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair(Stage):
    """Make the high poly as closed and consistent as its input allows; colours stay where they were."""

    name: ClassVar[str] = "repair"
    writes: ClassVar[str] = "high_poly"
    version: ClassVar[int] = 1
    method: RepairMethod = RepairMethod.OWN
    """``pymeshfix`` (AGPL, to be installed separately) runs on each shell after the own steps."""
    max_hole_edges: Annotated[int, Range(0, 100_000)] = 2000
    """Holes of more edges stay open; 0 leaves all open."""
    max_hole_share: Annotated[float, Range(0.0, 1.0)] = 0.5
    """Holes that span more than this share of the diagonal stay open: they are meant to be."""
    resolve_intersections: bool = False
    """Unite shells that run into each other; needs a closed mesh."""
    max_volume_change: Annotated[float, Range(0.0, 1.0)] = 0.1
    """A step that changes the volume of a closed mesh by more than this share is refused."""
    max_area_change: Annotated[float, Range(0.0, 1.0)] = 0.3
    """A step that changes the area by more than this share is refused."""
    max_bounds_change: Annotated[float, Range(0.0, 1.0)] = 0.01
    """A step that moves a side of the bounding box by more than this share of the diagonal is refused."""

    def __call__(self, run: Run, *, high_poly: HighPoly) -> HighPoly:
        """Every step that did something, and every one that was refused, stands in the notices."""
        notices: list[Notice] = []
        mesh = tidied(high_poly.mesh)
        if not len(mesh.faces):
            raise StageFailed("all faces are degenerate.", subject=self.name, remedy="Bring a mesh with a surface.")
        run.checkpoint(0.1, "winding")
        mesh = self._surface(mesh, notices, run)
        run.checkpoint(0.4, "filling holes")
        mesh = self._guarded(
            mesh, "hole_filling", notices, lambda m: self._closed(m, notices, PartialRun(run, 0.4, 0.7))
        )
        if self.method is RepairMethod.PYMESHFIX:
            mesh = self._by_meshfix(mesh, notices, PartialRun(run, 0.7, 0.85))
        if self.resolve_intersections:
            mesh = self._united(mesh, notices, PartialRun(run, 0.85, 1.0))
        borders = int((edge_face_counts(mesh.faces) == 1).sum())
        if borders:
            message = f"The surface is open: {borders:,} edges have a face on one side only."
            notices.append(Notice(code="mesh_open", message=message, remedy="Raise repair.max_hole_share to close it."))
        return replace(high_poly, mesh=mesh, notices=tuple(notices))

    def _surface(self, mesh: Mesh, notices: list[Notice], run: Run) -> Mesh:
        turned, winding = oriented_outward(mesh)
        run.checkpoint(0.2, "non-manifold edges")
        parted = split_non_manifold(turned)
        if added := len(parted.positions_m) - len(turned.positions_m):
            message = f"The surface was parted at {added:,} places where it was no manifold."
            notices.append(Notice(code="non_manifold_split", message=message, severity=Severity.INFO))
            run.checkpoint(0.3, "winding")
            parted, again = oriented_outward(parted)
            winding = replace(winding, flip=winding.flip ^ again.flip, conflicts=again.conflicts)
        if flipped := int(winding.flip.sum()):
            message = f"{flipped:,} of {len(mesh.faces):,} faces were turned so that all face outward."
            notices.append(Notice(code="winding_turned", message=message, severity=Severity.INFO))
        if winding.conflicts:
            message = f"The surface is one-sided: {winding.conflicts:,} edges join faces that cannot agree."
            notices.append(Notice(code="one_sided_surface", message=message))
        return parted

    def _closed(self, mesh: Mesh, notices: list[Notice], run: Run) -> Mesh:
        done = fill_holes(mesh, self.max_hole_edges, self.max_hole_share, run)
        if done.filled:
            message = f"{done.filled:,} holes were filled."
            notices.append(Notice(code="holes_filled", message=message, severity=Severity.INFO))
        return done.mesh

    def _by_meshfix(self, mesh: Mesh, notices: list[Notice], run: Run) -> Mesh:
        if find_spec("pymeshfix") is None:
            message = "pymeshfix is not installed; the own repair alone was used."
            remedy = "pip install 'open3dforge[pymeshfix]' (AGPL-3)."
            notices.append(Notice(code="repair_fallback", message=message, remedy=remedy))
            return mesh
        return self._guarded(mesh, "pymeshfix", notices, lambda m: isolated("meshfix_shells", m, run, "pymeshfix"))

    def _united(self, mesh: Mesh, notices: list[Notice], run: Run) -> Mesh:
        if not is_watertight(mesh):
            message = "Shells were not united, because the mesh is open."
            notices.append(Notice(code="intersections_left", message=message))
            return mesh
        return self._guarded(mesh, "uniting_shells", notices, lambda m: isolated("united_shells", m, run, "uniting"))

    def _guarded(self, mesh: Mesh, step: str, notices: list[Notice], work: Callable[[Mesh], Mesh]) -> Mesh:
        """The result of a step, or the mesh as it was where the step failed or changed too much."""
        told = len(notices)
        try:
            result = work(mesh)
        except StageFailed as error:
            objection: str | None = error.message
        else:
            objection = self._objection(mesh, result, unites=step == "uniting_shells")
            if objection is None:
                return result
        del notices[told:]
        message = f"The step {step} was refused: {objection}"
        notices.append(Notice(code="repair_refused", message=message, remedy="Its limits are fields of this stage."))
        return mesh

    def _objection(self, before: Mesh, after: Mesh, unites: bool) -> str | None:
        """What the step did that it must not, or None. Uniting may lower area and volume down to one shell's."""
        if after is before:
            return None
        if not len(after.faces):
            return "it left nothing."
        if is_watertight(before) and not is_watertight(after):
            return "it opened a closed mesh."
        moved = np.abs(np.stack(before.bounds_m) - np.stack(after.bounds_m)).max() / max(before.diagonal_m, 1e-30)
        grown = area_m2(after) / max(area_m2(before), 1e-300) - 1.0
        swollen = volume_m3(after) / volume_m3(before) - 1.0 if is_watertight(before) and volume_m3(before) else 0.0
        if unites:
            largest = max(volume_m3(shell) for shell in shells_of(before))
            kept = volume_m3(after) > (1.0 - self.max_volume_change) * largest
            grown, swollen = (0.0, 0.0) if kept else (grown, -1.0)
        for change, limit, what in (
            (moved, self.max_bounds_change, "the bounding box by {:.1%} of the diagonal."),
            (grown, self.max_area_change, "the area by {:+.1%}."),
            (swollen, self.max_volume_change, "the volume by {:+.1%}."),
        ):
            if abs(change) > limit:
                return f"it changed {what.format(change)}"
        return None
