"""One master material for everything forged, and an instance of it for each asset."""

import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import unreal

from unreal_scripts.asset_import.content import Session, assets, run_import_task
from unreal_scripts.asset_import.errors import ImportRefused
from unreal_scripts.asset_import.manifest import PackageManifest
from unreal_scripts.asset_import.properties import enum_member
from unreal_scripts.asset_import.result import ImportResult

MASTER_FOLDER = "/Game/Open3DForge"
MASTER_VERSION = "1"
VERSION_TAG = "Open3DForge.MasterVersion"


@dataclass(frozen=True)
class Sampler:
    """A texture parameter of the master material, with the one-colour texture that it shows by default."""

    parameter: str
    sampler_type: str
    default_name: str
    default_rgb: tuple[int, int, int]
    srgb: bool
    compression: str


SAMPLERS = (
    Sampler("BaseColor", "SAMPLERTYPE_COLOR", "T_Open3DForge_White", (255, 255, 255), True, "TC_DEFAULT"),
    Sampler("Normal", "SAMPLERTYPE_NORMAL", "T_Open3DForge_Flat", (128, 128, 255), False, "TC_NORMALMAP"),
    Sampler("ORM", "SAMPLERTYPE_MASKS", "T_Open3DForge_Rough", (255, 255, 0), False, "TC_MASKS"),
)
"""A sampler must agree with its texture's compression or the material does not compile, so the defaults are ours."""


def missing_defaults(name: str) -> tuple[Sampler, ...]:
    """Samplers whose default texture has to be made before the master material can be built."""
    if assets().does_asset_exist(f"{MASTER_FOLDER}/{name}"):
        return ()
    return tuple(s for s in SAMPLERS if not assets().does_asset_exist(f"{MASTER_FOLDER}/{s.default_name}"))


def ensure_master(session: Session, name: str) -> unreal.Material:
    """The master material, built where it is missing and rebuilt where an older version made it."""
    path = f"{MASTER_FOLDER}/{name}"
    session.make_folder(MASTER_FOLDER)
    if session.claim(path, "Material"):
        master = assets().load_asset(path)
        if assets().get_metadata_tag(master, VERSION_TAG) == MASTER_VERSION:
            return master
        unreal.MaterialEditingLibrary.delete_all_material_expressions(master)
    else:
        master = unreal.AssetToolsHelpers.get_asset_tools().create_asset(
            name, MASTER_FOLDER, unreal.Material, unreal.MaterialFactoryNew()
        )
        if master is None:
            raise ImportRefused(f"{path}: Unreal could not create the master material. Is the folder writable?")
    build_master(session, master)
    assets().set_metadata_tag(master, VERSION_TAG, MASTER_VERSION)
    session.touch(master)
    return master


def build_master(session: Session, master: unreal.Material) -> None:
    """Wire base colour with tint, normal, and packed occlusion, roughness and metallic with their scales."""
    library = unreal.MaterialEditingLibrary
    nodes = {}
    for row, sampler in enumerate(SAMPLERS):
        node = library.create_material_expression(
            master, unreal.MaterialExpressionTextureSampleParameter2D, -800, 300 * row
        )
        node.set_editor_property("parameter_name", sampler.parameter)
        node.set_editor_property("sampler_type", getattr(unreal.MaterialSamplerType, sampler.sampler_type))
        node.set_editor_property("texture", default_texture(session, sampler))
        nodes[sampler.parameter] = node
    tint = library.create_material_expression(master, unreal.MaterialExpressionVectorParameter, -800, -200)
    tint.set_editor_property("parameter_name", "BaseColorTint")
    tint.set_editor_property("default_value", unreal.LinearColor(1.0, 1.0, 1.0, 1.0))
    _connect(_product(master, (nodes["BaseColor"], "RGB"), (tint, ""), -100), unreal.MaterialProperty.MP_BASE_COLOR)
    _connect(nodes["Normal"], unreal.MaterialProperty.MP_NORMAL, "RGB")
    _connect(nodes["ORM"], unreal.MaterialProperty.MP_AMBIENT_OCCLUSION, "R")
    for row, (parameter, channel, target) in enumerate(
        (
            ("RoughnessScale", "G", unreal.MaterialProperty.MP_ROUGHNESS),
            ("MetallicScale", "B", unreal.MaterialProperty.MP_METALLIC),
        )
    ):
        scale = library.create_material_expression(
            master, unreal.MaterialExpressionScalarParameter, -800, 900 + 150 * row
        )
        scale.set_editor_property("parameter_name", parameter)
        scale.set_editor_property("default_value", 1.0)
        _connect(_product(master, (nodes["ORM"], channel), (scale, ""), 600 + 150 * row), target)
    library.layout_material_expressions(master)
    library.recompile_material(master)


