import numpy as np
import pytest

from bridge_server.stages.camera import framing_camera, turntable_hull, view_axes
from tests import shapes


@pytest.mark.parametrize("size", [(1, 1, 1), (0.1, 3, 0.2), (4, 0.05, 1), (100, 80, 90), (0.002, 0.001, 0.003)])
@pytest.mark.parametrize(("azimuth", "elevation"), [(0, 0), (35, 18), (200, -30), (90, 85)])
def test_the_picture_holds_the_asset_centred_and_as_large_as_asked(size, azimuth, elevation):
    points = shapes.box(size, center=(5.0, -2.0, 1.0)).positions_m
    camera = framing_camera(points, azimuth, elevation, fill=0.8)
    picture = camera.project(points.astype(np.float64))
    assert np.abs(picture).max() == pytest.approx(0.8, abs=1e-6)
    np.testing.assert_allclose(picture.min(axis=0), -picture.max(axis=0), atol=0.02)
    assert np.all(-camera.axes[2] @ (points - camera.eye_m).T > 0)


def test_projection_and_rays_agree():
    camera = framing_camera(shapes.sphere(0.5, 2).positions_m, 35.0, 18.0)
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (50, 3))
    directions = camera.directions(*camera.project(points).astype(np.float32).T)
    towards = points - camera.eye_m
    np.testing.assert_allclose(directions, towards / np.linalg.norm(towards, axis=1, keepdims=True), atol=1e-5)


def test_azimuth_goes_from_the_front_to_the_assets_left():
    np.testing.assert_allclose(view_axes(0, 0), np.eye(3), atol=1e-12)
    right, up, back = view_axes(90, 0)
    np.testing.assert_allclose(back, [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(right, [0, 0, -1], atol=1e-12)
    np.testing.assert_allclose(view_axes(10, 90)[2], [0, 1, 0], atol=1e-12)
    assert np.linalg.det(view_axes(33, 21)) == pytest.approx(1.0)
    assert up[1] == pytest.approx(1.0)


def test_the_turntable_hull_holds_every_turn():
    points = shapes.box((1.0, 0.4, 0.3), center=(2.0, 1.0, 0.0)).positions_m
    hull = turntable_hull(points)
    for turn in range(0, 360, 30):
        picture = framing_camera(hull, turn, 18.0).project(points.astype(np.float64))
        assert np.abs(picture).max() < 0.83
