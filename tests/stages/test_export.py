"""The export stage: which files each target gets, what they hold, and that independent readers agree on it."""

import io

import numpy as np
import pytest
import trimesh
from PIL import Image

from bridge_server.errors import Cancelled
from bridge_server.run import CallbackRun, SilentRun
from bridge_server.stages.export import Export
from bridge_server.stages.export_files import ExportTarget
from bridge_server.stages.export_images import mask_map_pixels, orm_pixels
from bridge_server.stages.png_writer import png_size, to_8_bits
from bridge_server.stages.quadrangulate import QuadMode, Quadrangulate
from bridge_server.stages.stage import declaration_of
from bridge_server.values.collision import Collision, CollisionPiece, CollisionShape
from bridge_server.values.package import ExportedFiles, FileRole
from bridge_server.values.placement import Pivot, Placement
from bridge_server.values.texture import AlbedoMap, ColorSpace, Packing
from tests import shapes, unwrapped_shapes
from tests.referees import node

LODS = unwrapped_shapes.lod_chain(
    unwrapped_shapes.unwrapped_ball(cells=8),
    unwrapped_shapes.unwrapped_ball(cells=4),
    unwrapped_shapes.unwrapped_ball(cells=2),
)
PLACEMENT = Placement(scale=0.5, translation_m=(0.0, 0.25, 0.0), pivot=Pivot.BOTTOM_CENTER, height_cm=50.0)
COLLISION = Collision(
    pieces=(
        CollisionPiece(shape=CollisionShape.CONVEX, mesh=shapes.sphere(0.5, 1)),
        CollisionPiece(shape=CollisionShape.CONVEX, mesh=shapes.box((0.2, 0.2, 0.2))),
    ),
    containment=1.0,
    excess_volume=0.0,
    method="test",
)


def _export(target: ExportTarget, *, run=None, packing=Packing.ORM, albedo=None, quads=None, **fields) -> ExportedFiles:
    return Export(asset_name="Orb", target=target, **fields)(
        run or SilentRun(),
        lods=LODS,
        collision=COLLISION,
        placement=PLACEMENT,
        normal=unwrapped_shapes.normal_map(32),
        albedo=albedo or unwrapped_shapes.albedo_map(32),
        packed=unwrapped_shapes.packed_map(32, packing),
        quads=quads,
    )


def _data(files: ExportedFiles, path: str) -> bytes:
    return {file.path: file.data for file in files.files}[path]


def _pixels(files: ExportedFiles, path: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(_data(files, path))))


@pytest.mark.parametrize(
    ("target", "paths"),
    [
        (
            ExportTarget.UE5,
            "SM_Orb.glb SM_Orb_LOD1.glb SM_Orb_LOD2.glb SM_Orb.fbx "
            "T_Orb_BC.png T_Orb_N_GL.png T_Orb_ORM.png T_Orb_N.png",
        ),
        (
            ExportTarget.UNITY_HDRP,
            "SM_Orb.glb SM_Orb.fbx SM_Orb_Collision.fbx T_Orb_BC.png T_Orb_N_GL.png T_Orb_MASK.png",
        ),
        (
            ExportTarget.GODOT,
            "SM_Orb.glb SM_Orb_LOD1.glb SM_Orb_LOD2.glb T_Orb_BC.png T_Orb_N_GL.png T_Orb_ORM.png",
        ),
        (
            ExportTarget.BLENDER,
            "SM_Orb.glb SM_Orb.fbx SM_Orb.obj SM_Orb.mtl T_Orb_BC.png T_Orb_N_GL.png T_Orb_ORM.png",
        ),
        (ExportTarget.WEB, "SM_Orb.glb"),
    ],
)
def test_each_target_gets_its_files_and_every_glb_is_valid(target, paths):
    files = _export(target)
    assert [file.path for file in files.files] == paths.split()
    assert files.target == target
    for file in files.files:
        if file.path.endswith(".glb"):
            node.assert_valid_glb(file.data)


