# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
"""Compiled loops that turn edges of a light mesh where that brings samples and normals nearer, by Numba.

See ``fitting``.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from bridge_server.backends.mesh_filter.walking_kernels import Found, face_across, face_normals, nearest_on_face

LEAST_COSINE = 0.35
"""How far the faces of a turned edge may face away from the mean of the faces before."""
LEAST_QUALITY = 0.05
"""Shape of the worst triangle that a turn may make (1 is equilateral)."""


class Wanted(NamedTuple):
    """What the samples want of the faces that they are nearest to."""

    found: Found
    """See ``walking_kernels.Found``."""
    normals: np.ndarray
    """The dense surface's, one a sample; zeros where it has several."""
    weights: np.ndarray
    price: float
    """Squared distance that counts as much as a turn of the normal by one radian."""


@njit(cache=True, nogil=True)
def opposite_faces(surface, opposite):
    """Across each half-edge the other face; -1 at borders, and where three meet or two wind against each other."""
    for face in range(len(surface.faces)):
        for k in range(3):
            opposite[face, k] = face_across(surface, face, k)


@njit(cache=True, nogil=True)
def sort_by_face(of_sample, starts, order):
    """Samples of each face in one row."""
    starts[:] = 0
    for i in range(len(of_sample)):
        starts[of_sample[i] + 1] += 1
    for face in range(len(starts) - 1):
        starts[face + 1] += starts[face]
    fill = starts[:-1].copy()
    for i in range(len(of_sample)):
        face = of_sample[i]
        order[fill[face]] = i
        fill[face] += 1


@njit(cache=True, nogil=True)
def joined(surface, u, v):
    """Whether an edge runs between two vertices."""
    for at in range(surface.starts[u], surface.starts[u + 1]):
        face = surface.around[at]
        if surface.faces[face, 0] == v or surface.faces[face, 1] == v or surface.faces[face, 2] == v:
            return True
    return False


@njit(cache=True, nogil=True)
def is_sound(places, a, b, c, normal):
    """Whether a triangle faces about the way of the normal and is no needle."""
    p, q, r = places[a], places[b], places[c]
    ux, uy, uz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    vx, vy, vz = r[0] - p[0], r[1] - p[1], r[2] - p[2]
    nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    if length <= 0.0 or nx * normal[0] + ny * normal[1] + nz * normal[2] < LEAST_COSINE * length:
        return False
    wx, wy, wz = vx - ux, vy - uy, vz - uz
    sides = ux * ux + uy * uy + uz * uz + vx * vx + vy * vy + vz * vz + wx * wx + wy * wy + wz * wz
    return length * 3.4641016 > LEAST_QUALITY * sides


@njit(cache=True, nogil=True)
def turn_between(one, two):
    """Chord between two unit normals: about their angle in radians. 0 where the first is none."""
    if one[0] == 0.0 and one[1] == 0.0 and one[2] == 0.0:
        return 0.0
    return np.sqrt(max(2.0 - 2.0 * (one[0] * two[0] + one[1] * two[1] + one[2] * two[2]), 0.0))


@njit(cache=True, nogil=True)
def cost_of_samples(wanted, rows, count, normals):
    """What samples cost where they are now."""
    total = 0.0
    for at in range(count):
        i = rows[at]
        turn = turn_between(wanted.normals[i], normals[wanted.found.faces[i]])
        total += wanted.weights[i] * (wanted.found.squares[i] + wanted.price * turn)
    return total


@njit(cache=True, nogil=True)
def cost_of_pair(places, wanted, rows, count, pair, normals, nearer):
    """What samples would cost on two triangles; the nearer one of each is written to ``nearer``."""
    face_normals(places, pair, normals)
    total = 0.0
    for at in range(count):
        i = rows[at]
        x, y, z = wanted.found.points[i]
        one = nearest_on_face(places[pair[0, 0]], places[pair[0, 1]], places[pair[0, 2]], x, y, z)[0]
        two = nearest_on_face(places[pair[1, 0]], places[pair[1, 1]], places[pair[1, 2]], x, y, z)[0]
        nearer[at] = 0 if one <= two else 1
        turn = turn_between(wanted.normals[i], normals[nearer[at]])
        total += wanted.weights[i] * (min(one, two) + wanted.price * turn)
    return total


@njit(cache=True, nogil=True)
def gather_rows(starts, order, face, other, rows):
    """Samples of two faces; how many."""
    count = 0
    for at in range(starts[face], starts[face + 1]):
        rows[count] = order[at]
        count += 1
    for at in range(starts[other], starts[other + 1]):
        rows[count] = order[at]
        count += 1
    return count


@njit(cache=True, nogil=True)
def turn_edges(surface, wanted, normals, opposite, least_gain):
    """Turn edges where that lowers the cost of their samples by a share; a vertex takes part once a call.

    The caller lists the faces around vertices anew. Returns how many edges were turned.
    """
    faces, places, found = surface.faces, surface.places, wanted.found
    starts = np.zeros(len(faces) + 1, np.int64)
    order = np.zeros(len(found.faces), np.int64)
    sort_by_face(found.faces, starts, order)
    busy = np.zeros(len(places), np.uint8)
    rows = np.zeros(len(found.faces) + 1, np.int64)
    nearer = np.zeros(len(found.faces) + 1, np.int8)
    pair = np.zeros((2, 3), np.int32)
    mean, fresh = np.zeros(3), np.zeros((2, 3))
    turned = 0
    for face in range(len(faces)):
        for k in range(3):
            other = opposite[face, k]
            if other < face:
                continue
            u, v, w = faces[face, k], faces[face, (k + 1) % 3], faces[face, (k + 2) % 3]
            t = faces[other, 0] + faces[other, 1] + faces[other, 2] - u - v
            if t == w or busy[u] or busy[v] or busy[w] or busy[t]:
                continue
            mean[:] = normals[face] + normals[other]
            length = np.sqrt((mean * mean).sum())
            if length < 0.5 or not is_sound(places, w, u, t, mean / length):
                continue
            if not is_sound(places, t, v, w, mean / length) or joined(surface, w, t):
                continue
            count = gather_rows(starts, order, face, other, rows)
            now = cost_of_samples(wanted, rows, count, normals)
            pair[0, 0], pair[0, 1], pair[0, 2] = w, u, t
            pair[1, 0], pair[1, 1], pair[1, 2] = t, v, w
            if now > 0.0 and cost_of_pair(places, wanted, rows, count, pair, fresh, nearer) < now * (1.0 - least_gain):
                faces[face] = pair[0]
                faces[other] = pair[1]
                for at in range(count):
                    found.faces[rows[at]] = face if nearer[at] == 0 else other
                busy[u] = busy[v] = busy[w] = busy[t] = 1
                turned += 1
    return turned
