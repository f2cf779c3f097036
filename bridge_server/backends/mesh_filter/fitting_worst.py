"""Worst first: after the fit, the few places that lie farthest are moved alone, by samples that are denser there.

The fit makes the mean small; its largest distance is chance by a few percent, and its samples miss the farthest
place. Here faces with far samples get more of them. Then the vertices at the farthest faces move by least squares that
weigh each sample by a power of its distance, as for a large norm (Lawson's way to the least maximum). A step stays
where it lowers the largest distance around and the mean of all samples grows by no more than a hundredth.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.fitting import (
    LEAST_COSINE,
    LOST_BACK,
    SOLVER_ROUNDS,
    Fit,
    Round,
    aim,
    damped_moves,
    far_around,
)
from bridge_server.backends.mesh_filter.sampling import Gap, back_places, border_vertices, farthest_at_faces

ROUNDS, STEPS = 24, 3
"""How often the farthest faces are looked for, and moved."""
SUSPECT = 0.5
"""Faces with a sample beyond this share of the largest distance get more of them."""
CORE = 0.75
"""Vertices move at faces with a sample beyond this share of the largest distance."""
CORES = (24, 5, 1)
"""So many faces at most, the farthest; fewer where that does not help: one that cannot move holds up the others."""
LATTICE = 5
"""Samples of a suspected face lie on a lattice with so many steps a side."""
MOST_FINE = 20_000
"""Most samples that are added each way."""
SEARCHED, MOST_SEARCHED = 4_000_000, 1_000
"""How many pairs of a sample and a face are looked at for those that walks have lost, of so many samples at most."""
POWER = 6
SHARES = (1.0, 0.4, 0.15)
"""Shares of a step that are tried."""
DEARER = 1.01
"""How much the mean may grow."""
LEAST_GAIN = 1e-3
SHARPEST = -0.8
"""As ``LEAST_FOLD`` of the fit: a few places may come out as sharper edges where that brings them near."""


@dataclass(slots=True, eq=False)
class Worst:
    """A fit with denser samples where it is far; the added ones have no weight in the mean."""

    fit: Fit
    onto_light: Gap
    onto_dense: Gap
    back_faces: Int64[np.ndarray, "back"]
    back_shares: Float64[np.ndarray, "back 3"]
    growth: float = 0.0
    """How much the mean of both ways together has grown."""

    @property
    def farthest(self) -> Float64[np.ndarray, "faces"]:
        """The largest distance of a sample at each light face."""
        here, back = (self.onto_light.found.faces, self.onto_light), (self.back_faces, self.onto_dense)
        return farthest_at_faces(len(self.fit.light.faces), here, back)


def worst_first(fit: Fit, best: Round, owners: Int32[np.ndarray, "dense"]) -> Worst:
    """The round with its farthest places nearer: the light mesh of the fit, with the samples returned.

    ``owners`` are those of ``Light``.
    """
    restore(fit, best)
    worst = denser(fit, owners)
    mean = sum(float(np.sqrt(gap.found.squares) @ gap.weights) for gap in (worst.onto_light, worst.onto_dense))
    for _ in range(ROUNDS):
        if not any(moved(worst, core_of(worst.farthest, most), (DEARER - 1.0) * mean) for most in CORES):
            break
    return worst


def restore(fit: Fit, best: Round) -> None:
    """Bring the fit to the state of a round."""
    if np.array_equal(fit.light.places, best.places) and np.array_equal(fit.light.faces, best.faces):
        return
    fit.light.places[...], fit.light.faces[...] = best.places, best.faces
    fit.light.list_again()
    compiled_loops("turning").opposite_faces(fit.light.surface, fit.opposite)
    faces, shares, _ = back_places(fit.light)
    fit.onto_dense.points[...] = fit.light.at(faces, shares)
    fit.onto_light.walk(fit.light)
    fit.onto_dense.find(fit.dense, LOST_BACK)


def lattice(steps: int) -> Float64[np.ndarray, "places 3"]:
    """Barycentric weights on a regular lattice over a triangle, its corners among them."""
    one, two = (grid.reshape(-1) for grid in np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij"))
    inside = one + two <= steps
    return np.stack([one, two, steps - one - two], axis=1)[inside] / steps


def denser(fit: Fit, owners: Int32[np.ndarray, "dense"]) -> Worst:
    """More samples around far ones: a lattice on light faces, and the dense vertices and faces that went there."""
    faces, shares, weights = back_places(fit.light)
    around = far_around(fit)
    limit = SUSPECT * around.max(initial=0.0)
    places = lattice(LATTICE)
    light_faces = ranked(around[fit.light.faces].max(axis=1), limit, MOST_FINE // len(places))
    more_faces, more_shares = np.repeat(light_faces, len(places)), np.tile(places, (len(light_faces), 1))
    nearest_dense = np.zeros(len(fit.light.faces), np.int32)
    nearest_dense[faces] = fit.onto_dense.found.faces
    onto_dense = joined(fit.onto_dense, weights, fit.light.at(more_faces, more_shares), nearest_dense[more_faces])
    there = np.where(owners >= 0, around[owners], 0.0)
    vertices = ranked(there, limit, MOST_FINE)
    inside = ranked(there[fit.dense.faces].min(axis=1), limit, MOST_FINE)
    corners = fit.dense.faces[inside]
    points = np.concatenate([fit.dense.places[vertices], fit.dense.places[corners].mean(axis=1)])
    starts = fit.light.first_face[owners[np.concatenate([vertices, corners[:, 0]])]]
    onto_light = joined(fit.onto_light, fit.onto_light.weights, points, starts)
    for gap, before, onto in ((onto_light, fit.onto_light, fit.light), (onto_dense, fit.onto_dense, fit.dense)):
        gap.walk(onto, np.arange(len(before.points), len(gap.points)))
        gap.search(onto, min(max(SEARCHED // len(onto.faces), LOST_BACK), MOST_SEARCHED))
    return Worst(
        fit, onto_light, onto_dense, np.concatenate([faces, more_faces]), np.concatenate([shares, more_shares])
    )


def ranked(far: Float64[np.ndarray, "n"], limit: float, most: int) -> Int64[np.ndarray, "rows"]:
    """What lies beyond a limit, the farthest first, so many at most."""
    rows = np.flatnonzero(far > limit)
    return rows[np.argsort(-far[rows], kind="stable")][:most]


def joined(
    gap: Gap, weights: Float64[np.ndarray, "samples"], points: Float64[np.ndarray, "more 3"], starts: np.ndarray
) -> Gap:
    """A gap with more samples, which have no weight, and have not walked yet."""
    more = Gap.of(
        np.concatenate([gap.points, points]),
        np.concatenate([gap.found.faces, starts]),
        np.concatenate([weights, np.zeros(len(points))]),
    )
    more.found.shares[: len(gap.points)] = gap.found.shares
    more.found.squares[: len(gap.points)] = gap.found.squares
    return more


def core_of(farthest: Float64[np.ndarray, "faces"], most: int) -> Bool[np.ndarray, "faces"]:
    """The faces that lie farthest."""
    rows = np.argsort(-farthest, kind="stable")[:most]
    core = np.zeros(len(farthest), np.bool_)
    core[rows[farthest[rows] >= CORE * farthest[rows[0]]]] = True
    return core


def moved(worst: Worst, core: Bool[np.ndarray, "faces"], most: float) -> bool:
    """Move the vertices of some faces, but those of borders, as long as that helps; whether it did."""
    fit = worst.fit
    free = np.zeros(len(fit.light.places), np.bool_)
    free[fit.light.faces[core]] = True
    free &= (fit.held == 0) & ~border_vertices(fit.light.faces, fit.opposite, len(free))
    near = free[fit.light.faces].any(axis=1)
    held = (~free).astype(np.uint8)
    helped = False
    for _ in range(STEPS):
        rows, back = np.flatnonzero(near[worst.onto_light.found.faces]), np.flatnonzero(near[worst.back_faces])
        if not free.any() or not step(worst, (rows, back), held, most):
            break
        helped = True
    return helped


def step(worst: Worst, rows: tuple[np.ndarray, np.ndarray], held: np.ndarray, most: float) -> bool:
    """One step of the free vertices by the samples named, those onto the light mesh first; taken back if no use."""
    fit, loops = worst.fit, compiled_loops("fitting")
    gaps = (worst.onto_light, worst.onto_dense)
    kept = [tuple(array[row] for array in gap.found) for gap, row in zip(gaps, rows, strict=True)]
    largest = float(np.sqrt(max(found[3].max(initial=0.0) for found in kept)))
    sum_before = weighed(gaps, rows)
    before, normals = fit.light.places.copy(), fit.light.normals()
    near = np.flatnonzero((held[fit.light.faces] == 0).any(axis=1))
    moves = wanted_moves(worst, rows, held, largest)
    for share in SHARES:
        fit.light.places[...] = before + share * moves
        loops.undo_turns(fit.light.surface, fit.opposite, near, before, normals, LEAST_COSINE, SHARPEST)
        worst.onto_dense.points[rows[1]] = fit.light.at(worst.back_faces[rows[1]], worst.back_shares[rows[1]])
        for gap, onto, row in zip(gaps, (fit.light, fit.dense), rows, strict=True):
            gap.walk(onto, row)
        after = np.sqrt(max(gap.found.squares[row].max(initial=0.0) for gap, row in zip(gaps, rows, strict=True)))
        growth = worst.growth + weighed(gaps, rows) - sum_before
        if after < (1.0 - LEAST_GAIN) * largest and growth <= most:
            worst.growth = growth
            return True
        for gap, row, found in zip(gaps, rows, kept, strict=True):
            for array, values in zip(gap.found, found, strict=True):
                array[row] = values
    fit.light.places[...] = before
    return False


def weighed(gaps: tuple[Gap, Gap], rows: tuple[np.ndarray, np.ndarray]) -> float:
    """What some samples add to the mean."""
    return sum(float(np.sqrt(gap.found.squares[row]) @ gap.weights[row]) for gap, row in zip(gaps, rows, strict=True))


def wanted_moves(
    worst: Worst, rows: tuple[np.ndarray, np.ndarray], held: np.ndarray, largest: float
) -> Float64[np.ndarray, "vertices 3"]:
    """Least squares with weights by a power of the distance."""
    fit, here, there = worst.fit, worst.onto_light.found, worst.onto_dense.found
    squares = np.concatenate([here.squares[rows[0]], there.squares[rows[1]]])
    count = len(squares)
    pulls = compiled_loops("fitting").Pulls(
        faces=np.concatenate([here.faces[rows[0]], worst.back_faces[rows[1]].astype(np.int32)]),
        shares=np.concatenate([here.shares[rows[0]], worst.back_shares[rows[1]]]),
        directions=np.zeros((count, 3)),
        residuals=np.zeros(count),
        weights=(squares / max(largest * largest, 1e-300)) ** (POWER / 2) / count,
    )
    surface, normals = fit.light.surface, fit.light.normals()
    aim(pulls, surface, normals, here.points[rows[0]], fit.dense.at(there.faces[rows[1]], there.shares[rows[1]]))
    return damped_moves(surface, pulls, held, SOLVER_ROUNDS)
