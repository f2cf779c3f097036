import numpy as np
import pytest

from bridge_server.values.mesh import Mesh, is_watertight, volume_m3
from bridge_server.values.mesh_split import split_non_manifold
from bridge_server.values.mesh_topology import (
    boundary_loops,
    compacted,
    edge_table,
    face_areas,
    face_components,
    half_edge_pairs,
    piece_count,
    tidied,
    welded_exactly,
    welded_nearby,
)
from bridge_server.values.mesh_winding import agreeing_flips, encloses, oriented_outward, with_flips
from tests import shapes


def test_edges_of_a_closed_mesh_obey_euler():
    ball = shapes.sphere(1.0, 3)
    table = edge_table(ball.faces)
    assert len(table.edges) == len(ball.faces) * 3 // 2
    assert (table.counts == 2).all()
    pairs = half_edge_pairs(table)
    np.testing.assert_array_equal(np.sort(pairs.reshape(-1)), np.arange(ball.faces.size))


def test_components_meet_by_edges_and_not_by_points():
    touching = shapes.merged(shapes.box(), shapes.box(center=(1, 1, 1)))
    kept, owner = welded_exactly(touching.positions_m)
    assert len(kept) == 15
    assert face_components(owner[touching.faces].astype(np.int32)).max() == 1


def test_pieces_hang_together_by_points_and_unused_points_are_none():
    apart = shapes.merged(shapes.box(), shapes.box(center=(3, 0, 0)), shapes.sphere(0.5, 1, (9, 0, 0)))
    assert piece_count(apart) == 3
    faces = np.array([[0, 1, 2], [2, 3, 4], [7, 6, 5]], np.int32)
    assert piece_count(Mesh(positions_m=np.zeros((9, 3), np.float32), faces=faces)) == 2


def test_exact_welding_joins_negative_zero_and_keeps_order():
    positions = np.array([[0.0, 1, 2], [3, 4, 5], [-0.0, 1, 2], [3, 4, 5.000001]], np.float32)
    kept, owner = welded_exactly(positions)
    np.testing.assert_array_equal(kept, [0, 1, 3])
    np.testing.assert_array_equal(owner, [0, 1, 0, 2])


def test_near_welding_joins_across_any_grid_line():
    base = np.random.default_rng(0).random((500, 3))
    jitter = np.random.default_rng(1).normal(size=(500, 3))
    jitter *= 1e-6 / np.linalg.norm(jitter, axis=1, keepdims=True)
    _, owner = welded_nearby(np.concatenate([base, base + jitter]).astype(np.float32), 2e-6)
    np.testing.assert_array_equal(owner[:500], owner[500:])
    assert owner.max() == 499


def test_loops_of_two_holes_and_of_a_pinched_border():
    ball = shapes.sphere(1.0, 3)
    middle = ball.positions_m[ball.faces].mean(axis=1)
    loops = boundary_loops(ball.faces[np.abs(middle[:, 1]) < 0.7])
    assert len(loops) == 2
    bow_tie = np.array([[0, 1, 2], [2, 3, 4]], np.int32)
    assert sorted(sorted(loop.tolist()) for loop in boundary_loops(bow_tie)) == [[0, 1, 2], [2, 3, 4]]
    assert boundary_loops(ball.faces) == []


def test_tidied_and_compacted_drop_what_nobody_uses():
    box = shapes.box()
    positions = np.concatenate([[[9, 9, 9]], box.positions_m]).astype(np.float32)
    found = tidied(Mesh(positions_m=positions, faces=np.concatenate([box.faces + 1, [[1, 1, 2]]]).astype(np.int32)))
    assert (len(found.positions_m), len(found.faces)) == (8, 12)
    assert len(compacted(positions, box.faces + np.int32(1)).positions_m) == 8
    assert face_areas(found).sum() == pytest.approx(6.0)


def test_a_manifold_is_not_split():
    torus = shapes.torus()
    assert split_non_manifold(torus) is torus


def test_four_boxes_around_one_edge_stay_closed_when_parted():
    boxes = shapes.merged(shapes.box(center=(0.5, 0.5, 0)), shapes.box(center=(-0.5, -0.5, 0)))
    kept, owner = welded_exactly(boxes.positions_m)
    found = split_non_manifold(Mesh(positions_m=boxes.positions_m[kept], faces=owner[boxes.faces].astype(np.int32)))
    assert is_watertight(found)
    assert volume_m3(found) == pytest.approx(2.0)


def test_winding_agrees_after_any_scramble():
    torus = shapes.torus(rows=20, columns=10)
    flip = np.random.default_rng(2).random(len(torus.faces)) < 0.5
    found, pieces, conflicts = agreeing_flips(with_flips(torus, flip))
    assert conflicts == 0
    assert pieces.max() == 0
    assert len(np.unique(found ^ flip)) == 1


def test_deep_nesting_alternates_as_it_was_given():
    shells = shapes.merged(
        shapes.sphere(1.0, 2), shapes.flipped(shapes.sphere(0.8, 2)), shapes.sphere(0.6, 2), shapes.sphere(0.1, 1)
    )
    assert volume_m3(oriented_outward(shells)[0]) == pytest.approx(volume_m3(shells), rel=1e-6)
    assert volume_m3(oriented_outward(shapes.flipped(shells))[0]) == pytest.approx(volume_m3(shells), rel=1e-6)


def test_the_winding_number_tells_inside_from_outside():
    corners = shapes.torus().positions_m.astype(np.float64)[shapes.torus().faces]
    assert encloses(corners, np.array([0.5, 0.0, 0.0]))
    assert not encloses(corners, np.zeros(3))
    assert not encloses(corners, np.array([0.9, 0.0, 0.0]))
