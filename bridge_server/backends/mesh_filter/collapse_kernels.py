# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
"""Compiled loops of the own edge collapse: which edge goes next, whether it may, and what becomes of its faces."""

import numpy as np
from numba import njit

from bridge_server.backends.mesh_filter.quadric_kernels import (
    HEAPED,
    LIVE,
    SHORT,
    TAG,
    best_place,
    cost_at,
    cross_of,
    faces_between,
    shell_cost,
    write_off,
)

LIMITS = ((0.25, 0.02), (0.25, 0.0), (0.0, 0.0), (-0.5, 0.0))
"""How far a face may turn in a collapse (cosine), and the shape of the worst triangle it may make (1 is equilateral)
where it was twice as good before. The next pair where nothing else reaches the target."""


@njit(cache=True)
def turn_cost(surface, u, v, x, y, z):
    """Area times change of the normal of the faces around u, but those at v, when u moves.

    It is not squared: few faces that turn far are to be had for many that stay.
    """
    places = surface.places
    cost = 0.0
    corner = surface.first[u]
    while corner >= 0:
        face, at = corner // 3, corner % 3
        b, c = surface.faces[face, (at + 1) % 3], surface.faces[face, (at + 2) % 3]
        if surface.alive[face] and v not in (b, c):
            ox, oy, oz = cross_of(places, u, b, c)
            p, q = places[b], places[c]
            ax, ay, az = p[0] - x, p[1] - y, p[2] - z
            bx, by, bz = q[0] - x, q[1] - y, q[2] - z
            nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            old = np.sqrt(ox * ox + oy * oy + oz * oz)
            new = np.sqrt(nx * nx + ny * ny + nz * nz)
            if old > 0.0:
                cost += np.sqrt(max(0.5 * new * (new - (ox * nx + oy * ny + oz * nz) / old), 0.0))
        corner = surface.onward[corner]
    return cost


@njit(cache=True)
def sparing_place(surface, u, v):
    """As ``best_place`` where turns cost, and one of the ends: the faces at the other one then stay as they are."""
    p, q = surface.places[u], surface.places[v]
    s, t = surface.quadrics[u], surface.quadrics[v]
    area = s[10] + t[10] + 1e-300
    tie = SHORT * area * ((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 + (p[2] - q[2]) ** 2)
    scale = 1.0 + surface.least_area / area
    square = surface.turn_length * surface.turn_length
    one = scale * cost_at(s, t, p[0], p[1], p[2]) + square * turn_cost(surface, v, u, p[0], p[1], p[2])
    two = scale * cost_at(s, t, q[0], q[1], q[2]) + square * turn_cost(surface, u, v, q[0], q[1], q[2])
    if one <= two:
        return p[0], p[1], p[2], one + tie
    return q[0], q[1], q[2], two + tie


@njit(cache=True)
def push_edge(surface, heap, u, v):
    """Put an edge in the heap."""
    # In one function the rare way would keep the compiler from unfolding the common one, which then takes longer
    cost = sparing_place(surface, u, v)[3] if surface.turn_length > 0.0 else best_place(surface, u, v)[3]
    push(surface, heap, u, v, surface.stamps[u] + surface.stamps[v], cost)


@njit(cache=True)
def push(surface, heap, u, v, stamp, cost):
    """Put an entry in the heap."""
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
def is_least_shell(surface, u, v):
    """Whether an edge belongs to a closed shell of four faces, from which no edge can be collapsed."""
    if surface.border[u] or surface.border[v] or prune(surface, u) != 3 or prune(surface, v) != 3:
        return False
    corner = surface.first[u]
    while corner >= 0:
        for k in range(3):
            if prune(surface, surface.faces[corner // 3, k]) != 3:
                return False
        corner = surface.onward[corner]
    return faces_between(surface, u, v) == 2


@njit(cache=True)
def drop_shell(surface, u):
    """Take the faces of a least shell away: those at a vertex and the one across."""
    corner = surface.first[u]
    other = surface.faces[corner // 3, (corner % 3 + 1) % 3]
    for vertex in (u, other):
        corner = surface.first[vertex]
        while corner >= 0:
            if surface.alive[corner // 3]:
                surface.alive[corner // 3] = 0
                surface.counts[LIVE] -= 1
            corner = surface.onward[corner]


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
def collapse(surface, heap, target, least_cosine, least_quality):
    """Collapse the cheapest edges until ``target`` faces are left, or none is valid.

    Ends early, with 1, when the heap has no room for another vertex's edges; 0 when it is done.
    """
    while surface.counts[LIVE] > target and surface.counts[HEAPED] > 0:
        if surface.counts[HEAPED] + 4096 > len(heap.costs):
            return 1
        u, v, stamp = heap.ends[0]
        cost = heap.costs[0]
        drop_first(surface, heap)
        gone = surface.first[u] < 0 or surface.first[v] < 0
        if gone or surface.stamps[u] + surface.stamps[v] != max(stamp, -1 - stamp):
            continue
        if is_least_shell(surface, u, v):
            if stamp < 0 and surface.counts[LIVE] >= target + 2:
                drop_shell(surface, u)
            elif stamp >= 0:
                push(surface, heap, u, v, -1 - stamp, max(cost, shell_cost(surface, u, v)))
            continue
        if stamp < 0 or not keeps_topology(surface, u, v):
            continue
        if surface.turn_length > 0.0:
            x, y, z, _ = sparing_place(surface, u, v)
        else:
            x, y, z, _ = best_place(surface, u, v)
        if not keeps_shape(surface, u, v, x, y, z, least_cosine, least_quality):
            continue
        if not keeps_shape(surface, v, u, x, y, z, least_cosine, least_quality):
            continue
        merge(surface, u, v)
        surface.places[u, 0], surface.places[u, 1], surface.places[u, 2] = x, y, z
        write_off(surface.places, surface.quadrics, u)
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
