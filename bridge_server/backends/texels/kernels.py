# mypy: ignore-errors
# ruff: noqa: PLR0917, RUF046, UP018 - kernels take no keywords, and int() makes a variable of a number
"""Kernels that interpolate, average and find what is nearest. Load them through ``compiled.load_kernels``."""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.func
def at_place(corners: wp.array(dtype=wp.vec3), face: wp.int32, weights: wp.vec2) -> wp.vec3:
    """A vector between those at three corners."""
    first = corners[3 * face]
    return first + weights[0] * (corners[3 * face + 1] - first) + weights[1] * (corners[3 * face + 2] - first)


@wp.func
def unit_or(vector: wp.vec3, least: float, otherwise: wp.vec3) -> wp.vec3:
    """The vector at length 1."""
    length = wp.length(vector)
    result = otherwise
    if length > least:
        result = vector / length
    return result


@wp.kernel
def interpolate(
    corners: wp.array(dtype=wp.vec3),
    unit: int,
    faces: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.vec2),
    result: wp.array(dtype=wp.vec3),
):
    """Vectors at places."""
    row = wp.tid()
    found = at_place(corners, faces[row], weights[row])
    if unit != 0:
        found = unit_or(found, 1.0e-12, wp.vec3(0.0, 1.0, 0.0))
    result[row] = found


@wp.kernel
def tangent_normals(
    detail: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    tangents: wp.array(dtype=wp.vec3),
    signs: wp.array(dtype=wp.float32),
    high_faces: wp.array(dtype=wp.int32),
    high_weights: wp.array(dtype=wp.vec2),
    low_faces: wp.array(dtype=wp.int32),
    low_weights: wp.array(dtype=wp.vec2),
    result: wp.array(dtype=wp.vec3),
):
    """Normals of the high poly in the frames of the low poly."""
    row = wp.tid()
    direction = unit_or(at_place(detail, high_faces[row], high_weights[row]), 1.0e-12, wp.vec3(0.0, 1.0, 0.0))
    face, weights = low_faces[row], low_weights[row]
    normal, tangent = at_place(normals, face, weights), at_place(tangents, face, weights)
    first = signs[3 * face]
    sign = first + weights[0] * (signs[3 * face + 1] - first) + weights[1] * (signs[3 * face + 2] - first)
    bitangent = wp.cross(normal, tangent)
    if sign < 0.0:
        bitangent = -bitangent
    across = wp.cross(bitangent, normal)
    found = wp.vec3(
        wp.dot(direction, across),
        wp.dot(direction, wp.cross(normal, tangent)),
        wp.dot(direction, wp.cross(tangent, bitangent)),
    )
    found = found * wp.sign(wp.dot(tangent, across))
    result[row] = unit_or(wp.vec3(found[0], found[1], wp.max(found[2], 0.0)), 1.0e-12, wp.vec3(0.0, 0.0, 1.0))


@wp.kernel
def row_means(
    channels: int,
    edge: int,
    fine: int,
    starts: wp.array(dtype=wp.int32),
    index: wp.array(dtype=wp.int32),
    values: wp.array(dtype=wp.float32),
    counts: wp.array(dtype=wp.int32),
    means: wp.array(dtype=wp.float32),
):
    """Mean of the cells in each texel of a row; a row a thread, so that sums are taken in one order."""
    row = wp.tid()
    for cell in range(starts[row], starts[row + 1]):
        texel = row * edge + (index[cell] % (edge * fine)) / fine
        counts[texel] = counts[texel] + 1
        for channel in range(channels):
            at = texel * channels + channel
            means[at] = means[at] + values[cell * channels + channel]
    for texel in range(row * edge, (row + 1) * edge):
        if counts[texel] > 1:
            for channel in range(channels):
                at = texel * channels + channel
                means[at] = means[at] / float(counts[texel])


@wp.kernel
def unit_words(vectors: wp.array(dtype=wp.vec3), words: wp.array(dtype=wp.uint16)):
    """Directions as 16 bits a component."""
    row = wp.tid()
    unit = unit_or(vectors[row], 1.0e-6, wp.vec3(0.0, 0.0, 1.0))
    for axis in range(3):
        words[3 * row + axis] = wp.uint16(wp.rint((unit[axis] * 0.5 + 0.5) * 65535.0))


@wp.func
def floor_half(value: int, by: int) -> int:
    """Half of a quotient, towards minus infinity; the divisor is positive."""
    result = value / (2 * by)
    if value < 0 and result * 2 * by != value:
        result = result - 1
    return result


@wp.kernel
def nearest_in_line(size: int, covered: wp.array(dtype=wp.uint8), nearest: wp.array(dtype=wp.int32)):
    """For each place of a line the covered place of the same line that is nearest; -1 where none is."""
    line = wp.tid() * size
    last = int(-1)
    for at in range(size):
        if covered[line + at] != wp.uint8(0):
            last = at
        nearest[line + at] = last
    last = int(-1)
    for back in range(size):
        at = size - 1 - back
        if covered[line + at] != wp.uint8(0):
            last = at
        before = nearest[line + at]
        if last >= 0 and (before < 0 or last - at < at - before):
            nearest[line + at] = last


@wp.kernel
def nearest_over_lines(
    size: int,
    first_row: int,
    in_column: wp.array(dtype=wp.int32),
    sites: wp.array(dtype=wp.int32),
    begins: wp.array(dtype=wp.int32),
    source: wp.array(dtype=wp.int64),
    away: wp.array(dtype=wp.float32),
):
    """The second half of the exact distance transform of Meijster, Roerdink and Hesselink (2000).

    ``in_column`` holds for each texel of some rows the nearest covered row in its column. ``sites`` and ``begins`` are
    room for the lower envelope of the parabolas of a row. A covered texel hides all that lies beyond it in its row, so
    the envelope begins anew there. Whole numbers of 32 bits hold squares up to 16,384 texels.
    """
    row = wp.tid()
    line, y = row * size, first_row + row
    begun, top = int(0), int(-1)
    for x in range(size):
        other = in_column[line + x]
        if other >= 0:
            height = (y - other) * (y - other)
            begin = int(begun)
            searching = bool(True)
            while searching:
                searching = False
                begin = begun
                if top >= 0:
                    site = sites[line + top]
                    low = y - in_column[line + site]
                    begin = floor_half(x * x - site * site + height - low * low, x - site) + 1
                    if begin <= begins[line + top]:
                        top = top - 1
                        searching = True
            begin = wp.max(begin, begun)
            if begin < size:
                top = top + 1
                sites[line + top] = x
                begins[line + top] = begin
        if other == y or x == size - 1:
            for back in range(x - begun + 1):
                at = x - back
                while top > 0 and begins[line + top] > at:
                    top = top - 1
                site = sites[line + top]
                nearest = in_column[line + site]
                source[line + at] = wp.int64(nearest * size + site)
                dx, dy = float(at - site), float(y - nearest)
                away[line + at] = wp.sqrt(dx * dx + dy * dy)
            begun = x + 1
            top = 0
            sites[line] = x
            begins[line] = x
