"""The importers: what ``import_asset_tasks`` makes of PNG, GLB and FBX files, as the engine's facts say."""

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

from tests.simulated_editor import unreal_module
from tests.simulated_editor.content import content
from tests.simulated_editor.files import Part, Picture, Scene, Unreadable, read_fbx, read_glb, read_png
from tests.simulated_editor.unreal_module import DEFAULTS, UnrealObject, implements

FORBIDDEN_IN_NAMES = re.compile(r"[^\w\-]", re.UNICODE)
COLLISION = re.compile(r"^(UBX|UCX|USP|UCP)_(.+?)(?:_\d+)?$")
FAIL_NEXT: list[str] = []
"""File names whose import the engine gives up silently, once each: set by tests through the control channel."""
LEGACY_FBX = {"on": False}
NAMED_BY_JOINT = {"on": False}
"""Whether skeletal meshes are called {Mesh}_{RootJoint} whatever the pipeline asks for, as some versions do."""


def _sub(class_name: str) -> Any:
    return lambda module: getattr(module, class_name)()


DEFAULTS.update(
    {
        ("InterchangeGenericAssetsPipeline", "mesh_pipeline"): _sub("InterchangeGenericMeshPipeline"),
        ("InterchangeGenericAssetsPipeline", "common_meshes_properties"): _sub(
            "InterchangeGenericCommonMeshesProperties"
        ),
        ("InterchangeGenericAssetsPipeline", "material_pipeline"): _sub("InterchangeGenericMaterialPipeline"),
        ("InterchangeGenericAssetsPipeline", "animation_pipeline"): _sub("InterchangeGenericAnimationPipeline"),
        ("InterchangeGenericAssetsPipeline", "common_skeletal_meshes_and_animations_properties"): _sub(
            "InterchangeGenericCommonSkeletalMeshesAndAnimationsProperties"
        ),
        ("InterchangeGenericMaterialPipeline", "texture_pipeline"): _sub("InterchangeGenericTexturePipeline"),
        ("InterchangeGenericMaterialPipeline", "import_materials"): lambda _: True,
        ("InterchangeGenericTexturePipeline", "import_textures"): lambda _: True,
        ("InterchangeGenericCommonMeshesProperties", "recompute_normals"): lambda _: True,
        ("InterchangeGenericCommonMeshesProperties", "recompute_tangents"): lambda _: True,
        ("InterchangeGenericCommonMeshesProperties", "import_lods"): lambda _: True,
        ("InterchangeGenericMeshPipeline", "import_static_meshes"): lambda _: True,
        ("InterchangeGenericMeshPipeline", "import_skeletal_meshes"): lambda _: True,
        ("InterchangeGenericMeshPipeline", "import_collision"): lambda _: True,
        ("InterchangeGenericMeshPipeline", "collision"): lambda _: True,
        ("InterchangeGenericMeshPipeline", "import_collision_according_to_mesh_name"): lambda _: True,
        ("InterchangeGenericMeshPipeline", "create_physics_asset"): lambda _: True,
        ("InterchangeGenericMeshPipeline", "combine_static_meshes"): lambda _: False,
        ("Texture2D", "srgb"): lambda _: True,
    }
)


@implements("AssetToolsHelpers.get_asset_tools")
def get_asset_tools(_cls: Any) -> UnrealObject:
    return unreal_module.MODULE[0].AssetTools()


@implements("InterchangePipelineStackOverride.add_pipeline")
def add_pipeline(self: UnrealObject, pipeline: UnrealObject) -> None:
    self.__dict__.setdefault("_pipelines", []).append(pipeline)


@implements("AssetImportTask.get_objects")
def get_objects(self: UnrealObject) -> list[UnrealObject]:
    return list(self.__dict__.get("_made", []))


