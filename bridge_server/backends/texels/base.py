"""What bakes compute for every texel: cover charts, interpolate, average, find the nearest covered texel."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt16

from bridge_server.backends.table import BackendKind
from bridge_server.values.texel_grid import Covered

INSET_PX = 0.1
"""How far places on the border of a face are moved into it: on the edge itself a ray may take the face beyond it."""
ON_EDGE = 1e-4
"""Below this weight of a corner a place counts as lying on the edge across from it."""

PLANE_SHARPNESS = 1.0
"""Texels whose centre lies off the plane of the middle one by this many texel widths weigh a third."""
NORMAL_POWER = 16
"""The weight of a texel that faces elsewhere is this power of the cosine."""

Watch = Callable[[float], None]
"""Told the share that is done; may raise to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Atlas:
    """Charts, and the square of texels that they are laid on."""

    uvs: Float32[np.ndarray, "vertices 2"]
    faces: Int32[np.ndarray, "faces 3"]
    resolution_px: int
    supersample: int
    """Sub-texels along each edge of a texel."""

    @property
    def across(self) -> int:
        """Sub-texels along each edge of the square."""
        return self.resolution_px * self.supersample


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Every (sub-)texel that stands for a place on a face, by rising index, row-major over the square."""

    index: Int32[np.ndarray, "cells"]
    faces: Int32[np.ndarray, "cells"]
    weights: Float32[np.ndarray, "cells 2"]
    """Of corners 1 and 2; corner 0 has the rest."""
    coverage: Bool[np.ndarray, "resolution_px resolution_px"]
    """Texels that a chart touches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Places on a mesh: a face, and the weights of its corners 1 and 2."""

    faces: Int32[np.ndarray, "places"]
    weights: Float32[np.ndarray, "places 2"]


@dataclass(frozen=True, slots=True)
class SurfaceMap:
    """The surface at each texel; charts are -1 where there is none."""

    charts: Int32[np.ndarray, "size size"]
    points_m: Float32[np.ndarray, "size size 3"]
    normals: Float32[np.ndarray, "size size 3"]
    texel_m: float
    """Width of a texel on the surface."""
    taken_at: float = 0.5
    """Where in a texel the surface was looked at, down and across alike, as a share of its edge."""


class TexelKernels(Protocol):
    """Safe to call from several threads at once."""

    @property
    def identity(self) -> str:
        """Name and version. Implementations agree to rounding, so it is no part of a cache key."""

    def cells(self, atlas: Atlas, watch: Watch, centers: Covered | None = None) -> Cells:
        """Sub-texel centres inside charts, and for texels that a chart only grazes the place nearest to the centre.

        Where charts overlap the face of the lowest number has the texel. A grazed texel stands at its middle sub-texel.
        Places on a border are moved inwards a little.

        ``centers`` are sub-texels whose faces another rasteriser has found, each once and by rising index. A centre
        that lies outside of its face, as rounding may have it, stands at the nearest place on the face.
        """

    def vertex_normals(
        self, positions_m: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]
    ) -> Float32[np.ndarray, "vertices 3"]:
        """As ``values.mesh.vertex_normals``."""

    def interpolated(
        self, corners: Float32[np.ndarray, "faces 3 3"], places: Places, *, unit: bool = False
    ) -> Float32[np.ndarray, "places 3"]:
        """Vectors at places from those at the corners of faces; with ``unit`` at length 1, +Y where there is none."""

    def tangent_normals(
        self,
        detail: Float32[np.ndarray, "high_faces 3 3"],
        high: Places,
        frames: Float32[np.ndarray, "low_faces 3 7"],
        low: Places,
    ) -> Float32[np.ndarray, "places 3"]:
        """Normals of the high poly in the frames of the low poly, which hold normal, tangent and sign.

        Frames are interpolated and not renormalised. The shader forms ``x tangent + y bitangent + z normal`` with
        ``bitangent = sign cross(normal, tangent)`` and normalises the sum, so x, y and z come from the inverse of that
        matrix, up to length. Directions that point below the low poly are laid on its plane.
        """

    def row_means(
        self,
        values: Float32[np.ndarray, "cells channels"],
        index: Int32[np.ndarray, "cells"],
        means: Float32[np.ndarray, "rows resolution_px channels"],
        first_row: int,
        supersample: int,
    ) -> None:
        """Write into ``means`` the mean of the cells in each texel of some rows of the map, 0 where there is none.

        ``index`` rises, and all its cells lie in those rows. Sums are taken in its order.
        """

    def unit_words(self, vectors: Float32[np.ndarray, "texels 3"]) -> UInt16[np.ndarray, "texels 3"]:
        """Directions as 16 bits a component, -1 as 0 and 1 as 65535; +Z where there is none."""

    def smoothed(
        self, values: Float32[np.ndarray, "size size"], surface: SurfaceMap, step: int, spread: float, rows: slice
    ) -> Float32[np.ndarray, "rows size"]:
        """Some rows after one round of an edge-avoiding à-trous filter (Dammertz et al. 2010).

        The kernel is 5 x 5 with ``step`` texels between its taps. Texels of another chart, off the plane of the middle
        one, facing elsewhere or of another value weigh less or nothing; a value that differs by ``spread`` weighs a
        third.
        """

    def enlarged(
        self,
        values: Float32[np.ndarray, "small small"],
        small: SurfaceMap,
        large: SurfaceMap,
        factor: int,
        rows: slice,
    ) -> Float32[np.ndarray, "rows size"]:
        """Some rows of a map that is larger by a factor, by joint bilateral upsampling (Kopf et al. 2007).
        The four coarse texels around weigh by the nearness of where they were taken and by their facing, if they are
        of the same chart. NaN where no
        chart is, or none of the four is of it.
        """

    def nearest_covered(
        self, covered: Bool[np.ndarray, "size size"]
    ) -> tuple[Int64[np.ndarray, "size size"], Float32[np.ndarray, "size size"]]:
        """Row-major index of a covered texel that is nearest to each texel, and how far it is, in texels.

        At least one must be covered.
        """


TEXELS: BackendKind[TexelKernels] = BackendKind(
    name="texels",
    table={
        "compiled": "bridge_server.backends.texels.compiled:CompiledTexels",
        "plain": "bridge_server.backends.texels.plain:PlainTexels",
    },
    entry_point_group="open3dforge.texels",
)


@functools.cache
def texel_kernels() -> TexelKernels:
    """The first that can run here. No stage asks for one: all give the same texels, compiled ones sooner."""
    return TEXELS.load(TEXELS.choose("auto"))
