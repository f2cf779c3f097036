"""How much of the key light each place sees: soft shadows without grain.

Every pixel casts two rays at the lamp, each of its 4 x 4 neighbours at other parts of it (Keller and Heidrich,
"Interleaved sampling", 2001). Where all rays of a neighbourhood agree, that is the answer; in a half-shadow four more
are cast. A filter over 5 x 5 pixels, its outermost ones counted half, then weighs each of the sixteen patterns alike,
so that a place sees the lamp through 96 rays; pixels on other surfaces are left out of it.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Int64

from bridge_server.backends.raycaster.base import RayScene
from bridge_server.stages.environment_light import lamp_patterns
from bridge_server.stages.render_places import Places, dot, taken
from bridge_server.stages.render_samples import PixelGrid, Samples

REACH = 2
"""Pixels on each side of the one that is filtered."""
TAPS = tuple((down, along) for down in range(-REACH, REACH + 1) for along in range(-REACH, REACH + 1))
ORDER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
"""Neighbouring pixels take patterns that differ much, so that a part of the filter serves nearly as well as all."""
SAME_COSINE = 0.8
FEW = 4.0
"""Of 16: with fewer pixels of the same surface around, a place casts rays of its own."""
HORIZON = 0.15
FLAT_PX = 2.0
"""How far off the tangent plane a pixel may lie and still count as the same surface."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lamp:
    """The key light, as a subject sees it."""

    scene: RayScene
    """What casts shadows."""
    first: Float32[np.ndarray, "rays patterns 3"]
    """Directions to places on it, in the scene's space."""
    more: Float32[np.ndarray, "rays patterns 3"]
    lift_m: float
    """How far off the surface a shadow ray starts."""


def lamp(scene: RayScene, to_studio: Float32[np.ndarray, "3 3"], lift_m: float) -> Lamp:
    """The lamp of a studio that is turned against the scene."""
    return Lamp(scene=scene, first=lamp_patterns(2) @ to_studio, more=lamp_patterns(4) @ to_studio, lift_m=lift_m)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowGrid:
    """What rays from the pixels of a grid found, with a border of ``REACH`` empty pixels around it."""

    stride: int
    seen: Float32[np.ndarray, "cells"]
    """Rays that reach the lamp, each counted with the cosine at which its light falls in."""
    asked: Float32[np.ndarray, "cells"]
    """The same for all rays."""
    guide: Float32[np.ndarray, "cells 6"]
    """Normals and points, in "F" order."""
    half: Bool[np.ndarray, "cells"]
    """Where neighbours disagree."""

    def cells(self, pixels: Int64[np.ndarray, "places"]) -> Int64[np.ndarray, "places"]:
        """Where pixels, numbered row by row, are kept."""
        down, along = np.divmod(pixels, self.stride - 2 * REACH)
        return (down + REACH) * self.stride + along + REACH


def shadow_grid(light: Lamp, samples: Samples, grid: PixelGrid, settled: range) -> ShadowGrid:
    """Cast the rays of a grid of pixels. More rays go out from the rows ``settled`` alone."""
    places = samples.places
    stride = len(grid.columns) + 2 * REACH
    down, along = np.divmod(samples.pixels, len(grid.columns))
    cells = (down + REACH) * stride + along + REACH
    row = down + grid.rows.start
    pattern = ORDER[row % 4, (along + grid.columns.start) % 4]
    shape = (len(grid.rows) + 2 * REACH, stride)
    sums = np.zeros((2, shape[0] * stride), np.float32)
    seen, asked = _cast(light, light.first, places, pattern)
    sums[0, cells], sums[1, cells] = seen, asked
    blocked, open_ = (np.zeros(shape, bool) for _ in range(2))
    blocked.ravel()[cells] = seen < asked * np.float32(1.0 - 1e-6)
    open_.ravel()[cells] = seen > 0.0
    half = (_spread(blocked) & _spread(open_)).ravel()
    chosen = np.flatnonzero(half[cells] & (row >= settled.start) & (row < settled.stop))
    seen, asked = _cast(light, light.more, places.chosen(chosen), pattern[chosen])
    sums[0, cells[chosen]] += seen
    sums[1, cells[chosen]] += asked
    guide = np.zeros((6, shape[0] * stride), np.float32)
    for number in range(3):
        guide[number, cells] = places.normals[:, number] * places.side
        guide[3 + number, cells] = places.points_m[:, number]
    return ShadowGrid(stride=stride, seen=sums[0], asked=sums[1], guide=guide.T, half=half)


