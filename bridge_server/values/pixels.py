"""Operations on plain pixel arrays that more than one place needs: continuing colours, and resampling."""

import numpy as np
from jaxtyping import Float32


def continue_colors(
    colors: Float32[np.ndarray, "height width channels"], weights: Float32[np.ndarray, "height width"]
) -> Float32[np.ndarray, "height width channels"]:
    """Carry the colours of trusted pixels smoothly into those without trust.

    ``weights`` is the trust, 0 to 1; pixels of weight 1 come back unchanged. Pull-push (Gortler et al., "The
    Lumigraph", 1996): weighted means down a pyramid, then missing weight filled from the coarser level. Where
    nothing at all is trusted the result is the plain mean.
    """
    height, width = weights.shape
    if not weights.any():
        return np.broadcast_to(colors.mean((0, 1), dtype=np.float64), colors.shape).astype(np.float32)
    if height <= 2 and width <= 2:
        mean = (colors * weights[..., None]).sum((0, 1)) / weights.sum()
        coarse = np.broadcast_to(mean.astype(np.float32), colors.shape)
    else:
        sums = _halve(colors * weights[..., None])
        mass = _halve(weights[..., None])
        means = np.divide(sums, mass, out=np.zeros_like(sums), where=mass > 1e-6)
        coarse = resize(continue_colors(means, np.minimum(mass[..., 0] * 4.0, 1.0)), height, width)
    trust = weights[..., None]
    return np.asarray(colors * trust + coarse * (1.0 - trust), np.float32)


def _halve(image: Float32[np.ndarray, "height width channels"]) -> Float32[np.ndarray, "half_h half_w channels"]:
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)))
    return 0.25 * (padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2])


def resize(
    image: Float32[np.ndarray, "height width channels"], height: int, width: int
) -> Float32[np.ndarray, "new_height new_width channels"]:
    """Resample with a triangle filter as wide as the reduction, so that small sizes are means and large ones smooth."""
    from PIL import Image

    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize((width, height), Image.Resampling.BILINEAR))
        for plane in np.moveaxis(np.asarray(image, np.float32), -1, 0)
    ]
    return np.stack(planes, axis=-1)
