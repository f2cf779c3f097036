import importlib.util
import math

import numpy as np
import pytest

from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.errors import StageFailed
from bridge_server.run import SilentRun
from bridge_server.stages.repair import Repair, RepairMethod
from bridge_server.stages.repair_holes import fill_holes
from bridge_server.stages.repair_patches import least_angle
from bridge_server.values.mesh import Mesh, area_m2, edge_face_counts, is_watertight, volume_m3
from bridge_server.values.mesh_split import non_manifold_counts
from bridge_server.values.mesh_topology import face_components, tidied, welded_exactly
from tests import shapes


def repaired(mesh, **fields):
    high = Repair(**fields)(SilentRun(), RAYCASTERS.load("embree"), high_poly=shapes.painted(mesh))
    return high.mesh, {notice.code: notice for notice in high.notices}


def without(mesh, gone):
    return Mesh(positions_m=mesh.positions_m, faces=mesh.faces[~gone])


def middles(mesh):
    return mesh.positions_m[mesh.faces].mean(axis=1)


def welded(mesh):
    kept, owner = welded_exactly(mesh.positions_m)
    return Mesh(positions_m=mesh.positions_m[kept], faces=owner[mesh.faces].astype(np.int32))


def test_a_sound_mesh_is_left_alone():
    mesh = shapes.torus()
    found, notices = repaired(mesh)
    np.testing.assert_array_equal(found.faces, mesh.faces)
    assert not notices


def test_an_inside_out_mesh_is_turned():
    found, notices = repaired(shapes.flipped(shapes.torus()))
    assert volume_m3(found) == pytest.approx(volume_m3(shapes.torus()))
    assert "winding_turned" in notices


def test_random_winding_is_made_consistent():
    mesh = shapes.sphere(0.5, 4)
    flip = np.random.default_rng(3).random(len(mesh.faces)) < 0.4
    mixed = Mesh(positions_m=mesh.positions_m, faces=np.where(flip[:, None], mesh.faces[:, ::-1], mesh.faces))
    found, _ = repaired(mixed)
    assert volume_m3(found) == pytest.approx(volume_m3(mesh))


@pytest.mark.parametrize("turn", [False, True])
def test_a_cavity_stays_a_cavity_even_when_all_is_inside_out(turn):
    hollow = shapes.merged(shapes.sphere(1.0, 3), shapes.flipped(shapes.sphere(0.6, 3)))
    found, _ = repaired(shapes.flipped(hollow) if turn else hollow, remove_hidden=False)
    assert volume_m3(found) == pytest.approx(volume_m3(hollow))


def test_a_part_inside_a_shell_stays_a_part():
    nested = shapes.merged(shapes.sphere(1.0, 3), shapes.sphere(0.6, 3))
    assert volume_m3(repaired(nested, remove_hidden=False)[0]) == pytest.approx(volume_m3(nested))


def test_a_small_hole_is_filled_to_continue_the_surface():
    ball = shapes.sphere(0.5, 4)
    found, notices = repaired(without(ball, middles(ball) @ np.full(3, 3**-0.5) > 0.4))
    assert is_watertight(found)
    assert "holes_filled" in notices
    used = found.positions_m[np.unique(found.faces)]
    distance = np.abs(np.linalg.norm(used, axis=1) - 0.5)
    assert distance.max() < 0.01  # a flat patch would miss the sphere by 0.1
    assert volume_m3(found) == pytest.approx(math.pi / 6, rel=5e-3)


def test_the_end_of_a_tube_is_closed_flat_and_grows_no_dome():
    tube = shapes.torus(rows=48, columns=24)
    cut = without(tube, middles(tube)[:, 0] > 0.1)
    found, _ = repaired(cut)
    assert is_watertight(found)
    assert found.bounds_m[1][0] < cut.positions_m[np.unique(cut.faces)][:, 0].max() + 0.01


