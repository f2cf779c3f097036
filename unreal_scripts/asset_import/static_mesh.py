"""Static mesh: level 0 with its hulls, further levels, screen sizes, collision, Nanite, and what Unreal made of it."""

import unreal

from unreal_scripts.asset_import.content import Session, assets, run_import_task
from unreal_scripts.asset_import.errors import ImportRefused
from unreal_scripts.asset_import.interchange import static_mesh_pipeline
from unreal_scripts.asset_import.manifest import LodEntry, PackageManifest
from unreal_scripts.asset_import.properties import set_if_exists
from unreal_scripts.asset_import.result import ImportResult

BOUNDS_TOLERANCE_CM = 0.1
FALLBACK_HULLS = 8
FALLBACK_HULL_VERTICES = 32
FALLBACK_PRECISION = 100_000


def editor() -> unreal.StaticMeshEditorSubsystem:
    """The editor's static mesh subsystem."""
    return unreal.get_editor_subsystem(unreal.StaticMeshEditorSubsystem)


def import_base(session: Session, manifest: PackageManifest, result: ImportResult) -> unreal.StaticMesh:
    """Import level 0 and its collision; a mesh that is there is updated in place, so references hold."""
    path = session.path(manifest.mesh_name)
    result.updated = session.claim(path, "StaticMesh")
    if result.updated:
        existing = assets().load_asset(path)
        session.touch(existing)
        editor().remove_lods(existing)
        editor().remove_collisions(existing)
    level = manifest.lods[0]
    before = set(assets().list_assets(session.folder, recursive=False))
    wish = static_mesh_pipeline(manifest.mesh_name, collision=bool(manifest.collision_shapes))
    made = run_import_task(level.path, session.folder, manifest.mesh_name, wish)
    mesh = next((a for a in made if isinstance(a, unreal.StaticMesh) and a.get_name() == manifest.mesh_name), None)
    _remove_strays(before, made, mesh, result)
    if mesh is None:
        raise ImportRefused(
            f"{level.path}: Unreal made no static mesh called {manifest.mesh_name} of it. Look into the Output Log; "
            "the plugins Interchange Editor and Interchange Framework have to be on."
        )
    session.touch(mesh)
    result.mesh_path = path
    return mesh


def attach_level(
    session: Session, manifest: PackageManifest, mesh: unreal.StaticMesh, level: LodEntry, result: ImportResult
) -> None:
    """Import one further level into a scratch folder and copy it into the mesh.

    The GLB translator makes no LOD groups, so each level is a file of its own.
    """
    session.scratch = session.scratch or f"{session.folder}/_{manifest.mesh_name}_import"
    name = f"{manifest.mesh_name}_LOD{level.index}"
    made = run_import_task(level.path, session.scratch, name, static_mesh_pipeline(name, collision=False))
    source = next((asset for asset in made if isinstance(asset, unreal.StaticMesh)), None)
    if source is None:
        result.note(
            "lod_missing", f"LOD{level.index}: Unreal made no mesh of {level.path.name}; the level is left out."
        )
        return
    placed = editor().set_lod_from_static_mesh(mesh, level.index, source, 0, True)
    if placed != level.index:
        result.note("lod_missing", f"LOD{level.index}: Unreal did not attach the level (answer {placed}).")


def finish(
    manifest: PackageManifest, mesh: unreal.StaticMesh, material: unreal.MaterialInterface, result: ImportResult
) -> None:
    """Screen sizes, collision, Nanite and material, in one step that can be undone."""
    with unreal.ScopedEditorTransaction(f"Import {manifest.mesh_name}"):
        mesh.modify()
        sizes = [level.screen_size for level in manifest.lods][: editor().get_lod_count(mesh)]
        if not editor().set_lod_screen_sizes(mesh, sizes):
            result.note("lod_screen_sizes", "Unreal did not take the LOD screen sizes over; it computes its own.")
        _ensure_collision(manifest, mesh, result)
        _set_nanite(manifest, mesh)
        _set_light_map(manifest, mesh, result)
        for slot in range(len(mesh.get_editor_property("static_materials"))):
            mesh.set_material(slot, material)


