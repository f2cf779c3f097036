"""Stage 2: from cutouts to the high poly."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from bridge_server.backends.generator.base import GenerationSettings, Generator
from bridge_server.run import Run
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.image import Cutouts
from bridge_server.values.mesh import HighPoly


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate(Stage):
    """Make a shape and its colours out of the cutouts."""

    name: ClassVar[str] = "generate"
    writes: ClassVar[str] = "high_poly"
    version: ClassVar[int] = 1

    resolution: Annotated[int, Range(256, 2048)] = 1024
    """Grid edge; the quality files set 512, 1024 or 1536."""
    sparse_structure_steps: Annotated[int, Range(1, 100)] = 12
    """Sampling steps of the coarse structure, for generators that sample."""
    shape_steps: Annotated[int, Range(1, 100)] = 12
    """Sampling steps of the shape, for generators that sample."""
    texture_steps: Annotated[int, Range(1, 100)] = 12
    """Sampling steps of the colours, for generators that sample."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Start of the random numbers, for generators that draw any."""

    def __call__(self, run: Run, generator: Generator, *, cutouts: Cutouts) -> HighPoly:
        """Raises ``StageFailed`` with the generator's reason."""
        settings = GenerationSettings(
            resolution=self.resolution,
            sparse_structure_steps=self.sparse_structure_steps,
            shape_steps=self.shape_steps,
            texture_steps=self.texture_steps,
            seed=self.seed,
        )
        made = generator.generate(cutouts, settings, run)
        run.checkpoint(1.0)
        return made
