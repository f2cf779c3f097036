"""FBX files: our own small writer of binary FBX 7.4 with geometry, normals, tangents, UVs, material and hulls.

Centimetres (``UnitScaleFactor`` 1), Y up, right-handed, the asset facing +Z, as Maya writes it; Unreal, Blender,
Unity and Autodesk's SDK convert from there. V points up in FBX, down inside.
Points are welded; normals, tangents, binormals and UVs lie on the corners.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from bridge_server.stages.export_model import HullMesh, MaterialFiles, Model, RenderMesh, corner_points
from bridge_server.stages.fbx_nodes import CREATION_TIME, FILE_ID, Node, Property, node, write_file
from bridge_server.values.space import CENTIMETRES_PER_METRE

CREATOR = "Open3DForge"
SCENE_ID = np.int64(1)
ROOT_ID = np.int64(0)


def write_fbx(model: Model) -> bytes:
    """The file's bytes: one model node a mesh and a hull; one material; images by relative file name."""
    ids = (np.int64(number) for number in itertools.count(1_000_000))
    objects: list[Node] = []
    links: list[Node] = []
    material_id = next(ids)
    objects.append(_material(material_id, model.material))
    for name, geometry in _geometries(model):
        geometry_id, model_id = next(ids), next(ids)
        objects.append(node("Geometry", geometry_id, f"{name}\x00\x01Geometry", "Mesh", children=geometry))
        objects.append(_model(model_id, name))
        links += [_link(model_id, ROOT_ID), _link(geometry_id, model_id)]
        if any(part.name == "LayerElementMaterial" for part in geometry):
            links.append(_link(material_id, model_id))
    slots = (("DiffuseColor", model.material.base_color_path), ("NormalMap", model.material.normal_path))
    for slot, path in slots:
        if path:
            texture_id, video_id = next(ids), next(ids)
            objects += [_texture(texture_id, path), _video(video_id, path)]
            links += [_link(texture_id, material_id, slot), _link(video_id, texture_id)]
    return write_file(
        [
            _header(),
            node("FileId", FILE_ID),
            node("CreationTime", CREATION_TIME),
            node("Creator", CREATOR),
            _settings(),
            _documents(),
            node("References"),
            _definitions(objects),
            node("Objects", children=objects),
            node("Connections", children=links),
            node("Takes", children=[node("Current", "")]),
        ]
    )


def _geometries(model: Model) -> Iterator[tuple[str, list[Node]]]:
    for mesh in model.meshes:
        yield mesh.name, _render_geometry(mesh)
    for hull in model.hulls:
        yield hull.name, _hull_geometry(hull)


def _points(positions_m: np.ndarray, corners: np.ndarray, sizes: np.ndarray) -> list[Node]:
    polygons = corners.astype(np.int32)
    ends = np.cumsum(sizes) - 1
    polygons[ends] = ~polygons[ends]
    return [
        node("GeometryVersion", 124),
        node("Vertices", positions_m.astype(np.float64) * CENTIMETRES_PER_METRE),
        node("PolygonVertexIndex", polygons),
    ]


def _render_geometry(mesh: RenderMesh) -> list[Node]:
    points = corner_points(mesh)
    corners, sizes = mesh.polygons()
    normals, tangents = mesh.normals.astype(np.float64), mesh.tangents.astype(np.float64)
    binormals = np.cross(normals, tangents[:, :3]) * tangents[:, 3:]
    second = [] if mesh.lightmap_uvs is None else [_uv_layer(mesh.lightmap_uvs, corners, "LightMapUV", 1)]
    return [
        *_points(points.positions_m, mesh.welded[corners], sizes),
        _layer("Normal", "ByPolygonVertex", "Direct", [node("Normals", normals[corners])], version=101),
        _layer("Binormal", "ByPolygonVertex", "Direct", [node("Binormals", binormals[corners])], version=101),
        _layer("Tangent", "ByPolygonVertex", "Direct", [node("Tangents", tangents[corners, :3])], version=101),
        _uv_layer(mesh.uvs, corners, "UVMap", 0),
        *second,
        # Without smoothing groups Unreal warns and Blender shades flat; one group for all leaves the normals their say.
        _layer("Smoothing", "ByPolygon", "Direct", [node("Smoothing", np.ones(len(sizes), np.int32))], version=102),
        _layer("Material", "AllSame", "IndexToDirect", [node("Materials", np.zeros(1, np.int32))]),
        _layers("Normal", "Binormal", "Tangent", "UV", "Smoothing", "Material"),
        *([_layers("UV", index=1)] if second else []),
    ]


def _uv_layer(uvs: np.ndarray, corners: np.ndarray, name: str, index: int) -> Node:
    upward = uvs.astype(np.float64) * [1.0, -1.0] + [0.0, 1.0]
    data = [node("UV", upward), node("UVIndex", corners)]
    return _layer("UV", "ByPolygonVertex", "IndexToDirect", data, name=name, index=index)


def _hull_geometry(hull: HullMesh) -> list[Node]:
    corners = hull.positions_m.astype(np.float64)[hull.faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-30)
    normals = node("Normals", np.repeat(flat, 3, axis=0))
    return [
        *_points(hull.positions_m, hull.faces.reshape(-1), np.full(len(hull.faces), 3)),
        _layer("Normal", "ByPolygonVertex", "Direct", [normals], version=101),
        _layers("Normal"),
    ]


