"""Maps as files, baked for a low poly that the user brought."""

from dataclasses import dataclass

from bridge_server.values.base import Value
from bridge_server.values.texture import ColorSpace


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFile(Value):
    """One map as a PNG file."""

    name: str
    """As ``forge bake --maps`` calls it: ``base_color``."""
    suffix: str
    """What stands at the end of its file name: ``BC``."""
    png: bytes
    bits: int
    channels: int
    color_space: ColorSpace
    figures_json: str = "{}"
    """What it takes to read its numbers, as a JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BakedMaps(Value):
    """All maps of one bake, and what is to be told about it."""

    maps: tuple[MapFile, ...]
    high_triangles: int
    size_px: int
    supersample: int
    samples: int
    ray_direction: str
    """``smooth`` or ``skew_free``."""
    cage_m: float
    cage_measured: bool
    share_by_ray: float
    """Of the traced places, those that a ray found; the others took the closest point."""
    coverage: float
    """Share of the map that charts cover."""
    raycaster: str
    """Identity of the ray caster."""
