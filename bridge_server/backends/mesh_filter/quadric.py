"""The own mesh filter: quadric edge collapse in compiled loops to the exact count, then a fit to the dense mesh.

It collapses twice: places where the first result lies far away matter more in the second. Both go on from what they
have in common. The nearer one is fitted, and its farthest places are moved once more.
Where most of the faces can stay, normals are lost by moving what need not move: turns of faces cost there, and the fit
holds what is near.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bridge_server.backends.compiled import compiler_availability
from bridge_server.backends.mesh_filter.base import FitSamples, Paint, SeamedMesh
from bridge_server.backends.mesh_filter.collapsing import Light, Looks, collapsed, halfway
from bridge_server.backends.mesh_filter.fitting import (
    MOST_FACES,
    Fit,
    begun,
    best_round,
    face_weights,
    hold_near,
    samples_of,
)
from bridge_server.backends.mesh_filter.fitting_worst import worst_first
from bridge_server.backends.mesh_filter.paint import paint_on
from bridge_server.backends.mesh_filter.seamed import seam_collapsed
from bridge_server.backends.mesh_filter.seamed_fit import fitted
from bridge_server.backends.table import Availability
from bridge_server.run import PartialRun, Run
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_split import tidied_surface

VERSION = 5
MANY_LEFT = 0.4
"""Above this share of its faces a mesh is collapsed so that as many as can stay as they were."""
FARTHER = 1.25
"""How much farther than a plain collapse that may come out at one place; small tips may go in it."""
MOST_DENSE = 1_000_000
"""A mesh of more faces is collapsed once: it takes its time."""
HALFWAY = 8
"""Both collapses have in common what leads to so many times the wanted count."""


@dataclass(frozen=True, slots=True)
class QuadricFilter:
    """The default filter: never opens, tears, joins or turns over what was sound."""

    @property
    def identity(self) -> str:
        """Name and version of the method."""
        return f"quadric {VERSION}"

    @property
    def keeps_paint(self) -> bool:
        """It does."""
        return True

    @classmethod
    def availability(cls) -> Availability:
        """Whether the compiler is installed."""
        return compiler_availability()

    def clean(self, mesh: Mesh, run: Run) -> Mesh:
        """Doubles merged, faces without area dropped, parted where it is no surface."""
        run.checkpoint(0.1, "cleaning")
        return tidied_surface(mesh)

    def decimate(self, mesh: Mesh, triangle_count: int, run: Run, paint: Paint | None = None) -> Mesh:
        """The wanted count, or one less where faces go in pairs; more where the shells allow no fewer."""
        if len(mesh.faces) <= triangle_count:
            return mesh
        source = tidied_surface(mesh)
        looks = None if paint is None else (paint_on(source, mesh, paint), paint.weight)
        start = halfway(source, HALFWAY * triangle_count, PartialRun(run, 0.0, 0.15), looks)
        light = collapsed(source, triangle_count, PartialRun(run, 0.15, 0.2), paint=looks, start=start)
        if triangle_count > MOST_FACES:
            return light.mesh()
        samples = samples_of(source, light)
        fit = begun(source, light, samples)
        if len(source.faces) > MOST_DENSE:
            return nearest(fit, light, PartialRun(run, 0.4, 1.0))
        if triangle_count > MANY_LEFT * len(source.faces):
            spared = sparingly(source, triangle_count, looks, fit.now().farthest, PartialRun(run, 0.2, 0.4))
            if spared is not None:
                return spared
        weights = face_weights(source, light, fit)
        part = PartialRun(run, 0.25, 0.4)
        other = collapsed(source, triangle_count, part, weights=weights, paint=looks, start=start)
        if (second := begun(source, other, samples)).score < fit.score:
            light, fit = other, second
        return nearest(fit, light, PartialRun(run, 0.4, 1.0))

    def collapse_with_seams(
        self, mesh: SeamedMesh, triangle_counts: Sequence[int], outline: float, run: Run
    ) -> list[SeamedMesh]:
        """See ``SeamedFilter``."""
        return seam_collapsed(mesh, triangle_counts, outline, run)

    def fit(self, level: Mesh, original: Mesh, samples: FitSamples, run: Run) -> Float64[np.ndarray, "points 3"]:
        """See ``SeamedFilter``."""
        return fitted(level, original, samples, run)


def nearest(fit: Fit, light: Light, run: Run) -> Mesh:
    """The mesh of the best round, the places that lie farthest moved once more."""
    worst_first(fit, best_round(fit, run), light.owners)
    return Mesh(positions_m=light.unit.metres(fit.light.places), faces=fit.light.faces)


def sparingly(source: Mesh, triangle_count: int, looks: Looks | None, farthest: float, run: Run) -> Mesh | None:
    """Turns of faces cost, and only what came out far away is fitted; none where a place stays too far.

    ``farthest`` is the largest distance that a plain collapse leaves, in shares of the diagonal.
    """
    light = collapsed(source, triangle_count, PartialRun(run, 0.0, 0.3), paint=looks, sparing=True)
    fit = begun(source, light)
    hold_near(fit)
    best = best_round(fit, PartialRun(run, 0.4, 1.0), turning=False)
    if best.farthest > FARTHER * farthest:
        return None
    return Mesh(positions_m=light.unit.metres(best.places), faces=best.faces)
