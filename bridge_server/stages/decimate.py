"""Stage ``decimate``: the high poly becomes a low poly of the wanted triangle count."""

import enum
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np

from bridge_server.backends.mesh_filter.base import MESH_FILTERS, CountingFilter, MeshFilter
from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.errors import BackendUnavailable, StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.stages.decimate_budgets import least_within, triangles_within
from bridge_server.stages.decimate_colours import colour_aware
from bridge_server.stages.edge_collapse import WedgeMesh, collapse_edges
from bridge_server.stages.mesh_distance import distance_from, surface_distance
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.base import Notice, Severity
from bridge_server.values.mesh import HighPoly, LowPoly, Mesh, edge_face_counts
from bridge_server.values.mesh_split import tidied_surface
from bridge_server.values.mesh_topology import compacted, edge_table, half_edge_pairs, piece_count

QUICK_FILTERS = ("quick", "simplification")
WITHIN = 2
"""A count is met when no more than so many triangles are missing, and none is too many: one collapse takes two."""
ATTEMPTS = 4
COARSE_FACTOR, COARSE_LEAST = 10, 100_000
"""The slow fallback starts from so many times the wanted count, and at least so many."""
OVERSHOOT = 1.02
"""A filter that leaves up to so many times the count is corrected by the own collapse instead of being asked again."""
FOLD_COSINE = -0.9
"""Two neighbours that turn back on each other like this are a fold."""
DISTANCE_SAMPLES, PREVIEW_SAMPLES = 20_000, 4_000
PREVIEW_FACES = 64_000
"""Of so many faces, evenly picked, those of a preview's samples are drawn."""


class Quality(enum.StrEnum):
    """How much time the result is worth."""

    PREVIEW = "preview"
    FINAL = "final"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decimate(Stage):
    """Reduce to the wanted count, to one triangle; closed meshes stay closed.

    Where an error or a size is bounded as well, the tightest of the three holds.
    """

    name: ClassVar[str] = "decimate"
    writes: ClassVar[str] = "low_poly"
    version: ClassVar[int] = 5
    triangle_count: Annotated[int, Range(12, 2_000_000)] = 10_000
    """Most triangles of the low poly, which becomes LOD0."""
    max_error_share: Annotated[float, Range(0.0, 0.2)] = 0.0
    """Where above 0: as few triangles as keep every place within this share of the diagonal, both ways."""
    file_budget_kb: Annotated[float, Range(0.0, 1_000_000.0)] = 0.0
    """Where above 0: most kilobytes (of 1,000) that the geometry of LOD0 may take in the GLB, its maps not counted."""
    attribute_weight: Annotated[float, Range(0.0, 0.2)] = 0.0
    """Where above 0: vertices keep to colour borders, a full change of colour counting as a shift by this share of the
    diagonal. 0 leaves colour to the maps."""
    quality: Quality = Quality.FINAL
    """``preview`` takes the quick filter and measures one way only, ``final`` the filter chosen as backend."""

    def __call__(self, run: Run, mesh_filter: MeshFilter, raycaster: Raycaster, *, high_poly: HighPoly) -> LowPoly:
        """The distance to the high poly is measured both ways. Raises ``StageFailed`` where nothing would be left."""
        mesh = high_poly.mesh
        target = self.triangle_count
        if self.file_budget_kb > 0.0:
            target = min(target, triangles_within(self.file_budget_kb * 1000.0))
        preview = self.quality is Quality.PREVIEW
        if preview and (quick := quick_filter()) is not None:
            mesh_filter = quick
        unheard: list[Notice] = []
        if self.attribute_weight > 0.0:
            mesh_filter = colour_aware(mesh_filter, raycaster, high_poly, self.attribute_weight, unheard)

        def attempt(count: int, part: Run) -> tuple[LowPoly, list[Notice]]:
            return attempted(mesh, count, (mesh_filter, raycaster), preview, part)

        if self.max_error_share > 0.0:
            bound_m = self.max_error_share * mesh.diagonal_m
            low_poly, notices = least_within(attempt, min(target, len(mesh.faces)), bound_m, run)
        else:
            low_poly, notices = attempt(target, run)
        return replace(low_poly, notices=(*unheard, *notices))


def attempted(
    mesh: Mesh, target: int, backends: tuple[MeshFilter, Raycaster], preview: bool, run: Run
) -> tuple[LowPoly, list[Notice]]:
    """Decimate to a count and measure the distance."""
    mesh_filter, raycaster = backends
    notices: list[Notice] = []
    if len(mesh.faces) <= target:
        found, method = tidied_surface(mesh), "kept"
        count = f"{len(mesh.faces):,} triangle{'s' if len(mesh.faces) > 1 else ''}"
        message = f"The mesh has {count}, no more than wanted, and was kept as it is."
        notices.append(Notice(code="fewer_triangles", message=message, severity=Severity.INFO))
    else:
        found, method = decimated(mesh, target, mesh_filter, notices, PartialRun(run, 0.0, 0.8))
    if not len(found.faces):
        raise StageFailed("no triangle is left.", subject=Decimate.name, remedy="Raise decimate.triangle_count.")
    measuring = PartialRun(run, 0.8, 1.0)
    distance = (
        distance_from(raycaster, thinned(mesh, PREVIEW_FACES), found, PREVIEW_SAMPLES, measuring)
        if preview
        else surface_distance(raycaster, mesh, found, DISTANCE_SAMPLES, measuring)
    )
    low_poly = LowPoly(
        mesh=found,
        target_triangle_count=target,
        hausdorff_m=distance.largest_m,
        mean_distance_m=distance.mean_m,
        method=method,
    )
    return low_poly, notices


