"""UV rasterisation in whole numbers by NumPy: the same on every machine, and what the others are held against."""

from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.backends.rasterizer.base import cells_by_centers
from bridge_server.backends.table import Availability
from bridge_server.backends.texels.base import Atlas, Cells, Watch
from bridge_server.values.texel_grid import Covered, cover_centers, gathered


@dataclass(frozen=True, slots=True)
class NumpyRasterizer:
    """Where charts overlap the triangle of the lowest number has the texel."""

    @property
    def identity(self) -> str:
        """Version of NumPy; results do not depend on it."""
        return f"numpy {version('numpy')}"

    @classmethod
    def availability(cls) -> Availability:
        """Always there."""
        return Availability(available=True, detail=f"numpy {version('numpy')}, slower than texel kernels")

    def cells(self, atlas: Atlas, watch: Watch) -> Cells:
        """See ``UvRasterizer``."""
        return cells_by_centers(self, atlas, watch)

    def cover(
        self, uvs: Float32[np.ndarray, "vertices 2"], faces: Int32[np.ndarray, "faces 3"], size_px: int, watch: Watch
    ) -> Covered:
        """See ``CenterRasterizer``."""
        watch(0.0)
        cells = gathered(cover_centers(uvs, faces, size_px))
        order = np.lexsort((cells.faces, cells.index))
        first = np.concatenate([[True], np.diff(cells.index[order]) > 0]) if len(order) else np.zeros(0, np.bool_)
        return Covered(index=cells.index[order[first]], faces=cells.faces[order[first]])
