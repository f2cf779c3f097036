"""Collision pieces: closed, convex, outward, few, and holding what they should."""

import numpy as np
import pytest

from bridge_server.backends.decomposer.base import Decomposition
from bridge_server.backends.decomposer.planes import PlanesDecomposer
from bridge_server.errors import StageFailed
from bridge_server.run import SilentRun
from bridge_server.stages.collision import MakeCollision, require_solid
from bridge_server.stages.collision_fit import containment, excess_volume, surface_samples
from bridge_server.stages.collision_shapes import fit_box, fit_capsule, fit_convex, fit_sphere
from bridge_server.stages.stage import declaration_of
from bridge_server.values.collision import CollisionShape
from bridge_server.values.convex import convex_hull, is_convex, outside_distance_m
from bridge_server.values.mesh import LowPoly, Mesh, is_watertight, volume_m3
from bridge_server.values.mesh_topology import tidied
from tests import shapes


class Refusing:
    """A decomposer that fails."""

    identity = "refusing 1"

    def decompose(self, mesh, settings, run):
        raise StageFailed("took longer than 60 s.", reason="TIME_LIMIT")


class Unreachable:
    """A decomposer that must not be asked."""

    identity = "unreachable 1"

    def decompose(self, mesh, settings, run):
        raise AssertionError("there was nothing to decompose")


def _low(mesh: Mesh) -> LowPoly:
    return LowPoly(mesh=mesh, target_triangle_count=12, hausdorff_m=0.0, mean_distance_m=0.0, method="test")


def _collide(mesh: Mesh, decomposer=None, **fields):
    collision = MakeCollision(**fields)(SilentRun(), decomposer or Unreachable(), low_poly=_low(mesh))
    for piece in collision.pieces:
        assert is_watertight(piece.mesh)
        assert volume_m3(piece.mesh) > 0
        assert is_convex(piece.mesh, 1e-5 * mesh.diagonal_m)
    return collision


def _chair() -> Mesh:
    legs = [shapes.box((0.05, 0.45, 0.05), (x, 0.225, z)) for x in (-0.2, 0.2) for z in (-0.2, 0.2)]
    back = shapes.box((0.5, 0.5, 0.05), (0, 0.74, -0.22))
    return shapes.merged(shapes.box((0.5, 0.05, 0.5), (0, 0.47, 0)), back, *legs)


def test_a_chair_becomes_boards_and_legs():
    collision = _collide(_chair(), PlanesDecomposer())
    assert 6 <= len(collision.pieces) <= 8
    assert all(piece.shape is CollisionShape.BOX for piece in collision.pieces)
    assert collision.method == "planes"
    assert collision.containment >= 0.99
    assert collision.excess_volume == pytest.approx(0.0, abs=0.05)
    assert collision.notices == ()


@pytest.mark.slow
def test_a_bowl_stays_hollow():
    bowl = _bowl()
    collision = _collide(bowl, PlanesDecomposer(), max_pieces=6, time_limit_s=600.0)
    inside = np.array([[0.0, y, 0.0] for y in (0.3, 0.4, 0.5)])
    assert all((outside_distance_m(piece.mesh, inside) > 0.0).all() for piece in collision.pieces)
    assert collision.containment >= 0.99
    assert collision.excess_volume < 2.0, "the hull of all is four times the bowl"


@pytest.mark.slow
def test_a_bottle_is_solid_for_the_engine_unless_its_inside_is_meant():
    bottle = shapes.bottle()
    full = _collide(bottle, PlanesDecomposer(), max_pieces=8, time_limit_s=600.0)
    assert [notice.code for notice in full.notices] == ["collision_hollow_filled"]
    assert len(full.pieces) <= 4
    assert full.containment >= 0.99
    assert full.excess_volume < 0.06
    inside = np.array([[0.0, 0.4, 0.0]])
    assert any(outside_distance_m(piece.mesh, inside) < 0.0 for piece in full.pieces)
    hollow = _collide(bottle, PlanesDecomposer(), max_pieces=8, time_limit_s=600.0, fill_hollows=False)
    assert all(outside_distance_m(piece.mesh, inside) > 0.0 for piece in hollow.pieces)
    assert hollow.notices == ()


def test_an_open_sheet_gets_slabs_close_to_it():
    sheet = _arch()
    collision = _collide(sheet, PlanesDecomposer(), max_pieces=4, time_limit_s=600.0)
    assert 2 < len(collision.pieces) <= 4
    assert collision.containment >= 0.99
    assert collision.excess_volume < 0.6
    under = np.array([[0.0, 0.1, 0.0]])
    assert all(outside_distance_m(piece.mesh, under) > 0.0 for piece in collision.pieces)


