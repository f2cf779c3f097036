"""Bake metallic and roughness of the surface field."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float32

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import Run
from bridge_server.stages.field_sampling import field_sampler
from bridge_server.stages.gutter import gutter_for
from bridge_server.stages.stage import Stage
from bridge_server.stages.texel_average import texel_means
from bridge_server.values.mesh import HighPoly, UnwrappedMesh
from bridge_server.values.texture import MetallicRoughnessMap, TexelHits


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeMetallicRoughness(Stage):
    """Metallic and roughness, linear, in 8 bits."""

    name: ClassVar[str] = "bake_metallic_roughness"
    writes: ClassVar[str] = "metallic_roughness"
    version: ClassVar[int] = 2

    def __call__(
        self, run: Run, raycaster: Raycaster, *, high_poly: HighPoly, unwrapped: UnwrappedMesh, texel_hits: TexelHits
    ) -> MetallicRoughnessMap:
        """The map at the size that was traced."""
        sample = field_sampler(high_poly, texel_hits, raycaster)

        def evaluate(rows: slice) -> Float32[np.ndarray, "texels 2"]:
            found = sample(rows)
            return np.stack([found.metallic, found.roughness], axis=1)

        means = texel_means(texel_hits, 2, evaluate, run, "metallic and roughness")
        run.checkpoint(1.0, "filling the gutter")
        gutter = gutter_for(texel_hits, unwrapped)
        unit = np.clip(np.nan_to_num(gutter.fill(means)), 0.0, 1.0)
        return MetallicRoughnessMap(pixels=np.rint(unit * 255.0).astype(np.uint8))
