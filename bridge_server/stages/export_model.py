"""A finished model between the values and the file writers: placed, named, clean enough for every format."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32, Int64

from bridge_server.values.collision import Collision
from bridge_server.values.mesh import Mesh, UnwrappedMesh
from bridge_server.values.placement import Placement
from bridge_server.values.quads import QuadLayout

ZERO_LENGTH = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderMesh:
    """One visible mesh; arrays as in ``UnwrappedMesh``, placed, directions of exact unit length."""

    name: str
    positions_m: Float32[np.ndarray, "vertices 3"]
    normals: Float32[np.ndarray, "vertices 3"]
    tangents: Float32[np.ndarray, "vertices 4"]
    uvs: Float32[np.ndarray, "vertices 2"]
    faces: Int32[np.ndarray, "faces 3"]
    welded: Int32[np.ndarray, "vertices"]
    lightmap_uvs: Float32[np.ndarray, "vertices 2"] | None = None
    quad_faces: Int32[np.ndarray, "quads 2"] | None = None
    """Which two triangles are one quad, in files that hold quads; None for triangles alone."""
    quad_corners: Int32[np.ndarray, "quads 4"] | None = None

    def polygons(self) -> tuple[Int32[np.ndarray, "corners"], Int64[np.ndarray, "polygons"]]:
        """Vertices around every polygon, one polygon after the other, and the number of corners of each.

        A quad stands where its first triangle stood, and begins at its diagonal, so that a fan gives both back.
        """
        if self.quad_faces is None or self.quad_corners is None:
            return self.faces.reshape(-1), np.full(len(self.faces), 3, np.int64)
        padded = np.concatenate([self.faces, np.full((len(self.faces), 1), -1, np.int32)], axis=1)
        padded[self.quad_faces.min(axis=1)] = self.quad_corners
        kept = np.ones(len(padded), np.bool_)
        kept[self.quad_faces.max(axis=1)] = False
        used = padded[kept]
        return used[used >= 0], (used >= 0).sum(axis=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HullMesh:
    """One collision piece, placed."""

    name: str
    positions_m: Float32[np.ndarray, "vertices 3"]
    faces: Int32[np.ndarray, "faces 3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialFiles:
    """The material and the encoded images that belong to it; None where the file carries no such image."""

    name: str
    base_color: bytes | None = None
    normal: bytes | None = None
    """OpenGL green in GLB; in files that refer to images by name only the name counts."""
    orm: bytes | None = None
    """Occlusion, roughness, metallic."""
    base_color_path: str = ""
    normal_path: str = ""
    orm_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What one mesh file holds."""

    meshes: tuple[RenderMesh, ...]
    hulls: tuple[HullMesh, ...]
    material: MaterialFiles


def render_mesh(name: str, mesh: UnwrappedMesh, placement: Placement, quads: QuadLayout | None = None) -> RenderMesh:
    """Placed, with normals and tangents that no validator finds short, long or missing."""
    normals = _unit(mesh.normals.astype(np.float64), np.array([0.0, 1.0, 0.0]))
    along = mesh.tangents[:, :3].astype(np.float64)
    along -= normals * np.einsum("ij,ij->i", normals, along)[:, None]
    tangents = np.concatenate([_unit(along, _any_perpendicular(normals)), _signs(mesh.tangents[:, 3])], axis=1)
    return RenderMesh(
        name=name,
        positions_m=placement.apply(mesh.positions_m),
        normals=normals.astype(np.float32),
        tangents=tangents.astype(np.float32),
        uvs=mesh.uvs,
        faces=mesh.faces,
        welded=mesh.welded,
        lightmap_uvs=mesh.lightmap_uvs,
        quad_faces=None if quads is None else quads.faces,
        quad_corners=None if quads is None else quads.corners,
    )


def hull_meshes(collision: Collision, names: tuple[str, ...], placement: Placement) -> tuple[HullMesh, ...]:
    """The collision pieces, placed and named."""
    return tuple(
        HullMesh(name=name, positions_m=placement.apply(piece.mesh.positions_m), faces=piece.mesh.faces)
        for name, piece in zip(names, collision.pieces, strict=True)
    )


def corner_points(mesh: RenderMesh) -> Mesh:
    """The mesh with its seams closed, as formats want it that keep points and corners apart."""
    count = int(mesh.welded.max()) + 1 if len(mesh.welded) else 0
    first = np.zeros(count, np.int64)
    first[mesh.welded[::-1]] = np.arange(len(mesh.welded) - 1, -1, -1)
    return Mesh(positions_m=mesh.positions_m[first], faces=mesh.welded[mesh.faces])


def _unit(vectors: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    good = np.isfinite(length) & (length > ZERO_LENGTH)
    return np.where(good, np.divide(vectors, length, out=np.zeros_like(vectors), where=good), otherwise)


def _any_perpendicular(normals: np.ndarray) -> np.ndarray:
    axis = np.where(np.abs(normals[:, :1]) < 0.9, np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]]))
    across = np.cross(normals, axis)
    return across / np.linalg.norm(across, axis=1, keepdims=True)


def _signs(w: np.ndarray) -> np.ndarray:
    return np.where(w < 0.0, -1.0, 1.0)[:, None]
