"""A set of maps from one trace: the recipe of the bake tool, apart from files and terminals."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.backends.rasterizer.base import UvRasterizer
from bridge_server.backends.raycaster.base import Raycaster, RayScene
from bridge_server.run import Run
from bridge_server.stages.bake_choices import RayDirection
from bridge_server.stages.bake_images import Bench, MapName, MapSettings, Texels, make_map, needed_for, stored
from bridge_server.stages.gutter import gutter_for
from bridge_server.stages.png_writer import encode_png
from bridge_server.stages.trace import Trace
from bridge_server.stages.trace_rays import measured_cage_m
from bridge_server.values.base import Notice
from bridge_server.values.mesh import HighPoly, UnwrappedMesh

Steps = Callable[[str], Run]
"""Gives the run of a step by its name, as steps begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeWish:
    """What is to be baked."""

    maps: tuple[MapName, ...]
    resolution_px: int = 2048
    supersample: int = 2
    cage_m: float = 0.0
    """How far from the low poly rays look; 0 measures what is needed."""
    ray_direction: RayDirection = RayDirection.SMOOTH
    settings: MapSettings = field(default_factory=MapSettings)


@dataclass(frozen=True, slots=True)
class Means:
    """What serves a bake."""

    raycaster: Raycaster
    rasterizer: UvRasterizer


@dataclass(frozen=True, slots=True, kw_only=True)
class BakedMap:
    """One map as a PNG file."""

    name: MapName
    png: bytes
    bits: int
    channels: int
    srgb: bool
    figures: Mapping[str, object]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BakedSet:
    """All maps, and what is to be told about the trace."""

    maps: tuple[BakedMap, ...]
    cage_m: float
    share_by_ray: float
    """Of the traced places, those that a ray found; the others took the closest point."""
    coverage: float
    """Share of the map that charts cover."""
    trace_seconds: float
    notices: tuple[Notice, ...]


def bake_set(wish: BakeWish, high_poly: HighPoly, unwrapped: UnwrappedMesh, means: Means, steps: Steps) -> BakedSet:
    """Trace once, then bake each map from it. ``Run`` may raise to stop; nothing is written anywhere."""
    shared = _SharedScenes(means.raycaster)
    begun = time.monotonic()
    run = steps("trace")
    cage_m = wish.cage_m or _measured_cage_m(high_poly, unwrapped, shared)
    trace = Trace(
        resolution_px=wish.resolution_px,
        supersample=wish.supersample,
        cage_offset_m=cage_m,
        ray_direction=wish.ray_direction,
    )
    hits = trace(run, shared, means.rasterizer, high_poly=high_poly, unwrapped=unwrapped)
    gutter = gutter_for(hits, unwrapped)
    trace_seconds = time.monotonic() - begun
    bench = Bench(high_poly, unwrapped, hits, shared, gutter, wish.settings)
    made: dict[MapName, Texels] = {}
    baked: list[BakedMap] = []
    for name in dict.fromkeys(wish.maps):
        begun = time.monotonic()
        for needed in (*needed_for(name), name):
            if needed not in made:
                made[needed] = make_map(needed, bench, made, steps(needed.value))
        baked.append(_filed(name, made[name], begun))
    return BakedSet(
        maps=tuple(baked),
        cage_m=cage_m,
        share_by_ray=float(hits.by_ray.mean()) if len(hits.by_ray) else 1.0,
        coverage=float(hits.coverage.mean()),
        trace_seconds=trace_seconds,
        notices=(*high_poly.notices, *unwrapped.notices, *hits.notices),
    )


def _filed(name: MapName, texels: Texels, begun: float) -> BakedMap:
    pixels = stored(name, texels)
    png = encode_png(np.ascontiguousarray(pixels), srgb=texels.srgb)
    return BakedMap(
        name=name,
        png=png,
        bits=pixels.dtype.itemsize * 8,
        channels=1 if pixels.ndim == 2 else pixels.shape[2],
        srgb=texels.srgb,
        figures=texels.figures or {},
        seconds=time.monotonic() - begun,
    )


def _measured_cage_m(high_poly: HighPoly, unwrapped: UnwrappedMesh, raycaster: Raycaster) -> float:
    """A cage that holds nearly all of the high poly, measured from the corners and centres of the low poly's faces."""
    mesh = high_poly.mesh
    corners = unwrapped.positions_m[unwrapped.faces]
    points = np.concatenate([unwrapped.positions_m, corners.mean(axis=1)]).astype(np.float32)
    return measured_cage_m(raycaster.scene(mesh.positions_m, mesh.faces), points, mesh.diagonal_m)


@dataclass(frozen=True, slots=True, eq=False)
class _SharedScenes:
    """A ray caster that builds the scene of a mesh once, for all steps. Used from one thread at a time."""

    raycaster: Raycaster
    scenes: list[tuple[Float32[np.ndarray, "vertices 3"], RayScene]] = field(default_factory=list, repr=False)

    @property
    def identity(self) -> str:
        """That of the ray caster."""
        return self.raycaster.identity

    def scene(
        self,
        positions_m: Float32[np.ndarray, "vertices 3"],
        faces: Int32[np.ndarray, "faces 3"],
        *,
        approximate: bool = False,  # noqa: ARG002 - one scene serves for both
    ) -> RayScene:
        """The scene of these arrays, built when first asked for: always the exact one, which serves for both."""
        found = next((scene for known, scene in self.scenes if known is positions_m), None)
        if found is None:
            found = self.raycaster.scene(positions_m, faces)
            self.scenes.append((positions_m, found))
        return found
