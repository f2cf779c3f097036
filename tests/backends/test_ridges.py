"""What counts as a ridge, and that decimation keeps outlines by it."""

import numpy as np
import pytest

from bridge_server.backends.compiled import compiled_loops
from bridge_server.backends.mesh_filter import ridges, sampling
from bridge_server.backends.mesh_filter.quadric import QuadricFilter
from bridge_server.backends.mesh_filter.ridges import MOST, REACH, ridge_weights, ridges_at_vertices, ridges_of
from bridge_server.backends.mesh_filter.sampling import Gap, Walkable
from bridge_server.run import SilentRun
from bridge_server.values.mesh import Mesh
from tests import shapes


def walkable(mesh):
    return Walkable.of(mesh.positions_m.astype(np.float64), np.array(mesh.faces))


def folded(angle_deg):
    """Two triangles on an edge of length 2, one turned by an angle out of the plane of the other, downward."""
    angle = np.radians(angle_deg)
    places = np.array([[0, -1, 0], [0, 1, 0], [-1, 0, 0], [np.cos(angle), 0, -np.sin(angle)]], np.float64)
    return Walkable.of(places, np.array([[0, 1, 2], [1, 0, 3]], np.int32))


@pytest.mark.parametrize("angle_deg", [1.0, 30.0, 90.0, 140.0])
def test_a_ridge_is_length_times_angle(angle_deg):
    found = ridges_of(folded(angle_deg))
    meant = np.zeros((2, 3))
    meant[:, 0] = 2.0 * np.radians(angle_deg)
    np.testing.assert_allclose(found, meant, atol=1e-7)


@pytest.mark.parametrize("angle_deg", [-30.0, -90.0, 0.0, 170.0, 180.0])
def test_hollows_flats_and_folds_are_none(angle_deg):
    np.testing.assert_allclose(ridges_of(folded(angle_deg)), 0.0, atol=1e-7)


def test_nor_are_borders_and_edges_of_three_faces():
    box = shapes.box()
    assert ridges_of(Walkable.of(box.positions_m.astype(np.float64), box.faces[:1])).sum() == 0.0
    fin = Mesh(positions_m=box.positions_m, faces=np.concatenate([box.faces, box.faces[:1, [0, 1, 2]]]))
    whole, torn = ridges_of(walkable(box)), ridges_of(walkable(fin))
    assert (torn[0] == 0.0).all()
    assert torn.sum() < whole.sum()


def test_a_box_has_twelve_of_right_angles():
    """By the theorem of total mean curvature: half the sum is pi times the sum of the three sides."""
    box = shapes.box()
    sides = np.ptp(box.positions_m.astype(np.float64), axis=0)
    assert ridges_of(walkable(box)).sum() / 2.0 == pytest.approx(4 * sides.sum() * np.pi / 2, rel=1e-6)
    found = ridges_of(walkable(box))
    assert ridges_at_vertices(walkable(box), found).sum() == pytest.approx(2 * found.sum())


def test_a_ball_has_as_much_as_its_curvature():
    """The integral of the mean curvature of a ball is 4 pi r; edges tell twice that."""
    assert ridges_of(walkable(shapes.sphere(0.5, 4))).sum() / 2.0 == pytest.approx(8 * np.pi * 0.5, rel=0.01)


def test_faces_gain_by_their_ridges_over_their_area():
    box = walkable(shapes.box())
    gained = REACH * ridges_of(box).sum(axis=1) / 2 / box.areas()
    np.testing.assert_allclose(ridge_weights(box, ridges_of(box)), 1.0 + gained)
    places = np.array([[0, 0, 0], [9, 0, 0], [4, 1e-6, 0], [4, 0, -1]], np.float64)
    needle = Walkable.of(places, np.array([[0, 1, 2], [1, 0, 3]], np.int32))
    assert ridge_weights(needle, ridges_of(needle)).max() == 1.0 + MOST


def screw():
    """A square column that winds once round, its caps left open."""
    around, up = np.meshgrid(np.arange(32), np.arange(97), indexing="ij")
    angle = around / 32 * 2 * np.pi + np.pi / 4
    out = 0.5 / np.maximum(np.abs(np.cos(angle)), np.abs(np.sin(angle)))
    turn = angle + up / 96 * 2 * np.pi
    places = np.stack([out * np.cos(turn), up / 24.0, -out * np.sin(turn)], axis=-1).reshape(-1, 3)
    a, b = (around[:, :-1] * 97 + up[:, :-1]).reshape(-1), ((around[:, :-1] + 1) % 32 * 97 + up[:, :-1]).reshape(-1)
    faces = np.concatenate([np.stack([a, b, a + 1], 1), np.stack([a + 1, b, b + 1], 1)])
    return Mesh(positions_m=places.astype(np.float32), faces=faces.astype(np.int32)), (around % 8 == 0).reshape(-1)


def test_ridges_come_out_nearer(monkeypatch):
    """Beside the same filter that counts by area alone; all of the surface stays about as near."""
    mesh, at_ridge = screw()

    def distances(light):
        gap = Gap.of(mesh.positions_m.astype(np.float64), np.zeros(len(at_ridge), np.int32), np.ones(len(at_ridge)))
        gap.found.squares[:] = np.inf
        gap.search(walkable(light), len(at_ridge))
        return np.sqrt(gap.found.squares)

    with_ridges = distances(QuadricFilter().decimate(mesh, 300, SilentRun()))
    monkeypatch.setattr(ridges, "REACH", 0.0)
    monkeypatch.setattr(sampling, "RIDGE_SHARE", 0.0)
    by_area = distances(QuadricFilter().decimate(mesh, 300, SilentRun()))
    assert with_ridges[at_ridge].mean() < 0.85 * by_area[at_ridge].mean()
    assert with_ridges.mean() < 1.1 * by_area.mean()


def test_compiled_and_plain_loops_agree():
    ball, loops = walkable(shapes.sphere(0.5, 1)), compiled_loops("ridge")
    plain = np.zeros(ball.faces.shape)
    loops.ridges_in_range.py_func(ball.surface, ball.normals(), 0, len(plain), plain)
    np.testing.assert_array_equal(plain, ridges_of(ball))
