"""A smooth cross on every face that quads should follow, led by creases and borders.

A cross of four directions has the complex number exp(4 i angle) in the face's own frame, so that quarter turns make no
difference (Knöppel et al. 2013, "Globally optimal direction fields"). Neighbours are averaged after they were turned
into the face's frame along their common edge.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex128, Float64

from bridge_server.run import Run
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh import Mesh

ROUNDS = 60
GUIDE_WEIGHT = 8.0
"""How heavy creases weigh, over one neighbour."""
CREASE_DEG = 30.0
"""From this angle on an edge leads as strongly as a border."""


@dataclass(frozen=True, slots=True)
class CrossField:
    """Crosses and the directions of edges, as numbers in the frames of their faces."""

    edges: Complex128[np.ndarray, "faces 3"]
    """exp(4 i angle) of each half-edge."""
    crosses: Complex128[np.ndarray, "faces"]
    """Of unit length; 0 where nothing leads."""


def cross_field(mesh: Mesh, run: Run) -> CrossField:
    """Averaged over neighbours until creases and borders have led what lies between them."""
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    sides = np.roll(corners, -1, axis=1) - corners
    length = np.linalg.norm(sides, axis=2)
    normals = _unit(np.cross(sides[:, 0], -sides[:, 2]))
    right = _unit(sides[:, 0])
    up = np.cross(normals, right)
    planar = np.einsum("fki,fi->fk", sides, right) + 1j * np.einsum("fki,fi->fk", sides, up)
    edges = np.where(length > 0.0, planar / np.maximum(np.abs(planar), 1e-300), 1.0) ** 4
    opposite = opposite_half_edges(mesh.faces).reshape(-1, 3)
    inner = opposite >= 0
    turned = np.arccos(np.clip(np.einsum("fi,fki->fk", normals, normals[opposite // 3]), -1.0, 1.0))
    leading = np.where(inner, np.minimum(turned / np.radians(CREASE_DEG), 1.0), 1.0) * length
    guide = GUIDE_WEIGHT * (leading * edges).sum(axis=1) / np.maximum(length.sum(axis=1), 1e-300)
    # An edge has opposite directions on its two sides, which are the same cross.
    transport = np.where(inner, edges * np.conj(edges.reshape(-1)[opposite]), 0.0)
    weight = np.maximum(inner.sum(axis=1) + np.abs(guide), 1e-12)
    crosses = guide / weight
    for turn in range(ROUNDS):
        run.checkpoint(turn / ROUNDS, "field of directions")
        crosses = (guide + (transport * crosses[opposite // 3]).sum(axis=1)) / weight
    size = np.abs(crosses)
    return CrossField(edges, np.divide(crosses, size, out=np.zeros_like(crosses), where=size > 1e-12))


def _unit(vectors: Float64[np.ndarray, "faces 3"]) -> Float64[np.ndarray, "faces 3"]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0.0)