def _layer(
    kind: str, mapping: str, reference: str, data: Sequence[Node], *, version: int = 101, name: str = "", index: int = 0
) -> Node:
    head = [
        node("Version", version),
        node("Name", name),
        node("MappingInformationType", mapping),
        node("ReferenceInformationType", reference),
    ]
    return node(f"LayerElement{kind}", index, children=[*head, *data])


def _layers(*kinds: str, index: int = 0) -> Node:
    elements = [
        node("LayerElement", children=[node("Type", f"LayerElement{kind}"), node("TypedIndex", index)])
        for kind in kinds
    ]
    return node("Layer", index, children=[node("Version", 100), *elements])


def _model(identity: np.int64, name: str) -> Node:
    properties = _properties(
        ("InheritType", "enum", "", "", 1),
        ("DefaultAttributeIndex", "int", "Integer", "", 0),
        ("Lcl Translation", "Lcl Translation", "", "A", 0.0, 0.0, 0.0),
        ("Lcl Rotation", "Lcl Rotation", "", "A", 0.0, 0.0, 0.0),
        ("Lcl Scaling", "Lcl Scaling", "", "A", 1.0, 1.0, 1.0),
    )
    head = [node("Version", 232), properties, node("Shading", True), node("Culling", "CullingOff")]
    return node("Model", identity, f"{name}\x00\x01Model", "Mesh", children=head)


def _material(identity: np.int64, material: MaterialFiles) -> Node:
    properties = _properties(
        ("Diffuse", "Vector3D", "Vector", "", 1.0, 1.0, 1.0),
        ("DiffuseColor", "Color", "", "A", 1.0, 1.0, 1.0),
        ("DiffuseFactor", "Number", "", "A", 1.0),
        ("SpecularFactor", "Number", "", "A", 0.0),
        ("ReflectionFactor", "Number", "", "A", 0.0),
        ("Opacity", "double", "Number", "", 1.0),
    )
    head = [node("Version", 102), node("ShadingModel", "phong"), node("MultiLayer", 0), properties]
    return node("Material", identity, f"{material.name}\x00\x01Material", "", children=head)


def _texture(identity: np.int64, path: str) -> Node:
    name = path.rpartition(".")[0]
    parts = [
        node("Type", "TextureVideoClip"),
        node("Version", 202),
        node("TextureName", f"{name}\x00\x01Texture"),
        _properties(("UVSet", "KString", "", "", "UVMap"), ("UseMaterial", "bool", "", "", 1)),
        node("Media", f"{name}\x00\x01Video"),
        node("FileName", path),
        node("RelativeFilename", path),
        node("ModelUVTranslation", 0.0, 0.0),
        node("ModelUVScaling", 1.0, 1.0),
        node("Texture_Alpha_Source", "None"),
        node("Cropping", 0, 0, 0, 0),
    ]
    return node("Texture", identity, f"{name}\x00\x01Texture", "", children=parts)


def _video(identity: np.int64, path: str) -> Node:
    name = path.rpartition(".")[0]
    parts = [
        node("Type", "Clip"),
        _properties(("Path", "KString", "XRefUrl", "", path)),
        node("UseMipMap", 0),
        node("Filename", path),
        node("RelativeFilename", path),
    ]
    return node("Video", identity, f"{name}\x00\x01Video", "Clip", children=parts)


def _header() -> Node:
    stamp = [
        node(key, value)
        for key, value in (
            ("Version", 1000),
            ("Year", 1970),
            ("Month", 1),
            ("Day", 1),
            ("Hour", 10),
            ("Minute", 0),
            ("Second", 0),
            ("Millisecond", 0),
        )
    ]
    parts = [
        node("FBXHeaderVersion", 1003),
        node("FBXVersion", 7400),
        node("EncryptionType", 0),
        node("CreationTimeStamp", children=stamp),
        node("Creator", CREATOR),
    ]
    return node("FBXHeaderExtension", children=parts)


def _settings() -> Node:
    properties = _properties(
        ("UpAxis", "int", "Integer", "", 1),
        ("UpAxisSign", "int", "Integer", "", 1),
        ("FrontAxis", "int", "Integer", "", 2),
        ("FrontAxisSign", "int", "Integer", "", 1),
        ("CoordAxis", "int", "Integer", "", 0),
        ("CoordAxisSign", "int", "Integer", "", 1),
        ("OriginalUpAxis", "int", "Integer", "", 1),
        ("OriginalUpAxisSign", "int", "Integer", "", 1),
        ("UnitScaleFactor", "double", "Number", "", 1.0),
        ("OriginalUnitScaleFactor", "double", "Number", "", 1.0),
    )
    return node("GlobalSettings", children=[node("Version", 1000), properties])


def _documents() -> Node:
    document = node("Document", SCENE_ID, "Scene", "Scene", children=[node("RootNode", ROOT_ID)])
    return node("Documents", children=[node("Count", 1), document])


def _definitions(objects: Sequence[Node]) -> Node:
    kinds = ["GlobalSettings", *(item.name for item in objects)]
    types = [node("ObjectType", kind, children=[node("Count", kinds.count(kind))]) for kind in dict.fromkeys(kinds)]
    return node("Definitions", children=[node("Version", 100), node("Count", len(kinds)), *types])


def _link(child: np.int64, parent: np.int64, slot: str = "") -> Node:
    return node("C", "OP", child, parent, slot) if slot else node("C", "OO", child, parent)


def _properties(*entries: tuple[Property, ...]) -> Node:
    return node("Properties70", children=[node("P", *entry) for entry in entries])
