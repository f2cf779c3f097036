"""The own mesh filter: quadric edge collapse in compiled loops to the exact count, then a fit to the dense mesh.

It collapses twice: places where the first result lies far away matter more in the second. The nearer one is fitted.
"""

from dataclasses import dataclass

from bridge_server.backends.compiled import compiler_availability
from bridge_server.backends.mesh_filter.base import Paint
from bridge_server.backends.mesh_filter.collapsing import collapsed
from bridge_server.backends.mesh_filter.fitting import MOST_FACES, begun, face_weights, improved
from bridge_server.backends.mesh_filter.paint import paint_on
from bridge_server.backends.table import Availability
from bridge_server.run import PartialRun, Run
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_split import tidied_surface

VERSION = 4
MOST_DENSE = 1_000_000
"""A mesh of more faces is collapsed once: it takes its time."""


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
        light = collapsed(source, triangle_count, PartialRun(run, 0.0, 0.2), paint=looks)
        if triangle_count > MOST_FACES:
            return light.mesh()
        fit = begun(source, light)
        if len(source.faces) > MOST_DENSE:
            return improved(fit, light, PartialRun(run, 0.4, 1.0))
        weights = face_weights(source, light, fit)
        other = collapsed(source, triangle_count, PartialRun(run, 0.25, 0.4), weights=weights, paint=looks)
        if (second := begun(source, other)).score < fit.score:
            light, fit = other, second
        return improved(fit, light, PartialRun(run, 0.4, 1.0))
