"""What is known of a mesh before anything is done to it."""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from bridge_server.values.mesh import HighPoly
from bridge_server.values.source import MeshSource


class Kind(enum.StrEnum):
    """What sort of thing it is."""

    CHARACTER = "character"
    PROP = "prop"
    HARD_SURFACE = "hard surface"
    THIN_SHELL = "thin shell"
    SCAN = "scan"
    TEXTURED = "textured"
    DEFECT = "generator defect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """What must hold once it has been repaired and cleaned with the default settings."""

    closed: bool
    """Every edge joins two faces."""
    inner_hull: bool = False
    """Comes with a second surface inside that nobody can see: it must be gone."""
    hollow: bool = False
    """Has an inside that is seen through an opening: it must stay."""
    volume_m3: tuple[float, float] | None = None
    """Between which bounds its volume must lie then, where the shape is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchMesh:
    """One mesh of the set."""

    name: str
    kind: Kind
    load: Callable[[], HighPoly]
    """Reads or makes it, in metres, as a mesh file comes out of ``load_mesh``: nothing repaired."""
    source: Callable[[], MeshSource]
    """The same as a file that can be submitted."""
    expectations: Expectations
