"""The small photo studio that pictures are lit by: a dome, a floor, and three round soft lights.

Every light is *zonal*: its radiance depends only on the angle to its axis. So is every lobe it is blurred with (the
cosine lobe of diffuse light, the GGX lobe of a glossy reflection seen head-on), and a zonal light under a zonal lobe
is again zonal. The whole environment, prefiltered for every roughness, is therefore one small table for each light
over (roughness, angle), computed at run time in a tenth of a second, with highlights as sharp as the lights are.

A table's columns are even steps of the sine of half the angle, which costs a square root to find and is finest where
lights are. Directions are unit vectors, Y up, and fastest column by column in memory ("F" order). The lights stand
around a viewer who looks along -Z.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

ROUGHNESS_ROWS = 16
ANGLE_COLUMNS = 128
LOBE_RINGS = 64
EDGE_STEPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ZonalLight:
    """Radiance ``color`` within ``inner_rad`` of ``axis``, fading smoothly to none at ``outer_rad``."""

    axis: tuple[float, float, float]
    color: tuple[float, float, float]
    """Linear radiance; 1 is a white wall in full light."""
    inner_rad: float
    outer_rad: float

    def profile(self, angle_rad: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """Share of the full radiance at an angle from the axis."""
        t = np.clip((self.outer_rad - angle_rad) / (self.outer_rad - self.inner_rad), 0.0, 1.0)
        return t * t * (3.0 - 2.0 * t)

    def soft_edge(self) -> Float64[np.ndarray, "steps"]:
        """Radii of ``EDGE_STEPS`` equally bright discs that add up to the profile."""
        share = (np.arange(EDGE_STEPS) + 0.5) / EDGE_STEPS
        angles = np.linspace(self.inner_rad, self.outer_rad, 64)
        return np.interp(share, 1.0 - self.profile(angles), angles)


STUDIO_KEY = ZonalLight(axis=(-0.52, 0.68, 0.52), color=(11.6, 10.8, 9.6), inner_rad=0.24, outer_rad=0.30)
"""Warm, high, in front of the left shoulder: the one light that casts shadows."""

STUDIO = (
    STUDIO_KEY,
    ZonalLight(axis=(0.0, 1.0, 0.0), color=(0.50, 0.53, 0.58), inner_rad=0.5, outer_rad=2.1),
    ZonalLight(axis=(0.0, -1.0, 0.0), color=(0.34, 0.33, 0.32), inner_rad=0.9, outer_rad=1.7),
    ZonalLight(axis=(0.85, 0.34, 0.40), color=(0.85, 0.90, 1.0), inner_rad=0.40, outer_rad=0.75),
    ZonalLight(axis=(0.72, 0.42, -0.62), color=(4.6, 5.2, 6.4), inner_rad=0.25, outer_rad=0.40),
)
"""Key, dome, floor, a broad fill from the right, and a cool rim from behind on the right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Lights with their prefiltered tables. ``lights[0]`` is the key light, whose share is kept apart."""

    lights: tuple[ZonalLight, ...]
    glossy: Float32[np.ndarray, "lights rows columns"]
    """Mean radiance under a GGX lobe; rows are roughness 0 to 1, columns the angle to the axis, 0 to pi."""
    diffuse: Float32[np.ndarray, "lights columns"]
    """Mean radiance under a cosine lobe, that is irradiance over pi."""

    def reflected(
        self, directions: Float32[np.ndarray, "points 3"], roughness: Float32[np.ndarray, "points"]
    ) -> tuple[Float32[np.ndarray, "points 3"], Float32[np.ndarray, "points 3"]]:
        """Prefiltered radiance along mirror directions: (key light, all others)."""
        row = np.clip(roughness, 0.0, 1.0) * np.float32(ROUGHNESS_ROWS - 1)
        row_0 = np.minimum(row.astype(np.int64), ROUGHNESS_ROWS - 2)
        row_t = row - row_0
        row_0 *= ANGLE_COLUMNS
        radiance = []
        for light, table in zip(self.lights, self.glossy, strict=True):
            column, column_t = _column(directions, light)
            column += row_0
            smooth = _between(table.ravel(), column, column_t)
            column += ANGLE_COLUMNS
            radiance.append(smooth + (_between(table.ravel(), column, column_t) - smooth) * row_t)
        return self._colored(radiance)

    def diffused(
        self, normals: Float32[np.ndarray, "points 3"]
    ) -> tuple[Float32[np.ndarray, "points 3"], Float32[np.ndarray, "points 3"]]:
        """Irradiance over pi on surfaces of these normals: (key light, all others)."""
        lights = zip(self.lights, self.diffuse, strict=True)
        return self._colored([_between(table, *_column(normals, light)) for light, table in lights])

    def _colored(
        self, radiance: list[Float32[np.ndarray, "points"]]
    ) -> tuple[Float32[np.ndarray, "points 3"], Float32[np.ndarray, "points 3"]]:
        key, others = (np.zeros((len(radiance[0]), 3), np.float32, order="F") for _ in range(2))
        for number, (light, share) in enumerate(zip(self.lights, radiance, strict=True)):
            total = others if number else key
            for channel, color in enumerate(light.color):
                total[:, channel] += share * np.float32(color)
        return key, others


@functools.lru_cache(maxsize=4)
def environment(lights: tuple[ZonalLight, ...] = STUDIO) -> Environment:
    """Prefilter the lights (Karis, "Real shading in Unreal Engine 4", 2013: lobe for a viewer along the normal)."""
    u = (np.arange(LOBE_RINGS) + 0.5) / LOBE_RINGS
    glossy = [[light.profile(_column_angles()) for light in lights]]
    for roughness in np.linspace(0.0, 1.0, ROUGHNESS_ROWS)[1:]:
        alpha = roughness * roughness
        lobe = 2.0 * np.arctan(alpha * np.sqrt(u / (1.0 - u)))
        weight = np.maximum(np.cos(lobe), 0.0)
        glossy.append([_convolve(light, lobe, weight) for light in lights])
    cosine_lobe = np.arcsin(np.sqrt(u))
    return Environment(
        lights=lights,
        glossy=np.asarray(glossy, np.float32).transpose(1, 0, 2).copy(),
        diffuse=np.asarray([_convolve(light, cosine_lobe, np.ones_like(u)) for light in lights], np.float32),
    )


def disc_patterns(
    rays: int, patterns: int = 16
) -> tuple[Float64[np.ndarray, "rays patterns"], Float64[np.ndarray, "rays patterns"]]:
    """Points of the unit disc, (radius, angle): even as a whole, and so are the ``rays`` of each pattern.

    A Fibonacci lattice: the angle runs through the points in turn, the squared radius in strides.
    """
    count = rays * patterns
    stride = round(count * (5.0**0.5 - 1.0) / 2.0)
    while math.gcd(stride, count) > 1:
        stride += 1
    number = np.arange(count).reshape(rays, patterns)
    return np.sqrt((number * stride % count + 0.5) / count), number * (2.0 * np.pi / count)


def lamp_patterns(
    rays: int, patterns: int = 16, light: ZonalLight = STUDIO_KEY
) -> Float32[np.ndarray, "rays patterns 3"]:
    """Unit directions spread evenly over the disc of a light, for soft shadows."""
    axis = np.asarray(light.axis) / np.linalg.norm(light.axis)
    side = np.cross([0.0, 1.0, 0.0], axis)
    side /= np.linalg.norm(side)
    up = np.cross(axis, side)
    radius, turn = (each[..., None] for each in disc_patterns(rays, patterns))
    spread = axis + np.tan(light.outer_rad * radius) * (np.cos(turn) * side + np.sin(turn) * up)
    return (spread / np.linalg.norm(spread, axis=-1, keepdims=True)).astype(np.float32)


def _convolve(
    light: ZonalLight, lobe_rad: Float64[np.ndarray, "samples"], weight: Float64[np.ndarray, "samples"]
) -> Float64[np.ndarray, "columns"]:
    """Weighted mean of a light's profile over a lobe, for every angle between the lobe's and the light's axis.

    The lobe is cut into rings, the light into discs; how much of a ring lies in a disc has a closed form.
    """
    angle = _column_angles()[:, None]
    reach = np.maximum(np.sin(angle) * np.sin(lobe_rad), 1e-9)
    seen = np.zeros((ANGLE_COLUMNS, len(lobe_rad)))
    for edge in light.soft_edge():
        inside = (math.cos(edge) - np.cos(angle) * np.cos(lobe_rad)) / reach if edge < math.pi else -1.0 + 0.0 * reach
        seen += np.arccos(np.clip(inside, -1.0, 1.0)) / (math.pi * EDGE_STEPS)
    return seen @ weight / weight.sum()


def _column_angles() -> Float64[np.ndarray, "columns"]:
    return 2.0 * np.arcsin(np.linspace(0.0, 1.0, ANGLE_COLUMNS))


def _column(
    directions: Float32[np.ndarray, "points 3"], light: ZonalLight
) -> tuple[Int64[np.ndarray, "points"], Float32[np.ndarray, "points"]]:
    axis = (np.asarray(light.axis) / np.linalg.norm(light.axis)).astype(np.float32)
    place = directions[:, 0] * axis[0]
    place += directions[:, 1] * axis[1]
    place += directions[:, 2] * axis[2]
    np.subtract(np.float32(1.0), place, out=place)
    place *= np.float32(0.5)
    np.clip(place, 0.0, 1.0, out=place)
    np.sqrt(place, out=place)
    place *= np.float32(ANGLE_COLUMNS - 1)
    column = np.minimum(place.astype(np.int64), ANGLE_COLUMNS - 2)
    place -= column
    return column, place


def _between(
    table: Float32[np.ndarray, "cells"], cell: Int64[np.ndarray, "points"], part: Float32[np.ndarray, "points"]
) -> Float32[np.ndarray, "points"]:
    low = table.take(cell)
    high = table[1:].take(cell)
    high -= low
    high *= part
    high += low
    return high
