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
MOST_AROUND = 48
"""Edges at a vertex of more faces are not collapsed in passes."""
NEXT = (1, 2, 0, 1)
"""The corner after one, and the one after that."""
LEAST_COSINE, LEAST_QUALITY = 0.6, 0.1
"""How far a face may turn in a collapse (cosine), and the shape of the worst triangle it may make (1 is equilateral)
where it was twice as good before: stricter than the sorted collapse, which knows what it leaves out."""


@njit(cache=True, nogil=True, error_model="numpy")
def has_face_from(faces, first, onward, start, end):
    """Whether a face runs from a vertex straight on to another."""
    corner = first[start]
    while corner >= 0:
        face = corner // 3
        if faces[face, NEXT[corner - 3 * face]] == end:
            return True
        corner = onward[corner]
    return False


@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(cache=True, nogil=True, error_model="numpy")
def hold_borders(places, faces, first, onward, quadrics, vertex):
    """Add to a vertex the lines of the border edges that end there."""
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
            if not has_face_from(faces, first, onward, b, vertex):
                hold_end(places, quadrics, vertex, b, nx, ny, nz)
            if not has_face_from(faces, first, onward, vertex, c):
                hold_end(places, quadrics, vertex, c, nx, ny, nz)
        corner = onward[corner]


@njit(cache=True, nogil=True, error_model="numpy")
def gather_range(places, faces, first, onward, quadrics, border, begin, end):
    """Quadrics of a range of vertices: planes of their faces by area, lines of borders, which are marked.

    An edge without a face on the other side shows in the sums: round a vertex inside, faces run in rings.
    """
    for vertex in range(begin, end):
        px, py, pz = places[vertex, 0], places[vertex, 1], places[vertex, 2]
        xx, xy, xz, yy, yz, zz, x, y, z, rest, area = (0.0,) * 11
        balance, squares, corner = 0, 0, first[vertex]
        while corner >= 0:
            face = corner // 3
            at = corner - 3 * face
            b, c = np.int64(faces[face, NEXT[at]]), np.int64(faces[face, NEXT[at + 1]])
            balance += b - c
            squares += b * b - c * c
            ux, uy, uz = places[b, 0] - px, places[b, 1] - py, places[b, 2] - pz
            vx, vy, vz = places[c, 0] - px, places[c, 1] - py, places[c, 2] - pz
            nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
            length = np.sqrt(nx * nx + ny * ny + nz * nz)
            if length > 0.0:
                offset, weight = -(nx * px + ny * py + nz * pz), 1.0 / (6.0 * length)
                wx, wy, wz = weight * nx, weight * ny, weight * nz
                xx, xy, xz, yy = xx + wx * nx, xy + wx * ny, xz + wx * nz, yy + wy * ny
                yz, zz, x, y = yz + wy * nz, zz + wz * nz, x + wx * offset, y + wy * offset
                z, rest, area = z + wz * offset, rest + weight * offset * offset, area + length / 6.0
            corner = onward[corner]
        for row, amount in enumerate((xx, xy, xz, yy, yz, zz, x, y, z, rest, area)):
            quadrics[vertex, row] += amount
        border[vertex] = balance != 0 or squares != 0
        if border[vertex]:
            hold_borders(places, faces, first, onward, quadrics, vertex)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def step_to_best(a, b, c, d, e, f, gx, gy, gz, rest, area, mx, my, mz, on_border):
    """The least step from a place to where a quadric is least, and the quadric there: (A + pull) step = -(A m + b)."""
    rx = -(a * mx + b * my + c * mz + gx)
    ry = -(b * mx + d * my + e * mz + gy)
    rz = -(c * mx + e * my + f * mz + gz)
    error = mx * (gx - rx) + my * (gy - ry) + mz * (gz - rz) + rest
    trace = a + d + f
    if on_border:
        trace = min(trace, area)
    pull = PULL * trace + 1e-300
    a2, d2, f2 = a + pull, d + pull, f + pull
    c00, c01, c02 = d2 * f2 - e * e, c * e - b * f2, b * e - c * d2
    c11, c12, c22 = a2 * f2 - c * c, b * c - a2 * e, a2 * d2 - b * b
    det = a2 * c00 + b * c01 + c * c02
    share = 1.0 / det if det > 0.0 else 0.0
    sx = (c00 * rx + c01 * ry + c02 * rz) * share
    sy = (c01 * rx + c11 * ry + c12 * rz) * share
    sz = (c02 * rx + c12 * ry + c22 * rz) * share
    error -= sx * (rx + pull * sx) + sy * (ry + pull * sy) + sz * (rz + pull * sz)
    return sx, sy, sz, max(error, 0.0)


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def place_of(places, quadrics, border, u, v):
    """Where the vertex of a collapsed edge goes, and what it costs. As ``quadric_kernels.best_place``."""
    px, py, pz, qx, qy, qz = places[u, 0], places[u, 1], places[u, 2], places[v, 0], places[v, 1], places[v, 2]
    mx, my, mz, area = 0.5 * (px + qx), 0.5 * (py + qy), 0.5 * (pz + qz), quadrics[u, 10] + quadrics[v, 10]
    sx, sy, sz, error = step_to_best(
        quadrics[u, 0] + quadrics[v, 0],
        quadrics[u, 1] + quadrics[v, 1],
        quadrics[u, 2] + quadrics[v, 2],
        quadrics[u, 3] + quadrics[v, 3],
        quadrics[u, 4] + quadrics[v, 4],
        quadrics[u, 5] + quadrics[v, 5],
        quadrics[u, 6] + quadrics[v, 6],
        quadrics[u, 7] + quadrics[v, 7],
        quadrics[u, 8] + quadrics[v, 8],
        quadrics[u, 9] + quadrics[v, 9],
        area,
        mx,
        my,
        mz,
        border[u] or border[v],
    )
    span = (px - qx) ** 2 + (py - qy) ** 2 + (pz - qz) ** 2
    return mx + sx, my + sy, mz + sz, error + SHORT * span * area


