"""UV rasterisation by the texel kernels themselves: in whole numbers, compiled where that can be had."""

from dataclasses import dataclass

from bridge_server.backends.table import Availability
from bridge_server.backends.texels.base import TEXELS, Atlas, Cells, Watch, texel_kernels


@dataclass(frozen=True, slots=True)
class TexelRasterizer:
    """Where charts overlap the triangle of the lowest number has the texel."""

    @property
    def identity(self) -> str:
        """That of the rule; all kernels keep to it, so their versions say nothing that would matter."""
        return "whole numbers"

    @classmethod
    def availability(cls) -> Availability:
        """Always there: NumPy serves where nothing is compiled."""
        return Availability(available=True, detail=f"texel kernels, {TEXELS.choose('auto')}")

    def cells(self, atlas: Atlas, watch: Watch) -> Cells:
        """See ``UvRasterizer``."""
        return texel_kernels().cells(atlas, watch)
