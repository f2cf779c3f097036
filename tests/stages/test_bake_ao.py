"""Ambient occlusion against form factors known in closed form."""

import numpy as np
import pytest

from bridge_server.run import SilentRun
from bridge_server.stages.bake_ao import BakeAo
from bridge_server.stages.occlusion import Hemisphere, hemisphere_sets, openness
from bridge_server.stages.occlusion_smoothing import SurfaceMap, denoised, enlarged
from bridge_server.values.mesh import Mesh
from tests.shapes import box, flipped, merged, sphere
from tests.stages.bake_cases import Case, case, plane, raycaster


def baked(found: Case, **fields: float) -> np.ndarray:
    """Openness at each hit."""
    pixels = BakeAo(**fields)(SilentRun(), raycaster(), **found.slots).pixels
    size, samples = found.texel_hits.resolution_px, found.texel_hits.supersample
    row, column = np.divmod(found.texel_hits.index, size * samples)
    return pixels[row // samples, column // samples] / 255.0


def test_a_plane_and_a_sphere_are_open() -> None:
    assert (baked(case(plane(), plane(1.0, 8), size=64)) == 1.0).all()
    assert baked(case(sphere(0.5, 2), sphere(0.5, 4), size=64)).min() > 0.99
    assert (baked(case(box(), box(), size=64)) == 1.0).all()


def test_a_floor_beside_a_long_wall_darkens_by_its_form_factor() -> None:
    wall = box((0.1, 0.5, 40.0), (-0.05, 0.25, 0.0))
    floor = Mesh(
        positions_m=np.float32([[0.001, 0, -0.5], [0.001, 0, 0.5], [1, 0, 0.5], [1, 0, -0.5]]),
        faces=np.int32([[0, 1, 2], [0, 2, 3]]),
    )
    found = case(floor, merged(floor, wall), size=128, cage_offset_m=0.01)
    for fields, tolerance in (({"samples": 256, "coarseness": 1, "denoise_rounds": 0}, 0.03), ({}, 0.04)):
        values = baked(found, distance_m=100.0, **fields)
        x = found.low_at_texels(found.unwrapped.positions_m)[:, 0]
        expected = 0.5 * (1 + x / np.hypot(x, 0.5))
        error = np.abs(values - expected)[x > 0.02]
        assert error.mean() < 0.01
        assert np.percentile(error, 99) < tolerance
    near = baked(found, distance_m=0.05, samples=64)
    assert (near[x > 0.08] == 1.0).all()


def test_a_hemispherical_pit_sees_half() -> None:
    ball = sphere(0.5, 5)
    keep = (ball.positions_m[ball.faces].mean(axis=1)[:, 1] < 0) & (
        ball.positions_m[ball.faces][:, :, 1].max(axis=1) < 0.02
    )
    pit = flipped(Mesh(positions_m=ball.positions_m, faces=ball.faces[keep]))
    random = np.random.default_rng(0)
    chosen = random.choice(len(pit.faces), 400, replace=False)
    corners = pit.positions_m[pit.faces[chosen]]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals = (cross / np.linalg.norm(cross, axis=1, keepdims=True)).astype(np.float32)
    scene = raycaster().scene(pit.positions_m, pit.faces)
    hemisphere = Hemisphere(scene=scene, sets=hemisphere_sets(256), start_m=1e-4, reach_m=10.0)
    texel = random.integers(0, 500, (400, 2))
    found = openness(hemisphere, corners.mean(axis=1), normals, normals, texel)
    assert found.mean() == pytest.approx(0.5, abs=0.015)
    assert np.abs(found - 0.5).max() < 0.1


def test_directions_are_unit_cosine_weighted_and_varied() -> None:
    sets = hemisphere_sets(64).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(sets, axis=2), 1.0, atol=1e-6)
    np.testing.assert_allclose(sets[:, :, 2].mean(axis=1), 2 / 3, atol=0.01)
    np.testing.assert_allclose((sets[:, :, 2] ** 2).mean(axis=1), 1 / 2, atol=0.01)
    assert np.abs(sets[:, :, :2].mean(axis=1)).max() < 0.04
    assert len(np.unique(sets.reshape(16, -1), axis=0)) == 16