def test_a_big_round_hole_is_no_fan_of_slivers():
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    rings = [np.stack([r * np.cos(angle), 0 * angle, -r * np.sin(angle)], 1) for r in (1.0, 0.5)]
    washer = shapes.grid_surface(2, 240, np.stack(rings), wrap_rows=False, wrap_columns=True)
    filled = fill_holes(washer, 1000, 0.6, SilentRun())
    assert (filled.filled, filled.left) == (1, 1)
    new = filled.mesh.faces[len(washer.faces) :]
    corners = filled.mesh.positions_m.astype(np.float64)[new]
    worst = min(math.degrees(least_angle(triangle)) for triangle in corners)
    assert worst > 8.0  # a fan from the middle would have 1.5 degrees
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    assert area == pytest.approx(0.25 * 120 * math.sin(math.radians(1.5)), rel=1e-3)


def test_a_star_shaped_hole_is_covered_exactly_once():
    count = 40
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    radius = np.where(np.arange(count) % 2, 0.3, 1.0)
    inner = np.stack([radius * np.cos(angle) + 2.0 * (angle > np.pi), 0 * angle, -radius * np.sin(angle)], 1)
    outer = np.stack([9 * np.cos(angle), 0 * angle, -9 * np.sin(angle)], 1)
    washer = shapes.grid_surface(2, count, np.stack([outer, inner]), wrap_rows=False, wrap_columns=True)
    filled = fill_holes(washer, 1000, 0.3, SilentRun())
    assert filled.filled == 1
    new = filled.mesh.faces[len(washer.faces) :]
    assert len(new) == count - 2
    x, z = inner[:, 0], -inner[:, 2]
    exact = 0.5 * (x * np.roll(z, -1) - np.roll(x, -1) * z).sum()
    corners = filled.mesh.positions_m.astype(np.float64)[new]
    up = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 1] / 2
    assert np.abs(up).sum() == pytest.approx(abs(exact), rel=1e-5)


def test_a_mesh_that_is_meant_to_be_open_stays_open_and_is_told():
    ball = shapes.sphere(0.5, 4)
    half = without(ball, middles(ball)[:, 1] > 0.0)
    found, notices = repaired(half)
    assert area_m2(found) == pytest.approx(area_m2(half))
    assert "mesh_open" in notices


def test_a_fill_that_would_double_the_asset_is_refused():
    square = Mesh(
        positions_m=np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32),
        faces=np.array([[0, 1, 2], [0, 2, 3]], np.int32),
    )
    found, notices = repaired(square, max_hole_share=1.0)
    assert len(found.faces) == 2
    assert "mesh_open" in notices


def test_ten_disconnected_shells_all_stay():
    shells = shapes.merged(*(shapes.sphere(0.3, 2, (i, 0.0, 0.0)) for i in range(10)))
    found, _ = repaired(shells)
    assert len(np.unique(face_components(found.faces))) == 10
    assert volume_m3(found) == pytest.approx(volume_m3(shells))


def test_boxes_that_touch_along_an_edge_become_two_closed_boxes():
    touching = welded(shapes.merged(shapes.box(), shapes.box(center=(1, 1, 0))))
    assert edge_face_counts(touching.faces).max() == 4
    found, notices = repaired(touching)
    assert is_watertight(found)
    assert len(np.unique(face_components(found.faces))) == 2
    assert volume_m3(found) == pytest.approx(2.0)
    assert "non_manifold_split" in notices


def test_boxes_that_touch_at_a_corner_are_parted_there():
    touching = welded(shapes.merged(shapes.box(), shapes.box(center=(1, 1, 1))))
    found, _ = repaired(touching)
    assert len(found.positions_m) == 16
    assert non_manifold_counts(found) == (0, 0)


def test_a_fin_on_a_box_is_cut_off_and_the_box_stays_closed():
    box = shapes.box()
    positions = np.concatenate([box.positions_m, [[2.0, 2.0, 0.0]]]).astype(np.float32)
    fin = Mesh(positions_m=positions, faces=np.concatenate([box.faces, [[6, 7, 8]]]).astype(np.int32))
    found, _ = repaired(fin)
    assert edge_face_counts(found.faces).max() == 2
    sizes = np.bincount(face_components(found.faces))
    assert sorted(sizes.tolist()) == [1, 12]


def test_doubled_and_degenerate_faces_go():
    box = shapes.box()
    doubled = np.concatenate([box.faces, box.faces[:5, ::-1], [[0, 0, 1]]]).astype(np.int32)
    found, _ = repaired(Mesh(positions_m=box.positions_m, faces=doubled))
    assert len(found.faces) == 12
    assert volume_m3(found) == pytest.approx(1.0)


