"""Placing rectangles in a square: the skyline method, bottom-left first (Jylänki 2010, "A thousand ways to pack")."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64


@dataclass(frozen=True, slots=True)
class Placed:
    """Where each rectangle went."""

    corners_px: Int64[np.ndarray, "rectangles 2"]
    """Left and top."""
    turned: Bool[np.ndarray, "rectangles"]
    """True where width and height changed places."""


def pack_rectangles(sizes_px: Int64[np.ndarray, "rectangles 2"], size_px: int) -> Placed | None:
    """Pack without overlap, tallest first; None where they do not fit."""
    short, long = sizes_px.min(axis=1), sizes_px.max(axis=1)
    if len(sizes_px) and (long.max() > size_px or int((short * long).sum()) > size_px * size_px):
        return None
    corners = np.zeros((len(sizes_px), 2), np.int64)
    turned = np.zeros(len(sizes_px), np.bool_)
    skyline = np.zeros(size_px, np.int64)
    for index in np.lexsort((np.arange(len(long)), -short, -long)):
        width, height = int(sizes_px[index, 0]), int(sizes_px[index, 1])
        options = [(False, width, height)] if width == height else [(False, width, height), (True, height, width)]
        best: tuple[int, int, bool] | None = None
        for turn, across, down in options:
            top = _running_maximum(skyline, across)
            place = int(np.argmin(top))
            if top[place] + down <= size_px and (best is None or top[place] + down < best[0]):
                best = (int(top[place] + down), place, turn)
        if best is None:
            return None
        bottom, left, turn = best
        across, down = (height, width) if turn else (width, height)
        corners[index], turned[index] = (left, bottom - down), turn
        skyline[left : left + across] = bottom
    return Placed(corners_px=corners, turned=turned)


def _running_maximum(values: Int64[np.ndarray, "n"], window: int) -> Int64[np.ndarray, "places"]:
    """Greatest value in every run of ``window`` neighbours."""
    result, reach = values, 1
    while reach < window:
        step = min(reach, window - reach)
        result = np.maximum(result[:-step], result[step:])
        reach += step
    return result
