"""What independent readers find in a mesh file, in one form: metres, Y up, V down, parts by name."""

import io
from dataclasses import dataclass

import numpy as np
import trimesh

from tests.referees import node


@dataclass(frozen=True, eq=False)
class Part:
    """One mesh."""

    faces: np.ndarray
    positions_m: np.ndarray
    uvs: np.ndarray | None

    @property
    def bounds_m(self) -> np.ndarray:
        return np.stack([self.positions_m.min(axis=0), self.positions_m.max(axis=0)])

    @property
    def uv_bounds(self) -> np.ndarray:
        assert self.uvs is not None
        used = self.uvs[self.faces.reshape(-1)]
        return np.stack([used.min(axis=0), used.max(axis=0)])


def glb_parts(data: bytes) -> dict[str, Part]:
    """As trimesh reads a GLB; node transforms applied."""
    scene = trimesh.load(io.BytesIO(data), file_type="glb", process=False)
    found = {}
    for name in scene.graph.nodes_geometry:
        transform, geometry = scene.graph[name]
        mesh = scene.geometry[geometry]
        uvs = getattr(mesh.visual, "uv", None)
        down = None if uvs is None else np.stack([uvs[:, 0], 1.0 - uvs[:, 1]], axis=1)
        found[name] = Part(np.asarray(mesh.faces), trimesh.transform_points(mesh.vertices, transform), down)
    return found


def fbx_parts_by_autodesk(data: bytes) -> dict[str, Part]:
    """As Autodesk's SDK reads an FBX."""
    return glb_parts(node.fbx_to_gltf(data))


def fbx_parts_by_assimp(data: bytes) -> dict[str, Part]:
    """As Assimp reads an FBX in centimetres."""
    found = {}
    for mesh in node.assimp_read(data)["meshes"]:
        uvs = None
        if "texturecoords" in mesh:
            uvs = np.reshape(mesh["texturecoords"][0], (-1, mesh["numuvcomponents"][0]))[:, :2]
            uvs = np.stack([uvs[:, 0], 1.0 - uvs[:, 1]], axis=1)
        found[mesh["name"]] = Part(np.array(mesh["faces"]), np.reshape(mesh["vertices"], (-1, 3)) / 100.0, uvs)
    return found


def base_colors(glb: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Places of a part's vertices and the sRGB colour of the base colour texture there."""
    scene = trimesh.load(io.BytesIO(glb), file_type="glb", process=False)
    mesh = scene.geometry[scene.graph[name][1]]
    pixels = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"))
    size = np.array([pixels.shape[1], pixels.shape[0]])
    column, row = np.clip((mesh.visual.uv * [1, -1] + [0, 1]) * size, 0, size - 1).astype(int).T
    return np.asarray(mesh.vertices), pixels[row, column].astype(int)
