"""What the static and skeletal mesh subsystems do with meshes."""

from pathlib import Path
from typing import Any

from tests.simulated_editor import unreal_module
from tests.simulated_editor.content import content
from tests.simulated_editor.unreal_module import UnrealObject, implements

MAX_LODS = 8


@implements("get_editor_subsystem")
def get_editor_subsystem(subsystem: Any) -> Any:
    return subsystem()


@implements("StaticMeshEditorSubsystem.remove_lods")
def remove_lods(_self: Any, mesh: UnrealObject) -> bool:
    mesh._data["lods"] = mesh._data["lods"][:1]
    mesh._data["screen_sizes"] = []
    return True


@implements("StaticMeshEditorSubsystem.remove_collisions")
def remove_collisions(_self: Any, mesh: UnrealObject) -> bool:
    mesh._data["convex"] = mesh._data["simple"] = 0
    return True


@implements("StaticMeshEditorSubsystem.set_lod_from_static_mesh")
def set_lod_from_static_mesh(
    _self: Any, target: UnrealObject, target_lod: int, source: UnrealObject, source_lod: int, _reuse: bool
) -> int:
    levels = target._data["lods"]
    if target_lod > len(levels) or target_lod >= MAX_LODS or source_lod >= len(source._data["lods"]):
        return -1
    level = dict(source._data["lods"][source_lod])
    levels[target_lod : target_lod + 1] = [level]
    content().dirty.add(target._path)
    return target_lod


@implements("StaticMeshEditorSubsystem.get_lod_count")
def get_lod_count(_self: Any, mesh: UnrealObject) -> int:
    return len(mesh._data["lods"])


@implements("StaticMeshEditorSubsystem.set_lod_screen_sizes")
def set_lod_screen_sizes(_self: Any, mesh: UnrealObject, sizes: list[float]) -> bool:
    if len(sizes) > len(mesh._data["lods"]):
        return False
    mesh._data["screen_sizes"] = [float(size) for size in sizes]
    content().dirty.add(mesh._path)
    return True


@implements("StaticMeshEditorSubsystem.get_lod_screen_sizes")
def get_lod_screen_sizes(_self: Any, mesh: UnrealObject) -> list[float]:
    return list(mesh._data["screen_sizes"])


@implements("StaticMeshEditorSubsystem.get_convex_collision_count")
def get_convex_collision_count(_self: Any, mesh: UnrealObject) -> int:
    return int(mesh._data.get("convex", 0))


@implements("StaticMeshEditorSubsystem.get_simple_collision_count")
def get_simple_collision_count(_self: Any, mesh: UnrealObject) -> int:
    return int(mesh._data.get("simple", 0))


