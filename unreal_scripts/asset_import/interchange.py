"""Pipelines that tell Interchange what to make of a GLB, so that project defaults do not decide.

Property names move between releases: what one version lacks is skipped, and the result is read back afterwards.
"""

import unreal

from unreal_scripts.asset_import.properties import set_if_exists

KEEP_OUR_SHADING = {
    "recompute_normals": False,
    "recompute_tangents": False,
    "use_mikk_t_space": True,
    "remove_degenerates": True,
    "use_full_precision_u_vs": False,
    "use_high_precision_tangent_basis": False,
    "import_lods": False,
    "bake_meshes": True,
    "keep_sections_separate": False,
    "auto_detect_mesh_type": False,
}


def static_mesh_pipeline(name: str, *, collision: bool) -> unreal.InterchangePipelineStackOverride:
    """Geometry only: our own textures and material instance come separately."""
    pipeline = _geometry_pipeline(name)
    set_if_exists(
        pipeline.get_editor_property("common_meshes_properties"),
        {"force_all_mesh_as_type": unreal.InterchangeForceMeshType.IFMT_STATIC_MESH},
    )
    mesh = pipeline.get_editor_property("mesh_pipeline")
    set_if_exists(
        mesh,
        {
            "import_static_meshes": True,
            "import_skeletal_meshes": False,
            "combine_static_meshes": False,
            "build_nanite": False,
            "generate_lightmap_u_vs": False,
            "import_collision_according_to_mesh_name": collision,
            "one_convex_hull_per_ucx": True,
            "auto_compute_lod_screen_sizes": False,
            "force_collision_primitive_generation": False,
        },
    )
    # 5.5 renamed import_collision to collision and kept the old name as deprecated.
    if set_if_exists(mesh, {"collision": collision}):
        set_if_exists(mesh, {"import_collision": collision})
    none = getattr(getattr(unreal, "InterchangeMeshCollision", None), "NONE", None)
    if none is not None:
        set_if_exists(mesh, {"fallback_collision_type": none})
    return _stack(pipeline)


def skeletal_mesh_pipeline(name: str, skeleton: unreal.Skeleton | None) -> unreal.InterchangePipelineStackOverride:
    """Geometry, skeleton and physics asset; an existing skeleton is taken where one is given."""
    pipeline = _geometry_pipeline(name)
    set_if_exists(
        pipeline.get_editor_property("common_meshes_properties"),
        {"force_all_mesh_as_type": unreal.InterchangeForceMeshType.IFMT_SKELETAL_MESH},
    )
    set_if_exists(
        pipeline.get_editor_property("mesh_pipeline"),
        {
            "import_static_meshes": False,
            "import_skeletal_meshes": True,
            "combine_skeletal_meshes": True,
            "create_physics_asset": True,
            "import_morph_targets": True,
            "update_skeleton_reference_pose": False,
        },
    )
    common = pipeline.get_editor_property("common_skeletal_meshes_and_animations_properties")
    set_if_exists(common, {"import_only_animations": False})
    if skeleton is not None:
        set_if_exists(common, {"skeleton": skeleton})
    return _stack(pipeline)


def _geometry_pipeline(name: str) -> unreal.InterchangeGenericAssetsPipeline:
    pipeline = unreal.InterchangeGenericAssetsPipeline()
    set_if_exists(
        pipeline,
        {
            "asset_name": name,
            "use_source_name_for_asset": False,
            "scene_name_sub_folder": False,
            "asset_type_sub_folders": False,
            "reimport_strategy": unreal.ReimportStrategyFlags.APPLY_NO_PROPERTIES,
        },
    )
    set_if_exists(pipeline.get_editor_property("common_meshes_properties"), KEEP_OUR_SHADING)
    material = pipeline.get_editor_property("material_pipeline")
    set_if_exists(material, {"import_materials": False})
    set_if_exists(material.get_editor_property("texture_pipeline"), {"import_textures": False})
    set_if_exists(pipeline.get_editor_property("animation_pipeline"), {"import_animations": False})
    return pipeline


def _stack(pipeline: unreal.InterchangeGenericAssetsPipeline) -> unreal.InterchangePipelineStackOverride:
    override = unreal.InterchangePipelineStackOverride()
    override.add_pipeline(pipeline)
    return override
