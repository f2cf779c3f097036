from dataclasses import replace

import numpy as np
import pytest

from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.run import SilentRun
from bridge_server.stages import repair
from bridge_server.stages.field_sampling import same_faces
from bridge_server.stages.repair import Repair
from bridge_server.stages.repair_crossings import crossing_pairs
from bridge_server.stages.repair_guard import inside_changed
from bridge_server.stages.surface_places import SceneLocate
from bridge_server.values.mesh import Mesh, face_cross_products, is_watertight, volume_m3
from bridge_server.values.winding_number import winding_number
from tests import shapes
from tests.stages import crossing_cases as cases
from tests.stages.repair_cases import middles, repaired, without

SHELLS = {
    "bent tube": cases.bent_tube,
    "figure of eight": lambda: cases.looped_tube(cases.eight_axis(), cases.RADIUS_M),
    "arm through the body": cases.arm_through_the_body,
}


def crossings(mesh):
    return len(crossing_pairs(mesh, SilentRun()))


def resolved(mesh):
    return repaired(mesh, resolve_intersections=True)


def united_volume_m3(*shells):
    from manifold3d import Manifold, OpType
    from manifold3d import Mesh as Arrays

    solids = [Manifold(Arrays(shell.positions_m.copy(), shell.faces.astype(np.uint32))) for shell in shells]
    return Manifold.batch_boolean(solids, OpType.Add).volume()


@pytest.mark.slow  # asks all pairs of faces
@pytest.mark.parametrize("name", SHELLS)
def test_a_shell_that_runs_through_itself_becomes_the_border_of_what_it_encloses(name):
    mesh = SHELLS[name]()
    before = cases.crossing_by_brute_force(mesh)
    assert before == crossings(mesh) > 0
    found, notices = resolved(mesh)
    assert is_watertight(found)
    assert cases.crossing_by_brute_force(found) == 0
    assert notices["intersections_resolved"].message == f"{before:,} pairs of faces ran through each other; 0 do still."
    points = np.random.default_rng(5).uniform(*mesh.bounds_m, (300, 3)).astype(np.float64)
    turns = [np.array([winding_number(m.positions_m.astype(float)[m.faces], p) for p in points]) for m in (mesh, found)]
    assert turns[0].max() > 1.9 or name == "figure of eight"
    np.testing.assert_allclose(turns[1], turns[0] > 0.5, atol=1e-3)


def test_its_volume_is_that_of_two_halves_united():
    axis = cases.looped_axis()
    place = cases.rings(axis, cases.RADIUS_M, 12)
    halves = cases.capped(place[:40]), cases.capped(place[39:])
    assert not any(crossings(half) for half in halves)
    found, _ = resolved(cases.bent_tube())
    assert volume_m3(found) == pytest.approx(united_volume_m3(*halves), rel=1e-5)
    assert volume_m3(found) < 0.98 * sum(volume_m3(half) for half in halves)


@pytest.mark.slow
def test_three_sheets_may_meet_in_a_point():
    axis = cases.thrice_axis()
    mesh = cases.looped_tube(axis, 0.3)
    found, _ = resolved(mesh)
    assert is_watertight(found)
    assert crossings(found) == 0
    points = np.random.default_rng(2).uniform(-0.6, 0.6, (400, 3))
    far = np.linalg.norm(points[:, None] - axis[None], axis=2).min(axis=1)
    corners = found.positions_m.astype(np.float64)[found.faces]
    for point, distance in zip(points, far, strict=True):
        if not 0.27 < distance < 0.31:
            assert winding_number(corners, point) == pytest.approx(float(distance < 0.3), abs=1e-3)


def test_sides_that_lie_in_one_plane_are_united_too():
    mesh = cases.flush_bar()
    assert volume_m3(mesh) == pytest.approx(3.0)
    found, notices = resolved(mesh)
    assert "intersections_resolved" in notices
    assert is_watertight(found)
    assert volume_m3(found) == pytest.approx(2.875, rel=1e-6)


