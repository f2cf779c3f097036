# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
"""Compiled loops of the direction and the position field (Jakob et al. 2015, sections 3 and 4), by Numba.

A vertex has a direction q in its tangent plane, which stands for four with a quarter turn between, and a place p: one
point of a lattice of the length ``side`` along q and n x q. Line vertices have the points along their line alone, and
point vertices just themselves, so that what lies beside them snaps to them.
"""

import numpy as np
from numba import njit


@njit(cache=True)
def match(one, other, taken, chosen):
    """Pairs in order, unless an end is taken."""
    for row in range(len(one)):
        if not taken[one[row]] and not taken[other[row]]:
            taken[one[row]] = True
            taken[other[row]] = True
            chosen[row] = True


@njit(cache=True)
def crossed(a0, a1, a2, b0, b1, b2):
    """Cross product."""
    return a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0


@njit(cache=True)
def agreeing(q0, q1, q2, n, r, m):
    """The quarter turns of q (around n) and r (around m) that differ least: which of q's axes, and the turned r."""
    t0, t1, t2 = crossed(n[0], n[1], n[2], q0, q1, q2)
    u0, u1, u2 = crossed(m[0], m[1], m[2], r[0], r[1], r[2])
    qr = q0 * r[0] + q1 * r[1] + q2 * r[2]
    qu = q0 * u0 + q1 * u1 + q2 * u2
    tr = t0 * r[0] + t1 * r[1] + t2 * r[2]
    tu = t0 * u0 + t1 * u1 + t2 * u2
    best = max(abs(qr), abs(qu), abs(tr), abs(tu))
    if abs(qr) == best:
        sign = 1.0 if qr > 0.0 else -1.0
        return q0, q1, q2, sign * r[0], sign * r[1], sign * r[2]
    if abs(qu) == best:
        sign = 1.0 if qu > 0.0 else -1.0
        return q0, q1, q2, sign * u0, sign * u1, sign * u2
    if abs(tr) == best:
        sign = 1.0 if tr > 0.0 else -1.0
        return t0, t1, t2, sign * r[0], sign * r[1], sign * r[2]
    sign = 1.0 if tu > 0.0 else -1.0
    return t0, t1, t2, sign * u0, sign * u1, sign * u2


@njit(cache=True)
def smooth_directions(normals, kinds, starts, beside, weights, q, rounds):
    """Gauss-Seidel: each free vertex takes the mean of its neighbours, turned as fits best. Lines stay."""
    for _ in range(rounds):
        for i in range(len(q)):
            if kinds[i] == 1:
                continue
            n = normals[i]
            s0, s1, s2 = q[i]
            total = 0.0
            for at in range(starts[i], starts[i + 1]):
                j = beside[at]
                if kinds[j] == 2:
                    continue
                a0, a1, a2, b0, b1, b2 = agreeing(s0, s1, s2, n, q[j], normals[j])
                w = weights[at]
                a0, a1, a2 = a0 * total + b0 * w, a1 * total + b1 * w, a2 * total + b2 * w
                dot = a0 * n[0] + a1 * n[1] + a2 * n[2]
                a0, a1, a2 = a0 - dot * n[0], a1 - dot * n[1], a2 - dot * n[2]
                length = np.sqrt(a0 * a0 + a1 * a1 + a2 * a2)
                total += w
                if length > 1e-12:
                    s0, s1, s2 = a0 / length, a1 / length, a2 / length
            q[i, 0], q[i, 1], q[i, 2] = s0, s1, s2


@njit(cache=True)
def middle_of(v, n, w, m):
    """The point of both tangent planes nearest to two vertices; halfway between them where the planes are one."""
    d0, d1, d2 = w[0] - v[0], w[1] - v[1], w[2] - v[2]
    c = n[0] * m[0] + n[1] * m[1] + n[2] * m[2]
    a = 0.5 * (n[0] * d0 + n[1] * d1 + n[2] * d2)
    b = -0.5 * (m[0] * d0 + m[1] * d1 + m[2] * d2)
    rest = 1.0 / (1.0 - c * c + 1e-4)
    f, g = (a - c * b) * rest, (b - c * a) * rest
    return (
        0.5 * (v[0] + w[0]) - f * n[0] - g * m[0],
        0.5 * (v[1] + w[1]) - f * n[1] - g * m[1],
        0.5 * (v[2] + w[2]) - f * n[2] - g * m[2],
    )


