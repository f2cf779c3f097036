"""Colour past the edges of the charts, so that neither bilinear filtering nor any mip mixes charts.

Three rules, in this order. A texel beside a chart takes the value of the nearest texel of it, for bilinear
filtering. Any other texel in a block that only one chart touches, where blocks are texels of the smallest mip that
the gap between charts lasts to, takes the mean of what that chart has in the block: then each mip is the mean over
the chart alone. All others take the value of the nearest covered texel.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from bridge_server.backends.texels.base import texel_kernels
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
        flat = values.reshape(-1, channels)
        result = flat[self.source]
        if len(self.strays):
            kept = np.where(self.covered[:, :, None], values, 0.0)
            sums, counts = _block_sums(kept, self.block_px), _block_sums(self.covered[:, :, None], self.block_px)
            means = sums.reshape(-1, channels) / np.maximum(counts.reshape(-1, 1), 1)
            result[self.strays] = means[self.stray_blocks]
        return result.reshape(size, size, channels).astype(np.float32)


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
    flat = np.arange(size * size).reshape(size, size)
    block_px = 1 << (max(min(gap_px, size // SMALLEST_MIP_PX), 1).bit_length() - 1)
    nobody = np.zeros(0, np.int64)
    if not covered.any():
        return Gutter(source=flat.reshape(-1), strays=nobody, stray_blocks=nobody, covered=covered, block_px=block_px)
    source, away = texel_kernels().nearest_covered(covered)
    only = _only_chart(charts, block_px)
    blocks_across = only.shape[1]
    block = (flat // size) // block_px * blocks_across + flat % size // block_px
    owner = only.reshape(-1)[block]
    stray = (away > BESIDE_PX) & (owner >= 0) & (charts.reshape(-1)[source] != owner)
    return Gutter(
        source=source.reshape(-1), strays=flat[stray], stray_blocks=block[stray], covered=covered, block_px=block_px
    )


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


def _block_sums(values: np.ndarray, block_px: int) -> np.ndarray:
    extra = -len(values) % block_px
    padded = np.pad(values, ((0, extra), (0, extra), (0, 0)))
    count = len(padded) // block_px
    return padded.reshape(count, block_px, count, block_px, -1).sum(axis=(1, 3), dtype=np.float64)
