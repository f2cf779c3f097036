# mypy: ignore-errors
# ruff: noqa: PLR0917, UP018 - kernels take no keywords, and int() makes a variable of a number
"""Kernels that smooth and enlarge maps along the surface. Load them through ``compiled.load_kernels``."""

import warp as wp

wp.set_module_options({"enable_backward": False})

PLANE_SHARPNESS = wp.constant(1.0)
VALUE_SPREAD = wp.constant(0.25)


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
                    change = (values[other] - values[middle]) / VALUE_SPREAD
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
    y, x = (float(row) + 0.5) / float(factor) - 0.5, (float(column) + 0.5) / float(factor) - 0.5
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
