"""Each map by its name: what it takes to bake it, and its texels as they are stored."""

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import Run
from bridge_server.stages.bake_albedo import BakeAlbedo, srgb_bytes
from bridge_server.stages.bake_ao import BakeAo
from bridge_server.stages.bake_metallic_roughness import BakeMetallicRoughness
from bridge_server.stages.bake_normal import BakeNormal, encoded
from bridge_server.stages.gutter import Gutter
from bridge_server.stages.map_bent_normal import bent_normals
from bridge_server.stages.map_curvature import curvature_range_per_m, curvatures
from bridge_server.stages.map_emissive import emissions
from bridge_server.stages.map_encoding import direction_texels, whole_numbers
from bridge_server.stages.map_object_normal import object_normals
from bridge_server.stages.map_opacity import opacities
from bridge_server.stages.map_part_id import PartKind, face_parts, part_colors, part_ids
from bridge_server.stages.map_position import positions
from bridge_server.stages.map_source import LEGEND, sources
from bridge_server.stages.map_thickness import thicknesses
from bridge_server.values.mesh import HighPoly, UnwrappedMesh
from bridge_server.values.texture import TexelHits

DATA_BITS = 16
"""Depth of maps whose numbers are measurements."""


class MapName(enum.StrEnum):
    """Every map there is."""

    NORMAL = "normal"
    OBJECT_NORMAL = "object_normal"
    BENT_NORMAL = "bent_normal"
    BASE_COLOR = "base_color"
    METALLIC = "metallic"
    ROUGHNESS = "roughness"
    AO = "ao"
    ORM = "orm"
    EMISSIVE = "emissive"
    OPACITY = "opacity"
    CURVATURE = "curvature"
    THICKNESS = "thickness"
    POSITION = "position"
    PART_ID = "part_id"
    SOURCE = "source"


SUFFIXES: Mapping[MapName, str] = {
    MapName.NORMAL: "N",
    MapName.OBJECT_NORMAL: "NO",
    MapName.BENT_NORMAL: "BN",
    MapName.BASE_COLOR: "BC",
    MapName.METALLIC: "M",
    MapName.ROUGHNESS: "R",
    MapName.AO: "AO",
    MapName.ORM: "ORM",
    MapName.EMISSIVE: "E",
    MapName.OPACITY: "O",
    MapName.CURVATURE: "C",
    MapName.THICKNESS: "TH",
    MapName.POSITION: "P",
    MapName.PART_ID: "ID",
    MapName.SOURCE: "SRC",
}
"""What stands at the end of the file name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSettings:
    """What the user may choose about the texels."""

    samples: int = 64
    """Rays from a texel: of ambient occlusion, thickness and bent normals."""
    bits: int = 8
    """Depth of the normal maps, 8 or 16."""
    directx: bool = True
    """Green of tangent-space maps points down."""
    dither: bool = False
    """Spread the rounding of normal maps of 8 bits."""
    parts: PartKind = PartKind.COMPONENT
    curvature_range_per_m: float = 0.0
    """Curvature that is stored as white; 0 measures what all but 1 % of the texels stay below."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every map is made from."""

    high_poly: HighPoly
    unwrapped: UnwrappedMesh
    hits: TexelHits
    raycaster: Raycaster
    gutter: Gutter
    settings: MapSettings


@dataclass(frozen=True, slots=True)
class Texels:
    """A finished map."""

    pixels: np.ndarray
    srgb: bool = False
    figures: Mapping[str, object] | None = None
    """What it takes to read its numbers; JSON."""


Made = Mapping[MapName, Texels]
"""Maps that are finished already."""


def make_map(name: MapName, bench: Bench, made: Made, run: Run) -> Texels:
    """The map of that name; ``orm`` is put together from ``ao``, ``roughness`` and ``metallic``, made before."""
    return _MAKERS[name](bench, made, run)


def needed_for(name: MapName) -> tuple[MapName, ...]:
    """Maps that must be there first."""
    if name is MapName.ORM:
        return (MapName.AO, MapName.ROUGHNESS, MapName.METALLIC)
    return (MapName.ROUGHNESS,) if name is MapName.METALLIC else ()


def _normal(bench: Bench, _: Made, run: Run) -> Texels:
    found = BakeNormal()(run, high_poly=bench.high_poly, unwrapped=bench.unwrapped, texel_hits=bench.hits)
    settings = bench.settings
    return Texels(
        direction_texels(found.pixels, settings.bits, settings.directx, settings.dither), figures=_green(bench)
    )


def _object_normal(bench: Bench, _: Made, run: Run) -> Texels:
    means = object_normals(bench.high_poly, bench.hits, run)
    words = encoded(bench.gutter.fill_directions(means, tangent_space=False))
    return Texels(direction_texels(words, bench.settings.bits, dither=bench.settings.dither))


def _bent_normal(bench: Bench, _: Made, run: Run) -> Texels:
    settings = bench.settings
    means = bent_normals(bench.raycaster, bench.high_poly, bench.unwrapped, bench.hits, run, samples=settings.samples)
    words = encoded(bench.gutter.fill_directions(means, tangent_space=True))
    return Texels(direction_texels(words, settings.bits, settings.directx, settings.dither), figures=_green(bench))


