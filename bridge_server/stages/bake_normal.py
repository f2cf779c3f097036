"""Bake the high poly's normals into the tangent space of the low poly."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Float32, UInt16

from bridge_server.backends.texels.base import Places, texel_kernels
from bridge_server.run import Run
from bridge_server.stages.corner_normals import HARD_EDGE_DEG, corner_normals, hard_half_edges
from bridge_server.stages.gutter import gutter_for
from bridge_server.stages.stage import Range, Stage
from bridge_server.stages.texel_average import texel_means
from bridge_server.values.mesh import HighPoly, UnwrappedMesh
from bridge_server.values.texture import NormalMap, TexelHits


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeNormal(Stage):
    """Tangent-space normals in the frames that Unreal and glTF viewers rebuild: OpenGL green, 16 bits."""

    name: ClassVar[str] = "bake_normal"
    writes: ClassVar[str] = "normal"
    version: ClassVar[int] = 2

    hard_edge_angle_deg: Annotated[float, Range(0, 180)] = HARD_EDGE_DEG
    """Edges of the high poly that turn by more than this are baked as edges; the rest is smooth."""

    def __call__(self, run: Run, *, high_poly: HighPoly, unwrapped: UnwrappedMesh, texel_hits: TexelHits) -> NormalMap:
        """The map at the size that was traced."""
        run.checkpoint(0.0, "normals of the high poly")
        high = high_poly.mesh
        hard = hard_half_edges(high, self.hard_edge_angle_deg)
        run.checkpoint(0.0, "normals of the high poly")
        detail = corner_normals(high, hard)
        run.checkpoint(0.0, "normals of the low poly")
        frames = np.concatenate([unwrapped.normals, unwrapped.tangents], axis=1)[unwrapped.faces]

        kernels = texel_kernels()

        def evaluate(rows: slice) -> Float32[np.ndarray, "texels 3"]:
            high_places = Places(faces=texel_hits.high_face[rows], weights=texel_hits.high_weights[rows])
            low_places = Places(faces=texel_hits.low_face[rows], weights=texel_hits.low_weights[rows])
            return kernels.tangent_normals(detail, high_places, frames, low_places)

        means = texel_means(texel_hits, 3, evaluate, run, "normals")
        run.checkpoint(1.0, "filling the gutter")
        gutter = gutter_for(texel_hits, unwrapped)
        return NormalMap(pixels=encoded(gutter.fill_directions(means, tangent_space=True)))


def encoded(vectors: Float32[np.ndarray, "size size 3"]) -> UInt16[np.ndarray, "size size 3"]:
    """Unit vectors as 16-bit texels; flat where there is no vector."""
    return texel_kernels().unit_words(vectors.reshape(-1, 3)).reshape(vectors.shape)
