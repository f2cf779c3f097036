"""Our own decomposition: cut the solid by planes into more parts than wanted, then join what joins cheaply.

CoACD and V-HACD measure hollows by sampled distances or on voxels. Exact booleans are quick enough to measure what
matters: each cut is judged by the volume of the hulls that it leaves, and what falls apart under a cut, as the
legs under a table top, becomes parts of their own (after Mamou 2016 and Wei et al. 2022). Every step takes
milliseconds, so the time limit gives the best so far, in this process.
"""

import importlib.util
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from bridge_server.backends.decomposer.base import Decomposition, DecompositionSettings
from bridge_server.backends.decomposer.cuts import Part, Prices, best_cut, part_of
from bridge_server.backends.decomposer.merging import merged
from bridge_server.backends.decomposer.trading import Trade, block_of, united
from bridge_server.backends.table import Availability
from bridge_server.errors import StageFailed
from bridge_server.run import Run
from bridge_server.values.convex import convex_hull
from bridge_server.values.mesh import Mesh
from bridge_server.values.solid import bounded_solid, mesh_of, simplified

if TYPE_CHECKING:
    from manifold3d import Manifold

SEARCH_TRIANGLES = 800
PARTS_A_PIECE = 3
"""How many times more parts than pieces are cut: joining undoes the cuts that turn out to be needless."""
MOST_PARTS = 48
CUT_PRICE = 0.2
"""Of a part while cutting, as a share of a piece's: what is cut in vain is joined again."""
GOOD_ENOUGH = 0.01
"""Excess volume at which cutting ends, as a share of the solid's volume; a part is left alone below a tenth of it."""
LEAST_THICKNESS = 1e-4
"""Of a piece, as a share of the diagonal."""
LEAST_PART = 1e-6
"""Smallest part, as a share of the solid's volume."""


@dataclass(frozen=True, slots=True)
class PlanesDecomposer:
    """Cuts by planes, judged by the volume of the hulls."""

    @property
    def identity(self) -> str:
        """Changes with the library and with how we search."""
        return f"planes 2 manifold {version('manifold3d')}"

    @classmethod
    def availability(cls) -> Availability:
        """Whether manifold3d is installed."""
        if importlib.util.find_spec("manifold3d") is None:
            return Availability(available=False, detail="manifold3d is missing.", remedy="pip install manifold3d")
        return Availability(available=True, detail=f"manifold3d {version('manifold3d')}")

    def decompose(self, solid: Mesh, settings: DecompositionSettings, run: Run) -> Decomposition:
        """Convex pieces, the largest first. Raises ``StageFailed`` where the mesh bounds no solid."""
        run.checkpoint(0.0, "convex decomposition")
        ends_s = time.monotonic() + settings.time_limit_s
        whole = bounded_solid(solid)
        if whole is None:
            raise StageFailed("the mesh bounds no solid.", subject="planes")
        simple = simplified(whole, SEARCH_TRIANGLES, solid.diagonal_m)
        parts, complete = _cut_apart(simple, settings, ends_s, run)
        pieces = merged(
            [part.hull for part in parts], settings.max_pieces, settings.piece_cost * float(simple.volume())
        )
        if not complete:
            return _decomposition([piece.hull for piece in pieces], solid.diagonal_m, False)
        trade = Trade(
            [block_of(united([parts[member].solid for member in piece.members])) for piece in pieces],
            settings.max_pieces,
            settings.piece_cost * float(simple.volume()),
        )

        def go_on() -> bool:
            run.checkpoint(0.9, "convex decomposition, refining")
            return time.monotonic() < ends_s

        complete = trade.improve(go_on)
        return _decomposition([block.hull for block in trade.blocks], solid.diagonal_m, complete)


def _decomposition(hulls: list["Manifold"], size_m: float, complete: bool) -> Decomposition:
    """The largest first; hulled anew, because cuts leave needles whose directions are rounding errors."""
    meshes = [convex_hull(mesh_of(hull).positions_m, LEAST_THICKNESS * size_m) for hull in hulls]
    meshes.sort(key=lambda mesh: -float(np.ptp(mesh.positions_m, axis=0).prod()))
    return Decomposition(pieces=tuple(meshes), complete=complete)


def _cut_apart(solid: "Manifold", settings: DecompositionSettings, ends_s: float, run: Run) -> tuple[list[Part], bool]:
    """Parts, and whether the search ended by itself: always the part whose hull is too large by most is cut."""
    volume = float(solid.volume())
    prices = Prices(piece_m3=CUT_PRICE * settings.piece_cost * volume, least_m3=LEAST_PART * volume)
    most = min(PARTS_A_PIECE * settings.max_pieces, max(MOST_PARTS, settings.max_pieces))
    open_parts = [part_of(group) for group in grouped(solid.decompose(), most)]
    closed: list[Part] = []
    while open_parts and len(open_parts) + len(closed) < most:
        if sum(part.excess_m3 for part in open_parts) <= GOOD_ENOUGH * volume:
            break
        if time.monotonic() > ends_s:
            return [*open_parts, *closed], False
        count = len(open_parts) + len(closed)
        run.checkpoint(min(0.9 * count / most, 0.9), f"convex decomposition, {count} parts")
        open_parts.sort(key=lambda part: part.excess_m3)
        worst = open_parts.pop()
        cut = best_cut(worst, prices) if worst.excess_m3 > 0.1 * GOOD_ENOUGH * volume else None
        if cut is None:
            closed.append(worst)
        else:
            open_parts += cut.parts
    return [*open_parts, *closed], True


def grouped(shells: list["Manifold"], most: int) -> list["Manifold"]:
    """Shells as they are, or so many groups of neighbours: around the largest and those farthest from the others."""
    if len(shells) <= most:
        return shells
    boxes = np.array([shell.bounding_box() for shell in shells]).reshape(-1, 2, 3)
    centers = boxes.mean(axis=1)
    chosen = [int(np.argmax([shell.volume() for shell in shells]))]
    away = np.linalg.norm(centers - centers[chosen[0]], axis=1)
    while len(chosen) < most:
        chosen.append(int(np.argmax(away)))
        away = np.minimum(away, np.linalg.norm(centers - centers[chosen[-1]], axis=1))
    owner = np.linalg.norm(centers[:, None] - centers[None, chosen], axis=2).argmin(axis=1)
    groups = [[shells[row] for row in np.flatnonzero(owner == number)] for number in range(most)]
    return [united(group) for group in groups if group]