def thinned(mesh: Mesh, most: int) -> Mesh:
    """Every n-th face, ``most`` at most."""
    return replace(mesh, faces=mesh.faces[:: -(-len(mesh.faces) // most)])


def decimated(mesh: Mesh, target: int, mesh_filter: MeshFilter, notices: list[Notice], run: Run) -> tuple[Mesh, str]:
    """The result of the filter, or of the own edge collapse where the filter fails, tears or folds the mesh."""
    try:
        found = on_target(mesh, mesh_filter, target, PartialRun(run, 0.0, 0.7))
        objection = objection_to(found, mesh, target)
    except StageFailed as error:
        found, objection = mesh, error.message
    if objection is None:
        notices += lost_pieces(mesh, found, mesh_filter)
        return found, mesh_filter.identity
    own = own_decimation(reduced_quickly(mesh, target, PartialRun(run, 0.7, 0.8)), target, PartialRun(run, 0.8, 1.0))
    if objection_to(own, mesh, target) is None or found is mesh:
        message = f"The filter {mesh_filter.identity} was refused: {objection} The own edge collapse served instead."
        notices.append(Notice(code="decimate_fallback", message=message))
        return own, "edge collapse"
    message = f"What the filter made was kept, though {objection}"
    notices.append(Notice(code="decimate_imperfect", message=message))
    return found, mesh_filter.identity


def lost_pieces(before: Mesh, after: Mesh, mesh_filter: MeshFilter) -> list[Notice]:
    """A notice where whole pieces have gone for the sake of the count."""
    count = mesh_filter.piece_count if isinstance(mesh_filter, CountingFilter) else piece_count
    counts = [count(mesh) for mesh in (before, after)]
    if counts[1] >= counts[0]:
        return []
    message = f"{counts[0] - counts[1]:,} of {counts[0]:,} separate pieces are too small for this count and went."
    return [Notice(code="decimate_pieces_lost", message=message, remedy="Raise decimate.triangle_count to keep them.")]


def reduced_quickly(mesh: Mesh, target: int, run: Run) -> Mesh:
    """What the slow fallback starts from."""
    quick, coarse = quick_filter(), max(COARSE_FACTOR * target, COARSE_LEAST)
    if quick is None or len(mesh.faces) <= coarse:
        return mesh
    reduced = tidied_surface(quick.decimate(mesh, coarse, run))
    return reduced if objection_to(reduced, mesh, len(reduced.faces)) is None else mesh


def quick_filter() -> MeshFilter | None:
    """The filter for previews, the first one that is installed."""
    for name in QUICK_FILTERS:
        try:
            return MESH_FILTERS.load(MESH_FILTERS.choose(name))
        except BackendUnavailable:
            continue
    return None


def on_target(mesh: Mesh, mesh_filter: MeshFilter, target: int, run: Run) -> Mesh:
    """Ask again, for more or less, until the count is met; the own collapse takes off a few that are too many."""
    wish, best = target, mesh
    for attempt in range(ATTEMPTS):
        source = best if target < len(best.faces) < len(mesh.faces) else mesh
        found = tidied_surface(
            mesh_filter.decimate(source, wish, PartialRun(run, attempt / ATTEMPTS, (attempt + 1) / ATTEMPTS))
        )
        if not len(found.faces):
            raise StageFailed("it left nothing.")
        if target < len(found.faces) <= OVERSHOOT * target:
            found = own_decimation(found, target, run)
        nearer = abs(len(found.faces) - target) < abs(len(best.faces) - target)
        best = found if nearer else best
        if not nearer or is_met(len(best.faces), target):
            break
        wish = max(4, round(wish * target / len(found.faces)) + WITHIN)
    return best


def is_met(count: int, target: int) -> bool:
    """Whether a count is the wanted one, to one collapse, and no more than it."""
    return target - WITHIN <= count <= target


def own_decimation(mesh: Mesh, target: int, run: Run) -> Mesh:
    """Edge collapses that cannot tear or fold (see ``edge_collapse``); vertices are a part of the given ones."""
    mesh = tidied_surface(mesh)
    low, _ = mesh.bounds_m
    places = (mesh.positions_m.astype(np.float64) - low) / (mesh.diagonal_m or 1.0)
    wedges = WedgeMesh(places, np.arange(len(places)), mesh.faces.astype(np.int64))
    return compacted(mesh.positions_m, collapse_edges(wedges, target, run).astype(np.int32))


def objection_to(found: Mesh, source: Mesh, target: int) -> str | None:
    """What is wrong with a decimated mesh, or None."""
    if not is_met(len(found.faces), target):
        return f"it made {len(found.faces):,} triangles of {target:,} wanted."
    counts = edge_face_counts(found.faces)
    if (counts != 2).any():
        before = edge_face_counts(source.faces)
        if (before == 2).all():
            return "it opened a closed mesh."
        if counts.max() > max(2, before.max()):
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
