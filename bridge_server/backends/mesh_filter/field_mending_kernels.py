# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
"""Compiled loops that mend a light mesh of quads: edges that go, and edges that turn, by Numba."""

import numpy as np
from numba import njit

from bridge_server.backends.mesh_filter.collapse_kernels import keeps_shape, keeps_topology
from bridge_server.backends.mesh_filter.field_merging_kernels import collapse_edge, line_allows
from bridge_server.backends.mesh_filter.quadric_kernels import cross_of
from bridge_server.backends.mesh_filter.turning_kernels import joined

POOR = 0.3
"""Shape below which an edge may turn: 1 is equilateral, half a square 0.87, negative is turned over."""
LEAST_GAIN = 0.05
FOLD_COSINE = -0.8
"""No turn makes neighbours that turn back on each other like this."""


@njit(cache=True)
def collapse_listed(surface, hard, kinds, stays, goes, targets, limits, most):
    """Collapse edges in the order given, at most one around each vertex, until ``most`` faces have gone.

    ``limits`` are the least cosine of a turn and the least shape of a triangle (see ``keeps_shape``).
    """
    faces, gone = surface.faces, 0
    touched = np.zeros(len(kinds), np.bool_)
    for row in range(len(stays)):
        if gone >= most:
            break
        u, v = stays[row], goes[row]
        if touched[u] or touched[v] or surface.first[u] < 0 or surface.first[v] < 0:
            continue
        if not line_allows(surface, hard, kinds, u, v) or not keeps_topology(surface, u, v):
            continue
        x, y, z = targets[row]
        if not keeps_shape(surface, u, v, x, y, z, limits[0], limits[1]):
            continue
        if not keeps_shape(surface, v, u, x, y, z, limits[0], limits[1]):
            continue
        before = surface.counts[0]
        collapse_edge(surface, hard, u, v)
        gone += before - surface.counts[0]
        surface.places[u, 0], surface.places[u, 1], surface.places[u, 2] = x, y, z
        corner = surface.first[u]
        while corner >= 0:
            for k in range(3):
                touched[faces[corner // 3, k]] = True
            corner = surface.onward[corner]
    return gone


@njit(cache=True)
def shape(places, a, b, c, nx, ny, nz):
    """How near a triangle is to equilateral; negative where it faces against the direction given."""
    p, q, r = places[a], places[b], places[c]
    ux, uy, uz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    vx, vy, vz = r[0] - p[0], r[1] - p[1], r[2] - p[2]
    cx, cy, cz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
    size = np.sqrt(cx * cx + cy * cy + cz * cz)
    sides = ux * ux + uy * uy + uz * uz + vx * vx + vy * vy + vz * vz
    sides += (ux - vx) ** 2 + (uy - vy) ** 2 + (uz - vz) ** 2
    if sides <= 0.0:
        return 0.0
    length = np.sqrt(nx * nx + ny * ny + nz * nz)
    facing = (cx * nx + cy * ny + cz * nz) / max(size * length, 1e-300) if length > 0.0 else 1.0
    return 3.4641016 * size / sides * facing


@njit(cache=True)
def shapes(places, faces, up, result):
    """Shape of each face, facing as the directions of its corners do on the average."""
    for face in range(len(faces)):
        a, b, c = faces[face]
        n = up[a] + up[b] + up[c]
        result[face] = shape(places, a, b, c, n[0], n[1], n[2])


@njit(cache=True)
def turns_back(places, faces, a, b, c, half):
    """Whether a triangle would be folded onto the face of a half-edge beside it (-1 for none)."""
    if half < 0:
        return False
    face = half // 3
    x, y, z = cross_of(places, a, b, c)
    u, v, w = cross_of(places, faces[face, 0], faces[face, 1], faces[face, 2])
    return x * u + y * v + z * w < FOLD_COSINE * np.sqrt((x * x + y * y + z * z) * (u * u + v * v + w * w))


@njit(cache=True)
def turn_poor(listed, hard, opposite, up):
    """Turn edges of poor faces where both new faces are better than the worse of the old; how many were turned.

    ``listed`` is the surface with the faces around its vertices; no face is turned twice.
    """
    places, faces, turned = listed.places, listed.faces, 0
    touched = np.zeros(len(faces), np.bool_)
    for half in range(len(opposite)):
        across = opposite[half]
        if across < half or hard[half // 3, half % 3]:
            continue
        face, k, other, j = half // 3, half % 3, across // 3, across % 3
        if touched[face] or touched[other]:
            continue
        a, b, c = faces[face, k], faces[face, (k + 1) % 3], faces[face, (k + 2) % 3]
        d = faces[other, (j + 2) % 3]
        n = up[a] + up[b] + up[c] + up[d]
        x, y, z = n
        before = min(shape(places, a, b, c, x, y, z), shape(places, b, a, d, x, y, z))
        if before >= POOR or c == d:
            continue
        after = min(shape(places, c, a, d, x, y, z), shape(places, d, b, c, x, y, z))
        if after < before + LEAST_GAIN or joined(listed, c, d):
            continue
        sides = (opposite[face * 3 + (k + 2) % 3], opposite[other * 3 + (j + 1) % 3])
        if turns_back(places, faces, c, a, d, sides[0]) or turns_back(places, faces, c, a, d, sides[1]):
            continue
        sides = (opposite[other * 3 + (j + 2) % 3], opposite[face * 3 + (k + 1) % 3])
        if turns_back(places, faces, d, b, c, sides[0]) or turns_back(places, faces, d, b, c, sides[1]):
            continue
        ca, bc = hard[face, (k + 2) % 3], hard[face, (k + 1) % 3]
        ad, db = hard[other, (j + 1) % 3], hard[other, (j + 2) % 3]
        faces[face, 0], faces[face, 1], faces[face, 2] = c, a, d
        faces[other, 0], faces[other, 1], faces[other, 2] = d, b, c
        hard[face, 0], hard[face, 1], hard[face, 2] = ca, ad, False
        hard[other, 0], hard[other, 1], hard[other, 2] = db, bc, False
        # Lists of faces around vertices are stale now, so nothing near may turn before they are made again.
        for vertex in (a, b, c, d):
            for at in range(listed.starts[vertex], listed.starts[vertex + 1]):
                touched[listed.around[at]] = True
        turned += 1
    return turned