@implements("AssetTools.import_asset_tasks")
def import_asset_tasks(_self: Any, tasks: list[UnrealObject]) -> None:
    for task in tasks:
        values = task._values()
        if not values.get("automated"):
            content().dialogs.append(f"Import options for {values.get('filename')}")
        if values.get("async_"):
            raise AssertionError("the import would go on after the call; the product asks for a synchronous one")
        file = Path(str(values.get("filename", "")))
        task._made = []
        try:
            if file.name in FAIL_NEXT:
                FAIL_NEXT.remove(file.name)
                raise Unreadable(f"{file.name}: the translator gave up")
            task._made = _import_file(file, values)
        except (Unreadable, OSError, ValueError, KeyError) as error:
            content().log.append(("Error", f"LogInterchangeEngine: {error}"))
        values["imported_object_paths"] = [f"{asset._path}.{asset._name}" for asset in task._made]
        if values.get("save"):
            for asset in task._made:
                content().save(asset._path)


def sanitised(name: str) -> str:
    """What the editor makes of an asset name."""
    return FORBIDDEN_IN_NAMES.sub("_", name)


def _import_file(file: Path, task: dict[str, Any]) -> list[UnrealObject]:
    folder = str(task["destination_path"])
    name = sanitised(str(task.get("destination_name") or file.stem))
    if file.suffix.lower() == ".png":
        return [_texture(read_png(file), file, f"{folder}/{name}", task)]
    if file.suffix.lower() == ".glb":
        return _meshes(read_glb(file), folder, name, task)
    if file.suffix.lower() == ".fbx":
        return _legacy_fbx(read_fbx(file), folder, name, task)
    raise Unreadable(f"{file.name}: no translator")


def _place(path: str, class_name: str, task: dict[str, Any]) -> UnrealObject:
    """The asset to fill: the one that is there, updated in place, or a new one."""
    existing = content().get(path)
    if existing is None:
        return content().add(path, getattr(unreal_module.MODULE[0], class_name)())
    if type(existing).__name__ != class_name:
        content().dialogs.append(f"{path} is a {type(existing).__name__}: overwrite?")
        raise Unreadable(f"{path} is held by a {type(existing).__name__}")
    if not task.get("replace_existing"):
        content().dialogs.append(f"{path} exists: overwrite?")
        raise Unreadable(f"{path} exists")
    content().dirty.add(path)
    return existing


def _texture(picture: Picture, file: Path, path: str, task: dict[str, Any]) -> UnrealObject:
    texture = _place(path, "Texture2D", task)
    texture._data.update({"width": picture.width, "height": picture.height, "bit_depth": picture.bit_depth})
    # The package keeps the pixels, so a texture can be exported when the file it came from is gone.
    source = content().root.parent / "Intermediate" / f"{hashlib.sha256(file.read_bytes()).hexdigest()}.png"
    source.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, source)
    texture._data["source"] = str(source)
    origin = unreal_module.MODULE[0].AssetImportData()
    origin._file = str(file)
    texture._values()["asset_import_data"] = origin
    return texture


def _meshes(scene: Scene, folder: str, name: str, task: dict[str, Any]) -> list[UnrealObject]:
    pipelines = task["options"].__dict__.get("_pipelines", []) if task.get("options") is not None else []
    if not pipelines:
        raise AssertionError("a GLB was imported without a pipeline of its own: the project's defaults would decide")
    pipeline = pipelines[0]
    mesh_options = pipeline._read("mesh_pipeline")
    shading = pipeline._read("common_meshes_properties")
    material = pipeline._read("material_pipeline")
    made = []
    if material._read("import_materials"):
        made.append(_place(f"{folder}/{name}_Material", "MaterialInstanceConstant", task))
    by_name = mesh_options._read("import_collision_according_to_mesh_name")
    switched = mesh_options._read("collision" if _has(mesh_options, "collision") else "import_collision")
    hulls = [part for part in scene.parts if COLLISION.match(part.name)]
    solids = [part for part in scene.parts if part not in hulls]
    if not (by_name and switched):
        hulls = []  # collision meshes are skipped, not imported, when their import is off
    for part in solids:
        forced = pipeline._read("asset_name")
        given = sanitised(forced or (name if len(solids) == 1 else part.name))
        if part.joints and mesh_options._read("import_skeletal_meshes"):
            given = f"{part.name}_{part.joints[0]}" if NAMED_BY_JOINT["on"] else given
            made += _skeletal(part, folder, given, mesh_options, pipeline, task)
        elif mesh_options._read("import_static_meshes"):
            mesh = _place(f"{folder}/{given}", "StaticMesh", task)
            _fill_static(mesh, part, shading)
            if mesh_options._read("build_nanite"):
                mesh._data["nanite"] = True
            own = [COLLISION.match(hull.name) for hull in hulls]
            own = [match for match in own if match and match.group(2) == part.name]
            mesh._data["convex"] = sum(match.group(1) == "UCX" for match in own)
            mesh._data["simple"] = sum(match.group(1) != "UCX" for match in own)
            made.append(mesh)
    return made


