# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
"""Compiled loops that take whole rows of quads out: every rung of a row becomes a point, by Numba.

A row runs through quads from one side to the one across until it ends at a border or a single triangle, or comes back
to where it began. Where it goes no vertex gets more or fewer rows than it had, and single triangles at its ends go too.
"""

from numba import njit

from bridge_server.backends.mesh_filter.collapse_kernels import keeps_topology
from bridge_server.backends.mesh_filter.field_folds_kernels import copy_over, folds_around
from bridge_server.backends.mesh_filter.field_merging_kernels import collapse_edge, line_allows


@njit(cache=True)
def across(opposite, cut, half):
    """The half-edge across the quad that a half-edge belongs to, as the quad has it; -1 where it is a triangle."""
    face, k = half // 3, half % 3
    for j in range(3):
        inner = face * 3 + j
        if cut[inner]:
            beyond = opposite[inner]
            # Around the quad come the two other sides of this face, then the two of the other face.
            if (j + 1) % 3 == k:
                return beyond // 3 * 3 + (beyond % 3 + 1) % 3
            return beyond // 3 * 3 + (beyond % 3 + 2) % 3
    return -1


@njit(cache=True)
def trace_row(opposite, cut, start, seen, mark, rungs):
    """Rungs of the row through a half-edge, one way only; how many, and whether it came back to the start."""
    half, count = start, 0
    while count < len(rungs):
        rungs[count] = half
        count += 1
        seen[half] = mark
        beyond = across(opposite, cut, half)
        if beyond < 0:
            return count, False
        seen[beyond] = mark
        half = opposite[beyond]
        if half < 0:
            if count < len(rungs):
                rungs[count] = beyond
                count += 1
            return count, False
        if half == start:
            return count, True
        if seen[half] == mark:
            return -1, False
    return -1, False


@njit(cache=True)
def collapse_row(surface, hard, kinds, one, other, back, hard_back):
    """Collapse the rungs of a row, or none where one may not go or folds are made; whether it went."""
    copy_over(surface, back)
    back.places[:] = surface.places
    hard_back[:] = hard
    folds = 0
    for row in range(len(one)):
        folds += folds_around(surface, one[row], -1)
    for row in range(len(one)):
        u, v = one[row], other[row]
        while surface.owners[u] != u:
            u = surface.owners[u]
        while surface.owners[v] != v:
            v = surface.owners[v]
        if kinds[v] > kinds[u]:
            u, v = v, u
        if u == v:
            continue
        if not line_allows(surface, hard, kinds, u, v) or not keeps_topology(surface, u, v):
            return taken_back(surface, hard, back, hard_back)
        collapse_edge(surface, hard, u, v)
        if kinds[u] == kinds[v]:
            for axis in range(3):
                surface.places[u, axis] = 0.5 * (surface.places[u, axis] + surface.places[v, axis])
    left = 0
    for row in range(len(one)):
        u = one[row]
        while surface.owners[u] != u:
            u = surface.owners[u]
        left += folds_around(surface, u, -1)
    if left > folds:
        return taken_back(surface, hard, back, hard_back)
    return True


@njit(cache=True)
def taken_back(surface, hard, back, hard_back):
    """As before."""
    copy_over(back, surface)
    surface.places[:] = back.places
    hard[:] = hard_back
    return False
