"""Bundles of rays from the places that were traced."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from bridge_server.stages.corner_normals import HARD_EDGE_DEG, corner_normals, hard_half_edges, unit_face_normals
from bridge_server.stages.occlusion import ROBERTS, SETS
from bridge_server.stages.texel_average import interpolated
from bridge_server.stages.trace_rays import unit_rows
from bridge_server.values.directions import turned_frames
from bridge_server.values.mesh import HighPoly
from bridge_server.values.texture import TexelHits

RAYS_A_BLOCK = 1 << 17
START_SHARE = 1e-4
"""How far off the surface rays start, as a share of the diagonal."""


@dataclass(frozen=True, slots=True)
class Fan:
    """Rays of several places, each with the same number."""

    points_m: Float32[np.ndarray, "places 3"]
    normals: Float32[np.ndarray, "places 3"]
    """Smoothed up to hard edges, unit length, outward."""
    face_normals: Float32[np.ndarray, "places 3"]
    directions: Float32[np.ndarray, "places samples 3"]
    """Unit length, about the normal."""


def fans(high_poly: HighPoly, hits: TexelHits, sets: Float32[np.ndarray, "sets samples 3"]) -> Callable[[slice], Fan]:
    """A function that gives the rays of a range of hits: direction sets about +Z, turned to each place's normal.

    Neighbours take turns with the sets and turn them by angles of a low-discrepancy sequence over the map, as for
    ambient occlusion.
    """
    mesh = high_poly.mesh
    corners, smooth = mesh.positions_m[mesh.faces], corner_normals(mesh, hard_half_edges(mesh, HARD_EDGE_DEG))
    flat = unit_face_normals(mesh).astype(np.float32)
    across = hits.resolution_px * hits.supersample

    def fan(rows: slice) -> Fan:
        faces, weights = hits.high_face[rows], hits.high_weights[rows]
        normals = unit_rows(interpolated(smooth, faces, weights))
        row, column = np.divmod(hits.index[rows].astype(np.int64), across)
        turn = 2.0 * np.pi * ((row * ROBERTS[0] + column * ROBERTS[1]) % 1.0)
        tangents, bitangents = turned_frames(normals, turn)
        chosen = sets[(row * 7 + column * 3) % SETS]
        directions = np.matmul(chosen, np.stack([tangents, bitangents, normals], axis=1))
        return Fan(interpolated(corners, faces, weights), normals, flat[faces], directions.astype(np.float32))

    return fan


def places_a_block(samples: int) -> int:
    """How many places hold so many rays at once that memory stays bounded and a cancellation is heard soon."""
    return max(RAYS_A_BLOCK // samples, 1)
