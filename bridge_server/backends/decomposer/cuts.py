"""Which plane cuts a solid into parts whose hulls are smallest together.

One look ahead is short-sighted: a ring loses nothing by its first cut and everything by its second. So where no cut
saves much, the most promising ones are judged by what the next cut of their parts would save.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from bridge_server.backends.decomposer.folds import Plane, fold_planes

if TYPE_CHECKING:
    from manifold3d import Manifold

OFFSETS = 9
"""Evenly spaced cuts along each direction."""
COARSE_OFFSETS = 3
COARSE_FOLDS = 3
FOLDS = 24
REFINE_STEPS = 3
SAVES_ENOUGH = 0.3
"""A cut that saves this share of what the part's hull is too large by needs no second look."""
LOOK_AHEAD = 4
"""Cuts that get a second look, of each direction two at most."""
SAME_DIRECTION = 0.99
MOST_A_CUT = 8
"""Where a cut leaves more pieces, its two sides stay together, as those of a pile of crumbs."""
WORTH_A_LOOK = 10.0
"""How many pieces the excess of a part must be worth for a second look."""


@dataclass(frozen=True, slots=True)
class Part:
    """A connected piece of the solid with its hull."""

    solid: "Manifold"
    hull: "Manifold"

    @property
    def excess_m3(self) -> float:
        """How much larger the hull is."""
        return float(self.hull.volume() - self.solid.volume())


@dataclass(frozen=True, slots=True)
class Cut:
    """A plane, the parts it leaves, and what they cost."""

    plane: Plane
    parts: tuple[Part, ...]
    cost_m3: float
    """Volume of their hulls, and the price of each part."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What a cut is judged by."""

    piece_m3: float
    """Volume that a further part has to save."""
    least_m3: float
    """Parts smaller than this are rounding errors."""


def part_of(solid: "Manifold") -> Part:
    """With its hull."""
    return Part(solid, solid.hull())


def best_cut(part: Part, prices: Prices) -> Cut | None:
    """The cheapest cut found; None where no plane parts anything."""
    positions, faces = arrays_of(part.solid)
    axes = directions(positions, faces)
    planes = [*fold_planes(positions, faces, FOLDS), *even_planes(positions, axes, OFFSETS)]
    cuts = sorted(_cuts(part, planes, prices), key=lambda cut: cut.cost_m3)
    if not cuts:
        return None
    best = cuts[0]
    saves_m3 = part.hull.volume() + prices.piece_m3 - best.cost_m3
    if saves_m3 < SAVES_ENOUGH * part.excess_m3 and part.excess_m3 > WORTH_A_LOOK * prices.piece_m3:
        best = min(_promising(cuts), key=lambda cut: cut.cost_m3 - sum(next_saving(one, prices) for one in cut.parts))
    reach_m = float(np.ptp(positions @ best.plane[0])) / (OFFSETS + 1)
    return _refined(part, best, reach_m, prices)


def next_saving(part: Part, prices: Prices) -> float:
    """Volume that a coarse search for the part's own cut saves."""
    if part.excess_m3 <= 2.0 * prices.piece_m3:
        return 0.0
    positions, faces = arrays_of(part.solid)
    planes = [
        *fold_planes(positions, faces, COARSE_FOLDS),
        *even_planes(positions, directions(positions, faces), COARSE_OFFSETS),
    ]
    least = min((cut.cost_m3 for cut in _cuts(part, planes, prices)), default=np.inf)
    return max(float(part.hull.volume() + prices.piece_m3 - least), 0.0)


def cut_by(part: Part, plane: Plane, prices: Prices) -> Cut | None:
    """None where the plane leaves everything on one side."""
    normal, offset = plane
    halves = part.solid.split_by_plane((float(normal[0]), float(normal[1]), float(normal[2])), float(offset))
    if any(half.volume() <= prices.least_m3 for half in halves):
        return None
    pieces = [piece for half in halves for piece in half.decompose()]
    if len(pieces) > MOST_A_CUT:
        pieces = list(halves)
    parts = tuple(part_of(piece) for piece in pieces if piece.volume() > prices.least_m3)
    return Cut(plane, parts, sum(one.hull.volume() + prices.piece_m3 for one in parts))


def even_planes(
    positions: Float64[np.ndarray, "vertices 3"], axes: list[Float64[np.ndarray, "3"]], count: int
) -> Iterator[Plane]:
    """Evenly spaced across each axis."""
    for axis in axes:
        along = positions @ axis
        low, high = float(along.min()), float(along.max())
        for step in range(1, count + 1):
            yield axis, low + (high - low) * step / (count + 1)


def directions(positions: Float64[np.ndarray, "vertices 3"], faces: np.ndarray) -> list[Float64[np.ndarray, "3"]]:
    """The axes of space, and the principal axes of the surface where they lie otherwise."""
    corners = positions[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    areas = np.linalg.norm(cross, axis=1)
    middle = corners.mean(axis=1)
    centered = middle - (middle * areas[:, None]).sum(axis=0) / max(float(areas.sum()), 1e-300)
    own = np.linalg.eigh((centered * areas[:, None]).T @ centered)[1].T
    found = list(np.eye(3))
    found += [axis for axis in own if max(abs(float(axis @ other)) for other in found) < 0.98]
    return found


def arrays_of(solid: "Manifold") -> tuple[Float64[np.ndarray, "vertices 3"], np.ndarray]:
    """Positions and faces."""
    mesh = solid.to_mesh()
    return np.asarray(mesh.vert_properties[:, :3], np.float64), np.asarray(mesh.tri_verts, np.int64)


def _cuts(part: Part, planes: Iterable[Plane], prices: Prices) -> list[Cut]:
    return [cut for plane in planes if (cut := cut_by(part, plane, prices)) is not None]


def _promising(cuts: list[Cut]) -> list[Cut]:
    chosen: list[Cut] = []
    for cut in cuts:
        alike = sum(abs(float(cut.plane[0] @ other.plane[0])) > SAME_DIRECTION for other in chosen)
        if alike < 2:
            chosen.append(cut)
        if len(chosen) == LOOK_AHEAD:
            break
    return chosen


def _refined(part: Part, best: Cut, reach_m: float, prices: Prices) -> Cut:
    """The cut moved along its normal by ever smaller steps while that is cheaper."""
    normal, offset = best.plane
    for _ in range(REFINE_STEPS):
        reach_m /= 2.0
        for moved in (offset - reach_m, offset + reach_m):
            cut = cut_by(part, (normal, moved), prices)
            if cut is not None and cut.cost_m3 < best.cost_m3:
                best = cut
        offset = best.plane[1]
    return best
