"""Colour past the edges of the charts, so that neither bilinear filtering nor any mip mixes charts.

Five rules; the first that fits counts. Straight outside a smooth seam a texel takes what lies across it, so that both
sides show the same (``seam_fill``). Any other texel beside a chart takes the value of the nearest texel of it, for
bilinear filtering. Any other in a block that only one chart touches, where blocks are texels of the smallest mip that
the gap between charts lasts to, takes the mean of what that chart has in the block: then each mip is the mean over
the chart alone. Far from all charts the means of the blocks around are spread by a pyramid (pull and push: Gortler et
al., "The Lumigraph", 1996, section 3.4.2), so that coarser mips and wider filters find nothing foreign there. All
others take the value of the nearest covered texel.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64

from bridge_server.backends.texels.base import texel_kernels
from bridge_server.blocks import BLOCK, over_blocks
from bridge_server.stages.seam_fill import Seams, between, seams_of
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.texture import TexelHits

BESIDE_PX = 1.5
FAR_BLOCKS = 2.0
"""So many blocks from any chart the background begins."""
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
    far: Int64[np.ndarray, "far"] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Texels of the background."""
    seams: Seams | None = None

    def fill(self, values: Float32[np.ndarray, "size size channels"]) -> Float32[np.ndarray, "size size channels"]:
        """Values of covered texels carried into all others, and seams closed."""
        filled = self._padded(values)
        return filled if self.seams is None else self.seams.cross(filled)

    def fill_directions(
        self, values: Float32[np.ndarray, "size size 3"], *, tangent_space: bool
    ) -> Float32[np.ndarray, "size size 3"]:
        """The same for directions; tangent space is another one across a seam."""
        filled = self._padded(values)
        return filled if self.seams is None else self.seams.cross_directions(filled, tangent_space=tangent_space)

    def _padded(self, values: Float32[np.ndarray, "size size channels"]) -> Float32[np.ndarray, "size size channels"]:
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
        if len(self.far):
            cells = _background(values, self.covered, self.block_px)

            def spread(rows: slice) -> None:
                far = self.far[rows]
                places = np.stack([far % size, far // size], axis=1) + 0.5
                result[far] = between(cells, (places / self.block_px).astype(np.float32))

            over_blocks(spread, len(self.far))
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


def gutter_for(hits: TexelHits, unwrapped: UnwrappedMesh) -> Gutter:
    """Plan the fill of the maps that are baked from these hits."""
    plan = gutter_of(chart_map(hits, unwrapped), unwrapped.padding_px)
    return replace(plan, seams=seams_of(unwrapped, hits.resolution_px))


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
    return Gutter(
        source=source,
        strays=beyond[stray],
        stray_blocks=block[stray],
        covered=covered,
        block_px=block_px,
        far=np.flatnonzero(away > FAR_BLOCKS * max(block_px, BESIDE_PX)),
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
    """Sums over square blocks; whole rows are added first, which lie together in memory."""
    extra = [(0, -length % block_px) for length in values.shape[:2]]
    padded = np.pad(values, (*extra, (0, 0))) if any(after for _, after in extra) else values
    down, across = len(padded) // block_px, padded.shape[1] // block_px
    rows = padded.reshape(down, block_px, -1).sum(axis=1)
    return rows.reshape(down, across, block_px, -1).sum(axis=2, dtype=np.float64)


def _background(
    values: Float32[np.ndarray, "size size channels"], covered: Bool[np.ndarray, "size size"], block_px: int
) -> Float32[np.ndarray, "cells cells channels"]:
    """Block means pulled up a pyramid and pushed down into the blocks that have none.

    A coarser cell is the mean of those of its four that have something.
    """
    across = -(-len(values) // block_px)
    counts, sums = np.empty((across, across, 1)), np.empty((across, across, values.shape[2]))

    def add(blocks: slice) -> None:
        rows = slice(blocks.start * block_px, blocks.stop * block_px)
        within = covered[rows, :, None]
        counts[blocks] = _block_sums(within, block_px)
        sums[blocks] = _block_sums(np.where(within, values[rows], np.float32(0.0)), block_px)

    over_blocks(add, across, max(BLOCK * 2 // (len(values) * block_px), 1))
    return _pulled_and_pushed(sums / np.maximum(counts, 1.0), counts[:, :, 0] > 0.0).astype(np.float32)


def _pulled_and_pushed(
    means: Float64[np.ndarray, "cells cells channels"], known: Bool[np.ndarray, "cells cells"]
) -> Float64[np.ndarray, "cells cells channels"]:
    if known.all() or len(means) == 1:
        return means
    extra = len(means) % 2
    weights = np.pad(known, ((0, extra), (0, extra))).astype(np.float64)
    padded = np.pad(means, ((0, extra), (0, extra), (0, 0))) * weights[:, :, None]
    half = len(padded) // 2
    counts = weights.reshape(half, 2, half, 2).sum(axis=(1, 3))
    sums = padded.reshape(half, 2, half, 2, -1).sum(axis=(1, 3))
    coarse = _pulled_and_pushed(sums / np.maximum(counts, 1.0)[:, :, None], counts > 0.0)
    spread = _twice_as_large(_twice_as_large(coarse).swapaxes(0, 1)).swapaxes(0, 1)[: len(means), : len(means)]
    return np.where(known[:, :, None], means, spread)


def _twice_as_large(
    cells: Float64[np.ndarray, "rows columns channels"],
) -> Float64[np.ndarray, "more columns channels"]:
    """Linear interpolation along the first axis: each half lies a quarter of a cell from the middle."""
    before, after = np.concatenate([cells[:1], cells[:-1]]), np.concatenate([cells[1:], cells[-1:]])
    halves = np.stack([0.75 * cells + 0.25 * before, 0.75 * cells + 0.25 * after], axis=1)
    return halves.reshape(-1, *cells.shape[1:])
