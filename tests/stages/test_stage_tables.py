"""The benchmark that tells what each stage makes of a mesh: a row in every table, with figures that can be known."""

import pytest

from benchmarks.meshes import mesh_named
from benchmarks.stages import COLUMNS, TRIANGLES, markdown, passage


@pytest.mark.slow
def test_each_stage_has_a_table_with_the_figures_of_the_mesh():
    rows = passage(mesh_named("couch"))
    assert rows["repair"]["crowded_edges"] == [4, 0]
    assert rows["decimate"]["faces"] == [804, 804], f"it has fewer than {TRIANGLES}"
    assert rows["unwrap"]["overlap_texels"][1] == rows["unwrap"]["bleeding_texels"][1] == 0
    assert rows["unwrap"]["efficiency"][0] < 0.1 < 0.5 < rows["unwrap"]["efficiency"][1]
    assert rows["lods"]["faces"] == sorted(rows["lods"]["faces"], reverse=True)
    assert rows["lods"]["seam_gap"] == 0.0
    assert rows["collision"]["excess"][1] < rows["collision"]["excess"][0]
    assert len(rows["check"]["warn"][1]) < len(rows["check"]["warn"][0])
    tables = markdown({"couch": rows}).split("\n## ")[1:]
    assert [table.split("\n")[0] for table in tables] == list(COLUMNS)
    for table in tables:
        head, _, row = [line.split(" | ") for line in table.splitlines() if line.startswith("|")]
        assert len(head) == len(row)
