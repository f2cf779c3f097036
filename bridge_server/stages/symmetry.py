"""Stage ``symmetry``: one half, or one sector, of the high poly is mirrored over the rest."""

import enum
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Int64

from bridge_server.errors import StageFailed
from bridge_server.run import Run
from bridge_server.stages.stage import Range, Stage
from bridge_server.stages.symmetry_sectors import Sectors, mirrored
from bridge_server.values.base import Notice, Severity
from bridge_server.values.mesh import HighPoly, Mesh
from bridge_server.values.mesh_topology import face_areas
from bridge_server.values.surface_folded import FoldedField


class SymmetryMode(enum.StrEnum):
    """Which symmetry the asset gets; bilateral ones are named by the axis that is mirrored."""

    OFF = "off"
    BILATERAL_X = "bilateral_x"
    BILATERAL_Y = "bilateral_y"
    BILATERAL_Z = "bilateral_z"
    RADIAL = "radial"


class KeptSide(enum.StrEnum):
    """Which half of a bilateral asset is the model for the other."""

    AUTO = "auto"
    POSITIVE = "positive"
    NEGATIVE = "negative"


class SymmetryCenter(enum.StrEnum):
    """What the planes of symmetry go through."""

    BOUNDS = "bounds"
    ORIGIN = "origin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Symmetry(Stage):
    """Make the asset exactly symmetric, colours included; seams are welded and a closed mesh stays closed."""

    name: ClassVar[str] = "symmetry"
    writes: ClassVar[str] = "high_poly"
    version: ClassVar[int] = 1
    mode: SymmetryMode = SymmetryMode.OFF
    """``radial`` turns around the vertical axis and mirrors within each turn, so that seams meet exactly."""
    radial_count: Annotated[int, Range(2, 64)] = 6
    """How many times a radial asset repeats in a full turn."""
    keep: KeptSide = KeptSide.AUTO
    """``auto`` keeps the half with more faces, which has more detail. A radial asset always does so."""
    center: SymmetryCenter = SymmetryCenter.BOUNDS
    """The middle of the bounding box, or the origin of the file."""

    def __call__(self, run: Run, *, high_poly: HighPoly) -> HighPoly:
        """With mode ``off`` the high poly comes back as it is. Raises ``StageFailed`` where the kept side is empty."""
        if self.mode is SymmetryMode.OFF:
            return high_poly
        run.checkpoint(0.1, "cutting")
        mesh = high_poly.mesh
        low, high = mesh.bounds_m
        center = (low.astype(np.float64) + high) / 2.0 if self.center is SymmetryCenter.BOUNDS else np.zeros(3)
        sectors = self._sectors(center)
        kept = self._kept_sector(mesh, sectors)
        sectors = sectors.begun_at(kept)
        found = mirrored(mesh, sectors)
        if not len(found.faces):
            raise StageFailed(
                "nothing of the mesh lies on the side to keep.",
                subject=self.name,
                remedy="Use keep=auto or center=bounds.",
            )
        run.checkpoint(0.9, "mirroring")
        field = FoldedField(
            inner=high_poly.field,
            center_m=(float(center[0]), float(center[1]), float(center[2])),
            right=(float(sectors.right[0]), float(sectors.right[1]), float(sectors.right[2])),
            ahead=(float(sectors.ahead[0]), float(sectors.ahead[1]), float(sectors.ahead[2])),
            sectors=sectors.count,
        )
        message = f"The asset was made symmetric ({self.mode}) after its part number {kept + 1} of {sectors.count}."
        notice = Notice(code="made_symmetric", message=message, severity=Severity.INFO)
        return replace(high_poly, mesh=found, field=field, notices=(notice,))

    def _sectors(self, center: np.ndarray) -> Sectors:
        if self.mode is SymmetryMode.RADIAL:
            return Sectors(center, np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0]), 2 * self.radial_count)
        axes = np.eye(3)
        axis = ("bilateral_x", "bilateral_y", "bilateral_z").index(self.mode)
        return Sectors(center, axes[(axis + 1) % 3], axes[axis], 2)

    def _kept_sector(self, mesh: Mesh, sectors: Sectors) -> int:
        """Sector with most faces; among equals that with most area, then the first."""
        if self.mode is not SymmetryMode.RADIAL and self.keep is not KeptSide.AUTO:
            return 0 if self.keep is KeptSide.POSITIVE else 1
        at = sector_of_faces(mesh, sectors)
        faces = np.bincount(at, minlength=sectors.count)
        areas = np.round(np.bincount(at, face_areas(mesh), sectors.count), 9)
        return int(np.lexsort((np.arange(sectors.count), -areas, -faces))[0])


def sector_of_faces(mesh: Mesh, sectors: Sectors) -> Int64[np.ndarray, "faces"]:
    """Which sector the middle of each face lies in."""
    offset = mesh.positions_m.astype(np.float64)[mesh.faces].mean(axis=1) - sectors.center_m
    angle = np.mod(np.arctan2(offset @ sectors.ahead, offset @ sectors.right), 2.0 * np.pi)
    return np.minimum((angle / (2.0 * np.pi / sectors.count)).astype(np.int64), sectors.count - 1)