def test_ue5_package_holds_what_it_says():
    files = _export(ExportTarget.UE5)
    assert files == _export(ExportTarget.UE5)
    assert files.collision_names == ("UCX_SM_Orb_00", "UCX_SM_Orb_01")
    base = trimesh.load(io.BytesIO(_data(files, "SM_Orb.glb")), file_type="glb", process=False)
    assert set(base.geometry) == {"SM_Orb", "UCX_SM_Orb_00", "UCX_SM_Orb_01"}
    np.testing.assert_allclose(base.geometry["SM_Orb"].bounds, [[-0.25, 0, -0.25], [0.25, 0.5, 0.25]], atol=1e-6)
    second = trimesh.load(io.BytesIO(_data(files, "SM_Orb_LOD2.glb")), file_type="glb", process=False)
    assert set(second.geometry) == {"SM_Orb_LOD2"}
    assert len(second.geometry["SM_Orb_LOD2"].faces) == len(LODS.lods[2].mesh.faces)
    scene = node.assimp_read(_data(files, "SM_Orb.fbx"))
    assert {part["name"]: len(part["faces"]) for part in scene["meshes"]} == {
        "SM_Orb": 12 * 64,
        "UCX_SM_Orb_00": 80,
        "UCX_SM_Orb_01": 12,
    }
    assert b"T_Orb_N.png" in _data(files, "SM_Orb.fbx")
    roles = {file.path: (file.role, file.color_space, file.compression) for file in files.files if file.color_space}
    assert roles == {
        "T_Orb_BC.png": (FileRole.BASE_COLOR, ColorSpace.SRGB, "TC_DEFAULT"),
        "T_Orb_N.png": (FileRole.NORMAL_DIRECTX, ColorSpace.LINEAR, "TC_NORMALMAP"),
        "T_Orb_N_GL.png": (FileRole.NORMAL_OPENGL, ColorSpace.LINEAR, "TC_NORMALMAP"),
        "T_Orb_ORM.png": (FileRole.ORM, ColorSpace.LINEAR, "TC_MASKS"),
    }


def test_quads_are_in_the_files_for_blender_and_others_are_told():
    quads = Quadrangulate(mode=QuadMode.PAIRS)(SilentRun(), unwrapped=LODS.lods[0].mesh)
    files = _export(ExportTarget.BLENDER, quads=quads)
    lines = [line for line in _data(files, "SM_Orb.obj").decode().split("o UCX_")[0].splitlines() if line[:2] == "f "]
    assert {len(line.split()) for line in lines} == {5}
    assert len(lines) == len(quads.faces) == 6 * 64
    assert files.notices == ()
    assert _data(files, "SM_Orb.glb") == _data(_export(ExportTarget.BLENDER), "SM_Orb.glb")
    told = _export(ExportTarget.UE5, quads=quads)
    assert [notice.code for notice in told.notices] == ["quads_not_exported"]
    assert told.files == _export(ExportTarget.UE5).files


def test_images_are_the_maps_with_green_down_for_directx():
    files = _export(ExportTarget.UE5)
    wanted = to_8_bits(unwrapped_shapes.normal_map(32).pixels)
    np.testing.assert_array_equal(_pixels(files, "T_Orb_BC.png"), unwrapped_shapes.albedo_map(32).pixels)
    np.testing.assert_array_equal(_pixels(files, "T_Orb_N_GL.png"), wanted)
    np.testing.assert_array_equal(_pixels(files, "T_Orb_N.png")[..., [0, 2]], wanted[..., [0, 2]])
    np.testing.assert_array_equal(_pixels(files, "T_Orb_N.png")[..., 1], 255 - wanted[..., 1])
    np.testing.assert_array_equal(_pixels(files, "T_Orb_ORM.png"), unwrapped_shapes.packed_map(32).pixels)
    glb = trimesh.load(io.BytesIO(_data(files, "SM_Orb.glb")), file_type="glb", process=False)
    embedded = glb.geometry["SM_Orb"].visual.material.normalTexture
    np.testing.assert_array_equal(np.asarray(embedded), wanted, err_msg="glTF wants OpenGL normals")


def test_sixteen_bit_normals_on_request():
    files = _export(ExportTarget.UE5, sixteen_bit_normals=True)
    assert len({file.path for file in files.files}) == len(files.files)
    for path in ("T_Orb_N.png", "T_Orb_N_GL.png"):
        assert png_size(_data(files, path)) == (32, 32, 16, 3)
    node.assert_valid_glb(_data(files, "SM_Orb.glb"))