def lamp_seen(grid: ShadowGrid, cells: Int64[np.ndarray, "places"]) -> Float32[np.ndarray, "places"]:
    """Share of the lamp that the places of the grid's own rays see, where no filter is needed."""
    return grid.seen[cells] / np.maximum(grid.asked[cells], np.float32(1e-6))


def lamp_seen_nearby(
    light: Lamp,
    grid: ShadowGrid,
    places: Places,
    cells: Int64[np.ndarray, "places"],
    pixel_m: float,
) -> Float32[np.ndarray, "places"]:
    """Share of the lamp that places see, by the rays of the pixels around them that lie on the same surface.

    Places without any such pixel cast rays of their own.
    """
    normals = places.normals * places.side[:, None]
    height = dot(normals, places.points_m)
    seen, asked, known = (np.zeros(len(cells), np.float32) for _ in range(3))
    for down, along in TAPS:
        there = cells + (down * grid.stride + along)
        near = taken(grid.guide, there)
        same = dot(normals, near[:, :3]) > SAME_COSINE
        same &= np.abs(dot(normals, near[:, 3:]) - height) < np.float32(FLAT_PX * pixel_m)
        share = same * np.float32((0.5 if abs(down) == REACH else 1.0) * (0.5 if abs(along) == REACH else 1.0))
        known += share
        seen += share * grid.seen.take(there)
        asked += share * grid.asked.take(there)
    lonely = np.flatnonzero(known < FEW)
    if len(lonely):
        own = places.chosen(lonely)
        totals = [_cast(light, light.more, own, np.full(len(lonely), turn)) for turn in (0, 4, 8, 12)]
        seen[lonely] = sum(total[0] for total in totals)
        asked[lonely] = sum(total[1] for total in totals)
    return seen / np.maximum(asked, np.float32(1e-6))


def _cast(
    light: Lamp,
    rays: Float32[np.ndarray, "rays patterns 3"],
    places: Places,
    pattern: Int64[np.ndarray, "places"],
) -> tuple[Float32[np.ndarray, "places"], Float32[np.ndarray, "places"]]:
    """(what reaches the lamp, what might): rays, each counted by the cosine at which its light falls in.

    A little is added to the cosine, so that the answer fades out where the lamp sinks below the horizon: there the
    normals, and even more those of a normal map, no longer agree with the triangles that block the rays.
    """
    normals = places.normals * places.side[:, None]
    origins = np.ascontiguousarray(places.points_m + places.facing * np.float32(light.lift_m))
    seen, asked = np.zeros(len(pattern), np.float32), np.zeros(len(pattern), np.float32)
    for directions in rays:
        cosine = dot(normals, taken(np.asfortranarray(directions), pattern))
        counted = np.maximum(cosine, 0.0) + np.float32(HORIZON)
        up = np.flatnonzero(cosine > -HORIZON)
        blocked = light.scene.occluded(origins.take(up, axis=0), directions.take(pattern[up], axis=0))
        asked += counted
        seen[up] += np.where(blocked, np.float32(0.0), counted[up])
    return seen, asked


def _spread(mask: Bool[np.ndarray, "rows columns"]) -> Bool[np.ndarray, "rows columns"]:
    """True within ``REACH`` of what is."""
    wide = mask.copy()
    for step in range(1, REACH + 1):
        wide[:, step:] |= mask[:, :-step]
        wide[:, :-step] |= mask[:, step:]
    tall = wide.copy()
    for step in range(1, REACH + 1):
        tall[step:] |= wide[:-step]
        tall[:-step] |= wide[step:]
    return tall
