"""FBX files as Autodesk's SDK (through FBX2glTF) and Assimp read them: names, triangles, bounds, directions, UVs."""

import io

import numpy as np
import pytest
import trimesh

from bridge_server.stages.export_files import ExportTarget, collision_names
from bridge_server.stages.export_model import MaterialFiles, Model, hull_meshes, render_mesh
from bridge_server.stages.fbx_nodes import FOOTER_END, HEADER, node, write_file
from bridge_server.stages.fbx_writer import write_fbx
from bridge_server.values.collision import Collision, CollisionPiece, CollisionShape
from bridge_server.values.placement import Pivot, Placement
from tests import shapes, unwrapped_shapes
from tests.referees import node as referee

PLACEMENT = Placement(scale=0.5, translation_m=(0.25, 0.5, 0.1), pivot=Pivot.BOTTOM_CENTER, height_cm=50.0)
SHAPES = {
    "box": unwrapped_shapes.unwrapped_box((1, 2, 3), cells=2, mirrored_chart=1),
    "ball": unwrapped_shapes.unwrapped_ball(cells=9),
}


def _model(mesh) -> Model:
    pieces = tuple(
        CollisionPiece(shape=CollisionShape.CONVEX, mesh=shapes.box(center=(float(at), 0, 0))) for at in range(2)
    )
    collision = Collision(pieces=pieces, containment=1.0, excess_volume=0.0, method="test")
    return Model(
        meshes=(render_mesh("SM_Crate", mesh, PLACEMENT),),
        hulls=hull_meshes(collision, collision_names(ExportTarget.UE5, "SM_Crate", collision), PLACEMENT),
        material=MaterialFiles(name="MI_Crate", base_color_path="T_Crate_BC.png", normal_path="T_Crate_N.png"),
    )


def _rows(*arrays: np.ndarray) -> np.ndarray:
    """Rows in an order that does not depend on that of the faces."""
    table = np.concatenate(arrays, axis=1)
    return table[np.lexsort(np.round(table, 4).T)]


@pytest.mark.parametrize("name", SHAPES)
def test_autodesks_sdk_reads_the_same_scene(name):
    mesh = SHAPES[name]
    data = write_fbx(_model(mesh))
    assert data == write_fbx(_model(mesh))
    scene = trimesh.load(io.BytesIO(referee.fbx_to_gltf(data)), file_type="glb", process=False)
    assert {"SM_Crate", "UCX_SM_Crate_00", "UCX_SM_Crate_01"} <= set(scene.graph.nodes)
    by_node = {scene.graph[name][1]: name for name in scene.graph.nodes_geometry}
    assert set(by_node.values()) == {"SM_Crate", "UCX_SM_Crate_00", "UCX_SM_Crate_01"}
    for geometry, wanted in ((g, n) for g, n in by_node.items()):
        transform = scene.graph[wanted][0]
        np.testing.assert_allclose(transform, np.eye(4), atol=1e-6, err_msg="metres and Y up without a transform")
        read = scene.geometry[geometry]
        faces = mesh.faces if wanted == "SM_Crate" else shapes.box().faces
        assert len(read.faces) == len(faces)
    read = scene.geometry[scene.graph["SM_Crate"][1]]
    placed = PLACEMENT.apply(mesh.positions_m)
    np.testing.assert_allclose(read.bounds, [placed.min(0), placed.max(0)], atol=1e-5)
    corners, wanted_corners = read.faces.reshape(-1), mesh.faces.reshape(-1)
    uvs = np.stack([read.visual.uv[:, 0], 1 - read.visual.uv[:, 1]], 1)
    found = _rows(read.vertices[corners], read.vertex_normals[corners], uvs[corners])
    wanted_rows = _rows(placed[wanted_corners], mesh.normals[wanted_corners], mesh.uvs[wanted_corners])
    np.testing.assert_allclose(found, wanted_rows, atol=2e-3)
    hull = scene.geometry[scene.graph["UCX_SM_Crate_01"][1]]
    np.testing.assert_allclose(hull.bounds[:, 0], [0.5, 1.0], atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_assimp_reads_the_same_meshes(name):
    mesh = SHAPES[name]
    scene = referee.assimp_read(write_fbx(_model(mesh)))
    found = {part["name"]: part for part in scene["meshes"]}
    assert set(found) == {"SM_Crate", "UCX_SM_Crate_00", "UCX_SM_Crate_01"}
    part = found["SM_Crate"]
    assert len(part["faces"]) == len(mesh.faces)
    positions = np.reshape(part["vertices"], (-1, 3))
    placed_cm = PLACEMENT.apply(mesh.positions_m) * 100.0
    np.testing.assert_allclose([positions.min(0), positions.max(0)], [placed_cm.min(0), placed_cm.max(0)], atol=1e-3)
    corners, wanted = np.reshape(part["faces"], -1), mesh.faces.reshape(-1)
    uvs = np.reshape(part["texturecoords"][0], (-1, part["numuvcomponents"][0]))[:, :2]
    flipped = np.stack([mesh.uvs[:, 0], 1 - mesh.uvs[:, 1]], 1)
    binormals = np.cross(mesh.normals, mesh.tangents[:, :3]) * mesh.tangents[:, 3:]
    expected = (placed_cm / 100, mesh.normals, mesh.tangents[:, :3], binormals, flipped)
    read = (positions / 100, *(np.reshape(part[key], (-1, 3)) for key in ("normals", "tangents", "bitangents")), uvs)
    np.testing.assert_allclose(
        _rows(*(array[corners] for array in read)), _rows(*(array[wanted] for array in expected)), atol=2e-3
    )
    names = {
        entry["value"] for entry in scene["materials"][0]["properties"] if entry["key"] in ("?mat.name", "$tex.file")
    }
    assert names == {"MI_Crate", "T_Crate_BC.png", "T_Crate_N.png"}


def test_hulls_carry_no_material():
    part = {m["name"]: m for m in referee.assimp_read(write_fbx(_model(SHAPES["box"])))["meshes"]}["UCX_SM_Crate_00"]
    assert "texturecoords" not in part


def test_container_has_header_sentinels_and_an_aligned_footer():
    data = write_file([node("A", 1, children=[node("B", np.arange(100, dtype=np.int32))]), node("Empty")])
    assert data.startswith(HEADER)
    assert data.endswith(FOOTER_END)
    assert (len(data) - len(FOOTER_END) - 120 - 4) % 16 == 0
    (end,) = np.frombuffer(data[27:31], "<u4")
    assert data[end - 13 : end] == bytes(13), "a node with children ends in an empty record"


def test_images_are_named_without_a_folder():
    data = write_fbx(_model(SHAPES["box"]))
    for name in (b"T_Crate_BC.png", b"T_Crate_N.png"):
        lengths = [data[at - 4 : at] for at in range(len(data)) if data.startswith(name, at)]
        assert lengths == [len(name).to_bytes(4, "little")] * 5
