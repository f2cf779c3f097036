from dataclasses import replace

import numpy as np
import pytest

from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import SilentRun
from bridge_server.stages.repair import Repair
from bridge_server.stages.repair_hidden import flood_agrees
from bridge_server.values.mesh import HighPoly, Mesh, area_m2, is_watertight, volume_m3
from bridge_server.values.mesh_topology import face_components
from bridge_server.values.surface import VertexField
from tests import shapes
from tests.stages.repair_cases import ball_with_holes, middles, repaired, revolved, walled, without

SIX = ((0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0), (0, 0, 1), (0, 0, -1))


@pytest.mark.parametrize("turn", [False, True], ids=["outward", "inward"])
def test_a_second_hull_inside_goes_however_it_is_wound(turn):
    inner = shapes.sphere(0.9, 3)
    both = shapes.merged(shapes.sphere(1.0, 3), shapes.flipped(inner) if turn else inner)
    found, notices = repaired(both)
    assert is_watertight(found)
    assert volume_m3(found) == pytest.approx(volume_m3(shapes.sphere(1.0, 3)))
    assert "hidden_removed" in notices


@pytest.mark.parametrize("axes", [SIX[:1], SIX], ids=["one hole", "six holes"])
def test_a_hull_that_hangs_on_small_holes_is_cut_off_and_the_holes_are_closed(axes):
    found, notices = repaired(walled(ball_with_holes(0.12, axes)))
    assert is_watertight(found)
    assert found.faces.max() < len(found.positions_m)
    assert volume_m3(found) == pytest.approx(volume_m3(shapes.sphere(1.0, 4)), rel=5e-3)
    assert np.linalg.norm(found.positions_m, axis=1).min() > 0.93
    assert "hidden_removed" in notices


HOLLOW = {
    "bowl": walled(ball_with_holes(1.6)),
    "jar with a narrow mouth": walled(ball_with_holes(0.5)),
    "bottle": revolved(
        [(0, -1), (0.4, -1), (0.4, 0.4), (0.12, 0.6), (0.12, 1), (0.09, 1), (0.09, 0.6), (0.36, 0.38), (0.36, -0.95),
         (0, -0.95)]
    ),
    "pipe": revolved([(0.1, -1), (0.1, 1), (0.08, 1), (0.08, -1), (0.1, -1)]),
    "thin pipe": revolved([(0.03, -1), (0.03, 1), (0.02, 1), (0.02, -1), (0.03, -1)]),
}  # fmt: skip


@pytest.mark.parametrize("name", HOLLOW)
def test_what_is_hollow_and_open_keeps_its_inside(name):
    mesh = HOLLOW[name]
    assert is_watertight(mesh)
    found, notices = repaired(mesh)
    assert len(found.faces) == len(mesh.faces)
    assert "hidden_removed" not in notices


def test_an_open_shell_keeps_what_lies_in_it():
    basket = shapes.merged(walled(ball_with_holes(1.6)), shapes.sphere(0.5, 3))
    found, _ = repaired(basket)
    assert face_components(found.faces).max() == 1


def test_parts_that_are_half_sunk_stay():
    nested = shapes.merged(shapes.sphere(1.0, 3), shapes.sphere(0.4, 3, (0.9, 0.0, 0.0)))
    found, _ = repaired(nested)
    assert len(found.faces) == len(nested.faces)


def test_hidden_hulls_stay_where_they_are_wanted_or_seen_through_glass():
    both = shapes.merged(shapes.sphere(1.0, 3), shapes.sphere(0.9, 3))
    assert len(repaired(both, remove_hidden=False)[0].faces) == len(both.faces)

    class Glass(VertexField):
        def sample(self, points_m, locate):
            return replace(super().sample(points_m, locate), opacity=np.full(len(points_m), 0.3, np.float32))

    field = shapes.painted(both).field
    glass = Glass(
        positions_m=field.positions_m,
        faces=field.faces,
        base_color=field.base_color,
        metallic=field.metallic,
        roughness=field.roughness,
    )
    high = HighPoly(mesh=both, field=glass, source="test")
    found = Repair()(SilentRun(), RAYCASTERS.load("embree"), high_poly=high)
    assert len(found.mesh.faces) == len(both.faces)
    assert "hidden_kept" in {notice.code for notice in found.notices}


def test_the_flood_refuses_to_lay_an_inside_open():
    ball = shapes.merged(shapes.sphere(1.0, 3), shapes.sphere(0.8, 3))
    inner = face_components(ball.faces) == 1
    assert flood_agrees(ball, inner, 0.05)
    assert not flood_agrees(ball, ~inner, 0.05)


def test_an_open_bottom_over_a_second_hull_is_closed_and_the_hull_goes():
    bell = without(shapes.sphere(1.0, 4), middles(shapes.sphere(1.0, 4))[:, 1] < -0.8)
    inner = Mesh(positions_m=bell.positions_m * np.float32(0.9), faces=bell.faces)
    found, notices = repaired(shapes.merged(bell, inner))
    assert is_watertight(found)
    assert face_components(found.faces).max() == 0
    assert area_m2(found) < 1.1 * area_m2(shapes.sphere(1.0, 4))
    assert "holes_filled" in notices
