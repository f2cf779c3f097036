"""Stage ``decimate``: the high poly becomes a low poly of the wanted triangle count."""

import enum
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from bridge_server.backends.mesh_filter.base import MESH_FILTERS, MeshFilter
from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.errors import BackendUnavailable, StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.stages.edge_collapse import WedgeMesh, collapse_edges
from bridge_server.stages.mesh_distance import surface_distance
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.base import Notice, Severity
from bridge_server.values.mesh import HighPoly, LowPoly, Mesh, edge_face_counts, is_watertight
from bridge_server.values.mesh_split import tidied_surface
from bridge_server.values.mesh_topology import compacted, edge_table, half_edge_pairs

TOLERANCE = 0.01
"""Share of the wanted count that the result may be off."""
ATTEMPTS = 4
COARSE_FACTOR, COARSE_LEAST = 10, 100_000
"""The final filter starts from so many times the wanted count, and at least so many: a quicker one goes before it."""
FOLD_COSINE = -0.9
"""Two neighbours that turn back on each other like this are a fold."""
DISTANCE_SAMPLES = 20_000


class Quality(enum.StrEnum):
    """How much time the result is worth."""

    PREVIEW = "preview"
    FINAL = "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decimate(Stage):
    """Reduce to within 1 % of the wanted count; closed meshes stay closed."""

    name: ClassVar[str] = "decimate"
    writes: ClassVar[str] = "low_poly"
    version: ClassVar[int] = 2
    triangle_count: Annotated[int, Range(12, 2_000_000)] = 10_000
    """Triangles of the low poly, which becomes LOD0."""
    quality: Quality = Quality.FINAL
    """``preview`` takes the quick filter, ``final`` the one that was chosen as backend."""

    def __call__(self, run: Run, mesh_filter: MeshFilter, raycaster: Raycaster, *, high_poly: HighPoly) -> LowPoly:
        """The distance to the high poly is measured both ways. Raises ``StageFailed`` where nothing would be left."""
        mesh, notices = high_poly.mesh, []
        if len(mesh.faces) <= self.triangle_count:
            found, method = tidied_surface(mesh), "kept"
            message = f"The mesh has {len(mesh.faces):,} triangles, no more than wanted, and was kept as it is."
            notices.append(Notice(code="fewer_triangles", message=message, severity=Severity.INFO))
        else:
            found, method = self._decimated(mesh, mesh_filter, notices, PartialRun(run, 0.0, 0.8))
        if not len(found.faces):
            raise StageFailed("no triangle is left.", subject=self.name, remedy="Raise decimate.triangle_count.")
        distance = surface_distance(raycaster, mesh, found, DISTANCE_SAMPLES, PartialRun(run, 0.8, 1.0))
        return LowPoly(
            mesh=found,
            target_triangle_count=self.triangle_count,
            hausdorff_m=distance.largest_m,
            mean_distance_m=distance.mean_m,
            method=method,
            notices=tuple(notices),
        )

    def _decimated(self, mesh: Mesh, mesh_filter: MeshFilter, notices: list[Notice], run: Run) -> tuple[Mesh, str]:
        """The result of the filter, or of the own edge collapse where the filter fails, tears or folds the mesh."""
        quick = quick_filter()
        if self.quality is Quality.PREVIEW and quick is not None:
            mesh_filter = quick
        start = mesh
        coarse = max(COARSE_FACTOR * self.triangle_count, COARSE_LEAST)
        if mesh_filter is not quick and quick is not None and len(mesh.faces) > coarse:
            reduced = tidied_surface(quick.decimate(mesh, coarse, PartialRun(run, 0.0, 0.2)))
            start = reduced if objection_to(reduced, mesh, coarse) is None else mesh
        try:
            found = on_target(start, mesh_filter, self.triangle_count, PartialRun(run, 0.2, 0.7))
            objection = objection_to(found, mesh, self.triangle_count)
        except StageFailed as error:
            found, objection = mesh, error.message
        if objection is None:
            return found, mesh_filter.identity
        own = own_decimation(start, self.triangle_count, PartialRun(run, 0.7, 1.0))
        if objection_to(own, mesh, self.triangle_count) is None or found is mesh:
            message = (
                f"The filter {mesh_filter.identity} was refused: {objection} The own edge collapse served instead."
            )
            notices.append(Notice(code="decimate_fallback", message=message))
            return own, "edge collapse"
        message = f"{len(found.faces):,} triangles were made of {self.triangle_count:,} wanted: {objection}"
        notices.append(Notice(code="decimate_imperfect", message=message))
        return found, mesh_filter.identity


def quick_filter() -> MeshFilter | None:
    """The filter for previews, where it is installed."""
    try:
        return MESH_FILTERS.load(MESH_FILTERS.choose("simplification"))
    except BackendUnavailable:
        return None


def on_target(mesh: Mesh, mesh_filter: MeshFilter, target: int, run: Run) -> Mesh:
    """Ask again, for more or less, until the count is within the tolerance."""
    wish, best = target, mesh
    for attempt in range(ATTEMPTS):
        source = best if target < len(best.faces) < len(mesh.faces) else mesh
        found = tidied_surface(
            mesh_filter.decimate(source, wish, PartialRun(run, attempt / ATTEMPTS, (attempt + 1) / ATTEMPTS))
        )
        if not len(found.faces):
            raise StageFailed("it left nothing.")
        nearer = abs(len(found.faces) - target) < abs(len(best.faces) - target)
        best = found if nearer else best
        if not nearer or abs(len(best.faces) - target) <= TOLERANCE * target:
            break
        wish = max(4, round(wish * target / len(found.faces)))
    return best


def own_decimation(mesh: Mesh, target: int, run: Run) -> Mesh:
    """Edge collapses that cannot tear or fold (see ``edge_collapse``); vertices are a part of the given ones."""
    mesh = tidied_surface(mesh)
    low, _ = mesh.bounds_m
    places = (mesh.positions_m.astype(np.float64) - low) / (mesh.diagonal_m or 1.0)
    wedges = WedgeMesh(places, np.arange(len(places)), mesh.faces.astype(np.int64))
    return compacted(mesh.positions_m, collapse_edges(wedges, target, run).astype(np.int32))


def objection_to(found: Mesh, source: Mesh, target: int) -> str | None:
    """What is wrong with a decimated mesh, or None."""
    if abs(len(found.faces) - target) > TOLERANCE * target:
        return f"it made {len(found.faces):,} triangles of {target:,} wanted."
    if is_watertight(source) and not is_watertight(found):
        return "it opened a closed mesh."
    if edge_face_counts(found.faces).max() > max(2, edge_face_counts(source.faces).max()):
        return "it made non-manifold edges."
    folds = fold_count(found)
    if folds > 0.002 * len(found.faces) + 2 and folds > fold_count(source):
        return f"it folded the surface at {folds:,} edges."
    return None


def fold_count(mesh: Mesh) -> int:
    """Edges whose two faces turn back on each other."""
    pairs = half_edge_pairs(edge_table(mesh.faces)) // 3
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    return int((np.einsum("ij,ij->i", normals[pairs[:, 0]], normals[pairs[:, 1]]) < FOLD_COSINE).sum())
