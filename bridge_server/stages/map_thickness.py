"""Thickness map: how far below the surface the other side lies."""

import numpy as np
from jaxtyping import Float32

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import Run
from bridge_server.stages.occlusion import hemisphere_sets
from bridge_server.stages.ray_fans import START_SHARE, fans, places_a_block
from bridge_server.stages.texel_average import texel_means
from bridge_server.values.mesh import HighPoly
from bridge_server.values.texture import TexelHits

CONE_DEG = 45.0


def thicknesses(
    raycaster: Raycaster, high_poly: HighPoly, hits: TexelHits, run: Run, *, samples: int, cone_deg: float = CONE_DEG
) -> Float32[np.ndarray, "size size 1"]:
    """Depth in metres at which inward rays leave the solid, averaged over a cosine-weighted cone; 0 where nothing is.

    Of each ray the depth counts, its length times the cosine of its angle to the inward normal, so that a slab of
    thickness t gives t whatever the cone. A ball of radius r gives ``r * (2 - sin(cone) ** 2)``. ``samples`` rays
    are cast from each texel. Rays that meet nothing, as on open meshes, do not count; where none meets anything the
    depth is the diagonal of the bounding box.
    """
    mesh = high_poly.mesh
    run.checkpoint(0.0, "building the scene")
    scene = raycaster.scene(mesh.positions_m, mesh.faces)
    diagonal_m = mesh.diagonal_m
    start = np.float32(START_SHARE * diagonal_m)
    each = max(samples // hits.supersample**2, 1)
    sets = hemisphere_sets(each)
    sets[:, :, :2] *= np.float32(np.sin(np.radians(cone_deg)))
    sets[:, :, 2] = np.sqrt(np.maximum(1.0 - (sets[:, :, :2] ** 2).sum(axis=2), 0.0))
    fan_of = fans(high_poly, hits, sets)

    def depths(rows: slice) -> Float32[np.ndarray, "part 1"]:
        fan = fan_of(rows)
        directions = -fan.directions
        origins = np.repeat(fan.points_m - fan.face_normals * start, each, axis=0)
        found = scene.first_hits(origins, directions.reshape(-1, 3))
        inward = np.einsum("psi,pi->ps", directions, -fan.face_normals)
        met = (found.faces >= 0).reshape(-1, each) & (inward > 0.0)
        cosine = np.einsum("psi,pi->ps", directions, -fan.normals)
        depth = np.where(met, found.distances_m.reshape(-1, each), 0.0) * cosine + start
        count = met.sum(axis=1)
        mean = np.where(met, depth, 0.0).sum(axis=1) / np.maximum(count, 1)
        return np.where(count > 0, mean, diagonal_m).astype(np.float32)[:, None]

    return texel_means(hits, 1, depths, run, "thickness", block=places_a_block(each))