def _bowl() -> Mesh:
    """Half a shell of two balls, open at the top, 4 cm thick."""
    angles = np.linspace(-np.pi / 2, 0.0, 5)
    profile = [(r * np.cos(a), 0.5 + r * np.sin(a)) for r, order in ((0.5, 1), (0.42, -1)) for a in angles[::order]]
    turn = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    place = np.array([[(r * np.cos(t), y, -r * np.sin(t)) for t in turn] for r, y in profile])
    grid = shapes.grid_surface(len(profile), len(turn), place, wrap_rows=False, wrap_columns=True)
    return tidied(grid) if volume_m3(grid) > 0 else tidied(shapes.flipped(grid))


def _arch() -> Mesh:
    """An open half pipe."""
    turn = np.linspace(0.0, np.pi, 13)
    place = np.array([[(0.5 * np.cos(t), 0.5 * np.sin(t), z) for t in turn] for z in np.linspace(-0.5, 0.5, 6)])
    return shapes.grid_surface(6, 13, place, wrap_rows=False, wrap_columns=False)


def test_a_convex_mesh_needs_no_decomposition_and_a_box_is_one():
    collision = _collide(shapes.box())
    (piece,) = collision.pieces
    assert piece.shape is CollisionShape.BOX
    assert collision.method == "hull"
    assert collision.containment == 1.0
    assert collision.excess_volume == pytest.approx(0.0, abs=1e-5)
    assert len(collision.pieces[0].mesh.faces) == 12


def test_a_ball_of_twenty_thousand_triangles_keeps_to_one_per_cent_and_holds():
    ball = shapes.sphere(0.5, 5)
    collision = _collide(ball)
    assert [piece.shape for piece in collision.pieces] == [CollisionShape.SPHERE]
    assert sum(len(piece.mesh.faces) for piece in collision.pieces) <= 0.01 * len(ball.faces)
    assert collision.containment == 1.0
    assert collision.excess_volume < 0.01


def test_one_hull_on_request():
    collision = _collide(shapes.torus(), max_pieces=1)
    assert len(collision.pieces) == 1
    assert collision.method == "hull"
    assert len(collision.pieces[0].mesh.positions_m) <= 32


@pytest.mark.parametrize("count", [8, 12, 64])
def test_vertex_limit_is_kept(count):
    collision = _collide(shapes.sphere(0.5, 4), max_vertices=count, triangle_share=1.0, simple_excess=0.0)
    assert len(collision.pieces[0].mesh.positions_m) <= count


@pytest.fixture(scope="module")
def fallback():
    return _collide(shapes.torus(), Refusing())


def test_a_failed_decomposition_falls_back_to_one_hull_and_says_so(fallback):
    assert fallback.method == "hull"
    assert len(fallback.pieces) == 1
    (notice,) = fallback.notices
    assert notice.code == "collision_fallback"
    assert "took longer than 60 s" in notice.message
    assert notice.remedy


@pytest.mark.parametrize("shape", [CollisionShape.BOX, CollisionShape.SPHERE, CollisionShape.CAPSULE])
def test_simple_shapes_hold_everything(shape):
    for mesh in (shapes.torus(), _chair(), shapes.box((0.1, 3.0, 0.1))):
        collision = _collide(mesh, shape=shape)
        assert [piece.shape for piece in collision.pieces] == [shape]
        assert collision.method == shape.value
        assert collision.containment == 1.0


def test_a_box_fits_exactly_also_when_turned():
    size = np.array([1.0, 0.5, 3.0])
    angle = 0.6
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    points = shapes.box((1.0, 0.5, 3.0)).positions_m.astype(np.float64) @ turn.T
    fit = fit_box(points, 0.0)
    assert fit.volume_m3 == pytest.approx(size.prod(), rel=1e-5)
    assert volume_m3(fit.mesh) == pytest.approx(size.prod(), rel=1e-5)
    assert len(fit.mesh.positions_m) == 8


def test_a_ball_and_a_capsule_fit_their_own():
    ball = fit_sphere(shapes.sphere(0.7, 3, center=(1.0, 2.0, 3.0)).positions_m.astype(np.float64))
    assert ball.volume_m3 == pytest.approx(4 / 3 * np.pi * 0.7**3, rel=0.01)
    cap = shapes.sphere(0.2, 3).positions_m.astype(np.float64)
    for axis in range(3):
        shift = np.eye(3)[axis] * 0.8
        fit = fit_capsule(np.concatenate([cap + shift, cap - shift]))
        assert fit.volume_m3 == pytest.approx(np.pi * 0.04 * 1.6 + 4 / 3 * np.pi * 0.008, rel=0.02)
        assert np.argmax(np.ptp(fit.mesh.positions_m, axis=0)) == axis


def test_containment_counts_what_lies_inside():
    big = shapes.box((2.0, 1.0, 1.0))
    half = fit_convex(shapes.box((1.0, 1.0, 1.0), center=(0.5, 0.0, 0.0)))
    assert containment([half], surface_samples(big, 0), 1e-6) == pytest.approx(0.5, abs=0.01)
    assert containment([half, fit_convex(big)], surface_samples(big, 0), 1e-6) == 1.0


def test_samples_spread_by_area():
    mesh = shapes.merged(shapes.box((1, 1, 1)), shapes.box((3, 3, 3), center=(10, 0, 0)))
    share = (surface_samples(mesh, 0)[:, 0] > 5).mean()
    assert share == pytest.approx(0.9, abs=0.005)


