"""Seams, fins, openings and the guard."""

import numpy as np
import pytest

from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.errors import Cancelled
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.stages.repair_guard import Effect, Guard, Limits
from bridge_server.stages.repair_occupancy import outline_likeness
from bridge_server.stages.repair_stitch import stitched
from bridge_server.values.mesh import Mesh, edge_face_counts, is_watertight, volume_m3
from bridge_server.values.mesh_split import fins_of, split_non_manifold
from bridge_server.values.mesh_topology import edge_table, face_components
from tests import shapes
from tests.stages.repair_cases import ball_with_holes, middles, repaired, welded, without


def soup(mesh, jitter_m, seed=0):
    loose = mesh.positions_m[mesh.faces].reshape(-1, 3)
    noise = np.random.default_rng(seed).uniform(-jitter_m, jitter_m, loose.shape)
    return Mesh(
        positions_m=(loose + noise).astype(np.float32), faces=np.arange(len(loose), dtype=np.int32).reshape(-1, 3)
    )


def test_loose_triangles_are_sewn_to_a_closed_surface():
    torus = shapes.torus(rows=40, columns=20)
    found, notices = repaired(soup(torus, 1e-6))
    assert is_watertight(found)
    assert len(found.faces) == len(torus.faces)
    assert volume_m3(found) == pytest.approx(volume_m3(torus), rel=1e-4)
    assert "seams_stitched" in notices


def test_a_gap_wider_than_the_tolerance_is_not_sewn():
    torus = shapes.torus(rows=40, columns=20)
    loose = soup(torus, 1e-3)
    assert stitched(loose, 1e-6, SilentRun()).mesh is loose


