"""Stage ``remesh``: a closed skin around a surface that is beyond repair."""

import enum
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import Run
from bridge_server.stages.remesh_wrap import wrapped
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.base import Notice, Severity
from bridge_server.values.mesh import HighPoly, edge_face_counts


class Occasion(enum.StrEnum):
    """When the surface is replaced."""

    BROKEN = "broken"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remesh(Stage):
    """Wrap the high poly in a closed skin that lies on it; what is inside goes, colours are looked up as before."""

    name: ClassVar[str] = "remesh"
    writes: ClassVar[str] = "high_poly"
    version: ClassVar[int] = 1
    occasion: Occasion = Occasion.BROKEN
    """``broken`` leaves alone what is closed already; ``always`` wraps everything."""
    resolution: Annotated[int, Range(16, 400)] = 160
    """Cells along the longest side: details under one cell are lost."""
    gap_cells: Annotated[float, Range(0.75, 8.0)] = 1.5
    """Holes and slits narrower than twice this are closed, wider ones are entered."""

    def __call__(self, run: Run, raycaster: Raycaster, *, high_poly: HighPoly) -> HighPoly:
        """A notice says what was replaced."""
        mesh = high_poly.mesh
        counts = edge_face_counts(mesh.faces)
        broken = int((counts != 2).sum())
        if self.occasion is Occasion.BROKEN and not broken:
            return replace(high_poly, notices=())
        skin = wrapped(raycaster, mesh, self.resolution, self.gap_cells, run)
        message = (
            f"The surface, {len(mesh.faces):,} triangles with {broken:,} edges that are open or crowded, was replaced "
            f"by a closed skin of {len(skin.faces):,} triangles at {self.resolution} cells along its longest side."
        )
        severity = Severity.WARNING if broken else Severity.INFO
        return replace(high_poly, mesh=skin, notices=(Notice(code="remeshed", message=message, severity=severity),))
