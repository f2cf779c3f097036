"""Position map: where in the high poly's bounding box each texel lies."""

import numpy as np
from jaxtyping import Float32

from bridge_server.run import Run
from bridge_server.stages.texel_average import interpolated, texel_means
from bridge_server.values.mesh import HighPoly
from bridge_server.values.texture import TexelHits


def positions(high_poly: HighPoly, hits: TexelHits, run: Run) -> Float32[np.ndarray, "size size 3"]:
    """Mean place on the high poly under each texel, x, y and z from 0 to 1 between the ends of its bounding box.

    A place in metres is ``low + value * (high - low)`` with the box that ``Mesh.bounds_m`` gives. An axis along
    which the mesh has no extent gets 0.5.
    """
    mesh = high_poly.mesh
    low, high = (corner.astype(np.float64) for corner in mesh.bounds_m)
    extent = high - low
    scaled = np.divide(mesh.positions_m - low, extent, out=np.full(mesh.positions_m.shape, 0.5), where=extent > 0.0)
    corners = scaled.astype(np.float32)[mesh.faces]

    def evaluate(rows: slice) -> Float32[np.ndarray, "texels 3"]:
        return interpolated(corners, hits.high_face[rows], hits.high_weights[rows])

    return texel_means(hits, 3, evaluate, run, "positions")
