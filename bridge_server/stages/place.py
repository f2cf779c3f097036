"""Pivot and scale: where the origin of the exported asset lies, and how large it is."""

import enum
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from bridge_server.errors import StageFailed
from bridge_server.run import Run
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.base import Notice, Severity
from bridge_server.values.mesh import HighPoly, LowPoly
from bridge_server.values.placement import Pivot, Placement
from bridge_server.values.space import CENTIMETRES_PER_METRE

SOURCE_WITH_SCALE = "mesh"
"""Only a mesh file says how large the thing is; what comes of a photo has no scale."""
PLAUSIBLE_SIZE_M = (0.01, 100.0)


class SizePreset(enum.StrEnum):
    """Well-known heights."""

    AS_GIVEN = "as_given"
    HUMAN = "human"
    CHILD = "child"
    DOOR = "door"
    CHAIR = "chair"
    TABLE = "table"
    CAR = "car"
    CRATE = "crate"
    MUG = "mug"
    TREE = "tree"
    STREET_LAMP = "street_lamp"


HEIGHTS_CM = {
    SizePreset.HUMAN: 180.0,
    SizePreset.CHILD: 120.0,
    SizePreset.DOOR: 210.0,
    SizePreset.CHAIR: 90.0,
    SizePreset.TABLE: 75.0,
    SizePreset.CAR: 150.0,
    SizePreset.CRATE: 100.0,
    SizePreset.MUG: 10.0,
    SizePreset.TREE: 800.0,
    SizePreset.STREET_LAMP: 600.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Stage):
    """Choose the origin and the height of the exported asset; the working meshes stay as they are."""

    name: ClassVar[str] = "place"
    writes: ClassVar[str] = "placement"
    version: ClassVar[int] = 1

    pivot: Pivot = Pivot.BOTTOM_CENTER
    """Which point of the bounding box becomes the origin."""
    pivot_x: Annotated[float, Range(-10.0, 10.0)] = 0.5
    """For the custom pivot: place along the width as a share of the box, 0 at the right side of the asset."""
    pivot_y: Annotated[float, Range(-10.0, 10.0)] = 0.0
    """For the custom pivot: place along the height, 0 at the bottom, 1 at the top."""
    pivot_z: Annotated[float, Range(-10.0, 10.0)] = 0.5
    """For the custom pivot: place along the depth, 0 at the back, 1 at the front."""
    height_cm: Annotated[float, Range(0.0, 100_000.0)] = 0.0
    """Height of the asset; 0 leaves it to ``size``."""
    size: SizePreset = SizePreset.AS_GIVEN
    """Well-known height to take where ``height_cm`` is 0; ``as_given`` keeps the scale of a mesh file."""
    fallback_height_cm: Annotated[float, Range(0.1, 100_000.0)] = 50.0
    """Height where the input has no scale, as a photo, or an implausible one (below 1 cm, above 100 m)."""

    def __call__(self, run: Run, *, low_poly: LowPoly, high_poly: HighPoly | None = None) -> Placement:
        """Scale and translation; raises ``StageFailed`` where the mesh has no extent at all."""
        run.checkpoint(0.0)
        low, high = (corner.astype(np.float64) for corner in low_poly.mesh.bounds_m)
        size_m = high - low
        if not np.isfinite(size_m).all() or size_m.max() <= 0.0:
            raise StageFailed("the mesh has no extent, so it cannot be given a size.", subject=self.name)
        source = high_poly.source if high_poly is not None else SOURCE_WITH_SCALE
        scale, notices = self._scale(size_m, source)
        share = {
            Pivot.BOTTOM_CENTER: (0.5, 0.0, 0.5),
            Pivot.CENTER: (0.5, 0.5, 0.5),
            Pivot.CUSTOM: (self.pivot_x, self.pivot_y, self.pivot_z),
        }[self.pivot]
        x, y, z = (0.0 - (low + size_m * np.asarray(share)) * scale).tolist()
        return Placement(
            scale=scale,
            translation_m=(x, y, z),
            pivot=self.pivot,
            height_cm=float(size_m[1]) * scale * CENTIMETRES_PER_METRE,
            notices=notices,
        )

    def _scale(self, size_m: np.ndarray, source: str) -> tuple[float, tuple[Notice, ...]]:
        wanted_cm = self.height_cm or HEIGHTS_CM.get(self.size, 0.0)
        if wanted_cm:
            return self._scale_to(size_m, wanted_cm)
        largest_m = float(size_m.max())
        if source == SOURCE_WITH_SCALE and PLAUSIBLE_SIZE_M[0] <= largest_m <= PLAUSIBLE_SIZE_M[1]:
            return 1.0, ()
        scale, notices = self._scale_to(size_m, self.fallback_height_cm)
        if source != SOURCE_WITH_SCALE:
            told = Notice(
                code="scale_assumed",
                message=f"A photo has no scale, so the asset was made {self.fallback_height_cm:g} cm high.",
                remedy="Set place.height_cm, or place.size to a well-known height.",
                severity=Severity.INFO,
            )
        else:
            told = Notice(
                code="scale_implausible",
                message=f"The mesh is {largest_m:.3g} m large as its file has it, "
                f"so the asset was made {self.fallback_height_cm:g} cm high.",
                remedy="Set place.height_cm, or export the mesh in metres.",
            )
        return scale, (told, *notices)

    def _scale_to(self, size_m: np.ndarray, height_cm: float) -> tuple[float, tuple[Notice, ...]]:
        height_m = height_cm / CENTIMETRES_PER_METRE
        if size_m[1] > 1e-4 * size_m.max():
            return height_m / float(size_m[1]), ()
        lying = Notice(
            code="flat_asset",
            message=f"The asset lies flat and has no height, so its longest side was made {height_cm:g} cm long.",
            remedy="Stand the mesh up (Y is up), or set place.height_cm to the length you want.",
        )
        return height_m / float(size_m.max()), (lying,)
