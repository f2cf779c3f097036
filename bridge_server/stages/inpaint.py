"""Inpaint: replace base colour that nobody can have seen. Off by default.

Hidden are texels whose place on the high poly no light reaches: their ambient occlusion is at or below a limit.
Generators and scans colour such places with smears and shadows; a smooth continuation of what surrounds them is
better, and is marked as invented.
"""

import enum
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np

from bridge_server.backends.inpainter.base import Inpainter
from bridge_server.run import Run
from bridge_server.stages.gutter import chart_map, gutter_of
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.base import Notice, Severity
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.texture import AlbedoMap, AoMap, TexelHits


class InpaintMode(enum.StrEnum):
    """What is replaced."""

    OFF = "off"
    HIDDEN = "hidden"
    """Texels that ambient occlusion leaves in the dark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inpaint(Stage):
    """Fill hidden base colour from what surrounds it."""

    name: ClassVar[str] = "inpaint"
    writes: ClassVar[str] = "albedo"
    version: ClassVar[int] = 2

    mode: InpaintMode = InpaintMode.OFF
    """``off`` leaves the map as it is; ``hidden`` fills texels that nothing can see."""
    openness_limit: Annotated[float, Range(0, 1)] = 0.02
    """Texels whose ambient occlusion is at most this count as hidden (0 is closed, 1 is open)."""

    def __call__(
        self,
        run: Run,
        inpainter: Inpainter,
        *,
        albedo: AlbedoMap,
        ao: AoMap,
        unwrapped: UnwrappedMesh,
        texel_hits: TexelHits,
    ) -> AlbedoMap:
        """The map, with a mask of what was invented; the gutter between charts follows."""
        if self.mode is InpaintMode.OFF:
            return albedo
        hidden = (ao.pixels <= round(self.openness_limit * 255)) & texel_hits.coverage
        if not hidden.any() or hidden[texel_hits.coverage].all():
            return replace(albedo, notices=(_notice(0.0),), invented=np.zeros_like(hidden))
        gutter = gutter_of(chart_map(texel_hits, unwrapped), unwrapped.padding_px)
        behind = hidden.reshape(-1)[gutter.source].reshape(hidden.shape)
        pixels = inpainter.fill(albedo.pixels, behind, run)
        share = float(hidden[texel_hits.coverage].mean())
        return AlbedoMap(notices=(_notice(share),), pixels=pixels, invented=behind)


def _notice(share: float) -> Notice:
    return Notice(
        code="base_colour_invented",
        message=f"{share:.1%} of the covered texels are hidden from all sides; their base colour was filled in.",
        severity=Severity.INFO,
    )
