"""From a coarse answer of a network to a matte whose soft edge follows the photo.

Away from the edge the network is believed. In the band around it each pixel is compared with the subject's and the
background's colours nearby, which decides where these differ clearly (a plain background, for one), and the network
decides where they do not; a guided filter makes both follow the edges of the photo.
"""

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy import ndimage

from bridge_server.backends.matting.plain_background import with_backdrop
from bridge_server.run import Run
from bridge_server.values.pixels import continue_colors, resize

WORKING_PX = 1024
"""Edges are sought at this size; a larger photo gets its matte enlarged from it."""
BAND = 2.5 / 320
"""Half width of the band that is sought, as a share of the longer edge: what one network pixel may be off."""
COLOR_NOISE = 0.06
"""Distance of subject and background colour at which colour and network are believed alike."""
SPREAD_WEIGHT = 15.0
"""How much texture on either side of the edge counts against the colours."""
MISFIT_WEIGHT = 4.0
SMOOTHNESS = 1e-4


def refine_matte(
    pixels: UInt8[np.ndarray, "height width 3"], coarse: Float32[np.ndarray, "rows columns"], run: Run
) -> Float32[np.ndarray, "height width"]:
    """Opacity at the size of the photo, 0 to 1."""
    height, width = pixels.shape[:2]
    scale = min(1.0, WORKING_PX / max(height, width))
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    photo = resize(pixels.astype(np.float32) / 255.0, h, w)
    network = resize(coarse[..., None], h, w)[..., 0]
    network = with_backdrop(photo, network)
    radius = max(2, round(BAND * max(h, w)))
    inside, outside = _sure(network > 0.9, radius), _sure(network < 0.1, radius)
    if not inside.any() or not outside.any():
        return np.clip(resize(network[..., None], height, width)[..., 0], 0.0, 1.0)
    run.checkpoint(0.2, "following its edges")
    by_color, trust = _by_color(photo, inside, outside, float(radius))
    run.checkpoint(0.5, "following its edges")
    prior = np.clip((network - 0.1) / 0.8, 0.0, 1.0)
    mixed = np.where(inside, 1.0, np.where(outside, 0.0, trust * by_color + (1.0 - trust) * prior))
    smooth = guided_filter(photo, mixed.astype(np.float32), radius, SMOOTHNESS)
    run.checkpoint(0.9, "following its edges")
    sharp = np.clip((smooth - 0.08) / 0.84, 0.0, 1.0)
    matte = np.where(inside, 1.0, np.where(outside, 0.0, sharp)).astype(np.float32)
    return np.clip(resize(matte[..., None], height, width)[..., 0], 0.0, 1.0)


def _sure(mask: Bool[np.ndarray, "h w"], radius: int) -> Bool[np.ndarray, "h w"]:
    """What stays of the mask after its border, but not the frame of the photo, moves inwards by the radius."""
    return np.asarray(ndimage.distance_transform_edt(np.pad(mask, 1, "edge"))[1:-1, 1:-1] > radius)


def _by_color(
    photo: Float32[np.ndarray, "h w 3"], inside: Bool[np.ndarray, "h w"], outside: Bool[np.ndarray, "h w"], reach: float
) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
    """Opacity by where each colour lies between the subject's and the background's nearby, and how far to trust it."""
    subject, subject_spread = _nearby(photo, inside, reach)
    ground, ground_spread = _nearby(photo, outside, reach)
    across = subject - ground
    contrast = np.einsum("hwc,hwc->hw", across, across)
    along = np.einsum("hwc,hwc->hw", photo - ground, across) / np.maximum(contrast, 1e-6)
    off = photo - ground - along[..., None] * across
    misfit = np.einsum("hwc,hwc->hw", off, off)
    doubt = COLOR_NOISE**2 + SPREAD_WEIGHT * (subject_spread + ground_spread) + MISFIT_WEIGHT * misfit
    return np.clip(along, 0.0, 1.0), contrast / (contrast + doubt)


def _nearby(
    photo: Float32[np.ndarray, "h w 3"], known: Bool[np.ndarray, "h w"], reach: float
) -> tuple[Float32[np.ndarray, "h w 3"], Float32[np.ndarray, "h w"]]:
    """Mean colour of the known pixels around each place, and how far they scatter about it (variance)."""
    size = 2 * round(1.5 * reach) + 1

    def local(plane: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        return np.asarray(ndimage.uniform_filter(ndimage.uniform_filter(plane, size), size))

    mass = local(known.astype(np.float32))
    sums = [local(photo[..., c] * known) for c in range(3)]
    squares = local(np.einsum("hwc,hwc->hw", photo, photo) * known)
    safe = np.maximum(mass, 1e-4)[..., None]
    mean = np.stack(sums, axis=-1) / safe
    variance = np.maximum(squares / safe[..., 0] - np.einsum("hwc,hwc->hw", mean, mean), 0.0)
    both = continue_colors(np.concatenate([mean, variance[..., None]], -1), np.clip(mass * 20.0 - 0.2, 0.0, 1.0))
    return both[..., :3], both[..., 3]


def guided_filter(
    guide: Float32[np.ndarray, "h w 3"], signal: Float32[np.ndarray, "h w"], radius: int, smoothness: float
) -> Float32[np.ndarray, "h w"]:
    """The signal as a locally linear function of a colour guide (He, Sun, Tang, "Guided Image Filtering", 2010)."""
    size = 2 * radius + 1

    def box(plane: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
        return np.asarray(ndimage.uniform_filter(plane, size, mode="nearest"))

    centred = guide.astype(np.float64) - 0.5
    means = np.stack([box(centred[..., c]) for c in range(3)], axis=-1)
    signal_mean = box(signal.astype(np.float64))
    covariance = np.empty((*signal.shape, 3, 3))
    for row in range(3):
        for column in range(row, 3):
            both = box(centred[..., row] * centred[..., column]) - means[..., row] * means[..., column]
            covariance[..., row, column] = covariance[..., column, row] = both
        covariance[..., row, row] += smoothness
    cross = np.stack([box(centred[..., c] * signal) for c in range(3)], -1) - means * signal_mean[..., None]
    slope = np.linalg.solve(covariance, cross[..., None])[..., 0]
    offset = signal_mean - np.einsum("hwc,hwc->hw", slope, means)
    slopes = np.stack([box(slope[..., c]) for c in range(3)], axis=-1)
    return np.asarray(np.einsum("hwc,hwc->hw", slopes, centred) + box(offset), np.float32)
