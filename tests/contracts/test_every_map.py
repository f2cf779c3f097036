"""Every map of a bake from every ray caster equals that of the brute-force reference, and that of a graphics card."""

from collections.abc import Mapping

import numpy as np
import pytest

from bridge_server.backends.raycaster.base import RAYCASTERS, Raycaster
from bridge_server.run import SilentRun
from bridge_server.stages.bake_choices import RayDirection
from bridge_server.stages.bake_images import Bench, MapName, MapSettings, Texels, make_map, needed_for, stored
from bridge_server.stages.gutter import gutter_for
from bridge_server.stages.map_part_id import PartKind
from bridge_server.stages.trace import Trace
from bridge_server.values.mesh import HighPoly, Mesh, UnwrappedMesh
from bridge_server.values.surface_texture import AlphaMode, MaterialTextures, TextureField, TextureImage, Wrap
from tests.accuracy.layouts import laid_out
from tests.contracts.test_bakes import SlowCaster
from tests.shapes import box, merged, sphere, torus
from tests.stages.bake_cases import rasterizer

SIZE_PX = 32
LARGE_PX = 256
EDGE_SHARE = 0.002
"""Texels at which two ray casters may take different faces: where a ray runs along an edge, and the edges of what
lies between."""
STEPS = {MapName.AO: 17, MapName.ORM: 17, MapName.BENT_NORMAL: 24, MapName.THICKNESS: 24}
"""One ray of the few that are cast may go the other way; in steps of 8 bits."""


def textured(mesh: Mesh) -> HighPoly:
    """Two materials: one glows and is half clear, with a picture that repeats across and mirrors down."""
    picture = np.random.default_rng(1).integers(0, 256, (5, 9, 4)).astype(np.uint8)
    image = TextureImage(pixels=picture, wrap_u=Wrap.REPEAT, wrap_v=Wrap.MIRROR)
    glass = MaterialTextures(
        base_color_image=image, emissive_factor=(1.5, 0.2, 0.0), emissive_image=image, alpha_mode=AlphaMode.BLEND,
        metallic_factor=0.7, roughness_factor=0.3, metallic_roughness_image=image,
    )  # fmt: skip
    side = mesh.positions_m[mesh.faces][:, :, 0].mean(axis=1) > 0
    field = TextureField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        corner_uvs=(mesh.positions_m[mesh.faces][:, :, :2] * 3).astype(np.float32),
        face_materials=side.astype(np.int32),
        materials=(MaterialTextures(base_color_factor=(0.2, 0.5, 0.8, 1.0)), glass),
    )
    return HighPoly(mesh=mesh, field=field, source="test")


def subject(fine: int) -> tuple[UnwrappedMesh, HighPoly]:
    low = merged(sphere(0.5, 1), box((0.3, 0.3, 0.3), (0.9, 0.0, 0.0)))
    high = merged(sphere(0.5, fine), box((0.31, 0.31, 0.31), (0.9, 0.0, 0.0)), torus(0.56, 0.02, 24, 6))
    return laid_out(low, "planar", hard_edge_angle_deg=60.0), textured(high)


def every_map(caster: Raycaster, pair: tuple[UnwrappedMesh, HighPoly], size_px: int) -> Mapping[MapName, np.ndarray]:
    low, high = pair
    trace = Trace(resolution_px=size_px, supersample=1, ray_direction=RayDirection.SKEW_FREE)
    hits = trace(SilentRun(), caster, rasterizer(), high_poly=high, unwrapped=low)
    settings = MapSettings(samples=16, bits=8, parts=PartKind.MATERIAL, curvature_range_per_m=40.0)
    bench = Bench(high, low, hits, caster, gutter_for(hits, low), settings)
    made: dict[MapName, Texels] = {}
    for name in MapName:
        for needed in (*needed_for(name), name):
            if needed not in made:
                made[needed] = make_map(needed, bench, made, SilentRun())
    return {name: stored(name, texels) for name, texels in made.items()}


def differing(one: np.ndarray, other: np.ndarray, steps: int) -> float:
    """Share of the texels that differ by more than so many steps of 8 bits in any channel."""
    scale = 1.0 if one.dtype == np.uint8 else 257.0
    off = np.abs(one.astype(np.float64) - other.astype(np.float64)) / scale
    return float((off.reshape(*off.shape[:2], -1).max(axis=2) > steps).mean())


@pytest.fixture(scope="module")
def reference() -> Mapping[MapName, np.ndarray]:
    return every_map(SlowCaster(), subject(2), SIZE_PX)


@pytest.fixture(scope="module", params=RAYCASTERS.names())
def found(request: pytest.FixtureRequest) -> Mapping[MapName, np.ndarray]:
    if not RAYCASTERS.availability(request.param).available:
        pytest.skip(f"{request.param} is not here")
    return every_map(RAYCASTERS.load(request.param), subject(2), SIZE_PX)


@pytest.mark.parametrize("name", MapName)
def test_a_map_equals_brute_force(
    name: MapName, found: Mapping[MapName, np.ndarray], reference: Mapping[MapName, np.ndarray]
) -> None:
    assert reference[name].shape == found[name].shape
    assert reference[name].dtype == found[name].dtype
    share = differing(found[name], reference[name], STEPS.get(name, 1))
    print(f"{name}: {share:.4%}")
    assert share <= 5 / SIZE_PX**2


@pytest.mark.gpu
def test_maps_of_cpu_and_cuda_agree_but_for_edges() -> None:
    """Warp on the card against Embree on the processor: at most one texel in five hundred may differ."""
    import warp as wp

    if not wp.is_cuda_available():
        pytest.skip("there is no CUDA device")
    pair = subject(5)
    with wp.ScopedDevice("cuda:0"):
        on_card = every_map(RAYCASTERS.load("warp"), pair, LARGE_PX)
    on_processor = every_map(RAYCASTERS.load("embree"), pair, LARGE_PX)
    shares = {name.value: differing(on_card[name], on_processor[name], STEPS.get(name, 1)) for name in MapName}
    print(shares)
    assert max(shares.values()) <= EDGE_SHARE