@implements("StaticMeshEditorSubsystem.set_convex_decomposition_collisions")
def set_convex_decomposition_collisions(
    _self: Any, mesh: UnrealObject, hulls: int, vertices: int, precision: int
) -> bool:
    if vertices < 4 or precision < 1000:
        return False
    mesh._data["convex"] = max(1, hulls // 2)
    return True


@implements("StaticMeshEditorSubsystem.add_simple_collisions")
def add_simple_collisions(_self: Any, mesh: UnrealObject, _shape: Any) -> int:
    mesh._data["simple"] = int(mesh._data.get("simple", 0)) + 1
    return int(mesh._data["simple"]) - 1


@implements("StaticMeshEditorSubsystem.get_num_uv_channels")
def get_num_uv_channels(_self: Any, mesh: UnrealObject, lod_index: int) -> int:
    return int(mesh._data["lods"][lod_index]["uv_channels"])


@implements("StaticMeshEditorSubsystem.get_nanite_settings")
def get_nanite_settings(_self: Any, mesh: UnrealObject) -> UnrealObject:
    settings = unreal_module.MODULE[0].MeshNaniteSettings()
    settings._values()["enabled"] = bool(mesh._data.get("nanite"))
    return settings


@implements("StaticMeshEditorSubsystem.set_nanite_settings")
def set_nanite_settings(_self: Any, mesh: UnrealObject, settings: UnrealObject, _apply: bool) -> None:
    mesh._data["nanite"] = bool(settings._read("enabled"))


@implements("StaticMesh.get_num_triangles")
def get_num_triangles(self: UnrealObject, lod_index: int) -> int:
    return int(self._data["lods"][lod_index]["triangles"])


@implements("StaticMesh.get_num_lods")
def get_num_lods(self: UnrealObject) -> int:
    return len(self._data["lods"])


@implements("StaticMesh.get_bounding_box")
def get_bounding_box(self: UnrealObject) -> UnrealObject:
    module = unreal_module.MODULE[0]
    box = module.Box()
    level = self._data["lods"][0]
    for name, corner in (("min", level["low"]), ("max", level["high"])):
        vector = module.Vector()
        vector._values().update(zip("xyz", corner, strict=True))
        box._values()[name] = vector
    return box


@implements("StaticMesh.set_material")
def set_material(self: UnrealObject, index: int, material: UnrealObject) -> None:
    self._data["materials"][index] = material._path if material is not None else ""
    content().dirty.add(self._path)


@implements("StaticMesh.get_material")
def get_material(self: UnrealObject, index: int) -> UnrealObject | None:
    return content().get(self._data["materials"][index])


def _slots(self: UnrealObject) -> list[UnrealObject]:
    module = unreal_module.MODULE[0]
    slots = []
    for path in self._data.get("materials", []):
        slot = module.StaticMaterial() if type(self).__name__ == "StaticMesh" else module.SkeletalMaterial()
        slot._values()["material_interface"] = content().get(path) if path else None
        slots.append(slot)
    return slots


def install_slots(module: Any) -> None:
    """Let the material slots of meshes be read from, and for skeletal meshes written to, their data."""
    original = unreal_module.UnrealObject._read

    def read(self: UnrealObject, name: str) -> Any:
        if (type(self).__name__, name) in (("StaticMesh", "static_materials"), ("SkeletalMesh", "materials")):
            self._declaration(name)
            return _slots(self)
        return original(self, name)

    unreal_module.UnrealObject._read = read  # type: ignore[method-assign]


@implements("SkeletalMesh.materials=")
def write_slots(self: UnrealObject, slots: list[UnrealObject]) -> None:
    materials = [slot._read("material_interface") for slot in slots]
    self._data["materials"] = [material._path if material is not None else "" for material in materials]


@implements("SkeletalMeshEditorSubsystem.get_lod_count")
def skeletal_lod_count(_cls: Any, mesh: UnrealObject) -> int:
    return len(mesh._data["lods"])


@implements("SkeletalMeshEditorSubsystem.import_lod")
def skeletal_import_lod(_cls: Any, mesh: UnrealObject, lod_index: int, source: str) -> int:
    if Path(source).suffix.lower() != ".fbx" or lod_index > len(mesh._data["lods"]):
        return -1
    mesh._data["lods"].append(dict(mesh._data["lods"][0]))
    return lod_index


@implements("SkeletalMeshEditorSubsystem.regenerate_lod")
def regenerate_lod(_cls: Any, mesh: UnrealObject, new_lod_count: int, *_others: Any) -> bool:
    while len(mesh._data["lods"]) < new_lod_count:
        level = dict(mesh._data["lods"][-1])
        level["triangles"] //= 2
        mesh._data["lods"].append(level)
    return True


@implements("SkeletalMeshEditorSubsystem.create_physics_asset")
def create_physics_asset(_cls: Any, mesh: UnrealObject) -> UnrealObject:
    physics = content().add(f"{mesh._path}_PhysicsAsset", unreal_module.MODULE[0].PhysicsAsset())
    mesh._values()["physics_asset"] = physics
    return physics


@implements("SkeletalMesh.get_bounds")
def get_bounds(self: UnrealObject) -> UnrealObject:
    module = unreal_module.MODULE[0]
    bounds, extent = module.BoxSphereBounds(), module.Vector()
    level = self._data["lods"][0]
    for axis, low, high in zip("xyz", level["low"], level["high"], strict=True):
        extent._values()[axis] = (high - low) / 2.0
    bounds._values()["box_extent"] = extent
    return bounds


@implements("Texture2D.blueprint_get_size_x")
def size_x(self: UnrealObject) -> int:
    return int(self._data["width"])


@implements("Texture2D.blueprint_get_size_y")
def size_y(self: UnrealObject) -> int:
    return int(self._data["height"])
