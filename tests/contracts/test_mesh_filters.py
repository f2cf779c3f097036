"""What every mesh filter must do."""

import numpy as np
import pytest

from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.errors import Cancelled
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.values.mesh import Mesh, area_m2, is_watertight, volume_m3
from bridge_server.values.mesh_split import non_manifold_counts
from bridge_server.values.mesh_topology import welded_exactly
from tests import shapes


@pytest.fixture(params=MESH_FILTERS.table)
def mesh_filter(request):
    found = MESH_FILTERS.availability(request.param)
    if not found.available:
        pytest.skip(found.detail)
    return MESH_FILTERS.load(request.param)


def test_the_identity_names_a_version(mesh_filter):
    assert any(character.isdigit() for character in mesh_filter.identity)


@pytest.mark.parametrize("target", [2200, 400])
def test_decimation_meets_its_target_and_keeps_a_torus_closed(mesh_filter, target):
    torus = shapes.torus(rows=64, columns=32)
    found = mesh_filter.decimate(torus, target, SilentRun())
    assert abs(len(found.faces) - target) <= 0.01 * target
    assert is_watertight(found)
    assert volume_m3(found) == pytest.approx(volume_m3(torus), rel=0.05)
    ring = np.hypot(np.hypot(found.positions_m[:, 0], found.positions_m[:, 2]) - 0.5, found.positions_m[:, 1])
    assert np.abs(ring - 0.2).max() < 0.03


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_decimation_does_not_depend_on_the_size_or_place(mesh_filter, scale):
    torus = shapes.torus(rows=64, columns=32)
    moved = Mesh(positions_m=((torus.positions_m + np.float32(3)) * scale).astype(np.float32), faces=torus.faces)
    found = mesh_filter.decimate(moved, 1000, SilentRun())
    assert abs(len(found.faces) - 1000) <= 10
    assert volume_m3(found) == pytest.approx(volume_m3(torus) * scale**3, rel=0.03)


def test_a_mesh_that_is_light_enough_comes_back_as_it_is(mesh_filter):
    box = shapes.box()
    assert len(mesh_filter.decimate(box, 500, SilentRun()).faces) == 12


def test_cleaning_leaves_a_sound_mesh_in_measure(mesh_filter):
    torus = shapes.torus()
    found = mesh_filter.clean(torus, SilentRun())
    assert len(found.faces) == len(torus.faces)
    assert volume_m3(found) == pytest.approx(volume_m3(torus), rel=1e-6)


def test_cleaning_removes_doubles_and_unused_vertices(mesh_filter):
    box = shapes.box()
    corners = box.positions_m[box.faces].reshape(-1, 3)
    positions = np.concatenate([corners, [[9, 9, 9]]]).astype(np.float32)
    faces = np.arange(36, dtype=np.int32).reshape(-1, 3)
    faces = np.concatenate([faces, faces[:4], [[0, 0, 1]]]).astype(np.int32)
    found = mesh_filter.clean(Mesh(positions_m=positions, faces=faces), SilentRun())
    assert (len(found.positions_m), len(found.faces)) == (8, 12)
    assert is_watertight(found)


def test_cleaning_resolves_non_manifold_places(mesh_filter):
    touching = shapes.merged(shapes.box(), shapes.box(center=(1, 1, 0)), shapes.box(center=(-1, -1, 1)))
    kept, owner = welded_exactly(touching.positions_m)
    touching = Mesh(positions_m=touching.positions_m[kept], faces=owner[touching.faces].astype(np.int32))
    assert non_manifold_counts(touching) != (0, 0)
    found = mesh_filter.clean(touching, SilentRun())
    assert non_manifold_counts(found) == (0, 0)
    assert area_m2(found) == pytest.approx(18.0)


def test_results_repeat_to_the_byte(mesh_filter):
    torus = shapes.torus(rows=64, columns=32)
    first, second = (mesh_filter.decimate(torus, 700, SilentRun()) for _ in range(2))
    assert first.positions_m.tobytes() == second.positions_m.tobytes()
    assert first.faces.tobytes() == second.faces.tobytes()


def test_cancellation_gets_through(mesh_filter):
    def stop(fraction, note):
        raise Cancelled

    with pytest.raises(Cancelled):
        mesh_filter.decimate(shapes.torus(), 700, CallbackRun(stop))
