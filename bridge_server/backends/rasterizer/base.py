"""UV rasterisation: which triangle lies under each (sub-)texel of a map, and where on it the texel stands.

An implementation answers for centres alone. What makes a bake of that is common to all: texels that a chart only
grazes, weights of corners, and places moved off the edges of their triangle come from the texel kernels.
"""

from typing import Protocol

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.backends.table import BackendKind
from bridge_server.backends.texels.base import Atlas, Cells, Watch, texel_kernels
from bridge_server.values.texel_grid import Covered


class UvRasterizer(Protocol):
    """Covers maps with charts."""

    @property
    def identity(self) -> str:
        """Name and version, for the cache key."""

    def cells(self, atlas: Atlas, watch: Watch) -> Cells:
        """As ``TexelKernels.cells``; centres that lie on an edge, to its own precision, may go to either side."""


class CenterRasterizer(Protocol):
    """One that answers for centres alone."""

    def cover(
        self, uvs: Float32[np.ndarray, "vertices 2"], faces: Int32[np.ndarray, "faces 3"], size_px: int, watch: Watch
    ) -> Covered:
        """Texels whose centre lies in a triangle, each once, by rising index, row-major from the top left.

        Coordinates have their origin top left. Where charts overlap, one of their triangles has the texel.
        """


def cells_by_centers(rasterizer: CenterRasterizer, atlas: Atlas, watch: Watch) -> Cells:
    """As ``UvRasterizer.cells``, from a rasteriser of centres and the kernels for the rest."""
    centers = rasterizer.cover(atlas.uvs, atlas.faces, atlas.across, lambda share: watch(0.5 * share))
    return texel_kernels().cells(atlas, lambda share: watch(0.5 + 0.5 * share), centers)


RASTERIZERS: BackendKind[UvRasterizer] = BackendKind(
    name="rasterizer",
    table={
        "texels": "bridge_server.backends.rasterizer.texels:TexelRasterizer",
        "numpy": "bridge_server.backends.rasterizer.numpy:NumpyRasterizer",
        "nvdiffrast": "bridge_server.backends.rasterizer.nvdiffrast:NvdiffrastRasterizer",
    },
    entry_point_group="open3dforge.rasterizers",
)
"""``auto`` is the first, which is always there; nvdiffrast is taken by its name alone, because of its licence."""
