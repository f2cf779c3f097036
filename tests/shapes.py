"""Analytic meshes with known volume, area and genus, wound outward, in metres."""

import numpy as np

from bridge_server.values.mesh import HighPoly, Mesh, volume_m3
from bridge_server.values.mesh_topology import tidied
from bridge_server.values.surface import VertexField

AROUND = 48


def box(
    size: tuple[float, float, float] = (1.0, 1.0, 1.0), center: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> Mesh:
    """Closed box of 8 vertices and 12 triangles."""
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))]
    positions = corners * np.asarray(size) + np.asarray(center)
    return Mesh(positions_m=positions.astype(np.float32), faces=np.array(faces, np.int32))


def grid_surface(rows: int, columns: int, place: np.ndarray, wrap_rows: bool, wrap_columns: bool) -> Mesh:
    """Triangulate a (rows, columns, 3) grid of positions, closing it where asked."""
    r = np.arange(rows if wrap_rows else rows - 1)
    c = np.arange(columns if wrap_columns else columns - 1)
    r0, c0 = np.meshgrid(r, c, indexing="ij")
    r1, c1 = (r0 + 1) % rows, (c0 + 1) % columns
    a, b, d, e = (i * columns + j for i, j in ((r0, c0), (r0, c1), (r1, c0), (r1, c1)))
    faces = np.concatenate([np.stack([a, d, b], -1).reshape(-1, 3), np.stack([b, d, e], -1).reshape(-1, 3)])
    return Mesh(positions_m=place.reshape(-1, 3).astype(np.float32), faces=faces.astype(np.int32))


def torus(major_m: float = 0.5, minor_m: float = 0.2, rows: int = 96, columns: int = 48) -> Mesh:
    """Closed torus around Y, genus 1; volume 2 pi^2 R r^2."""
    u = np.linspace(0, 2 * np.pi, rows, endpoint=False)[:, None]
    v = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None, :]
    ring = major_m + minor_m * np.cos(v)
    place = np.stack([ring * np.cos(u), minor_m * np.sin(v) + 0 * u, -ring * np.sin(u)], axis=-1)
    return grid_surface(rows, columns, place, wrap_rows=True, wrap_columns=True)


def sphere(radius_m: float = 0.5, subdivisions: int = 4, center: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mesh:
    """Icosphere: 20 * 4**subdivisions triangles."""
    phi = (1 + 5**0.5) / 2
    points = [
        (-1, phi, 0),
        (1, phi, 0),
        (-1, -phi, 0),
        (1, -phi, 0),
        (0, -1, phi),
        (0, 1, phi),
        (0, -1, -phi),
        (0, 1, -phi),
        (phi, 0, -1),
        (phi, 0, 1),
        (-phi, 0, -1),
        (-phi, 0, 1),
    ]
    faces = np.array(
        [
            (0, 11, 5),
            (0, 5, 1),
            (0, 1, 7),
            (0, 7, 10),
            (0, 10, 11),
            (1, 5, 9),
            (5, 11, 4),
            (11, 10, 2),
            (10, 7, 6),
            (7, 1, 8),
            (3, 9, 4),
            (3, 4, 2),
            (3, 2, 6),
            (3, 6, 8),
            (3, 8, 9),
            (4, 9, 5),
            (2, 4, 11),
            (6, 2, 10),
            (8, 6, 7),
            (9, 8, 1),
        ]
    )
    positions = np.array(points, np.float64)
    for _ in range(subdivisions):
        edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        unique, inverse = np.unique(edges, axis=0, return_inverse=True)
        middle = inverse.reshape(-1, 3) + len(positions)
        positions = np.concatenate([positions, positions[unique].mean(axis=1)])
        a, b, c = faces.T
        ab, bc, ca = middle.T
        faces = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    positions *= radius_m / np.linalg.norm(positions, axis=1, keepdims=True)
    return Mesh(positions_m=(positions + np.asarray(center)).astype(np.float32), faces=faces.astype(np.int32))


def revolved(profile: list[tuple[float, float]]) -> Mesh:
    """Closed body of revolution about Y from radii and heights that begin and end on the axis, of ``AROUND`` sides."""
    turn = np.linspace(0.0, 2.0 * np.pi, AROUND, endpoint=False)
    place = np.array([[(r * np.cos(t), y, -r * np.sin(t)) for t in turn] for r, y in profile])
    grid = grid_surface(len(profile), AROUND, place, wrap_rows=False, wrap_columns=True)
    return tidied(grid) if volume_m3(grid) > 0.0 else tidied(flipped(grid))


def bottle(neck_m: float = 0.04) -> Mesh:
    """1 m high and 0.4 m wide with walls of 1 cm, and a neck of that inner radius and 0.3 m height."""
    outer = [(0.0, 0.0), (0.2, 0.0), (0.2, 0.7), (neck_m + 0.01, 0.7), (neck_m + 0.01, 1.0)]
    return revolved([*outer, (neck_m, 1.0), (neck_m, 0.69), (0.19, 0.69), (0.19, 0.01), (0.0, 0.01)])


def merged(*meshes: Mesh) -> Mesh:
    """Several meshes as one, side by side, not welded."""
    offsets = np.cumsum([0, *(len(mesh.positions_m) for mesh in meshes)])
    return Mesh(
        positions_m=np.concatenate([mesh.positions_m for mesh in meshes]),
        faces=np.concatenate([mesh.faces + np.int32(offset) for mesh, offset in zip(meshes, offsets, strict=False)]),
    )


def flipped(mesh: Mesh) -> Mesh:
    """The same mesh, inside out."""
    return Mesh(positions_m=mesh.positions_m, faces=mesh.faces[:, ::-1])


def painted(
    mesh: Mesh, color: tuple[float, float, float] | None = None, metallic: float = 0.0, roughness: float = 0.5
) -> HighPoly:
    """A high poly whose base colour (linear) is ``color``, or follows the position where it is None."""
    count = len(mesh.positions_m)
    low, high = mesh.bounds_m
    by_place = (mesh.positions_m - low) / np.maximum(high - low, 1e-9)
    base = by_place if color is None else np.tile(np.float32(color), (count, 1))
    field = VertexField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        base_color=base.astype(np.float32),
        metallic=np.full(count, metallic, np.float32),
        roughness=np.full(count, roughness, np.float32),
    )
    return HighPoly(mesh=mesh, field=field, source="test")
