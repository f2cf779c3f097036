"""A solid from a photo of one side, with or without one of the side opposite."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float32, Float64
from scipy import ndimage

from bridge_server.backends.generator import projection, solid
from bridge_server.backends.generator.inflation import Inflation, inflate
from bridge_server.backends.generator.outline import OPPOSITE, TOWARDS, Outline
from bridge_server.backends.generator.surfacing import (
    Axes,
    Surface,
    agreement_notices,
    axes_for,
    refuse_lost,
    surface_of,
)
from bridge_server.run import PartialRun, Run
from bridge_server.values.image import View
from bridge_server.values.mesh import HighPoly, Mesh

RELIEF = 0.07
"""How far brightness raises or lowers the front at most, as a share of the half thickness."""
RELIEF_BLUR = 2.0
"""In cells: brightness that changes faster is paint or glint rather than form."""
TURN = 0.35
"""Cosine towards the eye over which the front's picture gives way to the back's."""


def from_one_side(outlines: Mapping[View, Outline], cell_m: float, run: Run) -> HighPoly:
    """Inflate the one outline (or the mean of two opposite ones); the front keeps the photo at its resolution.

    The work is done as if the first view were the front; the result is then turned to where it belongs.
    """
    first = next(iter(outlines))
    front = replace(outlines[first], view=View.FRONT)
    back = replace(outlines[OPPOSITE[first]], view=View.BACK) if OPPOSITE[first] in outlines else None
    given = [front] if back is None else [front, back]
    axes = axes_for(cell_m, max(outline.width_m for outline in given))
    run.checkpoint(0.0, "rounding the outline")
    levels = [outline.level(axes.across_m, axes.up_m) for outline in given]
    inflation = inflate(np.mean(levels, axis=0))
    run.checkpoint(0.2, "building the solid")
    volume = solid.inflated(inflation, _relief(front, axes, inflation), axes.margin)
    surface = surface_of(volume, axes, PartialRun(run, 0.25, 0.75))
    refuse_lost(front, levels[0], solid.silhouette(surface.volume, 2))
    notices = agreement_notices(given, levels, [solid.silhouette(surface.volume, 2)] * len(given))
    run.checkpoint(0.75, "laying the photo on")
    radius_m = cell_m * surface.sample_map(inflation.radius)
    parts = _pictures(front, back, surface, radius_m)
    run.checkpoint(0.85, "laying the photo on")
    turned = Mesh(positions_m=_turned(surface.mesh.positions_m, first), faces=surface.mesh.faces)
    field = projection.projected_field(turned, parts)
    return HighPoly(mesh=turned, field=field, source="embedded", notices=tuple(notices))


def _relief(front: Outline, axes: Axes, inflation: Inflation) -> Float64[np.ndarray, "across up"]:
    """A guess of form from brightness: what is darker than its surroundings lies deeper (Langer and Bülthoff, 2000).

    It fades where the form turns away from the eye, so that the outline and the sides stay smooth.
    """
    luma = front.pixels[..., :3].astype(np.float32) @ np.array([0.2126, 0.7152, 0.0722], np.float32) / 255.0
    light = front.sample(luma[..., None], axes.across_m, axes.up_m)[..., 0]
    square = np.maximum(inflation.square.astype(np.float64), 0.0)
    inside = (square > 0.0).astype(np.float64)
    wide = 0.5 * float(inflation.radius.max())
    around = ndimage.gaussian_filter(light * inside, wide) / np.maximum(ndimage.gaussian_filter(inside, wide), 1e-3)
    difference = ndimage.gaussian_filter(light, RELIEF_BLUR) - around
    along, up = np.gradient(square)
    facing = np.sqrt(square / np.maximum(square + (along**2 + up**2) / 4.0, 1e-9))
    return RELIEF * np.tanh(3.0 * difference) * np.clip((facing - 0.3) / 0.5, 0.0, 1.0)


def _pictures(
    front: Outline, back: Outline | None, surface: Surface, radius_m: Float64[np.ndarray, "vertices"]
) -> list[projection.Seen]:
    towards = surface.smooth_normals @ np.array(TOWARDS[View.FRONT])
    share = np.clip(0.5 + 0.5 * towards / TURN, 0.0, 1.0)
    share = share * share * (3.0 - 2.0 * share)
    inwards = projection.fold(surface.smooth_normals, radius_m)
    uvs = projection.look(front, surface.seen_m, inwards)
    if back is None:
        behind = projection.Seen(projection.opposite_picture(front), uvs, 1.0 - share)
    else:
        behind = projection.Seen(back.colors, projection.look(back, surface.seen_m, inwards), 1.0 - share)
    return [projection.Seen(front.colors, uvs, share), behind]


def _turned(positions_m: Float32[np.ndarray, "vertices 3"], view: View) -> Float32[np.ndarray, "vertices 3"]:
    """Turn about the vertical from facing +Z to facing where the view looks from."""
    x, y, z = positions_m.T
    return np.stack(
        {View.FRONT: (x, y, z), View.BACK: (-x, y, -z), View.LEFT: (z, y, -x), View.RIGHT: (-z, y, x)}[view], axis=1
    )
