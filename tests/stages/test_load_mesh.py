import io
import json
import struct

import numpy as np
import pytest
import trimesh
from PIL import Image

from bridge_server.errors import InputError
from bridge_server.run import SilentRun
from bridge_server.stages.load_mesh import LoadMesh, UpAxis
from bridge_server.stages.load_mesh_formats import read_mesh_source
from bridge_server.values.base import Severity
from bridge_server.values.mesh import area_m2, is_watertight, volume_m3
from bridge_server.values.source import MeshSource
from bridge_server.values.surface_texture import AlphaMode, Wrap
from tests import shapes
from tests.stages.gltf_files import GltfBuilder

TRIANGLE = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
QUAD = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]


def load(name, data, companions=(), **fields):
    source = read_mesh_source(name, data, tuple(companions))
    return LoadMesh(**fields)(SilentRun(), mesh_source=source)


def nearest_corner(positions_m, faces, points_m):
    from bridge_server.values.surface import SurfacePlaces

    distance = np.linalg.norm(positions_m[faces][None] - points_m[:, None, None], axis=3)
    flat = distance.reshape(len(points_m), -1).argmin(axis=1)
    return SurfacePlaces(faces=(flat // 3).astype(np.int32), barycentrics=np.eye(3, dtype=np.float32)[flat % 3])


def written(mesh, extension, **more):
    out = trimesh.Trimesh(mesh.positions_m, mesh.faces, process=False, **more).export(file_type=extension)
    return out.encode() if isinstance(out, str) else out


@pytest.mark.parametrize("extension", ["glb", "obj", "ply", "stl", "stl_ascii", "ply_ascii"])
def test_files_of_an_independent_writer_come_back_closed_and_in_measure(extension):
    mesh = shapes.torus(rows=24, columns=16)
    if extension == "ply_ascii":
        from trimesh.exchange.ply import export_ply

        data = export_ply(trimesh.Trimesh(mesh.positions_m, mesh.faces, process=False), encoding="ascii")
    else:
        data = written(mesh, extension)
    found = load(f"a.{extension.partition('_')[0]}", data).mesh
    assert is_watertight(found)
    assert len(found.faces) == len(mesh.faces)
    assert len(found.positions_m) == len(mesh.positions_m)
    assert volume_m3(found) == pytest.approx(volume_m3(mesh), rel=1e-5)


def test_a_textured_scene_of_an_independent_writer_keeps_colours_and_node_places():
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0, 1] = (255, 0, 0)
    material = trimesh.visual.material.PBRMaterial(
        baseColorTexture=Image.fromarray(pixels), metallicFactor=0.25, roughnessFactor=0.75
    )
    visual = trimesh.visual.TextureVisuals(uv=[[0.75, 0.75]] * 4, material=material)
    quad = trimesh.Trimesh(QUAD, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)
    scene = trimesh.Scene()
    scene.add_geometry(quad, transform=trimesh.transformations.translation_matrix((0, 0, 5)))
    high = load("a.glb", scene.export(file_type="glb"))
    np.testing.assert_allclose(high.mesh.positions_m[:, 2], 5.0)
    sample = high.field.sample(high.mesh.positions_m, nearest_corner)
    np.testing.assert_allclose(sample.base_color, np.tile([1.0, 0, 0], (4, 1)), atol=1e-6)
    np.testing.assert_allclose(sample.metallic, 0.25)
    np.testing.assert_allclose(sample.roughness, 0.75)


def test_strips_fans_and_plain_lists_make_the_same_surface():
    for mode, order in ((4, [0, 1, 2, 0, 2, 3]), (5, [0, 1, 3, 2]), (6, [0, 1, 2, 3])):
        builder = GltfBuilder()
        builder.primitive(QUAD, order, mode=mode)
        mesh = load("a.glb", builder.glb()).mesh
        assert area_m2(mesh) == pytest.approx(1.0)
        corners = mesh.positions_m[mesh.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert (normals[:, 2] > 0).all()


def test_points_and_lines_are_left_out_and_told():
    builder = GltfBuilder()
    builder.primitive(TRIANGLE)
    builder.primitive(TRIANGLE, mode=1)
    high = load("a.glb", builder.glb())
    assert len(high.mesh.faces) == 1
    assert "lines_dropped" in {notice.code for notice in high.notices}


def test_node_transforms_chain_and_a_mirroring_one_turns_the_winding():
    box = shapes.box()
    builder = GltfBuilder()
    builder.primitive(box.positions_m, box.faces)
    half = 0.5**0.5
    builder.document["nodes"] = [
        {"children": [1], "translation": [10, 0, 0], "rotation": [0, half, 0, half]},
        {"mesh": 0, "scale": [-1, 2, 3], "translation": [0, 0, 4]},
    ]
    mesh = load("a.glb", builder.glb()).mesh
    assert volume_m3(mesh) == pytest.approx(6.0, rel=1e-5)
    low, high = mesh.bounds_m  # a quarter turn about Y takes z to x
    np.testing.assert_allclose(low, [12.5, -1, -0.5], atol=1e-5)
    np.testing.assert_allclose(high, [15.5, 1, 0.5], atol=1e-5)


def test_a_matrix_is_column_major():
    builder = GltfBuilder()
    builder.primitive(TRIANGLE)
    builder.document["nodes"][0]["matrix"] = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 7, 8, 9, 1]
    np.testing.assert_allclose(load("a.glb", builder.glb()).mesh.bounds_m[0], [7, 8, 9])


def test_one_mesh_at_two_nodes_comes_twice():
    builder = GltfBuilder()
    builder.primitive(TRIANGLE)
    builder.document["scenes"] = [{"nodes": [0, 1]}]
    builder.document["nodes"] = [{"mesh": 0}, {"mesh": 0, "translation": [0, 0, 3]}]
    assert len(load("a.glb", builder.glb()).mesh.faces) == 2


def test_sparse_interleaved_and_normalised_accessors():
    builder = GltfBuilder()
    rows = np.zeros(3, np.dtype([("place", "<f4", 3), ("uv", "<u2", 2)]))
    rows["place"], rows["uv"] = TRIANGLE, [[0, 0], [65535, 0], [0, 65535]]
    view = builder.view(rows.tobytes(), stride=16)
    place = builder.add("accessors", {"bufferView": view, "componentType": 5126, "count": 3, "type": "VEC3"})
    uv = {"bufferView": view, "byteOffset": 12, "componentType": 5123, "count": 3, "type": "VEC2", "normalized": True}
    uv = builder.add("accessors", uv)
    builder.document["accessors"][place]["sparse"] = {
        "count": 1,
        "indices": {"bufferView": builder.view(np.array([2], "<u1").tobytes()), "componentType": 5121},
        "values": {"bufferView": builder.view(np.array([0, 5, 0], "<f4").tobytes())},
    }
    attributes = {"POSITION": place, "TEXCOORD_0": uv}
    builder.document["meshes"][0]["primitives"].append({"attributes": attributes})
    high = load("a.glb", builder.glb())
    assert area_m2(high.mesh) == pytest.approx(2.5)
    np.testing.assert_allclose(high.field.corner_uvs[0], [[0, 0], [1, 0], [0, 1]])


@pytest.mark.parametrize("sets", [1, 2])
def test_a_skinned_mesh_stands_in_the_pose_of_its_joints_and_not_of_its_node(sets):
    half = 0.5 if sets == 1 else 0.0
    builder = GltfBuilder()
    inverse = np.eye(4, dtype="<f4")
    inverse[3, :3] = (0, -1, 0)  # column-major: moves down by 1
    builder.primitive(
        TRIANGLE,
        attributes={
            "JOINTS_0": builder.accessor(np.array([[0, 1, 0, 0]] * 3, "<u1")),
            "WEIGHTS_0": builder.accessor(np.array([[0.5, half, 0, 0]] * 3, "<f4")),
        },
    )
    if sets == 2:
        attributes = builder.document["meshes"][0]["primitives"][0]["attributes"]
        attributes["JOINTS_1"] = builder.accessor(np.array([[1, 0, 0, 0]] * 3, "<u1"))
        attributes["WEIGHTS_1"] = builder.accessor(np.array([[0.5, 0, 0, 0]] * 3, "<f4"))
    builder.document["skins"] = [{"joints": [1, 2], "inverseBindMatrices": builder.accessor(np.stack([inverse] * 2))}]
    builder.document["scenes"] = [{"nodes": [0, 1, 2]}]
    builder.document["nodes"] = [
        {"mesh": 0, "skin": 0, "translation": [100, 0, 0]},
        {"translation": [2, 1, 0]},
        {"translation": [4, 1, 0]},
    ]
    np.testing.assert_allclose(load("a.glb", builder.glb()).mesh.bounds_m[0], [3, 0, 0], atol=1e-6)


def test_material_details_are_carried_over():
    builder = GltfBuilder()
    texture = builder.texture(np.full((2, 2, 4), 200), wrapS=33071, wrapT=33648)
    transform = {"offset": [0.5, 0], "scale": [2, 3], "texCoord": 1}
    reference = {"index": texture, "extensions": {"KHR_texture_transform": transform}}
    builder.document["materials"] = [
        {
            "pbrMetallicRoughness": {"baseColorTexture": reference, "baseColorFactor": [0.5, 1, 1, 0.5]},
            "alphaMode": "MASK", "alphaCutoff": 0.3, "emissiveFactor": [1, 0, 0.5], "normalTexture": {"index": texture},
            "extensions": {"KHR_materials_emissive_strength": {"emissiveStrength": 4}},
        }
    ]  # fmt: skip
    uvs = builder.accessor(np.array([[0, 0], [1, 0], [0, 1]], "<f4"))
    colors = builder.accessor(np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], "<u1"), normalized=True)
    builder.primitive(TRIANGLE, material=0, attributes={"TEXCOORD_1": uvs, "COLOR_0": colors})
    high = load("a.glb", builder.glb())
    material = high.field.materials[0]
    image = material.base_color_image
    assert (image.wrap_u, image.wrap_v, image.uv_set) == (Wrap.CLAMP, Wrap.MIRROR, 1)
    np.testing.assert_allclose(image.uv_transform, (2, 0, 0.5, 0, 3, 0), atol=1e-12)
    assert (material.alpha_mode, material.alpha_cutoff) == (AlphaMode.MASK, 0.3)
    assert material.emissive_factor == (4.0, 0.0, 2.0)
    assert (material.metallic_factor, material.roughness_factor) == (1.0, 1.0)
    np.testing.assert_allclose(high.field.corner_colors[0, :, :3], np.eye(3))
    assert "source_normal_map_dropped" in {notice.code for notice in high.notices}


