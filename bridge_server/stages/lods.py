"""Stage ``lods``: levels of detail that share the UV layout and the textures of level 0."""

import itertools
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Int64

from bridge_server.backends.mesh_filter.base import MeshFilter
from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.errors import StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.stages.edge_collapse import WedgeMesh, collapse_edges
from bridge_server.stages.lod_hull import hull_level
from bridge_server.stages.mesh_distance import surface_distance
from bridge_server.stages.stage import Range, Stage, Wording
from bridge_server.stages.tangent_frames import mikktspace_tangents, split_by_tangent
from bridge_server.values.base import Notice, Severity
from bridge_server.values.lod import Lod, LodChain
from bridge_server.values.mesh import Mesh, UnwrappedMesh

UV_WEIGHT = 0.5
"""How heavy a shift of the texture weighs, over a shift of the surface by as much."""
OUTLINE_STEPS = (0.5, 2.0, np.inf)
"""How far chart outlines may move, in paddings of the atlas; the next step is taken where the target is not met."""
USUAL_GROWTH, WORTH_IT = 1.3, 0.8
"""An error that grows by more than this times the loss of triangles comes from outlines that hold too much: the level
is made again from the second step on, and kept where its error is less than this share of the first."""
LEAST_REDUCTION = 0.9
"""A level with more than this share of the triangles of the one before is not worth its memory."""
LEAST_TRIANGLES = 4
LEAST_SCREEN_SIZE = 0.005
DISTANCE_SAMPLES = 10_000