def _fill_static(mesh: UnrealObject, part: Part, shading: UnrealObject) -> None:
    low, high = part.bounds()
    level = {"triangles": part.triangles, "vertices": len(part.positions), "low": low, "high": high}
    level["own_normals"] = part.has_normals and not shading._read("recompute_normals")
    level["own_tangents"] = part.has_tangents and not shading._read("recompute_tangents")
    level["uvs"] = part.has_uvs
    level["uv_channels"] = part.uv_channels
    # A new level 0 takes the further levels of an older import with it only where they were not removed before.
    mesh._data["lods"] = [level, *mesh._data.get("lods", [])[1:]]
    mesh._data.setdefault("screen_sizes", [])
    mesh._data.setdefault("nanite", False)
    mesh._data.setdefault("materials", [""])


def _skeletal(
    part: Part, folder: str, name: str, options: UnrealObject, pipeline: UnrealObject, task: dict[str, Any]
) -> list[UnrealObject]:
    low, high = part.bounds()
    mesh = _place(f"{folder}/{name}", "SkeletalMesh", task)
    mesh._data["lods"] = [{"triangles": part.triangles, "low": low, "high": high}]
    mesh._data["joints"] = list(part.joints)
    mesh._data.setdefault("materials", [""])
    made = [mesh]
    wanted = pipeline._read("common_skeletal_meshes_and_animations_properties")._read("skeleton")
    if wanted is None:
        wanted = _place(f"{folder}/{name}_Skeleton", "Skeleton", {**task, "replace_existing": True})
        wanted._data["joints"] = list(part.joints)
        made.append(wanted)
    mesh._values()["skeleton"] = wanted
    if options._read("create_physics_asset"):
        physics = _place(f"{folder}/{name}_PhysicsAsset", "PhysicsAsset", {**task, "replace_existing": True})
        mesh._values()["physics_asset"] = physics
        made.append(physics)
    return made


def _legacy_fbx(scene: Scene, folder: str, name: str, task: dict[str, Any]) -> list[UnrealObject]:
    if not LEGACY_FBX["on"] and unreal_module.MODULE[0].__version__ != "5.4":
        content().log.append(("Warning", "Interchange takes FBX here: FbxImportUI is ignored"))
    options = task.get("options")
    if options is None or type(options).__name__ != "FbxImportUI":
        content().dialogs.append(f"FBX options for {name}")
        raise Unreadable("FBX options are missing")
    part = max(scene.parts, key=lambda candidate: candidate.triangles)
    part.joints = part.joints or ("root",)
    mesh = _place(f"{folder}/{name}", "SkeletalMesh", task)
    low, high = part.bounds()
    mesh._data["lods"] = [{"triangles": part.triangles, "low": low, "high": high}]
    mesh._data.setdefault("materials", [""])
    skeleton = options._values().get("skeleton") or _place(f"{folder}/{name}_Skeleton", "Skeleton", task)
    mesh._values()["skeleton"] = skeleton
    return [mesh, skeleton]


def _has(target: UnrealObject, name: str) -> bool:
    return any(name in cls.__dict__.get("__declared__", {}) for cls in type(target).__mro__)
