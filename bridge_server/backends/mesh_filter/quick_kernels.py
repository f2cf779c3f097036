# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords, and views of rows cost them more than names
"""Compiled loops of the quick edge collapse (see ``quick``): whole meshes a pass, in ranges that threads share.

A vertex picks the cheapest of the edges that it owns; it owns those to vertices of a higher number in one pass and of
a lower one in the next, so that each edge is looked at once a pass. Corners, chains, quadrics and borders are as in
``quadric_kernels``; arrays are handed over one by one, because counting who holds them takes longer than the work.
"""

import numpy as np
from numba import njit

from bridge_server.backends.mesh_filter.quadric_kernels import BORDER_WEIGHT, PULL, SHORT

NONE = -1
NEXT = (1, 2, 0, 1)
"""The corner after one, and the one after that."""
LEAST_COSINE, LEAST_QUALITY = 0.6, 0.1
"""How far a face may turn in a collapse (cosine), and the shape of the worst triangle it may make (1 is equilateral)
where it was twice as good before: stricter than the sorted collapse, which knows what it leaves out."""


@njit(cache=True, nogil=True)
def link_sound_corners(faces, alive, first, onward):
    """Chain the corners of each vertex; faces without three corners go. The number of faces that stay."""
    left = 0
    for face in range(len(faces) - 1, -1, -1):
        a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
        alive[face] = a not in (b, c) and b != c
        if alive[face]:
            left += 1
            for at in range(2, -1, -1):
                vertex = faces[face, at]
                onward[3 * face + at] = first[vertex]
                first[vertex] = 3 * face + at
    return left


@njit(cache=True, nogil=True)
def has_face_from(faces, first, onward, start, end):
    """Whether a face runs from a vertex straight on to another."""
    corner = first[start]
    while corner >= 0:
        face = corner // 3
        if faces[face, NEXT[corner - 3 * face]] == end:
            return True
        corner = onward[corner]
    return False


@njit(cache=True, nogil=True)
def lies_open(faces, first, onward, vertex):
    """Whether an edge at a vertex lacks a face on the other side: then the faces do not run round it in rings."""
    balance, squares, corner = 0, 0, first[vertex]
    while corner >= 0:
        face = corner // 3
        at = corner - 3 * face
        b, c = np.int64(faces[face, NEXT[at]]), np.int64(faces[face, NEXT[at + 1]])
        balance += b - c
        squares += b * b - c * c
        corner = onward[corner]
    return balance != 0 or squares != 0


@njit(cache=True, nogil=True)
def add_plane(quadrics, vertex, nx, ny, nz, offset, weight):
    """Add the weighted squared distance to the plane n.x + offset = 0."""
    wx, wy, wz = weight * nx, weight * ny, weight * nz
    quadrics[vertex, 0] += wx * nx
    quadrics[vertex, 1] += wx * ny
    quadrics[vertex, 2] += wx * nz
    quadrics[vertex, 3] += wy * ny
    quadrics[vertex, 4] += wy * nz
    quadrics[vertex, 5] += wz * nz
    quadrics[vertex, 6] += wx * offset
    quadrics[vertex, 7] += wy * offset
    quadrics[vertex, 8] += wz * offset
    quadrics[vertex, 9] += weight * offset * offset


@njit(cache=True, nogil=True)
def hold_end(places, quadrics, vertex, other, nx, ny, nz):
    """Add to a vertex the squared distance to the line of a border edge, as ``quadric_kernels.hold_border``."""
    px, py, pz = places[vertex, 0], places[vertex, 1], places[vertex, 2]
    ex, ey, ez = places[other, 0] - px, places[other, 1] - py, places[other, 2] - pz
    ux, uy, uz = ey * nz - ez * ny, ez * nx - ex * nz, ex * ny - ey * nx
    length = np.sqrt(ux * ux + uy * uy + uz * uz)
    if length > 0.0:
        ux, uy, uz = ux / length, uy / length, uz / length
        weight = BORDER_WEIGHT * length * length
        add_plane(quadrics, vertex, ux, uy, uz, -(ux * px + uy * py + uz * pz), weight)
        add_plane(quadrics, vertex, nx, ny, nz, -(nx * px + ny * py + nz * pz), weight)


