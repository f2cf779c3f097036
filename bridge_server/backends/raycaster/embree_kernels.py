# mypy: ignore-errors
# ruff: noqa: D103, PLR0917, RUF046, SIM102, UP018 - kernels take no keywords, and int() makes a variable of a number
"""Kernels that ask Embree by the address of its query. For the processor alone; loaded by ``embree.load_kernels``.

The snippets spell out the layout of Embree 4's ``RTCRayHit``, ``RTCIntersectArguments`` and what a filter is handed
(``rtcore_ray.h``, ``rtcore_common.h``); Embree numbers corners so that u and v weigh corners 1 and 2.
"""

import warp as wp

from bridge_server.backends.raycaster.warp_kernels import turned_frame, usable_direction

wp.set_module_options({"enable_backward": False})

RAY = """
    struct alignas(16) Ray {
        float origin[3]; float near; float direction[3]; float time; float far; unsigned mask, id, flags;
        float normal[3]; float u, v; unsigned face, geometry, instance[2]; unsigned rest[3];
    } ray;
    for (int axis = 0; axis < 3; ++axis) {
        ray.origin[axis] = origin[axis];
        ray.direction[axis] = direction[axis];
    }
    ray.near = 0.0f; ray.time = 0.0f; ray.far = far; ray.mask = 0xffffffffu; ray.id = 0u; ray.flags = 0u;
    ray.face = ray.geometry = ray.instance[0] = ray.instance[1] = 0xffffffffu;
"""
WRITE = """
    float first = 1.0f - u - v;
    first = first > 0.0f ? first : 0.0f;
    float second = u < 0.0f ? 0.0f : (u > 1.0f ? 1.0f : u);
    float third = v < 0.0f ? 0.0f : (v > 1.0f ? 1.0f : v);
    float scale = 1.0f / (first + second + third);
    weights.data[row] = wp::vec3(first * scale, second * scale, third * scale);
"""
FIRST_HIT = (
    RAY
    + """
    ((void (*)(void*, void*, void*))query)((void*)scene, &ray, 0);
    if (ray.geometry == 0xffffffffu)
        return;
    float u = ray.u, v = ray.v;
    faces.data[row] = (int)ray.face;
    distances.data[row] = ray.far;
"""
    + WRITE
)
IS_OCCLUDED = (
    RAY
    + """
    ((void (*)(void*, void*, void*))query)((void*)scene, &ray, 0);
    return ray.far < 0.0f;
"""
)
FACING_HIT = (
    RAY
    + """
    struct Seen { unsigned instances[8]; float middle, away, u, v; unsigned face; } seen;
    for (int i = 0; i < 8; ++i)
        seen.instances[i] = 0xffffffffu;
    seen.middle = 0.5f * far; seen.away = 1e38f; seen.u = seen.v = 0.0f; seen.face = 0xffffffffu;
    struct Asked { int* valid; void* user; Seen* seen; Ray* ray; float* hit; unsigned count; };
    struct Arguments { int flags, features; void* context; void (*filter)(const Asked*); void* intersect; } arguments;
    arguments.flags = 2; arguments.features = -1; arguments.context = &seen; arguments.intersect = 0;
    arguments.filter = [](const Asked* asked) {
        float* hit = asked->hit;
        float* along = asked->ray->direction;
        Seen* seen = asked->seen;
        unsigned face = ((unsigned*)hit)[5];
        if (hit[0] * along[0] + hit[1] * along[1] + hit[2] * along[2] >= 0.0f) {
            asked->valid[0] = 0;
            return;
        }
        float passed = asked->ray->far - seen->middle;
        float away = passed < 0.0f ? -passed : passed;
        if (away < seen->away || (away == seen->away && face < seen->face)) {
            seen->away = away; seen->u = hit[3]; seen->v = hit[4]; seen->face = face;
        }
        if (passed < 0.0f)
            asked->valid[0] = 0;
    };
    ((void (*)(void*, void*, void*))query)((void*)scene, &ray, &arguments);
    if (seen.face == 0xffffffffu)
        return;
    float u = seen.u, v = seen.v;
    faces.data[row] = (int)seen.face;
    distances.data[row] = seen.away;
"""
    + WRITE
)


@wp.func_native(FIRST_HIT)
def first_hit(
    query: wp.uint64,
    scene: wp.uint64,
    row: int,
    origin: wp.vec3,
    direction: wp.vec3,
    far: float,
    faces: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.vec3),
    distances: wp.array(dtype=wp.float32),
): ...


@wp.func_native(FACING_HIT)
def facing_hit(
    query: wp.uint64,
    scene: wp.uint64,
    row: int,
    origin: wp.vec3,
    direction: wp.vec3,
    far: float,
    faces: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.vec3),
    distances: wp.array(dtype=wp.float32),
): ...


@wp.func_native(IS_OCCLUDED)
def is_occluded(query: wp.uint64, scene: wp.uint64, origin: wp.vec3, direction: wp.vec3, far: float) -> bool: ...


@wp.kernel
def first_hits(
    query: wp.uint64,
    scene: wp.uint64,
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
        first_hit(query, scene, row, origins[row], direction, far, faces, weights, distances)


@wp.kernel
def occluded(
    query: wp.uint64,
    scene: wp.uint64,
    far: float,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    hit: wp.array(dtype=wp.uint8),
):
    """1 where anything lies along the ray; other rows stay as they are."""
    row = wp.tid()
    direction = usable_direction(origins[row], directions[row])
    if wp.length_sq(direction) > 0.0:
        if is_occluded(query, scene, origins[row], direction, far):
            hit[row] = wp.uint8(1)


@wp.kernel
def facing_hits(
    query: wp.uint64,
    scene: wp.uint64,
    cage: float,
    points: wp.array(dtype=wp.vec3),
    outward: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.vec3),
    distances: wp.array(dtype=wp.float32),
):
    """Of the triangles that face outward the one nearest to each point, within the cage to either side.

    One traversal from the cage inwards: a filter passes what faces away, remembers what lies outside the point, and
    lets the ray end at the first triangle inside it.
    """
    row = wp.tid()
    out = usable_direction(points[row], outward[row])
    if wp.length_sq(out) > 0.0:
        facing_hit(query, scene, row, points[row] + out * cage, -out, 2.0 * cage, faces, weights, distances)


@wp.kernel
def openness(
    query: wp.uint64,
    scene: wp.uint64,
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
            if not is_occluded(query, scene, origin, direction, reach):
                seen += 1
    result[row] = 1.0
    if valid > 0:
        result[row] = float(seen) / float(valid)
