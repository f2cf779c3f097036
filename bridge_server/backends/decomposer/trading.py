"""Pieces made better without more of them: one is cut in two where two others join for less, and two are cut anew.

Joining two by two is greedy, and so is cutting; both leave pieces that nobody would choose together. A local search
mends that: every step lowers the volume of the hulls together with the price of the pieces.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64

from bridge_server.backends.decomposer.cuts import arrays_of, directions, even_planes
from bridge_server.backends.decomposer.folds import Plane, fold_planes

if TYPE_CHECKING:
    from manifold3d import Manifold

OFFSETS = 7
FOLDS = 10
TILTS_RAD = (0.3, 0.15, 0.07)
GAINS = 2e-3
"""Least saving that counts, as a share of the whole volume."""
ROUNDS = 40
TRIALS = 80
"""Pairs that are cut anew in one search, with success or without: it shall take seconds."""
TIDY = 1e-5
"""How far the surface may move so that unions lose the traces of earlier cuts, as a share of the size."""
LEAST_HALF = 1e-6
"""Smallest side of a cut, as a share of the volume."""
WORTH_CUTTING = 2.0
"""How many times the least saving two pieces have to be too large by to be cut anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """What one piece has to hold, and the piece."""

    solid: "Manifold"
    hull: "Manifold"
    hull_m3: float
    excess_m3: float


def block_of(solid: "Manifold") -> Block:
    """With its hull."""
    hull = solid.hull()
    volume = float(hull.volume())
    return Block(solid, hull, volume, volume - float(solid.volume()))


def united(solids: Sequence["Manifold"]) -> "Manifold":
    """One solid of several that touch."""
    from manifold3d import Manifold, OpType

    whole = Manifold.batch_boolean(list(solids), OpType.Add)
    low, high = np.array(whole.bounding_box()).reshape(2, 3)
    return whole.as_original().simplify(TIDY * float(np.linalg.norm(high - low)))


class Trade:
    """A set of blocks under improvement; answers about cuts and unions are kept."""

    def __init__(self, blocks: Sequence[Block], most: int, piece_m3: float) -> None:
        self.blocks = list(blocks)
        self.most = most
        self.piece_m3 = piece_m3
        self.least_m3 = GAINS * sum(float(block.solid.volume()) for block in blocks)
        self._halves: dict[Block, tuple[float, tuple[Block, Block] | None]] = {}
        self._losses: dict[tuple[Block, Block], float] = {}
        self._trials = TRIALS
        self._settled: set[tuple[Block, Block]] = set()

    def improve(self, go_on: Callable[[], bool]) -> bool:
        """Until nothing helps; False where it was told to stop before."""
        for _ in range(ROUNDS):
            if not go_on():
                return False
            if not (self._exchanged() or self._cut_anew(go_on)):
                break
        return True

    def _exchanged(self) -> bool:
        """The best cut of one block is taken, and paid for by the cheapest union of two others where need be."""
        ranked = sorted(((self._gain_m3(block), at) for at, block in enumerate(self.blocks)), reverse=True)
        pairs = sorted((self._loss_m3(*pair), pair) for pair in itertools.combinations(range(len(self.blocks)), 2))
        for gain_m3, at in ranked[:3]:
            if len(self.blocks) < self.most and gain_m3 > self.piece_m3 + self.least_m3:
                self._replace((at,), self._halves[self.blocks[at]][1] or ())
                return True
            loss_m3, pair = next(((loss, pair) for loss, pair in pairs if at not in pair), (np.inf, (0, 0)))
            if gain_m3 > loss_m3 + self.least_m3:
                both = self._union(pair)
                self._replace((at, *pair), (*(self._halves[self.blocks[at]][1] or ()), both))
                return True
        loss_m3, pair = pairs[0] if pairs else (np.inf, (0, 0))
        if loss_m3 + self.least_m3 < self.piece_m3:
            self._replace(pair, (self._union(pair),))
            return True
        return False

    def _cut_anew(self, go_on: Callable[[], bool]) -> bool:
        """Two neighbours united and cut elsewhere, those first that are too large by most."""
        pairs = [
            (one, two)
            for one, two in itertools.combinations(self.blocks, 2)
            if (one, two) not in self._settled
            and one.excess_m3 + two.excess_m3 > WORTH_CUTTING * self.least_m3
            and _touch(one, two)
        ]
        for one, two in sorted(pairs, key=lambda pair: -pair[0].excess_m3 - pair[1].excess_m3):
            if self._trials == 0 or not go_on():
                return False
            self._trials -= 1
            self._settled.add((one, two))
            halves = best_halves(united([one.solid, two.solid]))
            if halves is not None and sum(h.hull_m3 for h in halves) + self.least_m3 < one.hull_m3 + two.hull_m3:
                self._replace((self.blocks.index(one), self.blocks.index(two)), halves)
                return True
        return False

    def _replace(self, places: Sequence[int], new: Sequence[Block]) -> None:
        self.blocks = [block for at, block in enumerate(self.blocks) if at not in places] + list(new)

    def _union(self, pair: tuple[int, int]) -> Block:
        return block_of(united([self.blocks[at].solid for at in pair]))

    def _gain_m3(self, block: Block) -> float:
        if block not in self._halves:
            halves = best_halves(block.solid) if block.excess_m3 > self.least_m3 else None
            gain_m3 = 0.0 if halves is None else block.hull_m3 - sum(half.hull_m3 for half in halves)
            self._halves[block] = gain_m3, halves
        return self._halves[block][0]

    def _loss_m3(self, first: int, second: int) -> float:
        from manifold3d import Manifold

        one, two = self.blocks[first], self.blocks[second]
        if (one, two) not in self._losses:
            joint = float(Manifold.batch_hull([one.hull, two.hull]).volume())
            self._losses[one, two] = joint - one.hull_m3 - two.hull_m3
        return self._losses[one, two]


