"""Stage ``bake_maps``: every map that was wished for, for a low poly that the user brought, as files."""

import json
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from bridge_server.backends.rasterizer.base import UvRasterizer
from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.errors import InputError
from bridge_server.run import PartialRun, Run
from bridge_server.stages.bake_choices import DEFAULT_MAPS, Bits, Green, RayDirection
from bridge_server.stages.bake_images import SUFFIXES, MapName, MapSettings, needed_for
from bridge_server.stages.bake_set import BakedSet, BakeWish, Means, bake_set
from bridge_server.stages.load_low import refuse_moved
from bridge_server.stages.map_part_id import PartKind
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.baked_maps import BakedMaps, MapFile
from bridge_server.values.mesh import HighPoly, UnwrappedMesh
from bridge_server.values.texture import ColorSpace

TRACE_SHARE = 0.3
"""Of the stage's progress, what the trace takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeMaps(Stage):
    """One trace, and each map from it."""

    name: ClassVar[str] = "bake_maps"
    writes: ClassVar[str] = "baked_maps"
    version: ClassVar[int] = 1

    maps: str = DEFAULT_MAPS
    """Names of maps with commas between, or ``all``."""
    resolution_px: Annotated[int, Range(64, 8192)] = 2048
    """Edge length of the maps."""
    supersample: Annotated[int, Range(1, 4)] = 2
    """Rays along each edge of a texel."""
    cage_offset_m: Annotated[float, Range(0, 1000)] = 0.0
    """How far from the low poly a ray looks for the high poly, to either side; 0 measures what is needed."""
    ray_direction: RayDirection = RayDirection.SMOOTH
    """``smooth`` is right for organic shapes; ``skew_free`` keeps straight detail on flat faces straight."""
    samples: Annotated[int, Range(1, 4096)] = 64
    """Rays of a texel: of ambient occlusion, thickness and bent normals."""
    bits: Bits = Bits.EIGHT
    """Depth of the three normal maps."""
    green: Green = Green.DX
    """``dx``: green points down (Unreal); ``gl``: up (glTF, Blender)."""
    dither: bool = False
    """Spread the rounding of normal maps of 8 bits."""
    parts: PartKind = PartKind.COMPONENT
    """What the part id map tells apart."""
    curvature_range_per_m: Annotated[float, Range(0, 1e9)] = 0.0
    """Curvature that is stored as white, in 1 / m; 0 measures it."""

    def __post_init__(self) -> None:
        """Raises ``InputError`` for a map that there is not, so that it is refused before any work."""
        parse_maps(self.maps, "bake_maps.maps")

    @property
    def wish(self) -> BakeWish:
        """The fields as the bake takes them."""
        return BakeWish(
            maps=parse_maps(self.maps, "bake_maps.maps"),
            resolution_px=self.resolution_px,
            supersample=self.supersample,
            cage_m=self.cage_offset_m,
            ray_direction=self.ray_direction,
            settings=MapSettings(
                samples=self.samples,
                bits=int(self.bits.value),
                directx=self.green is Green.DX,
                dither=self.dither,
                parts=self.parts,
                curvature_range_per_m=self.curvature_range_per_m,
            ),
        )

    def __call__(
        self,
        run: Run,
        raycaster: Raycaster,
        rasterizer: UvRasterizer,
        *,
        high_poly: HighPoly,
        unwrapped: UnwrappedMesh,
    ) -> BakedMaps:
        """The maps at their size, gutters filled. Raises ``InputError`` for a high poly that had to be moved."""
        refuse_moved("the high poly", high_poly.notices)
        wish = self.wish
        begun = iter(_shares(wish))

        def steps(_: str) -> Run:
            start, end = next(begun, (1.0, 1.0))
            return PartialRun(run, start, end)

        baked = bake_set(wish, high_poly, unwrapped, Means(raycaster, rasterizer), steps)
        found = as_files(wish, baked, high_poly, raycaster)
        told = (*high_poly.notices, *unwrapped.notices)
        return replace(found, notices=tuple(notice for notice in found.notices if notice not in told))


def as_files(wish: BakeWish, baked: BakedSet, high_poly: HighPoly, raycaster: Raycaster) -> BakedMaps:
    """A finished set without what differs from run to run."""
    return BakedMaps(
        notices=baked.notices,
        maps=tuple(
            MapFile(
                name=entry.name.value,
                suffix=SUFFIXES[entry.name],
                png=entry.png,
                bits=entry.bits,
                channels=entry.channels,
                color_space=ColorSpace.SRGB if entry.srgb else ColorSpace.LINEAR,
                figures_json=json.dumps(entry.figures),
            )
            for entry in baked.maps
        ),
        high_triangles=len(high_poly.mesh.faces),
        size_px=wish.resolution_px,
        supersample=wish.supersample,
        samples=wish.settings.samples,
        ray_direction=wish.ray_direction.value,
        cage_m=baked.cage_m,
        cage_measured=wish.cage_m == 0.0,
        share_by_ray=baked.share_by_ray,
        coverage=baked.coverage,
        raycaster=raycaster.identity,
    )


def parse_maps(text: str, subject: str) -> tuple[MapName, ...]:
    """Names with commas between, each once, in the order given. Raises ``InputError`` naming what is unknown."""
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    known = [name.value for name in MapName]
    remedy = f"Known: {', '.join(known)}, all."
    if not words:
        raise InputError("names no map.", subject=subject, remedy=remedy)
    for word in words:
        if word not in (*known, "all"):
            raise InputError("there is no such map.", subject=f"{subject} {word}", remedy=remedy)
    if "all" in words:
        return tuple(MapName)
    return tuple(dict.fromkeys(MapName(word) for word in words))


def _shares(wish: BakeWish) -> list[tuple[float, float]]:
    """Where the trace and each map that is made begin and end, as shares of the stage."""
    made = dict.fromkeys(each for name in wish.maps for each in (*needed_for(name), name))
    width = (1.0 - TRACE_SHARE) / len(made)
    return [
        (0.0, TRACE_SHARE),
        *((TRACE_SHARE + index * width, TRACE_SHARE + (index + 1) * width) for index in range(len(made))),
    ]
