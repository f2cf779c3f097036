"""Opacity map: how much of what lies behind the surface it hides."""

import numpy as np
from jaxtyping import Float32

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import Run
from bridge_server.stages.field_sampling import field_sampler
from bridge_server.stages.texel_average import texel_means
from bridge_server.values.mesh import HighPoly
from bridge_server.values.texture import TexelHits


def opacities(
    raycaster: Raycaster, high_poly: HighPoly, hits: TexelHits, run: Run
) -> Float32[np.ndarray, "size size 1"]:
    """Mean opacity under each texel, linear: 1 hides all, 0 nothing. A cut-out is thus anti-aliased."""
    sample = field_sampler(high_poly, hits, raycaster)
    return texel_means(hits, 1, lambda rows: sample(rows).opacity[:, None], run, "opacity")
