"""A solid from photos of two to four sides, at least one of them along the asset and one across it."""

from collections.abc import Mapping

import numpy as np

from bridge_server.backends.generator import projection, solid
from bridge_server.backends.generator.inflation import inflate
from bridge_server.backends.generator.outline import OPPOSITE, Outline
from bridge_server.backends.generator.surfacing import Surface, agreement_notices, axes_for, surface_of
from bridge_server.run import PartialRun, Run
from bridge_server.values.image import View
from bridge_server.values.mesh import HighPoly

SHARPNESS = 6.0
"""Power of the cosine by which views are weighed against each other."""
GUESSED = 0.4
"""What a picture made up from its opposite counts beside a real one."""


def from_two_sides(outlines: Mapping[View, Outline], cell_m: float, run: Run) -> HighPoly:
    """Cross the outline along the asset with that across it; colour each place from the views that see it."""
    along = [outlines[view] for view in (View.FRONT, View.BACK) if view in outlines]
    across = [outlines[view] for view in (View.LEFT, View.RIGHT) if view in outlines]
    axes = axes_for(cell_m, *(max(outline.width_m for outline in group) for group in (along, across)))
    run.checkpoint(0.0, "rounding the outlines")
    along_levels = [outline.level(axes.across_m, axes.up_m) for outline in along]
    across_levels = [outline.level(axes.depth_m, axes.up_m) for outline in across]
    front, side = inflate(np.mean(along_levels, axis=0)), inflate(np.mean(across_levels, axis=0))
    run.checkpoint(0.2, "crossing the outlines")
    volume = solid.crossed(front, side, solid.section_exponent(front, side))
    surface = surface_of(volume, axes, PartialRun(run, 0.25, 0.7))
    seen = [solid.silhouette(surface.volume, 2)] * len(along) + [solid.silhouette(surface.volume, 0)] * len(across)
    notices = agreement_notices([*along, *across], [*along_levels, *across_levels], seen)
    run.checkpoint(0.7, "laying the photos on")
    field = projection.projected_field(surface.mesh, _pictures(outlines, surface))
    return HighPoly(mesh=surface.mesh, field=field, source="embedded", notices=tuple(notices))


def _pictures(outlines: Mapping[View, Outline], surface: Surface) -> list[projection.Seen]:
    """A picture for each of the four sides; a missing one is made from its opposite, a missing side from both."""
    parts = []
    for view in View:
        outline = outlines.get(view) or outlines.get(OPPOSITE[view])
        if outline is None:
            continue
        weights = projection.facing_weights(view, surface.smooth_normals, SHARPNESS)
        weights = weights * projection.visible(view, surface.volume, surface.nodes)
        picture = outline.colors
        if view not in outlines:
            weights = weights * GUESSED
            if view in (View.FRONT, View.BACK):
                picture = projection.opposite_picture(outline)
        parts.append(projection.Seen(picture, projection.look(outline, surface.seen_m, None), weights))
    return parts