def test_a_broken_texture_costs_the_texture_and_not_the_mesh():
    builder = GltfBuilder()
    image = builder.add("images", {"bufferView": builder.view(b"no image at all")})
    index = builder.add("textures", {"source": image})
    builder.document["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": index}}}]
    builder.primitive(TRIANGLE, material=0)
    high = load("a.glb", builder.glb())
    assert high.field.materials[0].base_color_image is None
    assert "texture_unreadable" in {notice.code for notice in high.notices}


def test_gltf_with_data_uris_and_companions():
    import base64

    builder = GltfBuilder()
    builder.primitive(TRIANGLE)
    builder.glb()
    binary = bytes(builder.binary)
    builder.document["buffers"][0]["uri"] = "my%20data.bin"
    text = json.dumps(builder.document).encode()
    assert len(load("a.gltf", text, [("sub/my data.bin", binary)]).mesh.faces) == 1
    with pytest.raises(InputError, match="not sent with it"):
        load("a.gltf", text)
    builder.document["buffers"][0]["uri"] = "data:application/octet-stream;base64," + base64.b64encode(binary).decode()
    assert len(load("a.gltf", json.dumps(builder.document).encode()).mesh.faces) == 1


def test_obj_with_library_polygons_negative_indices_and_texture():
    picture = io.BytesIO()
    Image.new("RGB", (2, 2), (255, 0, 0)).save(picture, "PNG")
    mtl = b"newmtl red\nKd 1 1 1\nmap_Kd -s 1 1 1 tex/red.png\nPr 0.3\nPm 0.9\n\nnewmtl plain\nKd 0 0.5 0\nd 0.25\n"
    obj = b"""mtllib a.mtl
v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0
vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1
usemtl red
f 1/1 2/2 3/3 4/4
v 0 0 1\nv 1 0 1\nv 0 1 1
usemtl plain
f -3//1 -2//1 -1//1
"""
    high = load("a.obj", obj, [("a.mtl", mtl), ("tex/red.png", picture.getvalue())])
    assert len(high.mesh.faces) == 3
    np.testing.assert_allclose(high.field.corner_uvs[0], [[0, 1], [1, 1], [1, 0]])
    red, plain = (high.field.materials[high.field.face_materials[face]] for face in (0, 2))
    assert (red.metallic_factor, red.roughness_factor) == (0.9, 0.3)
    assert red.base_color_image is not None
    assert plain.base_color_factor == (0, 0.5, 0, 0.25)
    assert not high.notices
    assert "companion_missing" in {n.code for n in load("a.obj", obj).notices}


