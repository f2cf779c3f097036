"""Ridges: edges that stick out make the outline of a mesh, whichever way it is looked at.

Seen from a random side, the outline runs along an edge as often as its angle is wide. So what lies off an edge is seen
in proportion to length times angle, whatever the area of its faces: edges of fine parts are seen, and a measure by
area does not care for them. Edges in hollows hide behind others and count nothing.
"""

import numpy as np
from jaxtyping import Float64

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter.sampling import Walkable
from bridge_server.blocks import over_blocks

BLOCK = 1 << 13
REACH = 0.01
"""Length times angle at the edges of a face count as so much area, in shares of the diagonal."""
MOST = 100.0
"""How much a face may gain, over its area: ridges of needles would count without end."""


def ridges_of(surface: Walkable) -> Float64[np.ndarray, "faces 3"]:
    """Length times angle (radians) of the edge from each corner to the next; 0 in hollows and at borders."""
    result, normals = np.zeros(surface.faces.shape), surface.normals()
    loops = compiled_loops("ridge")
    over_blocks(
        lambda rows: loops.ridges_in_range(surface.surface, normals, rows.start, rows.stop, result), len(result), BLOCK
    )
    return result


def ridge_weights(surface: Walkable, ridges: Float64[np.ndarray, "faces 3"]) -> Float64[np.ndarray, "faces"]:
    """How much the faces matter in a collapse, places being shares of the diagonal: 1, and more at ridges."""
    gained = REACH * ridges.sum(axis=1) / 2.0 / np.maximum(surface.areas(), 1e-300)
    return np.asarray(1.0 + np.minimum(gained, MOST))


def ridges_at_vertices(surface: Walkable, ridges: Float64[np.ndarray, "faces 3"]) -> Float64[np.ndarray, "vertices"]:
    """Length times angle of the edges at each vertex."""
    ends = np.concatenate([surface.faces.reshape(-1), np.roll(surface.faces, -1, axis=1).reshape(-1)])
    return np.bincount(ends, np.tile(ridges.reshape(-1), 2), len(surface.places))
