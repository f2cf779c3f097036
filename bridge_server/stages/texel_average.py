"""Averages of what is sampled at sub-texels, and the surface they lie on."""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.backends.texels.base import Places, texel_kernels
from bridge_server.blocks import BLOCK, over_blocks
from bridge_server.run import PartialRun, Run
from bridge_server.values.texture import TexelHits

HITS_AT_ONCE = BLOCK * 16
"""Whose values are held before they are averaged."""
ROWS = 32
"""Rows of the map that a thread averages at a time."""


def texel_means(
    hits: TexelHits,
    channels: int,
    evaluate: Callable[[slice], Float32[np.ndarray, "texels channels"]],
    run: Run,
    note: str,
    *,
    block: int = BLOCK * 2,
) -> Float32[np.ndarray, "size size channels"]:
    """Mean over the covered sub-texels of each texel; 0 where there is none.

    ``evaluate`` gives the values of a range of hits; it is called from several threads. Sums are taken in the order
    of the hits whatever the threads do, so results do not depend on them. ``block`` is how many hits are evaluated
    at once; where each takes many rays, fewer bound the memory and the wait for a cancellation.
    """
    size, fine, count = hits.resolution_px, hits.supersample, len(hits.index)
    means = np.zeros((size, size, channels), np.float32)
    begins = np.arange(size + 1, dtype=np.int32) * np.int32(size * fine * fine)  # of another type, the index is copied
    starts = np.searchsorted(hits.index, begins)
    kernels, top = texel_kernels(), 0
    while top < size:
        end = max(int(np.searchsorted(starts, starts[top] + HITS_AT_ONCE, side="right")) - 1, top + 1)
        first, last = int(starts[top]), int(starts[end])
        values = np.empty((last - first, channels), np.float32)

        def work(hit: slice, first: int = first, values: np.ndarray = values) -> None:
            values[hit] = evaluate(slice(first + hit.start, first + hit.stop))

        def average(rows: slice, top: int = top, first: int = first, values: np.ndarray = values) -> None:
            start, stop = int(starts[top + rows.start]), int(starts[top + rows.stop])
            part = means[top + rows.start : top + rows.stop]
            kernels.row_means(
                values[start - first : stop - first], hits.index[start:stop], part, top + rows.start, fine
            )

        part = PartialRun(run, first / max(count, 1), last / max(count, 1))
        over_blocks(work, last - first, block, partial(part.checkpoint, note=note))
        over_blocks(average, end - top, ROWS)
        top = end
    return means


def interpolated(
    corners: Float32[np.ndarray, "faces 3 channels"],
    faces: Int32[np.ndarray, "texels"],
    weights: Float32[np.ndarray, "texels 2"],
) -> Float32[np.ndarray, "texels channels"]:
    """Values at places, from the values at the corners of every face."""
    if corners.shape[2] == 3 and corners.dtype == np.float32:
        return texel_kernels().interpolated(corners, Places(faces=faces, weights=weights))
    chosen = corners[faces]
    first = chosen[:, 0]
    return first + weights[:, :1] * (chosen[:, 1] - first) + weights[:, 1:] * (chosen[:, 2] - first)
