"""Reading binary FBX into one triangle soup in world space, in metres, Y up.

Sources: Autodesk FBX SDK documentation, "Computing transformation matrices" and "FbxAxisSystem"; layers as in the
SDK's ``FbxLayerElement``. Meshes stand in their bind pose; animation, cameras and lights are left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bridge_server.errors import InputError
from bridge_server.run import Run
from bridge_server.stages.fbx_nodes import Node
from bridge_server.stages.fbx_reader import FbxError, read_file
from bridge_server.stages.load_mesh_fbx_geometry import FbxGeometry, read_geometry
from bridge_server.stages.load_mesh_fbx_materials import FILE_NAMES, fbx_materials
from bridge_server.stages.load_mesh_formats import RawSurface, check_triangle_count, refused, require_binary_fbx
from bridge_server.values.base import Notice, Severity
from bridge_server.values.source import MeshSource
from bridge_server.values.surface_texture import MaterialTextures

READ_OBJECTS = {"Geometry", "Model", "Material", "Texture", "Video", "Deformer"}
MAX_DEPTH = 256
CENTIMETRES = 100.0
ORDERS = ("XYZ", "XZY", "YZX", "YXZ", "ZXY", "ZYX")
"""Euler orders by their number in the file; the first axis turns first."""

Values = Mapping[str, tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class FbxScene:
    """Objects by their number, and who hangs on whom."""

    objects: Mapping[int, Node]
    children: Mapping[int, list[int]]
    parents: Mapping[int, list[int]]
    slots: Mapping[int, list[tuple[str, int]]]
    """For each object what is connected to its properties: name of the property and number."""
    settings: Values


def read_fbx(source: MeshSource, run: Run) -> RawSurface:
    """All triangles. Raises ``InputError`` where the file is ASCII, too old, truncated or broken."""
    require_binary_fbx(source.name, source.data)
    try:
        return _surface(source, scene_of(read_file(source.data, _is_wanted)), run)
    except FbxError as error:
        raise refused(source.name, f"{error}.", "MESH_UNREADABLE") from error
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        detail = f"{type(error).__name__}: {error}"
        raise refused(source.name, f"its structure is broken ({detail}).", "MESH_UNREADABLE") from error


def _is_wanted(path: tuple[str, ...]) -> bool:
    if len(path) == 1:
        return path[0] in {"Objects", "Connections", "GlobalSettings"}
    if path[:2] == ("Objects", "Deformer"):
        return len(path) == 2  # that there is one says enough
    return path[0] != "Objects" or path[1] in READ_OBJECTS


def texture_names(data: bytes) -> list[str]:
    """Paths of all images that the file names. Raises ``FbxError`` where it cannot be read."""
    top = read_file(data, lambda path: path[0] == "Objects" and (len(path) == 1 or path[1] in ("Texture", "Video")))
    return [
        str(part.properties[0])
        for section in top
        for node in section.children
        for part in node.children
        if part.name in FILE_NAMES and part.properties and part.properties[0]
    ]


def scene_of(top: Sequence[Node]) -> FbxScene:
    """Objects, connections and settings of a file."""
    sections = {node.name: node for node in top}
    if "Objects" not in sections or "Connections" not in sections:
        raise FbxError("it has no objects")
    objects = {number_of(node): node for node in sections["Objects"].children if node.properties}
    children: dict[int, list[int]] = {}
    parents: dict[int, list[int]] = {}
    slots: dict[int, list[tuple[str, int]]] = {}
    for link in sections["Connections"].children:
        kind, child, parent = link.properties[:3]
        if kind == "OP":
            slots.setdefault(_integer(parent), []).append((str(link.properties[3]), _integer(child)))
        elif kind == "OO":
            children.setdefault(_integer(parent), []).append(_integer(child))
            parents.setdefault(_integer(child), []).append(_integer(parent))
    settings = values_of(sections["GlobalSettings"]) if "GlobalSettings" in sections else {}
    return FbxScene(objects, children, parents, slots, settings)


def number_of(node: Node) -> int:
    """The number by which connections call an object."""
    return _integer(node.properties[0])


def values_of(node: Node) -> dict[str, tuple[object, ...]]:
    """The node's ``Properties70``: values by name, without the type."""
    found: dict[str, tuple[object, ...]] = {}
    for block in node.children:
        if block.name == "Properties70":
            found |= {str(entry.properties[0]): tuple(entry.properties[4:]) for entry in block.children}
    return found


