"""Averages of what is sampled at sub-texels, and the surface they lie on."""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.backends.texels.base import Places, texel_kernels
from bridge_server.blocks import BLOCK, over_blocks
from bridge_server.run import Run
from bridge_server.values.texture import TexelHits


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
    starts = np.searchsorted(hits.index, np.arange(size + 1) * (size * fine * fine))
    kernels = texel_kernels()

    def work(rows: slice) -> None:
        first, last = int(starts[rows.start]), int(starts[rows.stop])
        values = np.empty((last - first, channels), np.float32)
        for start in range(first, last, block):
            stop = min(start + block, last)
            values[start - first : stop - first] = evaluate(slice(start, stop))
        kernels.row_means(values, hits.index[first:last], means[rows], rows.start, fine)

    height = max(block * size // max(count, 1), 1)
    over_blocks(work, size, height, partial(run.checkpoint, note=note))
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
