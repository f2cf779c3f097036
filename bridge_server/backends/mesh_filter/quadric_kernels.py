# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
"""Compiled loops of the own edge collapse (Garland and Heckbert 1997), by Numba.

Every function is plain Python too (``.py_func``), which the tests run beside the compiled one. Coordinates are shares
of the bounding box's diagonal, centred, in double precision, so that sums of quadrics keep distances of 1e-8.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

PULL = 1e-5
"""How strongly a new vertex is pulled to the middle of its edge, over the trace of its quadric: decides where the
planes leave it free."""
SHORT = 1e-9
"""Cost of a squared edge length, over the area: orders the collapses of a plane, which cost nothing, by length."""
LIMITS = ((0.25, 0.02), (0.25, 0.0), (0.0, 0.0), (-0.5, 0.0))
"""How far a face may turn in a collapse (cosine), and the shape of the worst triangle it may make (1 is equilateral)
where it was twice as good before. The next pair where nothing else reaches the target."""
BORDER_WEIGHT = 2.0
"""How heavy a border edge holds its line, over the square of its length."""
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
    """Planes of all faces by area times weight, and planes upright on border edges; marks borders."""
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
def hold_border(surface, start, end, nx, ny, nz):
    """A plane through a border edge, upright on its face."""
    surface.border[start] = 1
    surface.border[end] = 1
    p, q = surface.places[start], surface.places[end]
    ex, ey, ez = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    ux, uy, uz = ey * nz - ez * ny, ez * nx - ex * nz, ex * ny - ey * nx
    length = np.sqrt(ux * ux + uy * uy + uz * uz)
    if length > 0.0:
        ux, uy, uz = ux / length, uy / length, uz / length
        offset = -(ux * p[0] + uy * p[1] + uz * p[2])
        weight = BORDER_WEIGHT * length * length
        add_plane(surface.quadrics[start], ux, uy, uz, offset, weight)
        add_plane(surface.quadrics[end], ux, uy, uz, offset, weight)


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
def best_place(surface, u, v):
    """Where the vertex of a collapsed edge goes, and what it costs."""
    p, q = surface.places[u], surface.places[v]
    s, t = surface.quadrics[u], surface.quadrics[v]
    mx, my, mz = 0.5 * (p[0] + q[0]), 0.5 * (p[1] + q[1]), 0.5 * (p[2] + q[2])
    a, b, c, d, e, f = s[0] + t[0], s[1] + t[1], s[2] + t[2], s[3] + t[3], s[4] + t[4], s[5] + t[5]
    gx, gy, gz = s[6] + t[6], s[7] + t[7], s[8] + t[8]
    # Move by the least step from the middle: (A + pull) step = -(A m + b)
    rx = -(a * mx + b * my + c * mz + gx)
    ry = -(b * mx + d * my + e * mz + gy)
    rz = -(c * mx + e * my + f * mz + gz)
    pull = PULL * (a + d + f) + 1e-300
    a2, d2, f2 = a + pull, d + pull, f + pull
    c00, c01, c02 = d2 * f2 - e * e, c * e - b * f2, b * e - c * d2
    det = a2 * c00 + b * c01 + c * c02
    x, y, z = mx, my, mz
    if det > 0.0:
        x += (c00 * rx + c01 * ry + c02 * rz) / det
        y += (c01 * rx + (a2 * f2 - c * c) * ry + (b * c - a2 * e) * rz) / det
        z += (c02 * rx + (b * c - a2 * e) * ry + (a2 * d2 - b * b) * rz) / det
    cost = cost_at(s, t, x, y, z)
    span = (p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 + (p[2] - q[2]) ** 2
    return x, y, z, cost + SHORT * span * (s[10] + t[10])


@njit(cache=True)
def push_edge(surface, heap, u, v):
    """Put an edge in the heap."""
    cost = best_place(surface, u, v)[3]
    stamp = surface.stamps[u] + surface.stamps[v]
    place = surface.counts[HEAPED]
    surface.counts[HEAPED] += 1
    costs, ends = heap.costs, heap.ends
    while place > 0:
        above = (place - 1) >> 2
        if costs[above] <= cost:
            break
        costs[place] = costs[above]
        ends[place, 0], ends[place, 1], ends[place, 2] = ends[above, 0], ends[above, 1], ends[above, 2]
        place = above
    costs[place] = cost
    ends[place, 0], ends[place, 1], ends[place, 2] = u, v, stamp


@njit(cache=True)
def drop_first(surface, heap):
    """Take the cheapest entry off."""
    costs, ends = heap.costs, heap.ends
    surface.counts[HEAPED] -= 1
    last = surface.counts[HEAPED]
    cost = costs[last]
    place = 0
    while True:
        below = 4 * place + 1
        if below >= last:
            break
        least = below
        for child in range(below + 1, min(below + 4, last)):
            if costs[child] < costs[least]:
                least = child
        if costs[least] >= cost:
            break
        costs[place] = costs[least]
        ends[place, 0], ends[place, 1], ends[place, 2] = ends[least, 0], ends[least, 1], ends[least, 2]
        place = least
    costs[place] = cost
    ends[place, 0], ends[place, 1], ends[place, 2] = ends[last, 0], ends[last, 1], ends[last, 2]


@njit(cache=True)
def fill_heap(surface, heap):
    """All edges of the faces alive, each once."""
    surface.counts[HEAPED] = 0
    for face in range(len(surface.faces)):
        if surface.alive[face]:
            for corner in range(3):
                u, v = surface.faces[face, corner], surface.faces[face, (corner + 1) % 3]
                if u < v or faces_between(surface, u, v) == 1:
                    push_edge(surface, heap, u, v)


@njit(cache=True)
def prune(surface, vertex):
    """Unchain the corners of faces that are gone; the number of faces left."""
    before, corner, count = -1, surface.first[vertex], 0
    while corner >= 0:
        if surface.alive[corner // 3]:
            before = corner
            count += 1
        elif before < 0:
            surface.first[vertex] = surface.onward[corner]
        else:
            surface.onward[before] = surface.onward[corner]
        corner = surface.onward[corner]
    return count


@njit(cache=True)
def keeps_topology(surface, u, v):
    """Link condition (Dey et al. 1999); no piece folds flat or vanishes. Chains of both ends are pruned."""
    around = prune(surface, u) + prune(surface, v)
    surface.counts[TAG] += 2
    tag = surface.counts[TAG]
    marks = surface.marks
    corner = surface.first[u]
    while corner >= 0:
        for k in range(3):
            marks[surface.faces[corner // 3, k]] = tag
        corner = surface.onward[corner]
    joined = marks[v] == tag
    marks[u] = 0
    marks[v] = 0
    shared, common = 0, 0
    corner = surface.first[v]
    while corner >= 0:
        face, at = corner // 3, corner % 3
        a, b = surface.faces[face, (at + 1) % 3], surface.faces[face, (at + 2) % 3]
        for w in (a, b):
            if marks[w] == tag:
                marks[w] = tag + 1
                common += 1
        if u in (a, b):
            shared += 1
            apex = a + b - u
            if prune(surface, apex) < (2 if surface.border[apex] else 4):
                return False
        corner = surface.onward[corner]
    if not joined or shared > 2 or common != shared or around <= 2 * shared:
        return False
    return not (shared == 2 and surface.border[u] and surface.border[v])


@njit(cache=True)
def keeps_shape(surface, u, v, x, y, z, least_cosine, least_quality):
    """No face around u, but those at v, turns over or becomes a sliver when u moves."""
    places = surface.places
    corner = surface.first[u]
    while corner >= 0:
        face, at = corner // 3, corner % 3
        b, c = surface.faces[face, (at + 1) % 3], surface.faces[face, (at + 2) % 3]
        if v not in (b, c):
            ox, oy, oz = cross_of(places, u, b, c)
            p, q = places[b], places[c]
            ax, ay, az = p[0] - x, p[1] - y, p[2] - z
            bx, by, bz = q[0] - x, q[1] - y, q[2] - z
            nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            old = np.sqrt(ox * ox + oy * oy + oz * oz)
            new = np.sqrt(nx * nx + ny * ny + nz * nz)
            if new <= 0.0 or ox * nx + oy * ny + oz * nz < least_cosine * old * new:
                return False
            rim = (p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 + (p[2] - q[2]) ** 2
            sides = ax * ax + ay * ay + az * az + bx * bx + by * by + bz * bz + rim
            if new * 3.4641016 < least_quality * sides:
                r = places[u]
                was = (p[0] - r[0]) ** 2 + (p[1] - r[1]) ** 2 + (p[2] - r[2]) ** 2 + rim
                was += (q[0] - r[0]) ** 2 + (q[1] - r[1]) ** 2 + (q[2] - r[2]) ** 2
                if 2.0 * new * was < old * sides:
                    return False
        corner = surface.onward[corner]
    return True


@njit(cache=True)
def merge(surface, u, v):
    """Give the faces of v to u; those at both go."""
    tail = -1
    corner = surface.first[u]
    while corner >= 0:
        tail = corner
        corner = surface.onward[corner]
    corner = surface.first[v]
    while corner >= 0:
        face, at = corner // 3, corner % 3
        after = surface.onward[corner]
        if surface.faces[face, (at + 1) % 3] == u or surface.faces[face, (at + 2) % 3] == u:
            surface.alive[face] = 0
            surface.counts[LIVE] -= 1
        else:
            surface.faces[face, at] = u
            surface.onward[corner] = -1
            surface.onward[tail] = corner
            tail = corner
        corner = after
    surface.first[v] = -1
    surface.owners[v] = u
    prune(surface, u)
    for k in range(11):
        surface.quadrics[u, k] += surface.quadrics[v, k]
    surface.border[u] |= surface.border[v]
    surface.stamps[u] += 1
    surface.stamps[v] += 1


@njit(cache=True)
def push_around(surface, heap, u):
    """Put all edges at a vertex in the heap."""
    surface.counts[TAG] += 2
    tag = surface.counts[TAG]
    corner = surface.first[u]
    while corner >= 0:
        face, at = corner // 3, corner % 3
        for step in (1, 2):
            w = surface.faces[face, (at + step) % 3]
            if surface.marks[w] != tag:
                surface.marks[w] = tag
                push_edge(surface, heap, u, w)
        corner = surface.onward[corner]


@njit(cache=True)
def collapse(surface, heap, target, dearest, least_cosine, least_quality):
    """Collapse the cheapest edges until ``target`` faces are left, or none below ``dearest`` is valid.

    Ends early, with 1, when the heap has no room for another vertex's edges; 0 when it is done.
    """
    while surface.counts[LIVE] > target and surface.counts[HEAPED] > 0:
        if surface.counts[HEAPED] + 4096 > len(heap.costs):
            return 1
        u, v, stamp = heap.ends[0]
        if heap.costs[0] > dearest:
            return 0
        drop_first(surface, heap)
        if surface.first[u] < 0 or surface.first[v] < 0 or surface.stamps[u] + surface.stamps[v] != stamp:
            continue
        if not keeps_topology(surface, u, v):
            continue
        x, y, z, _ = best_place(surface, u, v)
        if not keeps_shape(surface, u, v, x, y, z, least_cosine, least_quality):
            continue
        if not keeps_shape(surface, v, u, x, y, z, least_cosine, least_quality):
            continue
        merge(surface, u, v)
        surface.places[u, 0], surface.places[u, 1], surface.places[u, 2] = x, y, z
        push_around(surface, heap, u)
    return 0


@njit(cache=True)
def follow_owners(owners):
    """Let each vertex name the one that stands in the end."""
    for vertex in range(len(owners)):
        last = vertex
        while owners[last] != last:
            last = owners[last]
        here = vertex
        while owners[here] != last:
            after = owners[here]
            owners[here] = last
            here = after
