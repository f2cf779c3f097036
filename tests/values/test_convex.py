"""Hulls against shapes whose hull is known."""

import numpy as np
import pytest

from bridge_server.values import convex
from bridge_server.values.convex import (
    convex_hull,
    farthest_first,
    is_convex,
    outside_distance_m,
    reduced_hull,
    reduced_hulls,
)
from bridge_server.values.mesh import Mesh, is_watertight, volume_m3
from tests import shapes


def test_hull_of_a_box_with_points_inside_is_the_box():
    rng = np.random.default_rng(0)
    inside = rng.uniform(-0.49, 0.49, (500, 3)).astype(np.float32)
    hull = convex_hull(np.concatenate([shapes.box().positions_m, inside]))
    assert (len(hull.positions_m), len(hull.faces)) == (8, 12)
    assert is_watertight(hull)
    assert volume_m3(hull) == pytest.approx(1.0, rel=1e-6)


def test_hull_of_a_ball_keeps_its_volume():
    ball = shapes.sphere(0.5, 3)
    hull = convex_hull(ball.positions_m)
    assert volume_m3(hull) == pytest.approx(volume_m3(ball), rel=1e-3)
    assert is_convex(hull, 1e-6)


def test_convexity_tells_a_torus_from_a_ball():
    assert is_convex(shapes.sphere(0.5, 2), 1e-6)
    assert not is_convex(shapes.torus(rows=24, columns=12), 1e-2)


def test_distance_to_a_box_is_that_to_its_planes():
    points = np.float32([[0, 0, 0], [0.4, 0, 0], [0.75, 0, 0], [0, -2, 0]])
    np.testing.assert_allclose(outside_distance_m(shapes.box(), points), [-0.5, -0.1, 0.25, 1.5], atol=1e-6)


def test_flat_points_are_refused_or_thickened():
    square = np.float32([[0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 0, 1]])
    for flat in (square, square[:2], square[:1]):
        with pytest.raises(ValueError, match="no volume"):
            convex_hull(flat)
    hull = convex_hull(square, 0.1)
    assert is_watertight(hull)
    assert volume_m3(hull) == pytest.approx(0.1, rel=1e-5)
    assert volume_m3(convex_hull(square[:2], 0.1)) == pytest.approx(0.01, rel=1e-5)
    assert volume_m3(convex_hull(square[:1], 0.1)) == pytest.approx(0.001, rel=1e-5)


def test_farthest_first_finds_the_corners():
    rng = np.random.default_rng(1)
    points = np.concatenate([rng.uniform(-0.4, 0.4, (200, 3)).astype(np.float32), shapes.box().positions_m])
    assert set(farthest_first(points, 8).tolist()) == set(range(200, 208))
    assert len(farthest_first(points, 50)) == 8, "nothing else lies outside"


@pytest.mark.parametrize("count", [8, 16, 32])
def test_a_reduced_hull_is_small_solid_and_falls_short_no_more_than_allowed(count):
    ball = convex_hull(shapes.sphere(0.5, 3).positions_m)
    small = reduced_hull(ball, count, 0.02)
    assert len(small.positions_m) <= count
    assert is_watertight(small)
    assert is_convex(small, 1e-5)
    assert (small.positions_m >= ball.bounds_m[0]).all()
    assert (small.positions_m <= ball.bounds_m[1]).all()
    if count >= 16:
        assert outside_distance_m(small, ball.positions_m).max() <= 0.02 + 0.015
        assert volume_m3(small) < 1.35 * volume_m3(ball)


def test_few_vertices_cost_a_ball_little_volume():
    """Only faces that miss a point are pushed out: with all corners pushed alike these came to 1.56 and 1.20."""
    ball = convex_hull(shapes.sphere(0.5, 3).positions_m)
    for count, most in ((12, 1.3), (20, 1.14)):
        small = reduced_hull(ball, count, 0.02)
        assert outside_distance_m(small, ball.positions_m).max() <= 0.023
        assert volume_m3(small) < most * volume_m3(ball)


def test_a_needle_whose_direction_is_chance_shuts_nothing_out():
    """A cut by a plane leaves such triangles along its edges."""
    box = shapes.box()
    start, end = box.positions_m[box.faces[0, 0]], box.positions_m[box.faces[0, 1]]
    along = np.stack([start, (start + end) / 2, end])
    along[1] += np.float32(3e-6) * np.array([1.0, 1.0, 1.0], np.float32)
    needles = np.array([[8, 9, 10], [10, 9, 8]], np.int32)
    mesh = Mesh(positions_m=np.concatenate([box.positions_m, along]), faces=np.concatenate([box.faces, needles]))
    assert outside_distance_m(mesh, np.zeros((1, 3), np.float32))[0] == pytest.approx(-0.5)


def test_a_hull_small_enough_stays_as_it_is():
    box = shapes.box()
    assert reduced_hull(box, 8, 0.01) is box


def test_points_that_nearly_share_a_plane_are_no_obstacle():
    """A body cut by a plane, as convex decomposition leaves it; growing one hull point by point fails on it."""
    millimetres = [
        (-100, 377, -165), (-100, 585, -165), (-79, 3, -278), (-71, 323, -170), (18, 639, -165), (57, 374, -662),
        (71, 323, -170), (79, 3, -278), (100, 377, -165), (115, 504, -165),
    ]  # fmt: skip
    points = np.float32(millimetres) / 1000
    chosen = farthest_first(convex_hull(points).positions_m, 64)
    assert sorted(chosen) == list(range(len(points)))


@pytest.mark.parametrize(("flat", "counts"), [({6}, (6, 12)), ({6, 12}, (6, 12)), ({6}, (6,))])
def test_a_count_that_comes_out_flat_is_left_out(monkeypatch, flat, counts):
    """Pushed faces are clipped to the box, which took all six vertices of a piece with a wide floor into the floor."""
    ball, grown = convex_hull(shapes.sphere(subdivisions=2).positions_m), convex._grown

    def clipped(result, hull, slack_m):
        if len(result.positions_m) in flat:
            return convex_hull(result.positions_m * np.array([1.0, 0.0, 1.0], np.float32))
        return grown(result, hull, slack_m)

    monkeypatch.setattr(convex, "_grown", clipped)
    (found,) = reduced_hulls(ball, counts, 0.02)
    assert is_watertight(found)
    assert (found is ball) == (counts[-1] in flat)
