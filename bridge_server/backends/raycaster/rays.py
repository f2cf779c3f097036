"""What every ray caster demands of its input."""

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.errors import InputError


def checked_triangles(
    positions_m: Float32[np.ndarray, "vertices 3"], faces: Int32[np.ndarray, "faces 3"]
) -> tuple[Float32[np.ndarray, "vertices 3"], Int32[np.ndarray, "faces 3"]]:
    """The arrays, contiguous. Raises ``InputError`` where a scene cannot be built of them."""
    if len(faces) == 0:
        raise InputError("a mesh without triangles cannot be hit.", subject="ray caster")
    if faces.min() < 0 or faces.max() >= len(positions_m):
        raise InputError("a face names a vertex that does not exist.", subject="ray caster")
    if not np.isfinite(positions_m).all():
        raise InputError("a vertex is not finite.", subject="ray caster", remedy="Repair the mesh first.")
    return np.ascontiguousarray(positions_m, np.float32), np.ascontiguousarray(faces, np.int32)


def checked_points(points_m: Float32[np.ndarray, "points 3"]) -> Float32[np.ndarray, "points 3"]:
    """The points, contiguous. Raises ``InputError`` where one is not finite."""
    if not np.isfinite(points_m).all():
        raise InputError("a point is not finite.", subject="ray caster")
    return np.ascontiguousarray(points_m, dtype=np.float32)
