"""The one space that everything inside lives in, and the constants that leave it.

Metres, right-handed, Y up; the asset faces +Z (as glTF has it), so its left side is +X and its right side -X.
Triangles wind counter-clockwise seen from outside. Normal maps are OpenGL (green up).
Texture coordinates have their origin at the top left of the image, V down, as glTF has it; the first row of
a pixel array is the top of the image.
Centimetres, Z up, left-handed axes and DirectX green are applied by ``export`` alone.
"""

import numpy as np
from jaxtyping import Float32

CENTIMETRES_PER_METRE = 100.0

FORWARD = (0.0, 0.0, 1.0)
UP = (0.0, 1.0, 0.0)


def to_unreal_cm(points_m: Float32[np.ndarray, "points 3"]) -> Float32[np.ndarray, "points 3"]:
    """Map internal metres (Y up, right-handed) to Unreal centimetres (Z up, left-handed).

    Unreal's glTF translator maps (x, y, z) metres to (x, z, y) * 100 centimetres, which mirrors the handedness.
    """
    return np.ascontiguousarray(points_m[:, [0, 2, 1]] * np.float32(CENTIMETRES_PER_METRE), dtype=np.float32)