def test_a_set_dealt_out_to_places_is_the_whole_set_and_each_part_goes_all_round() -> None:
    whole, dealt = hemisphere_sets(64), hemisphere_sets(64, 4).reshape(16, 4, 16, 3)
    for one, parts in zip(whole, dealt, strict=True):
        np.testing.assert_array_equal(np.unique(one, axis=0), np.unique(parts.reshape(-1, 3), axis=0))
    assert np.abs(dealt.astype(np.float64).mean(axis=2)[..., :2]).max() < 0.15


def test_a_ramp_sampled_coarsely_comes_back_where_it_was() -> None:
    size = 32
    row, column = np.indices((size, size)).astype(np.float32)
    place, up = np.stack([column, row, 0 * row], axis=2), np.tile(np.float32([0, 0, 1]), (size, size, 1))
    large = SurfaceMap(charts=np.zeros((size, size), np.int32), points_m=place, normals=up, texel_m=1.0)
    ramp = (column + 0.5) / size
    for taken, at in ((0, 0.25), (1, 0.75)):
        chosen = slice(taken, None, 2), slice(taken, None, 2)
        small = SurfaceMap(
            charts=large.charts[chosen], points_m=place[chosen], normals=up[chosen], texel_m=2.0, taken_at=at
        )
        inner = slice(4, -4), slice(4, -4)
        np.testing.assert_allclose(enlarged(ramp[chosen], small, large, 2)[inner], ramp[inner], atol=3e-4)


def test_smoothing_never_crosses_charts_or_creases() -> None:
    size = 32
    charts = np.where(np.arange(size)[None, :] < 16, 0, 1) + np.zeros((size, 1), np.int32)
    charts = charts.astype(np.int32)
    row, column = np.indices((size, size)).astype(np.float32)
    points = np.stack([column, row, 0 * row], axis=2) * np.float32(0.01)
    flat = np.tile(np.float32([0, 0, 1]), (size, size, 1))
    surface = SurfaceMap(charts=charts, points_m=points, normals=flat, texel_m=0.01)
    values = np.where(charts == 0, 0.4, 0.5).astype(np.float32)
    np.testing.assert_allclose(denoised(values, surface, rounds=3, samples=4, run=SilentRun()), values, atol=1e-6)
    noisy = values + np.random.default_rng(0).normal(0, 0.05, values.shape).astype(np.float32)
    assert (
        np.abs(denoised(noisy, surface, rounds=1, samples=4, run=SilentRun()) - values).std()
        < 0.5 * np.abs(noisy - values).std()
    )
    normals = np.where(row[:, :, None] < 16, np.float32([0, 0, 1]), np.float32([0, 1, 0])).astype(np.float32)
    crease = SurfaceMap(charts=0 * charts, points_m=points, normals=normals, texel_m=0.01)
    step = np.where(row < 16, 0.45, 0.55).astype(np.float32)
    np.testing.assert_allclose(denoised(step, crease, rounds=2, samples=4, run=SilentRun()), step, atol=1e-6)
    large = SurfaceMap(
        charts=charts.repeat(2, 0).repeat(2, 1), points_m=points.repeat(2, 0).repeat(2, 1),
        normals=flat.repeat(2, 0).repeat(2, 1), texel_m=0.005,
    )  # fmt: skip
    np.testing.assert_allclose(enlarged(values, surface, large, 2), values.repeat(2, 0).repeat(2, 1), atol=1e-6)


def test_occlusion_is_deterministic() -> None:
    found = case(box(), merged(box(), box((0.2, 0.2, 0.2), (0.0, 0.6, 0.0))), size=64, supersample=2)
    np.testing.assert_array_equal(baked(found), baked(found))
