"""Object-space normal map: the high poly's normals in the space of the file, whatever the low poly's frames are."""

import numpy as np
from jaxtyping import Float32

from bridge_server.run import Run
from bridge_server.stages.corner_normals import HARD_EDGE_DEG, corner_normals, hard_half_edges
from bridge_server.stages.texel_average import interpolated, texel_means
from bridge_server.stages.trace_rays import unit_rows
from bridge_server.values.mesh import HighPoly
from bridge_server.values.texture import TexelHits


def object_normals(
    high_poly: HighPoly, hits: TexelHits, run: Run, hard_edge_angle_deg: float = HARD_EDGE_DEG
) -> Float32[np.ndarray, "size size 3"]:
    """Mean outward normal under each texel: +X right, +Y up, +Z to the viewer, as in glTF; 0 where nothing is.

    Edges of the high poly that turn by more than the angle stay edges. The means of unit vectors are shorter than 1
    where the surface bends inside a texel; only their direction counts.
    """
    mesh = high_poly.mesh
    detail = corner_normals(mesh, hard_half_edges(mesh, hard_edge_angle_deg))

    def evaluate(rows: slice) -> Float32[np.ndarray, "texels 3"]:
        return unit_rows(interpolated(detail, hits.high_face[rows], hits.high_weights[rows]))

    return texel_means(hits, 3, evaluate, run, "object-space normals")