@njit(cache=True)
def nearest_pair(v, n, q, kind, p0, p1, p2, w, m, r, other, o, side):
    """Lattice steps (a, b) from p and (c, d) from o to the two lattice points that are nearest to each other.

    Looked for are the four of each lattice around the middle between the vertices v and w,
    or around the one that lies on a line.
    """
    if kind == 0 and other == 0:
        x, y, z = middle_of(v, n, w, m)
    else:  # a line has points along itself alone, so they are met there
        x, y, z = (w[0], w[1], w[2]) if other > kind else (v[0], v[1], v[2])
    t0, t1, t2 = crossed(n[0], n[1], n[2], q[0], q[1], q[2])
    u0, u1, u2 = crossed(m[0], m[1], m[2], r[0], r[1], r[2])
    a = b = c = d = 0
    if kind < 2:
        a = int(np.floor(((x - p0) * q[0] + (y - p1) * q[1] + (z - p2) * q[2]) / side))
    if kind == 0:
        b = int(np.floor(((x - p0) * t0 + (y - p1) * t1 + (z - p2) * t2) / side))
    if other < 2:
        c = int(np.floor(((x - o[0]) * r[0] + (y - o[1]) * r[1] + (z - o[2]) * r[2]) / side))
    if other == 0:
        d = int(np.floor(((x - o[0]) * u0 + (y - o[1]) * u1 + (z - o[2]) * u2) / side))
    best, fa, fb, fc, fd = np.inf, 0, 0, 0, 0
    for i in range(2 if kind < 2 else 1):
        for j in range(2 if kind == 0 else 1):
            ex = p0 + side * ((a + i) * q[0] + (b + j) * t0) - o[0]
            ey = p1 + side * ((a + i) * q[1] + (b + j) * t1) - o[1]
            ez = p2 + side * ((a + i) * q[2] + (b + j) * t2) - o[2]
            # Of the other lattice's four points the nearest is found along each axis by itself: they are upright.
            k, h = c, d
            if other < 2 and (ex * r[0] + ey * r[1] + ez * r[2]) > side * (c + 0.5):
                k += 1
            if other == 0 and (ex * u0 + ey * u1 + ez * u2) > side * (d + 0.5):
                h += 1
            gx = ex - side * (k * r[0] + h * u0)
            gy = ey - side * (k * r[1] + h * u1)
            gz = ez - side * (k * r[2] + h * u2)
            square = gx * gx + gy * gy + gz * gz
            if square < best:
                best, fa, fb, fc, fd = square, a + i, b + j, k, h
    return best, fa, fb, fc, fd


@njit(cache=True)
def smooth_places(places, normals, kinds, starts, beside, weights, q, p, side, rounds):
    """Gauss-Seidel: each lattice is moved to the mean of its neighbours' nearest points. Lines and points stay."""
    for _ in range(rounds):
        for i in range(len(p)):
            kind = kinds[i]
            if kind > 0:
                continue
            v, n, e = places[i], normals[i], q[i]
            t0, t1, t2 = crossed(n[0], n[1], n[2], e[0], e[1], e[2])
            s0, s1, s2 = p[i]
            total = 0.0
            for at in range(starts[i], starts[i + 1]):
                j = beside[at]
                r, o, u = q[j], p[j], normals[j]
                _, a, b, c, d = nearest_pair(v, n, e, kind, s0, s1, s2, places[j], u, r, kinds[j], o, side)
                u0, u1, u2 = crossed(u[0], u[1], u[2], r[0], r[1], r[2])
                w = weights[at]
                f, g = total / (total + w), w / (total + w)
                s0 = f * (s0 + side * (a * e[0] + b * t0)) + g * (o[0] + side * (c * r[0] + d * u0))
                s1 = f * (s1 + side * (a * e[1] + b * t1)) + g * (o[1] + side * (c * r[1] + d * u1))
                s2 = f * (s2 + side * (a * e[2] + b * t2)) + g * (o[2] + side * (c * r[2] + d * u2))
                total += w
                s0, s1, s2 = flattened(v, n, s0, s1, s2)
            p[i, 0], p[i, 1], p[i, 2] = rounded(v, e, t0, t1, t2, s0, s1, s2, side)


