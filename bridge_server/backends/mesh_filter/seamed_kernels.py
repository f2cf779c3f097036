# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
"""Compiled loops of the collapse that keeps seams: quadrics of place and texture together, places that fit both sides.

A wedge is a point with texture coordinates; a point on a seam has one on each side. A quadric lives in five dimensions
(Garland and Heckbert 1998, "Simplifying surfaces with color and texture using quadric error metrics"): the weighted
squared distance to the planes of the faces, and to the lines of borders and seams, in space and texture at once. Both
wedges of a point on a seam share its place, so the best place there is sought in seven dimensions.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from bridge_server.backends.mesh_filter.quadric_kernels import PULL, SHORT

INNER, BORDER, SEAM, MEETING, FIXED = 0, 1, 2, 3, 4
"""Kinds of points: off all lines; on one border; on one seam; where three seams or more meet; where a line ends or a
seam meets a border, or where the surface is none."""
A, B, C = 0, 15, 20
"""Where the parts of a quadric begin: upper triangle, vector, number."""
LIMITS = ((0.25, 0.03), (0.25, 0.0))
"""As in ``collapse_kernels``."""


class Seamed(NamedTuple):
    """A mesh while it is collapsed; all arrays change in place. Lengths are shares of the diagonal."""

    places: np.ndarray
    """Of the points."""
    uvs: np.ndarray
    """Of the wedges, scaled so that they compare with lengths."""
    quadrics: np.ndarray
    """Of the wedges, 21 numbers each."""
    areas: np.ndarray
    """What each point stands for."""
    faces: np.ndarray
    """Points."""
    corners: np.ndarray
    """Wedges."""
    alive: np.ndarray
    first: np.ndarray
    """First corner (face * 3 + corner) at each point, -1 for none."""
    onward: np.ndarray
    border: np.ndarray
    kinds: np.ndarray
    stamps: np.ndarray
    marks: np.ndarray
    ahead: np.ndarray
    """Next wedge along the outline of its chart, for wedges of points on one line."""
    behind: np.ndarray
    drift: np.ndarray
    """How far the outline has moved on the texture at a wedge."""
    counts: np.ndarray
    """Faces alive, entries of the heap, last mark."""


class Bench(NamedTuple):
    """Where one collapse is worked out."""

    pair: np.ndarray
    """Wedges of the point that goes and of the one that stays, of the first and the second side."""
    spot: np.ndarray
    """Place, then texture coordinates of each side."""
    middle: np.ndarray
    matrix: np.ndarray
    moved: np.ndarray
    """Drift of each side."""
    both: np.ndarray
    """Quadrics of both wedges together, of the first and the second side."""


@njit(cache=True)
def coordinates(surface, point, wedge, out):
    """Place and texture coordinates in one."""
    for k in range(3):
        out[k] = surface.places[point, k]
    out[3], out[4] = surface.uvs[wedge, 0], surface.uvs[wedge, 1]


@njit(cache=True)
def add_flat(quadric, base, one, two, both, weight):
    """Add the weighted squared distance to the line through ``base`` along ``one``, or the plane along both."""
    on_one, on_two, square = 0.0, 0.0, 0.0
    for i in range(5):
        on_one += base[i] * one[i]
        on_two += base[i] * two[i] * both
        square += base[i] * base[i]
    k = A
    for i in range(5):
        quadric[B + i] += weight * (on_one * one[i] + on_two * two[i] - base[i])
        for j in range(i, 5):
            quadric[k] += weight * ((1.0 if i == j else 0.0) - one[i] * one[j] - both * two[i] * two[j])
            k += 1
    quadric[C] += weight * (square - on_one * on_one - on_two * on_two)


@njit(cache=True)
def edge_between(surface, u, v, pair):
    """How many faces two points share (3 for more than two), and the wedges of both on the first two."""
    found = 0
    corner = surface.first[u]
    while corner >= 0:
        face, at = corner // 3, corner % 3
        if surface.alive[face]:
            for step in (1, 2):
                other = (at + step) % 3
                if surface.faces[face, other] == v:
                    if found == 2:
                        return 3
                    pair[2 * found], pair[2 * found + 1] = surface.corners[face, at], surface.corners[face, other]
                    found += 1
        corner = surface.onward[corner]
    return found


@njit(cache=True)
def is_smooth(shared, pair):
    """Whether texture runs on across an edge."""
    return shared == 2 and pair[0] == pair[2] and pair[1] == pair[3]


@njit(cache=True)
def cost_of(quadrics, start, spot, side):
    """Error of the quadric that begins at ``start``, at a spot, on one side."""
    total = quadrics[start + C]
    k = start + A
    for i in range(5):
        x = spot[i if i < 3 else i + 2 * side]
        row = 2.0 * quadrics[start + B + i] + quadrics[k] * x
        k += 1
        for j in range(i + 1, 5):
            row += 2.0 * quadrics[k] * spot[j if j < 3 else j + 2 * side]
            k += 1
        total += row * x
    return max(total, 0.0)


@njit(cache=True)
def may_go(one, two, line):
    """Whether a point of the first kind may go onto one of the second, along an edge of a kind of line."""
    if line == INNER:
        return one == INNER
    onto_meeting = two >= MEETING
    if one == line:
        return onto_meeting or two == line
    return line == SEAM and one == MEETING and onto_meeting


@njit(cache=True)
def plan(surface, bench, u, v):
    """Which point goes and which stays (-1 where the edge may not go), on how many sides, freely or not, the cost.

    The wedges stand in ``bench.pair``, the new place in ``bench.spot``.
    """
    pair = bench.pair
    shared = edge_between(surface, u, v, pair)
    if shared == 0 or shared > 2:
        return -1, -1, 0, False, 0.0
    line = INNER if is_smooth(shared, pair) else (BORDER if shared == 1 else SEAM)
    sides = 2 if line == SEAM else 1
    if not may_go(surface.kinds[u], surface.kinds[v], line):
        if not may_go(surface.kinds[v], surface.kinds[u], line):
            return -1, -1, 0, False, 0.0
        u, v = v, u
        for side in range(sides):
            pair[2 * side], pair[2 * side + 1] = pair[2 * side + 1], pair[2 * side]
    one, two = surface.kinds[u], surface.kinds[v]
    free = one == line and two == line
    add_up(surface, bench, sides)
    if free:
        solve(surface, bench, u, v, sides)
    else:
        take_end(surface, bench, v, sides)
    cost, span = 0.0, 0.0
    if one == MEETING:
        cost = cost_of_others(surface, bench, u, sides)
    for side in range(sides):
        cost += cost_of(bench.both, 21 * side, bench.spot, side)
    for k in range(3):
        span += (surface.places[u, k] - surface.places[v, k]) ** 2
    return u, v, sides, free, cost + SHORT * span * (surface.areas[u] + surface.areas[v])


@njit(cache=True)
def add_up(surface, bench, sides):
    """Fill ``bench.both``."""
    for side in range(sides):
        q, r = surface.quadrics[bench.pair[2 * side]], surface.quadrics[bench.pair[2 * side + 1]]
        for k in range(21):
            bench.both[21 * side + k] = q[k] + r[k]


@njit(cache=True)
def take_end(surface, bench, v, sides):
    """The spot where the point that stays is."""
    for k in range(3):
        bench.spot[k] = surface.places[v, k]
    for side in range(sides):
        for k in range(2):
            bench.spot[3 + 2 * side + k] = surface.uvs[bench.pair[2 * side + 1], k]


@njit(cache=True)
def cost_of_others(surface, bench, point, sides):
    """What it costs the wedges of a point that do not lie at the edge to come along to the spot with their texture."""
    total = 0.0
    corner = surface.first[point]
    while corner >= 0:
        wedge = surface.corners[corner // 3, corner % 3]
        known = not surface.alive[corner // 3]
        for side in range(sides):
            known |= bench.pair[2 * side] == wedge
        seen = surface.first[point]
        while seen != corner and not known:
            known |= surface.alive[seen // 3] != 0 and surface.corners[seen // 3, seen % 3] == wedge
            seen = surface.onward[seen]
        if not known:
            bench.middle[:3] = bench.spot[:3]
            bench.middle[3], bench.middle[4] = surface.uvs[wedge, 0], surface.uvs[wedge, 1]
            total += cost_of(surface.quadrics[wedge], 0, bench.middle, 0)
        corner = surface.onward[corner]
    return total


@njit(cache=True)
def solve(surface, bench, u, v, sides):
    """The spot of least error near the middle of the edge."""
    size = 3 + 2 * sides
    pair, spot, middle, matrix, both = bench.pair, bench.spot, bench.middle, bench.matrix, bench.both
    for k in range(3):
        middle[k] = 0.5 * (surface.places[u, k] + surface.places[v, k])
    for side in range(sides):
        for k in range(2):
            one, two = surface.uvs[pair[2 * side], k], surface.uvs[pair[2 * side + 1], k]
            middle[3 + 2 * side + k] = 0.5 * (one + two)
    for i in range(size):
        spot[i] = 0.0
        for j in range(size):
            matrix[i, j] = 0.0
    for side in range(sides):
        k = 21 * side + A
        for i in range(5):
            row = i if i < 3 else i + 2 * side
            pull = both[21 * side + B + i] + both[k] * middle[row]
            matrix[row, row] += both[k]
            k += 1
            for j in range(i + 1, 5):
                column = j if j < 3 else j + 2 * side
                matrix[column, row] += both[k]
                pull += both[k] * middle[column]
                spot[column] -= both[k] * middle[row]
                k += 1
            spot[row] -= pull
    trace = 1e-300
    for i in range(size):
        trace += matrix[i, i]
    for i in range(size):
        matrix[i, i] += PULL * trace
    solved(matrix, spot, size)
    for i in range(size):
        spot[i] += middle[i]


@njit(cache=True, error_model="numpy")
def solved(matrix, right, size):
    """Solve in place by the square root of a positive matrix (Cholesky); 0 where it is none.

    Only the lower triangle is read; its diagonal becomes the inverse of that of the root.
    """
    for i in range(size):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i > j:
                matrix[i, j] = total * matrix[j, j]
            elif total > 0.0:
                matrix[i, i] = 1.0 / np.sqrt(total)
            else:
                right[:size] = 0.0
                return
    for i in range(size):
        for k in range(i):
            right[i] -= matrix[i, k] * right[k]
        right[i] *= matrix[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            right[i] -= matrix[k, i] * right[k]
        right[i] *= matrix[i, i]
