"""What background removal does after the matte is found: keep the one subject, and clean the colours of its edge."""

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image
from scipy import ndimage

from bridge_server.values.pixels import continue_colors, resize

CRUMB = 0.05
"""A part of less than this share of the subject is dropped without a word."""
FILL_PX = 1024
"""Colours are continued at this size: they are smooth, and photos are large."""


def keep_subject(opacity: Float32[np.ndarray, "height width"]) -> tuple[Float32[np.ndarray, "height width"], float]:
    """The largest connected part with its soft edge, without pinholes; and the share of what else was worth a word."""
    parts, count = ndimage.label(opacity > 0.5)
    if count == 0:
        return np.zeros_like(opacity), 0.0
    areas = np.bincount(parts.ravel())[1:]
    largest = int(areas.argmax()) + 1
    others = float(areas[(areas > CRUMB * areas.max()) & (np.arange(1, count + 1) != largest)].sum())
    soft, _ = ndimage.label(opacity > 0.02)
    reached = np.unique(soft[parts == largest])
    distance = ndimage.distance_transform_edt(parts != largest)
    reach = 2.0 + 0.02 * max(opacity.shape)
    near = np.isin(soft, reached[reached > 0]) & (distance <= reach) & ((parts == 0) | (parts == largest))
    kept = np.where(near, opacity, 0.0)
    holes, count = ndimage.label(kept < 0.5)
    sizes = np.bincount(holes.ravel(), minlength=count + 1)
    tiny = sizes < 2e-4 * areas.max()
    tiny[0] = False
    return np.where(tiny[holes], 1.0, kept).astype(np.float32), others / float(areas.max())


def coverage_of(opacity: Float32[np.ndarray, "height width"]) -> tuple[float, float]:
    """Share of the picture that is more subject than not, and the mean opacity there."""
    inside = opacity > 0.5
    return float(inside.mean()), float(opacity[inside].mean()) if inside.any() else 0.0


def share_of_frame_edge(opacity: UInt8[np.ndarray, "height width"]) -> float:
    """Share of the outermost pixels that belong to the subject."""
    frame = np.concatenate([opacity[0], opacity[-1], opacity[:, 0], opacity[:, -1]])
    return float((frame > 127).mean())


def clean_colors(
    colors: UInt8[np.ndarray, "height width 3"], opacity: UInt8[np.ndarray, "height width"], only_hidden: bool
) -> UInt8[np.ndarray, "height width 3"]:
    """Colours with the background taken out: those of the opaque inside, continued outwards under the soft edge.

    ``only_hidden`` replaces nothing that can be seen, only what lies under an opacity of zero.
    """
    height, width = opacity.shape
    if only_hidden:
        trust = (opacity > 0).astype(np.float32)
    else:
        inner = ndimage.minimum_filter(opacity, 3).astype(np.float32) / 255.0
        trust = np.clip((inner - 0.8) / 0.18, 0.0, 1.0)
    scale = min(1.0, FILL_PX / max(height, width))
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    if scale == 1.0:
        small, small_trust = np.asarray(colors, np.float32), trust
    else:
        masked = resize(np.dstack([colors * trust[..., None], trust]).astype(np.float32), h, w)
        small_trust = masked[..., 3]
        small = np.asarray(masked[..., :3] / np.maximum(small_trust, 1e-4)[..., None], np.float32)
    filled = continue_colors(small, np.clip(small_trust, 0.0, 1.0))
    rounded = np.clip(np.round(filled), 0, 255).astype(np.uint8)
    carried = np.asarray(Image.fromarray(rounded).resize((width, height), Image.Resampling.BILINEAR))
    result = colors.copy()
    rows, columns = np.nonzero(trust < 1.0)
    share = trust[rows, columns, None]
    mixed = colors[rows, columns] * share + carried[rows, columns] * (1.0 - share)
    result[rows, columns] = np.round(mixed).astype(np.uint8)
    return result
