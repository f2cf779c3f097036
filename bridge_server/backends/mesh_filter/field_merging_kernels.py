# mypy: ignore-errors

"""Compiled loops that draw all vertices of one lattice point together, by edge collapses that keep the topology.

Jakob et al. take a graph apart and look for its faces. Collapses with the link condition reach the same squares, each
cut along a diagonal, and cannot open, join or fold back a surface: what is closed stays closed. Lines stay lines.
"""

import numpy as np
from numba import njit

from bridge_server.backends.mesh_filter.collapse_kernels import keeps_topology, merge


@njit(cache=True)
def line_allows(surface, hard, kinds, u, v):
    """Whether v may go into u without breaking a line."""
    if kinds[v] == 0:
        return True
    if kinds[v] == 2 or kinds[u] == 0:
        return False
    faces, on_line = surface.faces, False
    corner = surface.first[v]
    while corner >= 0:
        face, at = corner // 3, corner % 3
        if surface.alive[face]:
            after, before = (at + 1) % 3, (at + 2) % 3
            if faces[face, after] == u or faces[face, before] == u:
                shared = at if faces[face, after] == u else before
                if not hard[face, shared]:
                    return False
                if hard[face, (shared + 1) % 3] and hard[face, (shared + 2) % 3]:
                    return False
                on_line = True
        corner = surface.onward[corner]
    return on_line


@njit(cache=True)
def collapse_edge(surface, hard, u, v):
    """Take v into u and hand the lines of the faces that vanish on."""
    faces = surface.faces
    lined = np.full(2, -1, np.int64)
    count = 0
    corner = surface.first[v]
    while corner >= 0:
        face, at = corner // 3, corner % 3
        if surface.alive[face]:
            a, b = faces[face, (at + 1) % 3], faces[face, (at + 2) % 3]
            if u in (a, b) and count < 2:
                shared = at if a == u else (at + 2) % 3
                if hard[face, (shared + 1) % 3] or hard[face, (shared + 2) % 3]:
                    lined[count] = a + b - u
                    count += 1
        corner = surface.onward[corner]
    merge(surface, u, v)
    for row in range(count):
        draw_line(surface, hard, u, lined[row])


@njit(cache=True)
def draw_line(surface, hard, u, w):
    """Mark the edge between two vertices on both its sides."""
    faces = surface.faces
    corner = surface.first[u]
    while corner >= 0:
        face, at = corner // 3, corner % 3
        if surface.alive[face]:
            if faces[face, (at + 1) % 3] == w:
                hard[face, at] = True
            if faces[face, (at + 2) % 3] == w:
                hard[face, (at + 2) % 3] = True
        corner = surface.onward[corner]


@njit(cache=True)
def merge_groups(surface, hard, kinds, groups, away):
    """Collapse edges within groups as long as one can be; the number that went. The nearer to its point stays."""
    faces, gone = surface.faces, 0
    for face in range(len(faces)):
        k = 0
        while k < 3 and surface.alive[face]:
            u, v = faces[face, k], faces[face, (k + 1) % 3]
            k += 1
            if groups[u] != groups[v]:
                continue
            if kinds[v] > kinds[u] or (kinds[v] == kinds[u] and away[v] < away[u]):
                u, v = v, u
            if line_allows(surface, hard, kinds, u, v) and keeps_topology(surface, u, v):
                collapse_edge(surface, hard, u, v)
                gone += 1
                k = 0
    return gone
