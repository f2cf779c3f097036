"""Solids of closed meshes, and wraps around open ones."""

import numpy as np
import pytest

from bridge_server.values.mesh import Mesh, is_watertight, volume_m3
from bridge_server.values.solid import bounded_solid, simplified, wrapped
from tests import shapes


def test_shells_are_united_and_cavities_filled():
    two = shapes.merged(shapes.box(), shapes.box(center=(0.5, 0.0, 0.0)))
    assert bounded_solid(two).volume() == pytest.approx(1.5, rel=1e-5)
    hollow = shapes.merged(shapes.box(), shapes.flipped(shapes.box((0.5, 0.5, 0.5))))
    assert bounded_solid(hollow).volume() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize(
    "mesh",
    [Mesh(positions_m=shapes.box().positions_m, faces=shapes.box().faces[1:]), shapes.flipped(shapes.box())],
    ids=["open", "inside out"],
)
def test_what_bounds_nothing_has_no_solid(mesh):
    assert bounded_solid(mesh) is None


def test_simplification_keeps_flat_faces_exact_and_round_ones_close():
    box = bounded_solid(shapes.merged(shapes.box(), shapes.box((0.2, 2.0, 0.2))))
    assert simplified(box, 20, 1.7).volume() == pytest.approx(box.volume(), rel=1e-5)
    ball = bounded_solid(shapes.sphere(0.5, 4))
    simple = simplified(ball, 800, 1.7)
    assert simple.num_tri() < ball.num_tri() / 2
    assert simple.volume() == pytest.approx(ball.volume(), rel=0.03)


def test_simplification_does_not_thin_a_blade():
    along = np.linspace(-1.0, 1.0, 400)
    width = 0.05 * np.sqrt(1.0 - 0.99 * along**2)
    edges = [[(x, w, 0.0), (x, 0.0, 0.005), (x, -w, 0.0), (x, 0.0, -0.005)] for x, w in zip(along, width, strict=True)]
    place = np.array(edges)
    blade = shapes.grid_surface(400, 4, place, wrap_rows=False, wrap_columns=True)
    ends = np.array([[0, 1, 2], [0, 2, 3], [1596, 1598, 1597], [1596, 1599, 1598]], np.int32)
    closed = Mesh(positions_m=blade.positions_m, faces=np.concatenate([blade.faces, ends]))
    solid = bounded_solid(closed) or bounded_solid(shapes.flipped(closed))
    simple = simplified(solid, 200, closed.diagonal_m)
    assert simple.num_tri() <= 400
    assert simple.volume() == pytest.approx(solid.volume(), rel=0.03)


def test_a_wrap_is_closed_and_lies_about_a_cell_outside():
    box = shapes.box()
    open_box = Mesh(positions_m=box.positions_m, faces=np.delete(box.faces, [4, 5], axis=0))
    wrap = wrapped(open_box)
    assert is_watertight(wrap)
    outside_cells = (wrap.bounds_m[1] - 0.5) * 48
    assert (outside_cells > 0.9).all()
    assert (outside_cells < 1.5).all()
    assert 0.1 < volume_m3(wrap) < 0.4, "a shell, not a block"


def test_a_wrap_fills_what_lies_behind_a_small_hole():
    ball = shapes.sphere(0.5, 4)
    pricked = Mesh(positions_m=ball.positions_m, faces=ball.faces[3:])
    assert volume_m3(wrapped(pricked)) == pytest.approx(4 / 3 * np.pi * (0.5 + 1 / 48) ** 3, rel=0.05)
