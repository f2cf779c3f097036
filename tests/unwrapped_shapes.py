"""Unwrapped meshes built by hand: several charts, seams, analytic normals and tangents, and maps to go with them."""

import numpy as np

from bridge_server.values.lod import Lod, LodChain
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.texture import AlbedoMap, NormalMap, PackedMap, Packing

# Of each side of a cube: outward normal, direction of +U, direction of up (decreasing V); right-handed as seen from
# outside, so the bitangent's sign is +1.
CUBE_SIDES = (
    ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    ((-1, 0, 0), (0, 0, 1), (0, 1, 0)),
    ((0, 1, 0), (1, 0, 0), (0, 0, -1)),
    ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    ((0, 0, 1), (1, 0, 0), (0, 1, 0)),
    ((0, 0, -1), (-1, 0, 0), (0, 1, 0)),
)
GUTTER = 0.02


def unwrapped_box(
    size: tuple[float, float, float] = (1.0, 1.0, 1.0),
    center: tuple[float, float, float] = (0.0, 0.0, 0.0),
    cells: int = 1,
    mirrored_chart: int | None = None,
) -> UnwrappedMesh:
    """Box with hard edges: six charts in a 3 x 2 grid, ``12 * cells**2`` triangles; one chart mirrored on request."""
    return _from_sides(cells, lambda normal, cube: (cube * np.asarray(size) / 2, normal), center, mirrored_chart)


def unwrapped_ball(
    radius_m: float = 0.5, cells: int = 12, center: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> UnwrappedMesh:
    """Ball with smooth normals over six seams-bordered charts, ``12 * cells**2`` triangles."""

    def place(_: np.ndarray, cube: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        unit = cube / np.linalg.norm(cube, axis=1, keepdims=True)
        return unit * radius_m, unit

    return _from_sides(cells, place, center, None)


def _from_sides(cells, place, center, mirrored_chart) -> UnwrappedMesh:
    steps = np.linspace(0.0, 1.0, cells + 1)
    u, v = (grid.reshape(-1) for grid in np.meshgrid(steps, steps))
    row, column = (grid.reshape(-1) for grid in np.meshgrid(np.arange(cells), np.arange(cells), indexing="ij"))
    a = row * (cells + 1) + column
    b, c, d = a + 1, a + cells + 1, a + cells + 2
    quads = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    parts: dict[str, list[np.ndarray]] = {key: [] for key in ("p", "n", "t", "uv", "f", "chart", "corner")}
    for side, (normal, right, up) in enumerate(np.array(CUBE_SIDES, np.float64)):
        cube = normal + right * (2 * u - 1)[:, None] + up * (1 - 2 * v)[:, None]
        positions, normals = place(np.tile(normal, (len(u), 1)), cube)
        tangent = right - normals * (normals @ right)[:, None]
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        flip = side == mirrored_chart
        local = np.stack([1 - u if flip else u, v], 1) * (1 - 2 * GUTTER) + GUTTER
        sign = np.full((len(u), 1), -1.0 if flip else 1.0)
        parts["p"].append(positions + np.asarray(center))
        parts["n"].append(normals)
        parts["t"].append(np.concatenate([tangent * sign, sign], 1))
        parts["uv"].append((local + np.array([side % 3, side // 3])) / np.array([3.0, 2.0]))
        parts["f"].append(quads + side * len(u))
        parts["chart"].append(np.full(len(quads), side))
        parts["corner"].append(np.rint((cube + 1) / 2 * cells * 4))
    array = {key: np.concatenate(value) for key, value in parts.items()}
    _, welded = np.unique(array["corner"], axis=0, return_inverse=True)
    return UnwrappedMesh(
        positions_m=array["p"].astype(np.float32),
        normals=array["n"].astype(np.float32),
        tangents=array["t"].astype(np.float32),
        uvs=array["uv"].astype(np.float32),
        faces=array["f"].astype(np.int32),
        charts=array["chart"].astype(np.int32),
        welded=welded.reshape(-1).astype(np.int32),
        padding_px=4,
        atlas_px=256,
        texel_density_px_per_m=80.0,
        texel_density_spread=0.0,
        packing_efficiency=0.92,
        stretch=1.0,
        method="by hand",
    )


def lod_chain(*meshes: UnwrappedMesh) -> LodChain:
    """Levels with halving screen sizes."""
    return LodChain(
        lods=tuple(
            Lod(mesh=mesh, screen_size=0.5**level, error_m=0.001 * level, seam_gap_m=0.0)
            for level, mesh in enumerate(meshes)
        )
    )


def normal_map(size: int = 64) -> NormalMap:
    """A gentle, smooth bump, every texel of unit length."""
    x, y = np.meshgrid(np.linspace(-1, 1, size), np.linspace(1, -1, size))
    vectors = np.stack([0.4 * np.sin(3 * x), 0.4 * np.sin(2 * y), np.ones_like(x)], -1)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return NormalMap(pixels=np.rint((vectors + 1) / 2 * 65535).astype(np.uint16))


def albedo_map(size: int = 64) -> AlbedoMap:
    """A red ramp to the right, a green one downward, blue constant."""
    ramp = np.linspace(0, 255, size)
    pixels = np.stack([*np.meshgrid(ramp, ramp), np.full((size, size), 40.0)], -1)
    return AlbedoMap(pixels=np.rint(pixels).astype(np.uint8))


def packed_map(size: int = 64, packing: Packing = Packing.ORM) -> PackedMap:
    """Occlusion 200, roughness a ramp, metallic 30, in the channels of ``packing``."""
    ramp = np.tile(np.rint(np.linspace(10, 250, size)), (size, 1))
    occlusion, metallic = np.full_like(ramp, 200.0), np.full_like(ramp, 30.0)
    channels = {
        Packing.ORM: (occlusion, ramp, metallic),
        Packing.METALLIC_ROUGHNESS: (occlusion, ramp, metallic),
        Packing.MASK_MAP: (metallic, occlusion, np.zeros_like(ramp), 255 - ramp),
    }[packing]
    return PackedMap(packing=packing, pixels=np.stack(channels, -1).astype(np.uint8))
