"""Which of the hits of a bake stand for a texel: the one nearest to its centre, or several spread over it."""

import numpy as np
from jaxtyping import Int32

from bridge_server.blocks import over_blocks
from bridge_server.values.texture import TexelHits

ROWS = 64
"""Rows of coarse texels that are looked at together."""
CENTER = ((0.5, 0.5),)
"""Row and column within a texel."""
SPREAD = ((0.125, 0.375), (0.375, 0.875), (0.875, 0.625), (0.625, 0.125))
"""A rotated grid, in which no two spots share a row or a column."""

Spots = tuple[tuple[float, float], ...]


def hits_at(hits: TexelHits, coarseness: int, spots: Spots) -> Int32[np.ndarray, "texels spots"]:
    """For each texel that has hits, by rising texel, the hit nearest to each spot in it.

    ``coarseness`` is the edge of the square of texels that count as one. Where a texel has fewer hits than spots, some
    of them stand for several.
    """
    step = hits.supersample * coarseness
    size = -(-hits.resolution_px // coarseness)
    bands = -(-size // ROWS)
    found: list[Int32[np.ndarray, "texels spots"]] = [np.empty((0, len(spots)), np.int32)] * bands

    def look(some: slice) -> None:
        for band in range(some.start, some.stop):
            found[band] = _in_rows(hits, step, slice(band * ROWS, min((band + 1) * ROWS, size)), spots)

    over_blocks(look, bands, 1)
    return np.concatenate(found) if found else np.empty((0, len(spots)), np.int32)


def center_taken(hits: TexelHits, coarseness: int) -> float:
    """Where the hit at the centre of a texel lies, down and across alike, as a share of the edge of the texel.

    Where the number of hits along the edge is even, none lies in the middle, and the one before it stands for it.
    """
    step = hits.supersample * coarseness
    return ((step - 1) // 2 + 0.5) / step


def _in_rows(hits: TexelHits, step: int, rows: slice, spots: Spots) -> Int32[np.ndarray, "texels spots"]:
    across = hits.resolution_px * hits.supersample
    size, count = -(-across // step), rows.stop - rows.start
    ends = np.array([rows.start * step * across, min(rows.stop * step, across) * across], np.int32)  # as the index is
    first, last = np.searchsorted(hits.index, ends)
    place = hits.index[first:last] - ends[0]
    if size * step > across:
        place = place + place // across * (size * step - across)
    cells = np.full(count * step * size * step, -1, np.int32)
    cells[place] = np.arange(first, last, dtype=np.int32)
    cells = cells.reshape(count, step, size, step)
    chosen = np.full((len(spots), count, size), -1, np.int32)
    for spot, nearest in zip(spots, chosen, strict=True):
        for cell in _cells_by_nearness(step, spot):
            np.copyto(nearest, cells[:, cell[0], :, cell[1]], where=nearest < 0)
    return chosen[:, chosen[0] >= 0].T


def _cells_by_nearness(step: int, spot: tuple[float, float]) -> list[tuple[int, int]]:
    """Rows and columns of the sub-texels of a texel, those nearest to the spot first."""
    cells = [(row, column) for row in range(step) for column in range(step)]
    return sorted(cells, key=lambda cell: sum(abs((at + 0.5) / step - to) for at, to in zip(cell, spot, strict=True)))