def default_texture(session: Session, sampler: Sampler) -> unreal.Texture2D:
    """The sampler's own small texture, made where it is missing."""
    path = f"{MASTER_FOLDER}/{sampler.default_name}"
    session.make_folder(MASTER_FOLDER)
    if session.claim(path, "Texture2D"):
        return assets().load_asset(path)
    with tempfile.TemporaryDirectory(prefix="open3dforge-") as folder:
        file = Path(folder, f"{sampler.default_name}.png")
        file.write_bytes(plain_png(sampler.default_rgb))
        found = run_import_task(file, MASTER_FOLDER, sampler.default_name)
    if not found:
        raise ImportRefused(f"{path}: Unreal could not import the default texture; see the Output Log.")
    texture = found[0]
    texture.set_editor_property("srgb", sampler.srgb)
    texture.set_editor_property("compression_settings", enum_member("TextureCompressionSettings", sampler.compression))
    texture.set_editor_property("flip_green_channel", False)
    session.touch(texture)
    return texture


def plain_png(rgb: tuple[int, int, int], size_px: int = 16) -> bytes:
    """A PNG of one colour (PNG specification, third edition, 8 bits RGB)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(rgb) * size_px) * size_px
    header = struct.pack(">IIBBBBB", size_px, size_px, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def ensure_instance(
    session: Session,
    manifest: PackageManifest,
    master: unreal.Material,
    textures: dict[str, unreal.Texture2D],
    result: ImportResult,
) -> unreal.MaterialInstanceConstant:
    """The asset's own instance, its parameters set from the manifest and read back."""
    library = unreal.MaterialEditingLibrary
    path = session.path(manifest.material_name)
    if session.claim(path, "MaterialInstanceConstant"):
        instance = assets().load_asset(path)
    else:
        instance = unreal.AssetToolsHelpers.get_asset_tools().create_asset(
            manifest.material_name,
            session.folder,
            unreal.MaterialInstanceConstant,
            unreal.MaterialInstanceConstantFactoryNew(),
        )
        if instance is None:
            raise ImportRefused(f"{path}: Unreal could not create the material instance.")
    session.touch(instance)
    library.set_material_instance_parent(instance, master)
    for parameter, texture_name in manifest.texture_parameters.items():
        texture = textures.get(texture_name)
        if texture is None:
            result.note("material_texture", f"{manifest.material_name}: {texture_name} is not in the package.")
            continue
        library.set_material_instance_texture_parameter_value(instance, parameter, texture)
        if library.get_material_instance_texture_parameter_value(instance, parameter) != texture:
            result.note(
                "material_texture", f"{manifest.material_name}: parameter {parameter} did not take its texture."
            )
    for parameter, value in manifest.scalar_parameters.items():
        library.set_material_instance_scalar_parameter_value(instance, parameter, value)
    for parameter, (red, green, blue, alpha) in manifest.vector_parameters.items():
        library.set_material_instance_vector_parameter_value(
            instance, parameter, unreal.LinearColor(red, green, blue, alpha)
        )
    library.update_material_instance(instance)
    result.material_path = path
    return instance


def _product(
    master: unreal.Material,
    first: tuple[unreal.MaterialExpression, str],
    second: tuple[unreal.MaterialExpression, str],
    y: int,
) -> unreal.MaterialExpression:
    library = unreal.MaterialEditingLibrary
    node = library.create_material_expression(master, unreal.MaterialExpressionMultiply, -400, y)
    for (source, output), side in ((first, "A"), (second, "B")):
        if not library.connect_material_expressions(source, output, node, side):
            raise ImportRefused("The master material could not be wired; delete /Game/Open3DForge and import again.")
    return node


def _connect(node: unreal.MaterialExpression, target: unreal.MaterialProperty, output: str = "") -> None:
    if not unreal.MaterialEditingLibrary.connect_material_property(node, output, target):
        raise ImportRefused("The master material could not be wired; delete /Game/Open3DForge and import again.")