def test_faces_that_meet_no_other_stay_to_the_bit_and_the_cut_ones_take_the_colours_of_their_own_sheet():
    axis, around = cases.eight_axis(), 12
    mesh = cases.looped_tube(axis, cases.RADIUS_M, around)
    high = cases.striped(mesh, axis, around)
    stage = Repair(resolve_intersections=True)
    found = stage(SilentRun(), RAYCASTERS.load("embree"), high_poly=high)
    kept = same_faces(found.mesh, mesh).faces >= 0
    crossed = len(np.unique(crossing_pairs(mesh, SilentRun())))
    assert 0 < (~kept).sum() < 4 * crossed
    places = middles(found.mesh)[~kept]
    color = found.field.sample(places, SceneLocate(RAYCASTERS.load("embree"))).base_color.astype(np.float64)
    turn = np.arctan2(color[:, 1] - 0.5, color[:, 0] - 0.5) % (2.0 * np.pi)
    told = axis[np.rint(turn / (2.0 * np.pi) * len(axis)).astype(int) % len(axis)]
    away = (places - told) / np.linalg.norm(places - told, axis=1, keepdims=True)
    normals = face_cross_products(found.mesh)[~kept]
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert np.einsum("ij,ij->i", away, normals).min() > 0.85  # the other sheet's would be off by its angle to this one


def test_black_that_runs_through_white_is_no_wrong_colour():
    axis, around = cases.eight_axis(), 12
    high = cases.striped(cases.looped_tube(axis, cases.RADIUS_M, around), axis, around)
    late = np.arange(len(high.mesh.positions_m)) >= len(high.mesh.positions_m) // 2
    color = np.where(late[:, None], np.ones(3), np.zeros(3)).astype(np.float32)
    high = replace(high, field=replace(high.field, base_color=color))
    stage = Repair(resolve_intersections=True, max_color_change=0.02)
    found = stage(SilentRun(), RAYCASTERS.load("embree"), high_poly=high)
    assert "intersections_resolved" in {notice.code for notice in found.notices}


def test_two_shells_of_which_one_runs_through_itself_become_one():
    ball = shapes.sphere(0.4, 3, (0.9, -0.4, 0.0))
    found, notices = resolved(shapes.merged(cases.bent_tube(), ball))
    assert is_watertight(found)
    assert crossings(found) == 0
    assert "intersections_resolved" in notices


def test_an_end_that_is_inside_out_is_no_part_of_it_so_the_step_is_undone():
    mesh = cases.dent_through_the_bottom()
    assert crossings(mesh) > 0
    found, notices = repaired(mesh, resolve_intersections=True, remove_hidden=False)
    assert len(found.faces) == len(mesh.faces)
    assert "resolving_crossings was refused" in notices["repair_refused"].message
    assert "intersections_left" in notices


def test_an_open_mesh_is_left_and_told():
    tube = cases.bent_tube()
    torn = without(tube, np.arange(len(tube.faces)) == 700)
    found, notices = repaired(torn, resolve_intersections=True, max_hole_edges=0)
    assert len(found.faces) == len(torn.faces)
    assert "intersections_left" in notices


def test_without_pymeshlab_the_shell_is_left_and_told(monkeypatch):
    monkeypatch.setattr(repair, "find_spec", lambda _: None)
    tube = cases.bent_tube()
    found, notices = resolved(tube)
    assert len(found.faces) == len(tube.faces)
    assert "repair_fallback" in notices
    assert "intersections_left" in notices


@pytest.mark.slow
def test_what_is_lost_inside_is_seen():
    ball = shapes.sphere(1.0, 2)
    hollow = shapes.merged(ball, shapes.flipped(shapes.sphere(0.6, 2)))
    assert inside_changed(ball, ball, SilentRun()) == 0.0
    assert inside_changed(ball, shapes.merged(ball, shapes.sphere(0.6, 2)), SilentRun()) == 0.0
    assert inside_changed(ball, hollow, SilentRun()) > 0.05
    assert inside_changed(ball, replace(ball, positions_m=ball.positions_m * np.float32(0.8)), SilentRun()) > 0.3


@pytest.mark.parametrize("seed", range(3))
def test_the_tree_finds_what_asking_all_pairs_finds(seed):
    random = np.random.default_rng(seed)
    places = random.uniform(-1, 1, (400, 1, 3)) + random.exponential(0.15, (400, 3, 1)) * random.normal(
        size=(400, 3, 3)
    )
    faces = np.arange(1200).reshape(-1, 3)
    shared = random.random(400) < 0.3
    faces[1:][shared[1:], 0] = faces[:-1][shared[1:], 2]
    soup = Mesh(positions_m=places.reshape(-1, 3).astype(np.float32), faces=faces.astype(np.int32))
    assert crossings(soup) == cases.crossing_by_brute_force(soup) > 100


@pytest.mark.parametrize(
    "mesh", [shapes.torus(), shapes.box(), shapes.merged(shapes.box(), shapes.box(center=(1, 0, 0)))]
)
def test_neighbours_and_bodies_that_touch_do_not_cross(mesh):
    assert crossings(mesh) == 0