@njit(cache=True, nogil=True)
def gather_range(places, faces, first, onward, quadrics, border, begin, end):
    """Quadrics of a range of vertices: planes of their faces by area, lines of borders, which are marked."""
    for vertex in range(begin, end):
        is_open = lies_open(faces, first, onward, vertex)
        border[vertex] = is_open
        px, py, pz = places[vertex, 0], places[vertex, 1], places[vertex, 2]
        corner = first[vertex]
        while corner >= 0:
            face = corner // 3
            at = corner - 3 * face
            b, c = faces[face, NEXT[at]], faces[face, NEXT[at + 1]]
            ux, uy, uz = places[b, 0] - px, places[b, 1] - py, places[b, 2] - pz
            vx, vy, vz = places[c, 0] - px, places[c, 1] - py, places[c, 2] - pz
            nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            length = np.sqrt(nx * nx + ny * ny + nz * nz)
            if length > 0.0:
                nx, ny, nz = nx / length, ny / length, nz / length
                add_plane(quadrics, vertex, nx, ny, nz, -(nx * px + ny * py + nz * pz), length / 6.0)
                quadrics[vertex, 10] += length / 6.0
                if is_open and not has_face_from(faces, first, onward, b, vertex):
                    hold_end(places, quadrics, vertex, b, nx, ny, nz)
                if is_open and not has_face_from(faces, first, onward, vertex, c):
                    hold_end(places, quadrics, vertex, c, nx, ny, nz)
            corner = onward[corner]


@njit(cache=True, nogil=True)
def place_of(places, quadrics, border, u, v):
    """Where the vertex of a collapsed edge goes, and what it costs. As ``quadric_kernels.best_place``."""
    mx = 0.5 * (places[u, 0] + places[v, 0])
    my = 0.5 * (places[u, 1] + places[v, 1])
    mz = 0.5 * (places[u, 2] + places[v, 2])
    a, b, c = quadrics[u, 0] + quadrics[v, 0], quadrics[u, 1] + quadrics[v, 1], quadrics[u, 2] + quadrics[v, 2]
    d, e, f = quadrics[u, 3] + quadrics[v, 3], quadrics[u, 4] + quadrics[v, 4], quadrics[u, 5] + quadrics[v, 5]
    gx, gy, gz = quadrics[u, 6] + quadrics[v, 6], quadrics[u, 7] + quadrics[v, 7], quadrics[u, 8] + quadrics[v, 8]
    # Move by the least step from the middle: (A + pull) step = -(A m + b)
    rx = -(a * mx + b * my + c * mz + gx)
    ry = -(b * mx + d * my + e * mz + gy)
    rz = -(c * mx + e * my + f * mz + gz)
    trace = a + d + f
    if border[u] or border[v]:
        trace = min(trace, quadrics[u, 10] + quadrics[v, 10])
    pull = PULL * trace + 1e-300
    a2, d2, f2 = a + pull, d + pull, f + pull
    c00, c01, c02 = d2 * f2 - e * e, c * e - b * f2, b * e - c * d2
    c11, c12, c22 = a2 * f2 - c * c, b * c - a2 * e, a2 * d2 - b * b
    det = a2 * c00 + b * c01 + c * c02
    x, y, z = mx, my, mz
    if det > 0.0:
        share = 1.0 / det
        x += (c00 * rx + c01 * ry + c02 * rz) * share
        y += (c01 * rx + c11 * ry + c12 * rz) * share
        z += (c02 * rx + c12 * ry + c22 * rz) * share
    cost = x * (a * x + 2.0 * (b * y + c * z + gx)) + y * (d * y + 2.0 * (e * z + gy)) + z * (f * z + 2.0 * gz)
    cost = max(cost + quadrics[u, 9] + quadrics[v, 9], 0.0)
    span = (places[u, 0] - places[v, 0]) ** 2 + (places[u, 1] - places[v, 1]) ** 2 + (places[u, 2] - places[v, 2]) ** 2
    return x, y, z, cost + SHORT * span * (quadrics[u, 10] + quadrics[v, 10])


