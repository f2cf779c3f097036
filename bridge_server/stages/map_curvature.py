"""Curvature map: how much the high poly bends, from its own triangles.

Half the divergence of the outward unit normal is the mean curvature (do Carmo, "Differential Geometry of Curves and
Surfaces", 1976, section 3.3): 1 / r on a sphere, 1 / 2r on a cylinder, positive where the surface bulges. The normal
is interpolated over each triangle from its corners, so its divergence is the trace of the shape operator of
Rusinkiewicz ("Estimating curvatures and their derivatives on triangle meshes", 2004), in closed form.
"""

import numpy as np
from jaxtyping import Float32, Float64

from bridge_server.run import Run
from bridge_server.stages.texel_average import interpolated, texel_means
from bridge_server.values.mesh import HighPoly, Mesh, face_cross_products, vertex_normals
from bridge_server.values.texture import TexelHits

RANGE_PERCENTILE = 99.0


def curvatures(high_poly: HighPoly, hits: TexelHits, run: Run) -> Float32[np.ndarray, "size size 1"]:
    """Mean curvature under each texel, in 1 / m; 0 where nothing is."""
    mesh = high_poly.mesh
    corners = mean_curvatures(mesh).astype(np.float32)[mesh.faces][:, :, None]

    def evaluate(rows: slice) -> Float32[np.ndarray, "texels 1"]:
        return interpolated(corners, hits.high_face[rows], hits.high_weights[rows])

    return texel_means(hits, 1, evaluate, run, "curvature")


def mean_curvatures(mesh: Mesh) -> Float64[np.ndarray, "vertices"]:
    """Mean curvature at each vertex in 1 / m, the area-weighted mean over its faces.

    A sharp edge gets the bend that its triangles can hold, so what it shows depends on how fine they are.
    """
    cross = face_cross_products(mesh)
    squared = np.einsum("ij,ij->i", cross, cross)
    corners = mesh.positions_m.astype(np.float64)[mesh.faces]
    normals = vertex_normals(mesh).astype(np.float64)[mesh.faces]
    divergence = np.zeros(len(mesh.faces))
    for corner in range(3):
        opposite = corners[:, (corner + 2) % 3] - corners[:, (corner + 1) % 3]
        divergence += np.einsum("ij,ij->i", normals[:, corner], np.cross(cross, opposite))
    area = np.sqrt(squared) / 2.0
    bend = np.divide(divergence, 2.0 * squared, out=np.zeros_like(divergence), where=squared > 0.0)
    sums, areas = np.zeros(len(mesh.positions_m)), np.zeros(len(mesh.positions_m))
    for corner in range(3):
        sums += np.bincount(mesh.faces[:, corner], bend * area, minlength=len(sums))
        areas += np.bincount(mesh.faces[:, corner], area, minlength=len(areas))
    return np.divide(sums, areas, out=np.zeros_like(sums), where=areas > 0.0)


def curvature_range_per_m(values: Float32[np.ndarray, "texels 1"]) -> float:
    """The curvature, either way, that all but the sharpest 1 % of texels stay below."""
    return float(np.percentile(np.abs(values), RANGE_PERCENTILE)) if len(values) else 0.0
