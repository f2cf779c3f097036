# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
"""Compiled loops of the collapse that keeps seams: which edge goes next, whether it may, and what becomes of it."""

import numpy as np
from numba import njit

from bridge_server.backends.mesh_filter.collapse_kernels import drop_first, keeps_topology, prune, push
from bridge_server.backends.mesh_filter.quadric_kernels import HEAPED, LIVE, TAG, cross_of
from bridge_server.backends.mesh_filter.seamed_kernels import INNER, MEETING, edge_between, plan


@njit(cache=True)
def push_edge(surface, bench, heap, u, v):
    """Put an edge in the heap, if it may go at all."""
    gone, _, _, _, cost = plan(surface, bench, u, v)
    if gone >= 0:
        push(surface, heap, u, v, surface.stamps[u] + surface.stamps[v], cost)


@njit(cache=True, nogil=True)
def fill_heap(surface, bench, heap):
    """All edges of the faces alive, each once."""
    surface.counts[HEAPED] = 0
    for face in range(len(surface.faces)):
        if surface.alive[face]:
            for corner in range(3):
                u, v = surface.faces[face, corner], surface.faces[face, (corner + 1) % 3]
                if u < v or edge_between(surface, u, v, bench.pair) == 1:
                    push_edge(surface, bench, heap, u, v)


@njit(cache=True)
def push_around(surface, bench, heap, u):
    """Put all edges at a point in the heap."""
    surface.counts[TAG] += 2
    tag = surface.counts[TAG]
    corner = surface.first[u]
    while corner >= 0:
        face, at = corner // 3, corner % 3
        for step in (1, 2):
            w = surface.faces[face, (at + step) % 3]
            if surface.marks[w] != tag:
                surface.marks[w] = tag
                push_edge(surface, bench, heap, u, w)
        corner = surface.onward[corner]


@njit(cache=True)
def keeps_shape(surface, bench, u, v, end, sides, least_cosine, least_quality):
    """No face around u, but those at v, turns over in space or on the texture, or becomes a sliver when u moves.

    ``end`` is 0 where u is the point that goes, 1 where it is the one that stays.
    """
    spot, places = bench.spot, surface.places
    corner = surface.first[u]
    while corner >= 0:
        face, at = corner // 3, corner % 3
        b, c = surface.faces[face, (at + 1) % 3], surface.faces[face, (at + 2) % 3]
        if v not in (b, c):
            wedge, side = surface.corners[face, at], -1
            for k in range(sides):
                if bench.pair[2 * k + end] == wedge:
                    side = k
            if not is_fine(
                places[u], places[b], places[c], spot, cross_of(places, u, b, c), least_cosine, least_quality
            ):
                return False
            if side < 0 and surface.kinds[u] == MEETING:
                corner = surface.onward[corner]
                continue
            if side < 0:
                return False
            one, two = surface.corners[face, (at + 1) % 3], surface.corners[face, (at + 2) % 3]
            uv, p, q = surface.uvs[wedge], surface.uvs[one], surface.uvs[two]
            old = (p[0] - uv[0]) * (q[1] - uv[1]) - (p[1] - uv[1]) * (q[0] - uv[0])
            s, t = spot[3 + 2 * side], spot[4 + 2 * side]
            if old != 0.0 and old * ((p[0] - s) * (q[1] - t) - (p[1] - t) * (q[0] - s)) <= 0.0:
                return False
        corner = surface.onward[corner]
    return True


