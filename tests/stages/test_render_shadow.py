import dataclasses

import numpy as np
import pytest

from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import SilentRun
from bridge_server.stages.environment_light import STUDIO_KEY, lamp_patterns
from bridge_server.stages.ground_shadow import cast_floor
from bridge_server.stages.render_places import dot
from bridge_server.stages.render_samples import PixelGrid, center_samples, is_broken
from bridge_server.stages.render_shadow import HORIZON, lamp_seen, lamp_seen_nearby, shadow_grid
from bridge_server.stages.render_subject import Subject, mapped_subject
from bridge_server.stages.render_view import prepare_view, render_view, studio_axes
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.placement import Pivot, Placement
from bridge_server.values.texture import AlbedoMap, NormalMap, PackedMap, Packing
from tests.unwrapped_shapes import unwrapped_ball, unwrapped_box

AS_IT_IS = Placement(scale=1.0, translation_m=(0.0, 0.0, 0.0), pivot=Pivot.CENTER, height_cm=100.0)
SIZE_PX = 400


def joined(first: UnwrappedMesh, second: UnwrappedMesh) -> UnwrappedMesh:
    count = len(first.positions_m)
    both = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("positions_m", "normals", "tangents", "uvs", "charts")
    }
    return dataclasses.replace(
        first,
        **both,
        faces=np.concatenate([first.faces, second.faces + np.int32(count)]),
        welded=np.concatenate([first.welded, second.welded + np.int32(count)]),
    )


def plain(raycaster, unwrapped: UnwrappedMesh) -> Subject:
    return mapped_subject(
        raycaster,
        unwrapped,
        AS_IT_IS,
        normal=NormalMap(pixels=np.tile(np.uint16([32768, 32768, 65535]), (8, 8, 1))),
        albedo=AlbedoMap(pixels=np.full((8, 8, 3), 180, np.uint8)),
        packed=PackedMap(packing=Packing.ORM, pixels=np.tile(np.uint8([255, 255, 0]), (8, 8, 1))),
    )


@pytest.fixture(scope="module")
def raycaster():
    return RAYCASTERS.load(RAYCASTERS.choose("auto"))


@pytest.fixture(scope="module")
def wall_behind_ball(raycaster):
    """A ball in front of a wide wall, seen from the front; its half-shadow falls on the wall and on itself."""
    return plain(raycaster, joined(unwrapped_box((4.0, 4.0, 0.02)), unwrapped_ball(0.4, 12, (-0.4, 0.4, 0.7))))


def lamp_by_many_rays(view, places, choose) -> np.ndarray:
    """The same question asked with 2048 rays for each place."""
    normals = (places.normals * places.side[:, None])[choose]
    origins = (places.points_m + places.facing * np.float32(view.lamp.lift_m))[choose]
    seen, asked = np.zeros(len(choose)), np.zeros(len(choose))
    for direction in (lamp_patterns(128) @ view.to_studio).reshape(-1, 3):
        share = np.maximum(normals @ direction, 0) + HORIZON
        blocked = view.subject.scene.occluded(np.ascontiguousarray(origins), np.tile(direction, (len(choose), 1)))
        seen += np.where(blocked, 0.0, share)
        asked += share
    return seen / asked


def test_half_shadows_equal_those_by_many_rays(wall_behind_ball):
    view = prepare_view(wall_behind_ball, azimuth_deg=0, elevation_deg=4, size_px=SIZE_PX)
    grid = PixelGrid(size_px=SIZE_PX, rows=range(60, 340), columns=range(60, 340))
    samples = center_samples(view.subject, view.camera, grid)
    shadow = shadow_grid(view.lamp, samples, grid, settled=grid.rows)
    cells = shadow.cells(samples.pixels)
    lamp = lamp_seen(shadow, cells)
    half = np.flatnonzero(shadow.half[cells])
    lamp[half] = lamp_seen_nearby(view.lamp, shadow, samples.places.chosen(half), cells[half], view.pixel_m)
    assert 0.02 < len(half) / len(cells) < 0.6
    choose = np.random.default_rng(0).choice(len(cells), 1500, replace=False)
    truth = lamp_by_many_rays(view, samples.places, choose)
    error = np.abs(lamp[choose] - truth)
    assert np.mean((truth > 0.1) & (truth < 0.9)) > 0.02
    assert np.mean(error) < 0.006
    assert np.quantile(error, 0.99) < 0.06


