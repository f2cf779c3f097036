# mypy: ignore-errors

"""Compiled loops that take folds out of a light mesh: a vertex beside goes where that leaves fewer, by Numba."""

import numpy as np
from numba import njit

from bridge_server.backends.mesh_filter.collapse_kernels import keeps_topology
from bridge_server.backends.mesh_filter.field_merging_kernels import collapse_edge
from bridge_server.backends.mesh_filter.quadric_kernels import cross_of

FOLD_COSINE = -0.9
"""Two neighbours that turn back on each other like this are a fold (see ``stages/decimate``)."""


@njit(cache=True)
def folds_around(surface, u, spare):
    """Edges of the faces around a vertex that are folded; faces around ``spare`` are left out (-1 for none)."""
    faces, count = surface.faces, 0
    corner = surface.first[u]
    while corner >= 0:
        face = corner // 3
        if surface.alive[face] and not has(faces, face, spare):
            for k in range(3):
                count += folded(surface, face, k)
        corner = surface.onward[corner]
    return count


@njit(cache=True)
def has(faces, face, vertex):
    """Whether a face has a corner there."""
    return faces[face, 0] == vertex or faces[face, 1] == vertex or faces[face, 2] == vertex


@njit(cache=True)
def folded(surface, face, k):
    """1 where the neighbour across an edge turns back on the face, 0 elsewhere."""
    faces, places = surface.faces, surface.places
    u, v = faces[face, k], faces[face, (k + 1) % 3]
    corner = surface.first[u]
    while corner >= 0:
        other = corner // 3
        if surface.alive[other] and other != face and has(faces, other, v):
            ax, ay, az = cross_of(places, faces[face, 0], faces[face, 1], faces[face, 2])
            bx, by, bz = cross_of(places, faces[other, 0], faces[other, 1], faces[other, 2])
            size = np.sqrt((ax * ax + ay * ay + az * az) * (bx * bx + by * by + bz * bz))
            if size <= 0.0 or ax * bx + ay * by + az * bz < FOLD_COSINE * size:
                return 1
        corner = surface.onward[corner]
    return 0


@njit(cache=True)
def unfold(surface, hard, kinds, back):
    """Collapse edges beside folds, lines or not, where fewer folds are left; how many went.

    ``back`` is a copy of the surface to try on: what did not help is taken back from it.
    """
    faces, gone = surface.faces, 0
    for face in range(len(faces)):
        for k in range(3):
            if not surface.alive[face] or not folded(surface, face, k):
                continue
            if unfolded_at(surface, hard, kinds, face, back):
                gone += 1
    return gone


@njit(cache=True)
def unfolded_at(surface, hard, kinds, face, back):
    """Try the edges of a face; the first collapse after which fewer edges around are folded stays."""
    for step in range(12):  # first those that leave lines and points where they are
        k, turn = step % 3, step // 3 % 2
        u, v = surface.faces[face, (k + turn) % 3], surface.faces[face, (k + 1 - turn) % 3]
        if (kinds[v] > kinds[u]) == (step >= 6) and keeps_topology(surface, u, v):
            before = folds_around(surface, u, -1) + folds_around(surface, v, u)
            copy_over(surface, back)
            collapse_edge(surface, hard, u, v)
            if folds_around(surface, u, -1) < before:
                return True
            copy_over(back, surface)
    return False


@njit(cache=True)
def copy_over(source, target):
    """Make all arrays that a collapse changes those of the source."""
    target.faces[:] = source.faces
    target.alive[:] = source.alive
    target.first[:] = source.first
    target.onward[:] = source.onward
    target.border[:] = source.border
    target.stamps[:] = source.stamps
    target.owners[:] = source.owners
    target.counts[:] = source.counts
