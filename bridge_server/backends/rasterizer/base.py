"""UV rasterisation: which triangle, and which place on it, lies under each texel centre of a map."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.backends.table import BackendKind


@dataclass(frozen=True, slots=True, kw_only=True)
class CoveredTexels:
    """Texels whose centre lies in a triangle, each once, by rising index, row-major from the top left."""

    index: Int32[np.ndarray, "texels"]
    faces: Int32[np.ndarray, "texels"]
    weights: Float32[np.ndarray, "texels 3"]
    """Of the three corners; they sum to 1."""


class UvRasterizer(Protocol):
    """Covers maps with charts."""

    @property
    def identity(self) -> str:
        """Name and version, for the cache key."""

    def cover(
        self, uvs: Float32[np.ndarray, "vertices 2"], faces: Int32[np.ndarray, "faces 3"], size_px: int
    ) -> CoveredTexels:
        """Coordinates have their origin top left. Where charts overlap, one of their triangles has the texel."""


RASTERIZERS: BackendKind[UvRasterizer] = BackendKind(
    name="rasterizer",
    table={
        "numpy": "bridge_server.backends.rasterizer.numpy:NumpyRasterizer",
        "nvdiffrast": "bridge_server.backends.rasterizer.nvdiffrast:NvdiffrastRasterizer",
    },
    entry_point_group="open3dforge.rasterizers",
)
"""``auto`` is the one that is always there; nvdiffrast is taken by its name alone, because of its licence."""
