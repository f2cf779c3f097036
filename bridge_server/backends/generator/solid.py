"""Solids from outlines, as volumes of about signed distance (positive inside, in cells) indexed ``[x, y, z]``."""

import numpy as np
from jaxtyping import Float32, Float64
from scipy import ndimage

from bridge_server.backends.generator.inflation import Inflation


def inflated(
    inflation: Inflation, relief: Float64[np.ndarray, "across up"], margin: int
) -> Float32[np.ndarray, "across up depth"]:
    """The solid between +h and -h of one outline; ``relief`` raises the front by that share of h.

    ``margin`` nodes stay free before and behind it.
    """
    square = inflation.square.astype(np.float64)
    half = np.sqrt(np.maximum(square, 0.0))
    reach = int(np.ceil((half * (1.0 + np.maximum(relief, 0.0))).max())) + margin
    z = np.arange(-reach, reach + 1, dtype=np.float64)
    raised = (relief * half)[..., None] * (half[..., None] + z)
    return _distance(square[..., None] + raised - z**2)


def crossed(front: Inflation, side: Inflation, exponent: float) -> Float32[np.ndarray, "x y z"]:
    """The solid whose front and side silhouettes are the two outlines, with rounded cross-sections.

    Each horizontal section is the part of the visual hull's rectangle in which the two profiles, each scaled to 1 at
    its thickest in that row, together reach 1: an ellipse for exponent 2, nearly the rectangle for large ones. Both
    silhouettes are kept exactly, and two circles give a sphere.
    """
    profiles, scales = [], []
    for inflation in (front, side):
        square = inflation.square.astype(np.float64)
        tallest = square.max(axis=0)
        scales.append(tallest)
        profiles.append(np.clip(square / np.maximum(tallest, 0.05)[None, :], -4.0, 1.0))
    scale = np.minimum(scales[0], scales[1])
    short = exponent / 2.0
    lack = (1.0 - profiles[0])[:, :, None] ** short + (1.0 - profiles[1].T)[None, :, :] ** short
    amount = 1.0 - lack ** (1.0 / short)
    solid = np.where(scale[None, :, None] > 0.0, amount * np.maximum(scale, 0.05)[None, :, None], scale[None, :, None])
    return _distance(ndimage.gaussian_filter(solid, (0.8, 1.2, 0.8)))


def section_exponent(front: Inflation, side: Inflation) -> float:
    """How square the cross-sections are guessed: from how much of their boxes the two outlines fill.

    Discs fill pi / 4 of theirs and give ellipses; rectangles fill all and give squares with round corners.
    """
    filled = 1.0
    for inflation in (front, side):
        inside = inflation.square > 0.0
        box = np.count_nonzero(inside.any(axis=0)) * np.count_nonzero(inside.any(axis=1))
        filled = min(filled, np.count_nonzero(inside) / box)
    return float(2.0 + 3.0 * np.clip((filled - 0.82) / 0.15, 0.0, 1.0))


def _distance(values: Float64[np.ndarray, "x y z"]) -> Float32[np.ndarray, "x y z"]:
    """Divide by the slope, so that the values near zero are distances in cells."""
    values = values.astype(np.float32)
    slope = np.full(values.shape, 0.25, np.float32)
    for axis in range(3):
        slope += np.gradient(values, axis=axis) ** 2
    return np.asarray(values / np.sqrt(slope), np.float32)


def silhouette(volume: Float32[np.ndarray, "x y z"], axis: int) -> Float32[np.ndarray, "across up"]:
    """Level of the outline that the solid shows along an axis (0 is X, 2 is Z), indexed ``[across, up]``."""
    seen = volume.max(axis=axis)
    return seen if axis == 2 else np.ascontiguousarray(seen.T)
