"""Binary FBX: read back from our own writer, held against Assimp, and refused where it is broken."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bridge_server.errors import InputError
from bridge_server.run import SilentRun
from bridge_server.stages import fbx_reader
from bridge_server.stages.export_model import HullMesh, MaterialFiles, Model, render_mesh
from bridge_server.stages.fbx_nodes import HEADER, Node, node, write_file
from bridge_server.stages.fbx_reader import FbxError, read_file
from bridge_server.stages.fbx_writer import write_fbx
from bridge_server.stages.load_mesh import LoadMesh, read_surface
from bridge_server.stages.load_mesh_fbx import texture_names
from bridge_server.values.mesh import area_m2, is_watertight, volume_m3
from bridge_server.values.placement import Pivot, Placement
from bridge_server.values.source import MeshSource
from tests import shapes, unwrapped_shapes
from tests.referees import node as referee

AS_IT_IS = Placement(scale=1.0, translation_m=(0.0, 0.0, 0.0), pivot=Pivot.CUSTOM, height_cm=100.0)
QUADS = [(0, 1, 3, ~2), (4, 6, 7, ~5), (0, 4, 5, ~1), (2, 3, 7, ~6), (0, 2, 6, ~4), (1, 5, 7, ~3)]


def surface(data: bytes, *companions: tuple[str, bytes]):
    return read_surface(MeshSource(name="a.fbx", data=data, companions=companions), SilentRun())


def high_poly(data: bytes):
    return LoadMesh()(SilentRun(), mesh_source=MeshSource(name="a.fbx", data=data, companions=()))


def properties(**values: object) -> Node:
    rows = []
    for name, value in values.items():
        numbers = value if isinstance(value, tuple) else (value,)
        kind = "Vector3D" if len(numbers) == 3 else "int" if isinstance(value, int) else "double"
        rows.append(node("P", name.replace("_", " "), kind, "", "", *numbers))
    return node("Properties70", children=rows)


def link(child: int, parent: int, slot: str = "") -> Node:
    return node("C", "OP" if slot else "OO", np.int64(child), np.int64(parent), *([slot] if slot else []))


def geometry(number: int, *layers: Node) -> Node:
    corners = shapes.box().positions_m.astype(np.float64)
    children = [node("Vertices", corners), node("PolygonVertexIndex", np.array(QUADS, np.int32)), *layers]
    return node("Geometry", np.int64(number), "box\x00\x01Geometry", "Mesh", children=children)


def model(number: int, **values: object) -> Node:
    return node("Model", np.int64(number), f"m{number}\x00\x01Model", "Mesh", children=[properties(**values)])


def file(objects: list[Node], links: list[Node], **settings: object) -> bytes:
    return write_file(
        [
            node("FBXHeaderExtension", children=[node("FBXVersion", 7400)]),
            node("GlobalSettings", children=[properties(**settings)]),
            node("Objects", children=objects),
            node("Connections", children=links),
        ]
    )


def box_file(*layers: Node, settings: dict[str, object] | None = None, **values: object) -> bytes:
    return file([geometry(1, *layers), model(2, **values)], [link(1, 2), link(2, 0)], **(settings or {}))


def test_what_our_writer_wrote_comes_back():
    mesh = unwrapped_shapes.unwrapped_box((1, 2, 3), cells=2)
    made = Model(
        meshes=(render_mesh("SM_Box", mesh, AS_IT_IS),),
        hulls=(HullMesh(name="UCX_SM_Box_00", positions_m=shapes.box().positions_m, faces=shapes.box().faces),),
        material=MaterialFiles(name="MI_Box", base_color_path="T_Box_BC.png"),
    )
    data = write_fbx(made)
    raw = surface(data)
    assert raw.objects == ("SM_Box", "UCX_SM_Box_00")
    assert len(raw.faces) == len(mesh.faces) + 12
    render = np.flatnonzero(~raw.collision_faces())
    assert len(render) == len(mesh.faces)
    np.testing.assert_allclose(raw.positions[raw.faces[render]], mesh.positions_m[mesh.faces], atol=1e-6)
    np.testing.assert_allclose(raw.corner_uvs[render], mesh.uvs[mesh.faces], atol=1e-6)
    assert raw.materials[0].name == "MI_Box"
    assert [notice.code for notice in raw.notices] == ["texture_unreadable"]
    assert set(texture_names(data)) == {"T_Box_BC.png"}
    assert "collision_left_out" in [notice.code for notice in high_poly(data).notices]
    loaded = high_poly(data).mesh
    assert is_watertight(loaded)
    assert volume_m3(loaded) == pytest.approx(6.0, rel=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        {"Lcl_Translation": (1.0, 2.0, 3.0), "Lcl_Rotation": (20.0, 40.0, 70.0), "Lcl_Scaling": (1.0, 2.0, 0.5)},
        {"PreRotation": (-90.0, 0.0, 0.0), "Lcl_Rotation": (0.0, 30.0, 0.0), "PostRotation": (5.0, 10.0, 15.0)},
        {"RotationPivot": (1.0, 0.0, 0.0), "RotationOffset": (0.0, 3.0, 0.0), "Lcl_Rotation": (0.0, 0.0, 90.0)},
        {"ScalingPivot": (0.5, 0.5, 0.5), "ScalingOffset": (0.0, 1.0, 0.0), "Lcl_Scaling": (3.0, 2.0, 1.0)},
        {
            "GeometricTranslation": (0.0, 0.0, 2.0),
            "GeometricRotation": (0.0, 45.0, 0.0),
            "Lcl_Scaling": (2.0, 2.0, 2.0),
        },
        {"Lcl_Scaling": (-1.0, 1.0, 1.0), "Lcl_Translation": (5.0, 0.0, 0.0)},
    ],
    ids=["trs", "pre and post", "rotation pivot", "scaling pivot", "geometric", "mirrored"],
)
def test_assimp_places_models_alike(values):
    data = file(
        [geometry(1), model(2, **values), model(3, Lcl_Rotation=(10.0, 20.0, 30.0), Lcl_Translation=(0.0, 4.0, 0.0))],
        [link(1, 2), link(2, 3), link(3, 0)],
        UnitScaleFactor=100.0,
    )
    raw = surface(data)
    scene = referee.assimp_read(data)
    wanted = np.unique(np.round(np.concatenate(list(_vertices(scene, scene["rootnode"], np.eye(4)))), 3), axis=0)
    np.testing.assert_allclose(np.unique(np.round(raw.positions, 3), axis=0), wanted, atol=2e-3)
    mesh = high_poly(data).mesh
    assert is_watertight(mesh)
    assert volume_m3(mesh) > 0.0


def _vertices(scene, at, parent):
    world = parent @ np.array(at["transformation"]).reshape(4, 4)
    for index in at.get("meshes", []):
        yield np.array(scene["meshes"][index]["vertices"]).reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]
    for child in at.get("children", []):
        yield from _vertices(scene, child, world)


def test_rotation_orders():
    """The first axis of the order turns first: where that is X, a beam along Y ends along Z, else along X."""
    for number, axis in enumerate("ZZXZXX"):
        raw = surface(box_file(Lcl_Rotation=(90.0, 0.0, 90.0), RotationOrder=number, Lcl_Scaling=(1.0, 300.0, 1.0)))
        along = raw.positions[np.argmax(np.abs(raw.positions).sum(axis=1))]
        assert "XYZ"[int(np.argmax(np.abs(along)))] == axis, number


def test_z_up_and_inches():
    """As 3ds Max writes: Z up, facing -Y."""
    settings = {
        "UpAxis": 2, "UpAxisSign": 1, "FrontAxis": 1, "FrontAxisSign": -1, "CoordAxis": 0, "CoordAxisSign": 1,
        "UnitScaleFactor": 2.54,
    }  # fmt: skip
    raw = surface(box_file(settings=settings, Lcl_Translation=(0.0, -10.0, 100.0)))
    np.testing.assert_allclose(raw.positions.mean(axis=0), [0.0, 2.54, 0.254], atol=1e-9)
    mesh = high_poly(box_file(settings=settings)).mesh
    assert volume_m3(mesh) == pytest.approx(0.0254**3, rel=1e-4)


def test_layers_in_every_way_of_mapping():
    uvs = node(
        "LayerElementUV",
        0,
        children=[
            node("MappingInformationType", "ByVertice"),
            node("ReferenceInformationType", "Direct"),
            node("UV", np.arange(16, dtype=np.float64) / 16),
        ],
    )
    colors = node(
        "LayerElementColor",
        0,
        children=[
            node("MappingInformationType", "ByPolygonVertex"),
            node("ReferenceInformationType", "IndexToDirect"),
            node("Colors", np.float64([1, 0, 0, 1, 0, 0, 1, 0.5])),
            node("ColorIndex", np.repeat([0, 1], 12).astype(np.int32)),
        ],
    )
    slots = node(
        "LayerElementMaterial",
        0,
        children=[
            node("MappingInformationType", "ByPolygon"),
            node("ReferenceInformationType", "IndexToDirect"),
            node("Materials", np.int32([1, 1, 0, 0, 0, 7])),
        ],
    )
    materials = [
        node("Material", np.int64(n), f"{name}\x00\x01Material", "", children=[properties(DiffuseColor=color)])
        for n, name, color in ((10, "red", (1.0, 0.0, 0.0)), (11, "half", (0.5, 0.5, 0.5)))
    ]
    data = file(
        [geometry(1, uvs, colors, slots), model(2), *materials],
        [link(1, 2), link(2, 0), link(11, 2), link(10, 2)],
    )
    raw = surface(data)
    np.testing.assert_allclose(raw.corner_uvs[..., 0], raw.faces * 2 / 16)
    np.testing.assert_allclose(raw.corner_uvs[..., 1], 1.0 - (raw.faces * 2 + 1) / 16)
    np.testing.assert_allclose(raw.corner_colors[:6], np.tile([1.0, 0.0, 0.0, 1.0], (6, 3, 1)))
    np.testing.assert_allclose(raw.corner_colors[6:], np.tile([0.0, 0.0, 1.0, 0.5], (6, 3, 1)))
    names = [raw.materials[index].name for index in raw.face_materials[::2]]
    assert names == ["red", "red", "half", "half", "half", ""]
    assert raw.materials[0].base_color_factor == (1.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("inside", [True, False])
def test_textures_inside_and_beside(inside):
    picture = io.BytesIO()
    Image.new("RGB", (2, 2), (10, 200, 30)).save(picture, "PNG")
    content = [node("Content", picture.getvalue())] if inside else []
    texture = node("Texture", np.int64(20), "t", "", children=[node("RelativeFilename", "..\\maps\\wood.png")])
    video = node("Video", np.int64(21), "v", "Clip", children=content)
    material = node("Material", np.int64(10), "wood\x00\x01Material", "", children=[properties()])
    links = [link(1, 2), link(2, 0), link(10, 2), link(20, 10, "DiffuseColor"), link(21, 20)]
    data = file([geometry(1), model(2), material, texture, video], links)
    raw = surface(data, *([] if inside else [("wood.png", picture.getvalue())]))
    assert raw.notices == []
    np.testing.assert_array_equal(raw.materials[0].base_color_image.pixels[0, 0], [10, 200, 30])
    assert texture_names(data) == ["..\\maps\\wood.png"]


def wide(top: list[Node]) -> bytes:
    """As ``write_file``, in version 7.5 with its 64-bit records; properties are taken from the narrow records."""

    def record(item: Node, start: int) -> bytes:
        narrow = write_file([Node(item.name, item.properties)])[len(HEADER) :]
        length, name_length = struct.unpack_from("<I", narrow, 8)[0], narrow[12]
        head = narrow[13 : 13 + name_length + length]
        at = start + 25 + len(head)
        parts = []
        for child in item.children:
            parts.append(record(child, at))
            at += len(parts[-1])
        parts.append(bytes(25) if parts else b"")
        at += len(parts[-1])
        return struct.pack("<QQQB", at, len(item.properties), length, name_length) + head + b"".join(parts)

    data = HEADER[:23] + struct.pack("<I", 7500)
    for item in top:
        data += record(item, len(data))
    return data + bytes(25)


def test_wide_records():
    top = [node("Objects", children=[geometry(1), model(2)]), node("Connections", children=[link(1, 2), link(2, 0)])]
    assert area_m2(high_poly(wide(top)).mesh) == pytest.approx(6.0 * 1e-4, rel=1e-4)


def test_polygons_become_fans_and_lines_nothing():
    corners = np.float64([[np.cos(a), np.sin(a), 0] for a in np.linspace(0, 2 * np.pi, 7)[:-1]])
    index = np.int32([0, 1, 2, 3, 4, ~5, 0, ~1])
    parts = [node("Vertices", corners), node("PolygonVertexIndex", index)]
    flat = node("Geometry", np.int64(1), "hexagon", "Mesh", children=parts)
    raw = surface(file([flat, model(2)], [link(1, 2), link(2, 0)], UnitScaleFactor=100.0))
    assert raw.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 5]]


def test_a_hollow_polygon_of_fbx_has_its_own_area_and_its_layers_follow():
    dart = np.float64([[0, 0, 0], [0.5, 1, 0], [0, 0.3, 0], [-0.5, 1, 0]])
    for first in range(4):
        order = np.roll(np.arange(4), first)
        index = np.int32([*order[:3], ~order[3]])
        uvs = node("UV", dart[order, :2].ravel())
        layer = node("LayerElementUV", 0, children=[node("MappingInformationType", "ByPolygonVertex"), uvs])
        parts = [node("Vertices", dart), node("PolygonVertexIndex", index), layer]
        flat = node("Geometry", np.int64(1), "dart", "Mesh", children=parts)
        raw = surface(file([flat, model(2)], [link(1, 2), link(2, 0)], UnitScaleFactor=100.0))
        corners = raw.positions[raw.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2]
        assert normals.min() > 0.0
        assert normals.sum() / 2.0 == pytest.approx(0.15)
        np.testing.assert_allclose(raw.corner_uvs * (1, -1) + (0, 1), corners[:, :, :2], atol=1e-12)


def broken_box(**changes: Node) -> bytes:
    whole = geometry(1)
    parts = [changes.get(part.name, part) for part in whole.children]
    return file([Node("Geometry", whole.properties, tuple(parts)), model(2)], [link(1, 2), link(2, 0)])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (broken_box(PolygonVertexIndex=node("PolygonVertexIndex", np.int32([0, 1, ~99]))), "vertex 99 of 8"),
        (broken_box(PolygonVertexIndex=node("PolygonVertexIndex", np.int32([0, 1, 2]))), "does not end"),
        (broken_box(Vertices=node("Vertices", np.zeros(7))), "less than three coordinates"),
        (broken_box(PolygonVertexIndex=node("PolygonVertexIndex", 5)), "no PolygonVertexIndex"),
        (file([geometry(1), model(2), model(3)], [link(1, 2), link(2, 3), link(3, 2)]), "in a ring"),
        (box_file(settings={"UpAxis": 9}), "UpAxis is 9"),
        (box_file(settings={"UpAxis": 0}), "three different"),
        (file([model(2)], [link(2, 0)]), "holds no triangles"),
        (write_file([node("Takes")]), "no objects"),
    ],
)
def test_broken_scenes_are_refused_by_what_is_wrong(data, message):
    with pytest.raises(InputError, match=message):
        surface(data)


def test_whatever_is_cut_off_or_changed_is_refused_or_read_and_never_crashes():
    data = box_file(Lcl_Translation=(1.0, 2.0, 3.0))
    for length in range(0, len(data) - 200, 37):
        with pytest.raises((InputError, FbxError)):
            surface(data[:length])
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(300):
        changed = np.frombuffer(data, np.uint8).copy()
        changed[rng.integers(23, len(data) - 200, 3)] = rng.integers(0, 256, 3)
        try:
            outcomes.add(len(surface(changed.tobytes()).faces) >= 0)
        except InputError:
            outcomes.add(False)
    assert outcomes == {True, False}


def test_arrays_that_unpack_without_end_are_refused_before_they_do(monkeypatch):
    def file_of(number: int, raw: bytes) -> bytes:
        body = b"Vertices" + b"d" + struct.pack("<III", number, 1, len(raw)) + raw
        start = len(HEADER)
        head = struct.pack("<IIIB", start + 13 + len(body), 1, len(body) - 8, 8)
        return HEADER + head + body + bytes(13)

    bomb = zlib.compress(bytes(8 << 20), 9)
    (whole,) = read_file(file_of(1 << 20, bomb), lambda _: True)
    assert len(whole.properties[0]) == 1 << 20
    with pytest.raises(FbxError, match="unpack to more than"):
        read_file(file_of(1 << 30, bomb), lambda _: True)
    with pytest.raises(FbxError, match="announces 2,097,152 numbers and holds 1,048,576"):
        read_file(file_of(1 << 21, bomb), lambda _: True)
    monkeypatch.setattr(fbx_reader, "MAX_NODES", 0)
    with pytest.raises(FbxError, match="more than 0 nodes"):
        read_file(file_of(1 << 20, bomb), lambda _: True)


def test_nesting_without_end_is_refused():
    deep = node("a")
    for _ in range(80):
        deep = node("a", children=[deep])
    with pytest.raises(FbxError, match="deep"):
        read_file(write_file([deep]), lambda _: True)