@njit(cache=True, nogil=True, error_model="numpy")
def pick_range(places, quadrics, border, faces, alive, first, onward, upward, partners, costs, begin, end):
    """For a range of vertices the other end of the cheapest edge that each owns, ``NONE`` without one, and its cost.

    The cost here is the square of the error over the area: between the volume left out and the distance, which keeps
    the largest distance low. Corners of faces that are gone are unchained.
    """
    for vertex in range(begin, end):
        partner, least, least_area = NONE, np.inf, 1.0
        before, corner = NONE, first[vertex]
        steps = 2 if border[vertex] else 1
        while corner >= 0:
            after = onward[corner]
            face = corner // 3
            if alive[face]:
                at = corner - 3 * face
                for step in range(steps):
                    other = faces[face, NEXT[at + step]]
                    if (other > vertex) == upward:
                        cost = place_of(places, quadrics, border, vertex, other)[3]
                        area = max(quadrics[vertex, 10] + quadrics[other, 10], 1e-300)
                        if cost * cost * least_area < least * area:
                            partner, least, least_area = other, cost * cost, area
                before = corner
            elif before < 0:
                first[vertex] = after
            else:
                onward[before] = after
            corner = after
        partners[vertex] = partner
        costs[vertex] = least / least_area


@njit(cache=True, nogil=True, error_model="numpy")
def read_star(faces, alive, first, onward, halves, shift, slab, vertex, stars, side):
    """Write to ``stars[side]`` the corners at a vertex and the next two vertices of their faces, of those alive.

    The number of faces, or ``NONE`` where they are too many or reach beyond a slab other than ``NONE``; a slab is two
    halves, from an even one on with a ``shift`` of 0 and from an odd one with 1.
    """
    corner, count = first[vertex], 0
    while corner >= 0:
        face = corner // 3
        if alive[face]:
            at = corner - 3 * face
            b, c = faces[face, NEXT[at]], faces[face, NEXT[at + 1]]
            if count == stars.shape[1] or (
                slab != NONE and ((halves[b] + shift) >> 1 != slab or (halves[c] + shift) >> 1 != slab)
            ):
                return NONE
            stars[side, count, 0], stars[side, count, 1], stars[side, count, 2] = corner, b, c
            count += 1
        corner = onward[corner]
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def has_faces(alive, first, onward, vertex, least):
    """Whether a vertex has so many faces."""
    corner = first[vertex]
    while corner >= 0 and least > 0:
        least -= alive[corner // 3]
        corner = onward[corner]
    return least <= 0


@njit(cache=True, nogil=True, error_model="numpy")
def is_link_sound(alive, first, onward, border, marks, tag, u, v, stars, sizes):
    """Link condition (Dey et al. 1999) for the stars of both ends; no piece folds flat or vanishes.

    As ``collapse_kernels.keeps_topology``. Marks ``tag`` and the next one are used.
    """
    one, two = sizes
    rings = not (border[u] or border[v])  # then each neighbour comes first in one face and second in another
    for row in range(one):
        marks[stars[0, row, 1]] = tag
        if not rings:
            marks[stars[0, row, 2]] = tag
    joined = marks[v] == tag
    marks[u], marks[v] = 0, 0
    shared, common = 0, 0
    for row in range(two):
        b, c = stars[1, row, 1], stars[1, row, 2]
        if marks[b] == tag:
            marks[b] = tag + 1
            common += 1
        if not rings and marks[c] == tag:
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


@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(cache=True, nogil=True, error_model="numpy")
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


@njit(cache=True, nogil=True, error_model="numpy")
def collapse_some(
    places, quadrics, border, faces, alive, first, onward, partners, taken, halves, shift, slab, chosen, marks, tag
):
    """Collapse the edges that the chosen vertices picked, in that order, each vertex once at most.

    With a slab other than ``NONE`` those that reach beyond it are left: slabs then share nothing. Marks above ``tag``
    are free. Returns how many were collapsed.
    """
    done, stars = 0, np.empty((2, MOST_AROUND, 3), np.int32)
    for k in range(len(chosen)):
        u = chosen[k]
        v = partners[u]
        if v < 0 or (slab != NONE and (halves[v] + shift) >> 1 != slab) or taken[u] or taken[v]:
            continue
        one = read_star(faces, alive, first, onward, halves, shift, slab, u, stars, 0)
        two = read_star(faces, alive, first, onward, halves, shift, slab, v, stars, 1)
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