@njit(cache=True, nogil=True)
def pick_range(places, quadrics, border, faces, alive, first, onward, upward, partners, costs, begin, end):
    """For a range of vertices the other end of the cheapest edge that each owns, ``NONE`` without one, and its cost.

    The cost here is the square of the error over the area: between the volume left out and the distance, which keeps
    the largest distance low. Corners of faces that are gone are unchained.
    """
    for vertex in range(begin, end):
        partner, least = NONE, np.inf
        before, corner = NONE, first[vertex]
        while corner >= 0:
            after = onward[corner]
            face = corner // 3
            if alive[face]:
                at = corner - 3 * face
                for step in range(2 if border[vertex] else 1):
                    other = faces[face, NEXT[at + step]]
                    if (other > vertex) == upward:
                        cost = place_of(places, quadrics, border, vertex, other)[3]
                        cost *= cost / max(quadrics[vertex, 10] + quadrics[other, 10], 1e-300)
                        if cost < least:
                            partner, least = other, cost
                before = corner
            elif before < 0:
                first[vertex] = after
            else:
                onward[before] = after
            corner = after
        partners[vertex] = partner
        costs[vertex] = least


@njit(cache=True, nogil=True)
def read_star(faces, alive, first, onward, slabs, slab, vertex, stars, side):
    """Write to ``stars[side]`` the corners at a vertex and the next two vertices of their faces, of those alive.

    The number of faces, or ``NONE`` where they are too many or reach beyond a slab other than ``NONE``.
    """
    corner, count = first[vertex], 0
    while corner >= 0:
        face = corner // 3
        if alive[face]:
            at = corner - 3 * face
            b, c = faces[face, NEXT[at]], faces[face, NEXT[at + 1]]
            if count == stars.shape[1] or (slab != NONE and (slabs[b] != slab or slabs[c] != slab)):
                return NONE
            stars[side, count, 0], stars[side, count, 1], stars[side, count, 2] = corner, b, c
            count += 1
        corner = onward[corner]
    return count


