"""Skeletal mesh: mesh, skeleton and physics asset; legacy FBX where Interchange makes none of the GLB."""

from pathlib import Path

import unreal

from unreal_scripts.asset_import.content import Session, asset_path, assets, make_writable, run_import_task
from unreal_scripts.asset_import.errors import ImportRefused
from unreal_scripts.asset_import.interchange import skeletal_mesh_pipeline
from unreal_scripts.asset_import.manifest import LodEntry, PackageManifest
from unreal_scripts.asset_import.result import ImportResult

LEGACY_FBX_SWITCH = "Interchange.FeatureFlags.Import.FBX"


def import_base(
    session: Session, manifest: PackageManifest, skeleton_path: str, result: ImportResult
) -> unreal.SkeletalMesh:
    """Import level 0 with its skeleton; an existing skeleton is taken where one is named."""
    path = session.path(manifest.mesh_name)
    result.updated = session.claim(path, "SkeletalMesh")
    existing = assets().load_asset(path) if result.updated else None
    skeleton = _skeleton(existing, skeleton_path)
    if skeleton is not None:
        make_writable(asset_path(skeleton))  # bones that it lacks are added to it
    else:
        session.claim(path + "_Skeleton", "Skeleton")
    session.claim(path + "_PhysicsAsset", "PhysicsAsset")
    if existing is not None:
        session.touch(existing)
    before = set(assets().list_assets(session.folder, recursive=False))
    wish = skeletal_mesh_pipeline(manifest.mesh_name, skeleton)
    mesh = _first_mesh(run_import_task(manifest.lods[0].path, session.folder, manifest.mesh_name, wish))
    if mesh is None:
        mesh = _by_legacy_fbx(session, manifest, skeleton, result)
    session.created += [
        p.partition(".")[0] for p in assets().list_assets(session.folder, recursive=False) if p not in before
    ]
    mesh = _under_its_name(mesh, path, result)
    session.touch(mesh)
    _attach_physics(session, mesh, result)
    result.mesh_path = path
    return mesh


def attach_level(mesh: unreal.SkeletalMesh, level: LodEntry, fbx: Path | None, result: ImportResult) -> None:
    """Attach one further level from a file; where the editor refuses it, have the editor reduce level 0 instead."""
    source = fbx if fbx is not None else level.path
    if unreal.SkeletalMeshEditorSubsystem.import_lod(mesh, level.index, str(source)) == level.index:
        return
    if unreal.SkeletalMeshEditorSubsystem.regenerate_lod(mesh, level.index + 1):
        result.note(
            "lod_fallback", f"LOD{level.index}: Unreal reduced level 0 by itself instead of reading the file.", "info"
        )
    else:
        result.note("lod_missing", f"LOD{level.index}: Unreal neither read the file nor reduced level 0.")


def finish(mesh: unreal.SkeletalMesh, material: unreal.MaterialInterface, manifest: PackageManifest) -> None:
    """Put the material into every slot, in one step that can be undone."""
    with unreal.ScopedEditorTransaction(f"Import {manifest.mesh_name}"):
        mesh.modify()
        slots = mesh.get_editor_property("materials")
        for slot in slots:
            slot.set_editor_property("material_interface", material)
        mesh.set_editor_property("materials", slots)


def read_back(manifest: PackageManifest, mesh: unreal.SkeletalMesh, result: ImportResult) -> None:
    """Hold what Unreal has now against the manifest."""
    result.lod_count = unreal.SkeletalMeshEditorSubsystem.get_lod_count(mesh)
    extent = mesh.get_bounds().get_editor_property("box_extent")
    result.height_cm = 2.0 * extent.z
    if result.lod_count != len(manifest.lods):
        result.note("lod_count", f"{result.lod_count} LODs in Unreal, {len(manifest.lods)} in the package.")
    wanted_cm = manifest.bounds_max_cm[2] - manifest.bounds_min_cm[2]
    if abs(result.height_cm - wanted_cm) > max(0.1, 0.01 * wanted_cm):
        result.note("bounds", f"{result.height_cm:.1f} cm high in Unreal, {wanted_cm:.1f} cm in the package.")


