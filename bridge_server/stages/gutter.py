"""Colour past the edges of the charts, so that neither bilinear filtering nor any mip mixes charts.

Three rules, in this order. A texel beside a chart takes the value of the nearest texel of it, for bilinear
filtering. Any other texel in a block that only one chart touches, where blocks are texels of the smallest mip that
the gap between charts lasts to, takes the mean of what that chart has in the block: then each mip is the mean over
the chart alone. All others take the value of the nearest covered texel.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from bridge_server.backends.texels.base import texel_kernels
from bridge_server.blocks import BLOCK, over_blocks
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.texture import TexelHits

BESIDE_PX = 1.5
SMALLEST_MIP_PX = 128


@dataclass(frozen=True, slots=True)
class Gutter:
    """Where each texel of the map gets its value from."""

    source: Int64[np.ndarray, "texels"]
    """Nearest covered texel; itself where it is covered."""
    strays: Int64[np.ndarray, "strays"]
    """Texels whose nearest chart is not the only one that touches their block."""
    stray_blocks: Int64[np.ndarray, "strays"]
    covered: Bool[np.ndarray, "size size"]
    block_px: int

    def fill(self, values: Float32[np.ndarray, "size size channels"]) -> Float32[np.ndarray, "size size channels"]:
        """Values of covered texels carried into all others."""
        if not self.covered.any():
            return values
        size, _, channels = values.shape
        flat, result = values.reshape(-1, channels), np.empty((size * size, channels), np.float32)

        def carry(rows: slice) -> None:
            np.take(flat, self.source[rows], axis=0, out=result[rows], mode="clip")

        over_blocks(carry, len(result), BLOCK * 8)
        if len(self.strays):
            blocks, which = np.unique(self.stray_blocks, return_inverse=True)
            result[self.strays] = self._block_means(values, blocks)[which.reshape(-1)]
        return result.reshape(size, size, channels)

    def _block_means(
        self, values: Float32[np.ndarray, "size size channels"], blocks: Int64[np.ndarray, "blocks"]
    ) -> Float64[np.ndarray, "blocks channels"]:
        """Mean of the covered texels of some blocks."""
        size, side = len(values), self.block_px
        top, left = np.divmod(blocks, -(-size // side))
        within = np.arange(side)
        rows, columns = top[:, None, None] * side + within[:, None], left[:, None, None] * side + within
        place = np.minimum(rows, size - 1), np.minimum(columns, size - 1)
        counted = self.covered[place] & (rows < size) & (columns < size)
        sums = np.where(counted[:, :, :, None], values[place], 0.0).sum(axis=(1, 2), dtype=np.float64)
        return sums / np.maximum(counted.sum(axis=(1, 2)), 1)[:, None]


def chart_map(hits: TexelHits, unwrapped: UnwrappedMesh) -> Int32[np.ndarray, "size size"]:
    """Chart of each covered texel, -1 elsewhere."""
    size = hits.resolution_px
    charts = np.full(size * size, -1, np.int32)
    charts[texel_of(hits)] = unwrapped.charts[hits.low_face]
    return charts.reshape(size, size)


def texel_of(hits: TexelHits, rows: slice = slice(None)) -> Int64[np.ndarray, "texels"]:
    """Row-major index of the texel that each (sub-)texel lies in."""
    index, across, fine = hits.index[rows], np.int32(hits.resolution_px * hits.supersample), np.int32(hits.supersample)
    row = index // across
    return (row // fine * np.int32(hits.resolution_px) + (index - row * across) // fine).astype(np.int64)


def gutter_of(charts: Int32[np.ndarray, "size size"], gap_px: int) -> Gutter:
    """Plan the fill of a map whose charts lie at least ``gap_px`` apart."""
    size = len(charts)
    covered = charts >= 0
    block_px = 1 << (max(min(gap_px, size // SMALLEST_MIP_PX), 1).bit_length() - 1)
    if not covered.any():
        nobody = np.zeros(0, np.int64)
        itself = np.arange(size * size)
        return Gutter(source=itself, strays=nobody, stray_blocks=nobody, covered=covered, block_px=block_px)
    source, away = texel_kernels().nearest_covered(covered)
    source = source.reshape(-1)
    only = _only_chart(charts, block_px)
    beyond = np.flatnonzero(away > BESIDE_PX)
    row, column = beyond // size, beyond % size
    block = row // block_px * only.shape[1] + column // block_px
    owner = only.reshape(-1)[block]
    stray = (owner >= 0) & (charts.reshape(-1)[source[beyond]] != owner)
    return Gutter(source=source, strays=beyond[stray], stray_blocks=block[stray], covered=covered, block_px=block_px)


def _only_chart(charts: Int32[np.ndarray, "size size"], block_px: int) -> Int32[np.ndarray, "blocks blocks"]:
    """The one chart that touches each block; -1 where there is none or more than one."""
    most = _blocks(charts, block_px, -1).max(axis=(1, 3))
    least = _blocks(np.where(charts < 0, np.iinfo(np.int32).max, charts), block_px, np.iinfo(np.int32).max)
    return np.where(least.min(axis=(1, 3)) == most, most, -1).astype(np.int32)


def _blocks(values: np.ndarray, block_px: int, outside: int) -> np.ndarray:
    """Square array as (block rows, rows within, block columns, columns within), padded to whole blocks."""
    extra = -len(values) % block_px
    padded = np.pad(values, ((0, extra), (0, extra)), constant_values=outside) if extra else values
    count = len(padded) // block_px
    return padded.reshape(count, block_px, count, block_px)