def test_only_degenerate_faces_are_refused():
    flat = Mesh(positions_m=np.zeros((3, 3), np.float32), faces=np.array([[0, 1, 2]], np.int32))
    with pytest.raises(StageFailed, match="degenerate"):
        repaired(flat)


def test_a_moebius_strip_is_told():
    count = 60
    u = np.linspace(0, 2 * np.pi, count, endpoint=False)[:, None]
    v = np.linspace(-0.2, 0.2, 5)[None]
    ring = 1 + v * np.cos(u / 2)
    place = np.stack([ring * np.cos(u), v * np.sin(u / 2), ring * np.sin(u)], -1)
    open_strip = shapes.grid_surface(count, 5, place, wrap_rows=False, wrap_columns=False)
    last, a = (count - 1) * 5, np.arange(4)
    joint = np.concatenate([np.stack([last + a, 4 - a, last + a + 1], 1), np.stack([last + a + 1, 4 - a, 3 - a], 1)])
    strip = Mesh(positions_m=open_strip.positions_m, faces=np.concatenate([open_strip.faces, joint]).astype(np.int32))
    found, notices = repaired(strip)
    assert "one_sided_surface" in notices
    assert len(found.faces) == len(strip.faces)


def test_overlapping_shells_are_united_on_request():
    crossed = shapes.merged(shapes.box((3, 1, 1)), shapes.box((1, 3, 1)))
    assert volume_m3(repaired(crossed)[0]) == pytest.approx(6.0)
    found, _ = repaired(crossed, resolve_intersections=True)
    assert is_watertight(tidied(found))
    assert volume_m3(found) == pytest.approx(5.0, rel=1e-5)


def test_uniting_keeps_cavities():
    hollow = shapes.merged(shapes.sphere(1.0, 3), shapes.flipped(shapes.sphere(0.6, 3)))
    found, _ = repaired(hollow, resolve_intersections=True, remove_hidden=False)
    assert volume_m3(found) == pytest.approx(volume_m3(hollow), rel=1e-4)


@pytest.mark.skipif(importlib.util.find_spec("pymeshfix") is not None, reason="pymeshfix is installed")
def test_pymeshfix_where_it_is_missing_falls_back_and_says_so():
    found, notices = repaired(shapes.sphere(), method=RepairMethod.PYMESHFIX)
    assert is_watertight(found)
    assert "repair_fallback" in notices


@pytest.mark.skipif(importlib.util.find_spec("pymeshfix") is None, reason="needs pymeshfix (optional, AGPL)")
def test_pymeshfix_keeps_all_shells():
    shells = shapes.merged(*(shapes.sphere(0.3, 2, (i, 0.0, 0.0)) for i in range(4)))
    found, _ = repaired(shells, method=RepairMethod.PYMESHFIX)
    assert len(np.unique(face_components(found.faces))) == 4


def test_a_ragged_hole_is_filled_with_triangles_as_wide_as_its_edges():
    """An L-shaped hole in a fine sheet: no flat view from one middle, so the grid serves."""
    u, v = np.meshgrid(np.linspace(0, 1, 41), np.linspace(0, 1, 41), indexing="ij")
    place = np.stack([u, 0.1 * np.sin(3 * u), -v], axis=-1)
    sheet = shapes.grid_surface(41, 41, place, wrap_rows=False, wrap_columns=False)
    x, z = middles(sheet)[:, 0], -middles(sheet)[:, 2]
    gone = ((x > 0.3) & (x < 0.7) & (z > 0.3) & (z < 0.45)) | ((x > 0.3) & (x < 0.45) & (z > 0.3) & (z < 0.7))
    filled = fill_holes(without(sheet, gone), 1000, 0.7, SilentRun())
    assert (filled.filled, filled.left) == (1, 1)
    corners = filled.mesh.positions_m.astype(np.float64)[filled.mesh.faces[(~gone).sum() :]]
    assert min(math.degrees(least_angle(triangle)) for triangle in corners) > 12.0
    used = corners.reshape(-1, 3)
    assert np.abs(used[:, 1] - 0.1 * np.sin(3 * used[:, 0])).max() < 2e-3
    assert area_m2(filled.mesh) == pytest.approx(area_m2(sheet), rel=1e-3)
