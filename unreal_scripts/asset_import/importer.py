"""The import as a sequence of steps.

A step makes at most one call into Unreal's importers, so a caller that runs one step a tick keeps the editor alive.
Nothing is saved before everything is there; whatever goes wrong before that is rolled back.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import unreal

from unreal_scripts.asset_import import materials, skeletal_mesh, static_mesh
from unreal_scripts.asset_import.content import Session, asset_path, assets, content_folder
from unreal_scripts.asset_import.errors import ImportCancelled, ImportRefused
from unreal_scripts.asset_import.manifest import PackageManifest, read_manifest, verify_files
from unreal_scripts.asset_import.result import ImportResult
from unreal_scripts.asset_import.textures import import_texture

TAG_PREFIX = "Open3DForge."
NOT_IMPORTED = ("normal_opengl",)
"""Unreal's materials read the DirectX normal map."""


@dataclass(frozen=True)
class ImportOptions:
    """Wishes that are not in the package."""

    skeleton_path: str = ""
    """Skeleton asset to bind a skeletal mesh to; empty makes a new one, or keeps that of the mesh being updated."""
    verify_digests: bool = True
    """Hold each file against its digest first; a caller that has just done so may leave it out."""
    save: bool = True


@dataclass(frozen=True)
class Progress:
    """Told before each step."""

    fraction: float
    title: str


def import_asset(
    manifest_path: str | Path, destination: str, options: ImportOptions | None = None, *, show_progress: bool = True
) -> ImportResult:
    """Import a package into a content folder and wait until it is done.

    ``manifest_path`` is ``asset_manifest.json`` or its folder; ``destination`` a content folder such as
    ``/Game/Props``. Shows Unreal's progress dialog with a cancel button where the editor is attended.
    Raises ``ImportRefused`` or ``ImportCancelled``; after either nothing of the import is left.
    """
    result = ImportResult()
    steps = import_steps(manifest_path, destination, options, result)
    visible = show_progress and not unreal.SystemLibrary.is_unattended()
    with unreal.ScopedSlowTask(100.0, f"Importing {Path(manifest_path).parent.name}") as task:
        if visible:
            task.make_dialog(True)
        done = 0.0
        for progress in steps:
            task.enter_progress_frame(max(100.0 * progress.fraction - done, 0.0), progress.title)
            done = 100.0 * progress.fraction
            if visible and task.should_cancel():
                steps.throw(ImportCancelled("The import was cancelled; nothing of it is left."))
    return result


def import_steps(
    manifest_path: str | Path, destination: str, options: ImportOptions | None, result: ImportResult
) -> Generator[Progress, None, None]:
    """The same, a step at a time: each ``next`` does one piece of work and fills ``result``.

    Throwing an exception in, or closing the iterator, rolls back.
    """
    wishes = options or ImportOptions()
    manifest = read_manifest(Path(manifest_path))
    if wishes.verify_digests:
        yield Progress(0.02, "Checking the package")
        verify_files(manifest)
    session = Session(content_folder(destination))
    result.engine_version = unreal.SystemLibrary.get_engine_version()
    try:
        yield from _steps(manifest, session, wishes, result)
    except BaseException:
        session.roll_back()
        raise


def _steps(
    manifest: PackageManifest, session: Session, wishes: ImportOptions, result: ImportResult
) -> Generator[Progress, None, None]:
    session.make_folder(session.folder)
    wanted = [entry for entry in manifest.textures if entry.role not in NOT_IMPORTED]
    textures = {}
    for number, entry in enumerate(wanted):
        yield Progress(0.05 + 0.3 * number / max(len(wanted), 1), f"Texture {entry.name}")
        textures[entry.name] = import_texture(session, entry, result)
    for sampler in materials.missing_defaults(manifest.material_parent):
        yield Progress(0.35, f"Texture {sampler.default_name}")
        materials.default_texture(session, sampler)
    yield Progress(0.36, "Master material")
    master = materials.ensure_master(session, manifest.material_parent)
    yield Progress(0.4, f"Material {manifest.material_name}")
    instance = materials.ensure_instance(session, manifest, master, textures, result)
    if manifest.is_skeletal:
        yield from _skeletal_steps(manifest, session, wishes, instance, result)
    else:
        yield from _static_steps(manifest, session, instance, result)
    yield Progress(0.9, "Provenance")
    for asset in session.touched:
        # A skeleton that was there before belongs to others too, and says nothing about this asset.
        shared = isinstance(asset, unreal.Skeleton) and asset_path(asset) not in session.created
        if not shared:
            _tag(asset, manifest)
    if wishes.save:
        for asset in tuple(session.touched):
            yield Progress(0.95, f"Saving {asset.get_name()}")
            if not assets().save_loaded_asset(asset, only_if_is_dirty=False):
                raise ImportRefused(
                    f"{asset.get_path_name()}: Unreal could not save it. Is the disk full, or the file open?"
                )
    yield Progress(1.0, "Done")


def _static_steps(
    manifest: PackageManifest, session: Session, instance: unreal.MaterialInstanceConstant, result: ImportResult
) -> Generator[Progress, None, None]:
    yield Progress(0.45, f"Mesh {manifest.mesh_name}")
    mesh = static_mesh.import_base(session, manifest, result)
    for level in manifest.lods[1:]:
        yield Progress(0.6 + 0.2 * level.index / len(manifest.lods), f"LOD{level.index}")
        static_mesh.attach_level(session, manifest, mesh, level, result)
    yield Progress(0.82, "Collision, LOD sizes, Nanite")
    static_mesh.finish(manifest, mesh, instance, result)
    session.drop_scratch()
    yield Progress(0.87, "Reading back")
    static_mesh.read_back(manifest, mesh, result)


def _skeletal_steps(
    manifest: PackageManifest,
    session: Session,
    wishes: ImportOptions,
    instance: unreal.MaterialInstanceConstant,
    result: ImportResult,
) -> Generator[Progress, None, None]:
    yield Progress(0.45, f"Mesh {manifest.mesh_name}")
    mesh = skeletal_mesh.import_base(session, manifest, wishes.skeleton_path, result)
    for level in manifest.lods[1:]:
        yield Progress(0.6 + 0.2 * level.index / len(manifest.lods), f"LOD{level.index}")
        skeletal_mesh.attach_level(mesh, level, None, result)
    yield Progress(0.82, "Material")
    skeletal_mesh.finish(mesh, instance, manifest)
    yield Progress(0.87, "Reading back")
    skeletal_mesh.read_back(manifest, mesh, result)


def _tag(asset: unreal.Object, manifest: PackageManifest) -> None:
    if str(asset.get_path_name()).startswith(materials.MASTER_FOLDER + "/"):
        return
    assets().set_metadata_tag(asset, TAG_PREFIX + "Asset", manifest.asset_name)
    for tag, value in manifest.tags.items():
        assets().set_metadata_tag(asset, TAG_PREFIX + tag, value)