def test_sewing_and_comparing_outlines_can_be_cancelled():
    """Also in the middle: the run is cancelled at its first checkpoint, halfway and at its last."""
    loose = soup(shapes.torus(rows=80, columns=40), 1e-4)
    ball, finer = shapes.sphere(0.5, 3), shapes.sphere(0.5, 5)
    for work in (
        lambda run: stitched(loose, 1e-7, run),
        lambda run: outline_likeness(ball, finer, run),
    ):
        told: list[float] = []
        work(CallbackRun(lambda fraction, _, told=told: told.append(fraction)))
        assert len(told) > 4
        assert told == sorted(told)
        for last in (1, len(told) // 2, len(told)):
            left = iter(range(1, last))

            def asked(_fraction, _note, left=left):
                if next(left, None) is None:
                    raise Cancelled("enough")

            with pytest.raises(Cancelled):
                work(CallbackRun(asked))


def test_shreds_are_advised_to_be_wrapped():
    _, notices = repaired(soup(shapes.torus(rows=40, columns=20), 1e-3), keep_openings=False)
    assert "remesh" in notices["remesh_advised"].remedy
    assert "remesh_advised" not in repaired(ball_with_holes(0.8, subdivisions=3))[1]


def test_points_on_an_edge_across_become_its_corners():
    coarse, fine = shapes.box(), shapes.box()
    top = middles(fine)[:, 1] > 0.49
    lid = np.array(
        [[-0.5, 0.5, -0.5], [0, 0.5, -0.5], [0.5, 0.5, -0.5], [0.5, 0.5, 0.1], [0.5, 0.5, 0.5], [-0.5, 0.5, 0.5]]
    )
    fan = np.array([[0, 2 + 1, 1], [1, 3, 2], [0, 4, 3], [0, 5, 4]], np.int32)
    lidded = welded(shapes.merged(without(coarse, top), Mesh(positions_m=lid.astype(np.float32), faces=fan)))
    assert (edge_face_counts(lidded.faces) == 1).any()
    found, _ = repaired(lidded, max_hole_edges=0)
    assert is_watertight(found)
    assert volume_m3(found) == pytest.approx(1.0)


def finned():
    ball = shapes.sphere(0.5, 4)
    tip = middles(ball)[10] * 1.1
    a, b, c = ball.faces[10]
    fin = [[a, b, len(ball.positions_m)], [b, c, len(ball.positions_m)]]
    return Mesh(
        positions_m=np.concatenate([ball.positions_m, tip[None]]).astype(np.float32),
        faces=np.concatenate([ball.faces, fin]).astype(np.int32),
    )


def test_flaps_on_the_surface_are_dropped():
    mesh = finned()
    np.testing.assert_array_equal(
        np.flatnonzero(fins_of(mesh, edge_table(mesh.faces))), np.arange(-2, 0) + len(mesh.faces)
    )
    found, notices = repaired(mesh)
    assert is_watertight(found)
    assert len(found.faces) == len(mesh.faces) - 2
    assert "fins_dropped" in notices


def test_two_sheets_through_one_edge_of_the_same_fan_are_parted():
    """Two boxes that share an edge and are joined elsewhere, so that both its ends belong to one fan."""
    towers = [shapes.box((1, 1, 1), (x, y, 0)) for x, y in ((0, 0), (1, 1))]
    bridge = [
        shapes.box((1, 1, 1), (x, y, z))
        for x, y, z in ((0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 0, -1), (1, 0, -1), (1, 1, -1))
    ]
    mesh = welded(shapes.merged(*towers, *bridge))
    ordered = np.sort(mesh.faces, axis=1)
    _, inverse, counts = np.unique(ordered, axis=0, return_inverse=True, return_counts=True)
    mesh = Mesh(positions_m=mesh.positions_m, faces=mesh.faces[counts[inverse.reshape(-1)] == 1])
    found = split_non_manifold(mesh)
    assert edge_face_counts(found.faces).max() == 2
    assert volume_m3(found) == pytest.approx(volume_m3(mesh))


def test_mouths_and_windows_stay_open_and_broken_bottoms_are_closed():
    vase = ball_with_holes(0.8)
    found, notices = repaired(vase)
    assert len(found.faces) == len(vase.faces)
    assert "openings_kept" in notices
    bottom = Mesh(positions_m=vase.positions_m * np.float32(-1.0), faces=vase.faces[:, ::-1])
    assert is_watertight(repaired(bottom)[0])
    ring = ball_with_holes(0.8, ((1, 0, 0), (-1, 0, 0)))
    assert len(repaired(ring)[0].faces) == len(ring.faces)
    assert is_watertight(repaired(ring, keep_openings=False, max_outline_change=1.0)[0])


def test_a_bowl_without_thickness_faces_outward_however_it_came():
    bowl = ball_with_holes(1.9, subdivisions=3)
    low = without(bowl, middles(bowl)[:, 1] > -0.5)
    for mesh in (low, shapes.flipped(low)):
        found, _ = repaired(mesh)
        normals = np.cross(
            *(found.positions_m[found.faces[:, k]] - found.positions_m[found.faces[:, 0]] for k in (1, 2))
        )
        assert (np.einsum("fi,fi->f", normals, middles(found)) > 0.0).mean() > 0.99


def guard(mesh, **limits):
    wide = {"volume": 1.0, "area": 1.0, "bounds": 1.0, "outline": 1.0, "color": 1.0}
    return Guard(Limits(**{**wide, **limits}), RAYCASTERS.load("embree"), shapes.painted(mesh).field)


def test_the_guard_names_what_changed():
    ball = shapes.sphere(0.5, 3)
    larger = Mesh(positions_m=ball.positions_m * np.float32(1.2), faces=ball.faces)
    assert not list(guard(ball).objections(ball, ball, Effect.KEEPS, SilentRun()))
    for limit, word in (("volume", "volume"), ("area", "area"), ("bounds", "bounding"), ("outline", "outline")):
        said = list(guard(ball, **{limit: 0.05}).objections(ball, larger, Effect.KEEPS, SilentRun()))
        assert len(said) == 1
        assert word in said[0]
    half = without(ball, middles(ball)[:, 1] > 0)
    assert any("opened" in said for said in guard(ball).objections(ball, half, Effect.KEEPS, SilentRun()))


def test_the_guard_sees_a_patch_of_the_wrong_colour():
    """A cap that hides a hole of the outer ball lies on the inner one, which is painted otherwise."""
    outer, inner = ball_with_holes(0.4), shapes.sphere(0.97, 4)
    both = shapes.merged(outer, inner)
    high = shapes.painted(both, (0.9, 0.9, 0.9))
    base = np.array(high.field.base_color)
    base[len(outer.positions_m) :] = 0.0
    field = type(high.field)(
        positions_m=both.positions_m,
        faces=both.faces,
        base_color=base,
        metallic=high.field.metallic,
        roughness=high.field.roughness,
    )
    top = middles(inner)[:, 1] > 0.955
    capped = shapes.merged(outer, without(inner, ~top))
    limits = Limits(volume=1.0, area=1.0, bounds=1.0, outline=1.0, color=0.2)
    said = list(Guard(limits, RAYCASTERS.load("embree"), field).objections(outer, capped, Effect.KEEPS, SilentRun()))
    assert any("colour" in words for words in said)


def test_outlines_do_not_depend_on_the_triangles():
    assert outline_likeness(shapes.sphere(0.5, 3), shapes.sphere(0.5, 5), SilentRun()) > 0.96
    assert outline_likeness(shapes.torus(), shapes.sphere(0.7, 4), SilentRun()) < 0.9
    assert face_components(shapes.torus().faces).max() == 0
