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
from jaxtyping import Bool, Float32, Int32, UInt8

from bridge_server.backends.raycaster.base import RayHits
from bridge_server.blocks import usable_cores
from bridge_server.run import Run
from bridge_server.stages.camera import Camera, framing_camera, view_axes
from bridge_server.stages.environment_light import Environment, environment, key_directions
from bridge_server.stages.ground_shadow import Floor, FloorMap, floor_openness, key_shadow
from bridge_server.stages.render_subject import Subject, lifted_hits
from bridge_server.stages.shading import encode_srgb, neutral_tone, shade

T = TypeVar("T")

BAND_SAMPLES = 1 << 17
"""Samples shaded at once: small enough for the arrays to stay in the processor's cache."""
KEY_PATTERNS = 16
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
    key_rays: Float32[np.ndarray, "rays patterns 3"]
    """Directions to places on the key light."""
    lift_m: float
    """How far off the surface a shadow ray starts."""
    floor: Floor
    lights: Environment


def prepare_view(
    subject: Subject,
    *,
    azimuth_deg: float,
    elevation_deg: float,
    size_px: int,
    supersample: int = 2,
    shadow_rays: int = 2,
    frame_m: Float32[np.ndarray, "points 3"] | None = None,
    floor_open: FloorMap | None = None,
) -> View:
    """Place the camera and cast the floor's shadow.

    ``azimuth_deg`` counts from the asset's front (+Z) towards its left side (+X). ``frame_m`` are the points to keep
    in the picture (default: the subject's own). ``floor_open`` does not depend on the view and may be handed in.
    """
    to_studio = view_axes(azimuth_deg, 0.0).astype(np.float32)
    camera = framing_camera(subject.positions_m if frame_m is None else frame_m, azimuth_deg, elevation_deg)
    cells = max(48, min(192, size_px // 4))
    key_rays = key_directions(shadow_rays * KEY_PATTERNS) @ to_studio
    low, high = subject.positions_m.min(axis=0), subject.positions_m.max(axis=0)
    return View(
        subject=subject,
        camera=camera,
        size_px=size_px,
        supersample=supersample,
        to_studio=to_studio,
        box=_box_of_subject(subject, camera, size_px),
        key_rays=key_rays.reshape(shadow_rays, KEY_PATTERNS, 3),
        lift_m=2e-4 * float((high - low).max()),
        floor=Floor(
            height_m=float(low[1]),
            key=key_shadow(subject, to_studio.T, cells=cells, rays=6),
            openness=floor_open or floor_openness(subject, cells=cells, rays=8),
        ),
        lights=environment(),
    )


def render_view(
    run: Run,
    subject: Subject,
    *,
    azimuth_deg: float,
    elevation_deg: float,
    size_px: int,
    supersample: int = 2,
    shadow_rays: int = 2,
) -> UInt8[np.ndarray, "size size 3"]:
    """Picture of the subject, sRGB, on all cores."""
    view = prepare_view(
        subject,
        azimuth_deg=azimuth_deg,
        elevation_deg=elevation_deg,
        size_px=size_px,
        supersample=supersample,
        shadow_rays=shadow_rays,
    )
    return np.concatenate(
        in_parallel(run, [functools.partial(render_rows, view, band) for band in _bands(view)], "rendering")
    )


def render_all_rows(view: View) -> UInt8[np.ndarray, "size size 3"]:
    """The whole picture on the calling thread."""
    return np.concatenate([render_rows(view, band) for band in _bands(view)])


def _bands(view: View) -> list[range]:
    rows = max(1, BAND_SAMPLES // (view.size_px * view.supersample**2))
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
    return encode_srgb(picture)


def _light_of_subject(
    view: View, rows: range, columns: range
) -> tuple[Float32[np.ndarray, "rows columns 3"], Float32[np.ndarray, "rows columns"]]:
    """Toned light of the subject in each pixel, already times its share, and the share that it covers.

    Every sample has its own ray. A pixel whose samples all lie on one smooth piece of surface is shaded once; one
    with an outline or a crease in it is shaded at every sample.
    """
    samples = view.supersample**2
    row, column = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
    directions = _sample_directions(view, row, column)
    origins = np.broadcast_to(view.camera.eye_m.astype(np.float32), directions.shape)
    hits = view.subject.scene.first_hits(np.ascontiguousarray(origins).reshape(-1, 3), directions.reshape(-1, 3))
    met = (hits.faces >= 0).reshape(samples, -1)
    pixel_m = 2.0 * view.camera.tangent * np.where(met, hits.distances_m.reshape(met.shape), 0.0).max() / view.size_px
    plain = _is_one_piece(view, hits, met, pixel_m)
    light = np.zeros((met.shape[1], 3), np.float32)
    pattern = row % 2 * 2 + column % 2
    where = np.flatnonzero(plain)
    if len(where):
        color = _shaded(
            view,
            -directions[0, where],
            _chosen(hits, where),
            pattern=pattern[where],
            key_share=samples,
            sample_m=0.7 * pixel_m,
        )
        light[where] = neutral_tone(color)
    for number in range(samples):
        where = np.flatnonzero(met[number] & ~plain)
        if len(where):
            color = _shaded(
                view,
                -directions[number, where],
                _chosen(hits, where + number * met.shape[1]),
                pattern=pattern[where] + number % 4 * 4,
                key_share=1,
                sample_m=pixel_m / view.supersample,
            )
            light[where] += neutral_tone(color) * np.float32(1.0 / samples)
    shape = (len(rows), len(columns))
    return light.reshape(*shape, 3), met.mean(axis=0, dtype=np.float32).reshape(shape)


def _sample_directions(
    view: View, row: Int32[np.ndarray, "pixels"], column: Int32[np.ndarray, "pixels"]
) -> Float32[np.ndarray, "samples pixels 3"]:
    """Rays through a rotated grid in each pixel, which smooths nearly level edges better than a straight one."""
    fine = view.supersample
    directions = []
    for number in range(fine * fine):
        along, down = (number % fine + 0.5) / fine, (number // fine + 0.5) / fine
        x = (column + along + (down - 0.5) / fine) * (2.0 / view.size_px) - 1.0
        y = 1.0 - (row + down - (along - 0.5) / fine) * (2.0 / view.size_px)
        directions.append(view.camera.directions(np.stack([x, y], axis=1).astype(np.float32)))
    return np.stack(directions)


def _is_one_piece(
    view: View, hits: RayHits, met: Bool[np.ndarray, "samples pixels"], pixel_m: float
) -> Bool[np.ndarray, "pixels"]:
    """Whether all samples of a pixel met surface of about one depth and one direction."""
    whole = met.all(axis=0)
    depth = np.where(met, hits.distances_m.reshape(met.shape), 0.0)
    whole &= depth.max(axis=0) - depth.min(axis=0) < 6.0 * pixel_m
    facing = view.subject.face_normals[hits.faces.reshape(met.shape)]
    for other in facing[1:]:
        whole &= np.einsum("pi,pi->p", facing[0], other) > 0.9
    return whole


def _shaded(
    view: View,
    to_viewer: Float32[np.ndarray, "points 3"],
    hits: RayHits,
    *,
    pattern: Int32[np.ndarray, "points"],
    key_share: int,
    sample_m: float,
) -> Float32[np.ndarray, "points 3"]:
    """Linear light from each hit; ``key_share`` times the shadow rays of a sample for each."""
    subject = view.subject
    surface = subject.material.at(hits.faces, hits.barycentrics, sample_m)
    facing = subject.face_normals[hits.faces]
    inside = np.einsum("pi,pi->p", facing, to_viewer) < 0.0
    turned = np.where(inside, np.float32(-1.0), np.float32(1.0))[:, None]
    origins = lifted_hits(subject, hits, inside) + facing * turned * np.float32(view.lift_m)
    return shade(
        view.lights,
        normals=_turned(surface.normals * turned, view.to_studio),
        to_viewer=_turned(to_viewer, view.to_studio),
        base_color=surface.base_color,
        metallic=surface.metallic,
        roughness=surface.roughness,
        openness=surface.openness,
        key_visible=_key_visible(view, origins, facing * turned, pattern, key_share),
    )


def _chosen(hits: RayHits, places: Int32[np.ndarray, "chosen"]) -> RayHits:
    return RayHits(
        faces=hits.faces[places], barycentrics=hits.barycentrics[places], distances_m=hits.distances_m[places]
    )


def _turned(
    vectors: Float32[np.ndarray, "points 3"], rotation: Float32[np.ndarray, "3 3"]
) -> Float32[np.ndarray, "points 3"]:
    return np.einsum("pi,ji->pj", vectors, rotation)  # not matmul: its own threads would fight over the cores with ours


def _key_visible(
    view: View,
    origins_m: Float32[np.ndarray, "points 3"],
    facing: Float32[np.ndarray, "points 3"],
    pattern: Int32[np.ndarray, "points"],
    key_share: int,
) -> Float32[np.ndarray, "points"]:
    """Share of the key light that each place sees; neighbours ask for different parts of it."""
    visible = np.zeros(len(origins_m), np.float32)
    lit = np.flatnonzero(np.einsum("pi,i->p", facing, view.key_rays.mean(axis=(0, 1))) > -0.3)
    count = len(view.key_rays) * key_share
    for rays in view.key_rays:
        for share in range(key_share):
            direction = rays[(pattern[lit] + share * 4) % KEY_PATTERNS]
            blocked = view.subject.scene.occluded(origins_m[lit], direction)
            visible[lit] += np.where(blocked, np.float32(0.0), np.float32(1.0 / count))
    return visible


def _box_of_subject(subject: Subject, camera: Camera, size_px: int) -> tuple[range, range]:
    picture = camera.project(subject.positions_m.astype(np.float64))
    (left, low), (right, high) = picture.min(axis=0), picture.max(axis=0)
    edges = np.array([1.0 - high, 1.0 - low, left + 1.0, right + 1.0]) * 0.5 * size_px
    starts = [max(math.floor(edge) - 1, 0) for edge in edges[0::2]]
    ends = [min(math.ceil(edge) + 1, size_px) for edge in edges[1::2]]
    return range(starts[0], ends[0]), range(starts[1], ends[1])


def _backdrop(view: View, rows: range) -> Float32[np.ndarray, "rows size 3"]:
    """Seamless paper: a soft pool of light behind the subject, and its shadow on the floor."""
    steps = (np.arange(view.size_px, dtype=np.float32) + np.float32(0.5)) * np.float32(2.0 / view.size_px) - 1.0
    x, y = np.meshgrid(steps, -steps[rows.start : rows.stop])
    t = np.clip(np.sqrt((x * 0.85) ** 2 + (y + 0.15) ** 2) / 1.35, 0.0, 1.0)
    t = t * t * (3.0 - 2.0 * t)
    paper = PAPER_CENTER + (PAPER_EDGE - PAPER_CENTER) * t[..., None]
    directions = view.camera.directions(np.stack([x.ravel(), y.ravel()], axis=1))
    light = view.floor.light(view.camera.eye_m.astype(np.float32), directions, view.lights)
    return paper * light.reshape(paper.shape)