def budgets_of(text: str) -> list[int]:
    """Numbers out of ``4000,1500,400``. Raises ``ValueError`` for what is no such list."""
    words = [word.strip() for word in text.split(",")] if text.strip() else []
    numbers = [int(word) if word.isdecimal() else 0 for word in words]
    falls = all(later < earlier for earlier, later in itertools.pairwise(numbers))
    if any(number < LEAST_TRIANGLES for number in numbers) or not falls:
        raise ValueError(
            f"must be numbers like 4000,1500,400, each at least {LEAST_TRIANGLES} and less than the one before, "
            f"not {text!r}"
        )
    return numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Lods(Stage):
    """Simplify the unwrapped mesh level by level; vertices of a level are vertices of the level before.

    Normals stay those of level 0, which the normal map was baked for; tangents are MikkTSpace of each level. A hull,
    where one is wanted, has vertices of its own that lie on level 0.
    """

    name: ClassVar[str] = "lods"
    writes: ClassVar[str] = "lods"
    version: ClassVar[int] = 3
    count: Annotated[int, Range(1, 8)] = 3
    """Levels, level 0 included."""
    reduction: Annotated[float, Range(0.05, 0.95)] = 0.5
    """Share of the triangles that each level keeps of the one before, where ``budgets`` gives it none."""
    budgets: Annotated[str, Wording(budgets_of)] = ""
    """Most triangles of levels 1, 2, ... with commas between, e.g. ``4000,1500,400``."""
    pixel_error: Annotated[float, Range(0.1, 16.0)] = 1.0
    """A level is shown once its largest error covers no more than so many pixels of the screen."""
    screen_lines: Annotated[int, Range(240, 8640)] = 1080
    """Lines of the screen that ``pixel_error`` is meant for."""
    last_level_hull: bool = False
    """Whether the last of ``count`` levels is a closed hull, which no seam of level 0 keeps from being light."""
    hull_triangles: Annotated[int, Range(20, 4000)] = 300
    """Most triangles of that hull."""

    def __call__(
        self, run: Run, mesh_filter: MeshFilter, raycaster: Raycaster, *, unwrapped: UnwrappedMesh
    ) -> LodChain:
        """Fewer levels come back, with a notice, where the mesh cannot be simplified any further."""
        targets = level_targets(len(unwrapped.faces), self.count, self.reduction, self.budgets)
        lods = [Lod(mesh=unwrapped, screen_size=1.0, error_m=0.0, seam_gap_m=seam_gap_m(unwrapped))]
        notices: list[Notice] = []
        base = unwrapped.welded_mesh()
        named = len(budgets_of(self.budgets))
        with_hull = self.last_level_hull and self.count > 1
        for level in range(1, self.count - with_hull):
            share = PartialRun(run, (level - 1) / (self.count - 1), level / (self.count - 1))
            before = lods[-1].mesh
            target = targets[level - 1]
            if level <= named and target > LEAST_REDUCTION * len(before.faces):
                notices.append(budget_left_out(target, len(before.faces)))
                continue
            mesh = simplified(before, target, PartialRun(share, 0.0, 0.6))
            reached = len(mesh.faces)
            if reached > LEAST_REDUCTION * len(before.faces):
                message = f"The levels of detail end at {len(lods) - 1}: chart borders leave nothing more to simplify."
                notices.append(Notice(code="lods_ended", message=message, severity=Severity.INFO))
                break
            if reached > 1.1 * target:
                message = (
                    f"Level {len(lods)} has {reached:,} triangles of {target:,} wanted: chart borders hold the rest."
                )
                notices.append(Notice(code="lod_above_target", message=message))
            error_m = largest_error_m(raycaster, base, mesh, PartialRun(share, 0.6, 0.7))
            if len(lods) > 1 and error_m > USUAL_GROWTH * lods[-1].error_m * len(before.faces) / max(reached, 1):
                looser = simplified(before, target, PartialRun(share, 0.7, 0.9), OUTLINE_STEPS[1:])
                looser_m = largest_error_m(raycaster, base, looser, PartialRun(share, 0.9, 1.0))
                if looser_m < WORTH_IT * error_m:
                    mesh, error_m = looser, looser_m
            lods.append(self._level(mesh, error_m, lods, base.diagonal_m))
        if with_hull:
            share = PartialRun(run, (self.count - 2) / (self.count - 1), 1.0)
            backends = mesh_filter, raycaster
            hull, told = hull_level(backends, unwrapped, self.hull_triangles, PartialRun(share, 0.0, 0.9))
            notices += told
            if len(hull.faces) <= LEAST_REDUCTION * len(lods[-1].mesh.faces):
                error_m = largest_error_m(raycaster, base, hull, PartialRun(share, 0.9, 1.0))
                lods.append(self._level(hull, error_m, lods, base.diagonal_m))
            else:
                message = f"A hull of {len(hull.faces):,} triangles is hardly lighter than level {len(lods) - 1}."
                remedy = "Lower lods.hull_triangles or lods.count, or set lods.last_level_hull to false."
                notices.append(Notice(code="no_lod_hull", message=message, remedy=remedy))
        return LodChain(lods=tuple(lods), notices=tuple(notices))

    def _level(self, mesh: UnwrappedMesh, error_m: float, before: list[Lod], diagonal_m: float) -> Lod:
        """The level with its screen size: where its error is small enough, and less than that of the one before."""
        sparser = (len(mesh.faces) / len(before[-1].mesh.faces)) ** 0.5
        visible = self.pixel_error * diagonal_m / (self.screen_lines * max(error_m, 1e-12 * diagonal_m))
        least = LEAST_SCREEN_SIZE * sparser ** len(before)
        size = max(min(visible, before[-1].screen_size * sparser), least)
        return Lod(mesh=mesh, screen_size=size, error_m=error_m, seam_gap_m=seam_gap_m(mesh))


def level_targets(triangles: int, count: int, reduction: float, budgets: str) -> list[int]:
    """Triangles wanted of levels 1 and up. Raises ``StageFailed`` for budgets that are no falling numbers."""
    try:
        numbers = budgets_of(budgets)
    except ValueError as error:
        raise StageFailed(f"its budgets {error}.", subject=Lods.name) from error
    targets = [min(number, triangles) for number in numbers[: count - 1]]
    while len(targets) < count - 1:
        targets.append(max(round((targets[-1] if targets else triangles) * reduction), LEAST_TRIANGLES))
    return targets


