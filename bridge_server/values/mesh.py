"""Triangle meshes: raw geometry, the high poly with its colours, the low poly, and the unwrapped mesh."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32

from bridge_server.blocks import over_blocks
from bridge_server.values.base import Value
from bridge_server.values.surface import SurfaceField


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh(Value):
    """Indexed triangles in the space of ``space``; vertices are shared between faces (no UV splits)."""

    positions_m: Float32[np.ndarray, "vertices 3"]
    faces: Int32[np.ndarray, "faces 3"]

    @property
    def bounds_m(self) -> tuple[Float32[np.ndarray, "3"], Float32[np.ndarray, "3"]]:
        """Lowest and highest corner of the axis-aligned box."""
        axes = np.ascontiguousarray(self.positions_m.T)  # along rows of three it takes twenty times as long
        return axes.min(axis=1), axes.max(axis=1)

    @property
    def diagonal_m(self) -> float:
        """Length of the bounding box's diagonal."""
        low, high = self.bounds_m
        return float(np.linalg.norm(high.astype(np.float64) - low))


def face_cross_products(mesh: Mesh) -> Float64[np.ndarray, "faces 3"]:
    """Twice the area-weighted outward normal of each face, in square metres."""
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def area_m2(mesh: Mesh) -> float:
    """Surface area."""
    return float(np.linalg.norm(face_cross_products(mesh), axis=1).sum() / 2.0)


def volume_m3(mesh: Mesh) -> float:
    """Signed volume by the divergence theorem; positive where the winding is outward."""
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    return float(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6.0)


def vertex_normals(mesh: Mesh) -> Float32[np.ndarray, "vertices 3"]:
    """Angle-weighted vertex normals (Thürmer and Wüthrich, "Computing vertex normals", 1998), unit length.

    A vertex that no face of positive area uses gets +Y.
    """
    weighted = np.empty((3, len(mesh.faces), 3))

    def weigh(rows: slice) -> None:
        corners = mesh.positions_m[mesh.faces[rows]].astype(np.float64)
        sides = np.roll(corners, -1, axis=1) - corners
        (x, y, z), (u, v, w) = sides[:, 0].T, sides[:, 1].T
        cross = np.stack([y * w - z * v, z * u - x * w, x * v - y * u])
        area = np.sqrt(np.einsum("if,if->f", cross, cross))
        unit = np.divide(cross, area, out=np.zeros_like(cross), where=area > 0.0)
        cosine = -np.einsum("fci,fci->fc", sides, np.roll(sides, 1, axis=1))
        weighted[:, rows] = unit[:, :, None] * np.arctan2(area[:, None], cosine)

    over_blocks(weigh, len(mesh.faces))
    corner = mesh.faces.reshape(-1)
    count = len(mesh.positions_m)
    sums = np.stack([np.bincount(corner, axis.reshape(-1), minlength=count) for axis in weighted], axis=1)
    norm = np.linalg.norm(sums, axis=1, keepdims=True)
    result = np.divide(sums, norm, out=np.tile([0.0, 1.0, 0.0], (len(sums), 1)), where=norm > 1e-30)
    return result.astype(np.float32)


def edge_face_counts(faces: Int32[np.ndarray, "faces 3"]) -> Int32[np.ndarray, "edges"]:
    """How many faces use each undirected edge: 1 is a border, 2 is closed, more is non-manifold."""
    start, end = faces.T.astype(np.int64).reshape(-1), np.roll(faces.T, -1, axis=0).astype(np.int64).reshape(-1)
    codes = np.minimum(start, end) << 32 | np.maximum(start, end)
    codes.sort()  # np.unique hashes, which takes twice as long
    ends = np.flatnonzero(np.diff(codes, append=-1))
    return np.diff(ends, prepend=-1).astype(np.int32)


def is_watertight(mesh: Mesh) -> bool:
    """True where every edge joins exactly two faces."""
    return len(mesh.faces) > 0 and bool((edge_face_counts(mesh.faces) == 2).all())


@dataclass(frozen=True, slots=True, kw_only=True)
class HighPoly(Value):
    """The dense surface that is baked from, and the field that knows its colours."""

    mesh: Mesh
    field: SurfaceField
    source: str
    """Name of the generator that made it, e.g. ``embedded`` or ``mesh``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LowPoly(Value):
    """The decimated mesh that LOD0 is made of."""

    mesh: Mesh
    target_triangle_count: int
    hausdorff_m: float
    """Largest sampled distance between this and the high poly, both ways."""
    mean_distance_m: float
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UnwrappedMesh(Value):
    """A mesh that is ready to be baked to and exported: one vertex for each corner that differs.

    ``tangents`` are MikkTSpace: xyz unit length, w the sign of the bitangent, cross(normal, tangent) * w.
    """

    positions_m: Float32[np.ndarray, "vertices 3"]
    normals: Float32[np.ndarray, "vertices 3"]
    tangents: Float32[np.ndarray, "vertices 4"]
    uvs: Float32[np.ndarray, "vertices 2"]
    """In [0, 1], origin top left (see ``space``)."""
    faces: Int32[np.ndarray, "faces 3"]
    charts: Int32[np.ndarray, "faces"]
    """Which UV chart each face lies in, counted from 0."""
    welded: Int32[np.ndarray, "vertices"]
    """For each vertex the index of the point it shares with its twins across seams, counted from 0 without gaps."""
    padding_px: int
    """Least gap between charts at ``atlas_px``."""
    atlas_px: int
    """Map size that the packing was made for."""
    texel_density_px_per_m: float
    """Area-weighted mean over all charts at ``atlas_px``."""
    texel_density_spread: float
    """Standard deviation of the chart densities over their mean."""
    packing_efficiency: float
    """Share of the unit square that charts cover."""
    stretch: float
    """Area-weighted mean of the L2 stretch (Sander et al. 2001); 1 is none."""
    method: str
    lightmap_uvs: Float32[np.ndarray, "vertices 2"] | None = None
    """A second set, for baked light: the same charts packed anew for ``lightmap_px``; None where none was wanted."""
    lightmap_px: int = 0
    """Size that the second set was packed for, two texels between charts."""

    def charts_of_vertices(self) -> Int32[np.ndarray, "vertices"]:
        """Chart of each vertex, which is one: corners of two charts differ in their coordinates."""
        charts = np.zeros(len(self.positions_m), np.int32)
        charts[self.faces.reshape(-1)] = np.repeat(self.charts, 3)
        return charts

    def welded_mesh(self) -> Mesh:
        """The same triangles with the UV seams closed."""
        first = np.zeros(int(self.welded.max()) + 1, dtype=np.int64)
        first[self.welded[::-1]] = np.arange(len(self.welded) - 1, -1, -1)
        return Mesh(positions_m=self.positions_m[first], faces=self.welded[self.faces])
