"""Stage ``repair``: seams, winding, non-manifold places, holes and inner hulls, each step guarded."""

import enum
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Bool

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.errors import StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.stages.repair_crossings import crossing_pairs
from bridge_server.stages.repair_guard import Effect, Guard, Limits
from bridge_server.stages.repair_hidden import covered_by_glass, hidden_surfaces
from bridge_server.stages.repair_holes import IsMeant, fill_holes, nothing_meant
from bridge_server.stages.repair_native import isolated
from bridge_server.stages.repair_openings import openings_of
from bridge_server.stages.repair_stitch import stitched
from bridge_server.stages.repair_winding import SeenFromOutside
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.base import Notice, Severity
from bridge_server.values.mesh import HighPoly, Mesh, edge_face_counts, is_watertight
from bridge_server.values.mesh_split import fins_of, split_non_manifold
from bridge_server.values.mesh_topology import EdgeTable, compacted, edge_table, face_components, tidied
from bridge_server.values.mesh_winding import oriented_outward

TORN_SHARE = 0.05
"""A surface with more open edges than this share of all is torn to shreds."""


class RepairMethod(enum.StrEnum):
    """Who repairs."""

    OWN = "own"
    PYMESHFIX = "pymeshfix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair(Stage):
    """Make the high poly as closed and consistent as its input allows; colours stay where they were."""

    name: ClassVar[str] = "repair"
    writes: ClassVar[str] = "high_poly"
    version: ClassVar[int] = 3
    method: RepairMethod = RepairMethod.OWN
    """``pymeshfix`` (AGPL, to be installed separately) runs on each shell after the own steps."""
    stitch_share: Annotated[float, Range(0.0, 0.01)] = 1e-5
    """Seams narrower than this share of the diagonal are sewn up; 0 leaves them."""
    remove_hidden: bool = True
    """Take away inner hulls that cannot be seen from outside. The inside of a cup, a vase or a pipe stays."""
    max_opening_share: Annotated[float, Range(0.0, 0.5)] = 0.04
    """An inner hull that hangs on the surface by a hole wider than this share of the diagonal is meant, and stays."""
    max_hole_edges: Annotated[int, Range(0, 100_000)] = 2000
    """Holes of more edges stay open; 0 leaves all open."""
    max_hole_share: Annotated[float, Range(0.0, 1.0)] = 0.5
    """Holes that span more than this share of the diagonal stay open: they are meant to be."""
    keep_openings: bool = True
    """Leave open what is meant to be: the flat rim at the top of a bowl or a bag, and holes that one looks through."""
    resolve_intersections: bool = False
    """Unite shells that run into each other, and take out what lies inside a shell that runs through itself; needs a
    closed mesh."""
    max_volume_change: Annotated[float, Range(0.0, 1.0)] = 0.1
    """A step that changes the volume of a closed mesh by more than this share is refused."""
    max_area_change: Annotated[float, Range(0.0, 1.0)] = 0.3
    """A step that changes the area by more than this share is refused."""
    max_bounds_change: Annotated[float, Range(0.0, 1.0)] = 0.01
    """A step that moves a side of the bounding box by more than this share of the diagonal is refused."""
    max_outline_change: Annotated[float, Range(0.0, 1.0)] = 0.03
    """A step after which a silhouette (of seven) lacks more than this share of the union with the old is refused."""
    max_color_change: Annotated[float, Range(0.0, 1.0)] = 0.2
    """A step whose new faces differ in colour from those around them by more than this (linear, mean) is refused."""

    def __call__(self, run: Run, raycaster: Raycaster, *, high_poly: HighPoly) -> HighPoly:
        """Every step that did something, and every one that was refused, stands in the notices."""
        mesh = tidied(high_poly.mesh)
        if not len(mesh.faces):
            raise StageFailed("all faces are degenerate.", subject=self.name, remedy="Bring a mesh with a surface.")
        limits = Limits(
            volume=self.max_volume_change,
            area=self.max_area_change,
            bounds=self.max_bounds_change,
            outline=self.max_outline_change,
            color=self.max_color_change,
        )
        work = _Work(self, raycaster, high_poly, Guard(limits, raycaster, high_poly.field), [])
        return replace(high_poly, mesh=work.repaired(mesh, run), notices=tuple(work.notices))


