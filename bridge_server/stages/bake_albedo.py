"""Bake the base colour of the surface field."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float32, UInt8

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.blocks import over_blocks
from bridge_server.run import Run
from bridge_server.stages.field_sampling import field_sampler
from bridge_server.stages.gutter import gutter_for
from bridge_server.stages.stage import Stage
from bridge_server.stages.texel_average import texel_means
from bridge_server.values.mesh import HighPoly, UnwrappedMesh
from bridge_server.values.texture import AlbedoMap, TexelHits

ROWS = 64
"""Rows of the map that a thread encodes at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeAlbedo(Stage):
    """Base colour: averaged as linear light, stored as sRGB in 8 bits."""

    name: ClassVar[str] = "bake_albedo"
    writes: ClassVar[str] = "albedo"
    version: ClassVar[int] = 2

    def __call__(
        self, run: Run, raycaster: Raycaster, *, high_poly: HighPoly, unwrapped: UnwrappedMesh, texel_hits: TexelHits
    ) -> AlbedoMap:
        """The map at the size that was traced."""
        sample = field_sampler(high_poly, texel_hits, raycaster)
        means = texel_means(texel_hits, 3, lambda rows: sample(rows).base_color, run, "base colour")
        run.checkpoint(1.0, "filling the gutter")
        gutter = gutter_for(texel_hits, unwrapped)
        return AlbedoMap(pixels=srgb_bytes(gutter.fill(means)))


def srgb_bytes(linear: Float32[np.ndarray, "size size 3"]) -> UInt8[np.ndarray, "size size 3"]:
    """IEC 61966-2-1, clipped to what a byte holds."""
    result = np.empty(linear.shape, np.uint8)

    def encode(rows: slice) -> None:
        light = np.clip(np.nan_to_num(linear[rows]), 0.0, 1.0)
        encoded = np.where(light <= 0.0031308, light * 12.92, 1.055 * np.power(light, 1.0 / 2.4) - 0.055)
        result[rows] = np.rint(encoded * 255.0)

    over_blocks(encode, len(linear), ROWS)
    return result
