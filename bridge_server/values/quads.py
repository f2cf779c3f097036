"""Which triangles of an unwrapped mesh are two halves of a quad, for files that can hold quads."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int32

from bridge_server.values.base import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class QuadLayout(Value):
    """Quads over the vertices of an ``UnwrappedMesh``; its triangles stay what is baked, drawn and counted."""

    faces: Int32[np.ndarray, "quads 2"]
    """The two triangles of each quad, ordered by the first; no triangle lies in two quads."""
    corners: Int32[np.ndarray, "quads 4"]
    """Vertices around each quad, wound as its triangles; these meet along the diagonal from corner 0 to corner 2."""
    triangle_share: float
    """Share of all triangles that lie in quads."""
    angle_deviation_deg: float
    """How far corners of quads are from a right angle, mean of all; 0 where there is none."""
