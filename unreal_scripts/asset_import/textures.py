"""Textures: the right colour space, compression and group, and no second flip of the normal map's green."""

import unreal

from unreal_scripts.asset_import.content import Session, run_import_task
from unreal_scripts.asset_import.errors import ImportRefused
from unreal_scripts.asset_import.manifest import TextureEntry
from unreal_scripts.asset_import.properties import enum_member
from unreal_scripts.asset_import.result import ImportResult


def import_texture(session: Session, entry: TextureEntry, result: ImportResult) -> unreal.Texture2D:
    """Import one PNG, or update the texture that is there, and read its settings back."""
    path = session.path(entry.name)
    session.claim(path, "Texture2D")
    found = [
        asset
        for asset in run_import_task(entry.path, session.folder, entry.name)
        if isinstance(asset, unreal.Texture2D)
    ]
    if not found:
        raise ImportRefused(f"{entry.path}: Unreal made no texture of it; the editor's Output Log says why.")
    texture = found[0]
    session.touch(texture)
    texture.set_editor_property("srgb", entry.srgb)
    texture.set_editor_property("compression_settings", enum_member("TextureCompressionSettings", entry.compression))
    texture.set_editor_property("lod_group", enum_member("TextureGroup", entry.lod_group))
    texture.set_editor_property("flip_green_channel", entry.flip_green)
    if texture.get_editor_property("srgb") != entry.srgb:
        result.note("texture_srgb", f"{entry.name}: Unreal did not keep sRGB {'on' if entry.srgb else 'off'}.")
    width = texture.blueprint_get_size_x()
    if width != entry.size_px:
        result.note("texture_size", f"{entry.name}: {width} px in Unreal, {entry.size_px} px in the package.")
    result.texture_paths.append(path)
    return texture
