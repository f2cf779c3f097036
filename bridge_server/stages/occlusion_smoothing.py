"""Denoising and enlarging a map by the shape of the surface that it lies on; nothing crosses from chart to chart."""

import math
from functools import partial

import numpy as np
from jaxtyping import Bool, Float32

from bridge_server.backends.texels.base import SurfaceMap, texel_kernels
from bridge_server.blocks import over_blocks
from bridge_server.run import PartialRun, Run

ROWS = 32
"""Rows of a map that a thread takes at a time."""


def denoised(
    values: Float32[np.ndarray, "size size"], surface: SurfaceMap, *, rounds: int, samples: int, run: Run
) -> Float32[np.ndarray, "size size"]:
    """Edge-avoiding à-trous filter (Dammertz et al. 2010) with a 5 x 5 kernel whose holes double each round.

    A share estimated from independent samples has a standard deviation of at most ``0.5 / sqrt(samples)``. Values that
    differ by more than that differ by shape and not by chance, and are kept apart.
    """
    kernels, spread = texel_kernels(), 0.5 / math.sqrt(samples)
    for level in range(rounds):
        result, before = np.empty_like(values), values

        def smooth(rows: slice, level: int = level, before: np.ndarray = before, result: np.ndarray = result) -> None:
            result[rows] = kernels.smoothed(before, surface, 1 << level, spread, rows)

        part = PartialRun(run, level / rounds, (level + 1) / rounds)
        over_blocks(smooth, len(values), ROWS, partial(part.checkpoint, note="denoising"))
        values = result
    return values


def enlarged(
    values: Float32[np.ndarray, "small small"], small: SurfaceMap, large: SurfaceMap, factor: int
) -> Float32[np.ndarray, "size size"]:
    """Joint bilateral upsampling (Kopf et al. 2007): the four coarse texels around, of the same chart and facing."""
    kernels, size = texel_kernels(), len(large.charts)
    result = np.empty((size, size), np.float32)

    def enlarge(rows: slice) -> None:
        result[rows] = kernels.enlarged(values, small, large, factor, rows)

    over_blocks(enlarge, size, ROWS)
    _fill_lost(result, large.charts >= 0)
    return result


def _fill_lost(result: Float32[np.ndarray, "size size"], covered: Bool[np.ndarray, "size size"]) -> None:
    """Open where there is no chart; texels that no coarse texel served take the value of the nearest that was."""
    served = covered & ~np.isnan(result)
    result[~covered] = 1.0
    lost = np.argwhere(covered & ~served)
    if len(lost) == 0:
        return
    places = np.argwhere(served)
    if len(places) == 0:
        result[covered] = 1.0
        return
    from scipy.spatial import cKDTree

    nearest = places[cKDTree(places).query(lost)[1]]
    result[lost[:, 0], lost[:, 1]] = result[nearest[:, 0], nearest[:, 1]]
