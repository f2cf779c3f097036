"""Where the asset's origin lies and how large it is; applied at export, never baked into the working meshes."""

import enum
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from bridge_server.values.base import Value


class Pivot(enum.StrEnum):
    """Which point of the bounding box becomes the origin."""

    BOTTOM_CENTER = "bottom_center"
    CENTER = "center"
    CUSTOM = "custom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement(Value):
    """Uniform scale, then translation: placed = position * scale + translation."""

    scale: float
    translation_m: tuple[float, float, float]
    pivot: Pivot
    height_cm: float
    """Height of the placed asset along Y."""

    def apply(self, positions_m: Float32[np.ndarray, "points 3"]) -> Float32[np.ndarray, "points 3"]:
        """Positions as the exported asset has them, still in metres and Y up."""
        placed = positions_m.astype(np.float64) * self.scale + np.asarray(self.translation_m)
        return placed.astype(np.float32)
