# mypy: ignore-errors
# ruff: noqa: PLR0917, UP018 - kernels take no keywords, and int() makes a variable of a number
"""Kernels for normals, and for maps that are smoothed and enlarged along the surface.

Load them through ``compiled.load_kernels``.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})

PLANE_SHARPNESS = wp.constant(1.0)


@wp.func
def facing(a: wp.vec3, b: wp.vec3) -> float:
    """The cosine to the power of 16; nothing beyond a right angle."""
    cosine = wp.max(wp.dot(a, b), 0.0)
    fourth = cosine * cosine * cosine * cosine
    return fourth * fourth * fourth * fourth


@wp.kernel
def smooth(
    size: int,
    first_row: int,
    step: int,
    texel_m: float,
    spread: float,
    charts: wp.array(dtype=wp.int32),
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    values: wp.array(dtype=wp.float32),
    result: wp.array(dtype=wp.float32),
):
    """One round of the edge-avoiding filter over the texels of some rows."""
    at = wp.tid()
    row, column = first_row + at / size, at % size
    middle = row * size + column
    result[at] = values[middle]
    if charts[middle] < 0:
        return
    sums, total = float(0.0), float(0.0)
    for down in range(-2, 3):
        for right in range(-2, 3):
            y, x = row + down * step, column + right * step
            if y >= 0 and y < size and x >= 0 and x < size:
                other = y * size + x
                if charts[other] == charts[middle]:
                    share = wp.float32(6 - wp.abs(down) * (1 + wp.abs(down)) + wp.max(wp.abs(down) - 1, 0))
                    share = share * wp.float32(6 - wp.abs(right) * (1 + wp.abs(right)) + wp.max(wp.abs(right) - 1, 0))
                    reach = wp.float32(wp.max(wp.max(wp.abs(down), wp.abs(right)) * step, 1))
                    far = wp.dot(points[other] - points[middle], normals[middle])
                    far = far / (PLANE_SHARPNESS * wp.max(texel_m, 1.0e-12) * reach)
                    change = (values[other] - values[middle]) / spread
                    weight = share * facing(normals[middle], normals[other]) * wp.exp(-far * far - change * change)
                    sums = sums + weight * values[other]
                    total = total + weight
    if total > 0.0:
        result[at] = sums / total


@wp.kernel
def enlarge(
    size: int,
    first_row: int,
    coarse: int,
    factor: int,
    taken_at: float,
    charts: wp.array(dtype=wp.int32),
    normals: wp.array(dtype=wp.vec3),
    coarse_charts: wp.array(dtype=wp.int32),
    coarse_normals: wp.array(dtype=wp.vec3),
    values: wp.array(dtype=wp.float32),
    result: wp.array(dtype=wp.float32),
):
    """Joint bilateral upsampling of the texels of some rows."""
    at = wp.tid()
    row, column = first_row + at / size, at % size
    middle = row * size + column
    result[at] = wp.nan
    if charts[middle] < 0:
        return
    y = (float(row) + 0.5) / float(factor) - taken_at
    x = (float(column) + 0.5) / float(factor) - taken_at
    top, left = wp.floor(y), wp.floor(x)
    sums, total = float(0.0), float(0.0)
    for down in range(2):
        for right in range(2):
            near_row = wp.clamp(int(top) + down, 0, coarse - 1)
            near = near_row * coarse + wp.clamp(int(left) + right, 0, coarse - 1)
            if coarse_charts[near] == charts[middle]:
                across = 1.0 - wp.abs(y - top - float(down))
                across = across * (1.0 - wp.abs(x - left - float(right)))
                weight = (across + 1.0e-3) * (facing(normals[middle], coarse_normals[near]) + 1.0e-4)
                sums = sums + weight * values[near]
                total = total + weight
    if total > 0.0:
        result[at] = sums / total


@wp.func
def double(point: wp.vec3) -> wp.vec3d:
    """In double precision."""
    return wp.vec3d(wp.float64(point[0]), wp.float64(point[1]), wp.float64(point[2]))


@wp.func
def angle_between(a: wp.vec3d, b: wp.vec3d, area: wp.float64) -> wp.float64:
    """Angle between two sides of a triangle of twice that area."""
    return wp.atan2(area, wp.dot(a, b))


@wp.kernel
def weigh_normals(
    positions: wp.array(dtype=wp.vec3), faces: wp.array(dtype=wp.int32), weighted: wp.array(dtype=wp.vec3d)
):
    """The unit normal of each face times the angle at each of its corners; zero where it has no area."""
    face = wp.tid()
    a, b, c = faces[3 * face], faces[3 * face + 1], faces[3 * face + 2]
    p, q, r = double(positions[a]), double(positions[b]), double(positions[c])
    normal = wp.cross(q - p, r - p)
    area = wp.length(normal)
    if area > wp.float64(0.0):
        normal = normal / area
    weighted[3 * face] = normal * angle_between(q - p, r - p, area)
    weighted[3 * face + 1] = normal * angle_between(r - q, p - q, area)
    weighted[3 * face + 2] = normal * angle_between(p - r, q - r, area)


@wp.kernel
def add_up(faces: wp.array(dtype=wp.int32), weighted: wp.array(dtype=wp.vec3d), sums: wp.array(dtype=wp.vec3d)):
    """Add what corners hold to their vertices. For one thread: two might add to the same vertex at once."""
    corner = wp.tid()
    sums[faces[corner]] = sums[faces[corner]] + weighted[corner]
