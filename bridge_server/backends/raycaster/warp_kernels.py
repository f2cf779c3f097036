# mypy: ignore-errors
# ruff: noqa: PLR0917 - kernels take no keywords
"""The Warp kernels. Importing this module imports Warp: do so through ``warp.load_kernels``, which configures it."""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def first_hits(
    mesh: wp.uint64,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    far: float,
    faces: wp.array(dtype=wp.int32),
    places: wp.array(dtype=wp.vec3),
):
    """Face of the first hit or -1, and (weight of corner 0, of corner 1, distance)."""
    ray = wp.tid()
    hit = wp.mesh_query_ray(mesh, origins[ray], directions[ray], far)
    if hit.result:
        faces[ray] = hit.face
        places[ray] = wp.vec3(hit.u, hit.v, hit.t)
    else:
        faces[ray] = -1


@wp.kernel
def occluded(
    mesh: wp.uint64,
    origins: wp.array(dtype=wp.vec3),
    directions: wp.array(dtype=wp.vec3),
    far: float,
    hit: wp.array(dtype=wp.uint8),
):
    """1 where anything lies along the ray."""
    ray = wp.tid()
    if wp.mesh_query_ray_anyhit(mesh, origins[ray], directions[ray], far):
        hit[ray] = wp.uint8(1)
    else:
        hit[ray] = wp.uint8(0)


@wp.kernel
def nearest(
    mesh: wp.uint64,
    points: wp.array(dtype=wp.vec3),
    far: float,
    faces: wp.array(dtype=wp.int32),
    places: wp.array(dtype=wp.vec3),
):
    """Face of the closest place or -1, and (weight of corner 0, of corner 1, distance)."""
    index = wp.tid()
    found = wp.mesh_query_point_no_sign(mesh, points[index], far)
    if found.result:
        place = wp.mesh_eval_position(mesh, found.face, found.u, found.v)
        faces[index] = found.face
        places[index] = wp.vec3(found.u, found.v, wp.length(place - points[index]))
    else:
        faces[index] = -1
