"""The built-in generator: shapes from outlines, colours from the photos, nothing learned.

One side seen: its outline is inflated (``embedded_one_side``). Front or back together with left or right: both
outlines are crossed to a rounded visual hull (``embedded_two_sides``). What this can and cannot do stands in
docs/generators.md.
"""

from typing import ClassVar

from bridge_server.backends.generator.base import GenerationSettings
from bridge_server.backends.generator.embedded_one_side import from_one_side
from bridge_server.backends.generator.embedded_two_sides import from_two_sides
from bridge_server.backends.generator.outline import HEIGHT_M, SUBJECT, outline_of
from bridge_server.backends.table import Availability
from bridge_server.errors import StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.values.image import Cutouts, View
from bridge_server.values.mesh import HighPoly


def cells_along(resolution: int) -> int:
    """Grid cells along the asset's longest edge: 512 gives 120, 1024 gives 176, 1536 gives 232."""
    return 64 + resolution * 7 // 64


class EmbeddedGenerator:
    """Image to mesh without learned weights, on any processor."""

    identity: ClassVar[str] = "embedded 1"

    @classmethod
    def availability(cls) -> Availability:
        """Always there."""
        return Availability(available=True, detail="outlines and photos alone, no learned weights")

    def generate(self, cutouts: Cutouts, settings: GenerationSettings, run: Run) -> HighPoly:
        """See ``Generator``; of the settings only the resolution applies."""
        run.checkpoint(0.0, "placing the views")
        outlines = {}
        for cutout in cutouts.cutouts:
            if not (cutout.pixels[..., 3] > SUBJECT).any():
                raise StageFailed(
                    "the cutout is empty.",
                    subject=cutout.name or str(cutout.view),
                    remedy="Choose a photo whose subject stands out, or leave this view out.",
                    reason="NO_SUBJECT",
                )
            outlines[cutout.view] = outline_of(cutout)
        widest = max(outline.width_m for outline in outlines.values())
        cell_m = max(HEIGHT_M, widest) / cells_along(settings.resolution)
        rest = PartialRun(run, 0.05, 1.0)
        lengthwise = outlines.keys() & {View.FRONT, View.BACK}
        crosswise = outlines.keys() & {View.LEFT, View.RIGHT}
        build = from_two_sides if lengthwise and crosswise else from_one_side
        return build(outlines, cell_m, rest)
