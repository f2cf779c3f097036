"""Rounding an outline: how thick a thing is whose silhouette is known and nothing else.

The square of the half thickness solves a Poisson equation over the outline, which makes a disc a sphere exactly and
keeps every outline smooth up to its rim; its size then follows the largest balls that fit into the outline, so that
a long bar becomes as thick as it is wide. All lengths are grid cells.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from scipy import ndimage, sparse
from scipy.sparse import linalg

LEAST_FRACTION = 0.08
"""Nearest that the outline may come to a grid node, for the sake of the equation's condition."""


@dataclass(frozen=True, slots=True)
class Inflation:
    """What an outline tells of the thickness at each grid node."""

    square: Float32[np.ndarray, "across up"]
    """Half thickness squared; continued below zero outside the outline with the same slope."""
    radius: Float32[np.ndarray, "across up"]
    """Radius of the largest ball that covers the node, continued outwards."""


def inflate(level: Float64[np.ndarray, "across up"]) -> Inflation:
    """Thickness of the outline ``level > 0``; the level crosses zero at the outline with sub-cell precision."""
    inside = level > 0.0
    fractions = _outline_fractions(level, inside)
    smooth = _solve(inside, fractions)
    distance, (rows, columns) = ndimage.distance_transform_edt(inside, return_indices=True)
    overshoot = _rim_distance(_outline_fractions(-level, ~inside))[rows, columns]
    depth = np.where(inside, np.maximum(distance - overshoot, LEAST_FRACTION), 0.0)
    balls, radius = _largest_balls(depth)
    reach = max(1.0, 0.15 * float(depth.max()))
    ratio = ndimage.gaussian_filter(balls, reach) / np.maximum(ndimage.gaussian_filter(smooth, reach), 1e-9)
    square = np.where(inside, smooth * np.clip(ratio, 0.0, 1.2), 0.0)
    _, (rows, columns) = ndimage.distance_transform_edt(~inside, return_indices=True)
    beyond = _rim_slope(square, depth)[rows, columns] * _distance_outside(level)
    radius = ndimage.gaussian_filter(radius[rows, columns], reach)
    return Inflation(np.where(inside, square, beyond).astype(np.float32), radius.astype(np.float32))


def _rim_slope(
    square: Float64[np.ndarray, "across up"], depth: Float64[np.ndarray, "across up"]
) -> Float64[np.ndarray, "across up"]:
    """How fast the thickness squared rises from the rim, evened out along it."""
    trusted = ((depth > 0.7) & (depth < 4.0)).astype(np.float64)
    slope = square / np.maximum(depth, LEAST_FRACTION)
    if not trusted.any():
        return slope
    mass = ndimage.gaussian_filter(trusted, 2.0)
    mean = ndimage.gaussian_filter(slope * trusted, 2.0) / np.maximum(mass, 1e-9)
    return np.where(mass > 1e-3, mean, slope)


def _distance_outside(level: Float64[np.ndarray, "across up"]) -> Float64[np.ndarray, "across up"]:
    """Signed distance of outside nodes: exact to first order beside the outline, and at most the last one further."""
    along, up = np.gradient(level)
    near = level / np.maximum(np.hypot(along, up), 0.05)
    away = ndimage.distance_transform_edt(level <= 0.0)
    return np.where(away <= 1.5, np.clip(near, -2.0, -0.02), -np.maximum(away - 0.5, 1.0))


_SIDES = ((0, 1), (0, -1), (1, 1), (1, -1))


def _outline_fractions(
    level: Float64[np.ndarray, "across up"], inside: Bool[np.ndarray, "across up"]
) -> Float64[np.ndarray, "4 across up"]:
    """For each inside node and side: how far the outline is, in cells; 0 where that neighbour is inside too."""
    fractions = np.zeros((4, *level.shape))
    for side, (axis, step) in enumerate(_SIDES):
        beyond = np.roll(level, -step, axis)
        out = inside & ~np.roll(inside, -step, axis)
        fractions[side][out] = np.clip(level[out] / (level[out] - beyond[out]), LEAST_FRACTION, 1.0)
    return fractions


def _rim_distance(fractions: Float64[np.ndarray, "4 across up"]) -> Float64[np.ndarray, "across up"]:
    """Distance to a straight outline through the nearest crossings along both axes; large where there are none."""
    inverse = np.divide(1.0, fractions, out=np.zeros_like(fractions), where=fractions > 0.0)
    steep = np.maximum(inverse[0], inverse[1]) ** 2 + np.maximum(inverse[2], inverse[3]) ** 2
    return np.asarray(1.0 / np.sqrt(np.maximum(steep, 1e-12)))


def _solve(
    inside: Bool[np.ndarray, "across up"], fractions: Float64[np.ndarray, "4 across up"]
) -> Float64[np.ndarray, "across up"]:
    """Solve laplacian(u) = -4 with u = 0 on the outline.

    The outline between two nodes is met by the symmetric ghost-fluid stencil (Gibou et al. 2002).
    """
    numbers = np.full(inside.shape, -1, np.int64)
    numbers[inside] = np.arange(int(inside.sum()))
    diagonal = np.zeros(inside.shape)
    rows, columns = [], []
    for side, (axis, step) in enumerate(_SIDES):
        neighbour = np.roll(numbers, -step, axis)
        joined = inside & (neighbour >= 0)
        rows.append(numbers[joined])
        columns.append(neighbour[joined])
        diagonal[joined] += 1.0
        met = fractions[side] > 0.0
        diagonal[met] += 1.0 / fractions[side][met]
    count = int(inside.sum())
    row, column = np.concatenate(rows), np.concatenate(columns)
    matrix = sparse.csc_array((-np.ones(len(row)), (row, column)), shape=(count, count))
    matrix = matrix + sparse.dia_array((diagonal[inside][None], [0]), shape=(count, count))
    solution = np.zeros(inside.shape)
    solution[inside] = linalg.spsolve(matrix.tocsc(), np.full(count, 4.0), permc_spec="MMD_AT_PLUS_A")
    return solution


def _largest_balls(
    depth: Float64[np.ndarray, "across up"],
) -> tuple[Float64[np.ndarray, "across up"], Float64[np.ndarray, "across up"]]:
    """Half thickness squared of the union of all balls that fit, and the radius of the ball that is highest there.

    The upper envelope of parabolas is separable (Felzenszwalb and Huttenlocher, "Distance transforms of sampled
    functions", 2012).
    """
    height = np.where(depth > 0.0, depth**2, -np.inf)
    centers = depth.copy()
    for axis in (0, 1):
        height, choice = _envelope(height, axis)
        centers = np.take_along_axis(centers, choice, axis)
    return np.maximum(height, 0.0), centers


def _envelope(
    height: Float64[np.ndarray, "across up"], axis: int
) -> tuple[Float64[np.ndarray, "across up"], Int64[np.ndarray, "across up"]]:
    lines = np.moveaxis(height, axis, 0)
    count = len(lines)
    best, choice = np.full(lines.shape, -np.inf), np.zeros(lines.shape, np.int64)
    for shift in range(-count + 1, count):
        low, high = max(0, shift), min(count, count + shift)
        here, there = slice(low, high), slice(low - shift, high - shift)
        value = lines[there] - float(shift * shift)
        better = value > best[here]
        best[here] = np.where(better, value, best[here])
        choice[here] = np.where(better, np.arange(count)[there, None], choice[here])
    return np.moveaxis(best, 0, axis), np.moveaxis(choice, 0, axis)