def _integer(value: object) -> int:
    if not isinstance(value, (int, np.integer)):
        raise FbxError(f"a number is expected where it has {type(value).__name__}")
    return int(value)


def _surface(source: MeshSource, scene: FbxScene, run: Run) -> RawSurface:
    to_world = axes_of(scene.settings)
    notices: list[Notice] = []
    materials = fbx_materials(source, scene.objects, scene.children, scene.slots, notices)
    places = {number: place for place, number in enumerate(materials)}
    if any(node.name == "Deformer" for node in scene.objects.values()):
        notices.append(Notice(code="bind_pose", message="The mesh stands in its bind pose.", severity=Severity.INFO))
    parts: list[FbxGeometry] = []
    names: list[str] = []
    models = [(number, node) for number, node in scene.objects.items() if node.name == "Model"]
    worlds: dict[int, np.ndarray] = {}
    for done, (number, model) in enumerate(models):
        run.checkpoint(done / max(len(models), 1), "reading meshes")
        slots = [places[child] for child in scene.children.get(number, []) if child in places]
        for child in scene.children.get(number, []):
            node = scene.objects.get(child)
            if node is not None and node.name == "Geometry" and "Vertices" in {part.name for part in node.children}:
                world = to_world @ world_of(scene, number, worlds) @ geometric(values_of(model))
                parts.append(read_geometry(node, world, slots, len(materials)))
                names.append(str(model.properties[1]).partition("\x00")[0])
                check_triangle_count(source.name, sum(len(part.faces) for part in parts))
    if not parts:
        raise refused(source.name, "the file holds no triangles.", "MESH_NO_FACES")
    return _joined(parts, names, (*materials.values(), MaterialTextures(roughness_factor=0.6)), notices)


def _joined(
    parts: Sequence[FbxGeometry], names: Sequence[str], materials: tuple[MaterialTextures, ...], notices: list[Notice]
) -> RawSurface:
    starts = np.cumsum([0, *(len(part.positions) for part in parts)])
    has_uvs = any(part.uvs is not None for part in parts)
    has_colors = any(part.colors is not None for part in parts)
    return RawSurface(
        positions=np.concatenate([part.positions for part in parts]),
        faces=np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=False)]),
        corner_uvs=np.concatenate([_or(part.uvs, (len(part.faces), 3, 2), 0.0) for part in parts]) if has_uvs else None,
        corner_normals=np.concatenate([part.normals for part in parts if part.normals is not None])
        if all(part.normals is not None for part in parts)
        else None,
        corner_colors=np.concatenate([_or(part.colors, (len(part.faces), 3, 4), 1.0) for part in parts])
        if has_colors
        else None,
        face_materials=np.concatenate([part.materials for part in parts]),
        materials=materials,
        face_objects=np.repeat(np.arange(len(parts)), [len(part.faces) for part in parts]),
        objects=tuple(names),
        notices=notices,
    )


def _or(values: np.ndarray | None, shape: tuple[int, ...], default: float) -> np.ndarray:
    return np.full(shape, default) if values is None else values


def axes_of(settings: Values) -> Float64[np.ndarray, "4 4"]:
    """From the file's axes and unit to metres, X right, Y up, Z to the front."""
    result = np.zeros((4, 4))
    names = (("CoordAxis", 0), ("UpAxis", 1), ("FrontAxis", 2))
    for row, (name, default) in enumerate(names):
        axis = _integer(settings.get(name, (default,))[0])
        sign = _integer(settings.get(f"{name}Sign", (1,))[0])
        if axis not in (0, 1, 2):
            raise FbxError(f"its {name} is {axis}")
        result[row, axis] = -1.0 if sign < 0 else 1.0
    if abs(np.linalg.det(result[:3, :3])) < 0.5:
        raise FbxError("its axes are not three different ones")
    unit = numbers(settings, "UnitScaleFactor", (1.0,))[0]
    result[:3, :3] *= (unit if np.isfinite(unit) and unit > 0.0 else 1.0) / CENTIMETRES
    result[3, 3] = 1.0
    return result