PRISM_OF_A_DART = """v 0 0 0\nv 0 1 .5\nv 0 .3 0\nv 0 1 -.5\nv .2 0 0\nv .2 1 .5\nv .2 .3 0\nv .2 1 -.5
f 4 3 2 1\nf 5 6 7 8\nf 1 2 6 5\nf 2 3 7 6\nf 3 4 8 7\nf 4 1 5 8
"""


def test_hollow_polygons_of_obj_and_ply_enclose_what_they_should():
    rows = [line.split() for line in PRISM_OF_A_DART.splitlines()]
    points = [" ".join(words[1:]) for words in rows if words[0] == "v"]
    faces = [[int(word) - 1 for word in words[1:]] for words in rows if words[0] == "f"]
    head = f"ply\nformat ascii 1.0\nelement vertex {len(points)}\n" + "".join(f"property float {a}\n" for a in "xyz")
    head += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    ply = head + "\n".join([*points, *(" ".join(map(str, [len(face), *face])) for face in faces)]) + "\n"
    for name, text in (("a.obj", PRISM_OF_A_DART), ("a.ply", ply)):
        mesh = load(name, text.encode()).mesh
        assert is_watertight(mesh)
        assert abs(volume_m3(mesh)) == pytest.approx(0.2 * 0.15, rel=1e-5)
        assert area_m2(mesh) == pytest.approx(2 * 0.15 + 0.2 * 2 * (1.25**0.5 + 0.74**0.5), rel=1e-5)


