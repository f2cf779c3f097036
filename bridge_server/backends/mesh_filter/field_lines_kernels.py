# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
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
def is_sharpest(places, starts, ends, bends, v, reach):
    """Whether no other vertex within reach along the line bends more; of equals the first is taken."""
    for side in range(2):
        before, now = v, ends[starts[v] + side]
        for _ in range(LONGEST_WALK):
            square = 0.0
            for axis in range(3):
                square += (places[now, axis] - places[v, axis]) ** 2
            if square > reach * reach or starts[now + 1] - starts[now] != 2 or now == v:
                break
            if bends[now] < bends[v] - 1e-6 or (bends[now] < bends[v] + 1e-6 and now < v):
                return False
            after = ends[starts[now]] if ends[starts[now]] != before else ends[starts[now] + 1]
            before, now = now, after
    return True


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
        if bends[v] < bend_cosine and is_sharpest(places, starts, ends, bends, v, reach):
            kinds[v] = 2
            stops[v] = True
    for v in range(count):
        if kinds[v] == 1:
            a = walked(places, starts, ends, stops, v, starts[v], reach)
            b = v if starts[v + 1] - starts[v] == 1 else walked(places, starts, ends, stops, v, starts[v] + 1, reach)
            along[v, 0], along[v, 1], along[v, 2] = chord(places, a, v if a == b else b)


@njit(cache=True)
def chain_from(places, starts, ends, kinds, first, link, chain, lengths):
    """Vertices of a line from one on, and how far along it they are; how many. A loop ends with its first vertex."""
    chain[0], lengths[0] = first, 0.0
    before, now, count = first, ends[link], 1
    while count < len(chain):
        square = 0.0
        for axis in range(3):
            square += (places[now, axis] - places[before, axis]) ** 2
        chain[count], lengths[count] = now, lengths[count - 1] + np.sqrt(square)
        count += 1
        if now == first or kinds[now] != 1 or starts[now + 1] - starts[now] != 2:
            break
        after = ends[starts[now]] if ends[starts[now]] != before else ends[starts[now] + 1]
        before, now = now, after
    return count


@njit(cache=True)
def divide_chain(places, kinds, side, chain, lengths, count, done, p):
    """Spread whole lattice steps evenly over a line; each of its vertices gets the point that is nearest along it."""
    total = lengths[count - 1]
    steps = max(np.rint(total / side), 3.0 if chain[0] == chain[count - 1] else 1.0)
    at = 0
    for row in range(count):
        v = chain[row]
        done[v] = True
        if kinds[v] != 1:
            continue
        goal = np.rint(lengths[row] / max(total, 1e-300) * steps) / steps * total
        while at > 0 and lengths[at] > goal:
            at -= 1
        while at < count - 2 and lengths[at + 1] < goal:
            at += 1
        span = lengths[at + 1] - lengths[at]
        share = (goal - lengths[at]) / span if span > 0.0 else 0.0
        for axis in range(3):
            a, b = places[chain[at], axis], places[chain[at + 1], axis]
            p[v, axis] = a + share * (b - a)


@njit(cache=True)
def divide_lines(places, starts, ends, kinds, side, p):
    """Lattice points of all lines: from points, then from loose ends, then around loops."""
    chain, lengths = np.zeros(len(places) + 1, np.int64), np.zeros(len(places) + 1)
    done = np.zeros(len(places), np.bool_)
    for turn in range(3):
        for v in range(len(places)):
            degree = starts[v + 1] - starts[v]
            if turn == 0 and kinds[v] != 2:
                continue
            if turn > 0 and (kinds[v] != 1 or done[v] or (turn == 1 and degree != 1)):
                continue
            for link in range(starts[v], starts[v + 1] if turn == 0 else starts[v] + 1):
                if not done[ends[link]] or kinds[ends[link]] != 1:
                    count = chain_from(places, starts, ends, kinds, v, link, chain, lengths)
                    divide_chain(places, kinds, side, chain, lengths, count, done, p)
