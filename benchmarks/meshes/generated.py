"""Meshes that imitate what image-to-3D models deliver, each with one defect, made by formulas and fixed seeds."""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float64, Int64

from benchmarks.meshes.record import BenchMesh, Expectations, Kind
from benchmarks.meshes.solids import figure_distance, revolved, surface_of
from bridge_server.values.mesh import HighPoly, Mesh
from bridge_server.values.mesh_topology import compacted
from bridge_server.values.source import MeshSource
from bridge_server.values.surface import VertexField

Points = Float64[np.ndarray, "vertices 3"]
Faces = Int64[np.ndarray, "faces 3"]
CELLS = 128
FIGURE_VOLUME_M3 = (0.086, 0.0905)
"""The figure has 0.0882 cubic metres."""


def colored(points: Points, faces: Faces) -> HighPoly:
    """A high poly whose colours vary with the place, so that lost attributes are seen."""
    mesh = Mesh(positions_m=points.astype(np.float32), faces=faces.astype(np.int32))
    hue = 0.5 + 0.4 * np.cos(9.0 * points + np.array([0.0, 2.1, 4.2]))
    field = VertexField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        base_color=hue.astype(np.float32),
        metallic=np.zeros(len(points), np.float32),
        roughness=np.full(len(points), 0.6, np.float32),
    )
    return HighPoly(mesh=mesh, field=field, source="mesh")


def figure() -> tuple[Points, Faces]:
    """A rounded figure with arms and ears: the shape under most of the defects."""
    return surface_of(figure_distance, CELLS)


def joined(*parts: tuple[Points, Faces]) -> tuple[Points, Faces]:
    """Several surfaces in one mesh, not welded."""
    offsets = np.cumsum([0, *(len(points) for points, _ in parts)])
    return (
        np.concatenate([points for points, _ in parts]),
        np.concatenate([faces + offset for (_, faces), offset in zip(parts, offsets, strict=False)]),
    )


def stairs() -> HighPoly:
    """Marching cubes over a solid of zeros and ones: terraces everywhere."""
    return colored(*surface_of(lambda p: np.where(figure_distance(p) < 0.0, -0.5, 0.5), 96))


def double_hull() -> HighPoly:
    """A second surface 3 cm inside the first, wound outward as well."""
    return colored(*joined(figure(), surface_of(lambda p: figure_distance(p) + 0.03, CELLS)))


def double_hull_joined() -> HighPoly:
    """The surface of an unsigned distance: inside and outside, joined by a dozen pin holes."""
    generator = np.random.default_rng(7)
    points, _ = figure()
    holes = points[generator.choice(len(points), 12, replace=False)]

    def band(p: Points) -> np.ndarray:
        shell = np.abs(figure_distance(p)) - 0.02
        pins = np.min([np.linalg.norm(p - hole, axis=1) for hole in holes], axis=0)
        return np.maximum(shell, 0.024 - pins)

    return colored(*surface_of(band, 160))


def flipped_patches() -> HighPoly:
    """About a sixth of the faces, in round patches, wound inward."""
    points, faces = figure()
    centers = points[faces].mean(axis=1)
    seeds = centers[np.random.default_rng(3).choice(len(faces), 25, replace=False)]
    near = np.min([np.linalg.norm(centers - seed, axis=1) for seed in seeds], axis=0) < 0.07
    faces[near] = faces[near][:, ::-1]
    return colored(points, faces)


def inside_out() -> HighPoly:
    """Every face wound inward."""
    points, faces = figure()
    return colored(points, faces[:, ::-1].copy())


def crumbs() -> HighPoly:
    """Three hundred specks of four faces, in the air and inside the body."""
    generator = np.random.default_rng(11)
    corners = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    speck = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    places = generator.uniform(-0.45, 0.45, (300, 3))
    return colored(*joined(figure(), *((place + 0.006 * corners, speck) for place in places)))