def _green(bench: Bench) -> dict[str, object]:
    return {"green": "dx" if bench.settings.directx else "gl"}


def _base_color(bench: Bench, _: Made, run: Run) -> Texels:
    albedo = BakeAlbedo()(
        run, bench.raycaster, high_poly=bench.high_poly, unwrapped=bench.unwrapped, texel_hits=bench.hits
    )
    return Texels(albedo.pixels, srgb=True)


def _roughness(bench: Bench, _: Made, run: Run) -> Texels:
    """Both channels of the bake, because ``metallic`` comes with it; ``stored`` keeps the one that is shown."""
    found = BakeMetallicRoughness()(
        run, bench.raycaster, high_poly=bench.high_poly, unwrapped=bench.unwrapped, texel_hits=bench.hits
    )
    return Texels(found.pixels)


def _metallic(_: Bench, made: Made, run: Run) -> Texels:
    run.checkpoint(1.0, "metallic")
    return Texels(made[MapName.ROUGHNESS].pixels[:, :, 0])


def _ao(bench: Bench, _: Made, run: Run) -> Texels:
    bake = BakeAo(samples=bench.settings.samples)
    found = bake(run, bench.raycaster, high_poly=bench.high_poly, unwrapped=bench.unwrapped, texel_hits=bench.hits)
    return Texels(found.pixels)


def _orm(_: Bench, made: Made, run: Run) -> Texels:
    run.checkpoint(1.0, "packing")
    finish = made[MapName.ROUGHNESS].pixels
    return Texels(np.stack([made[MapName.AO].pixels, finish[:, :, 1], finish[:, :, 0]], axis=2))


def _emissive(bench: Bench, _: Made, run: Run) -> Texels:
    means = bench.gutter.fill(emissions(bench.raycaster, bench.high_poly, bench.hits, run))
    strength = max(float(means.max(initial=0.0)), 1.0)
    return Texels(srgb_bytes(means / np.float32(strength)), srgb=True, figures={"white": strength})


def _opacity(bench: Bench, _: Made, run: Run) -> Texels:
    means = bench.gutter.fill(opacities(bench.raycaster, bench.high_poly, bench.hits, run))
    return Texels(whole_numbers(means, 8)[:, :, 0])


def _curvature(bench: Bench, _: Made, run: Run) -> Texels:
    means = curvatures(bench.high_poly, bench.hits, run)
    most = bench.settings.curvature_range_per_m or curvature_range_per_m(means[bench.hits.coverage]) or 1.0
    unit = 0.5 + 0.5 * bench.gutter.fill(means) / np.float32(most)
    return Texels(whole_numbers(unit, DATA_BITS)[:, :, 0], figures={"black_per_m": -most, "white_per_m": most})


def _thickness(bench: Bench, _: Made, run: Run) -> Texels:
    means = thicknesses(bench.raycaster, bench.high_poly, bench.hits, run, samples=bench.settings.samples)
    most = float(means.max(initial=0.0)) or 1.0
    unit: Float32[np.ndarray, "size size 1"] = bench.gutter.fill(means) / np.float32(most)
    return Texels(whole_numbers(unit, DATA_BITS)[:, :, 0], figures={"black_m": 0.0, "white_m": most})


def _position(bench: Bench, _: Made, run: Run) -> Texels:
    means = bench.gutter.fill(positions(bench.high_poly, bench.hits, run))
    low, high = bench.high_poly.mesh.bounds_m
    return Texels(whole_numbers(means, DATA_BITS), figures={"black_m": low.tolist(), "white_m": high.tolist()})


def _part_id(bench: Bench, _: Made, run: Run) -> Texels:
    run.checkpoint(0.0, "parts")
    parts = face_parts(bench.high_poly, bench.settings.parts)
    colors = part_colors(int(parts.max(initial=-1)) + 1)
    ids = part_ids(parts, bench.hits).reshape(-1)[bench.gutter.source].reshape(bench.hits.coverage.shape)
    padded = np.concatenate([np.zeros((1, 3), np.uint8), colors])
    return Texels(padded[ids + 1], figures={"kind": bench.settings.parts.value, "parts": len(colors)})


def _source(bench: Bench, _: Made, run: Run) -> Texels:
    return Texels(sources(bench.high_poly, bench.unwrapped, bench.hits, run), figures={"legend": dict(LEGEND)})


_MAKERS: Mapping[MapName, Callable[[Bench, Made, Run], Texels]] = {
    MapName.NORMAL: _normal,
    MapName.OBJECT_NORMAL: _object_normal,
    MapName.BENT_NORMAL: _bent_normal,
    MapName.BASE_COLOR: _base_color,
    MapName.METALLIC: _metallic,
    MapName.ROUGHNESS: _roughness,
    MapName.AO: _ao,
    MapName.ORM: _orm,
    MapName.EMISSIVE: _emissive,
    MapName.OPACITY: _opacity,
    MapName.CURVATURE: _curvature,
    MapName.THICKNESS: _thickness,
    MapName.POSITION: _position,
    MapName.PART_ID: _part_id,
    MapName.SOURCE: _source,
}


def stored(name: MapName, texels: Texels) -> np.ndarray:
    """The channels that go into the file."""
    return texels.pixels[:, :, 1] if name is MapName.ROUGHNESS else texels.pixels
