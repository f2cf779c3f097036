"""Numbers to texels: 8 or 16 bits, plain or dithered."""

import numpy as np
from jaxtyping import Float32, UInt8, UInt16

from bridge_server.stages.occlusion import ROBERTS

BYTE, WORD = 255, 65535


def whole_numbers(
    unit: Float32[np.ndarray, "height width channels"], bits: int, dither: bool = False
) -> UInt8[np.ndarray, "height width channels"] | UInt16[np.ndarray, "height width channels"]:
    """Values from 0 to 1 at 8 or 16 bits, rounded to the nearest; what lies outside is clipped.

    ``dither`` decides between the two neighbours by a threshold from a low-discrepancy sequence over the map
    (Roberts 2018), so that means over a few texels keep what a single one cannot hold. It is for 8 bits.
    """
    full = BYTE if bits == 8 else WORD
    scaled = np.clip(np.nan_to_num(unit), 0.0, 1.0) * np.float32(full)
    threshold: np.ndarray | float = 0.5
    if dither:
        height, width, channels = unit.shape
        row, column = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
        shift = np.arange(channels) / max(channels, 1)
        threshold = (row * ROBERTS[0] + column * ROBERTS[1] + shift) % 1.0
    whole = np.minimum(np.floor(scaled + threshold), full)
    return whole.astype(np.uint8 if bits == 8 else np.uint16)


def direction_texels(
    words: UInt16[np.ndarray, "height width 3"], bits: int, directx: bool = False, dither: bool = False
) -> UInt8[np.ndarray, "height width 3"] | UInt16[np.ndarray, "height width 3"]:
    """16-bit directions with green up, at the wished depth and with the wished green."""
    unit = words.astype(np.float32) / np.float32(WORD)
    if directx:
        unit[:, :, 1] = 1.0 - unit[:, :, 1]
    return whole_numbers(unit, bits, dither and bits == 8)
