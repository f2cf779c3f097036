"""The shadow that an asset throws on the floor it stands on: a small map of the floor, cast once and blurred."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from bridge_server.stages.environment_light import Environment, disc_patterns, lamp_patterns
from bridge_server.stages.render_subject import Subject

FINER = 4
"""How much smaller the cells are around the places where the subject touches the floor."""
NEAR_CELLS = 5.0
"""What blocks a ray within so many wide cells is near, and casts shadows too sharp for them."""
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
        key_open, room_open = self.key.at(x, z), self.openness.at(x, z)
        result = np.empty_like(directions, order="F")
        for channel, share in enumerate((key / (key + room))[0]):
            lit = room_open + (key_open - room_open) * share
            result[:, channel] = np.where(seen, lit, np.float32(1.0))
        return result


def cast_floor(
    subject: Subject, to_studio: Float32[np.ndarray, "3 3"], *, cells: int, openness: FloorMap | None = None
) -> Floor:
    """The floor as a subject shades it; its openness does not depend on the studio's turn and may be handed in."""
    return Floor(
        height_m=float(subject.positions_m[:, 1].min()),
        key=key_shadow(subject, to_studio.T, cells=cells, rays=8),
        openness=openness or floor_openness(subject, cells=cells, rays=12),
    )


def key_shadow(subject: Subject, from_studio: Float32[np.ndarray, "3 3"], *, cells: int, rays: int) -> FloorMap:
    """Soft shadow of the key light; ``from_studio`` turns the studio's directions into the scene's."""
    directions = lamp_patterns(rays) @ from_studio.T
    slant = directions.mean(axis=(0, 1))
    low, high = subject.positions_m.min(axis=0), subject.positions_m.max(axis=0)
    reach = (high[1] - low[1]) / slant[1]
    drift = -slant[[0, 2]] * reach
    start = np.minimum(low[[0, 2]], low[[0, 2]] + drift)
    end = np.maximum(high[[0, 2]], high[[0, 2]] + drift)
    return _cast(subject, directions, start, end, margin_m=0.35 * reach, cells=cells)


def floor_openness(subject: Subject, *, cells: int, rays: int) -> FloorMap:
    """Ambient occlusion of the floor, cosine-weighted."""
    radius, turn = disc_patterns(rays)
    directions = np.stack([radius * np.cos(turn), np.sqrt(1.0 - radius**2), radius * np.sin(turn)], axis=-1)
    low, high = subject.positions_m.min(axis=0), subject.positions_m.max(axis=0)
    margin = 0.8 * float(high[1] - low[1]) + 0.2 * float(np.hypot(*(high - low)[[0, 2]]))
    return _cast(subject, directions.astype(np.float32), low[[0, 2]], high[[0, 2]], margin_m=margin, cells=cells)


def _cast(
    subject: Subject,
    directions: Float32[np.ndarray, "rays patterns 3"],
    start: Float32[np.ndarray, "2"],
    end: Float32[np.ndarray, "2"],
    *,
    margin_m: float,
    cells: int,
) -> FloorMap:
    """Count the rays that something blocks; in fine cells where it is near, and its shadow sharp."""
    corner = start.astype(np.float64) - margin_m
    size = end.astype(np.float64) + margin_m - corner
    floor = float(subject.positions_m[:, 1].min()) - 1e-3 * float(size.max())
    coarse = [max(8, round(cells / FINER * float(edge / size.max()))) for edge in size[::-1]]
    near_m = NEAR_CELLS * float(size[0]) / coarse[1]

    def blocked(wanted: Bool[np.ndarray, "rows columns"], reach_m: float) -> Float32[np.ndarray, "wanted"]:
        row, column = np.nonzero(wanted)
        place = np.full((len(row), 3), floor, np.float32)
        place[:, 0] = corner[0] + (column + 0.5) * (size[0] / wanted.shape[1])
        place[:, 2] = corner[1] + (row + 0.5) * (size[1] / wanted.shape[0])
        count = np.zeros(len(row), np.float32)
        for ray in directions:
            count += subject.scene.occluded(place, ray.take(row % 4 * 4 + column % 4, axis=0), reach_m)
        return count / np.float32(len(directions))

    everywhere = np.ones(coarse, bool)
    shade = _enlarged(_smooth(blocked(everywhere, float("inf")).reshape(coarse)))
    contact = _enlarged(_contact(blocked(everywhere, near_m).reshape(coarse)))
    touched = contact > 0.0
    fine = shade.copy()
    fine[touched] = blocked(touched, float("inf"))
    shade += (_smooth(fine) - shade) * contact
    return FloorMap(
        corner_m=(float(corner[0]), float(corner[1])),
        size_m=(float(size[0]), float(size[1])),
        light=_open_border(1.0 - shade),
    )


def _smooth(light: Float32[np.ndarray, "rows columns"]) -> Float32[np.ndarray, "rows columns"]:
    """Join neighbouring cells' rays."""
    from scipy.ndimage import gaussian_filter, uniform_filter

    joined: Float32[np.ndarray, "rows columns"] = gaussian_filter(
        uniform_filter(light, 4, mode="nearest"), 0.7, mode="nearest"
    )
    return joined


def _contact(near: Float32[np.ndarray, "rows columns"]) -> Float32[np.ndarray, "rows columns"]:
    """1 where what is near blocks more than a few rays, softly falling to 0 around."""
    from scipy.ndimage import maximum_filter, uniform_filter

    soft: Float32[np.ndarray, "rows columns"] = uniform_filter(np.minimum(maximum_filter(near, 5) * 6.0, 1.0), 3)
    return soft


def _enlarged(light: Float32[np.ndarray, "rows columns"]) -> Float32[np.ndarray, "fine_rows fine_columns"]:
    for axis in range(2):
        count = light.shape[axis]
        place = np.clip((np.arange(count * FINER) + 0.5) / FINER - 0.5, 0.0, count - 1.001)
        first = place.astype(np.int64)
        part = np.expand_dims((place - first).astype(np.float32), 1 - axis)
        light = light.take(first, axis) * (1 - part) + light.take(first + 1, axis) * part
    return light


def _open_border(light: Float32[np.ndarray, "rows columns"]) -> Float32[np.ndarray, "rows columns"]:
    """Fade to 1 over the outer tenth."""
    fades = []
    for count in light.shape:
        place = (np.arange(count) + 0.5) / count
        t = np.clip((np.minimum(place, 1.0 - place) - 0.5 / count) / 0.1, 0.0, 1.0)
        fades.append(t * t * (3.0 - 2.0 * t))
    fade = (fades[0][:, None] * fades[1][None, :]).astype(np.float32)
    return 1.0 - (1.0 - light) * fade
