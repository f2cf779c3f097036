"""Getting files out of assets: the picture behind a texture, the shape behind a static mesh."""

from pathlib import Path

import unreal

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp"}


class ExportFailed(Exception):
    """An asset could not be written to a file."""


def texture_file(texture: unreal.Texture2D, folder: Path) -> Path:
    """The file that the texture was imported from where it is still there, else a PNG exported now."""
    import_data = texture.get_editor_property("asset_import_data")
    original = str(import_data.get_first_filename()) if import_data is not None else ""
    if original and Path(original).suffix.lower() in PICTURES and Path(original).is_file():
        return Path(original)
    return _export(texture, folder / f"{texture.get_name()}.png", unreal.TextureExporterPNG())


def static_mesh_file(mesh: unreal.StaticMesh, folder: Path) -> Path:
    """The mesh as a GLB."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{mesh.get_name()}.glb"
    options = unreal.GLTFExportOptions()
    unreal.GLTFExporter.export_to_gltf(mesh, str(path), options, set())
    if not path.is_file():
        raise ExportFailed(
            f"{mesh.get_name()}: could not be exported as GLB. Is the plugin 'glTF Exporter' switched on? It comes "
            "with the engine: Edit > Plugins > glTF Exporter."
        )
    return path


def _export(asset: unreal.Object, path: Path, exporter: unreal.Exporter) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    task = unreal.AssetExportTask()
    task.set_editor_property("object", asset)
    task.set_editor_property("filename", str(path))
    task.set_editor_property("exporter", exporter)
    task.set_editor_property("automated", True)
    task.set_editor_property("prompt", False)
    task.set_editor_property("replace_identical", True)
    if not unreal.Exporter.run_asset_export_task(task) or not path.is_file():
        reasons = "; ".join(str(text) for text in task.get_editor_property("errors"))
        raise ExportFailed(f"{asset.get_name()}: could not be exported ({reasons or 'no reason given'}).")
    return path
