"""Bake the high poly's normals into the tangent space of the low poly."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float32

from bridge_server.blocks import over_blocks
from bridge_server.run import Run
from bridge_server.stages.corner_normals import corner_normals, hard_half_edges
from bridge_server.stages.gutter import gutter_for
from bridge_server.stages.stage import Range, Stage
from bridge_server.stages.texel_average import interpolated, texel_means
from bridge_server.stages.trace_rays import unit_rows
from bridge_server.values.mesh import HighPoly, UnwrappedMesh
from bridge_server.values.texture import NormalMap, TexelHits

FLAT = (0.0, 0.0, 1.0)
FULL = 65535.0
ROWS = 64
"""Rows of the map that a thread encodes at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeNormal(Stage):
    """Tangent-space normals in the frames that Unreal and glTF viewers rebuild: OpenGL green, 16 bits."""

    name: ClassVar[str] = "bake_normal"
    writes: ClassVar[str] = "normal"
    version: ClassVar[int] = 2

    hard_edge_angle_deg: Annotated[float, Range(0, 180)] = 60.0
    """Edges of the high poly that turn by more than this are baked as edges; the rest is smooth."""

    def __call__(self, run: Run, *, high_poly: HighPoly, unwrapped: UnwrappedMesh, texel_hits: TexelHits) -> NormalMap:
        """The map at the size that was traced."""
        run.checkpoint(0.0, "normals of the high poly")
        high = high_poly.mesh
        detail = corner_normals(high, hard_half_edges(high, self.hard_edge_angle_deg))
        frames = np.concatenate([unwrapped.normals, unwrapped.tangents], axis=1)[unwrapped.faces]

        def evaluate(rows: slice) -> Float32[np.ndarray, "texels 3"]:
            normals = unit_rows(interpolated(detail, texel_hits.high_face[rows], texel_hits.high_weights[rows]))
            low = interpolated(frames, texel_hits.low_face[rows], texel_hits.low_weights[rows])
            return in_tangent_space(normals, low[:, :3], low[:, 3:6], low[:, 6:])

        means = texel_means(texel_hits, 3, evaluate, run, "normals")
        run.checkpoint(1.0, "filling the gutter")
        gutter = gutter_for(texel_hits, unwrapped)
        return NormalMap(pixels=encoded(gutter.fill_directions(means, tangent_space=True)))


def in_tangent_space(
    directions: Float32[np.ndarray, "texels 3"],
    normals: Float32[np.ndarray, "texels 3"],
    tangents: Float32[np.ndarray, "texels 3"],
    signs: Float32[np.ndarray, "texels 1"],
) -> Float32[np.ndarray, "texels 3"]:
    """Unit directions in the frame of interpolated, not renormalised normals and tangents.

    The shader forms ``x tangent + y bitangent + z normal`` with ``bitangent = sign cross(normal, tangent)`` and
    normalises the sum, so x, y and z come from the inverse of that matrix, up to length. Directions that point
    below the low poly are laid on its plane.
    """
    bitangents = np.cross(normals, tangents) * np.where(signs < 0.0, -1.0, 1.0).astype(np.float32)
    rows = [np.cross(bitangents, normals), np.cross(normals, tangents), np.cross(tangents, bitangents)]
    volume = np.einsum("ij,ij->i", tangents, rows[0])
    found = np.stack([np.einsum("ij,ij->i", directions, row) for row in rows], axis=1) * np.sign(volume)[:, None]
    found[:, 2] = np.maximum(found[:, 2], 0.0)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.where(length > 1e-12, found / np.maximum(length, 1e-12), np.array(FLAT, np.float32)).astype(np.float32)


def encoded(vectors: Float32[np.ndarray, "size size 3"]) -> np.ndarray:
    """Unit vectors as 16-bit texels; flat where there is no vector."""
    result = np.empty(vectors.shape, np.uint16)

    def encode(rows: slice) -> None:
        part = vectors[rows]
        length = np.sqrt(np.einsum("rci,rci->rc", part, part))[:, :, None]
        unit = np.where(length > 1e-6, part / np.maximum(length, 1e-6), np.array(FLAT, np.float32))
        result[rows] = np.rint((unit * 0.5 + 0.5) * FULL)

    over_blocks(encode, len(vectors), ROWS)
    return result