@njit(cache=True, nogil=True)
def has_faces(alive, first, onward, vertex, least):
    """Whether a vertex has so many faces."""
    corner = first[vertex]
    while corner >= 0 and least > 0:
        least -= alive[corner // 3]
        corner = onward[corner]
    return least <= 0


@njit(cache=True, nogil=True)
def is_link_sound(alive, first, onward, border, marks, tag, u, v, stars, sizes):
    """Link condition (Dey et al. 1999) for the stars of both ends; no piece folds flat or vanishes.

    As ``collapse_kernels.keeps_topology``. Marks ``tag`` and the next one are used.
    """
    one, two = sizes
    for row in range(one):
        marks[stars[0, row, 1]] = tag
        marks[stars[0, row, 2]] = tag
    joined = marks[v] == tag
    marks[u], marks[v] = 0, 0
    shared, common = 0, 0
    for row in range(two):
        b, c = stars[1, row, 1], stars[1, row, 2]
        if marks[b] == tag:
            marks[b] = tag + 1
            common += 1
        if marks[c] == tag:
            marks[c] = tag + 1
            common += 1
        if u in (b, c):
            shared += 1
            apex = b + c - u
            if not has_faces(alive, first, onward, apex, 2 if border[apex] else 4):
                return False
    if not joined or shared > 2 or common != shared or one + two <= 2 * shared:
        return False
    return not (shared == 2 and border[u] and border[v])


@njit(cache=True, nogil=True)
def keeps_faces(places, stars, side, size, u, v, x, y, z):
    """No face of the star of u, but those at v, turns over or becomes a sliver when u moves.

    As ``collapse_kernels.keeps_shape``, without roots.
    """
    rx, ry, rz = places[u, 0], places[u, 1], places[u, 2]
    for row in range(size):
        b, c = stars[side, row, 1], stars[side, row, 2]
        if v in (b, c):
            continue
        px, py, pz = places[b, 0], places[b, 1], places[b, 2]
        qx, qy, qz = places[c, 0], places[c, 1], places[c, 2]
        ax, ay, az, bx, by, bz = px - x, py - y, pz - z, qx - x, qy - y, qz - z
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        dx, dy, dz, ex, ey, ez = px - rx, py - ry, pz - rz, qx - rx, qy - ry, qz - rz
        ox, oy, oz = dy * ez - dz * ey, dz * ex - dx * ez, dx * ey - dy * ex
        new, old = nx * nx + ny * ny + nz * nz, ox * ox + oy * oy + oz * oz
        turn = ox * nx + oy * ny + oz * nz
        if new <= 0.0 or turn < 0.0 or turn * turn < LEAST_COSINE * LEAST_COSINE * old * new:
            return False
        rim = (px - qx) ** 2 + (py - qy) ** 2 + (pz - qz) ** 2
        sides = ax * ax + ay * ay + az * az + bx * bx + by * by + bz * bz + rim
        if 12.0 * new < (LEAST_QUALITY * sides) ** 2:
            was = dx * dx + dy * dy + dz * dz + ex * ex + ey * ey + ez * ez + rim
            if 4.0 * new * was * was < old * sides * sides:
                return False
    return True


@njit(cache=True, nogil=True)
def join(faces, alive, first, onward, u, v, stars, sizes):
    """Give the faces of v to u; those at both go."""
    head = NONE
    for row in range(sizes[1] - 1, -1, -1):
        corner = stars[1, row, 0]
        if stars[1, row, 1] == u or stars[1, row, 2] == u:
            alive[corner // 3] = 0
            continue
        faces[corner // 3, corner % 3] = u
        onward[corner] = head
        head = corner
    for row in range(sizes[0] - 1, -1, -1):
        if stars[0, row, 1] != v and stars[0, row, 2] != v:
            onward[stars[0, row, 0]] = head
            head = stars[0, row, 0]
    first[u] = head
    first[v] = NONE


@njit(cache=True, nogil=True)
def collapse_some(
    places, quadrics, border, faces, alive, first, onward, partners, taken, slabs, slab, chosen, marks, tag, stars
):
    """Collapse the edges that the chosen vertices picked, in that order, each vertex once at most.

    With a slab other than ``NONE`` those that reach beyond it are left: slabs then share nothing. Marks above ``tag``
    are free; ``stars`` is room for the faces of both ends. Returns how many were collapsed.
    """
    done = 0
    for k in range(len(chosen)):
        u = chosen[k]
        v = partners[u]
        if v < 0 or (slab != NONE and slabs[v] != slab) or taken[u] or taken[v]:
            continue
        one = read_star(faces, alive, first, onward, slabs, slab, u, stars, 0)
        two = read_star(faces, alive, first, onward, slabs, slab, v, stars, 1)
        if NONE in (one, two):
            continue
        partners[u] = NONE
        tag += 2
        if not is_link_sound(alive, first, onward, border, marks, tag, u, v, stars, (one, two)):
            continue
        x, y, z, _ = place_of(places, quadrics, border, u, v)
        if not keeps_faces(places, stars, 0, one, u, v, x, y, z):
            continue
        if not keeps_faces(places, stars, 1, two, v, u, x, y, z):
            continue
        join(faces, alive, first, onward, u, v, stars, (one, two))
        for row in range(11):
            quadrics[u, row] += quadrics[v, row]
        border[u] |= border[v]
        places[u, 0], places[u, 1], places[u, 2] = x, y, z
        taken[u], taken[v] = 1, 1
        done += 1
    return done


@njit(cache=True, nogil=True)
def number_survivors(first, numbers):
    """Write the new numbers of the vertices that have faces, ``NONE`` for others, in the old order; how many."""
    count = 0
    for vertex in range(len(numbers)):
        numbers[vertex] = NONE
        if first[vertex] >= 0:
            numbers[vertex] = count
            count += 1
    return count


@njit(cache=True, nogil=True)
def move_vertices(places, quadrics, numbers, new_places, new_quadrics, share, begin, end):
    """Copy the vertices of a range that are left, and a share of their quadrics, to smaller arrays."""
    for vertex in range(begin, end):
        row = numbers[vertex]
        if row >= 0:
            for k in range(3):
                new_places[row, k] = places[vertex, k]
            for k in range(11):
                new_quadrics[row, k] = share * quadrics[vertex, k]


@njit(cache=True, nogil=True)
def move_faces(faces, alive, numbers, new_faces):
    """Copy the faces that are left to a smaller array."""
    row = 0
    for face in range(len(faces)):
        if alive[face]:
            for k in range(3):
                new_faces[row, k] = numbers[faces[face, k]]
            row += 1
