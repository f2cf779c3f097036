# mypy: ignore-errors
# ruff: noqa: PLR0917, RUF046, SIM102, UP018 - kernels take no keywords, and int() makes a variable of a number
"""The Warp kernels. Importing this module imports Warp: do so through ``warp.load_kernels``, which configures it.

``embree_kernels`` holds kernels of the same names and parameters, but for what they ask: here ``mesh``.
"""

import warp as wp

wp.set_module_options({"enable_backward": False})

SURFACES_PASSED = 64
"""How many surfaces that face away a ray passes before it gives up."""
START_SHARE = 1.0e-3
"""Rays start this share of the cage behind the point, so that a surface that coincides with it is hit."""


@wp.func
def usable_direction(origin: wp.vec3, direction: wp.vec3) -> wp.vec3:
    """The direction at length 1; zero where the ray cannot be cast."""
    x, y, z = wp.float64(direction[0]), wp.float64(direction[1]), wp.float64(direction[2])
    squared = x * x + y * y + z * z
    result = wp.vec3(0.0, 0.0, 0.0)
    if wp.isfinite(origin) and wp.isfinite(squared) and squared > wp.float64(0.0):
        scale = wp.float64(1.0) / wp.sqrt(squared)
        result = wp.vec3(float(x * scale), float(y * scale), float(z * scale))
    return result


@wp.func
def turned_frame(normal: wp.vec3, turn: wp.vec2) -> wp.mat33:
    """Tangent, bitangent and normal as columns (Duff et al. 2017), turned by an angle given as cosine and sine."""
    sign = float(1.0)
    if normal[2] < 0.0:
        sign = -1.0
    a = -1.0 / (sign + normal[2])
    b = normal[0] * normal[1] * a
    one = wp.vec3(1.0 + sign * normal[0] * normal[0] * a, sign * b, -sign * normal[0])
    two = wp.vec3(b, sign + normal[1] * normal[1] * a, -normal[1])
    return wp.matrix_from_cols(turn[0] * one + turn[1] * two, turn[0] * two - turn[1] * one, normal)


@wp.func
def corner_weights(first: float, second: float) -> wp.vec3:
    """Weights of all three corners that add up to 1, from those of corners 0 and 1."""
    a, b = wp.clamp(first, 0.0, 1.0), wp.clamp(second, 0.0, 1.0)
    c = wp.max(1.0 - first - second, 0.0)
    return wp.vec3(a, b, c) / (a + b + c)


@wp.kernel
def first_hits(
    mesh: wp.uint64,
    far: float,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.vec3),
    distances: wp.array(dtype=wp.float32),
):
    """First triangle along each ray; rows of rays that hit nothing stay as they are."""
    row = wp.tid()
    direction = usable_direction(origins[row], directions[row])
    if wp.length_sq(direction) > 0.0:
        hit = wp.mesh_query_ray(mesh, origins[row], direction, far)
        if hit.result:
            faces[row] = hit.face
            weights[row] = corner_weights(hit.u, hit.v)
            distances[row] = hit.t


@wp.kernel
def occluded(
    mesh: wp.uint64,
    far: float,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    hit: wp.array(dtype=wp.uint8),
):
    """1 where anything lies along the ray; other rows stay as they are."""
    row = wp.tid()
    direction = usable_direction(origins[row], directions[row])
    if wp.length_sq(direction) > 0.0:
        if wp.mesh_query_ray_anyhit(mesh, origins[row], direction, far):
            hit[row] = wp.uint8(1)


@wp.kernel
def facing_hits(
    mesh: wp.uint64,
    cage: float,
    points: wp.array(dtype=wp.vec3),
    outward: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.vec3),
    distances: wp.array(dtype=wp.float32),
    covered: wp.array(dtype=wp.uint8),
):
    """Of the triangles that face outward the one nearest to each point, within the cage to either side.

    A ray to each side passes what faces away; the second looks no farther than the first has found. One from the cage
    inwards tells whether anything lies farther out.
    """
    row = wp.tid()
    out = usable_direction(points[row], outward[row])
    if wp.length_sq(out) > 0.0:
        start = cage * START_SHARE
        best, height = float(cage), float(0.0)
        for side in range(2):
            along = out
            if side == 1:
                along = -out
            gone = float(-start)
            for _ in range(SURFACES_PASSED):
                hit = wp.mesh_query_ray(mesh, points[row] + along * gone, along, best - gone)
                if not hit.result:
                    break
                gone = gone + hit.t
                if wp.dot(hit.normal, out) > 0.0:
                    if wp.abs(gone) < best or faces[row] < 0:
                        best = wp.abs(gone)
                        faces[row] = hit.face
                        weights[row] = corner_weights(hit.u, hit.v)
                        distances[row] = best
                        height = gone
                        if side == 1:
                            height = -gone
                    break
                gone = gone + start
        if faces[row] >= 0:
            if wp.mesh_query_ray_anyhit(mesh, points[row] + out * cage, -out, cage - height - start):
                covered[row] = wp.uint8(1)


@wp.kernel
def openness(
    mesh: wp.uint64,
    reach: float,
    start: float,
    samples: int,
    sets: wp.array(dtype=wp.vec3),
    points: wp.array(dtype=wp.vec3),
    normals: wp.array(dtype=wp.vec3),
    face_normals: wp.array(dtype=wp.vec3),
    turns: wp.array(dtype=wp.vec2),
    chosen: wp.array(dtype=wp.int32),
    result: wp.array(dtype=wp.float32),
):
    """Share of the directions above the face that meet nothing within reach."""
    row = wp.tid()
    frame = turned_frame(normals[row], turns[row])
    flat = face_normals[row]
    origin = points[row] + flat * start
    seen, valid = int(0), int(0)
    for sample in range(samples):
        direction = frame * sets[chosen[row] * samples + sample]
        if wp.dot(direction, flat) > 1.0e-3:
            valid += 1
            if not wp.mesh_query_ray_anyhit(mesh, origin, direction, reach):
                seen += 1
    result[row] = 1.0
    if valid > 0:
        result[row] = float(seen) / float(valid)


@wp.kernel
def nearest(
    mesh: wp.uint64,
    far: float,
    points: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.vec3),
    distances: wp.array(dtype=wp.float32),
):
    """Closest place to each point; rows that find none stay as they are."""
    row = wp.tid()
    found = wp.mesh_query_point_no_sign(mesh, points[row], far)
    if found.result:
        place = wp.mesh_eval_position(mesh, found.face, found.u, found.v)
        faces[row] = found.face
        weights[row] = corner_weights(found.u, found.v)
        distances[row] = wp.length(place - points[row])
