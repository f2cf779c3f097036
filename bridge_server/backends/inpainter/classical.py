"""Filling holes with the smoothest surface that meets their rim: no model, no texture, no invention of detail."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8

from bridge_server.backends.table import Availability
from bridge_server.run import Run

SWEEPS = 24
"""Smoothing sweeps on each level of the pyramid."""
NOTHING_KNOWN = 128


@dataclass(frozen=True, slots=True)
class ClassicalInpainter:
    """Solves Laplace's equation over the holes, from a coarse copy of the image to a fine one."""

    @property
    def identity(self) -> str:
        """Raised with every change of results."""
        return "classical 1"

    @classmethod
    def availability(cls) -> Availability:
        """Always there."""
        return Availability(available=True, detail="smooth fill, NumPy")

    def fill(
        self, pixels: UInt8[np.ndarray, "height width 3"], missing: Bool[np.ndarray, "height width"], run: Run
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The image with the holes filled; grey where nothing at all is known."""
        if not missing.any():
            return pixels
        if missing.all():
            return np.full_like(pixels, NOTHING_KNOWN)
        known = (~missing).astype(np.float32)
        smooth = _filled(pixels.astype(np.float32) * known[:, :, None], known, run)
        filled = np.rint(np.clip(smooth, 0.0, 255.0)).astype(np.uint8)
        return np.where(missing[:, :, None], filled, pixels)


def _filled(
    image: Float32[np.ndarray, "height width 3"], known: Float32[np.ndarray, "height width"], run: Run
) -> Float32[np.ndarray, "height width 3"]:
    """Values where ``known`` is 0: taken from the half-sized image, then smoothed against the pixels around."""
    run.checkpoint(1.0 / max(len(known), 1), "filling holes")
    if min(known.shape) <= 2 or known.all():
        mean = image.sum(axis=(0, 1)) / max(float(known.sum()), 1.0)
        return np.where(known[:, :, None] > 0.0, image, mean)
    sums, counts = _halved(image), _halved(known[:, :, None])
    coarse = _filled(sums / np.maximum(counts, 1.0), (counts[:, :, 0] > 0.0).astype(np.float32), run)
    height, width = known.shape
    guess = coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    result = np.where(known[:, :, None] > 0.0, image, guess)
    rows, columns = np.nonzero(known == 0.0)
    near = [
        np.clip(rows + down, 0, height - 1) * width + np.clip(columns + right, 0, width - 1)
        for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1))
    ]
    flat, hole = result.reshape(-1, 3), rows * width + columns
    for sweep in range(SWEEPS):
        if sweep % 8 == 0:
            run.checkpoint(min(width / 8192.0, 0.95), "filling holes")
        flat[hole] = sum(flat[place] for place in near) * np.float32(0.25)
    return result


def _halved(values: Float32[np.ndarray, "height width channels"]) -> Float32[np.ndarray, "rows columns channels"]:
    """Sums over squares of two by two; an odd edge counts once."""
    height, width, channels = values.shape
    padded = np.pad(values, ((0, height % 2), (0, width % 2), (0, 0)))
    return padded.reshape(len(padded) // 2, 2, -1, 2, channels).sum(axis=(1, 3))
