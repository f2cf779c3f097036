"""Frames about directions."""

import numpy as np
from jaxtyping import Float32, Float64


def turned_frames(
    normals: Float32[np.ndarray, "points 3"], turn: Float64[np.ndarray, "points"]
) -> tuple[Float32[np.ndarray, "points 3"], Float32[np.ndarray, "points 3"]]:
    """Two unit vectors perpendicular to each normal (Duff et al. 2017), turned about it by an angle in radians."""
    x, y, z = normals.astype(np.float64).T
    sign = np.where(z < 0.0, -1.0, 1.0)
    a = -1.0 / (sign + z)
    b = x * y * a
    one = np.stack([1.0 + sign * x * x * a, sign * b, -sign * x], axis=1)
    two = np.stack([b, sign + y * y * a, -y], axis=1)
    cosine, sine = np.cos(turn)[:, None], np.sin(turn)[:, None]
    return (cosine * one + sine * two).astype(np.float32), (cosine * two - sine * one).astype(np.float32)
