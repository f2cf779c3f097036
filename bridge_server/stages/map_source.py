"""Source map: by which means each texel found its place on the high poly."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8

from bridge_server.run import Run
from bridge_server.stages.corner_normals import unit_face_normals
from bridge_server.stages.gutter import texel_of
from bridge_server.stages.texel_average import interpolated
from bridge_server.values.mesh import HighPoly, UnwrappedMesh
from bridge_server.values.texture import TexelHits

LEGEND: Mapping[str, int] = {"ray": 255, "closest": 160, "other_side": 80, "none": 0}
"""``closest``: no ray found anything within the cage, and the closest point serves. ``other_side``: and that one faces
away from the low poly, as the far side of a wall does. ``none``: no chart."""


def sources(high_poly: HighPoly, unwrapped: UnwrappedMesh, hits: TexelHits, run: Run) -> UInt8[np.ndarray, "size size"]:
    """The number of ``LEGEND`` for each texel, the least of its sub-texels; nothing is carried past the charts."""
    run.checkpoint(0.0, "sources")
    outward = unit_face_normals(high_poly.mesh).astype(np.float32)
    lost = np.flatnonzero(~hits.by_ray)
    normals = interpolated(unwrapped.normals[unwrapped.faces], hits.low_face[lost], hits.low_weights[lost])
    facing = np.einsum("ij,ij->i", outward[hits.high_face[lost]], normals) > 0.0
    found = np.full(len(hits.index), LEGEND["ray"], np.uint8)
    found[lost] = np.where(facing, LEGEND["closest"], LEGEND["other_side"])
    result = np.full(hits.resolution_px**2, 255, np.uint8)
    np.minimum.at(result, texel_of(hits), found)
    covered = np.zeros(len(result), np.bool_)
    covered[texel_of(hits)] = True
    return np.where(covered, result, LEGEND["none"]).astype(np.uint8).reshape(hits.coverage.shape)
