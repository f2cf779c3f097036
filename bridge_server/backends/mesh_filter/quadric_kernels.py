# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
"""Quadrics of the own edge collapse (Garland and Heckbert 1997) in loops compiled by Numba.

Every function is plain Python too (``.py_func``), which the tests run beside the compiled one. Coordinates are shares
of the bounding box's diagonal, centred, in double precision, so that sums of quadrics keep distances of 1e-8.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

PULL = 1e-5
"""How strongly a new vertex is pulled to the middle of its edge, over the trace of its quadric: decides where the
planes leave it free. At borders over its area at most, or the heavy border would pull it off the surface."""
SHORT = 1e-9
"""Cost of a squared edge length, over the area: orders the collapses of a plane, which cost nothing, by length."""
SHELL_FACTOR = 10.0
"""How much dearer it is to lose a piece than to move as much surface as far."""
BORDER_WEIGHT = 25.0
"""How heavy a border edge holds its line, over the square of its length. At 5 the outline of a jagged sheet is still
missed by more than others miss it; above 50 the border keeps triangles that the surface needs."""
LIVE, HEAPED, TAG = 0, 1, 2


class Surface(NamedTuple):
    """A mesh while it is collapsed; all arrays change in place."""

    places: np.ndarray
    quadrics: np.ndarray
    """For each vertex the upper triangle of A, b, c and the area it stands for: x.A.x + 2 b.x + c."""
    faces: np.ndarray
    alive: np.ndarray
    first: np.ndarray
    """First corner (face * 3 + corner) at each vertex, -1 for none."""
    onward: np.ndarray
    """Next corner at the same vertex."""
    border: np.ndarray
    stamps: np.ndarray
    """Grow with every change of a vertex."""
    marks: np.ndarray
    owners: np.ndarray
    """For each vertex the one it went into; itself while it stands."""
    counts: np.ndarray
    """Faces alive, entries of the heap, last mark."""
    turn_length: float
    """How much turns of faces cost beside distances (see ``turn_cost`` of the collapse); 0: nothing."""
    least_area: float
    """Where turns cost: an error counts over this area at least, so that small tips stay."""


class Heap(NamedTuple):
    """Edges by cost; an entry is stale when the stamps of its ends have changed."""

    costs: np.ndarray
    ends: np.ndarray
    """Both vertices and the sum of their stamps."""


@njit(cache=True)
def link_corners(surface):
    """Chain the corners of each vertex."""
    for corner in range(surface.faces.size - 1, -1, -1):
        vertex = surface.faces[corner // 3, corner % 3]
        surface.onward[corner] = surface.first[vertex]
        surface.first[vertex] = corner


@njit(cache=True)
def add_plane(quadric, nx, ny, nz, offset, weight):
    """Add the weighted squared distance to the plane n.x + offset = 0."""
    quadric[0] += weight * nx * nx
    quadric[1] += weight * nx * ny
    quadric[2] += weight * nx * nz
    quadric[3] += weight * ny * ny
    quadric[4] += weight * ny * nz
    quadric[5] += weight * nz * nz
    quadric[6] += weight * nx * offset
    quadric[7] += weight * ny * offset
    quadric[8] += weight * nz * offset
    quadric[9] += weight * offset * offset


@njit(cache=True)
def cross_of(places, a, b, c):
    """Twice the area vector of a triangle."""
    ux, uy, uz = places[b, 0] - places[a, 0], places[b, 1] - places[a, 1], places[b, 2] - places[a, 2]
    vx, vy, vz = places[c, 0] - places[a, 0], places[c, 1] - places[a, 1], places[c, 2] - places[a, 2]
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@njit(cache=True)
def gather_quadrics(surface, weights):
    """Planes of all faces by area times weight, and the lines of border edges; marks borders."""
    for face in range(len(surface.faces)):
        a, b, c = surface.faces[face]
        nx, ny, nz = cross_of(surface.places, a, b, c)
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        if length <= 0.0:
            continue
        nx, ny, nz = nx / length, ny / length, nz / length
        p = surface.places[a]
        offset = -(nx * p[0] + ny * p[1] + nz * p[2])
        area = length / 6.0
        for corner in range(3):
            vertex = surface.faces[face, corner]
            add_plane(surface.quadrics[vertex], nx, ny, nz, offset, area * weights[face])
            surface.quadrics[vertex, 10] += area
            other = surface.faces[face, (corner + 1) % 3]
            if faces_between(surface, vertex, other) == 1:
                hold_border(surface, vertex, other, nx, ny, nz)


@njit(cache=True)
def sum_quadrics(quadrics, owners, result):
    """Add the quadric of each vertex to that of its owner; -1 has none."""
    for vertex in range(len(owners)):
        if owners[vertex] >= 0:
            for k in range(11):
                result[owners[vertex], k] += quadrics[vertex, k]


@njit(cache=True)
def hold_border(surface, start, end, nx, ny, nz):
    """The squared distance to the line of a border edge: to a plane upright on its face, and to that of the face."""
    surface.border[start] = 1
    surface.border[end] = 1
    p, q = surface.places[start], surface.places[end]
    ex, ey, ez = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    ux, uy, uz = ey * nz - ez * ny, ez * nx - ex * nz, ex * ny - ey * nx
    length = np.sqrt(ux * ux + uy * uy + uz * uz)
    if length > 0.0:
        ux, uy, uz = ux / length, uy / length, uz / length
        aside, above = -(ux * p[0] + uy * p[1] + uz * p[2]), -(nx * p[0] + ny * p[1] + nz * p[2])
        weight = BORDER_WEIGHT * length * length
        for vertex in (start, end):
            add_plane(surface.quadrics[vertex], ux, uy, uz, aside, weight)
            add_plane(surface.quadrics[vertex], nx, ny, nz, above, weight)


@njit(cache=True)
def faces_between(surface, a, b):
    """How many faces two vertices share."""
    found = 0
    corner = surface.first[a]
    while corner >= 0:
        face = corner // 3
        if surface.alive[face] and (
            surface.faces[face, 0] == b or surface.faces[face, 1] == b or surface.faces[face, 2] == b
        ):
            found += 1
        corner = surface.onward[corner]
    return found


@njit(cache=True)
def cost_at(q, r, x, y, z):
    """Error of two quadrics at a place."""
    cost = x * ((q[0] + r[0]) * x + 2.0 * ((q[1] + r[1]) * y + (q[2] + r[2]) * z + q[6] + r[6]))
    cost += y * ((q[3] + r[3]) * y + 2.0 * ((q[4] + r[4]) * z + q[7] + r[7]))
    return max(cost + z * ((q[5] + r[5]) * z + 2.0 * (q[8] + r[8])) + q[9] + r[9], 0.0)


@njit(cache=True)
def write_off(places, quadrics, vertex):
    """Count the error of a vertex from where it is: what is lost there no later collapse loses again.

    With errors that add up over all collapses, those to come would be spread to where nothing has gone yet.
    """
    x, y, z = places[vertex, 0], places[vertex, 1], places[vertex, 2]
    xy, xz, yz = quadrics[vertex, 1], quadrics[vertex, 2], quadrics[vertex, 4]
    error = x * (quadrics[vertex, 0] * x + 2.0 * (xy * y + xz * z + quadrics[vertex, 6]))
    error += y * (quadrics[vertex, 3] * y + 2.0 * (yz * z + quadrics[vertex, 7]))
    error += z * (quadrics[vertex, 5] * z + 2.0 * quadrics[vertex, 8])
    quadrics[vertex, 9] = -error


@njit(cache=True)
def write_off_all(places, quadrics):
    """As ``write_off``, for every vertex."""
    for vertex in range(len(places)):
        write_off(places, quadrics, vertex)


@njit(cache=True)
def best_place(surface, u, v):
    """Where the vertex of a collapsed edge goes, and what it costs."""
    return place_between(surface.places, surface.quadrics, surface.border, u, v)


@njit(cache=True)
def place_between(places, quadrics, border, u, v):
    """As ``best_place``, by single numbers: views of rows and who holds them cost more than the work."""
    px, py, pz, qx, qy, qz = places[u, 0], places[u, 1], places[u, 2], places[v, 0], places[v, 1], places[v, 2]
    mx, my, mz = 0.5 * (px + qx), 0.5 * (py + qy), 0.5 * (pz + qz)
    a, b, c = quadrics[u, 0] + quadrics[v, 0], quadrics[u, 1] + quadrics[v, 1], quadrics[u, 2] + quadrics[v, 2]
    d, e, f = quadrics[u, 3] + quadrics[v, 3], quadrics[u, 4] + quadrics[v, 4], quadrics[u, 5] + quadrics[v, 5]
    gx, gy, gz = quadrics[u, 6] + quadrics[v, 6], quadrics[u, 7] + quadrics[v, 7], quadrics[u, 8] + quadrics[v, 8]
    area = quadrics[u, 10] + quadrics[v, 10]
    # Move by the least step from the middle: (A + pull) step = -(A m + b)
    rx = -(a * mx + b * my + c * mz + gx)
    ry = -(b * mx + d * my + e * mz + gy)
    rz = -(c * mx + e * my + f * mz + gz)
    trace = a + d + f
    if border[u] or border[v]:
        trace = min(trace, area)
    pull = PULL * trace + 1e-300
    a2, d2, f2 = a + pull, d + pull, f + pull
    c00, c01, c02 = d2 * f2 - e * e, c * e - b * f2, b * e - c * d2
    c11, c12, c22 = a2 * f2 - c * c, b * c - a2 * e, a2 * d2 - b * b
    det = a2 * c00 + b * c01 + c * c02
    x, y, z = mx, my, mz
    if det > 0.0:
        x += (c00 * rx + c01 * ry + c02 * rz) / det
        y += (c01 * rx + c11 * ry + c12 * rz) / det
        z += (c02 * rx + c12 * ry + c22 * rz) / det
    cost = x * (a * x + 2.0 * (b * y + c * z + quadrics[u, 6] + quadrics[v, 6]))
    cost += y * (d * y + 2.0 * (e * z + quadrics[u, 7] + quadrics[v, 7]))
    cost = max(cost + z * (f * z + 2.0 * gz) + quadrics[u, 9] + quadrics[v, 9], 0.0)
    span = (px - qx) ** 2 + (py - qy) ** 2 + (pz - qz) ** 2
    return x, y, z, cost + SHORT * span * area


@njit(cache=True)
def shell_cost(surface, u, v):
    """What it costs to take a least shell away: all it stands for, moved by the length of an edge or more."""
    area = surface.quadrics[u, 10] + surface.quadrics[v, 10]
    p, q = surface.places[u], surface.places[v]
    return SHELL_FACTOR * area * ((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 + (p[2] - q[2]) ** 2)
