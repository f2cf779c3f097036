"""Stage ``lods``: levels of detail that share the UV layout and the textures of level 0."""

import itertools
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from bridge_server.backends.mesh_filter.base import MeshFilter, SeamedFilter
from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.errors import StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.stages.lod_half_edges import HalfEdgeLevels, largest_error_m
from bridge_server.stages.lod_hull import hull_level
from bridge_server.stages.lod_seams import SeamLevels
from bridge_server.stages.stage import Range, Stage, Wording
from bridge_server.values.base import Notice, Severity
from bridge_server.values.lod import Lod, LodChain
from bridge_server.values.mesh import UnwrappedMesh

LEAST_REDUCTION = 0.9
"""A level with more than this share of the triangles of the one before is not worth its memory."""
FARTHEST_SHARE = 0.1
"""A level that lies farther than this share of the diagonal from level 0 is another thing, at whatever size."""
LEAST_TRIANGLES = 4
LEAST_SCREEN_SIZE = 0.005


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
    """Simplify the unwrapped mesh level by level, without a crack along its seams.

    The mesh filter makes each level of level 0 where it can (``lod_seams``); otherwise vertices of a level are vertices
    of the level before. Normals stay those of level 0, which the normal map was baked for; tangents are MikkTSpace of
    each level. A hull, where one is wanted, has vertices of its own that lie on level 0.
    """

    name: ClassVar[str] = "lods"
    writes: ClassVar[str] = "lods"
    version: ClassVar[int] = 4
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
        below = self.count - 1 - with_hull
        levels_run = PartialRun(run, 0.0, below / max(self.count - 1, 1))
        maker: SeamLevels | HalfEdgeLevels = (
            SeamLevels.of(mesh_filter, raycaster, unwrapped, targets[:below], levels_run)
            if isinstance(mesh_filter, SeamedFilter)
            else HalfEdgeLevels(raycaster, base)
        )
        for level in range(1, below + 1):
            share = PartialRun(levels_run, (level - 1) / below, level / below)
            before, target = lods[-1], targets[level - 1]
            if level <= named and target > LEAST_REDUCTION * len(before.mesh.faces):
                notices.append(budget_left_out(target, len(before.mesh.faces)))
                continue
            made = maker.level(before, target, share)
            reached = len(made.mesh.faces)
            if reached > LEAST_REDUCTION * len(before.mesh.faces):
                message = f"The levels of detail end at {len(lods) - 1}: chart borders leave nothing more to simplify."
                notices.append(Notice(code="lods_ended", message=message, severity=Severity.INFO))
                break
            if made.error_m > FARTHEST_SHARE * base.diagonal_m:
                notices.append(too_far(len(lods) - 1, reached, made.error_m / base.diagonal_m))
                break
            if reached > 1.1 * target:
                message = (
                    f"Level {len(lods)} has {reached:,} triangles of {target:,} wanted: chart borders hold the rest."
                )
                notices.append(Notice(code="lod_above_target", message=message))
            lods.append(self._level(made.mesh, made.error_m, lods, base.diagonal_m))
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


def too_far(last: int, triangles: int, share: float) -> Notice:
    """The chain ends because a further level would be another thing."""
    return Notice(
        code="lods_ended",
        message=f"The levels of detail end at {last}: with {triangles:,} triangles the next would lie {share:.0%} of "
        "the size off.",
        severity=Severity.INFO,
        remedy="Lower lods.count, or raise lods.reduction or lods.budgets.",
    )


def seam_gap_m(mesh: UnwrappedMesh) -> float:
    """Widest distance between twins across a seam."""
    count = int(mesh.welded.max()) + 1
    low, high = np.full((count, 3), np.inf, np.float32), np.full((count, 3), -np.inf, np.float32)
    np.minimum.at(low, mesh.welded, mesh.positions_m)
    np.maximum.at(high, mesh.welded, mesh.positions_m)
    return float(np.linalg.norm((high - low).astype(np.float64), axis=1).max())
