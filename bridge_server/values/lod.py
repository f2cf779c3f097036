"""Levels of detail."""

from dataclasses import dataclass

from bridge_server.values.base import Value
from bridge_server.values.mesh import UnwrappedMesh


@dataclass(frozen=True, slots=True, kw_only=True)
class Lod(Value):
    """One level: it shares the UV layout and the textures of level 0."""

    mesh: UnwrappedMesh
    screen_size: float
    """Share of the screen height at which Unreal switches to this level; 1.0 for level 0."""
    error_m: float
    """Largest sampled distance to level 0."""
    seam_gap_m: float
    """Widest crack along a UV seam; 0 where twins on both sides kept the same place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LodChain(Value):
    """Level 0 first."""

    lods: tuple[Lod, ...]