@dataclass(frozen=True, slots=True)
class _Work:
    """One call of the stage."""

    stage: Repair
    raycaster: Raycaster
    high_poly: HighPoly
    guard: Guard
    notices: list[Notice]

    def repaired(self, mesh: Mesh, run: Run) -> Mesh:
        run.checkpoint(0.05, "seams")
        table = edge_table(mesh.faces)
        if (table.counts == 1).any():
            sew = functools.partial(self.sewn, run=PartialRun(run, 0.05, 0.08))
            mesh = self.step(mesh, "stitching", sew, PartialRun(run, 0.08, 0.08))
            table = edge_table(mesh.faces)
        drop = functools.partial(self.without_fins, table=table)
        finless = self.step(mesh, "dropping_fins", drop, PartialRun(run, 0.09, 0.09), Effect.TRIMS)
        table = table if finless is mesh else edge_table(finless.faces)
        mesh = finless
        run.checkpoint(0.1, "winding")
        mesh = self.surface(mesh, table, run)
        if (table.counts != 2).any():
            run.checkpoint(0.35, "filling holes")
            mesh = self.filled(mesh, PartialRun(run, 0.35, 0.5))
        if self.stage.remove_hidden:
            mesh = self.uncovered(mesh, PartialRun(run, 0.5, 0.7))
        if self.stage.method is RepairMethod.PYMESHFIX:
            mesh = self.by_meshfix(mesh, PartialRun(run, 0.7, 0.85))
        if self.stage.resolve_intersections:
            mesh = self.united(mesh, PartialRun(run, 0.85, 1.0))
        self.tell_what_is_left(mesh)
        return mesh

    def tell(self, code: str, message: str, remedy: str = "", severity: Severity = Severity.INFO) -> None:
        self.notices.append(Notice(code=code, message=message, remedy=remedy, severity=severity))

    def warn(self, code: str, message: str, remedy: str = "") -> None:
        self.tell(code, message, remedy, Severity.WARNING)

    def sewn(self, mesh: Mesh, run: Run) -> Mesh:
        found = stitched(mesh, self.stage.stitch_share * mesh.diagonal_m, run)
        if found.mesh is not mesh:
            message = f"Seams were sewn up: {found.joined:,} border points joined, {found.inserted:,} set into an edge."
            self.tell("seams_stitched", message)
        return found.mesh

    def surface(self, mesh: Mesh, table: EdgeTable, run: Run) -> Mesh:
        """Manifold and wound outward."""
        turned, winding = oriented_outward(mesh, table=table)
        flip = winding.flip
        run.checkpoint(0.2, "non-manifold edges")
        parted = split_non_manifold(turned, None if flip.any() else table)
        if parted is not turned and (table.counts == 1).any():  # parting first would make one hole of two that touch
            turned = self.filled(turned, PartialRun(run, 0.2, 0.3))
            self.notices[:] = [notice for notice in self.notices if notice.code != "openings_kept"]  # asked again below
            parted = split_non_manifold(turned)
        run.checkpoint(0.3, "winding")
        if parted is not turned:
            added = len(parted.positions_m) - len(turned.positions_m)
            self.tell("non_manifold_split", f"The surface was parted at {added:,} places where it was no manifold.")
        turns = int(flip.sum())
        if parted is not turned or (table.counts == 1).any():
            judge = SeenFromOutside(self.raycaster, PartialRun(run, 0.3, 0.35))
            parted, winding = oriented_outward(parted, judge)
            same = len(winding.flip) == len(flip)
            turns = int((flip ^ winding.flip).sum()) if same else turns + int(winding.flip.sum())
        if turns:
            self.tell("winding_turned", f"{turns:,} of {len(mesh.faces):,} faces were turned to face outward.")
        if winding.conflicts:
            message = f"The surface is one-sided: {winding.conflicts:,} edges join faces that cannot agree."
            self.warn("one_sided_surface", message)
        return parted

    def without_fins(self, mesh: Mesh, table: EdgeTable) -> Mesh:
        """Without the small flaps that hang on edges of more than two faces."""
        fins = fins_of(mesh, table)
        if not fins.any():
            return mesh
        message = f"{int(fins.sum()):,} faces were dropped: small flaps that stood on the surface."
        self.tell("fins_dropped", message)
        return compacted(mesh.positions_m, mesh.faces[~fins])

    def filled(self, mesh: Mesh, run: Run) -> Mesh:
        """With its holes closed; where that is refused, with those that are 25 times smaller."""
        told = len(self.notices)
        for part in (1.0, 0.04):
            share = part * self.stage.max_hole_share
            close = functools.partial(self.closed, max_share=share, run=run)
            found = self.step(mesh, "hole_filling", close, PartialRun(run, 1.0, 1.0))
            refused = [notice for notice in self.notices[told:] if notice.code == "repair_refused"]
            for again in refused[1:]:
                self.notices.remove(again)
            if found is not mesh or not refused:
                return found
        return mesh

    def closed(self, mesh: Mesh, max_share: float, run: Run) -> Mesh:
        stage = self.stage
        meant: IsMeant = nothing_meant
        if stage.keep_openings:
            meant = openings_of(mesh, self.raycaster).is_meant
        done = fill_holes(mesh, stage.max_hole_edges, max_share, run, meant)
        if done.filled:
            self.tell("holes_filled", f"{done.filled:,} {'hole was' if done.filled == 1 else 'holes were'} filled.")
        if done.meant:
            message = f"{done.meant:,} holes were left, because they look like mouths or windows."
            self.tell("openings_kept", message, "Set repair.keep_openings to false to close them.")
        return done.mesh

    def uncovered(self, mesh: Mesh, run: Run) -> Mesh:
        """Without what cannot be seen from outside."""
        scene = self.raycaster.scene(mesh.positions_m, mesh.faces)
        hidden = hidden_surfaces(scene, mesh, self.stage.max_opening_share * mesh.diagonal_m, PartialRun(run, 0.0, 0.9))
        if not hidden.faces.any():
            return mesh
        if covered_by_glass(self.high_poly.field, mesh, hidden.faces, self.raycaster):
            message = f"{int(hidden.faces.sum()):,} faces inside stay, because the surface around them is not opaque."
            self.tell("hidden_kept", message)
            return mesh
        hulls = hidden.in_hulls
        if hidden.pieces:
            gone = "1 piece" if hidden.pieces == 1 else f"{hidden.pieces:,} pieces"
            message = f"{gone} that cannot be seen from outside went."
            mesh = self.without_hidden(mesh, hidden.in_pieces, 0.0, message, run)
            hulls = hulls if len(mesh.faces) == len(hulls) else hulls[~hidden.in_pieces]
        if hidden.hulls:
            message = (
                f"{hidden.hulls:,} inner hulls of {int(hulls.sum()):,} faces that nobody sees were cut off, and the "
                "small holes closed by which they hung on the surface."
            )
            mesh = self.without_hidden(mesh, hulls, hidden.opening_m, message, PartialRun(run, 0.9, 1.0))
        return mesh

    def without_hidden(
        self, mesh: Mesh, gone: Bool[np.ndarray, "faces"], opening_m: float, message: str, run: Run
    ) -> Mesh:
        """Without some faces, and with the holes closed that this leaves."""

        def removed(before: Mesh) -> Mesh:
            left = compacted(before.positions_m, before.faces[~gone])
            if not opening_m:
                return left
            return fill_holes(left, self.stage.max_hole_edges, 2.0 * opening_m / max(left.diagonal_m, 1e-30), run).mesh

        found = self.step(mesh, "removing_hidden", removed, PartialRun(run, 1.0, 1.0), Effect.UNCOVERS)
        if found is not mesh:
            self.tell("hidden_removed", message, "Set repair.remove_hidden to false to keep them.")
        return found

    def by_meshfix(self, mesh: Mesh, run: Run) -> Mesh:
        if find_spec("pymeshfix") is None:
            message = "pymeshfix is not installed; the own repair alone was used."
            self.warn("repair_fallback", message, "pip install 'open3dforge[pymeshfix]' (AGPL-3).")
            return mesh
        work: Callable[[Mesh], Mesh] = lambda m: isolated("meshfix_shells", m, run, "pymeshfix")  # noqa: E731
        return self.step(mesh, "pymeshfix", work, PartialRun(run, 1.0, 1.0))

    def united(self, mesh: Mesh, run: Run) -> Mesh:
        if not is_watertight(mesh):
            self.warn("intersections_left", "Faces that run through each other were left, because the mesh is open.")
            return mesh
        pairs = crossing_pairs(mesh, PartialRun(run, 0.0, 0.1))
        shells = face_components(mesh.faces)
        found = mesh
        if (shells[pairs[:, 0]] == shells[pairs[:, 1]]).any():
            found = self.resolved(mesh, PartialRun(run, 0.1, 0.5))
        if found is mesh and shells.any():
            work: Callable[[Mesh], Mesh] = lambda m: isolated("united_shells", m, run, "uniting")  # noqa: E731
            found = self.step(mesh, "uniting_shells", work, PartialRun(run, 0.5, 0.9), Effect.UNITES)
        if len(pairs):
            left = len(pairs) if found is mesh else len(crossing_pairs(found, PartialRun(run, 0.9, 1.0)))
            message = f"{len(pairs):,} pairs of faces ran through each other; {left:,} do still."
            (self.warn if left else self.tell)("intersections_left" if left else "intersections_resolved", message)
        return found

    def resolved(self, mesh: Mesh, run: Run) -> Mesh:
        """Without the parts of a shell that lie inside it."""
        if find_spec("pymeshlab") is None:
            message = "A shell that runs through itself was left as it is, because pymeshlab is not installed."
            self.warn("repair_fallback", message, "pip install pymeshlab (GPL-3).")
            return mesh
        work: Callable[[Mesh], Mesh] = lambda m: isolated("without_crossings", m, run, "resolving")  # noqa: E731
        return self.step(mesh, "resolving_crossings", work, PartialRun(run, 0.8, 1.0), Effect.RESOLVES)

    def step(
        self, mesh: Mesh, name: str, work: Callable[[Mesh], Mesh], run: Run, effect: Effect = Effect.KEEPS
    ) -> Mesh:
        """The result of a step, or the mesh as it was where the step failed or did what it must not.

        ``run`` is that of the comparison; the work has its own.
        """
        told = len(self.notices)
        try:
            result = work(mesh)
        except StageFailed as error:
            objection: str | None = error.message
        else:
            objection = next(self.guard.objections(mesh, result, effect, run), None)
            if objection is None:
                return result
        del self.notices[told:]
        message = f"The step {name} was refused: {objection}"
        self.warn("repair_refused", message, "Its limits are fields of this stage.")
        return mesh

    def tell_what_is_left(self, mesh: Mesh) -> None:
        counts = edge_face_counts(mesh.faces)
        borders = int((counts == 1).sum())
        if borders:
            message = f"The surface is open: {borders:,} edges have a face on one side only."
            self.warn("mesh_open", message, "Raise repair.max_hole_share or clear repair.keep_openings to close it.")
        one_sided = any(notice.code == "one_sided_surface" for notice in self.notices)
        if one_sided or borders > TORN_SHARE * len(counts):
            message = (
                "The surface is one-sided." if one_sided else f"{borders / len(counts):.1%} of its edges are open."
            )
            remedy = "Put the stage remesh after repair: it wraps the surface in a closed skin."
            self.warn("remesh_advised", f"Patching does not help here. {message}", remedy)