def read_back(manifest: PackageManifest, mesh: unreal.StaticMesh, result: ImportResult) -> None:
    """Hold what Unreal has now against the manifest; every difference becomes a finding."""
    result.lod_count = editor().get_lod_count(mesh)
    result.lod_triangles = [mesh.get_num_triangles(level) for level in range(result.lod_count)]
    result.collision_count = _collision_count(mesh)
    result.nanite = bool(editor().get_nanite_settings(mesh).get_editor_property("enabled"))
    box = mesh.get_bounding_box()
    low, high = box.get_editor_property("min"), box.get_editor_property("max")
    result.height_cm = high.z - low.z
    if result.lod_count != len(manifest.lods):
        result.note("lod_count", f"{result.lod_count} LODs in Unreal, {len(manifest.lods)} in the package.")
    for level, triangles in zip(manifest.lods, result.lod_triangles, strict=False):
        if triangles != level.triangles:
            result.note("lod_triangles", f"LOD{level.index}: {triangles} triangles, {level.triangles} in the package.")
    if result.collision_count != len(manifest.collision_shapes):
        result.note(
            "collision_count",
            f"{result.collision_count} collision shapes in Unreal, {len(manifest.collision_shapes)} in the package.",
        )
    if result.nanite != manifest.nanite:
        result.note("nanite", f"Nanite is {'on' if result.nanite else 'off'}, the package wants the opposite.")
    for axis, have_low, have_high, low_cm, high_cm in zip(
        "XYZ",
        (low.x, low.y, low.z),
        (high.x, high.y, high.z),
        manifest.bounds_min_cm,
        manifest.bounds_max_cm,
        strict=True,
    ):
        if max(abs(have_low - low_cm), abs(have_high - high_cm)) > BOUNDS_TOLERANCE_CM:
            result.note(
                "bounds",
                f"{axis} reaches from {have_low:.2f} to {have_high:.2f} cm in Unreal, "
                f"from {low_cm:.2f} to {high_cm:.2f} cm in the package.",
            )


def _collision_count(mesh: unreal.StaticMesh) -> int:
    return int(editor().get_convex_collision_count(mesh)) + int(editor().get_simple_collision_count(mesh))


def _ensure_collision(manifest: PackageManifest, mesh: unreal.StaticMesh, result: ImportResult) -> None:
    wanted = len(manifest.collision_shapes)
    if not wanted or _collision_count(mesh) > 0:
        return
    several = wanted > 1 or set(manifest.collision_shapes) == {"convex"}
    if several and editor().set_convex_decomposition_collisions(
        mesh, max(wanted, FALLBACK_HULLS), FALLBACK_HULL_VERTICES, FALLBACK_PRECISION
    ):
        result.note(
            "collision_fallback", "Unreal did not read the package's hulls; it made its own decomposition.", "info"
        )
        return
    shape = manifest.collision_shapes[0].upper()
    kind = getattr(unreal.ScriptCollisionShapeType, shape, unreal.ScriptCollisionShapeType.NDOP26)
    editor().add_simple_collisions(mesh, kind)
    result.note("collision_fallback", "Unreal did not read the package's hulls; one simple shape stands in.")


def _set_nanite(manifest: PackageManifest, mesh: unreal.StaticMesh) -> None:
    settings = editor().get_nanite_settings(mesh)
    if settings.get_editor_property("enabled") != manifest.nanite:
        settings.set_editor_property("enabled", manifest.nanite)
        editor().set_nanite_settings(mesh, settings, apply_changes=True)


def _set_light_map(manifest: PackageManifest, mesh: unreal.StaticMesh, result: ImportResult) -> None:
    """Point baked light at the second set of coordinates, where the package has one."""
    if not manifest.lightmap_px:
        return
    if editor().get_num_uv_channels(mesh, 0) <= manifest.lightmap_channel:
        result.note("light_map", "The package has no UVs for a light map; Unreal can generate them in the mesh editor.")
        return
    wish = {
        "light_map_coordinate_index": manifest.lightmap_channel,
        "light_map_resolution": manifest.lightmap_px,
    }
    refused = set_if_exists(mesh, wish)
    if refused:
        result.note("light_map", f"Unreal did not take over {', '.join(refused)}; set it in the mesh editor.")


def _remove_strays(
    before: set[str],
    made: list[unreal.Object],
    mesh: unreal.StaticMesh | None,
    result: ImportResult,
) -> None:
    """Delete what the import made beside the mesh, for instance a hull that was read as a mesh of its own."""
    for asset in made:
        path = str(asset.get_path_name())
        if asset is not mesh and path not in before:
            result.note("stray_asset", f"Unreal also made {path}; it was removed.", "info")
            assets().delete_loaded_asset(asset)