def best_halves(solid: "Manifold") -> tuple[Block, Block] | None:
    """The two sides of the plane found to leave the smallest hulls; None where none parts the solid."""
    positions, faces = arrays_of(solid)
    if len(faces) < 4:
        return None
    outline = Outline(positions, np.unique(np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0))
    planes = [*fold_planes(positions, faces, FOLDS), *even_planes(positions, directions(positions, faces), OFFSETS)]
    cost_m3, first = min((outline.hulls_m3(plane), number) for number, plane in enumerate(planes))
    if not np.isfinite(cost_m3):
        return None
    normal, offset = _turned(outline, planes[first], cost_m3)
    halves = solid.split_by_plane((float(normal[0]), float(normal[1]), float(normal[2])), float(offset))
    if any(half.volume() <= LEAST_HALF * solid.volume() for half in halves):
        return None
    return block_of(halves[0]), block_of(halves[1])


@dataclass(frozen=True, slots=True)
class Outline:
    """What the hulls of the two sides of a cut depend on."""

    positions: Float64[np.ndarray, "vertices 3"]
    edges: Int64[np.ndarray, "edges 2"]

    def hulls_m3(self, plane: Plane) -> float:
        """Volume of both hulls, without cutting the solid; infinite where all lies on one side."""
        from manifold3d import Manifold

        height = self.positions @ plane[0] - plane[1]
        above = height > 0.0
        if above.all() or not above.any():
            return np.inf
        cut = self.edges[above[self.edges[:, 0]] != above[self.edges[:, 1]]]
        share = height[cut[:, 0]] / (height[cut[:, 0]] - height[cut[:, 1]])
        start = self.positions[cut[:, 0]]
        crossing = start + share[:, None] * (self.positions[cut[:, 1]] - start)
        sides = (np.concatenate([self.positions[side], crossing]) for side in (above, ~above))
        return sum(float(Manifold.hull_points(points).volume()) for points in sides)


def _turned(outline: Outline, plane: Plane, cost_m3: float) -> Plane:
    """The plane tilted and moved by ever smaller steps while that is cheaper."""
    reach_m = float(np.ptp(outline.positions @ plane[0])) / (OFFSETS + 1)
    middle = outline.positions.mean(axis=0)
    for step, tilt in enumerate(TILTS_RAD, 1):
        normal, offset = plane
        foot = middle + (offset - middle @ normal) * normal
        across = np.cross(normal, np.eye(3)[int(np.argmin(np.abs(normal)))])
        across /= np.linalg.norm(across)
        trials: list[Plane] = [(normal, offset + sign * reach_m / 2.0**step) for sign in (-1.0, 1.0)]
        for side in (across, -across, np.cross(normal, across), -np.cross(normal, across)):
            turned = np.cos(tilt) * normal + np.sin(tilt) * side
            trials.append((turned, float(turned @ foot)))
        costs = [outline.hulls_m3(trial) for trial in trials]
        best = int(np.argmin(costs))
        if costs[best] < cost_m3:
            plane, cost_m3 = trials[best], costs[best]
    return plane


def _touch(one: Block, two: Block) -> bool:
    first, second = (np.array(block.solid.bounding_box()).reshape(2, 3) for block in (one, two))
    slack = 1e-3 * np.ptp(np.concatenate([first, second]), axis=0).max()
    return bool((first[0] <= second[1] + slack).all() and (second[0] <= first[1] + slack).all())
