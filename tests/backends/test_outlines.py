"""Outlines of rough meshes: a light mesh is moved out to where they run, and no other mesh is."""

import numpy as np
import pytest

from bridge_server.backends.mesh_filter.collapsing import collapsed
from bridge_server.backends.mesh_filter.fitting import begun, best_round
from bridge_server.backends.mesh_filter.fitting_outline import ROUGH, move_out
from bridge_server.backends.mesh_filter.fitting_worst import restore
from bridge_server.run import SilentRun
from bridge_server.values.mesh import Mesh
from tests import shapes


def rough_ball(depth):
    """Every vertex lies off by chance, so far that normals go all ways."""
    ball = shapes.sphere(0.5, 5)
    off = 1.0 + depth * np.random.default_rng(1).standard_normal((len(ball.positions_m), 1))
    return Mesh(positions_m=(ball.positions_m * off).astype(np.float32), faces=ball.faces)


def fit_of(dense, count):
    """Fitted as decimation does it, and not moved out yet."""
    light = collapsed(dense, count, SilentRun())
    fit = begun(dense, light)
    restore(fit, best_round(fit, SilentRun()))
    return fit


def half_width(places):
    """How far a mesh around the origin reaches, on the average of many directions."""
    directions = np.random.default_rng(7).standard_normal((500, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return float((places @ directions.T).max(axis=0).mean())


@pytest.mark.parametrize("count", [200, 600])
def test_a_rough_ball_that_came_out_too_slim_grows_and_comes_hardly_farther_away(count):
    fit = fit_of(rough_ball(0.02), count)
    wanted, slim, mean = half_width(fit.dense.places), half_width(fit.light.places), fit.mean_of(fit.distances)
    assert fit.turned > ROUGH
    assert slim < wanted - mean
    move_out(fit)
    assert slim + 0.2 * mean < half_width(fit.light.places) < wanted
    assert fit.mean_of(fit.distances) < 1.03 * mean


def test_what_reaches_far_enough_stays():
    fit = fit_of(rough_ball(0.02), 200)
    fit.light.places[...] *= 1.2
    before = fit.light.places.copy()
    move_out(fit)
    assert np.array_equal(fit.light.places, before)


@pytest.mark.parametrize("depth", [0.0, 0.002])
def test_where_normals_are_kept_nothing_moves(depth):
    fit = fit_of(rough_ball(depth), 2000)
    assert fit.turned < ROUGH
    before = fit.light.places.copy()
    move_out(fit)
    assert np.array_equal(fit.light.places, before)


def test_an_open_sheet_has_no_outside():
    ball = rough_ball(0.01)
    upper = ball.positions_m[ball.faces][:, :, 1].min(axis=1) > -0.1
    fit = fit_of(Mesh(positions_m=ball.positions_m, faces=ball.faces[upper]), 300)
    assert fit.turned > ROUGH
    before = fit.light.places.copy()
    move_out(fit)
    assert np.array_equal(fit.light.places, before)


def test_what_moved_out_turned_no_face_over():
    fit = fit_of(rough_ball(0.02), 200)
    before = fit.light.normals()
    move_out(fit)
    assert (np.einsum("fk,fk->f", fit.light.normals(), before) >= 0.5).all()


def test_faces_that_no_sample_hit_are_no_reason_to_move():
    fit = fit_of(rough_ball(0.02), 200)
    fit.dense_normals[...] = 0.0
    assert fit.turned == 0.0