def non_manifold() -> HighPoly:
    """Two bodies that share an edge, fins of two faces, and one face in ten doubled."""
    points, faces = figure()
    generator = np.random.default_rng(5)
    rooted = faces[generator.choice(len(faces), 40, replace=False)]
    tips = points[rooted].mean(axis=1) * 1.1
    fins = np.concatenate(
        [np.stack([rooted[:, k], rooted[:, (k + 1) % 3], len(points) + np.arange(40)], axis=1) for k in (0, 1)]
    )
    doubled = faces[generator.choice(len(faces), len(faces) // 10, replace=False)]
    return colored(np.concatenate([points, tips]), np.concatenate([faces, fins, doubled]))


def open_bottom() -> HighPoly:
    """The figure cut off flat above its feet, the cut left open."""
    points, faces = figure()
    kept = points[faces][..., 1].min(axis=1) > -0.3
    mesh = compacted(points.astype(np.float32), faces[kept].astype(np.int32))
    return colored(mesh.positions_m.astype(np.float64), mesh.faces.astype(np.int64))


def holes() -> HighPoly:
    """Sixty holes of one to some dozen faces."""
    points, faces = figure()
    centers = points[faces].mean(axis=1)
    generator = np.random.default_rng(13)
    gone = np.zeros(len(faces), np.bool_)
    for seed in centers[generator.choice(len(faces), 60, replace=False)]:
        gone |= np.linalg.norm(centers - seed, axis=1) < generator.uniform(0.003, 0.03)
    mesh = compacted(points.astype(np.float32), faces[~gone].astype(np.int32))
    return colored(mesh.positions_m.astype(np.float64), mesh.faces.astype(np.int64))


def soup() -> HighPoly:
    """Each triangle by itself, corners up to a ten-thousandth of a millimetre apart."""
    points, faces = figure()
    loose = points[faces].reshape(-1, 3)
    loose = loose + np.random.default_rng(17).uniform(-5e-8, 5e-8, loose.shape)
    return colored(loose, np.arange(len(loose)).reshape(-1, 3))


def slivers() -> HighPoly:
    """A long bar of a machine part: hair-thin triangles between coarse ends, and one in fifty without area."""
    rings, around = 3, 720
    angle = np.linspace(0.0, 2.0 * np.pi, around, endpoint=False)
    radius = 0.1 + 0.02 * np.sign(np.sin(12.0 * angle))
    rows = [np.stack([radius * np.cos(angle), np.full(around, y), -radius * np.sin(angle)], axis=1) for y in
            np.linspace(-0.5, 0.5, rings)]  # fmt: skip
    points, faces = revolved(np.stack(rows), capped=True)
    edge = faces[::50]
    return colored(points, np.concatenate([faces, np.stack([edge[:, 0], edge[:, 1], edge[:, 1]], axis=1)]))


def vase() -> HighPoly:
    """Thick wall, wide mouth: its inside is meant."""
    return colored(*_profile([(0.0, -0.5), (0.28, -0.5), (0.36, -0.1), (0.2, 0.3), (0.27, 0.5), (0.24, 0.5),
                              (0.17, 0.3), (0.33, -0.1), (0.25, -0.46), (0.0, -0.46)]))  # fmt: skip


def bottle() -> HighPoly:
    """Thin wall, narrow neck: its inside is meant and hard to see."""
    return colored(*_profile([(0.0, -0.5), (0.18, -0.5), (0.18, 0.15), (0.06, 0.3), (0.06, 0.5), (0.048, 0.5),
                              (0.048, 0.3), (0.168, 0.14), (0.168, -0.488), (0.0, -0.488)]))  # fmt: skip


def _profile(corners: list[tuple[float, float]]) -> tuple[Points, Faces]:
    """A closed body of revolution from an outline that begins and ends on the axis."""
    outline = np.array(corners)
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(outline, axis=0), axis=1))])
    along = np.linspace(0.0, steps[-1], 160)[1:-1]
    radius, height = np.interp(along, steps, outline[:, 0]), np.interp(along, steps, outline[:, 1])
    angle = np.linspace(0.0, 2.0 * np.pi, 160, endpoint=False)
    x, z = radius[:, None] * np.cos(angle), -radius[:, None] * np.sin(angle)
    return revolved(np.stack([x, np.broadcast_to(height[:, None], x.shape), z], axis=-1), capped=True)


