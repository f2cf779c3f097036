"""Materials of an FBX file: Phong colours and the diffuse and emissive textures, embedded or beside the file."""

from collections.abc import Mapping

import numpy as np

from bridge_server.stages.fbx_nodes import Node
from bridge_server.stages.load_mesh_formats import companion
from bridge_server.stages.load_mesh_images import decoded_image
from bridge_server.values.base import Notice
from bridge_server.values.source import MeshSource
from bridge_server.values.surface_texture import AlphaMode, MaterialTextures, TextureImage

BASE_SLOTS = ("DiffuseColor", "3dsMax|Parameters|base_color_map", "Maya|baseColor", "Maya|TEX_color_map")
FILE_NAMES = ("RelativeFilename", "FileName", "Filename")
EMISSIVE_SLOTS = ("EmissiveColor", "Maya|emissionColor", "3dsMax|Parameters|emit_color_map")


def fbx_materials(
    source: MeshSource,
    objects: Mapping[int, Node],
    children: Mapping[int, list[int]],
    slots: Mapping[int, list[tuple[str, int]]],
    notices: list[Notice],
) -> dict[int, MaterialTextures]:
    """By number, in the order of the file; textures that cannot be read are told."""
    images: dict[int, TextureImage | None] = {}

    def image_in(material: int, names: tuple[str, ...]) -> TextureImage | None:
        for name, number in slots.get(material, []):
            if name in names and number in objects and objects[number].name == "Texture":
                if number not in images:
                    images[number] = _image(source, objects, children, number, notices)
                return images[number]
        return None

    return {
        number: _material(node, image_in(number, BASE_SLOTS), image_in(number, EMISSIVE_SLOTS))
        for number, node in objects.items()
        if node.name == "Material"
    }


def _material(node: Node, base: TextureImage | None, emissive: TextureImage | None) -> MaterialTextures:
    """Roughness follows from the Phong exponent as for OBJ; colours behind a texture are left out, as programs do."""
    values = _values(node)
    name = str(node.properties[1]).partition("\x00")[0] if len(node.properties) > 1 else ""
    color = np.clip(_numbers(values, "DiffuseColor", (0.8, 0.8, 0.8)) * _numbers(values, "DiffuseFactor", (1.0,)), 0, 1)
    red, green, blue = (1.0, 1.0, 1.0) if base is not None else color.tolist()
    opacity = float(np.clip(_numbers(values, "Opacity", (1.0,))[0], 0.0, 1.0))
    exponent = max(float(_numbers(values, "ShininessExponent", (4.0,))[0]), 0.0)
    glow = np.maximum(
        _numbers(values, "EmissiveColor", (0.0, 0.0, 0.0)) * _numbers(values, "EmissiveFactor", (1.0,)), 0
    )
    er, eg, eb = (1.0, 1.0, 1.0) if emissive is not None else glow.tolist()
    return MaterialTextures(
        name=name,
        base_color_factor=(red, green, blue, opacity),
        base_color_image=base,
        roughness_factor=(2.0 / (exponent + 2.0)) ** 0.5,
        emissive_factor=(er, eg, eb),
        emissive_image=emissive,
        alpha_mode=AlphaMode.BLEND if opacity < 1.0 else AlphaMode.OPAQUE,
    )


def _values(node: Node) -> dict[str, tuple[object, ...]]:
    blocks = [block for block in node.children if block.name == "Properties70"]
    return {str(entry.properties[0]): tuple(entry.properties[4:]) for block in blocks for entry in block.children}


def _numbers(values: Mapping[str, tuple[object, ...]], name: str, default: tuple[float, ...]) -> np.ndarray:
    found = values.get(name, default)[: len(default)]
    made = np.array(found if len(found) == len(default) else default, np.float64)
    return np.where(np.isfinite(made), made, default)


def _image(
    source: MeshSource,
    objects: Mapping[int, Node],
    children: Mapping[int, list[int]],
    number: int,
    notices: list[Notice],
) -> TextureImage | None:
    """The file inside, else the one beside it."""
    videos = [
        objects[child] for child in children.get(number, []) if child in objects and objects[child].name == "Video"
    ]
    names = [
        str(part.properties[0])
        for node in (objects[number], *videos)
        for part in node.children
        if part.name in FILE_NAMES and part.properties and part.properties[0]
    ]
    inside = [
        part.properties[0]
        for video in videos
        for part in video.children
        if part.name == "Content" and part.properties and isinstance(part.properties[0], bytes) and part.properties[0]
    ]
    data = inside[0] if inside else next((found for name in names if (found := companion(source, name))), None)
    problem = "it was not sent with the mesh"
    if isinstance(data, bytes):
        try:
            return TextureImage(pixels=decoded_image(data))
        except ValueError as error:
            problem = str(error)
    shown = names[0].replace("\\", "/").rpartition("/")[2] if names else "without a name"
    notices.append(
        Notice(
            code="texture_unreadable",
            message=f"The texture {shown} is left out: {problem}.",
            remedy="Send the texture files beside the FBX, or embed them.",
        )
    )
    return None
