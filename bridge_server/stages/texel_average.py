"""Averages of what is sampled at sub-texels, and the surface they lie on."""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.blocks import BLOCK, over_blocks
from bridge_server.run import PartialRun, Run
from bridge_server.stages.gutter import texel_of
from bridge_server.values.texture import TexelHits


def texel_means(
    hits: TexelHits,
    channels: int,
    evaluate: Callable[[slice], Float32[np.ndarray, "texels channels"]],
    run: Run,
    note: str,
    *,
    block: int = BLOCK,
) -> Float32[np.ndarray, "size size channels"]:
    """Mean over the covered sub-texels of each texel; 0 where there is none.

    ``evaluate`` gives the values of a range of hits; it is called from several threads. Sums are taken in the order
    of the hits whatever the threads do, so results do not depend on them. ``block`` is how many hits are evaluated
    at once; where each takes many rays, fewer bound the memory and the wait for a cancellation.
    """
    size, count = hits.resolution_px, len(hits.index)
    sums = np.zeros((size * size, channels))
    covered = np.zeros(size * size)
    chunk = BLOCK * 16
    for start in range(0, count, chunk):
        stop = min(start + chunk, count)
        values = np.empty((stop - start, channels), np.float32)

        def work(block: slice, start: int = start, values: np.ndarray = values) -> None:
            values[block] = evaluate(slice(start + block.start, start + block.stop))

        part = PartialRun(run, start / count, stop / count)
        over_blocks(work, stop - start, block, partial(part.checkpoint, note=note))
        texel = texel_of(hits, slice(start, stop))
        low = int(texel.min())
        length = int(texel.max()) - low + 1
        covered[low : low + length] += np.bincount(texel - low, minlength=length)
        for channel in range(channels):
            sums[low : low + length, channel] += np.bincount(texel - low, values[:, channel], minlength=length)
    return (sums / np.maximum(covered, 1.0)[:, None]).reshape(size, size, channels).astype(np.float32)


def interpolated(
    corners: Float32[np.ndarray, "faces 3 channels"],
    faces: Int32[np.ndarray, "texels"],
    weights: Float32[np.ndarray, "texels 2"],
) -> Float32[np.ndarray, "texels channels"]:
    """Values at places, from the values at the corners of every face."""
    chosen = corners[faces]
    first = chosen[:, 0]
    return first + weights[:, :1] * (chosen[:, 1] - first) + weights[:, 1:] * (chosen[:, 2] - first)
