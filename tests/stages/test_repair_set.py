"""The made meshes of the benchmark set, each with one defect of a generator, through repair and clean."""

import pytest

from benchmarks.meshes import mesh_named
from benchmarks.repair import measure, own, verdict
from bridge_server.values.mesh_topology import tidied

NAMES = """double_hull double_hull_joined flipped_patches crumbs non_manifold open_bottom holes soup vase bottle"""


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES.split())
def test_it_comes_out_as_expected(name):
    mesh = mesh_named(name)
    high = mesh.load()
    found, _ = own(high)
    assert not verdict(measure(tidied(high.mesh)), measure(found), mesh)


@pytest.mark.slow
def test_windows_whose_sides_lean_stay_open():
    found, notices = own(mesh_named("airplane").load())
    assert measure(found).border_edges >= 25 * 12
    assert any(notice.startswith("openings_kept") for notice in notices)
