# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
"""Compiled loops over the arrays of the quick edge collapse: chains of corners, what is left, pieces."""

from numba import njit

from bridge_server.backends.mesh_filter.quick_kernels import NONE


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


@njit(cache=True, nogil=True)
def number_halves(places, axis, cuts, halves, begin, end):
    """How many of the cuts, which rise, lie before each vertex of a range."""
    for vertex in range(begin, end):
        low, high, along = 0, len(cuts), places[vertex, axis]
        while low < high:
            middle = (low + high) // 2
            if cuts[middle] < along:
                low = middle + 1
            else:
                high = middle
        halves[vertex] = low


@njit(cache=True, nogil=True)
def count_pieces(faces, parents):
    """How many pieces there are of faces that hang together by vertices.

    ``parents`` is room for a number for each vertex. Sets are joined under their lowest vertex (Tarjan 1975, with
    paths halved).
    """
    parents[:] = NONE
    count = 0
    for face in range(len(faces)):
        lowest = NONE
        for k in range(3):
            vertex = faces[face, k]
            if parents[vertex] == NONE:
                parents[vertex] = vertex
                count += 1
            while parents[vertex] != vertex:
                parents[vertex] = parents[parents[vertex]]
                vertex = parents[vertex]
            if lowest == NONE:
                lowest = vertex
            elif vertex != lowest:
                count -= 1
                parents[max(vertex, lowest)] = min(vertex, lowest)
                lowest = min(vertex, lowest)
    return count