def _skeleton(existing: unreal.SkeletalMesh | None, skeleton_path: str) -> unreal.Skeleton | None:
    if skeleton_path:
        skeleton = assets().load_asset(skeleton_path)
        if not isinstance(skeleton, unreal.Skeleton):
            raise ImportRefused(f"{skeleton_path}: is no skeleton. Choose a Skeleton asset, or none for a new one.")
        return skeleton
    return existing.get_editor_property("skeleton") if existing is not None else None


def _first_mesh(made: list[unreal.Object]) -> unreal.SkeletalMesh | None:
    return next((asset for asset in made if isinstance(asset, unreal.SkeletalMesh)), None)


def _by_legacy_fbx(
    session: Session, manifest: PackageManifest, skeleton: unreal.Skeleton | None, result: ImportResult
) -> unreal.SkeletalMesh:
    """Read the package's FBX through the old importer, with Interchange switched off for this one import."""
    file = manifest.file_of_role("mesh_fbx")
    if file is None:
        raise ImportRefused(
            f"{manifest.lods[0].path}: Unreal made no skeletal mesh of it, and the package has no FBX to fall back on."
        )
    options = unreal.FbxImportUI()
    options.set_editor_property("automated_import_should_detect_type", False)
    options.set_editor_property("mesh_type_to_import", unreal.FBXImportType.FBXIT_SKELETAL_MESH)
    options.set_editor_property("import_mesh", True)
    options.set_editor_property("import_as_skeletal", True)
    options.set_editor_property("import_materials", False)
    options.set_editor_property("import_textures", False)
    options.set_editor_property("import_animations", False)
    options.set_editor_property("create_physics_asset", True)
    if skeleton is not None:
        options.set_editor_property("skeleton", skeleton)
    unreal.SystemLibrary.execute_console_command(None, f"{LEGACY_FBX_SWITCH} False")
    try:
        mesh = _first_mesh(run_import_task(file, session.folder, manifest.mesh_name, options))
    finally:
        unreal.SystemLibrary.execute_console_command(None, f"{LEGACY_FBX_SWITCH} True")
    if mesh is None:
        raise ImportRefused(f"{file}: Unreal made no skeletal mesh of the FBX either; see the Output Log.")
    result.note("skeletal_fbx", "Unreal made no skeletal mesh of the GLB; the FBX was imported instead.", "info")
    return mesh


def _under_its_name(mesh: unreal.SkeletalMesh, path: str, result: ImportResult) -> unreal.SkeletalMesh:
    """Interchange may name the mesh after its root joint: bring it to the wished name, references included."""
    found = asset_path(mesh)
    if found == path:
        return mesh
    if assets().does_asset_exist(path):
        old = assets().load_asset(path)
        if not assets().consolidate_assets(mesh, [old]):
            result.note("name", f"The mesh stayed at {found}: {path} could not be replaced.")
            return mesh
    if not assets().rename_loaded_asset(mesh, path):
        result.note("name", f"The mesh stayed at {found}: Unreal refused the name {path}.")
    return mesh


def _attach_physics(session: Session, mesh: unreal.SkeletalMesh, result: ImportResult) -> None:
    physics = mesh.get_editor_property("physics_asset")
    if physics is None:
        physics = unreal.SkeletalMeshEditorSubsystem.create_physics_asset(mesh)
        if physics is None:
            result.note("physics_asset", "Unreal made no physics asset for the skeletal mesh.")
    if physics is not None:
        session.touch(physics)
        result.physics_asset_path = asset_path(physics)
    skeleton = mesh.get_editor_property("skeleton")
    if skeleton is not None:
        session.touch(skeleton)
        result.skeleton_path = asset_path(skeleton)
