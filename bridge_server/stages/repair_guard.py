"""What a repair must not do: lose volume, area, bounds or outline, open what was closed, or paint a wrong colour."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import Run
from bridge_server.stages.field_sampling import same_faces
from bridge_server.stages.repair_native import shells_of
from bridge_server.stages.repair_occupancy import outline_likeness
from bridge_server.stages.repair_visibility import strata
from bridge_server.stages.surface_places import SceneLocate
from bridge_server.values.mesh import Mesh, area_m2, edge_face_counts, is_watertight, volume_m3
from bridge_server.values.mesh_topology import face_areas
from bridge_server.values.surface import SurfaceField
from bridge_server.values.winding_number import winding_field

COLOR_SAMPLES = 600
INSIDE_SAMPLES = 800
NEAR_SHARE = 1e-3
"""How far from the surface, in diagonals, it is asked what lies inside."""


class Effect(enum.Enum):
    """What a step is meant to do to the size of the surface."""

    KEEPS = enum.auto()
    """Area and volume stay about as they are."""
    UNITES = enum.auto()
    """Area and volume may fall, down to those of one shell."""
    RESOLVES = enum.auto()
    """What lies inside the surface goes: area and volume may fall, but what was inside stays inside."""
    UNCOVERS = enum.auto()
    """What nobody sees goes: area and volume may change at will, the outline may not."""
    TRIMS = enum.auto()
    """Flaps that stick out go: the bounds may shrink."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one step may change; shares."""

    volume: float
    area: float
    bounds: float
    """Of the diagonal, on each side of the bounding box."""
    outline: float
    """What intersection over union of the silhouettes may lack to 1."""
    color: float
    """Mean difference of base colour (linear) between new faces and the old ones nearest to them."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Compares a mesh before and after a step."""

    limits: Limits
    raycaster: Raycaster
    field: SurfaceField

    def objections(self, before: Mesh, after: Mesh, effect: Effect, run: Run) -> Iterator[str]:
        """What the step did that it must not, the cheap questions first; nothing where all is well."""
        if after is before:
            return
        if not len(after.faces):
            yield "it left nothing."
            return
        if is_watertight(before) and not is_watertight(after):
            yield "it opened a closed mesh."
        if effect is not Effect.UNCOVERS and _crowded(after) > _crowded(before):
            yield "it made edges of more than two faces."
        moved = np.abs(np.stack(before.bounds_m) - np.stack(after.bounds_m)).max() / max(before.diagonal_m, 1e-30)
        moved = 0.0 if effect is Effect.TRIMS else float(moved)
        grown, swollen = _changes(before, after, effect, self.limits.volume)
        for change, limit, what in (
            (moved, self.limits.bounds, "the bounding box by {:.1%} of the diagonal."),
            (grown, self.limits.area, "the area by {:+.1%}."),
            (swollen, self.limits.volume, "the volume by {:+.1%}."),
        ):
            if abs(change) > limit:
                yield f"it changed {what.format(change)}"
        if effect is Effect.RESOLVES and (gone := inside_changed(before, after, run)) > self.limits.volume:
            yield f"it changed {gone:.1%} of what the surface goes around."
        lacking = 1.0 - outline_likeness(before, after, run)
        if lacking > self.limits.outline:
            yield f"it changed the outline by {lacking:.1%}."
        drift = color_drift(self.field, before, after, self.raycaster, patches=effect is not Effect.RESOLVES)
        if drift > self.limits.color:
            yield f"its new faces differ in colour from those around them by {drift:.2f}."


def _crowded(mesh: Mesh) -> int:
    return int((edge_face_counts(mesh.faces) > 2).sum())


def _changes(before: Mesh, after: Mesh, effect: Effect, limit: float) -> tuple[float, float]:
    """Growth of area and of volume, as far as the effect does not excuse them."""
    if effect is Effect.UNCOVERS:
        return 0.0, 0.0
    if effect is Effect.RESOLVES:
        return max(area_m2(after) / max(area_m2(before), 1e-300) - 1.0, 0.0), 0.0
    volume = volume_m3(before) if is_watertight(before) else 0.0
    if effect is Effect.UNITES:
        kept = volume_m3(after) > (1.0 - limit) * max(volume_m3(shell) for shell in shells_of(before))
        return (0.0, 0.0) if kept else (0.0, -1.0)
    swollen = volume_m3(after) / volume - 1.0 if volume else 0.0
    return area_m2(after) / max(area_m2(before), 1e-300) - 1.0, swollen


def inside_changed(before: Mesh, after: Mesh, run: Run) -> float:
    """Share of the places with a winding number above 0 that one of two surfaces has inside and the other has not.

    Asked are places a thousandth of the diagonal on either side of the surface before, and others all over its box.
    """
    chosen = strata(face_areas(before), INSIDE_SAMPLES)
    corners = before.positions_m.astype(np.float64)[before.faces[chosen]]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lift = NEAR_SHARE * before.diagonal_m * normals / np.linalg.norm(normals, axis=1, keepdims=True)
    middle = corners.mean(axis=1)
    low, high = (bound.astype(np.float64) for bound in before.bounds_m)
    anywhere = low + (high - low) * np.random.default_rng(0).random((INSIDE_SAMPLES, 3))
    points = np.concatenate([middle - lift, middle + lift, anywhere])
    inside = []
    for mesh in (before, after):
        field = winding_field(mesh.positions_m.astype(np.float64)[mesh.faces])
        blocks = np.array_split(points, 32)
        found = []
        for row, block in enumerate(blocks):
            run.checkpoint(row / len(blocks), "comparing what lies inside")
            found.append(field.at(block) > 0.5)
        inside.append(np.concatenate(found))
    return float((inside[0] ^ inside[1]).sum() / max(inside[0].sum(), 1))


def color_drift(field: SurfaceField, before: Mesh, after: Mesh, raycaster: Raycaster, *, patches: bool = True) -> float:
    """Mean difference of base colour between the new faces and the nearest places of the surface that was there.

    Where most faces were kept, and new ones are ``patches``, these are the neighbours; else the mesh before the step.
    """
    kept = same_faces(after, before).faces >= 0
    areas = face_areas(after)
    if kept.all() or not len(before.faces):
        return 0.0
    fresh = np.flatnonzero(~kept)
    chosen = fresh[strata(areas[fresh], COLOR_SAMPLES)]
    if not len(chosen):
        return 0.0
    points = after.positions_m[after.faces[chosen]].mean(axis=1)
    old = Mesh(positions_m=after.positions_m, faces=after.faces[kept]) if patches and kept.mean() > 0.5 else before
    locate = SceneLocate(raycaster)
    place = locate(old.positions_m, old.faces, points)
    around = np.einsum("pc,pcd->pd", place.barycentrics, old.positions_m[old.faces[place.faces]])
    here, there = (field.sample(np.ascontiguousarray(p, np.float32), locate).base_color for p in (points, around))
    return float(np.abs(here - there).mean())
