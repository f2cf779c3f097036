"""One picture of a subject in the studio: rays, material, light, floor shadow, tone.

The studio turns with the camera, so every picture is lit alike from whatever side it is taken.
"""

import functools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float32, Int64, UInt8

from bridge_server.blocks import usable_cores
from bridge_server.run import Run
from bridge_server.stages.camera import Camera, framing_camera, view_axes
from bridge_server.stages.environment_light import Environment, environment
from bridge_server.stages.ground_shadow import Floor, cast_floor
from bridge_server.stages.render_places import turned
from bridge_server.stages.render_samples import PixelGrid, Samples, center_samples, finer_samples, is_broken
from bridge_server.stages.render_shadow import (
    REACH,
    Lamp,
    ShadowGrid,
    lamp,
    lamp_seen,
    lamp_seen_nearby,
    shadow_grid,
)
from bridge_server.stages.render_subject import Subject
from bridge_server.stages.shading import encode_srgb, neutral_tone, shade

T = TypeVar("T")

BAND_PIXELS = 1 << 17
"""Pixels whose rays are cast at once."""
SHADED = 1 << 14
"""Places shaded at once: few enough for the arrays to stay in the processor's cache."""
HALO = 2 * REACH
"""Rows above and below a band whose shadow rays its filter asks for, and those that these ask in turn."""
PAPER_CENTER = np.array([0.66, 0.655, 0.645], np.float32)
PAPER_EDGE = np.array([0.30, 0.31, 0.33], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A camera in the studio, with the light maps that belong to it."""

    subject: Subject
    camera: Camera
    size_px: int
    supersample: int
    to_studio: Float32[np.ndarray, "3 3"]
    """Turns the scene's directions into the studio's."""
    box: tuple[range, range]
    """Rows and columns of the picture that the subject may touch."""
    pixel_m: float
    """Width of a pixel at the subject's middle."""
    lamp: Lamp
    floor: Floor
    lights: Environment


def prepare_view(
    subject: Subject,
    *,
    azimuth_deg: float,
    elevation_deg: float,
    size_px: int,
    supersample: int = 2,
    frame_m: Float32[np.ndarray, "points 3"] | None = None,
    floor: Floor | None = None,
) -> View:
    """Place the camera, and cast the floor's shadow where it is not handed in.

    ``azimuth_deg`` counts from the asset's front (+Z) towards its left side (+X). ``frame_m`` are the points to keep
    in the picture (default: the subject's own).
    """
    to_studio = studio_axes(azimuth_deg)
    camera = framing_camera(subject.positions_m if frame_m is None else frame_m, azimuth_deg, elevation_deg)
    low, high = subject.positions_m.min(axis=0), subject.positions_m.max(axis=0)
    middle_m = float(np.linalg.norm(camera.eye_m - (low + high) / 2.0))
    return View(
        subject=subject,
        camera=camera,
        size_px=size_px,
        supersample=supersample,
        to_studio=to_studio,
        box=_box_of_subject(subject, camera, size_px),
        pixel_m=2.0 * camera.tangent * middle_m / size_px,
        lamp=lamp(subject.scene, to_studio, lift_m=2e-4 * float((high - low).max())),
        floor=floor or cast_floor(subject, to_studio, cells=floor_cells(size_px)),
        lights=environment(),
    )


def studio_axes(azimuth_deg: float) -> Float32[np.ndarray, "3 3"]:
    """Turns the scene's directions into those of the studio around a camera at ``azimuth_deg``."""
    return view_axes(azimuth_deg, 0.0).astype(np.float32)


def floor_cells(size_px: int) -> int:
    """How fine the floor's shadow has to be for a picture."""
    return max(96, min(576, round(0.56 * size_px)))


def render_view(run: Run, view: View) -> UInt8[np.ndarray, "size size 3"]:
    """Picture of the subject, sRGB, on all cores."""
    return np.concatenate(
        in_parallel(run, [functools.partial(render_rows, view, band) for band in _bands(view)], "rendering")
    )


def render_all_rows(view: View) -> UInt8[np.ndarray, "size size 3"]:
    """The whole picture on the calling thread."""
    return np.concatenate([render_rows(view, band) for band in _bands(view)])


def _bands(view: View) -> list[range]:
    rows = max(16, BAND_PIXELS // view.size_px)
    return [range(first, min(first + rows, view.size_px)) for first in range(0, view.size_px, rows)]


def in_parallel(run: Run, tasks: Sequence[Callable[[], T]], note: str) -> list[T]:
    """Results of all tasks in their order; a checkpoint a few times a second, and a clean stop when it raises."""
    results: list[T] = []
    with ThreadPoolExecutor(min(usable_cores(), 8)) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            for number, future in enumerate(futures):
                while True:
                    run.checkpoint(number / len(futures), f"{note} {number + 1} of {len(futures)}")
                    try:
                        results.append(future.result(timeout=0.2))
                        break
                    except StillRunning:
                        continue
        finally:
            for future in futures:
                future.cancel()
    return results


def render_rows(view: View, rows: range) -> UInt8[np.ndarray, "rows size 3"]:
    """Some rows of the picture."""
    picture = neutral_tone(_backdrop(view, rows))
    box_rows, columns = view.box
    inside = range(max(rows.start, box_rows.start), min(rows.stop, box_rows.stop))
    if inside and columns:
        light, share = _light_of_subject(view, inside, columns)
        box = picture[inside.start - rows.start : inside.stop - rows.start, columns.start : columns.stop]
        box *= 1.0 - share[..., None]
        box += light
    return np.ascontiguousarray(encode_srgb(picture))


def _light_of_subject(
    view: View, rows: range, columns: range
) -> tuple[Float32[np.ndarray, "rows columns 3"], Float32[np.ndarray, "rows columns"]]:
    """Toned light of the subject in each pixel, already times its share, and the share that it covers.

    A pixel in the midst of one smooth piece of surface is shaded once, one with an outline or a crease near it at
    every sample.
    """
    subject, camera, box = view.subject, view.camera, view.box[0]
    wide = range(max(rows.start - HALO, box.start), min(rows.stop + HALO, box.stop))
    grid = PixelGrid(size_px=view.size_px, rows=wide, columns=columns)
    samples = center_samples(subject, camera, grid)
    shadow = shadow_grid(view.lamp, samples, grid, settled=range(rows.start - REACH, rows.stop + REACH))
    wanted = np.zeros(grid.shape, bool)
    wanted[rows.start - wide.start : rows.stop - wide.start] = True
    broken = is_broken(samples, grid, view.pixel_m) & wanted
    plain = np.flatnonzero((wanted & ~broken).ravel()[samples.pixels])
    finer = finer_samples(subject, camera, grid, np.flatnonzero(broken), view.supersample)
    cells = shadow.cells(samples.pixels[plain])
    half = np.flatnonzero(shadow.half[cells])
    visible = lamp_seen(shadow, cells)
    visible[half] = _lamp_seen_nearby(view, shadow, samples.chosen(plain[half]))
    light = np.zeros((4, wanted.size), np.float32)
    light[3, samples.pixels[plain]] = 1.0
    light[:3, samples.pixels[plain]] = _toned(view, samples, plain, visible).T
    part = np.float32(1.0 / view.supersample**2)
    light[3] += np.bincount(finer.pixels, minlength=wanted.size) * part
    color = _toned(view, finer, np.arange(len(finer.pixels)), _lamp_seen_nearby(view, shadow, finer))
    for channel in range(3):
        light[channel] += np.bincount(finer.pixels, color[:, channel], minlength=wanted.size) * part
    picture = light.reshape(4, *grid.shape)[:, rows.start - wide.start : rows.stop - wide.start]
    return picture[:3].transpose(1, 2, 0), picture[3]


def _lamp_seen_nearby(view: View, shadow: ShadowGrid, samples: Samples) -> Float32[np.ndarray, "samples"]:
    cells = shadow.cells(samples.pixels)
    return lamp_seen_nearby(view.lamp, shadow, samples.places, cells, view.pixel_m)


def _toned(
    view: View,
    samples: Samples,
    chosen: Int64[np.ndarray, "chosen"],
    lamp_visible: Float32[np.ndarray, "chosen"],
) -> Float32[np.ndarray, "chosen 3"]:
    """Light from some samples as the picture shows it."""
    result = np.empty((len(chosen), 3), np.float32, order="F")
    for start in range(0, len(chosen), SHADED):
        part = slice(start, start + SHADED)
        result[part] = neutral_tone(_shaded(view, samples.chosen(chosen[part]), lamp_visible[part]))
    return result


def _shaded(
    view: View, samples: Samples, lamp_visible: Float32[np.ndarray, "samples"]
) -> Float32[np.ndarray, "samples 3"]:
    """Linear light from each sample."""
    surface = view.subject.material.at(samples.places, 0.7 * view.pixel_m)
    return shade(
        view.lights,
        normals=turned(surface.normals * samples.places.side[:, None], view.to_studio),
        to_viewer=turned(samples.to_viewer, view.to_studio),
        base_color=surface.base_color,
        metallic=surface.metallic,
        roughness=surface.roughness,
        openness=surface.openness,
        key_visible=lamp_visible,
    )


def _box_of_subject(subject: Subject, camera: Camera, size_px: int) -> tuple[range, range]:
    picture = camera.project(np.ascontiguousarray(subject.positions_m, np.float64))
    (left, low), (right, high) = picture.min(axis=0), picture.max(axis=0)
    edges = np.array([1.0 - high, 1.0 - low, left + 1.0, right + 1.0]) * 0.5 * size_px
    starts = [max(math.floor(edge) - 1, 0) for edge in edges[0::2]]
    ends = [min(math.ceil(edge) + 1, size_px) for edge in edges[1::2]]
    return range(starts[0], ends[0]), range(starts[1], ends[1])


def _backdrop(view: View, rows: range) -> Float32[np.ndarray, "rows size 3"]:
    """Seamless paper: a soft pool of light behind the subject, and its shadow on the floor."""
    x, y = PixelGrid(size_px=view.size_px, rows=rows, columns=range(view.size_px)).centers()
    t = np.clip(np.sqrt((x * np.float32(0.85)) ** 2 + (y + np.float32(0.15)) ** 2) / np.float32(1.35), 0.0, 1.0)
    t *= t * (3.0 - 2.0 * t)
    light = view.floor.light(view.camera.eye_m.astype(np.float32), view.camera.directions(x, y), view.lights)
    for channel in range(3):
        light[:, channel] *= PAPER_CENTER[channel] + (PAPER_EDGE - PAPER_CENTER)[channel] * t
    return light.T.reshape(3, len(rows), view.size_px).transpose(1, 2, 0)
