# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
"""Compiled loops that find the nearest place on a mesh by walking from face to face, by Numba.

A point starts at a face it is told and goes on while a neighbour is nearer. So it stays on its own side of a thin wall,
and costs a fraction of a search from the top of a hierarchy.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

LONGEST_WALK = 64


class Surface(NamedTuple):
    """A mesh to walk on."""

    places: np.ndarray
    faces: np.ndarray
    starts: np.ndarray
    """Where the faces of each vertex begin in ``around``."""
    around: np.ndarray


class Found(NamedTuple):
    """Points and the nearest place of each."""

    points: np.ndarray
    faces: np.ndarray
    """Where the walk starts, and where it ended."""
    shares: np.ndarray
    """Barycentric weights of the nearest place."""
    squares: np.ndarray
    """Squared distance to it."""


@njit(cache=True, nogil=True)
def list_around(faces, starts, around):
    """Faces of each vertex in one row."""
    starts[:] = 0
    for face in range(len(faces)):
        for k in range(3):
            starts[faces[face, k] + 1] += 1
    for vertex in range(len(starts) - 1):
        starts[vertex + 1] += starts[vertex]
    fill = starts[:-1].copy()
    for face in range(len(faces)):
        for k in range(3):
            vertex = faces[face, k]
            around[fill[vertex]] = face
            fill[vertex] += 1


@njit(cache=True, nogil=True)
def face_across(surface, face, k):
    """The face beyond the edge from corner k; -1 where there is none, there are more, or it winds the same way."""
    faces = surface.faces
    u, v = faces[face, k], faces[face, (k + 1) % 3]
    across, shared = -1, 0
    for at in range(surface.starts[u], surface.starts[u + 1]):
        other = surface.around[at]
        if other == face:
            continue
        for j in range(3):
            if faces[other, j] == v:
                shared += 1
                if faces[other, (j + 1) % 3] == u:
                    across = other
    return across if shared == 1 else -1


@njit(cache=True, nogil=True)
def is_beyond(places, faces, face, x, y, z, least):
    """Whether the box of a face is as far as the root of ``least``: so is the face, at a fraction of the work.

    Single numbers are read, since a view of a row costs more than the comparison.
    """
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    p, q, r = places[a, 0], places[b, 0], places[c, 0]
    gap = max(min(p, q, r) - x, x - max(p, q, r), 0.0)
    square = gap * gap
    if square >= least:
        return True
    p, q, r = places[a, 1], places[b, 1], places[c, 1]
    gap = max(min(p, q, r) - y, y - max(p, q, r), 0.0)
    square += gap * gap
    if square >= least:
        return True
    p, q, r = places[a, 2], places[b, 2], places[c, 2]
    gap = max(min(p, q, r) - z, z - max(p, q, r), 0.0)
    return square + gap * gap >= least


@njit(cache=True, nogil=True)
def nearest_on_face(a, b, c, x, y, z):
    """Squared distance from a point to a triangle and the weights of its corners (Ericson 2005, 5.1.5)."""
    abx, aby, abz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
    acx, acy, acz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
    apx, apy, apz = x - a[0], y - a[1], z - a[2]
    d1 = abx * apx + aby * apy + abz * apz
    d2 = acx * apx + acy * apy + acz * apz
    bb = abx * abx + aby * aby + abz * abz
    cc = acx * acx + acy * acy + acz * acz
    bc = abx * acx + aby * acy + abz * acz
    d3, d4 = d1 - bb, d2 - bc
    d5, d6 = d1 - bc, d2 - cc
    vc, vb, va = d1 * d4 - d3 * d2, d5 * d2 - d1 * d6, d3 * d6 - d5 * d4
    if d1 <= 0.0 and d2 <= 0.0:
        v, w = 0.0, 0.0
    elif d3 >= 0.0 and d4 <= d3:
        v, w = 1.0, 0.0
    elif vc <= 0.0 and d1 >= 0.0 and d3 <= 0.0:
        v, w = d1 / (d1 - d3) if d1 > d3 else 0.0, 0.0
    elif d6 >= 0.0 and d5 <= d6:
        v, w = 0.0, 1.0
    elif vb <= 0.0 and d2 >= 0.0 and d6 <= 0.0:
        v, w = 0.0, d2 / (d2 - d6) if d2 > d6 else 0.0
    elif va <= 0.0 and d4 - d3 >= 0.0 and d5 - d6 >= 0.0:
        span = (d4 - d3) + (d5 - d6)
        w = (d4 - d3) / span if span > 0.0 else 0.0
        v = 1.0 - w
    else:
        total = va + vb + vc
        v, w = (vb / total, vc / total) if total > 0.0 else (0.0, 0.0)
    ex, ey, ez = apx - v * abx - w * acx, apy - v * aby - w * acy, apz - v * abz - w * acz
    return ex * ex + ey * ey + ez * ez, 1.0 - v - w, v, w


@njit(cache=True, nogil=True)
def locate(surface, found, rows, start, end):
    """Walk the points named by a range of ``rows`` to their nearest places."""
    places, faces = surface.places, surface.faces
    for at in range(start, end):
        i = rows[at]
        x, y, z = found.points[i]
        face = found.faces[i]
        least, s0, s1, s2 = nearest_on_face(
            places[faces[face, 0]], places[faces[face, 1]], places[faces[face, 2]], x, y, z
        )
        for _ in range(LONGEST_WALK):
            here = face
            for k in range(3):
                vertex = faces[here, k]
                for slot in range(surface.starts[vertex], surface.starts[vertex + 1]):
                    other = surface.around[slot]
                    if other in (here, face):
                        continue
                    if is_beyond(places, faces, other, x, y, z, least):
                        continue
                    d, w0, w1, w2 = nearest_on_face(
                        places[faces[other, 0]], places[faces[other, 1]], places[faces[other, 2]], x, y, z
                    )
                    if d < least:
                        least, face, s0, s1, s2 = d, other, w0, w1, w2
            if face == here:
                break
        found.faces[i] = face
        found.shares[i, 0], found.shares[i, 1], found.shares[i, 2] = s0, s1, s2
        found.squares[i] = least


@njit(cache=True, nogil=True)
def face_normals(places, faces, normals):
    """Unit normals; zeros where there is no area."""
    for face in range(len(faces)):
        a, b, c = places[faces[face, 0]], places[faces[face, 1]], places[faces[face, 2]]
        ux, uy, uz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        vx, vy, vz = c[0] - a[0], c[1] - a[1], c[2] - a[2]
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        length = np.sqrt(nx * nx + ny * ny + nz * nz)
        scale = 1.0 / length if length > 0.0 else 0.0
        normals[face, 0], normals[face, 1], normals[face, 2] = nx * scale, ny * scale, nz * scale


@njit(cache=True, nogil=True)
def search_all(surface, found, rows, start, end):
    """Look at every face for the samples named by a range of ``rows``: for those that a walk may have lost."""
    places, faces = surface.places, surface.faces
    for at in range(start, end):
        i = rows[at]
        x, y, z = found.points[i]
        least = found.squares[i]
        for face in range(len(faces)):
            if is_beyond(places, faces, face, x, y, z, least):
                continue
            d, s0, s1, s2 = nearest_on_face(
                places[faces[face, 0]], places[faces[face, 1]], places[faces[face, 2]], x, y, z
            )
            if d < least:
                least = d
                found.squares[i] = d
                found.faces[i] = face
                found.shares[i, 0], found.shares[i, 1], found.shares[i, 2] = s0, s1, s2


@njit(cache=True, nogil=True)
def start_at_samples(onto_light, of_sample, light_faces, points, squares, starts):
    """Walks from a light face begin where the nearest of its samples lies, if that is nearer than where they ended.

    ``of_sample`` is the dense face of each sample, ``light_faces`` the light face of each point.
    """
    count = 0
    for i in range(len(onto_light.faces)):
        count = max(count, onto_light.faces[i] + 1)
    for i in range(len(light_faces)):
        count = max(count, light_faces[i] + 1)
    first = np.full(count, -1, np.int64)
    onward = np.full(len(onto_light.faces), -1, np.int64)
    for i in range(len(onto_light.faces)):
        face = onto_light.faces[i]
        onward[i] = first[face]
        first[face] = i
    for row in range(len(points)):
        least = squares[row]
        i = first[light_faces[row]]
        while i >= 0:
            dx = onto_light.points[i, 0] - points[row, 0]
            dy = onto_light.points[i, 1] - points[row, 1]
            dz = onto_light.points[i, 2] - points[row, 2]
            d = dx * dx + dy * dy + dz * dz
            if d < least:
                least = d
                starts[row] = of_sample[i]
            i = onward[i]