def budget_left_out(target: int, before: int) -> Notice:
    """A level would be as heavy as the one before."""
    return Notice(
        code="lod_budget_left_out",
        message=f"The level of {target:,} triangles in lods.budgets is left out: the one before it has {before:,}.",
        remedy="Lower that budget, or take it out.",
    )


def largest_error_m(raycaster: Raycaster, base: Mesh, mesh: UnwrappedMesh, run: Run) -> float:
    """Largest sampled distance to level 0, both ways."""
    return surface_distance(raycaster, base, mesh.welded_mesh(), DISTANCE_SAMPLES, run).largest_m


def simplified(
    mesh: UnwrappedMesh, triangle_count: int, run: Run, outline_steps: tuple[float, ...] = OUTLINE_STEPS
) -> UnwrappedMesh:
    """About so many triangles, by collapses that tear no seam; more where chart borders do not allow fewer."""
    points = mesh.welded.astype(np.int64)
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum()
    flat = mesh.uvs.astype(np.float64)[mesh.faces]
    side, other = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    uv_area = np.abs(side[:, 0] * other[:, 1] - side[:, 1] * other[:, 0]).sum()
    low, high = mesh.positions_m.min(axis=0), mesh.positions_m.max(axis=0)
    diagonal = float(np.linalg.norm(high.astype(np.float64) - low)) or 1.0
    uv_scale = UV_WEIGHT * float(np.sqrt(area / max(uv_area, 1e-12))) / diagonal
    places = (mesh.positions_m.astype(np.float64) - low) / diagonal
    coordinates = np.concatenate([places, mesh.uvs.astype(np.float64) * uv_scale], axis=1)
    faces = mesh.faces.astype(np.int64)
    for step, paddings in enumerate(outline_steps):
        part = PartialRun(run, step / len(outline_steps), (step + 1) / len(outline_steps))
        tolerance = paddings * mesh.padding_px / max(mesh.atlas_px, 1) * uv_scale
        faces = collapse_edges(WedgeMesh(coordinates, points, faces), triangle_count, part, tolerance)
        if len(faces) <= triangle_count:
            break
    return with_faces(mesh, faces)


def with_faces(mesh: UnwrappedMesh, faces: Int64[np.ndarray, "faces 3"]) -> UnwrappedMesh:
    """The mesh with other faces over the same vertices; tangents are made anew, unused vertices go."""
    chart_of_vertex = np.zeros(len(mesh.positions_m), np.int32)
    chart_of_vertex[mesh.faces.reshape(-1)] = np.repeat(mesh.charts, 3)
    used, inverse = np.unique(faces, return_inverse=True)
    local = inverse.reshape(-1, 3).astype(np.int32)
    tangents = mikktspace_tangents(mesh.positions_m[used], mesh.normals[used], mesh.uvs[used], local)
    split = split_by_tangent(local, tangents)
    origin = used[split.vertices]
    return replace(
        mesh,
        positions_m=mesh.positions_m[origin],
        normals=mesh.normals[origin],
        tangents=split.tangents,
        uvs=mesh.uvs[origin],
        lightmap_uvs=None if mesh.lightmap_uvs is None else mesh.lightmap_uvs[origin],
        faces=split.faces,
        charts=chart_of_vertex[faces[:, 0]],
        welded=np.unique(mesh.welded[origin], return_inverse=True)[1].reshape(-1).astype(np.int32),
        notices=(),
    )


def seam_gap_m(mesh: UnwrappedMesh) -> float:
    """Widest distance between twins across a seam."""
    count = int(mesh.welded.max()) + 1
    low, high = np.full((count, 3), np.inf, np.float32), np.full((count, 3), -np.inf, np.float32)
    np.minimum.at(low, mesh.welded, mesh.positions_m)
    np.maximum.at(high, mesh.welded, mesh.positions_m)
    return float(np.linalg.norm((high - low).astype(np.float64), axis=1).max())
