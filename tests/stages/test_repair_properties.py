"""Whatever is wrong with a mesh: repair does not crash, keeps the bounds, ends outward, and has nothing left to do."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge_server.errors import StageFailed
from bridge_server.stages.repair import Repair
from bridge_server.values.mesh import Mesh, area_m2, is_watertight, volume_m3
from bridge_server.values.mesh_topology import edge_table, tidied
from tests import shapes
from tests.stages.repair_cases import ball_with_holes, repaired, walled

BASES = {
    "ball": shapes.sphere(0.5, 3),
    "torus": shapes.torus(rows=30, columns=16),
    "boxes": shapes.merged(shapes.box(), shapes.box((0.6, 2.0, 0.6), (0.3, 0.2, 0.1))),
    "bowl": walled(ball_with_holes(1.4, subdivisions=3)),
    "double hull": shapes.merged(shapes.sphere(0.5, 3), shapes.sphere(0.45, 3)),
    "open bowl": ball_with_holes(1.4, subdivisions=3),
}
DEFECTS = ("flips", "holes", "doubles", "degenerate", "specks", "loose", "shuffled", "bridges")


def damaged(mesh, defects, seed):
    """The mesh with the defects in the given order."""
    for step, defect in enumerate(defects):
        random = np.random.default_rng(seed + step)
        places, faces = mesh.positions_m, mesh.faces
        count = len(faces)
        if defect == "flips":
            turned = random.random(count) < 0.3
            faces = np.where(turned[:, None], faces[:, ::-1], faces)
        elif defect == "holes":
            faces = faces[random.random(count) > 0.02]
        elif defect == "doubles":
            faces = np.concatenate([faces, faces[random.integers(0, count, 20)][:, [1, 2, 0]]])
        elif defect == "degenerate":
            some = faces[random.integers(0, count, 10)]
            faces = np.concatenate([faces, some[:, [0, 0, 1]]])
        elif defect == "specks":
            speck = shapes.sphere(0.004, 0, tuple(random.uniform(-0.4, 0.4, 3)))
            mesh = shapes.merged(mesh, speck)
            places, faces = mesh.positions_m, mesh.faces
        elif defect == "loose":
            places, faces = places[faces].reshape(-1, 3), np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
        elif defect == "shuffled":
            faces = faces[random.permutation(count)]
        elif defect == "bridges":
            ends = random.integers(0, len(places), (3, 3))
            faces = np.concatenate([faces, ends[[len(set(row)) == 3 for row in ends.tolist()]]])
        mesh = Mesh(positions_m=places.astype(np.float32), faces=faces.astype(np.int32))
    return mesh


@pytest.mark.slow
@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    base=st.sampled_from(sorted(BASES)),
    defects=st.lists(st.sampled_from(DEFECTS), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
)
def test_any_mixture_of_defects(base, defects, seed):
    mesh = damaged(BASES[base], defects, seed)
    before = tidied(mesh)
    found, notices = repaired(mesh)
    moved = np.abs(np.stack(found.bounds_m) - np.stack(before.bounds_m)).max() / before.diagonal_m
    steps = 3 if "bridges" in defects else 2
    assert moved <= steps * Repair().max_bounds_change or "fins_dropped" in notices
    assert np.isfinite(found.positions_m).all()
    table = edge_table(found.faces)
    assert (table.counts <= 2).all()
    if is_watertight(found):
        assert volume_m3(found) > 0.0
    again, _ = repaired(found)
    assert len(again.faces) == pytest.approx(len(found.faces), rel=0.002, abs=4)
    assert area_m2(again) == pytest.approx(area_m2(found), rel=0.01)
    assert volume_m3(again) == pytest.approx(volume_m3(found), rel=0.01, abs=1e-3)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random_triangles_never_crash_it(data):
    count = data.draw(st.integers(3, 9))
    places = data.draw(st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=count, max_size=count))
    rows = data.draw(st.lists(st.tuples(*[st.integers(0, count - 1)] * 3), min_size=1, max_size=24))
    mesh = Mesh(positions_m=np.array(places, np.float32), faces=np.array(rows, np.int32))
    try:
        found, _ = repaired(mesh)
    except StageFailed as error:
        assert "degenerate" in str(error)  # noqa: PT017
        return
    assert len(found.faces)
    assert found.faces.max() < len(found.positions_m)
    assert (edge_table(found.faces).counts <= 2).all()