@njit(cache=True)
def is_fine(r, p, q, spot, old_cross, least_cosine, least_quality):
    """Whether the triangle p, q and a corner that moves from r to the spot keeps its side and its shape."""
    ax, ay, az = p[0] - spot[0], p[1] - spot[1], p[2] - spot[2]
    bx, by, bz = q[0] - spot[0], q[1] - spot[1], q[2] - spot[2]
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    ox, oy, oz = old_cross
    old = np.sqrt(ox * ox + oy * oy + oz * oz)
    new = np.sqrt(nx * nx + ny * ny + nz * nz)
    if new <= 0.0 or ox * nx + oy * ny + oz * nz < least_cosine * old * new:
        return False
    rim = (p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2 + (p[2] - q[2]) ** 2
    sides = ax * ax + ay * ay + az * az + bx * bx + by * by + bz * bz + rim
    if new * 3.4641016 >= least_quality * sides:
        return True
    was = (p[0] - r[0]) ** 2 + (p[1] - r[1]) ** 2 + (p[2] - r[2]) ** 2 + rim
    was += (q[0] - r[0]) ** 2 + (q[1] - r[1]) ** 2 + (q[2] - r[2]) ** 2
    return 2.0 * new * was >= old * sides


@njit(cache=True)
def outline_moves(surface, bench, gone, sides, free):
    """Farthest that the outline of a chart would lie from where it was; 0 off all outlines. Fills ``bench.moved``."""
    farthest = 0.0
    if surface.kinds[gone] == INNER:
        return farthest
    for side in range(sides):
        out, kept = bench.pair[2 * side], bench.pair[2 * side + 1]
        s, t = bench.spot[3 + 2 * side], bench.spot[4 + 2 * side]
        before = surface.behind[out] if surface.ahead[out] == kept else surface.ahead[out]
        away = off_line(surface.uvs[out], surface.uvs[before], s, t)
        if free:
            after = surface.behind[kept] if surface.ahead[kept] == out else surface.ahead[kept]
            away = min(away, off_line(surface.uvs[out], surface.uvs[after], s, t))
            at_end = min(
                off_line(surface.uvs[kept], surface.uvs[before], s, t),
                off_line(surface.uvs[kept], surface.uvs[after], s, t),
            )
            away = max(away, at_end)
        bench.moved[side] = away + max(surface.drift[out], surface.drift[kept])
        farthest = max(farthest, bench.moved[side])
    return farthest


@njit(cache=True)
def off_line(x, p, s, t):
    """Distance of x from the line between p and (s, t)."""
    lx, ly = s - p[0], t - p[1]
    ox, oy = x[0] - p[0], x[1] - p[1]
    along = (lx * ox + ly * oy) / max(lx * lx + ly * ly, 1e-300)
    along = min(max(along, 0.0), 1.0)
    return np.sqrt((ox - along * lx) ** 2 + (oy - along * ly) ** 2)


@njit(cache=True)
def merge(surface, bench, gone, stay, sides):
    """Give the faces of one point to the other, which moves to the spot; faces at both go."""
    hand_over(surface, bench, gone, stay, sides)
    for side in range(sides):
        out, kept = bench.pair[2 * side], bench.pair[2 * side + 1]
        for k in range(21):
            surface.quadrics[kept, k] += surface.quadrics[out, k]
        for k in range(2):
            surface.uvs[kept, k] = bench.spot[3 + 2 * side + k]
        if surface.kinds[gone] != INNER:
            surface.drift[kept] = bench.moved[side]
            shorten_outline(surface, out, kept)
    for k in range(3):
        surface.places[stay, k] = bench.spot[k]
    surface.areas[stay] += surface.areas[gone]
    surface.border[stay] |= surface.border[gone]
    surface.stamps[stay] += 1
    surface.stamps[gone] += 1


@njit(cache=True)
def hand_over(surface, bench, gone, stay, sides):
    """Chain the corners of one point to those of the other; wedges at the edge become those across it."""
    pair = bench.pair
    tail = -1
    corner = surface.first[stay]
    while corner >= 0:
        tail = corner
        corner = surface.onward[corner]
    corner = surface.first[gone]
    while corner >= 0:
        face, at = corner // 3, corner % 3
        after = surface.onward[corner]
        if stay in (surface.faces[face, (at + 1) % 3], surface.faces[face, (at + 2) % 3]):
            surface.alive[face] = 0
            surface.counts[LIVE] -= 1
        else:
            surface.faces[face, at] = stay
            for side in range(sides):
                if surface.corners[face, at] == pair[2 * side]:
                    surface.corners[face, at] = pair[2 * side + 1]
                    break
            surface.onward[corner] = -1
            surface.onward[tail] = corner
            tail = corner
        corner = after
    surface.first[gone] = -1
    prune(surface, stay)


@njit(cache=True)
def shorten_outline(surface, out, kept):
    """Take a wedge out of the outline of its chart; the one that stays is a neighbour of it."""
    if surface.ahead[out] == kept:
        before = surface.behind[out]
        surface.ahead[before], surface.behind[kept] = kept, before
    else:
        before = surface.ahead[out]
        surface.behind[before], surface.ahead[kept] = kept, before


@njit(cache=True, nogil=True)
def collapse(surface, bench, heap, target, tolerance, least_cosine, least_quality):
    """Collapse the cheapest edges until ``target`` faces are left, or none is valid.

    Ends early, with 1, when the heap has no room for another point's edges; 0 when it is done.
    """
    while surface.counts[LIVE] > target and surface.counts[HEAPED] > 0:
        if surface.counts[HEAPED] + 4096 > len(heap.costs):
            return 1
        u, v, stamp = heap.ends[0]
        drop_first(surface, heap)
        if surface.first[u] < 0 or surface.first[v] < 0 or surface.stamps[u] + surface.stamps[v] != stamp:
            continue
        if not keeps_topology(surface, u, v):
            continue
        gone, stay, sides, free, _ = plan(surface, bench, u, v)
        if gone < 0 or not keeps_shape(surface, bench, gone, stay, 0, sides, least_cosine, least_quality):
            continue
        if free and not keeps_shape(surface, bench, stay, gone, 1, sides, least_cosine, least_quality):
            continue
        if outline_moves(surface, bench, gone, sides, free) > tolerance:
            continue
        merge(surface, bench, gone, stay, sides)
        push_around(surface, bench, heap, stay)
    return 0