def numbers(values: Values, name: str, default: tuple[float, ...]) -> Float64[np.ndarray, "n"]:
    """A property of as many numbers as the default has."""
    found = values.get(name, default)[: len(default)]
    return np.array(found if len(found) == len(default) else default, np.float64)


def world_of(scene: FbxScene, number: int, known: dict[int, np.ndarray]) -> Float64[np.ndarray, "4 4"]:
    """The model's matrix in the scene. Raises ``FbxError`` where models hang on each other in a ring."""
    chain: list[int] = []
    while number not in known:
        if number in chain or len(chain) > MAX_DEPTH:
            raise FbxError("its models hang on each other in a ring")
        chain.append(number)
        above = [p for p in scene.parents.get(number, []) if p in scene.objects and scene.objects[p].name == "Model"]
        if not above:
            break
        number = above[0]
    for one in reversed(chain):
        above = [p for p in scene.parents.get(one, []) if p in scene.objects and scene.objects[p].name == "Model"]
        parent = known[above[0]] if above else np.eye(4)
        known[one] = parent @ local(values_of(scene.objects[one]))
    return known[chain[0]] if chain else known[number]


def local(values: Values) -> Float64[np.ndarray, "4 4"]:
    """T Roff Rp Rpre R Rpost^-1 Rp^-1 Soff Sp S Sp^-1."""
    zero = (0.0, 0.0, 0.0)
    order = _integer(values.get("RotationOrder", (0,))[0])
    pivot, scale_pivot = numbers(values, "RotationPivot", zero), numbers(values, "ScalingPivot", zero)
    steps = (
        moved(numbers(values, "Lcl Translation", zero)),
        moved(numbers(values, "RotationOffset", zero) + pivot),
        turned(numbers(values, "PreRotation", zero)),
        turned(numbers(values, "Lcl Rotation", zero), ORDERS[order] if 0 <= order < len(ORDERS) else "XYZ"),
        turned(numbers(values, "PostRotation", zero)).T,
        moved(numbers(values, "ScalingOffset", zero) + scale_pivot - pivot),
        scaled(numbers(values, "Lcl Scaling", (1.0, 1.0, 1.0))),
        moved(-scale_pivot),
    )
    result = np.eye(4)
    for step in steps:
        result = result @ step
    return result


def geometric(values: Values) -> Float64[np.ndarray, "4 4"]:
    """The transform that applies to the model's own mesh and not to its children."""
    zero = (0.0, 0.0, 0.0)
    return (
        moved(numbers(values, "GeometricTranslation", zero))
        @ turned(numbers(values, "GeometricRotation", zero))
        @ scaled(numbers(values, "GeometricScaling", (1.0, 1.0, 1.0)))
    )


def moved(by: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "4 4"]:
    """Translation."""
    result = np.eye(4)
    result[:3, 3] = by
    return result


def scaled(by: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "4 4"]:
    """Scaling along the axes."""
    return np.diag([*by, 1.0])


def turned(degrees: Float64[np.ndarray, "3"], order: str = "XYZ") -> Float64[np.ndarray, "4 4"]:
    """Rotation about the axes, the first of the order first."""
    result = np.eye(4)
    for name in order:
        axis = "XYZ".index(name)
        angle = np.radians(degrees[axis])
        one, two = (axis + 1) % 3, (axis + 2) % 3
        step = np.eye(4)
        step[one, one] = step[two, two] = np.cos(angle)
        step[one, two], step[two, one] = -np.sin(angle), np.sin(angle)
        result = step @ result
    return result