@pytest.mark.parametrize("packing", list(Packing))
def test_either_packing_serves_either_target(packing):
    packed = unwrapped_shapes.packed_map(32, packing)
    np.testing.assert_array_equal(orm_pixels(packed), unwrapped_shapes.packed_map(32, Packing.ORM).pixels)
    np.testing.assert_array_equal(mask_map_pixels(packed), unwrapped_shapes.packed_map(32, Packing.MASK_MAP).pixels)
    mask = _pixels(_export(ExportTarget.UNITY_HDRP, packing=packing), "T_Orb_MASK.png")
    np.testing.assert_array_equal(mask, unwrapped_shapes.packed_map(32, Packing.MASK_MAP).pixels)


def test_godot_collision_is_called_as_godot_wants_it():
    files = _export(ExportTarget.GODOT)
    glb = trimesh.load(io.BytesIO(_data(files, "SM_Orb.glb")), file_type="glb", process=False)
    assert set(glb.geometry) == {"SM_Orb", "SM_Orb_00-convcolonly", "SM_Orb_01-convcolonly"}


def test_unity_fbx_has_a_node_a_level_and_collision_apart():
    files = _export(ExportTarget.UNITY_HDRP)
    levels = node.assimp_read(_data(files, "SM_Orb.fbx"))["meshes"]
    assert [part["name"] for part in levels] == ["SM_Orb_LOD0", "SM_Orb_LOD1", "SM_Orb_LOD2"]
    assert [len(part["faces"]) for part in levels] == [768, 192, 48]
    hulls = node.assimp_read(_data(files, "SM_Orb_Collision.fbx"))["meshes"]
    assert {part["name"] for part in hulls} == {"UCX_SM_Orb_00", "UCX_SM_Orb_01"}


def test_obj_is_read_back_by_assimp():
    files = _export(ExportTarget.BLENDER)
    scene = node.assimp_read(_data(files, "SM_Orb.obj"), "SM_Orb.obj")
    parts = {part["name"]: part for part in scene["meshes"]}
    assert set(parts) == {"SM_Orb", "UCX_SM_Orb_00", "UCX_SM_Orb_01"}
    mesh = LODS.lods[0].mesh
    corners = np.reshape(parts["SM_Orb"]["faces"], -1)
    found = np.reshape(parts["SM_Orb"]["vertices"], (-1, 3))[corners]
    np.testing.assert_allclose(found, PLACEMENT.apply(mesh.positions_m)[mesh.faces.reshape(-1)], atol=1e-6)
    uvs = np.reshape(parts["SM_Orb"]["texturecoords"][0], (-1, 2))[corners]
    np.testing.assert_allclose(uvs[:, 1], 1 - mesh.uvs[mesh.faces.reshape(-1), 1], atol=1e-6)
    normals = np.reshape(parts["SM_Orb"]["normals"], (-1, 3))[corners]
    np.testing.assert_allclose(normals, mesh.normals[mesh.faces.reshape(-1)], atol=1e-6)
    library = _data(files, "SM_Orb.mtl").decode()
    assert "newmtl MI_Orb" in library
    assert "map_Kd T_Orb_BC.png" in library


def test_invented_texels_are_marked():
    plain = unwrapped_shapes.albedo_map(32)
    invented = np.zeros((32, 32), bool)
    invented[4:8] = True
    files = _export(ExportTarget.UE5, albedo=AlbedoMap(pixels=plain.pixels, invented=invented))
    np.testing.assert_array_equal(_pixels(files, "T_Orb_INV.png"), invented * 255)


def test_cancellation_is_heard():
    def stop(fraction: float, _: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        _export(ExportTarget.UE5, run=CallbackRun(stop))


def test_progress_rises():
    seen: list[float] = []
    _export(ExportTarget.UE5, run=CallbackRun(lambda fraction, _: seen.append(fraction)))
    assert seen == sorted(seen)
    assert 0 <= seen[0] <= seen[-1] <= 1


def test_declaration():
    declared = declaration_of(Export)
    assert declared.reads == ("lods", "collision", "placement", "normal", "albedo", "packed")
    assert declared.writes == "files"
