# mypy: ignore-errors
# ruff: noqa: D103, PLR0917, SIM102 - kernels take no keywords, and int() makes a variable of a number
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
PACKET = """
    struct Eight { enum { value = 8 }; };
    struct Sixteen { enum { value = 16 }; };
    struct Context { unsigned instances[8]; };
    auto cast = [&](auto size) {
        enum { N = decltype(size)::value };
        struct alignas(64) Rays {
            float origin[3][N], near[N], direction[3][N], time[N], far[N]; unsigned mask[N], id[N], flags[N];
            float normal[3][N], u[N], v[N]; unsigned face[N], geometry[N], instance[2][N];
        } rays;
        alignas(64) int valid[N];
        auto aim = [&](int lane, const wp::vec3& origin, const wp::vec3& direction, float far) {
            for (int axis = 0; axis < 3; ++axis) {
                rays.origin[axis][lane] = origin[axis];
                rays.direction[axis][lane] = direction[axis];
            }
            rays.near[lane] = 0.0f; rays.time[lane] = 0.0f; rays.far[lane] = far; rays.mask[lane] = 0xffffffffu;
            rays.id[lane] = lane; rays.flags[lane] = 0u; rays.geometry[lane] = rays.face[lane] = 0xffffffffu;
            rays.instance[0][lane] = rays.instance[1][lane] = 0xffffffffu;
        };
        auto ask = [&](int flags, void* context, void* filter) {
            struct { int flags, features; void* context; void* filter; void* intersect; } arguments;
            arguments.flags = flags; arguments.features = -1; arguments.context = context;
            arguments.filter = filter; arguments.intersect = 0;
            ((void (*)(const int*, void*, void*, void*))query)(valid, (void*)scene, &rays, &arguments);
        };
"""
"""Rays side by side in packets of 8 or 16, whichever the processor takes at once."""
FACING_HITS = (
    PACKET
    + """
        struct Seen : Context { float middle, away[N], gone[N], first[N], u[N], v[N]; unsigned face[N]; } seen;
        for (int i = 0; i < 8; ++i)
            seen.instances[i] = 0xffffffffu;
        seen.middle = cage;
        int first = packet * N, last = first + N < count ? first + N : count;
        for (int lane = 0; lane < N; ++lane) {
            int row = first + lane < last ? first + lane : last - 1;
            wp::vec3 out = outward.data[row];
            valid[lane] = first + lane < last && wp::dot(out, out) > 0.0f ? -1 : 0;
            aim(lane, wp::add(points.data[row], wp::mul(out, cage)), wp::mul(out, -1.0f), 2.0f * cage);
            seen.away[lane] = seen.first[lane] = 1e38f; seen.face[lane] = 0xffffffffu;
        }
        struct Asked { int* valid; void* user; Seen* seen; float* rays; float* hits; unsigned count; };
        void (*filter)(const Asked*) = [](const Asked* asked) {
            unsigned step = asked->count;
            Seen* seen = asked->seen;
            for (unsigned i = 0; i < step; ++i) {
                if (asked->valid[i] == 0)
                    continue;
                float* ray = asked->rays + i;
                float* hit = asked->hits + i;
                unsigned lane = ((unsigned*)ray)[10 * step], face = ((unsigned*)hit)[5 * step];
                float gone = ray[8 * step];
                if (gone < seen->first[lane])
                    seen->first[lane] = gone;
                float facing = hit[0] * ray[4 * step] + hit[step] * ray[5 * step] + hit[2 * step] * ray[6 * step];
                if (!(facing < 0.0f)) {
                    asked->valid[i] = 0;
                    continue;
                }
                float passed = gone - seen->middle;
                float away = passed < 0.0f ? -passed : passed;
                if (away < seen->away[lane] || (away == seen->away[lane] && face < seen->face[lane])) {
                    seen->away[lane] = away; seen->gone[lane] = gone; seen->face[lane] = face;
                    seen->u[lane] = hit[3 * step]; seen->v[lane] = hit[4 * step];
                }
                if (passed < 0.0f)
                    asked->valid[i] = 0;
            }
        };
        ask(2 | 1 << 16, &seen, (void*)filter);
        for (int row = first; row < last; ++row) {
            int lane = row - first;
            if (seen.face[lane] == 0xffffffffu)
                continue;
            float u = seen.u[lane], v = seen.v[lane];
            faces.data[row] = (int)seen.face[lane];
            distances.data[row] = seen.away[lane];
            covered.data[row] = seen.first[lane] < seen.gone[lane] ? 1 : 0;
"""
    + WRITE
    + """
        }
    };
    if (wide)
        cast(Sixteen());
    else
        cast(Eight());
"""
)
SHARE_SEEN = (
    PACKET
    + """
        Context context;
        for (int i = 0; i < 8; ++i)
            context.instances[i] = 0xffffffffu;
        for (int start = 0; start < samples; start += N) {
            for (int lane = 0; lane < N; ++lane) {
                int sample = start + lane < samples ? start + lane : samples - 1;
                wp::vec3 direction = wp::mul(frame, sets.data[first + sample]);
                valid[lane] = start + lane < samples && wp::dot(direction, flat) > 1.0e-3f ? -1 : 0;
                above += valid[lane] != 0;
                aim(lane, origin, direction, reach);
            }
            ask(0, &context, 0);
            for (int lane = 0; lane < N; ++lane)
                seen += valid[lane] != 0 && !(rays.far[lane] < 0.0f);
        }
    };
    if (wide)
        cast(Sixteen());
    else
        cast(Eight());
    return above > 0 ? (float)seen / (float)above : 1.0f;
"""
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


@wp.func_native(FACING_HITS)
def packet_of_facing_hits(
    query: wp.uint64,
    scene: wp.uint64,
    wide: int,
    packet: int,
    count: int,
    cage: float,
    points: wp.array(dtype=wp.vec3),
    outward: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.vec3),
    distances: wp.array(dtype=wp.float32),
    covered: wp.array(dtype=wp.uint8),
): ...


@wp.func_native("int above = 0, seen = 0;" + SHARE_SEEN)
def share_seen(
    query: wp.uint64,
    scene: wp.uint64,
    wide: int,
    reach: float,
    samples: int,
    first: int,
    sets: wp.array(dtype=wp.vec3),
    origin: wp.vec3,
    frame: wp.mat33,
    flat: wp.vec3,
) -> float: ...


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
    wide: int,
    cage: float,
    points: wp.array(dtype=wp.vec3),
    outward: wp.array(dtype=wp.vec3),
    faces: wp.array(dtype=wp.int32),
    weights: wp.array(dtype=wp.vec3),
    distances: wp.array(dtype=wp.float32),
    covered: wp.array(dtype=wp.uint8),
):
    """Of the triangles that face outward the one nearest to each point, within the cage to either side.

    One traversal from the cage inwards, in packets of neighbours: a filter passes what faces away, remembers what lies
    outside the point and what was met first, and lets the ray end at the first triangle inside it. Points whose
    direction is zero have none.
    """
    packet = wp.tid()
    count = points.shape[0]
    packet_of_facing_hits(query, scene, wide, packet, count, cage, points, outward, faces, weights, distances, covered)


@wp.kernel
def openness(
    query: wp.uint64,
    scene: wp.uint64,
    wide: int,
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
    """Share of the directions above the face that meet nothing within reach, in packets from one point."""
    row = wp.tid()
    frame = turned_frame(normals[row], turns[row])
    flat = face_normals[row]
    origin = points[row] + flat * start
    result[row] = share_seen(query, scene, wide, reach, samples, chosen[row] * samples, sets, origin, frame, flat)
