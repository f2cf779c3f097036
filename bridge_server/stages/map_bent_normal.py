"""Bent normal map: the mean direction from which light reaches the surface."""

import numpy as np
from jaxtyping import Float32

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import Run
from bridge_server.stages.occlusion import hemisphere_sets
from bridge_server.stages.ray_fans import START_SHARE, fans, places_a_block
from bridge_server.stages.texel_average import interpolated, texel_means
from bridge_server.stages.trace_rays import unit_rows
from bridge_server.values.directions import in_tangent_space
from bridge_server.values.mesh import HighPoly, UnwrappedMesh
from bridge_server.values.texture import TexelHits

REACH_SHARE = 0.5
"""What lies farther away than this share of the diagonal hides nothing, as for ambient occlusion."""


def bent_normals(
    raycaster: Raycaster, high_poly: HighPoly, unwrapped: UnwrappedMesh, hits: TexelHits, run: Run, *, samples: int
) -> Float32[np.ndarray, "size size 3"]:
    """Cosine-weighted mean of the open directions in the low poly's tangent space, OpenGL green.

    The directions are those of ambient occlusion, ``samples`` from each texel (Landis, "Production-ready global
    illumination", 2002). Where nothing is open the normal itself stands; 0 where nothing is.
    """
    mesh = high_poly.mesh
    run.checkpoint(0.0, "building the scene")
    scene = raycaster.scene(mesh.positions_m, mesh.faces)
    diagonal_m = mesh.diagonal_m
    start, reach_m = np.float32(START_SHARE * diagonal_m), REACH_SHARE * diagonal_m
    each = max(samples // hits.supersample**2, 1)
    fan_of = fans(high_poly, hits, hemisphere_sets(each))
    frames = np.concatenate([unwrapped.normals, unwrapped.tangents], axis=1)[unwrapped.faces]

    def bent(rows: slice) -> Float32[np.ndarray, "part 3"]:
        fan = fan_of(rows)
        above = np.greater(np.einsum("psi,pi->ps", fan.directions, fan.face_normals), 1e-3).reshape(-1)
        cast = np.flatnonzero(above)
        origins = fan.points_m[cast // each] + fan.face_normals[cast // each] * start
        is_open = np.zeros(len(above), np.bool_)
        is_open[cast] = np.logical_not(scene.occluded(origins, fan.directions.reshape(-1, 3)[cast], reach_m))
        seen = is_open.reshape(-1, each)
        sums = np.einsum("psi,ps->pi", fan.directions, seen)
        return np.where(seen.any(axis=1, keepdims=True), sums / each, fan.normals).astype(np.float32)

    def evaluate(rows: slice) -> Float32[np.ndarray, "texels 3"]:
        directions = bent(rows)
        length = np.linalg.norm(directions, axis=1, keepdims=True)
        low = interpolated(frames, hits.low_face[rows], hits.low_weights[rows])
        turned = in_tangent_space(unit_rows(directions.astype(np.float64)), low[:, :3], low[:, 3:6], low[:, 6:])
        return turned * length

    return texel_means(hits, 3, evaluate, run, "bent normals", block=places_a_block(each))
