"""Emissive map: the light that the surface field gives off."""

import numpy as np
from jaxtyping import Float32

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import Run
from bridge_server.stages.field_sampling import field_sampler
from bridge_server.stages.texel_average import texel_means
from bridge_server.values.mesh import HighPoly
from bridge_server.values.texture import TexelHits


def emissions(
    raycaster: Raycaster, high_poly: HighPoly, hits: TexelHits, run: Run
) -> Float32[np.ndarray, "size size 3"]:
    """Mean emitted colour under each texel, linear light, in the unit of the source; may exceed 1."""
    sample = field_sampler(high_poly, hits, raycaster)
    return texel_means(hits, 3, lambda rows: sample(rows).emissive, run, "emissive")
