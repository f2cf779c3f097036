# mypy: ignore-errors

"""Compiled loops that get a mesh ready for the collapse that keeps seams: kinds of points, outlines, quadrics."""

import numpy as np
from numba import njit

from bridge_server.backends.mesh_filter.quadric_kernels import TAG, cross_of
from bridge_server.backends.mesh_filter.seamed_kernels import (
    BORDER,
    FIXED,
    INNER,
    MEETING,
    SEAM,
    add_flat,
    coordinates,
    edge_between,
    is_smooth,
)

FEATURE_WEIGHT = 1.0
"""How heavy a border or seam edge weighs, over the square of its length."""


@njit(cache=True, nogil=True)
def prepare(surface, bench, weights):
    """Kinds of the points, outlines of the charts, quadrics of the wedges; faces count by area times weight."""
    for point in range(len(surface.kinds)):
        if surface.first[point] >= 0:
            surface.kinds[point] = kind_of(surface, bench, point)
    base, one, two = np.zeros(5), np.zeros(5), np.zeros(5)
    for face in range(len(surface.faces)):
        nx, ny, nz = cross_of(surface.places, surface.faces[face, 0], surface.faces[face, 1], surface.faces[face, 2])
        area = np.sqrt(nx * nx + ny * ny + nz * nz) / 6.0
        spanned = span_face(surface, face, base, one, two)
        for corner in range(3):
            surface.areas[surface.faces[face, corner]] += area
            if spanned:
                add_flat(surface.quadrics[surface.corners[face, corner]], base, one, two, 1.0, area * weights[face])
    for face in range(len(surface.faces)):
        for corner in range(3):
            after = (corner + 1) % 3
            u, v = surface.faces[face, corner], surface.faces[face, after]
            if is_smooth(edge_between(surface, u, v, bench.pair), bench.pair):
                continue
            start, end = surface.corners[face, corner], surface.corners[face, after]
            surface.ahead[start], surface.behind[end] = end, start
            coordinates(surface, u, start, base)
            coordinates(surface, v, end, one)
            length = unit_from(base, one)
            for wedge in (start, end):
                add_flat(surface.quadrics[wedge], base, one, two, 0.0, FEATURE_WEIGHT * length * length)


@njit(cache=True)
def unit_from(base, tip):
    """Turn ``tip`` into the direction from ``base`` to it; the length."""
    length = 0.0
    for k in range(5):
        tip[k] -= base[k]
        length += tip[k] * tip[k]
    length = np.sqrt(length)
    for k in range(5):
        tip[k] /= max(length, 1e-300)
    return length


@njit(cache=True)
def span_face(surface, face, base, one, two):
    """First corner of a face and two directions at right angles that span it; whether it spans anything."""
    coordinates(surface, surface.faces[face, 0], surface.corners[face, 0], base)
    coordinates(surface, surface.faces[face, 1], surface.corners[face, 1], one)
    coordinates(surface, surface.faces[face, 2], surface.corners[face, 2], two)
    if unit_from(base, one) <= 0.0:
        return False
    along, height = 0.0, 0.0
    for k in range(5):
        two[k] -= base[k]
        along += two[k] * one[k]
    for k in range(5):
        two[k] -= along * one[k]
        height += two[k] * two[k]
    height = np.sqrt(height)
    for k in range(5):
        two[k] /= max(height, 1e-300)
    return height > 0.0


@njit(cache=True)
def kind_of(surface, bench, point):
    """See ``INNER`` and so on."""
    surface.counts[TAG] += 2
    tag = surface.counts[TAG]
    seams, borders, faces, wedges = 0, 0, 0, 0
    corner = surface.first[point]
    while corner >= 0:
        face, at = corner // 3, corner % 3
        faces += 1
        seen = surface.first[point]
        while seen != corner and surface.corners[seen // 3, seen % 3] != surface.corners[face, at]:
            seen = surface.onward[seen]
        wedges += seen == corner
        for step in (1, 2):
            other = surface.faces[face, (at + step) % 3]
            if surface.marks[other] == tag:
                continue
            surface.marks[other] = tag
            shared = edge_between(surface, point, other, bench.pair)
            if shared > 2 or turned_against(surface, point, other):
                return FIXED
            borders += shared == 1
            seams += shared == 2 and not is_smooth(shared, bench.pair)
        corner = surface.onward[corner]
    if borders:
        surface.border[point] = 1
    if around(surface, point) < faces:
        return FIXED
    return kind_by(seams, borders, wedges)


@njit(cache=True)
def kind_by(seams, borders, wedges):
    """The kind of a point on one fan of faces with so many seams and borders and so many wedges."""
    kind = FIXED
    if borders == 0 and wedges == max(seams, 1):
        kind = INNER if seams == 0 else (SEAM if seams == 2 else (MEETING if seams > 2 else FIXED))
    elif borders == 2 and seams == 0 and wedges == 1:
        kind = BORDER
    return kind


@njit(cache=True)
def turned_against(surface, u, v):
    """Whether two faces run along an edge the same way."""
    forward = 0
    corner = surface.first[u]
    while corner >= 0:
        forward += surface.faces[corner // 3, (corner % 3 + 1) % 3] == v
        corner = surface.onward[corner]
    return forward > 1


@njit(cache=True)
def around(surface, point):
    """How many faces hang together around a point, by edges at it, from any of them on."""
    start = surface.first[point] // 3
    count = 1
    for step in (1, 2):
        at = 0
        while surface.faces[start, at] != point:
            at += 1
        face, rim = start, surface.faces[start, (at + step) % 3]
        while True:
            after = -1
            corner = surface.first[point]
            while corner >= 0:
                other, k = corner // 3, corner % 3
                if other != face and rim in (surface.faces[other, (k + 1) % 3], surface.faces[other, (k + 2) % 3]):
                    after = corner
                corner = surface.onward[corner]
            if after < 0:
                break
            face, k = after // 3, after % 3
            if face == start:
                return count
            count += 1
            rim = surface.faces[face, (k + 1) % 3] + surface.faces[face, (k + 2) % 3] - rim
    return count
