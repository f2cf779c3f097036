"""What a plain background tells: everything that differs from it and hangs together with the subject is subject.

The network sees 320 px and loses antennas and handles; before a studio backdrop or a clear sky the colours alone
show them. Soft shadows differ from the backdrop too, but only in brightness and without an edge.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy import ndimage

BORDER = 0.04
"""Width of the frame that the backdrop is learned from, as a share of the shorter edge."""
PLAIN_SCATTER = 0.025
"""Root mean square distance from a smooth backdrop, in sRGB, up to which it counts as plain."""
LEAST_BORDER = 0.5
"""Share of the frame that must be background."""
EDGE_SHARPNESS = 0.18
"""Share of its contrast by which a shape of the backdrop's own hue must change from one pixel to the next."""


def backdrop_of(
    photo: Float32[np.ndarray, "h w 3"], network: Float32[np.ndarray, "h w"]
) -> tuple[Float64[np.ndarray, "h w 3"], float] | None:
    """The backdrop's colour at each pixel and how far it scatters, or None where the background is not plain.

    A quadratic in place for each channel, fitted to the frame, twice: the second time without outliers.
    """
    height, width = network.shape
    edge = max(2, round(BORDER * min(height, width)))
    frame = np.ones((height, width), bool)
    frame[edge:-edge, edge:-edge] = False
    rows, columns = np.nonzero(frame & (network < 0.1))
    if len(rows) < LEAST_BORDER * np.count_nonzero(frame):
        return None
    thinned = slice(None, None, 1 + len(rows) // 20_000)
    rows, columns = rows[thinned], columns[thinned]
    places, colors = _terms(rows / height, columns / width), photo[rows, columns].astype(np.float64)
    kept = np.ones(len(rows), bool)
    for _ in range(2):
        shape = np.linalg.lstsq(places[kept], colors[kept], rcond=None)[0]
        off = np.linalg.norm(colors - places @ shape, axis=1)
        kept = off <= max(3.0 * float(np.median(off)), 0.01)
    scatter = float(np.sqrt((off[kept] ** 2).mean()))
    if scatter > PLAIN_SCATTER or kept.mean() < 0.9:
        return None
    y, x = np.mgrid[:height, :width]
    return _terms((y / height).ravel(), (x / width).ravel()).dot(shape).reshape(height, width, 3), scatter


def _terms(y: Float64[np.ndarray, "n"], x: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n 6"]:
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def with_backdrop(
    photo: Float32[np.ndarray, "h w 3"], network: Float32[np.ndarray, "h w"]
) -> Float32[np.ndarray, "h w"]:
    """The network's answer corrected by a plain backdrop; unchanged where there is none."""
    found = backdrop_of(photo, network)
    if found is None:
        return network
    backdrop, scatter = found
    difference = np.linalg.norm(photo - backdrop, axis=-1)
    limit = max(0.06, 4.0 * scatter)
    different = ndimage.binary_opening(difference > limit, np.ones((2, 2)))
    shaded = _shade_of(photo, backdrop, difference) & (network < 0.5)
    backdrop_alone = ~different & (network < 0.5)
    different &= ~(shaded & ~_sharp(photo, shaded & different, backdrop_alone, difference))
    parts, _ = ndimage.label(different | (network > 0.5))
    touched = np.unique(parts[network > 0.5])
    subject = different & np.isin(parts, touched[touched > 0])
    certain = np.where(subject, np.maximum(network, 1.0), network)
    return np.where((difference < 0.5 * limit) & (network < 0.9), 0.0, certain).astype(np.float32)


def _shade_of(
    photo: Float32[np.ndarray, "h w 3"],
    backdrop: Float64[np.ndarray, "h w 3"],
    difference: Float64[np.ndarray, "h w"],
) -> Bool[np.ndarray, "h w"]:
    """Where the photo is the backdrop's own colour, only darker."""
    share = np.einsum("hwc,hwc->hw", photo, backdrop) / np.maximum(np.einsum("hwc,hwc->hw", backdrop, backdrop), 1e-6)
    hue = np.linalg.norm(photo - share[..., None] * backdrop, axis=-1)
    return (share > 0.3) & (share < 1.0) & (hue < np.maximum(0.03, 0.25 * difference))


def _sharp(
    photo: Float32[np.ndarray, "h w 3"],
    candidates: Bool[np.ndarray, "h w"],
    outside: Bool[np.ndarray, "h w"],
    difference: Float64[np.ndarray, "h w"],
) -> Bool[np.ndarray, "h w"]:
    """Those connected shapes whose border towards the backdrop is an edge rather than a gradient."""
    parts, count = ndimage.label(candidates)
    if count == 0:
        return candidates
    luma = photo.mean(axis=-1)
    steep = np.hypot(ndimage.sobel(luma, 0), ndimage.sobel(luma, 1)) / 8.0 * np.sqrt(3.0)
    border = candidates & ndimage.binary_dilation(outside)
    labels = parts[border]
    steepness = np.bincount(labels, ndimage.maximum_filter(steep, 3)[border], count + 1).astype(np.float64)
    steepness /= np.maximum(np.bincount(labels, minlength=count + 1), 1)
    contrast = np.bincount(parts.ravel(), difference.ravel(), count + 1).astype(np.float64)
    contrast /= np.maximum(np.bincount(parts.ravel(), minlength=count + 1), 1)
    return np.asarray((steepness > EDGE_SHARPNESS * contrast)[parts] & candidates)