def test_ascii_stl_without_its_last_line_is_told():
    text = written(shapes.box(), "stl_ascii")
    assert not load("a.stl", text).notices
    cut = text[: text.rindex(b"facet normal")]
    assert [notice.code for notice in load("a.stl", cut).notices] == ["maybe_truncated"]


def test_instances_stand_where_their_extension_says():
    builder = GltfBuilder()
    builder.primitive(TRIANGLE)
    attributes = {
        "TRANSLATION": builder.accessor(np.array([[5, 0, 0], [0, 7, 0]], "<f4")),
        "SCALE": builder.accessor(np.array([[1, 1, 1], [2, 2, 2]], "<f4")),
    }
    builder.document["nodes"][0] |= {
        "translation": [0, 0, 1], "extensions": {"EXT_mesh_gpu_instancing": {"attributes": attributes}},
    }  # fmt: skip
    builder.document["extensionsRequired"] = ["EXT_mesh_gpu_instancing"]
    high = load("a.glb", builder.glb())
    expected = [[5, 0, 1], [6, 0, 1], [5, 1, 1], [0, 7, 1], [2, 7, 1], [0, 9, 1]]
    np.testing.assert_allclose(high.mesh.positions_m[high.mesh.faces].reshape(-1, 3), expected)
    assert not high.notices


