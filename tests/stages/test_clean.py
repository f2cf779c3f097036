import numpy as np
import pytest

from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.errors import StageFailed, WorkerDied
from bridge_server.run import SilentRun
from bridge_server.stages.clean import Clean
from bridge_server.values.mesh import Mesh, is_watertight, volume_m3
from bridge_server.values.mesh_split import non_manifold_counts
from bridge_server.values.mesh_topology import face_components, welded_exactly
from tests import shapes


class EatingFilter:
    """Loses half of the mesh, as filters do on a bad day."""

    identity = "eating 1"

    def clean(self, mesh, run):
        return Mesh(positions_m=mesh.positions_m, faces=mesh.faces[: len(mesh.faces) // 2])

    def decimate(self, mesh, triangle_count, run):
        raise AssertionError


class CrashingFilter(EatingFilter):
    identity = "crashing 1"

    def clean(self, mesh, run):
        raise WorkerDied("the child process ended with status -11.")


def cleaned(mesh, mesh_filter="simplification", **fields):
    backend = MESH_FILTERS.load(mesh_filter) if isinstance(mesh_filter, str) else mesh_filter
    high = Clean(**fields)(SilentRun(), backend, high_poly=shapes.painted(mesh))
    return high.mesh, {notice.code for notice in high.notices}


def welded(mesh):
    kept, owner = welded_exactly(mesh.positions_m)
    return Mesh(positions_m=mesh.positions_m[kept], faces=owner[mesh.faces].astype(np.int32))


def test_ten_equal_shells_all_stay():
    shells = shapes.merged(*(shapes.sphere(0.3, 2, (i, 0.0, 0.0)) for i in range(10)))
    found, _ = cleaned(shells)
    assert len(np.unique(face_components(found.faces))) == 10
    assert volume_m3(found) == pytest.approx(volume_m3(shells))


def test_crumbs_go_and_are_told_but_large_or_long_pieces_stay():
    crumbs = [shapes.sphere(0.002, 1, (0.7, 0.1 * i, 0.0)) for i in range(5)]
    wire = shapes.box((0.001, 0.5, 0.001), (0.9, 0.0, 0.0))
    found, codes = cleaned(shapes.merged(shapes.sphere(0.5, 3), wire, *crumbs))
    assert len(np.unique(face_components(found.faces))) == 2
    assert "crumbs_dropped" in codes


def test_crumbs_that_are_most_of_the_asset_stay():
    flock = shapes.merged(*(shapes.sphere(0.004, 1, (0.1 * i, 0.0, 0.1 * j)) for i in range(12) for j in range(12)))
    found, codes = cleaned(shapes.merged(flock, shapes.box((3, 0.001, 0.001))), min_component_share=0.5)
    assert len(np.unique(face_components(found.faces))) == 145
    assert "crumbs_kept" in codes


@pytest.mark.parametrize("backend", [EatingFilter(), CrashingFilter()], ids=["eats", "crashes"])
def test_a_filter_that_eats_or_crashes_is_refused_and_the_own_clean_up_serves(backend):
    found, codes = cleaned(welded(shapes.merged(shapes.box(), shapes.box(center=(1, 1, 0)))), backend)
    assert is_watertight(found)
    assert volume_m3(found) == pytest.approx(2.0)
    assert "clean_fallback" in codes


def test_a_sound_mesh_never_meets_the_filter():
    torus = shapes.torus()
    found, codes = cleaned(torus, EatingFilter())
    assert not codes
    np.testing.assert_array_equal(found.faces, torus.faces)


def test_doubles_and_inside_out_are_mended():
    box = shapes.flipped(shapes.box())
    faces = np.concatenate([box.faces, box.faces[3:6], [[2, 2, 1]]]).astype(np.int32)
    found, codes = cleaned(Mesh(positions_m=box.positions_m, faces=faces))
    assert volume_m3(found) == pytest.approx(1.0)
    assert "doubles_dropped" in codes


def test_non_manifold_edges_are_resolved():
    found, _ = cleaned(welded(shapes.merged(shapes.box(), shapes.box(center=(1, 1, 0)))))
    assert non_manifold_counts(found) == (0, 0)
    assert volume_m3(found) == pytest.approx(2.0)


def test_only_degenerate_faces_are_refused():
    flat = Mesh(positions_m=np.zeros((3, 3), np.float32), faces=np.array([[0, 1, 2]], np.int32))
    with pytest.raises(StageFailed, match="degenerate"):
        cleaned(flat)


def test_the_field_rides_along():
    high = shapes.painted(shapes.torus())
    found = Clean()(SilentRun(), MESH_FILTERS.load("simplification"), high_poly=high)
    assert found.field is high.field
    assert found.source == high.source
