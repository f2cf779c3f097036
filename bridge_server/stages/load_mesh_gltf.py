"""Reading GLB and glTF 2.0 (Khronos specification, 2.0.1) into one triangle soup in world space."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from bridge_server.errors import InputError
from bridge_server.run import Run
from bridge_server.stages.load_mesh_formats import (
    SPLIT_REMEDY,
    RawSurface,
    check_triangle_count,
    glb_chunks,
    gltf_document,
    refused,
)
from bridge_server.stages.load_mesh_gltf_accessors import GltfFile
from bridge_server.stages.load_mesh_gltf_materials import MaterialReader
from bridge_server.values.base import Notice
from bridge_server.values.source import MeshSource
from bridge_server.values.surface_texture import MaterialTextures

TRIANGLES, STRIP, FAN = 4, 5, 6
MAX_DEPTH = 256
MOST_COPIES = 100_000
MOST_JOINT_SETS = 4
"""Of four joints each."""
INSTANCING = "EXT_mesh_gpu_instancing"
USABLE_EXTENSIONS = {
    INSTANCING, "KHR_mesh_quantization", "KHR_texture_transform", "EXT_texture_webp", "KHR_materials_emissive_strength",
    "KHR_materials_pbrSpecularGlossiness", "KHR_materials_unlit", "KHR_lights_punctual",
}  # fmt: skip
"""Those that are read, or that change nothing about the surface, so that a file may require them."""
EXPORT_PLAIN = "Export it again without that extension."
NO_NORMALS = np.zeros((0, 3, 3))


@dataclass(slots=True)
class SoupParts:
    """Arrays of the primitives read so far, one entry each."""

    positions: list[np.ndarray] = field(default_factory=list)
    faces: list[np.ndarray] = field(default_factory=list)
    uvs: tuple[list[np.ndarray], list[np.ndarray]] = field(default_factory=lambda: ([], []))
    normals: list[np.ndarray] = field(default_factory=list)
    """Empty arrays where a primitive has none that its pose leaves usable."""
    colors: list[np.ndarray] = field(default_factory=list)
    materials: list[np.ndarray] = field(default_factory=list)
    has_uvs: list[bool] = field(default_factory=lambda: [False, False])
    has_colors: bool = False
    vertex_count: int = 0
    face_count: int = 0


@dataclass(frozen=True, slots=True)
class MeshPose:
    """How a node places its mesh."""

    world: Float64[np.ndarray, "4 4"]
    joints: Float64[np.ndarray, "joints 4 4"] | None
    """World matrix of each joint times its inverse bind matrix; replaces ``world`` where the mesh is skinned."""
    weights: tuple[float, ...]
    """Of the morph targets."""


def read_gltf(source: MeshSource, run: Run) -> RawSurface:
    """All triangles of the default scene, skinned meshes in the pose of the file.

    Raises ``InputError`` where the document is broken, truncated or compressed.
    """
    binary = memoryview(b"")
    if source.name.lower().endswith(".glb"):
        document, binary = glb_chunks(source.name, source.data)
    else:
        document = gltf_document(source.name, source.data)
    try:
        return _surface(GltfFile(source, document, binary), run)
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        detail = f"{type(error).__name__}: {error}"
        raise refused(source.name, f"its structure is broken ({detail}).", "MESH_UNREADABLE") from error


def _surface(file: GltfFile, run: Run) -> RawSurface:
    notices: list[Notice] = []
    parts, skipped = SoupParts(), 0
    placed = list(scene_meshes(file))
    default_material = len(file.document.get("materials", []))
    objects: list[tuple[str, int]] = []
    for done, (node, world, worlds) in enumerate(placed):
        mesh = file.entry("meshes", node["mesh"])
        joints = joint_matrices(file, node, worlds) if "skin" in node else None
        pose = MeshPose(world, joints, tuple(node.get("weights", mesh.get("weights", ()))))
        before = parts.face_count
        for primitive in mesh["primitives"]:
            run.checkpoint(done / len(placed), "reading primitives")
            if primitive.get("mode", TRIANGLES) not in {TRIANGLES, STRIP, FAN}:
                skipped += 1
                continue
            for copy in copies_of(file, node):
                placed_copy = replace(pose, world=pose.world @ copy)
                add_primitive(parts, file, primitive, placed_copy, default_material)
        objects.append((str(node.get("name", mesh.get("name", ""))), parts.face_count - before))
    unknown = sorted(set(file.document.get("extensionsRequired", [])) - USABLE_EXTENSIONS)
    if unknown:
        message = f"It asks for {', '.join(map(str, unknown))}, which is not known here, so something may be missing."
        notices.append(Notice(code="extension_unknown", message=message, remedy=EXPORT_PLAIN))
    if skipped:
        notices.append(Notice(code="lines_dropped", message=f"{skipped} primitives of points or lines are left out."))
    reader = MaterialReader(file, notices)
    materials = [reader.material(entry) for entry in file.document.get("materials", [])]
    if not parts.faces:
        raise refused(file.source.name, "the file holds no triangles.", "MESH_NO_FACES")
    first_uvs, second_uvs = parts.uvs
    return RawSurface(
        positions=np.concatenate(parts.positions),
        faces=np.concatenate(parts.faces),
        corner_uvs=np.concatenate(first_uvs) if parts.has_uvs[0] else None,
        second_uvs=np.concatenate(second_uvs) if parts.has_uvs[1] else None,
        corner_normals=np.concatenate(parts.normals) if all(map(len, parts.normals)) else None,
        corner_colors=np.concatenate(parts.colors) if parts.has_colors else None,
        face_materials=np.concatenate(parts.materials),
        materials=(*materials, MaterialTextures(metallic_factor=1.0)),
        face_objects=np.repeat(np.arange(len(objects)), [count for _, count in objects]),
        objects=tuple(name for name, _ in objects),
        notices=notices,
    )


def scene_meshes(file: GltfFile) -> Iterator[tuple[Mapping[str, Any], np.ndarray, dict[int, np.ndarray]]]:
    """Each node of the default scene that has a mesh, with its world matrix and those of all nodes of the scene."""
    nodes = file.document.get("nodes", [])
    if file.document.get("scenes"):
        roots = file.entry("scenes", file.document.get("scene", 0)).get("nodes", [])
    else:
        children = {child for node in nodes for child in node.get("children", [])}
        roots = [index for index in range(len(nodes)) if index not in children]
    worlds: dict[int, np.ndarray] = {}
    pending = [(root, np.eye(4), 0) for root in reversed(roots)]
    while pending:
        index, parent, depth = pending.pop()
        if index in worlds or depth > MAX_DEPTH:
            raise refused(file.source.name, "its node tree has a loop.", "MESH_UNREADABLE")
        node = file.entry("nodes", index)
        worlds[index] = parent @ local_matrix(node)
        pending += [(child, worlds[index], depth + 1) for child in reversed(node.get("children", []))]
    for index, world in worlds.items():
        node = file.entry("nodes", index)
        if "mesh" in node:
            yield node, world, worlds


def copies_of(file: GltfFile, node: Mapping[str, Any]) -> list[Float64[np.ndarray, "4 4"]]:
    """Where a node shows its mesh, in its own space: once, or as often as EXT_mesh_gpu_instancing says."""
    given = node.get("extensions", {}).get(INSTANCING)
    if given is None:
        return [np.eye(4)]
    names = {"TRANSLATION": "translation", "ROTATION": "rotation", "SCALE": "scale"}
    columns = {names[key]: file.accessor(index) for key, index in given["attributes"].items() if key in names}
    count = min((len(column) for column in columns.values()), default=1)
    if count > MOST_COPIES:
        raise refused(file.source.name, f"a node shows its mesh {count:,} times.", "MESH_TOO_LARGE", SPLIT_REMEDY)
    return [local_matrix({name: column[row] for name, column in columns.items()}) for row in range(count)]


def local_matrix(node: Mapping[str, Any]) -> Float64[np.ndarray, "4 4"]:
    """A node's matrix, from its column-major ``matrix`` or from translation, rotation (xyzw) and scale."""
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    x, y, z, w = np.array(node.get("rotation", (0, 0, 0, 1)), np.float64)
    norm = x * x + y * y + z * z + w * w
    s = 2.0 / norm if norm > 0 else 0.0
    result = np.eye(4)
    result[:3, :3] = [
        [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
        [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
        [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
    ]
    result[:3, :3] *= np.array(node.get("scale", (1, 1, 1)), np.float64)
    result[:3, 3] = node.get("translation", (0, 0, 0))
    return result


def joint_matrices(
    file: GltfFile, node: Mapping[str, Any], worlds: Mapping[int, np.ndarray]
) -> Float64[np.ndarray, "joints 4 4"]:
    """World matrix of each joint times its inverse bind matrix."""
    skin = file.entry("skins", node["skin"])
    poses = np.stack([worlds.get(joint, np.eye(4)) for joint in skin["joints"]])
    if "inverseBindMatrices" not in skin:
        return poses
    inverse = file.accessor(skin["inverseBindMatrices"]).astype(np.float64).reshape(-1, 4, 4)
    return poses @ inverse.transpose(0, 2, 1)


def add_primitive(
    parts: SoupParts, file: GltfFile, primitive: Mapping[str, Any], pose: MeshPose, default_material: int
) -> None:
    """Append one primitive's triangles, with coordinates and colours spread to its corners."""
    attributes = primitive["attributes"]
    if not {"bufferView", "sparse"} & set(file.entry("accessors", attributes["POSITION"])):
        file.refuse_compressed(primitive)
    positions, mirrored = posed_positions(file, primitive, pose)
    indices = file.accessor(primitive["indices"], scaled=False)[:, 0] if "indices" in primitive else None
    order = np.arange(len(positions)) if indices is None else indices.astype(np.int64)
    if len(order) and int(order.max()) >= len(positions):
        raise refused(file.source.name, f"a face uses vertex {order.max()} of {len(positions)}.", "MESH_INDEX_RANGE")
    faces = triangles_of(order, primitive.get("mode", TRIANGLES))
    if mirrored:
        faces = faces[:, ::-1]
    parts.face_count += len(faces)
    check_triangle_count(file.source.name, parts.face_count)
    material = primitive.get("material", default_material)
    if not 0 <= material <= default_material:
        raise refused(file.source.name, f"it refers to materials[{material}], which is not there.", "MESH_UNREADABLE")
    parts.positions.append(positions)
    parts.faces.append(faces + parts.vertex_count)
    parts.vertex_count += len(positions)
    parts.materials.append(np.full(len(faces), material, np.int64))
    for channel in (0, 1):
        name = f"TEXCOORD_{channel}"
        uvs = (
            file.accessor(attributes[name]).astype(np.float64) if name in attributes else np.zeros((len(positions), 2))
        )
        parts.has_uvs[channel] |= name in attributes
        parts.uvs[channel].append(uvs[faces])
    parts.normals.append(posed_normals(file, primitive, pose)[faces] if has_normals(primitive, pose) else NO_NORMALS)
    colors = np.ones((len(positions), 4))
    if "COLOR_0" in attributes:
        stored = file.accessor(attributes["COLOR_0"])
        colors[:, : stored.shape[1]] = stored
        parts.has_colors = True
    parts.colors.append(colors[faces])


def posed_positions(
    file: GltfFile, primitive: Mapping[str, Any], pose: MeshPose
) -> tuple[Float64[np.ndarray, "vertices 3"], bool]:
    """Vertices in world space, morphed and skinned, and whether the pose mirrors them."""
    attributes = primitive["attributes"]
    positions = file.accessor(attributes["POSITION"]).astype(np.float64)
    for weight, target in zip(pose.weights, primitive.get("targets", []), strict=False):
        if weight and "POSITION" in target:
            positions = positions + weight * file.accessor(target["POSITION"])
    if pose.joints is None or "JOINTS_0" not in attributes:
        with np.errstate(invalid="ignore"):  # vertices that are not finite are dealt with after reading
            moved = positions @ pose.world[:3, :3].T + pose.world[:3, 3]
        return moved, bool(np.linalg.det(pose.world[:3, :3]) < 0)
    matrices = skinned(file, attributes, pose.joints)
    moved = np.einsum("vij,vj->vi", matrices[:, :3, :3], positions) + matrices[:, :3, 3]
    return moved, bool(np.linalg.det(matrices[:, :3, :3].mean(axis=0)) < 0)


def has_normals(primitive: Mapping[str, Any], pose: MeshPose) -> bool:
    """Whether the file's normals hold in this pose: skinned and morphed surfaces need new ones."""
    morphed = bool(primitive.get("targets")) and any(pose.weights)
    still = pose.joints is None or "JOINTS_0" not in primitive["attributes"]
    return "NORMAL" in primitive["attributes"] and still and not morphed


def posed_normals(file: GltfFile, primitive: Mapping[str, Any], pose: MeshPose) -> Float64[np.ndarray, "vertices 3"]:
    """Normals in world space, of any length, by the inverse transpose of the node's matrix."""
    normals = file.accessor(primitive["attributes"]["NORMAL"]).astype(np.float64)
    linear = pose.world[:3, :3]
    cofactor = np.stack([np.cross(linear[(row + 1) % 3], linear[(row + 2) % 3]) for row in range(3)])
    return normals @ (cofactor * np.sign(np.linalg.det(linear))).T


def skinned(file: GltfFile, attributes: Mapping[str, Any], joints: np.ndarray) -> Float64[np.ndarray, "vertices 4 4"]:
    """Blended matrix of each vertex; weights are normalised."""
    sets = [number for number in range(MOST_JOINT_SETS) if f"JOINTS_{number}" in attributes]
    index = np.concatenate([file.accessor(attributes[f"JOINTS_{n}"], scaled=False) for n in sets], axis=1)
    weight = np.concatenate([file.accessor(attributes[f"WEIGHTS_{n}"]).astype(np.float64) for n in sets], axis=1)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    return np.einsum("vk,vkij->vij", weight, joints[index.astype(np.int64)])


def triangles_of(order: Int64[np.ndarray, "indices"], mode: int) -> Int64[np.ndarray, "faces 3"]:
    """Triangles of a list, strip or fan; every second one of a strip is turned to keep the winding."""
    if mode == TRIANGLES:
        return order[: len(order) // 3 * 3].reshape(-1, 3)
    if len(order) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == FAN:
        return np.stack([np.full(len(order) - 2, order[0]), order[1:-1], order[2:]], axis=1)
    faces = np.stack([order[:-2], order[1:-1], order[2:]], axis=1)
    faces[1::2] = faces[1::2][:, [1, 0, 2]]
    return faces
