# mypy: ignore-errors
# ruff: noqa: PLR0917 - kernels take no keywords, and int() makes a variable of a number
"""Kernels that cover charts. Load them through ``compiled.load_kernels``, since importing them imports Warp.

Coverage is decided in whole substeps, as ``values.texel_grid`` describes it.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})

SUBSTEPS = wp.constant(wp.int64(256))
HALF = wp.constant(wp.int64(128))
NOBODY = wp.constant(wp.int32(2147483647))
INSET_PX = wp.constant(wp.float64(0.1))
ON_EDGE = wp.constant(wp.float64(1.0e-4))


@wp.func
def floor_div(value: wp.int64, by: wp.int64) -> wp.int64:
    """Division of whole numbers towards minus infinity; the divisor is positive."""
    result = value / by
    if value < wp.int64(0) and result * by != value:
        result = result - wp.int64(1)
    return result


@wp.func
def edge_bound(a: wp.int64, b: wp.int64, c: wp.int64, row: wp.int64, touched: wp.bool) -> wp.vec2l:
    """First and last column in which an edge function is positive along a row of texels."""
    low, high = wp.int64(-1000000), wp.int64(1000000)
    x, y, strict = HALF, row * SUBSTEPS + HALF, wp.int64(0)
    if touched:
        strict = wp.int64(1)
        x, y = wp.int64(0), row * SUBSTEPS
        if a > wp.int64(0):
            x = SUBSTEPS
        if b > wp.int64(0):
            y = y + SUBSTEPS
    elif not (a > wp.int64(0) or (a == wp.int64(0) and b > wp.int64(0))):
        strict = wp.int64(1)
    rest = a * x + b * y + c - strict
    if a > wp.int64(0):
        low = -floor_div(rest, a * SUBSTEPS)
    if a < wp.int64(0):
        high = floor_div(rest, -a * SUBSTEPS)
    if a == wp.int64(0) and rest < wp.int64(0):
        high = wp.int64(-1000001)
    return wp.vec2l(low, high)


@wp.func
def corner(points: wp.array(dtype=wp.int32), vertex: wp.int32) -> wp.vec2l:
    """A vertex in substeps."""
    return wp.vec2l(wp.int64(points[2 * vertex]), wp.int64(points[2 * vertex + 1]))


@wp.func
def cross(a: wp.vec2l, b: wp.vec2l) -> wp.int64:
    """Twice the signed area."""
    return a[0] * b[1] - a[1] * b[0]


@wp.func
def row_span(p: wp.vec2l, q: wp.vec2l, r: wp.vec2l, row: wp.int64, size: wp.int64, touched: wp.bool) -> wp.vec2l:
    """First and last column of a triangle of positive area in a row."""
    left, right = wp.int64(0), size - wp.int64(1)
    if touched:
        left = wp.max(left, floor_div(wp.min(wp.min(p[0], q[0]), r[0]), SUBSTEPS))
        right = wp.min(right, floor_div(wp.max(wp.max(p[0], q[0]), r[0]) - wp.int64(1), SUBSTEPS))
    for k in range(3):
        start, end = p, q
        if k == 1:
            start, end = q, r
        if k == 2:
            start, end = r, p
        a, b = start[1] - end[1], end[0] - start[0]
        bound = edge_bound(a, b, -(a * start[0] + b * start[1]), row, touched)
        left, right = wp.max(left, bound[0]), wp.min(right, bound[1])
    return wp.vec2l(left, right)


@wp.func
def row_range(p: wp.vec2l, q: wp.vec2l, r: wp.vec2l, first_row: wp.int64, rows: wp.int64, touched: wp.bool) -> wp.vec2l:
    """First row of a triangle among those of the strip, and the one after its last."""
    low, high = wp.min(wp.min(p[1], q[1]), r[1]), wp.max(wp.max(p[1], q[1]), r[1])
    first, last = floor_div(low, SUBSTEPS), floor_div(high - wp.int64(1), SUBSTEPS)
    if not touched:
        first, last = -floor_div(HALF - low, SUBSTEPS), floor_div(high - HALF, SUBSTEPS)
    return wp.vec2l(wp.max(first, first_row), wp.min(last + wp.int64(1), first_row + rows))


@wp.kernel
def paint_centers(
    first_row: int,
    rows: int,
    size: int,
    points: wp.array(dtype=wp.int32),
    faces: wp.array(dtype=wp.int32),
    listed: wp.array(dtype=wp.int32),
    owner: wp.array(dtype=wp.int32),
):
    """Give each texel of a strip whose centre lies in faces the lowest of them."""
    face = listed[wp.tid()]
    p, q, r = corner(points, faces[3 * face]), corner(points, faces[3 * face + 1]), corner(points, faces[3 * face + 2])
    area = cross(q - p, r - p)
    if area == wp.int64(0):
        return
    if area < wp.int64(0):
        q, r = r, q
    span = row_range(p, q, r, wp.int64(first_row), wp.int64(rows), False)
    for row in range(int(span[0]), int(span[1])):
        columns = row_span(p, q, r, wp.int64(row), wp.int64(size), False)
        for column in range(int(columns[0]), int(columns[1]) + 1):
            wp.atomic_min(owner, (row - first_row) * size + column, face)


@wp.func
def to_px(point: wp.vec2l) -> wp.vec2d:
    """From substeps to texels."""
    return wp.vec2d(wp.float64(point[0]), wp.float64(point[1])) / wp.float64(256.0)


@wp.func
def cross_px(a: wp.vec2d, b: wp.vec2d) -> wp.float64:
    """Twice the signed area."""
    return a[0] * b[1] - a[1] * b[0]


@wp.func
def weights_at(p: wp.vec2d, q: wp.vec2d, r: wp.vec2d, place: wp.vec2d) -> wp.vec3d:
    """Barycentric weights of a place; of the closest one on the border where it lies outside."""
    area = cross_px(q - p, r - p)
    zero, one = wp.float64(0.0), wp.float64(1.0)
    result = wp.vec3d(-one, zero, zero)
    if area != zero:
        second, third = cross_px(place - p, r - p) / area, cross_px(q - p, place - p) / area
        result = wp.vec3d(one - second - third, second, third)
    if result[0] < zero or result[1] < zero or result[2] < zero:
        best = wp.float64(1.0e300)
        for k in range(3):
            start, end = p, q
            if k == 1:
                start, end = q, r
            if k == 2:
                start, end = r, p
            along = end - start
            share, squared = zero, wp.dot(along, along)
            if squared > zero:
                share = wp.clamp(wp.dot(place - start, along) / squared, zero, one)
            off = start + share * along - place
            if wp.dot(off, off) < best:
                best = wp.dot(off, off)
                result = wp.vec3d(one - share, share, zero)
                if k == 1:
                    result = wp.vec3d(zero, one - share, share)
                if k == 2:
                    result = wp.vec3d(share, zero, one - share)
    return result


@wp.kernel
def graze(
    first_row: int,
    rows: int,
    size: int,
    points: wp.array(dtype=wp.int32),
    faces: wp.array(dtype=wp.int32),
    listed: wp.array(dtype=wp.int32),
    covered: wp.array(dtype=wp.uint8),
    nearest: wp.array(dtype=wp.uint64),
):
    """For each texel of a strip that no centre covers: squared distance from its centre and number of the nearest face.

    Both lie in one number, the distance in front, so that the least of them is the answer whatever the order.
    """
    face = listed[wp.tid()]
    p, q, r = corner(points, faces[3 * face]), corner(points, faces[3 * face + 1]), corner(points, faces[3 * face + 2])
    area = cross(q - p, r - p)
    if area == wp.int64(0):
        return
    if area < wp.int64(0):
        q, r = r, q
    span = row_range(p, q, r, wp.int64(first_row), wp.int64(rows), True)
    for row in range(int(span[0]), int(span[1])):
        columns = row_span(p, q, r, wp.int64(row), wp.int64(size), True)
        for column in range(int(columns[0]), int(columns[1]) + 1):
            texel = (row - first_row) * size + column
            if covered[texel] == wp.uint8(0):
                center = wp.vec2d(wp.float64(column) + wp.float64(0.5), wp.float64(row) + wp.float64(0.5))
                weights = weights_at(to_px(p), to_px(q), to_px(r), center)
                off = weights[0] * to_px(p) + weights[1] * to_px(q) + weights[2] * to_px(r) - center
                # distances stay under a texel's diagonal, so 31 bits hold them to a billionth
                away = wp.uint64(wp.dot(off, off) * wp.float64(536870912.0))
                wp.atomic_min(nearest, texel, away * wp.uint64(4294967296) + wp.uint64(face))


@wp.kernel
def weigh(
    across: int,
    fine: int,
    points: wp.array(dtype=wp.int32),
    coarse_points: wp.array(dtype=wp.int32),
    faces: wp.array(dtype=wp.int32),
    index: wp.array(dtype=wp.int32),
    owners: wp.array(dtype=wp.int32),
    cell_faces: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.vec2),
):
    """Face and weights of each cell. Owners of grazed texels come as -2 minus the face."""
    cell = wp.tid()
    row, column, owner = index[cell] / across, index[cell] % across, owners[cell]
    half, one = wp.float64(0.5), wp.float64(1.0)
    place = wp.vec2d(wp.float64(column) + half, wp.float64(row) + half)
    grazed = owner < 0
    face = wp.max(owner, -2 - owner)
    p, q, r = wp.vec2d(), wp.vec2d(), wp.vec2d()
    if grazed:
        place = wp.vec2d(wp.float64(column / fine) + half, wp.float64(row / fine) + half)
        p = to_px(corner(coarse_points, faces[3 * face]))
        q = to_px(corner(coarse_points, faces[3 * face + 1]))
        r = to_px(corner(coarse_points, faces[3 * face + 2]))
    else:
        p = to_px(corner(points, faces[3 * face]))
        q = to_px(corner(points, faces[3 * face + 1]))
        r = to_px(corner(points, faces[3 * face + 2]))
    found = weights_at(p, q, r, place)
    if grazed or wp.min(wp.min(found[0], found[1]), found[2]) < ON_EDGE:
        third = one / wp.float64(3.0)
        off = (p + q + r) * third - (found[0] * p + found[1] * q + found[2] * r)
        share = wp.min(INSET_PX / wp.max(wp.length(off), wp.float64(1.0e-9)), half)
        found = found * (one - share) + wp.vec3d(third, third, third) * share
    cell_faces[cell] = face
    weights[cell] = wp.vec2(float(found[1]), float(found[2]))
