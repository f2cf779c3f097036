"""The shadow that an asset throws on the floor it stands on: a small map of the floor, cast once and blurred."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from bridge_server.stages.environment_light import Environment, key_directions
from bridge_server.stages.render_subject import Subject

PATTERNS = 16
"""Neighbouring cells cast different rays; a blur over 4 x 4 cells joins them (interleaved sampling)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorMap:
    """Share of light that reaches each place of the floor; 1 outside the map."""

    corner_m: tuple[float, float]
    """Lowest X and Z."""
    size_m: tuple[float, float]
    light: Float32[np.ndarray, "rows columns"]
    """Rows run along Z, columns along X."""

    def at(
        self, x_m: Float32[np.ndarray, "points"], z_m: Float32[np.ndarray, "points"]
    ) -> Float32[np.ndarray, "points"]:
        """Bilinear look-up; the border of the map is open floor, so the outside is 1 without a step."""
        rows, columns = self.light.shape
        u = np.clip((x_m - self.corner_m[0]) / self.size_m[0] * columns - 0.5, 0.0, columns - 1.001)
        v = np.clip((z_m - self.corner_m[1]) / self.size_m[1] * rows - 0.5, 0.0, rows - 1.001)
        column, row = u.astype(np.int32), v.astype(np.int32)
        u, v = (u - column).astype(np.float32), (v - row).astype(np.float32)
        flat = self.light.ravel()
        start = row * columns + column
        near = flat[start] * (1 - u) + flat[start + 1] * u
        far = flat[start + columns] * (1 - u) + flat[start + columns + 1] * u
        return near + (far - near) * v


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The floor under a subject, with what its shadow leaves of the light."""

    height_m: float
    key: FloorMap
    openness: FloorMap

    def light(
        self, eye_m: Float32[np.ndarray, "3"], directions: Float32[np.ndarray, "rays 3"], lights: Environment
    ) -> Float32[np.ndarray, "rays 3"]:
        """Light on the floor that each ray meets, over that on open floor; 1 where a ray meets none."""
        drop = eye_m[1] - np.float32(self.height_m)
        seen = (directions[:, 1] < -1e-4) & (drop > 0.0)
        distance = np.where(seen, drop / np.maximum(-directions[:, 1], np.float32(1e-4)), 0.0)
        x, z = eye_m[0] + directions[:, 0] * distance, eye_m[2] + directions[:, 2] * distance
        key, room = lights.diffused(np.array([[0.0, 1.0, 0.0]], np.float32))
        lit = key * self.key.at(x, z)[:, None] + room * self.openness.at(x, z)[:, None]
        return np.where(seen[:, None], lit / (key + room), np.float32(1.0))


def key_shadow(subject: Subject, from_studio: Float32[np.ndarray, "3 3"], *, cells: int, rays: int) -> FloorMap:
    """Soft shadow of the key light; ``from_studio`` turns the studio's directions into the scene's."""
    directions = key_directions(rays * PATTERNS) @ from_studio.T
    slant = directions.mean(axis=0)
    low, high = subject.positions_m.min(axis=0), subject.positions_m.max(axis=0)
    reach = (high[1] - low[1]) / slant[1]
    drift = -slant[[0, 2]] * reach
    start = np.minimum(low[[0, 2]], low[[0, 2]] + drift)
    end = np.maximum(high[[0, 2]], high[[0, 2]] + drift)
    return _cast(subject, directions, start, end, margin_m=0.35 * reach, cells=cells, rays=rays)


def floor_openness(subject: Subject, *, cells: int, rays: int) -> FloorMap:
    """Ambient occlusion of the floor, cosine-weighted."""
    number = np.arange(rays * PATTERNS)
    radius = np.sqrt((number + 0.5) / len(number))
    turn = number * math.pi * (3.0 - 5.0**0.5)
    directions = np.stack([radius * np.cos(turn), np.sqrt(1.0 - radius**2), radius * np.sin(turn)], axis=1)
    low, high = subject.positions_m.min(axis=0), subject.positions_m.max(axis=0)
    margin = 0.8 * float(high[1] - low[1]) + 0.2 * float(np.hypot(*(high - low)[[0, 2]]))
    return _cast(
        subject, directions.astype(np.float32), low[[0, 2]], high[[0, 2]], margin_m=margin, cells=cells, rays=rays
    )


def _cast(
    subject: Subject,
    directions: Float32[np.ndarray, "all_rays 3"],
    start: Float32[np.ndarray, "2"],
    end: Float32[np.ndarray, "2"],
    *,
    margin_m: float,
    cells: int,
    rays: int,
) -> FloorMap:
    from scipy.ndimage import gaussian_filter, uniform_filter

    corner = start.astype(np.float64) - margin_m
    size = end.astype(np.float64) + margin_m - corner
    columns, rows = (max(8, round(cells * float(edge / size.max()))) for edge in size)
    x = corner[0] + (np.arange(columns) + 0.5) / columns * size[0]
    z = corner[1] + (np.arange(rows) + 0.5) / rows * size[1]
    floor = float(subject.positions_m[:, 1].min()) - 1e-3 * float(size.max())
    place = np.stack(np.broadcast_arrays(x[None, :], floor, z[:, None]), axis=-1).astype(np.float32)
    pattern = (np.arange(rows)[:, None] % 4 * 4 + np.arange(columns)[None, :] % 4).ravel()
    chosen = directions.reshape(rays, PATTERNS, 3)[:, pattern]
    origins = np.broadcast_to(place.reshape(1, -1, 3), chosen.shape)
    blocked = subject.scene.occluded(np.ascontiguousarray(origins).reshape(-1, 3), chosen.reshape(-1, 3))
    light = 1.0 - blocked.reshape(rays, rows, columns).mean(axis=0, dtype=np.float32)
    smooth = gaussian_filter(uniform_filter(light, 4, mode="nearest"), 0.7, mode="nearest")
    return FloorMap(
        corner_m=(float(corner[0]), float(corner[1])),
        size_m=(float(size[0]), float(size[1])),
        light=_open_border(smooth.astype(np.float32)),
    )


def _open_border(light: Float32[np.ndarray, "rows columns"]) -> Float32[np.ndarray, "rows columns"]:
    """Fade to 1 over the outer tenth."""
    fades = []
    for count in light.shape:
        place = (np.arange(count) + 0.5) / count
        t = np.clip((np.minimum(place, 1.0 - place) - 0.5 / count) / 0.1, 0.0, 1.0)
        fades.append(t * t * (3.0 - 2.0 * t))
    fade = (fades[0][:, None] * fades[1][None, :]).astype(np.float32)
    return 1.0 - (1.0 - light) * fade
