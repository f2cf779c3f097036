"""Image to 3D: from one to four cutouts to a high poly with its surface field."""

from dataclasses import dataclass
from typing import Protocol

from bridge_server.backends.table import BackendKind
from bridge_server.run import Run
from bridge_server.values.image import Cutouts
from bridge_server.values.mesh import HighPoly


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSettings:
    """What a quality file sets; a generator uses what applies to it."""

    resolution: int
    """Grid edge: 512, 1024 or 1536."""
    sparse_structure_steps: int
    shape_steps: int
    texture_steps: int
    seed: int


class Generator(Protocol):
    """Makes a shape out of pictures."""

    @property
    def identity(self) -> str:
        """Name, version and digests of weights, for the cache key."""

    def generate(self, cutouts: Cutouts, settings: GenerationSettings, run: Run) -> HighPoly:
        """The high poly faces +Z, stands on y = 0 and is about 1 m high. Raises ``StageFailed`` with the reason."""


GENERATORS: BackendKind[Generator] = BackendKind(
    name="generator",
    table={
        "trellis2": "bridge_server.backends.generator.trellis2:Trellis2Generator",
        "embedded": "bridge_server.backends.generator.embedded:EmbeddedGenerator",
    },
    entry_point_group="open3dforge.generators",
)
