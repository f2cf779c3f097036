import numpy as np

from bridge_server.values.winding_number import winding_field, winding_number
from tests import shapes


def corners_of(mesh):
    return mesh.positions_m.astype(np.float64)[mesh.faces]


def test_groups_of_faces_agree_with_single_faces_on_an_open_torn_surface():
    torus = shapes.torus(rows=80, columns=40)
    corners = corners_of(torus)[np.random.default_rng(0).random(len(torus.faces)) < 0.7]
    points = np.random.default_rng(1).uniform(-0.8, 0.8, (300, 3))
    exact = np.array([winding_number(corners, point) for point in points])
    fast = winding_field(corners).at(points)
    assert np.abs(fast - exact).max() < 0.02
    assert exact.min() < 0.1
    assert exact.max() > 0.6


def test_the_number_counts_nested_shells_and_tells_inside_out():
    middle = np.zeros((1, 3))
    nested = shapes.merged(shapes.sphere(1.0, 3), shapes.sphere(0.5, 3))
    assert abs(winding_field(corners_of(nested)).at(middle)[0] - 2.0) < 0.03
    assert abs(winding_field(corners_of(shapes.flipped(shapes.sphere(1.0, 3)))).at(middle)[0] + 1.0) < 0.03
    assert abs(winding_field(corners_of(nested)).at(middle + 5.0)[0]) < 0.03


def test_a_half_sphere_goes_half_around_its_middle():
    ball = shapes.sphere(1.0, 4)
    half = corners_of(ball)[corners_of(ball)[..., 1].mean(axis=1) > 0.0]
    assert abs(winding_field(half).at(np.zeros((1, 3)))[0] - 0.5) < 0.02
