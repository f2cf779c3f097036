"""GLBs that the Khronos validator passes and that an independent reader takes back unchanged."""

import io

import numpy as np
import pytest
import trimesh

from bridge_server.stages.export_files import ExportTarget, collision_names
from bridge_server.stages.export_model import (
    HullMesh,
    MaterialFiles,
    Model,
    hull_meshes,
    render_mesh,
)
from bridge_server.stages.glb_writer import write_glb
from bridge_server.stages.png_writer import encode_png, to_8_bits
from bridge_server.values.collision import Collision, CollisionPiece, CollisionShape
from bridge_server.values.placement import Pivot, Placement
from tests import shapes, unwrapped_shapes
from tests.referees import node

PLACEMENT = Placement(scale=0.5, translation_m=(0.0, 0.25, 0.1), pivot=Pivot.BOTTOM_CENTER, height_cm=50.0)


def _material(size: int = 16) -> MaterialFiles:
    return MaterialFiles(
        name="MI_Crate",
        base_color=encode_png(unwrapped_shapes.albedo_map(size).pixels, srgb=True),
        normal=encode_png(to_8_bits(unwrapped_shapes.normal_map(size).pixels)),
        orm=encode_png(unwrapped_shapes.packed_map(size).pixels),
        base_color_path="T_Crate_BC.png",
        normal_path="T_Crate_N.png",
        orm_path="T_Crate_ORM.png",
    )


def _collision() -> Collision:
    pieces = (
        CollisionPiece(shape=CollisionShape.CONVEX, mesh=shapes.box((1, 0.5, 1))),
        CollisionPiece(shape=CollisionShape.BOX, mesh=shapes.box()),
        CollisionPiece(shape=CollisionShape.SPHERE, mesh=shapes.sphere(0.5, 1)),
    )
    return Collision(pieces=pieces, containment=1.0, excess_volume=0.0, method="test")


def _load(data: bytes) -> trimesh.Scene:
    scene = trimesh.load(io.BytesIO(data), file_type="glb", process=False)
    assert isinstance(scene, trimesh.Scene)
    return scene


@pytest.mark.parametrize(
    "mesh",
    [
        unwrapped_shapes.unwrapped_box((1, 2, 3), cells=2, mirrored_chart=1),
        unwrapped_shapes.unwrapped_ball(cells=10),
    ],
    ids=["box", "ball"],
)
def test_validator_finds_nothing_and_trimesh_reads_the_same(mesh):
    collision = _collision()
    names = collision_names(ExportTarget.UE5, "SM_Crate", collision)
    assert names == ("UCX_SM_Crate_00", "UBX_SM_Crate_01", "USP_SM_Crate_02")
    model = Model(
        meshes=(render_mesh("SM_Crate", mesh, PLACEMENT),),
        hulls=hull_meshes(collision, names, PLACEMENT),
        material=_material(),
    )
    data = write_glb(model)
    assert data == write_glb(model)
    report = node.assert_valid_glb(data)
    assert report["issues"]["numInfos"] == 0
    assert report["issues"]["numHints"] == 0
    assert report["info"]["totalTriangleCount"] == len(mesh.faces) + 12 + 12 + 80
    scene = _load(data)
    assert set(scene.geometry) == {"SM_Crate", *names} == set(scene.graph.nodes_geometry)
    read = scene.geometry["SM_Crate"]
    np.testing.assert_array_equal(read.vertices.astype(np.float32), PLACEMENT.apply(mesh.positions_m))
    np.testing.assert_array_equal(read.faces, mesh.faces)
    np.testing.assert_allclose(read.visual.uv[:, 1], 1 - mesh.uvs[:, 1], atol=1e-6)
    np.testing.assert_allclose(read.vertex_normals, mesh.normals, atol=1e-6)
    material = read.visual.material
    assert material.name == "MI_Crate"
    np.testing.assert_array_equal(
        np.asarray(material.baseColorTexture.convert("RGB")), unwrapped_shapes.albedo_map(16).pixels
    )
    np.testing.assert_array_equal(np.asarray(material.occlusionTexture), unwrapped_shapes.packed_map(16).pixels)
    np.testing.assert_array_equal(np.asarray(material.metallicRoughnessTexture), np.asarray(material.occlusionTexture))


def test_seventy_thousand_vertices_take_32_bit_indices():
    mesh = unwrapped_shapes.unwrapped_ball(cells=108)
    assert len(mesh.positions_m) > 70_000
    data = write_glb(Model(meshes=(render_mesh("SM_A", mesh, PLACEMENT),), hulls=(), material=_material(4)))
    node.assert_valid_glb(data)
    np.testing.assert_array_equal(_load(data).geometry["SM_A"].faces, mesh.faces)


def test_broken_directions_are_mended():
    whole = unwrapped_shapes.unwrapped_box()
    normals, tangents = whole.normals.copy(), whole.tangents.copy()
    normals[0], normals[1], normals[2] = 0.0, np.nan, [0.0, 0.5, 0.0]
    tangents[3], tangents[4], tangents[5] = 0.0, np.nan, [*whole.normals[5], 1.0]
    fields = {name: getattr(whole, name) for name in whole.__dataclass_fields__}
    mesh = type(whole)(**(fields | {"normals": normals, "tangents": tangents}))
    placed = render_mesh("SM_A", mesh, PLACEMENT)
    np.testing.assert_allclose(np.linalg.norm(placed.normals, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(placed.tangents[:, :3], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.einsum("ij,ij->i", placed.normals, placed.tangents[:, :3]), 0, atol=1e-6)
    np.testing.assert_array_equal(placed.tangents[8:], whole.tangents[8:])
    node.assert_valid_glb(write_glb(Model(meshes=(placed,), hulls=(), material=_material(4))))


def test_a_level_without_images_keeps_the_material_slot():
    mesh = render_mesh("SM_A_LOD1", unwrapped_shapes.unwrapped_box(), PLACEMENT)
    hull = HullMesh(name="UCX_SM_A_LOD1_00", positions_m=mesh.positions_m, faces=mesh.faces)
    data = write_glb(Model(meshes=(mesh,), hulls=(hull,), material=MaterialFiles(name="MI_A")))
    report = node.assert_valid_glb(data)
    assert {message["code"] for message in report["issues"]["messages"]} <= {"UNUSED_OBJECT", "UNUSED_MESH_TANGENT"}
    assert _load(data).geometry["SM_A_LOD1"].visual.material.name == "MI_A"
