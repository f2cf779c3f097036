"""The same low poly under several UV layouts."""

from dataclasses import replace

import numpy as np

from bridge_server.backends.unwrapper.base import UNWRAPPERS
from bridge_server.run import SilentRun
from bridge_server.stages.tangent_frames import mikktspace_tangents, split_by_tangent
from bridge_server.stages.trace import Trace
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.mesh import HighPoly, Mesh, UnwrappedMesh
from tests.shapes import painted
from tests.stages.bake_cases import Case, low_poly, rasterizer, raycaster

LAYOUTS = ("planar", "xatlas", "mirrored", "turned")
SIZE_PX = 512


def laid_out(low: Mesh, layout: str, hard_edge_angle_deg: float = 180.0) -> UnwrappedMesh:
    """``mirrored`` flips every second chart, ``turned`` turns them all by a quarter."""
    unwrap = Unwrap(resolution_px=SIZE_PX, hard_edge_angle_deg=hard_edge_angle_deg)
    backend = UNWRAPPERS.load("xatlas" if layout == "xatlas" else "planar")
    wrapped = unwrap(SilentRun(), backend, low_poly=low_poly(low))
    if layout == "mirrored":
        return _with_uvs(wrapped, _mirrored(wrapped))
    if layout == "turned":
        return _with_uvs(wrapped, np.stack([1 - wrapped.uvs[:, 1], wrapped.uvs[:, 0]], axis=1))
    return wrapped


def traced(low: UnwrappedMesh, high: Mesh | HighPoly, **fields: float) -> Case:
    """One ray a texel, so that a texel is one place."""
    high_poly = high if isinstance(high, HighPoly) else painted(high)
    settings = {"resolution_px": SIZE_PX, "supersample": 1, **fields}
    hits = Trace(**settings)(SilentRun(), raycaster(), rasterizer(), high_poly=high_poly, unwrapped=low)
    return Case(high_poly=high_poly, unwrapped=low, texel_hits=hits)


def _mirrored(mesh: UnwrappedMesh) -> np.ndarray:
    """Even charts in the left half, odd ones flipped in the right half; a single chart is flipped."""
    chart = np.zeros(len(mesh.uvs), np.int64)
    chart[mesh.faces.reshape(-1)] = np.repeat(mesh.charts, 3)
    if chart.max() == 0:
        return mesh.uvs * np.float32([-1, 1]) + np.float32([1, 0])
    half = mesh.uvs * np.float32([0.5, 1])
    return np.where((chart % 2 == 0)[:, None], half, half * np.float32([-1, 1]) + np.float32([1, 0]))


def _with_uvs(mesh: UnwrappedMesh, uvs: np.ndarray) -> UnwrappedMesh:
    uvs = np.ascontiguousarray(uvs, np.float32)
    split = split_by_tangent(mesh.faces, mikktspace_tangents(mesh.positions_m, mesh.normals, uvs, mesh.faces))
    return replace(
        mesh,
        positions_m=mesh.positions_m[split.vertices],
        normals=mesh.normals[split.vertices],
        tangents=split.tangents,
        uvs=uvs[split.vertices],
        faces=split.faces,
        welded=mesh.welded[split.vertices],
    )
