"""The last level of detail as a closed hull that shows the maps of level 0.

The hull is a skin around level 0 with few triangles (see ``remesh_wrap``), free of the seams of level 0, so it may be
far lighter than what collapses between seams leave. Each of its faces shows one chart: the one that most of the
surface below it belongs to. Its corners take texture coordinates from the nearest place on that chart, so two faces of
one chart meet without a jump. Where the face would then reach out of its chart, it shrinks around a place inside until
it does not; at worst it shows a part of one triangle of level 0.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from bridge_server.backends.mesh_filter.base import MeshFilter
from bridge_server.backends.raycaster.base import NearestPlaces, Raycaster, RayScene
from bridge_server.run import PartialRun, Run
from bridge_server.stages.decimate import decimated
from bridge_server.stages.remesh_wrap import wrapped
from bridge_server.stages.tangent_frames import mikktspace_tangents, split_by_tangent
from bridge_server.values.base import Notice
from bridge_server.values.mesh import Mesh, UnwrappedMesh, face_cross_products, vertex_normals
from bridge_server.values.mesh_slivers import without_slivers

RESOLUTION, GAP_CELLS = 64, 1.0
"""Of the skin, in cells along the longest side: what is narrower than two cells closes."""
NEEDLE_CELLS = 0.1
"""Triangles of the skin that are lower go first: marching cubes leaves needles that a collapse could only crumple."""
SIDE = 6
"""Samples of a face lie on a triangular grid of so many steps."""
LEAST_FACING, BACK_WEIGHT = 0.2, 0.02
"""Cosine below which a place looks another way than the hull, and what its vote for a chart then weighs."""
BESIDE_SHARE = 0.005
"""Share of the diagonal by which the chosen chart may lie farther from a corner than the rest and still shade it."""
SHRINKS = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25, 0.12)
INSIDE_ONE_FACE = 0.5
"""Share of a triangle of level 0 that a face shows whose chart is too narrow for it."""
LEAST_UV_SHARE = 0.02
"""A face whose texture is so much smaller than its surface asks for has fallen onto the outline of its chart."""


@dataclass(frozen=True, slots=True)
class Draped:
    """What each corner of each face takes from level 0."""

    uvs: Float64[np.ndarray, "faces 3 channels"]
    """Coordinates on the maps, and behind them those for baked light where there are any."""
    normals: Float64[np.ndarray, "faces 3 3"]


@dataclass(frozen=True, slots=True)
class Anchors:
    """Of each face of the hull the chart it shows, and the place of that chart nearest to its middle."""

    charts: Int32[np.ndarray, "faces"]
    corners: Int32[np.ndarray, "faces 3"]
    """Vertices of the triangle of level 0 that the place lies on."""
    weights: Float64[np.ndarray, "faces 3"]


def hull_level(
    backends: tuple[MeshFilter, Raycaster], mesh: UnwrappedMesh, triangle_count: int, run: Run
) -> tuple[UnwrappedMesh, list[Notice]]:
    """A closed hull of about so many triangles, each of which samples one chart of ``mesh``."""
    mesh_filter, raycaster = backends
    notices: list[Notice] = []
    base = mesh.welded_mesh()
    skin = wrapped(raycaster, base, RESOLUTION, GAP_CELLS, PartialRun(run, 0.0, 0.4))
    low, high = base.bounds_m
    skin = without_slivers(skin, NEEDLE_CELLS * float((high - low).max()) / RESOLUTION)
    hull, _ = decimated(skin, triangle_count, mesh_filter, notices, PartialRun(run, 0.4, 0.9))
    run.checkpoint(0.9, "draping the maps over the hull")
    outer = outermost(raycaster, mesh, skin)
    scene = raycaster.scene(outer.positions_m, outer.faces)
    anchors = chosen_charts(scene, outer, hull)
    draped = within_charts(raycaster, mesh, draped_corners(raycaster, scene, outer, hull, anchors), anchors)
    return assembled(mesh, hull, anchors.charts, draped), notices


def outermost(raycaster: Raycaster, mesh: UnwrappedMesh, skin: Mesh) -> UnwrappedMesh:
    """The faces that the skin lies on: a hull that cuts through a helmet is not to show the head in it."""
    touched = np.unique(raycaster.scene(mesh.positions_m, mesh.faces).nearest(skin.positions_m).faces)
    return replace(mesh, faces=mesh.faces[touched], charts=mesh.charts[touched])


def channels(mesh: UnwrappedMesh) -> Float64[np.ndarray, "vertices channels"]:
    """Both sets of texture coordinates side by side."""
    sets = [mesh.uvs] if mesh.lightmap_uvs is None else [mesh.uvs, mesh.lightmap_uvs]
    return np.concatenate(sets, axis=1).astype(np.float64)


def sample_weights() -> Float64[np.ndarray, "samples 3"]:
    """Places on a triangle, its corners and sides included; the middle is the first."""
    grid = [(i, j, SIDE - i - j) for i in range(SIDE + 1) for j in range(SIDE + 1 - i)]
    weights = np.array(grid, np.float64) / SIDE
    return weights[np.argsort(((weights - 1.0 / 3.0) ** 2).sum(axis=1), kind="stable")]


def unit_face_normals(mesh: Mesh) -> Float64[np.ndarray, "faces 3"]:
    """Outward normal of each face; 0 where it has no area."""
    cross = face_cross_products(mesh)
    return cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-300)


def chosen_charts(scene: RayScene, mesh: UnwrappedMesh, hull: Mesh) -> Anchors:
    """The chart that most places below each face lie on, among those that look the way the face does."""
    weights = sample_weights()
    points = np.einsum("kc,fcd->fkd", weights, hull.positions_m.astype(np.float64)[hull.faces])
    found = scene.nearest(points.reshape(-1, 3).astype(np.float32))
    below = found.faces.reshape(points.shape[:2])
    there = unit_face_normals(Mesh(positions_m=mesh.positions_m, faces=mesh.faces))[below]
    facing = np.einsum("fkd,fd->fk", there, unit_face_normals(hull)) > LEAST_FACING
    votes = np.where(facing, 1.0, BACK_WEIGHT)
    row = np.repeat(np.arange(len(hull.faces)), len(weights))
    count = int(mesh.charts.max()) + 1
    pairs, inverse = np.unique(row * count + mesh.charts[below.reshape(-1)], return_inverse=True)
    sums = np.bincount(inverse.reshape(-1), votes.reshape(-1))
    order = np.lexsort((pairs, -sums, pairs // count))
    first = order[np.unique((pairs // count)[order], return_index=True)[1]]
    charts = (pairs[first] % count).astype(np.int32)
    fits = (mesh.charts[below] == charts[:, None]) + 0.5 * facing
    sample = np.argmax(fits, axis=1)  # samples are in order of their distance from the middle
    rows = np.arange(len(charts))
    places = found.barycentrics.reshape(*below.shape, 3)[rows, sample].astype(np.float64)
    return Anchors(charts=charts, corners=mesh.faces[below[rows, sample]], weights=places)


def draped_corners(raycaster: Raycaster, scene: RayScene, mesh: UnwrappedMesh, hull: Mesh, anchors: Anchors) -> Draped:
    """Coordinates of the place on the chosen chart that is nearest to each corner, and a normal to shade it with.

    The normal is that of the chart where the chart reaches the corner, so hard edges stay hard, and that of the
    nearest place anywhere where it does not.
    """
    flat, shading = channels(mesh), mesh.normals.astype(np.float64)
    points = hull.positions_m[hull.faces]
    anywhere = scene.nearest(points.reshape(-1, 3))
    normals = blended(shading, mesh.faces, anywhere).reshape(points.shape)
    reach_m = anywhere.distances_m.reshape(points.shape[:2]) + BESIDE_SHARE * hull.diagonal_m
    uvs = np.empty((len(points), 3, flat.shape[1]))
    for chart in np.unique(anchors.charts):
        rows = np.flatnonzero(anchors.charts == chart)
        faces = mesh.faces[mesh.charts == chart]
        found = raycaster.scene(mesh.positions_m, faces).nearest(points[rows].reshape(-1, 3))
        uvs[rows] = blended(flat, faces, found).reshape(len(rows), 3, -1)
        own = blended(shading, faces, found).reshape(len(rows), 3, 3)
        reached = found.distances_m.reshape(-1, 3) <= reach_m[rows]
        normals[rows] = np.where(reached[:, :, None], own, normals[rows])
    plain = vertex_normals(hull).astype(np.float64)[hull.faces]
    normals /= np.maximum(np.linalg.norm(normals, axis=2, keepdims=True), 1e-300)
    turned = np.einsum("fcd,fd->fc", normals, unit_face_normals(hull)) < LEAST_FACING
    return Draped(uvs=uvs, normals=np.where(turned[:, :, None], plain, normals))


def blended(
    values: Float64[np.ndarray, "vertices channels"], faces: Int32[np.ndarray, "faces 3"], places: NearestPlaces
) -> Float64[np.ndarray, "points channels"]:
    """Values of vertices at places on faces."""
    weights = places.barycentrics.astype(np.float64)
    return np.asarray(np.einsum("nk,nkd->nd", weights, values[faces[places.faces]]))


def within_charts(raycaster: Raycaster, mesh: UnwrappedMesh, draped: Draped, anchors: Anchors) -> Draped:
    """Each face as large on its chart as the chart allows."""
    flat = channels(mesh)[anchors.corners]
    anchor = np.einsum("fk,fkd->fd", anchors.weights, flat)[:, None]
    level = np.concatenate([mesh.uvs, np.zeros((len(mesh.uvs), 1), np.float32)], axis=1)
    scene = raycaster.scene(level, mesh.faces)
    result = anchor + INSIDE_ONE_FACE * (flat - anchor)
    middle = result.mean(axis=1, keepdims=True)
    upright = np.sign(signed_areas(flat))
    wide = signed_areas(draped.uvs) * upright > LEAST_UV_SHARE * np.abs(signed_areas(result))
    open_rows = np.flatnonzero(wide)
    for shrink in SHRINKS:
        tried = middle[open_rows] + shrink * (draped.uvs[open_rows] - middle[open_rows])
        if shrink == 1.0:
            tried = draped.uvs[open_rows]
        inside = lie_inside(scene, mesh, tried, anchors.charts[open_rows])
        result[open_rows[inside]] = tried[inside]
        open_rows = open_rows[~inside]
        if not len(open_rows):
            break
    return replace(draped, uvs=result)


def signed_areas(uvs: Float64[np.ndarray, "faces 3 channels"]) -> Float64[np.ndarray, "faces"]:
    """Twice the area of each face on the maps; its sign is the handedness."""
    side, other = uvs[:, 1, :2] - uvs[:, 0, :2], uvs[:, 2, :2] - uvs[:, 0, :2]
    return np.asarray(side[:, 0] * other[:, 1] - side[:, 1] * other[:, 0])


def lie_inside(
    scene: RayScene,
    mesh: UnwrappedMesh,
    uvs: Float64[np.ndarray, "faces 3 channels"],
    charts: Int32[np.ndarray, "faces"],
) -> Bool[np.ndarray, "faces"]:
    """Whether no sample leaves the chart by more than half of the padding, which the maps fill with its colours."""
    if not len(uvs):
        return np.zeros(0, bool)
    weights = sample_weights()
    points = np.einsum("kc,fcd->fkd", weights, uvs[:, :, :2]).reshape(-1, 2)
    found = scene.nearest(np.concatenate([points, np.zeros((len(points), 1))], axis=1).astype(np.float32))
    margin = max(0.5 * mesh.padding_px / max(mesh.atlas_px, 1), 1e-6)
    inside = (found.distances_m <= margin) & (mesh.charts[found.faces] == np.repeat(charts, len(weights)))
    return np.asarray(inside.reshape(-1, len(weights)).all(axis=1))


def assembled(mesh: UnwrappedMesh, hull: Mesh, charts: Int32[np.ndarray, "faces"], draped: Draped) -> UnwrappedMesh:
    """One vertex for each corner that differs; points of the hull are what is welded."""
    rows = np.concatenate([draped.uvs.reshape(-1, draped.uvs.shape[2]), draped.normals.reshape(-1, 3)], axis=1)
    rows = np.ascontiguousarray(rows, np.float32) + np.float32(0.0)
    point: Int64[np.ndarray, "corners"] = hull.faces.reshape(-1).astype(np.int64)
    known = np.concatenate([point[:, None].astype(np.int32).view(np.float32), rows], axis=1)
    keys = np.ascontiguousarray(known).view(f"V{known.shape[1] * 4}").reshape(-1)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    faces = inverse.reshape(-1, 3).astype(np.int32)
    positions, data, points = hull.positions_m[point[first]], rows[first], point[first]
    uvs, normals = np.ascontiguousarray(data[:, :2]), np.ascontiguousarray(data[:, -3:])
    split = split_by_tangent(faces, mikktspace_tangents(positions, normals, uvs, faces))
    origin = split.vertices
    return replace(
        mesh,
        positions_m=positions[origin],
        normals=normals[origin],
        tangents=split.tangents,
        uvs=uvs[origin],
        lightmap_uvs=None if mesh.lightmap_uvs is None else np.ascontiguousarray(data[origin, 2:4]),
        faces=split.faces,
        charts=charts,
        welded=np.unique(points[origin], return_inverse=True)[1].reshape(-1).astype(np.int32),
        notices=(),
    )
