"""Texture images of mesh files, decoded to bytes."""

import io

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

MAX_EDGE_PX = 16384


def decoded_image(data: bytes) -> UInt8[np.ndarray, "height width channels"]:
    """RGB, or RGBA where the image has transparency; 16-bit grey is brought to 8 bits.

    Raises ``ValueError`` saying why where it cannot be decoded or is absurdly large.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if max(image.size) > MAX_EDGE_PX:
                raise ValueError(f"it is {image.width} x {image.height} pixels, over {MAX_EDGE_PX} an edge")
            if image.mode.startswith("I;16") or image.mode == "I":
                grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
                return np.repeat(grey[:, :, None], 3, axis=2)
            has_alpha = image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info
            return np.array(image.convert("RGBA" if has_alpha else "RGB"))
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError) as error:
        raise ValueError(f"it cannot be decoded ({type(error).__name__})") from error
