"""The own mesh filter: quadric edge collapse in compiled loops to the exact count, then a fit to the dense mesh.

It collapses twice: places where the first result lies far away matter more in the second. Both go on from what they
have in common, and in both ridges matter more than their area. The nearer one is fitted, its farthest places are moved
once more, and where it is rough all of it moves out a little, to where outlines run.
Where most of the faces can stay, normals are lost by moving what need not move: a collapse in which turns of faces cost
and vertices stay where they are stands beside it there, and is taken where its normals are nearer by much.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bridge_server.backends.compiled import compiler_availability
from bridge_server.backends.mesh_filter.base import FitSamples, Paint, SeamedMesh
from bridge_server.backends.mesh_filter.collapsing import Light, collapsed, halfway
from bridge_server.backends.mesh_filter.fitting import (
    MOST_FACES,
    Fit,
    begun,
    best_round,
    face_weights,
    samples_of,
    surface_of,
    turn_edges,
)
from bridge_server.backends.mesh_filter.fitting_outline import move_out
from bridge_server.backends.mesh_filter.fitting_worst import Worst, worst_first
from bridge_server.backends.mesh_filter.paint import paint_on
from bridge_server.backends.mesh_filter.ridges import ridge_weights, ridges_of
from bridge_server.backends.mesh_filter.seamed import seam_collapsed
from bridge_server.backends.mesh_filter.seamed_fit import fitted
from bridge_server.backends.table import Availability
from bridge_server.run import PartialRun, Run
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_split import tidied_surface

VERSION = 7
MANY_LEFT = 0.4
"""Above this share of its faces a mesh is also collapsed so that as many as can stay as they were."""
LESS_TURNED, FARTHER = 0.88, 1.5
"""That is taken where normals turn by less than so many times as much, and no place lies farther than so many times
what the plain collapse leaves before it is fitted."""
SPARING_TURNS = 4
"""How often edges are turned then."""
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
        dense = surface_of(source)
        ridges = ridges_of(dense)
        usual = ridge_weights(dense, ridges)
        start = halfway(source, HALFWAY * triangle_count, PartialRun(run, 0.0, 0.15), weights=usual, paint=looks)
        part = PartialRun(run, 0.15, 0.2)
        light = collapsed(source, triangle_count, part, weights=usual, paint=looks, start=start)
        if triangle_count > MOST_FACES:
            return light.mesh()
        samples = samples_of(dense, ridges, len(light.faces))
        fit = begun(source, light, samples)
        if len(source.faces) > MOST_DENSE:
            return mesh_of(nearest(fit, light, PartialRun(run, 0.4, 1.0)), light)
        weights = usual * face_weights(source, light, fit)
        part = PartialRun(run, 0.25, 0.4)
        other = collapsed(source, triangle_count, part, weights=weights, paint=looks, start=start)
        if (second := begun(source, other, samples)).score < fit.score:
            light, fit = other, second
        farthest = FARTHER * fit.now().farthest
        worst = nearest(fit, light, PartialRun(run, 0.4, 0.8))
        if triangle_count > MANY_LEFT * len(source.faces):
            part = PartialRun(run, 0.8, 0.9)
            spared = collapsed(source, triangle_count, part, weights=usual, paint=looks, sparing=True)
            as_it_was = little_moved(begun(source, spared, samples), spared)
            near = as_it_was.farthest.max(initial=0.0) <= farthest and len(spared.faces) <= len(light.faces)
            if near and as_it_was.fit.turned < LESS_TURNED * worst.fit.turned:
                light, worst = spared, as_it_was
        return mesh_of(worst, light)

    def collapse_with_seams(
        self, mesh: SeamedMesh, triangle_counts: Sequence[int], outline: float, run: Run
    ) -> list[SeamedMesh]:
        """See ``SeamedFilter``."""
        return seam_collapsed(mesh, triangle_counts, outline, run)

    def fit(self, level: Mesh, original: Mesh, samples: FitSamples, run: Run) -> Float64[np.ndarray, "points 3"]:
        """See ``SeamedFilter``."""
        return fitted(level, original, samples, run)


def nearest(fit: Fit, light: Light, run: Run) -> Worst:
    """The best round, the places that lie farthest moved once more, and all of it moved out where it is rough."""
    worst = worst_first(fit, best_round(fit, run), light.owners)
    move_out(worst.fit)
    return worst


def little_moved(fit: Fit, light: Light) -> Worst:
    """Edges turned, and no vertex moved but at the places that lie farthest."""
    for _ in range(SPARING_TURNS):
        turn_edges(fit)
    return worst_first(fit, fit.now(), light.owners)


def mesh_of(worst: Worst, light: Light) -> Mesh:
    """In metres."""
    return Mesh(positions_m=light.unit.metres(worst.fit.light.places), faces=worst.fit.light.faces)
