"""A low poly keeps its own texture coordinates and normals, or is refused with the share that is wrong."""

import numpy as np
import pytest

from bridge_server.errors import InputError
from bridge_server.run import SilentRun
from bridge_server.stages.export_model import MaterialFiles, Model, RenderMesh
from bridge_server.stages.glb_writer import write_glb
from bridge_server.stages.own_uvs import mesh_with_own_uvs
from bridge_server.values.mesh import UnwrappedMesh, vertex_normals
from bridge_server.values.source import MeshSource
from tests.unwrapped_shapes import unwrapped_ball, unwrapped_box


def glb(mesh: UnwrappedMesh) -> MeshSource:
    shown = RenderMesh(
        name="Low",
        positions_m=mesh.positions_m,
        normals=mesh.normals,
        tangents=mesh.tangents,
        uvs=mesh.uvs,
        faces=mesh.faces,
        welded=mesh.welded,
    )
    return MeshSource(
        name="low.glb", data=write_glb(Model(meshes=(shown,), hulls=(), material=MaterialFiles(name="M")))
    )


def obj(text: str) -> MeshSource:
    return MeshSource(name="low.obj", data=text.encode())


SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"


def at_corners(mesh: UnwrappedMesh, values: np.ndarray) -> np.ndarray:
    return values[mesh.faces]


@pytest.mark.parametrize("mirrored", [None, 2])
def test_a_written_mesh_comes_back_with_its_coordinates_normals_and_tangents(mirrored: int | None) -> None:
    source = unwrapped_box((1.0, 0.6, 0.4), cells=2, mirrored_chart=mirrored)
    found = mesh_with_own_uvs(glb(source), 128, SilentRun())
    for name in ("positions_m", "normals", "uvs", "tangents"):
        mine, theirs = (at_corners(mesh, getattr(mesh, name)) for mesh in (found, source))
        assert np.allclose(mine, theirs, atol=1e-5), name
    assert len(np.unique(found.charts)) == 6
    assert found.method == "own"
    assert found.padding_px >= 1
    assert len(found.welded_mesh().positions_m) == 26


def test_a_ball_keeps_smooth_normals_across_its_seams() -> None:
    source = unwrapped_ball()
    found = mesh_with_own_uvs(glb(source), 128, SilentRun())
    unit = found.positions_m / np.linalg.norm(found.positions_m, axis=1, keepdims=True)
    assert np.abs(found.normals - unit).max() < 1e-5


def test_an_obj_keeps_its_normals_and_goes_without() -> None:
    uvs = "vt 0.1 0.1\nvt 0.9 0.1\nvt 0.9 0.9\nvt 0.1 0.9\n"
    tilted = mesh_with_own_uvs(obj(SQUARE + uvs + "vn 0 3 4\nf 1/1/1 2/2/1 3/3/1 4/4/-1\n"), 64, SilentRun())
    assert np.allclose(tilted.normals, [0.0, 0.6, 0.8])
    plain = mesh_with_own_uvs(obj(SQUARE + uvs + "f 1/1 2/2 3/3 4/4\n"), 64, SilentRun())
    assert np.allclose(plain.normals, vertex_normals(plain.welded_mesh())[plain.welded])
    assert np.allclose(plain.tangents, [1.0, 0.0, 0.0, 1.0], atol=1e-6)
    assert plain.uvs[:, 1].max() == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("text", "reason", "told"),
    [
        (SQUARE + "f 1 2 3 4\n", "MESH_NO_UVS", "no texture coordinates"),
        (SQUARE + "vt 0 0\nf 1/1 2/1 3/1 4/1\n", "MESH_NO_UVS", "100.0%"),
        (SQUARE + "vt 0 0\nvt 2 0\nvt 2 1\nvt 0 1\nf 1/1 2/2 3/3 4/4\n", "MESH_UVS_OUTSIDE", "100.0%"),
        (SQUARE + "vt 0 0\nvt 1 0\nvt 1 1\nf 1/1 2/2 3/3\nf 1/1 3/2 4/3\n", "MESH_UVS_OVERLAP", "100.00%"),
        (SQUARE + "vt nan 0\nvt 1 0\nvt 1 1\nf 1/1 2/2 3/3\n", "MESH_UVS_NOT_FINITE", "finite"),
    ],
)
def test_unusable_coordinates_are_refused_with_their_share(text: str, reason: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        mesh_with_own_uvs(obj(text), 64, SilentRun())
    assert caught.value.reason == reason
    assert told in caught.value.message
    assert "--unwrap" in caught.value.remedy