@njit(cache=True)
def flattened(v, n, s0, s1, s2):
    """A point moved to the tangent plane of a vertex."""
    dot = (s0 - v[0]) * n[0] + (s1 - v[1]) * n[1] + (s2 - v[2]) * n[2]
    return s0 - dot * n[0], s1 - dot * n[1], s2 - dot * n[2]


@njit(cache=True)
def rounded(v, e, t0, t1, t2, s0, s1, s2, side):
    """The lattice point nearest to its vertex."""
    x, y, z = v[0] - s0, v[1] - s1, v[2] - s2
    a = side * np.floor((x * e[0] + y * e[1] + z * e[2]) / side + 0.5)
    b = side * np.floor((x * t0 + y * t1 + z * t2) / side + 0.5)
    return s0 + a * e[0] + b * t0, s1 + a * e[1] + b * t1, s2 + a * e[2] + b * t2


@njit(cache=True)
def at_one_point(places, normals, kinds, q, p, side, ends, same):
    """For each edge whether the lattice points of both ends are one."""
    for row in range(len(ends)):
        i, j = ends[row]
        n, e, m, r = normals[i], q[i], normals[j], q[j]
        _, a, b, c, d = nearest_pair(
            places[i], n, e, kinds[i], p[i, 0], p[i, 1], p[i, 2], places[j], m, r, kinds[j], p[j], side
        )
        t0, t1, t2 = crossed(n[0], n[1], n[2], e[0], e[1], e[2])
        u0, u1, u2 = crossed(m[0], m[1], m[2], r[0], r[1], r[2])
        g0, g1, g2 = c * r[0] + d * u0, c * r[1] + d * u1, c * r[2] + d * u2
        if kinds[i] == 0 or kinds[j] == 0:
            if kinds[i] > 0:
                # Steps are told in the frame of the free one.
                f0, f1, f2 = a * e[0] + b * t0, a * e[1] + b * t1, a * e[2] + b * t2
                x = c - np.rint(f0 * r[0] + f1 * r[1] + f2 * r[2])
                y = d - np.rint(f0 * u0 + f1 * u1 + f2 * u2)
            elif kinds[j] > 0:
                x = a - np.rint(g0 * e[0] + g1 * e[1] + g2 * e[2])
                y = b - np.rint(g0 * t0 + g1 * t1 + g2 * t2)
            else:
                x, y = between(a, b, c, d, e, n, r, m)
        else:
            f0, f1, f2 = p[i, 0] - p[j, 0], p[i, 1] - p[j, 1], p[i, 2] - p[j, 2]
            x, y = np.rint(np.sqrt(f0 * f0 + f1 * f1 + f2 * f2) / (0.6 * side)), 0.0
        same[row] = x == 0.0 and y == 0.0


@njit(cache=True)
def between(a, b, c, d, e, n, r, m):
    """Steps (a, b) less (c, d), the latter turned by the quarters that bring its frame nearest to the first."""
    qr = e[0] * r[0] + e[1] * r[1] + e[2] * r[2]
    t0, t1, t2 = crossed(n[0], n[1], n[2], e[0], e[1], e[2])
    tr = t0 * r[0] + t1 * r[1] + t2 * r[2]
    u0, u1, u2 = crossed(m[0], m[1], m[2], r[0], r[1], r[2])
    qu = e[0] * u0 + e[1] * u1 + e[2] * u2
    tu = t0 * u0 + t1 * u1 + t2 * u2
    along, across = qr + tu, tr - qu  # cosine and sine of the turn, doubled
    if abs(along) >= abs(across):
        sign = 1.0 if along > 0.0 else -1.0
        return a - sign * c, b - sign * d
    sign = 1.0 if across > 0.0 else -1.0
    return a + sign * d, b - sign * c
