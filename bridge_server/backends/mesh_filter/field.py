"""A mesh filter that lays new rows of quads along the form, each cut along one diagonal.

After Jakob, Tarini, Panozzo and Sorkine-Hornung, "Instant Field-Aligned Meshes" (SIGGRAPH Asia 2015): a smooth field of
crosses, then a smooth field of lattices along it. Where the paper builds a graph and looks for its faces, vertices of
one lattice point are drawn together by collapses that keep the topology, so what is closed stays closed.
"""

from dataclasses import dataclass

import numpy as np

from bridge_server.backends.compiled import compiler_availability
from bridge_server.backends.mesh_filter.collapsing import Light, Unit, collapsed, unit_of
from bridge_server.backends.mesh_filter.field_extraction import Extracted, directions, extracted, lattice
from bridge_server.backends.mesh_filter.field_levels import Level, levels_of
from bridge_server.backends.mesh_filter.field_mending import finished, settled, upward
from bridge_server.backends.mesh_filter.field_quads import Ground
from bridge_server.backends.mesh_filter.field_surface import FREE, field_surface, refined
from bridge_server.backends.mesh_filter.fitting import begun, improved
from bridge_server.backends.table import Availability
from bridge_server.errors import StageFailed
from bridge_server.run import PartialRun, Run
from bridge_server.values.half_edges import opposite_half_edges
from bridge_server.values.mesh import Mesh, area_m2
from bridge_server.values.mesh_split import tidied_surface
from bridge_server.values.mesh_topology import edge_table

VERSION = 3
MOST_DENSE = 600_000
"""A mesh of more faces is collapsed to so many first."""
LONGEST = 0.45
"""Longest edge of the dense surface, over the side of a quad."""
ALONG = 0.5
"""Share of a move along the surface that is made. On ``spot`` at 5,000 triangles all of it brought corners from 4.1 to
7.7 degrees off and the mean distance from 3.2e-4 to 1.9e-4 of the diagonal; half of it, to 5.4 and 2.4e-4."""
TRIES = 4
EXCESS, CLOSE_ENOUGH = 1.008, 1.02
"""How many times the wanted count is aimed at and taken: a few too many can go, none can be added."""


@dataclass(frozen=True, slots=True)
class QuadFieldFilter:
    """Rows of quads of one size, along creases, borders and curvature."""

    @property
    def identity(self) -> str:
        """Name and version of the method."""
        return f"quad_field {VERSION}"

    @classmethod
    def availability(cls) -> Availability:
        """Whether the compiler is installed."""
        return compiler_availability()

    def clean(self, mesh: Mesh, run: Run) -> Mesh:
        """Doubles merged, faces without area dropped, parted where it is no surface."""
        run.checkpoint(0.1, "cleaning")
        return tidied_surface(mesh)

    def decimate(self, mesh: Mesh, triangle_count: int, run: Run) -> Mesh:
        """The wanted count, or one less where faces go in pairs.

        Raises ``StageFailed`` where the surface is none or has more pieces and lines than so few quads can hold.
        """
        if len(mesh.faces) <= triangle_count:
            return mesh
        source = tidied_surface(mesh)
        require_surface(source)
        unit = unit_of(source)
        places, faces = unit.of(source.positions_m), source.faces
        if len(faces) > MOST_DENSE:
            fewer = collapsed(source, MOST_DENSE, PartialRun(run, 0.0, 0.2))
            unit, places, faces = fewer.unit, fewer.places, fewer.faces
        side = float(np.sqrt(2.0 * area_m2(Mesh(positions_m=places.astype(np.float32), faces=faces)) / triangle_count))
        surface = field_surface(*refined(places, faces, LONGEST * side), side)
        levels = levels_of(surface)
        turned = directions(levels, PartialRun(run, 0.2, 0.3))
        ground = Ground.of(surface)
        light, side = counted(ground, levels, turned, (side, triangle_count), PartialRun(run, 0.3, 0.8))
        light = finished(light, ground, side, triangle_count, PartialRun(run, 0.8, 0.85))
        if len(light.faces) > triangle_count:
            raise StageFailed(
                f"pieces and sharp edges need {len(light.faces):,} triangles at least, {triangle_count:,} are wanted.",
                subject="quad_field",
                remedy="Raise decimate.triangle_count, or set backends.mesh_filter=quadric.",
            )
        return fitted(light, ground, unit, PartialRun(run, 0.85, 1.0))


def fitted(light: Extracted, ground: Ground, unit: Unit, run: Run) -> Mesh:
    """Free vertices are lifted off the dense surface until the faces, and not only the vertices, lie nearest to it.

    What the fit moves along the surface counts for less, since it bends the rows.
    """
    surface = ground.surface
    slim = Light(light.places, light.faces, light.owners, unit)
    fit = begun(Mesh(positions_m=unit.metres(surface.places), faces=surface.faces), slim)
    fit.borders = None
    fit.held[light.kinds != FREE] = 1
    moved = unit.of(improved(fit, slim, run, turning=False).positions_m) - light.places
    up = upward(light, ground)
    lifted = np.einsum("ij,ij->i", moved, up)[:, None] * up
    lifted[light.kinds != FREE] = 0.0
    places = light.places + lifted + ALONG * (moved - lifted)
    return Mesh(positions_m=unit.metres(places), faces=light.faces)


def counted(
    ground: Ground, levels: list[Level], turned: list[np.ndarray], wish: tuple[float, int], run: Run
) -> tuple[Extracted, float]:
    """The mesh whose count comes nearest to the wanted one from above, and the side of its quads.

    ``wish`` is the first side that is tried, and the count. Where all tries are below, the largest.
    """
    side, target = wish
    found: list[tuple[float, int, float, Extracted]] = []
    for turn in range(TRIES):
        part = PartialRun(run, turn / TRIES, (turn + 1) / TRIES)
        places = lattice(ground.surface, levels, turned, side, part)
        light = extracted(ground.surface, turned[0], places, side)
        light = settled(light, ground, side)
        count = len(light.faces)
        found.append((count - target if count >= target else 2.0 * target - count, turn, side, light))
        if target <= count <= CLOSE_ENOUGH * target:
            break
        side *= float(np.sqrt(count / (EXCESS * target)))
    _, _, side, light = min(found, key=lambda entry: entry[:2])
    return light, side


def require_surface(mesh: Mesh) -> None:
    """Raises ``StageFailed`` unless every edge has one face, or two that wind alike."""
    border = opposite_half_edges(mesh.faces) < 0
    table = edge_table(mesh.faces)
    if (table.counts > 2).any() or border.sum() != (table.counts == 1).sum():
        raise StageFailed(
            "faces cross or wind against each other, so there is no surface to lay quads on.",
            subject="quad_field",
            remedy="Put repair before decimate, or set backends.mesh_filter=quadric.",
        )
