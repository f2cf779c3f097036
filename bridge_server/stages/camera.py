"""A perspective camera that frames an asset, and the rays through its pixels."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

FIELD_OF_VIEW_DEG = 26.0
"""Long lens: little perspective, as product photographers like it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Camera:
    """Rows of ``axes`` are right, up and backward; the picture is square."""

    eye_m: Float64[np.ndarray, "3"]
    axes: Float64[np.ndarray, "3 3"]
    tangent: float
    """Half the picture's edge at distance 1."""

    def project(self, points_m: Float64[np.ndarray, "points 3"]) -> Float64[np.ndarray, "points 2"]:
        """Picture coordinates, -1 to 1, x right and y up; points behind the eye are meaningless."""
        local = (points_m - self.eye_m) @ self.axes.T
        return local[:, :2] / (-local[:, 2:] * self.tangent)

    def directions(
        self, x: Float32[np.ndarray, "rays"], y: Float32[np.ndarray, "rays"]
    ) -> Float32[np.ndarray, "rays 3"]:
        """Unit directions through picture coordinates, in "F" order."""
        right, up, back = self.axes.astype(np.float32)
        tangent = np.float32(self.tangent)
        along, above = x * tangent, y * tangent
        shorter = 1.0 / np.sqrt(along * along + above * above + np.float32(1.0))
        rays = np.empty((len(x), 3), np.float32, order="F")
        for number in range(3):
            rays[:, number] = (along * right[number] + above * up[number] - back[number]) * shorter
        return rays


def view_axes(azimuth_deg: float, elevation_deg: float) -> Float64[np.ndarray, "3 3"]:
    """Right, up and backward of a viewer who stands ``azimuth_deg`` from +Z towards +X and looks at the origin."""
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    right = np.array([math.cos(azimuth), 0.0, -math.sin(azimuth)])
    back = np.array(
        [math.cos(elevation) * math.sin(azimuth), math.sin(elevation), math.cos(elevation) * math.cos(azimuth)]
    )
    return np.stack([right, np.cross(back, right), back])


def framing_camera(
    points_m: Float32[np.ndarray, "points 3"], azimuth_deg: float, elevation_deg: float, fill: float = 0.78
) -> Camera:
    """The nearest camera that keeps all points within ``fill`` of the picture, centred."""
    axes = view_axes(azimuth_deg, elevation_deg)
    tangent = math.tan(math.radians(FIELD_OF_VIEW_DEG) / 2.0)
    slope = tangent * fill
    local = points_m.astype(np.float64) @ axes.T
    # A point (x, z) is inside while |x - centre| <= (eye - z) * slope: two half-planes a side, tight where they meet.
    right = (local[:, :2] + local[:, 2:] * slope).max(axis=0)
    left = (-local[:, :2] + local[:, 2:] * slope).max(axis=0)
    center = (right - left) / 2.0
    eye = float(((right + left) / 2.0 / slope).max())
    nearest = float(local[:, 2].max())
    eye = max(eye, nearest + 1e-6 + 1e-3 * abs(nearest - float(local[:, 2].min())))
    loose = int((right + left).argmin())
    depth = eye - local[:, 2]
    for _ in range(8):  # the axis with room to spare is balanced at the distance that the other one asked for
        seen = (local[:, loose] - center[loose]) / depth
        center[loose] += float(seen.min() + seen.max()) / 2.0 * float(depth.min())
    return Camera(eye_m=np.array([*center, eye]) @ axes, axes=axes, tangent=tangent)


def turntable_hull(points_m: Float32[np.ndarray, "points 3"], turns: int = 24) -> Float32[np.ndarray, "rings 3"]:
    """Rings around the vertical axis through the points' centre that hold every turn of them.

    Framing these instead of the points keeps the camera's distance the same all the way round.
    """
    low, high = points_m.min(axis=0), points_m.max(axis=0)
    center = (low + high) / 2.0
    around = points_m - center
    radius = np.hypot(around[:, 0], around[:, 2])
    heights = np.linspace(low[1], high[1], 13)
    band = np.clip(np.searchsorted(heights, points_m[:, 1], side="right") - 1, 0, 11)
    widest = np.zeros(12)
    np.maximum.at(widest, band, radius)
    angle = np.arange(turns) * (2.0 * math.pi / turns)
    rings = [
        np.stack([center[0] + wide * np.cos(angle), np.full(turns, level), center[2] + wide * np.sin(angle)], axis=1)
        for wide, below, above in zip(widest, heights[:-1], heights[1:], strict=True)
        for level in (below, above)
    ]
    return np.concatenate(rings).astype(np.float32)
