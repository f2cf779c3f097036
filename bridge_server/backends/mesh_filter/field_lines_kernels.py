# mypy: ignore-errors
"""Compiled loops that keep vertices on the lines of a dense surface, by Numba."""

import numpy as np
from numba import njit

LONGEST_WALK = 256


@njit(cache=True)
def walk_lines(places, kinds, starts, ends, points, at):
    """Move each point to the nearest place on the line of the vertex ``at``; ``at`` follows. No walk passes a point."""
    for row in range(len(points)):
        x, y, z = points[row]
        here = at[row]
        least, fx, fy, fz = np.inf, x, y, z
        for _ in range(LONGEST_WALK):
            best = here
            for link in range(starts[here], starts[here + 1]):
                there = ends[link]
                a, b = places[here], places[there]
                dx, dy, dz = b[0] - a[0], b[1] - a[1], b[2] - a[2]
                length = dx * dx + dy * dy + dz * dz
                share = 0.0
                if length > 0.0:
                    share = min(max(((x - a[0]) * dx + (y - a[1]) * dy + (z - a[2]) * dz) / length, 0.0), 1.0)
                px, py, pz = a[0] + share * dx, a[1] + share * dy, a[2] + share * dz
                square = (px - x) ** 2 + (py - y) ** 2 + (pz - z) ** 2
                if square < least:
                    least, fx, fy, fz = square, px, py, pz
                    best = there if share > 0.5 and kinds[there] == 1 else here
            if best == here:
                break
            here = best
        at[row] = here
        points[row, 0], points[row, 1], points[row, 2] = fx, fy, fz


@njit(cache=True)
def walked(places, starts, ends, stops, here, link, reach):
    """The vertex that lies ``reach`` away along a line, or where the line stops before."""
    before, now = here, ends[link]
    for _ in range(LONGEST_WALK):
        square = 0.0
        for axis in range(3):
            square += (places[now, axis] - places[here, axis]) ** 2
        if square >= reach * reach or stops[now] or starts[now + 1] - starts[now] != 2:
            break
        after = ends[starts[now]] if ends[starts[now]] != before else ends[starts[now] + 1]
        before, now = now, after
    return now


@njit(cache=True)
def chord(places, a, b):
    """Unit vector from one vertex to another; zeros where they are one."""
    x, y, z = places[b, 0] - places[a, 0], places[b, 1] - places[a, 1], places[b, 2] - places[a, 2]
    length = np.sqrt(x * x + y * y + z * z)
    scale = 1.0 / length if length > 0.0 else 0.0
    return x * scale, y * scale, z * scale


@njit(cache=True)
def trace_lines(places, starts, ends, reach, bend_cosine, kinds, along):
    """Kinds of line vertices, and directions, measured over ``reach`` so that a jagged line is a line.

    Points are where lines meet and where one bends more than a little, most of all places within reach.
    """
    count = len(places)
    stops = np.zeros(count, np.bool_)
    bends = np.ones(count)
    for v in range(count):
        degree = starts[v + 1] - starts[v]
        kinds[v] = 0 if degree == 0 else (1 if degree < 3 else 2)
        stops[v] = degree > 2
        if degree == 2:
            a = walked(places, starts, ends, stops, v, starts[v], reach)
            b = walked(places, starts, ends, stops, v, starts[v] + 1, reach)
            x, y, z = chord(places, a, v)
            u, w, t = chord(places, v, b)
            bends[v] = x * u + y * w + z * t
    for v in range(count):
        if bends[v] >= bend_cosine:
            continue
        sharpest = True
        for side in range(2):
            before, now = v, ends[starts[v] + side]
            for _ in range(LONGEST_WALK):
                square = 0.0
                for axis in range(3):
                    square += (places[now, axis] - places[v, axis]) ** 2
                if square > reach * reach or starts[now + 1] - starts[now] != 2 or now == v:
                    break
                if bends[now] < bends[v] - 1e-6 or (bends[now] < bends[v] + 1e-6 and now < v):
                    sharpest = False
                after = ends[starts[now]] if ends[starts[now]] != before else ends[starts[now] + 1]
                before, now = now, after
        if sharpest:
            kinds[v] = 2
            stops[v] = True
    for v in range(count):
        if kinds[v] == 1:
            a = walked(places, starts, ends, stops, v, starts[v], reach)
            b = v if starts[v + 1] - starts[v] == 1 else walked(places, starts, ends, stops, v, starts[v] + 1, reach)
            along[v, 0], along[v, 1], along[v, 2] = chord(places, a, b)
            if a == b and a != v:
                along[v, 0], along[v, 1], along[v, 2] = chord(places, a, v)