def test_an_unknown_extension_that_the_file_needs_is_told():
    high = load("a.glb", glb_with(TRIANGLE, extensionsRequired=["KHR_mesh_quantization", "ACME_curves"]))
    assert [notice.code for notice in high.notices] == ["extension_unknown"]
    assert "ACME_curves" in high.notices[0].message


def test_obj_objects_that_are_collision_are_left_out_and_told():
    solid = written(shapes.box(), "obj").decode()
    hull = "".join(f"v {x} {y} {z}\n" for x in (-3, 3) for y in (-3, 3) for z in (-3, 3)) + "f -8 -7 -6\nf -5 -6 -7\n"
    for statement in ("o", "g"):
        high = load("a.obj", f"{statement} Box\n{solid}{statement} UCX_Box_00\n{hull}".encode())
        assert [notice.code for notice in high.notices] == ["collision_left_out"]
        assert len(high.mesh.faces) == 12
    grouped = load("a.obj", f"o Box\ng UCX_no_object\n{solid}".encode())
    assert len(grouped.mesh.faces) == 12
    assert not grouped.notices


def test_obj_with_a_byte_order_mark_keeps_its_first_vertex():
    mesh = load("a.obj", b"\xef\xbb\xbf" + b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n").mesh
    np.testing.assert_allclose(mesh.positions_m, TRIANGLE)


def test_colours_that_are_no_numbers_are_black():
    obj = b"v 0 0 0 nan nan 1\nv 1 0 0 1 1 1\nv 0 1 0 1 1 1\nf 1 2 3\n"
    head = "ply\nformat ascii 1.0\nelement vertex 3\n"
    head += "".join(f"property float {name}\n" for name in ("x", "y", "z", "red", "green", "blue"))
    head += "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    ply = head + "0 0 0 nan nan 1\n1 0 0 1 1 1\n0 1 0 1 1 1\n3 0 1 2\n"
    for name, data in (("a.obj", obj), ("a.ply", ply.encode())):
        np.testing.assert_allclose(load(name, data).field.corner_colors[0, 0], [0, 0, 1, 1], atol=1e-6)


def test_vertex_colours_of_ply_are_decoded_from_srgb():
    colors = np.full((8, 4), (188, 0, 255, 255), np.uint8)
    high = load("a.ply", written(shapes.box(), "ply", vertex_colors=colors))
    expected = ((188 / 255 + 0.055) / 1.055) ** 2.4
    np.testing.assert_allclose(high.field.corner_colors[0, 0], [expected, 0, 1, 1], atol=1e-6)


def test_binary_ply_with_mixed_polygons_big_endian():
    head = "ply\nformat binary_big_endian 1.0\nelement vertex 5\nproperty float x\nproperty float y\nproperty float z\n"
    head += "element face 2\nproperty list uchar int vertex_indices\nend_header\n"
    body = np.array([*QUAD, [2, 0, 0]], ">f4").tobytes()
    body += b"\x04" + np.arange(4, dtype=">i4").tobytes() + b"\x03" + np.array([1, 4, 2], ">i4").tobytes()
    mesh = load("a.ply", head.encode() + body).mesh
    assert len(mesh.faces) == 3
    assert area_m2(mesh) == pytest.approx(1.5)


def test_split_vertices_are_welded_and_their_coordinates_stay_apart():
    box = shapes.box()
    corners = box.positions_m[box.faces].reshape(-1, 3)
    builder = GltfBuilder()
    uvs = builder.accessor(np.random.default_rng(0).random((36, 2)).astype("<f4"))
    builder.primitive(corners + np.linspace(0, 2e-7, 36)[:, None], attributes={"TEXCOORD_0": uvs})
    high = load("a.glb", builder.glb())
    assert len(high.mesh.positions_m) == 8
    assert is_watertight(high.mesh)
    assert len(np.unique(high.field.corner_uvs.reshape(-1, 2), axis=0)) == 36


@pytest.mark.parametrize(("flat", "severity"), [(1, Severity.INFO), (9, Severity.WARNING)])
def test_triangles_without_area_are_told_and_many_of_them_loudly(flat, severity):
    obj = OBJ_HEAD + b"v 0 0 1\n" * 7 + b"f 1 2 3\nf 1 2 4\nf 1 4 3\nf 2 3 4\n" * 4 + b"f 4 5 6\n" * flat
    (notice,) = (n for n in load("a.obj", obj).notices if n.code == "degenerate_dropped")
    assert notice.severity is severity
    assert f"{flat} of {16 + flat}" in notice.message


def test_z_up_files_are_turned_upright():
    mesh = load("a.stl", written(shapes.box((1, 2, 3)), "stl"), up_axis=UpAxis.Z).mesh
    np.testing.assert_allclose(mesh.bounds_m[1] - mesh.bounds_m[0], [1, 3, 2])
    assert volume_m3(mesh) == pytest.approx(6.0)


def test_a_few_vertices_that_are_not_finite_are_dropped_and_many_refused():
    ball = shapes.sphere(0.5, 4)
    positions = ball.positions_m.copy()
    positions[7] = np.nan
    builder = GltfBuilder()
    builder.primitive(positions, ball.faces)
    high = load("a.glb", builder.glb())
    assert len(high.mesh.faces) == len(ball.faces) - (ball.faces == 7).any(axis=1).sum()
    assert np.isfinite(high.mesh.positions_m).all()
    assert "not_finite_dropped" in {notice.code for notice in high.notices}
    positions[: len(positions) // 4] = np.inf
    builder = GltfBuilder()
    builder.primitive(positions, ball.faces)
    with pytest.raises(InputError, match="not a finite number"):
        load("a.glb", builder.glb())


def test_a_mesh_far_from_the_origin_keeps_its_detail():
    builder = GltfBuilder()
    box = shapes.box()
    builder.primitive(box.positions_m, box.faces)
    builder.document["nodes"][0]["translation"] = [1e9, 0, 0]
    high = load("a.glb", builder.glb())
    assert volume_m3(high.mesh) == pytest.approx(1.0, rel=1e-3)
    assert "moved_to_origin" in {notice.code for notice in high.notices}


def glb_with(positions, faces=None, **document):
    builder = GltfBuilder()
    builder.primitive(positions, faces)
    builder.document |= document
    return builder.glb()


def no_primitives():
    builder = GltfBuilder()
    builder.view(b"1234")
    return builder.glb()


def out_of_range():
    return glb_with(TRIANGLE, [0, 1, 9])


def accessor_past_the_end():
    builder = GltfBuilder()
    builder.primitive(TRIANGLE)
    builder.document["accessors"][0]["count"] = 4000
    return builder.glb()


def looping_nodes():
    builder = GltfBuilder()
    builder.primitive(TRIANGLE)
    builder.document["nodes"] = [{"mesh": 0, "children": [1]}, {"children": [0]}]
    return builder.glb()


OBJ_HEAD = b"v 0 0 0\nv 1 0 0\nv 0 1 0\n"
STL_HEAD = b"\0" * 80
PLY_HEAD = b"ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"


def without_data(count, primitive=""):
    """A GLB whose positions have no bytes: they are zero, or lie in an extension of the primitive."""
    builder = GltfBuilder()
    entry = builder.primitive(TRIANGLE)
    del builder.document["accessors"][0]["bufferView"]
    builder.document["accessors"][0]["count"] = count
    if primitive:
        entry["extensions"] = {primitive: {"bufferView": 0, "attributes": {"POSITION": 0}}}
    return builder.glb()


def compressed_buffer():
    builder = GltfBuilder()
    builder.primitive(TRIANGLE)
    builder.document["bufferViews"][0]["buffer"] = 1
    builder.add("buffers", {"byteLength": 0})
    builder.add("buffers", {"byteLength": 36, "extensions": {"EXT_meshopt_compression": {"fallback": True}}})
    return builder.glb()


@pytest.mark.parametrize(
    ("name", "data", "reason", "words"),
    [
        ("a.glb", b"", "MESH_EMPTY", "empty"),
        ("a.glb", b"this is a shopping list", "MESH_UNREADABLE", "text"),
        ("a.glb", b"\x89PNG\r\n\x1a\n" + bytes(64), "MESH_OTHER_KIND", "holds a PNG image"),
        ("a.glb", b"\x01\x02" * 64, "MESH_UNREADABLE", "something else"),
        ("a.stl", glb_with(TRIANGLE), "MESH_OTHER_KIND", "named STL but holds GLB.*Call it a.glb"),
        ("a.obj", glb_with(TRIANGLE), "MESH_OTHER_KIND", "Call it a.glb"),
        ("a.gltf", glb_with(TRIANGLE), "MESH_OTHER_KIND", "Call it a.glb"),
        ("a.glb", b"Kaydara FBX Binary  \0", "MESH_OTHER_KIND", "Call it a.fbx"),
        ("a.fbx", b"version https://git-lfs.github.com/spec/v1\n", "MESH_OTHER_KIND", "git lfs pull"),
        ("a.glb", without_data(10**12), "MESH_TOO_LARGE", "announces 1,000,000,000,000 elements"),
        ("a.glb", without_data(3, primitive="KHR_draco_mesh_compression"), "MESH_COMPRESSED", "Draco"),
        ("a.glb", compressed_buffer(), "MESH_COMPRESSED", "meshopt"),
        ("a.gltf", b"[" * 100_000, "MESH_UNREADABLE", "JSON cannot be parsed"),
        ("a.glb", b"glTF", "MESH_TRUNCATED", "header"),
        ("a.glb", glb_with(TRIANGLE)[:-20], "MESH_TRUNCATED", "truncated"),
        ("a.glb", struct.pack("<4sII", b"glTF", 1, 20) + bytes(8), "MESH_UNREADABLE", "version"),
        ("a.glb", no_primitives(), "MESH_NO_FACES", "no triangles"),
        ("a.glb", glb_with([[0, 0, 0]] * 3), "MESH_DEGENERATE", "degenerate"),
        ("a.glb", glb_with([[0, 0, 0], [1, 1, 1], [2, 2, 2]]), "MESH_DEGENERATE", "degenerate"),
        ("a.glb", out_of_range(), "MESH_INDEX_RANGE", "vertex 9"),
        ("a.glb", accessor_past_the_end(), "MESH_TRUNCATED", "reaches past"),
        ("a.glb", looping_nodes(), "MESH_UNREADABLE", "loop"),
        ("a.glb", glb_with(TRIANGLE, nodes=[{"mesh": 4}]), "MESH_UNREADABLE", r"meshes\[4\]"),
        ("a.glb", glb_with(TRIANGLE, nodes=[{"mesh": 0, "scale": "x"}]), "MESH_UNREADABLE", "broken"),
        ("a.glb", glb_with(TRIANGLE, extensionsRequired=["KHR_draco_mesh_compression"]), "MESH_COMPRESSED", "Draco"),
        ("a.glb", glb_with(TRIANGLE, extensionsRequired=["EXT_meshopt_compression"]), "MESH_COMPRESSED", "meshopt"),
        ("a.fbx", b"; FBX 7.5.0 project file", "MESH_FORMAT_UNKNOWN", "Export it as binary FBX or as GLB"),
        ("a.fbx", b"Kaydara FBX Binary   ", "MESH_UNREADABLE", "Copy it again as binary"),
        ("a.fbx", b"something else", "MESH_UNREADABLE", "does not begin as an FBX file does"),
        ("a.3ds", b"MM", "MESH_FORMAT_UNKNOWN", "GLB, GLTF, FBX, OBJ, PLY, STL"),
        ("noextension", b"x", "MESH_FORMAT_UNKNOWN", "known are"),
        ("a.obj", OBJ_HEAD, "MESH_NO_FACES", "no triangles"),
        ("a.obj", OBJ_HEAD + b"f 1 2 9\n", "MESH_UNREADABLE", "line 4.*vertex 9 of 3"),
        ("a.obj", OBJ_HEAD + b"f 1 2 0\n", "MESH_UNREADABLE", "vertex 0"),
        ("a.obj", OBJ_HEAD + b"f 1 2\n", "MESH_UNREADABLE", "fewer than three"),
        ("a.obj", b"v 0 0 zero\n", "MESH_UNREADABLE", "line 1"),
        ("a.obj", b"v 0 0\n", "MESH_UNREADABLE", "line 1.*fewer than three coordinates"),
        ("a.obj", bytes(100), "MESH_UNREADABLE", "binary"),
        ("a.obj", OBJ_HEAD.replace(b"v 1 0 0", b"v nan 0 0") + b"f 1 2 3\n", "MESH_NOT_FINITE", "not a finite"),
        ("a.stl", STL_HEAD + b"\0\0\0\0", "MESH_NO_FACES", "no triangles"),
        ("a.stl", STL_HEAD + b"\x05\0\0\0" + bytes(50), "MESH_TRUNCATED", "announces 5"),
        ("a.stl", STL_HEAD + b"\xff\xff\xff\xff", "MESH_TOO_LARGE", "over the limit"),
        ("a.stl", b"solid x\nvertex 0 0 0\nvertex 1 0 0\nendsolid", "MESH_TRUNCATED", "middle"),
        ("a.stl", b"short", "MESH_TRUNCATED", "header"),
        ("a.ply", b"plx", "MESH_UNREADABLE", "begin"),
        ("a.ply", b"ply\nformat ascii 1.0\n", "MESH_UNREADABLE", "no end"),
        ("a.ply", PLY_HEAD + b"end_header\n0 0 0\n1 0 0\n", "MESH_TRUNCATED", "announced rows"),
        ("a.ply", PLY_HEAD + b"end_header\n0 0 0\n1 0 0\n0 1 0\n", "MESH_NO_FACES", "no triangles"),
        ("a.ply", PLY_HEAD.replace(b"vertex 3", b"vertex 999999999") + b"end_header\n", "MESH_TOO_LARGE", "limit"),
        (
            "a.ply",
            PLY_HEAD + b"element face 1\nproperty list uchar int vertex_indices\nend_header\n"
            b"0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n",
            "MESH_INDEX_RANGE",
            "vertex 7",
        ),
    ],
)  # fmt: skip
def test_files_that_cannot_be_used_are_refused_by_name_and_reason(name, data, reason, words):
    with pytest.raises(InputError, match=words) as caught:
        load(name, data)
    assert caught.value.reason == reason
    assert caught.value.subject == name
    assert caught.value.remedy


def test_every_truncation_and_single_byte_error_of_a_glb_is_answered_and_never_crashes():
    builder = GltfBuilder()
    builder.primitive(QUAD, [0, 1, 2, 0, 2, 3])
    whole = builder.glb()
    random = np.random.default_rng(4)
    for length in range(0, len(whole), 7):
        with pytest.raises(InputError):
            LoadMesh()(SilentRun(), mesh_source=MeshSource(name="a.glb", data=whole[:length]))
    for _ in range(300):
        broken = bytearray(whole)
        broken[random.integers(len(broken))] = random.integers(256)
        try:
            found = LoadMesh()(SilentRun(), mesh_source=MeshSource(name="a.glb", data=bytes(broken)))
            assert np.isfinite(found.mesh.positions_m).all()
        except InputError:
            pass


def test_the_same_file_gives_the_same_bytes():
    data = written(shapes.torus(rows=20, columns=12), "stl")
    first, second = load("a.stl", data).mesh, load("a.stl", data).mesh
    assert first.positions_m.tobytes() == second.positions_m.tobytes()
    assert first.faces.tobytes() == second.faces.tobytes()


def test_the_example_fox_stands_upright_in_metres_with_its_texture():
    from pathlib import Path

    data = (Path(__file__).parents[2] / "examples/fox/fox.glb").read_bytes()
    high = load("fox.glb", data)
    assert len(high.mesh.faces) == 576
    assert is_watertight(high.mesh)
    low, up = high.mesh.bounds_m
    assert low[1] == pytest.approx(0.0, abs=0.01)
    np.testing.assert_allclose(up - low, [0.252, 0.790, 1.547], atol=0.01)
    assert high.field.materials[0].base_color_image.pixels.shape == (1024, 1024, 3)
    assert not high.notices
