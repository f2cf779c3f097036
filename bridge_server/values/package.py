"""Files that leave the pipeline, still in memory: their bytes, roles and how Unreal should take them."""

import enum
from dataclasses import dataclass

from bridge_server.values.base import Value
from bridge_server.values.texture import ColorSpace


class FileRole(enum.StrEnum):
    """What a file of the package is for."""

    MESH = "mesh"
    MESH_LOD = "mesh_lod"
    MESH_FBX = "mesh_fbx"
    MESH_OBJ = "mesh_obj"
    COLLISION = "collision"
    MATERIAL_LIBRARY = "material_library"
    BASE_COLOR = "base_color"
    NORMAL_DIRECTX = "normal_directx"
    NORMAL_OPENGL = "normal_opengl"
    ORM = "orm"
    MASK_MAP = "mask_map"
    METALLIC_ROUGHNESS = "metallic_roughness"
    INVENTED_MASK = "invented_mask"
    PREVIEW = "preview"
    TURNTABLE = "turntable"
    REPORT = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFile(Value):
    """One file of the package."""

    path: str
    """Relative to the package folder, forward slashes."""
    role: FileRole
    data: bytes
    color_space: ColorSpace | None = None
    """For textures."""
    compression: str = ""
    """For textures: Unreal's ``TextureCompressionSettings`` member, e.g. ``TC_NORMALMAP``."""
    lod: int = 0
    """For meshes: which level the file holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedFiles(Value):
    """Meshes and textures as the chosen export preset wants them."""

    asset_name: str
    """Without prefix, e.g. ``CoffeeCup``."""
    target: str = "ue5"
    """Where the files are meant for: ue5, unity_hdrp, godot, blender or web."""
    collision_names: tuple[str, ...] = ()
    """Node name of each collision piece in the mesh files; empty where the target takes none."""
    files: tuple[PackageFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures(Value):
    """Renders of the finished low poly with its baked maps."""

    preview_png: bytes
    turntable_webp: bytes
    thumbnail_png: bytes
    """256 px, for lists."""
    comparison_png: bytes = b""
    """High poly, triangles and result side by side, for the report; empty where none was made."""
