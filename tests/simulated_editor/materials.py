"""Materials, instances and the nodes between them; sampler types must fit the texture, as the compiler demands."""

from typing import Any

from tests.simulated_editor import unreal_module
from tests.simulated_editor.content import content
from tests.simulated_editor.unreal_module import UnrealObject, implements

FITTING = {
    "TC_DEFAULT": {"SAMPLERTYPE_COLOR", "SAMPLERTYPE_LINEAR_COLOR"},
    "TC_NORMALMAP": {"SAMPLERTYPE_NORMAL"},
    "TC_MASKS": {"SAMPLERTYPE_MASKS"},
}
OUTPUTS = {"", "RGB", "R", "G", "B", "A", "RGBA"}


@implements("AssetTools.create_asset")
def create_asset(_self: Any, name: str, folder: str, asset_class: type, factory: UnrealObject, _context: Any) -> Any:
    path = f"{folder}/{name}"
    if content().exists(path):
        content().dialogs.append(f"{path} exists: overwrite?")
        return None
    if factory is None:
        return None
    return content().add(path, asset_class())


def _nodes(material: UnrealObject) -> dict[str, Any]:
    return material._data.setdefault("nodes", {})


@implements("MaterialEditingLibrary.create_material_expression")
def create_material_expression(_cls: Any, material: UnrealObject, kind: type, _x: int, _y: int) -> UnrealObject:
    node = kind()
    node._material, node._key = material, str(len(_nodes(material)))
    _nodes(material)[node._key] = {"class": kind.__name__, "inputs": {}}
    material.__dict__.setdefault("_live_nodes", []).append(node)
    return node


@implements("MaterialEditingLibrary.delete_all_material_expressions")
def delete_all_material_expressions(_cls: Any, material: UnrealObject) -> None:
    material._data["nodes"], material._data["outputs"] = {}, {}
    material._live_nodes = []


@implements("MaterialEditingLibrary.connect_material_expressions")
def connect_material_expressions(_cls: Any, source: UnrealObject, output: str, target: UnrealObject, name: str) -> bool:
    if output not in OUTPUTS or name not in ("A", "B", "Alpha", ""):
        return False
    _nodes(target._material)[target._key]["inputs"][name] = [source._key, output]
    return True


@implements("MaterialEditingLibrary.connect_material_property")
def connect_material_property(_cls: Any, source: UnrealObject, output: str, target: Any) -> bool:
    if output not in OUTPUTS:
        return False
    source._material._data.setdefault("outputs", {})[target._name] = [source._key, output]
    return True


@implements("MaterialEditingLibrary.layout_material_expressions")
def layout_material_expressions(_cls: Any, _material: UnrealObject) -> None:
    return None


@implements("MaterialEditingLibrary.recompile_material")
def recompile_material(_cls: Any, material: UnrealObject) -> None:
    """Compile: every sampler needs a texture whose compression fits its type."""
    parameters: dict[str, Any] = {}
    for node in material.__dict__.get("_live_nodes", []):
        name = type(node).__name__
        values = node._values()
        if name == "MaterialExpressionTextureSampleParameter2D":
            texture, sampler = values.get("texture"), values["sampler_type"]._name
            _demand_fit(texture, sampler, f"{material._name}.{values['parameter_name']}")
            parameters[values["parameter_name"]] = {"kind": "texture", "sampler": sampler}
        elif name == "MaterialExpressionScalarParameter":
            parameters[values["parameter_name"]] = {"kind": "scalar"}
        elif name == "MaterialExpressionVectorParameter":
            parameters[values["parameter_name"]] = {"kind": "vector"}
    material._data["parameters"] = parameters
    material._data["compiled"] = int(material._data.get("compiled", 0)) + 1


def _demand_fit(texture: UnrealObject | None, sampler: str, where: str) -> None:
    if texture is None:
        content().log.append(("Error", f"{where}: Missing input texture"))
        return
    compression = texture._read("compression_settings")._name
    srgb = texture._read("srgb")
    fits = sampler in FITTING.get(compression, set()) and (compression == "TC_DEFAULT" or not srgb)
    if compression == "TC_DEFAULT":
        fits = fits and srgb == (sampler == "SAMPLERTYPE_COLOR")
    if not fits:
        content().log.append(
            ("Error", f"{where}: sampler type is {sampler}, should fit {compression}, sRGB {srgb} of {texture._name}")
        )


@implements("MaterialEditingLibrary.set_material_instance_parent")
def set_material_instance_parent(_cls: Any, instance: UnrealObject, parent: UnrealObject) -> None:
    instance._data["parent"] = parent._path
    instance._data.setdefault("textures", {})
    instance._data.setdefault("scalars", {})
    instance._data.setdefault("vectors", {})


def _parameter(instance: UnrealObject, name: str, kind: str) -> bool:
    parent = content().get(instance._data.get("parent", ""))
    return parent is not None and parent._data.get("parameters", {}).get(str(name), {}).get("kind") == kind


@implements("MaterialEditingLibrary.set_material_instance_texture_parameter_value")
def set_texture(_cls: Any, instance: UnrealObject, name: str, value: UnrealObject, _association: Any) -> bool:
    if not _parameter(instance, name, "texture"):
        return False
    sampler = content().get(instance._data["parent"])._data["parameters"][str(name)]["sampler"]
    _demand_fit(value, sampler, f"{instance._name}.{name}")
    instance._data["textures"][str(name)] = value._path
    content().dirty.add(instance._path)
    return True


@implements("MaterialEditingLibrary.get_material_instance_texture_parameter_value")
def get_texture(_cls: Any, instance: UnrealObject, name: str, _association: Any) -> UnrealObject | None:
    return content().get(instance._data.get("textures", {}).get(str(name), ""))


@implements("MaterialEditingLibrary.set_material_instance_scalar_parameter_value")
def set_scalar(_cls: Any, instance: UnrealObject, name: str, value: float, _association: Any) -> bool:
    if not _parameter(instance, name, "scalar"):
        return False
    instance._data["scalars"][str(name)] = value
    return True


@implements("MaterialEditingLibrary.set_material_instance_vector_parameter_value")
def set_vector(_cls: Any, instance: UnrealObject, name: str, value: UnrealObject, _association: Any) -> bool:
    if not _parameter(instance, name, "vector"):
        return False
    instance._data["vectors"][str(name)] = dict(value._values())
    return True


@implements("MaterialEditingLibrary.update_material_instance")
def update_material_instance(_cls: Any, instance: UnrealObject) -> None:
    content().dirty.add(instance._path)


__all__ = ["unreal_module"]