def test_one_hull_around_an_open_box_is_measured_against_its_shell():
    box = shapes.box()
    collision = _collide(Mesh(positions_m=box.positions_m, faces=box.faces[2:]), max_pieces=1)
    assert 1.0 < collision.excess_volume < 5.0
    assert collision.containment == 1.0


def test_excess_is_what_lies_outside_and_overlaps_count_once():
    box = shapes.box()
    shifted = fit_convex(shapes.box(center=(0.5, 0.0, 0.0)))
    assert excess_volume([fit_convex(box)], box) == pytest.approx(0.0, abs=1e-6)
    assert excess_volume([fit_convex(box), shifted, shifted], box) == pytest.approx(0.5, abs=1e-5)
    ball = shapes.sphere(0.5, 4)
    assert excess_volume([fit_sphere(ball.positions_m.astype(np.float64))], ball) == pytest.approx(0.0, abs=0.02)


class Lacking:
    """A decomposer that leaves half of the box out."""

    identity = "lacking 1"

    def decompose(self, solid, settings, run):
        return Decomposition(pieces=(shapes.box((1.2, 0.2, 0.2)),), complete=False)


def test_pieces_that_lack_some_surface_are_grown_and_a_search_cut_short_is_told():
    ell = shapes.merged(shapes.box((1.0, 0.2, 0.2)), shapes.box((0.2, 1.0, 0.2), center=(-0.4, 0.6, 0.0)))
    collision = _collide(ell, Lacking())
    assert collision.containment >= 0.99
    assert [notice.code for notice in collision.notices] == ["collision_time_limit"]


def test_a_tilted_beam_becomes_a_tilted_box_and_a_tilted_pill_a_capsule():
    turn = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]]) @ np.array(
        [[1.0, 0.0, 0.0], [0.0, 0.8, 0.6], [0.0, -0.6, 0.8]]
    )
    beam = shapes.box((0.2, 1.0, 0.3))
    tilted = Mesh(positions_m=(beam.positions_m @ turn.T).astype(np.float32), faces=beam.faces)
    (piece,) = _collide(tilted).pieces
    assert piece.shape is CollisionShape.BOX
    assert volume_m3(piece.mesh) == pytest.approx(0.06, rel=1e-4)
    ball = shapes.sphere(0.2, 3).positions_m
    pill = convex_hull(
        (np.concatenate([ball + np.float32([0, 0.6, 0]), ball - np.float32([0, 0.6, 0])]) @ turn.T).astype(np.float32)
    )
    (piece,) = _collide(pill).pieces
    assert piece.shape is CollisionShape.CAPSULE
    assert collision_volume(pill) == pytest.approx(np.pi * 0.04 * 1.2 + 4 / 3 * np.pi * 0.008, rel=0.05)


def collision_volume(mesh: Mesh) -> float:
    return fit_capsule(mesh.positions_m.astype(np.float64)).volume_m3


def test_a_flat_sheet_gets_a_thin_slab():
    sheet = Mesh(
        positions_m=np.float32([[0, 0, 0], [1, 0, 0], [1, 0, 1], [0, 0, 1]]),
        faces=np.array([[0, 2, 1], [0, 3, 2]], np.int32),
    )
    for shape in CollisionShape:
        collision = _collide(sheet, max_pieces=1, shape=shape)
        assert collision.containment == 1.0


@pytest.mark.parametrize(
    "mesh",
    [
        Mesh(positions_m=np.zeros((3, 3), np.float32), faces=np.array([[0, 1, 2]], np.int32)),
        Mesh(positions_m=np.zeros((0, 3), np.float32), faces=np.zeros((0, 3), np.int32)),
        Mesh(positions_m=np.full((3, 3), np.nan, np.float32), faces=np.array([[0, 1, 2]], np.int32)),
    ],
    ids=["point", "empty", "nan"],
)
def test_a_mesh_without_extent_is_refused(mesh):
    with pytest.raises(StageFailed, match="extent"):
        _collide(mesh)


@pytest.mark.parametrize(
    "mesh",
    [
        shapes.flipped(shapes.box()),
        shapes.torus(rows=24, columns=12),
        Mesh(positions_m=shapes.box().positions_m, faces=shapes.box().faces[1:]),
    ],
    ids=["inside out", "hollow", "open"],
)
def test_what_is_not_solid_is_found(mesh):
    with pytest.raises(StageFailed, match="open, hollow or inside out"):
        require_solid(mesh)


def test_the_same_call_gives_the_same_pieces(fallback):
    again = _collide(shapes.torus(), Refusing())
    np.testing.assert_array_equal(fallback.pieces[0].mesh.positions_m, again.pieces[0].mesh.positions_m)
    assert fallback.containment == again.containment


def test_declaration():
    declared = declaration_of(MakeCollision)
    assert (declared.backends, declared.reads, declared.writes) == (("decomposer",), ("low_poly",), "collision")