def cloth() -> HighPoly:
    """A sheet with folds, one surface without thickness."""
    u, v = np.meshgrid(np.linspace(-0.5, 0.5, 160), np.linspace(-0.5, 0.5, 160), indexing="ij")
    lift = 0.06 * np.sin(14.0 * u) * np.cos(3.0 * v) + 0.02 * np.sin(31.0 * v + 4.0 * u)
    points = np.stack([u, lift, -v], axis=-1).reshape(-1, 3)
    a = (np.arange(159)[:, None] * 160 + np.arange(159)).reshape(-1)
    return colored(points, np.concatenate([np.stack([a, a + 160, a + 1], 1), np.stack([a + 1, a + 160, a + 161], 1)]))


def two_million() -> HighPoly:
    """A ring of fine bumps, 2,000,000 faces."""
    rows, columns = 2000, 500
    u = np.linspace(0.0, 2.0 * np.pi, rows, endpoint=False)[:, None]
    v = np.linspace(0.0, 2.0 * np.pi, columns, endpoint=False)[None, :]
    minor = 0.12 + 0.006 * np.sin(24.0 * u) * np.sin(16.0 * v) + 0.0015 * np.sin(120.0 * u + 40.0 * v)
    ring = 0.36 + minor * np.cos(v)
    points = np.stack([ring * np.cos(u), minor * np.sin(v), -ring * np.sin(u)], axis=-1).reshape(-1, 3)
    r, c = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    a, b, d, e = (
        ((r + i) % rows * columns + (c + j) % columns).reshape(-1) for i, j in ((0, 0), (0, 1), (1, 0), (1, 1))
    )
    return colored(points, np.concatenate([np.stack([a, d, b], 1), np.stack([b, d, e], 1)]))


def ply_file(name: str, make: Callable[[], HighPoly]) -> MeshSource:
    """A made mesh as a binary PLY file with its colours, eight bits each."""
    high_poly = make()
    mesh, field = high_poly.mesh, high_poly.field
    assert isinstance(field, VertexField)
    lines = [f"element vertex {len(mesh.positions_m)}", *(f"property float {axis}" for axis in "xyz"),
             *(f"property uchar {channel}" for channel in ("red", "green", "blue")),
             f"element face {len(mesh.faces)}", "property list uchar int vertex_indices"]  # fmt: skip
    head = "\n".join(["ply", "format binary_little_endian 1.0", *lines, "end_header\n"])
    vertices = np.zeros(len(mesh.positions_m), [("place", "<f4", 3), ("color", "u1", 3)])
    vertices["place"], vertices["color"] = mesh.positions_m, np.rint(255.0 * field.base_color)
    rows = np.zeros(len(mesh.faces), [("count", "u1"), ("corners", "<i4", 3)])
    rows["count"], rows["corners"] = 3, mesh.faces
    return MeshSource(name=f"{name}.ply", data=head.encode() + vertices.tobytes() + rows.tobytes())


def _defect(
    make: Callable[[], HighPoly], volume_m3: tuple[float, float] | None = FIGURE_VOLUME_M3, **expected: bool
) -> BenchMesh:
    wanted = {"closed": True, **expected}
    return BenchMesh(
        name=make.__name__,
        kind=Kind.DEFECT,
        load=make,
        source=partial(ply_file, make.__name__, make),
        expectations=Expectations(**wanted, volume_m3=volume_m3),
    )


GENERATED: tuple[BenchMesh, ...] = (
    _defect(stairs),
    _defect(double_hull, inner_hull=True),
    _defect(double_hull_joined, (0.115, 0.121), inner_hull=True),
    _defect(flipped_patches),
    _defect(inside_out),
    _defect(crumbs),
    _defect(non_manifold),
    _defect(open_bottom, None),
    _defect(holes),
    _defect(soup),
    _defect(slivers, None),
    _defect(vase, (0.055, 0.068), hollow=True),
    _defect(bottle, (0.0105, 0.0137), hollow=True),
    _defect(cloth, None, closed=False),
    _defect(two_million, (0.1, 0.105)),
)
