"""What every ray caster demands of its input."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int32

from bridge_server.errors import InputError


@dataclass(frozen=True, slots=True)
class PreparedRays:
    """Rays of unit direction."""

    origins_m: Float32[np.ndarray, "rays 3"]
    directions: Float32[np.ndarray, "rays 3"]
    usable: Bool[np.ndarray, "rays"]
    """False where an origin is not finite or a direction is zero or not finite; such a ray hits nothing."""


def prepared_rays(origins_m: Float32[np.ndarray, "rays 3"], directions: Float32[np.ndarray, "rays 3"]) -> PreparedRays:
    """Normalise directions, so that distances are metres, and replace rays that cannot be cast."""
    origins = np.ascontiguousarray(origins_m, dtype=np.float32)
    squared = np.einsum("ij,ij->i", directions, directions, dtype=np.float64)
    usable = np.isfinite(origins).all(axis=1) & np.isfinite(squared) & (squared > 0.0)
    length = np.sqrt(np.where(usable, squared, 1.0))
    if not usable.all():
        origins = np.where(usable[:, None], origins, np.float32(0.0))
        directions = np.where(usable[:, None], directions, np.array([0.0, 1.0, 0.0], np.float32))
    unit = (directions / length[:, None]).astype(np.float32)
    return PreparedRays(origins_m=origins, directions=unit, usable=usable)


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
