"""Every ray caster gives the bakes that a readable reference in NumPy gives: each ray against each triangle."""

from dataclasses import dataclass

import numpy as np
import pytest

from bridge_server.backends.raycaster import by_casting
from bridge_server.backends.raycaster.base import RAYCASTERS, FacingHits, Lookouts, NearestPlaces, Raycaster, RayHits
from bridge_server.run import SilentRun
from bridge_server.stages.bake_albedo import BakeAlbedo
from bridge_server.stages.bake_ao import BakeAo
from bridge_server.stages.bake_metallic_roughness import BakeMetallicRoughness
from bridge_server.stages.bake_normal import BakeNormal
from bridge_server.stages.trace import Trace
from tests.accuracy.layouts import laid_out
from tests.shapes import painted, sphere, torus
from tests.stages.bake_cases import Case, rasterizer

SIZE_PX = 32
BLOCK = 2048


@dataclass(frozen=True)
class SlowScene:
    """Brute force in double precision."""

    corners: np.ndarray
    """(faces, 3, 3)"""

    def facing_hits(self, points_m: np.ndarray, outward: np.ndarray, cage_m: float) -> FacingHits:
        normals = np.cross(self.corners[:, 1] - self.corners[:, 0], self.corners[:, 2] - self.corners[:, 0])
        return by_casting.facing_hits(self, normals.astype(np.float32), points_m, outward, cage_m)

    def openness(self, sets: np.ndarray, lookouts: Lookouts, start_m: float, reach_m: float) -> np.ndarray:
        return by_casting.openness(self, sets, lookouts, start_m, reach_m)

    def first_hits(
        self, origins_m: np.ndarray, directions: np.ndarray, max_distance_m: float = float("inf")
    ) -> RayHits:
        """Cramer's rule for origin + t direction = a + u (b - a) + v (c - a), for each ray and each triangle."""
        faces, weights, distances = [], [], []
        for origin, direction in in_blocks(origins_m, directions):
            t, u, v = crossings(self.corners, origin, direction)
            inside = (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (t >= 0)
            metres = np.where(inside, t * np.linalg.norm(direction, axis=1)[:, None], np.inf)
            face = metres.argmin(axis=1)
            row = np.arange(len(face))
            found = metres[row, face] <= max_distance_m
            first, second = u[row, face], v[row, face]
            faces.append(np.where(found, face, -1))
            weights.append(np.stack([1 - first - second, first, second], axis=1))
            distances.append(np.where(found, metres[row, face], np.inf))
        return RayHits(
            faces=np.concatenate(faces).astype(np.int32),
            barycentrics=np.concatenate(weights).astype(np.float32),
            distances_m=np.concatenate(distances).astype(np.float32),
        )

    def occluded(
        self, origins_m: np.ndarray, directions: np.ndarray, max_distance_m: float = float("inf")
    ) -> np.ndarray:
        return self.first_hits(origins_m, directions, max_distance_m).faces >= 0

    def nearest(self, points_m: np.ndarray) -> NearestPlaces:
        """The foot on each plane where it lies inside, else the nearest place on the three edges."""
        faces, weights, distances = [], [], []
        for point, _ in in_blocks(points_m, points_m):
            places = closest_weights(self.corners, point)
            gap = np.linalg.norm(np.einsum("pfc,fcd->pfd", places, self.corners) - point[:, None], axis=2)
            face = gap.argmin(axis=1)
            row = np.arange(len(face))
            faces.append(face)
            weights.append(places[row, face])
            distances.append(gap[row, face])
        return NearestPlaces(
            faces=np.concatenate(faces).astype(np.int32),
            barycentrics=np.concatenate(weights).astype(np.float32),
            distances_m=np.concatenate(distances).astype(np.float32),
        )


class SlowCaster:
    """Builds slow scenes."""

    identity = "brute force"

    def scene(self, positions_m: np.ndarray, faces: np.ndarray, *, approximate: bool = False) -> SlowScene:
        return SlowScene(positions_m[faces].astype(np.float64))


def in_blocks(one: np.ndarray, other: np.ndarray):
    rows = max(len(one), 1)
    for first in range(0, rows, BLOCK):
        yield one[first : first + BLOCK].astype(np.float64), other[first : first + BLOCK].astype(np.float64)


def crossings(corners: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, ...]:
    """Distance in units of the direction and the weights of corners 1 and 2, (rays, faces) each."""
    a, first, second = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(first, second)
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = -1.0 / (direction @ normal.T)
        t = (origin @ normal.T - (a * normal).sum(axis=1)) * scale
        turned = np.cross(origin[:, None] - a, direction[:, None])
        u = np.einsum("fd,rfd->rf", second, turned) * scale
        v = -np.einsum("fd,rfd->rf", first, turned) * scale
    return tuple(np.nan_to_num(part, nan=-1.0, posinf=-1.0, neginf=-1.0) for part in (t, u, v))


def closest_weights(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Barycentric weights of the closest place of each face to each point, (points, faces, 3)."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    away = points[:, None] - corners[:, 0]
    aa, ab, bb = (first**2).sum(1), (first * second).sum(1), (second**2).sum(1)
    pa, pb = np.einsum("pfd,fd->pf", away, first), np.einsum("pfd,fd->pf", away, second)
    area = aa * bb - ab * ab
    u, v = (bb * pa - ab * pb) / area, (aa * pb - ab * pa) / area
    best = np.stack([1 - u - v, u, v], axis=2)
    gap = np.where((best >= 0).all(axis=2), 0.0, np.inf)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        side = corners[:, end] - corners[:, start]
        share = np.einsum("pfd,fd->pf", points[:, None] - corners[:, start], side) / (side**2).sum(axis=1)
        share = np.clip(share, 0, 1)
        off = np.linalg.norm(corners[:, start] + share[:, :, None] * side - points[:, None], axis=2)
        nearer = off < gap
        weights = np.zeros_like(best)
        weights[:, :, start], weights[:, :, end] = 1 - share, share
        best = np.where(nearer[:, :, None], weights, best)
        gap = np.where(nearer, off, gap)
    return best


def maps(caster: Raycaster, name: str) -> dict[str, np.ndarray]:
    low, high = {
        "sphere": (sphere(0.5, 1), sphere(0.5, 2)),
        "torus": (torus(rows=12, columns=8), torus(rows=20, columns=12)),
    }[name]
    high_poly, run = painted(high, metallic=0.2, roughness=0.4), SilentRun()
    wrapped = laid_out(low, "planar")
    hits = Trace(resolution_px=SIZE_PX, supersample=1)(
        run, caster, rasterizer(), high_poly=high_poly, unwrapped=wrapped
    )
    slots = Case(high_poly=high_poly, unwrapped=wrapped, texel_hits=hits).slots
    return {
        "by ray": hits.by_ray,
        "normal": BakeNormal()(run, **slots).pixels / 65535,
        "albedo": BakeAlbedo()(run, caster, **slots).pixels / 255,
        "finish": BakeMetallicRoughness()(run, caster, **slots).pixels / 255,
        "ao": BakeAo(samples=16)(run, caster, **slots).pixels / 255,
    }


@pytest.fixture(scope="module", params=["sphere", "torus"])
def reference(request: pytest.FixtureRequest) -> tuple[str, dict[str, np.ndarray]]:
    return request.param, maps(SlowCaster(), request.param)


@pytest.mark.parametrize("backend", RAYCASTERS.names())
def test_bakes_equal_brute_force(backend: str, reference: tuple[str, dict[str, np.ndarray]]) -> None:
    availability = RAYCASTERS.availability(backend)
    if not availability.available:
        pytest.skip(f"{backend}: {availability}")
    name, expected = reference
    found = maps(RAYCASTERS.load(backend), name)
    assert (found["by ray"] == expected["by ray"]).mean() > 0.999
    for map_name, tolerance in (("normal", 2e-3), ("albedo", 1.5 / 255), ("finish", 0.5 / 255), ("ao", 1.5 / 16)):
        off = np.abs(found[map_name] - expected[map_name])
        print(f"{backend}, {name}, {map_name}: mean {off.mean():.2e} max {off.max():.2e}")
        assert (off <= tolerance).mean() > 0.998
        assert off.mean() < tolerance / 20