def test_soft_shadows_have_no_grain(wall_behind_ball):
    """On the wall the light runs smoothly through the half-shadow: no pixel stands out from its neighbours."""
    view = prepare_view(wall_behind_ball, azimuth_deg=0, elevation_deg=4, size_px=SIZE_PX)
    picture = render_view(SilentRun(), view).astype(float).mean(axis=2)
    shadow = picture[200:300, 215:330]
    assert shadow.max() - shadow.min() > 25
    for axis in (0, 1):
        assert np.abs(np.diff(shadow, 2, axis=axis)).max() < 4.0


def test_places_without_neighbours_cast_their_own_rays(wall_behind_ball):
    view = prepare_view(wall_behind_ball, azimuth_deg=0, elevation_deg=4, size_px=SIZE_PX)
    grid = PixelGrid(size_px=SIZE_PX, rows=range(100, 300), columns=range(100, 300))
    samples = center_samples(view.subject, view.camera, grid)
    shadow = shadow_grid(view.lamp, samples, grid, settled=grid.rows)
    empty = dataclasses.replace(shadow, guide=np.zeros_like(shadow.guide))
    choose = np.arange(0, len(samples.pixels), 37)
    places = samples.places.chosen(choose)
    lamp = lamp_seen_nearby(view.lamp, empty, places, shadow.cells(samples.pixels[choose]), view.pixel_m)
    truth = lamp_by_many_rays(view, samples.places, choose)
    assert np.abs(lamp - truth).mean() < 0.03
    assert np.abs(lamp - truth).max() < 0.35


def test_pixels_at_outlines_and_creases_are_broken(raycaster):
    view = prepare_view(plain(raycaster, unwrapped_box()), azimuth_deg=45, elevation_deg=0.5, size_px=64)
    grid = PixelGrid(size_px=64, rows=range(64), columns=range(64))
    samples = center_samples(view.subject, view.camera, grid)
    broken = is_broken(samples, grid, view.pixel_m)
    met = np.zeros(64 * 64, bool)
    met[samples.pixels] = True
    row = met.reshape(64, 64)[32]
    first, last = np.flatnonzero(row)[[0, -1]]
    expected = {first - 1, first, 31, 32, last, last + 1}  # two outlines, and the vertical edge in the middle
    assert set(np.flatnonzero(broken[32])) == expected


def test_the_floor_is_dark_where_a_foot_touches_it(raycaster):
    """Beside a thin leg the floor is much darker than a little further off, and its shadow starts right there."""
    tall = joined(unwrapped_box((0.06, 1.0, 0.06)), unwrapped_box((1.0, 0.3, 0.3), (0.0, 0.65, 0.0)))
    subject = plain(raycaster, tall)
    floor = cast_floor(subject, studio_axes(0.0), cells=576)
    near = floor.openness.at(np.float32([0.045]), np.float32([0.0]))[0]
    far = floor.openness.at(np.float32([0.3]), np.float32([0.0]))[0]
    assert near < far - 0.12
    lamp = np.asarray(STUDIO_KEY.axis)
    behind = -lamp[[0, 2]] / np.hypot(*lamp[[0, 2]]) * 0.08
    assert floor.key.at(np.float32(behind[:1]), np.float32(behind[1:]))[0] < 0.35


def test_dot_is_the_scalar_product():
    left, right = np.random.default_rng(1).normal(size=(2, 50, 3)).astype(np.float32)
    np.testing.assert_allclose(dot(left, right), (left * right).sum(axis=1), rtol=1e-5, atol=1e-6)
