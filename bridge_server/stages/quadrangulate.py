"""Stage ``quadrangulate``: triangles of the low poly are joined to quads, for programs in which it is worked on."""

import enum
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from bridge_server.run import PartialRun, Run
from bridge_server.stages.quad_candidates import quad_candidates
from bridge_server.stages.quad_matching import matched
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.base import Notice, Severity
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.quads import QuadLayout

FEW = 0.6
"""Under this share of triangles in quads the user is warned."""


class QuadMode(enum.StrEnum):
    """Whether quads are wanted."""

    OFF = "off"
    PAIRS = "pairs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quadrangulate(Stage):
    """Pair the triangles of level 0; no vertex moves, so maps, levels and collision stay as they are.

    The files for ``export.target=blender``, OBJ and FBX, hold the quads; all others hold the triangles.
    """

    name: ClassVar[str] = "quadrangulate"
    writes: ClassVar[str] = "quads"
    version: ClassVar[int] = 1
    mode: QuadMode = QuadMode.OFF
    """``pairs`` joins two triangles to a quad wherever that makes a fair one; ``off`` leaves triangles."""
    max_bend_deg: Annotated[float, Range(0.0, 60.0)] = 45.0
    """How far the halves of a quad may bend from each other, along either diagonal."""
    max_corner_deviation_deg: Annotated[float, Range(10.0, 85.0)] = 70.0
    """How far a corner may be from a right angle: 70 allows 20 to 160 degrees."""

    def __call__(self, run: Run, *, unwrapped: UnwrappedMesh) -> QuadLayout:
        """Without any quad where the mode is ``off``. A notice says how many there are and how square."""
        if self.mode is QuadMode.OFF:
            return empty_layout()
        found = quad_candidates(unwrapped, self.max_bend_deg, self.max_corner_deviation_deg, PartialRun(run, 0.0, 0.4))
        count = len(unwrapped.faces)
        chosen = found.at(matched(count, found.faces, found.quality, PartialRun(run, 0.4, 1.0)))
        chosen = chosen.at(np.argsort(chosen.faces.min(axis=1), kind="stable"))
        share = 2.0 * len(chosen.faces) / max(count, 1)
        deviation = float(chosen.deviation_deg.mean()) if len(chosen.faces) else 0.0
        return QuadLayout(
            faces=chosen.faces.astype(np.int32),
            corners=chosen.corners.astype(np.int32),
            triangle_share=share,
            angle_deviation_deg=deviation,
            notices=(quad_notice(len(chosen.faces), count, share, deviation),),
        )


def empty_layout() -> QuadLayout:
    """No quads."""
    return QuadLayout(
        faces=np.zeros((0, 2), np.int32),
        corners=np.zeros((0, 4), np.int32),
        triangle_share=0.0,
        angle_deviation_deg=0.0,
    )


def quad_notice(quads: int, triangles: int, share: float, deviation_deg: float) -> Notice:
    """What was made; a warning with a remedy where most triangles stayed single."""
    message = (
        f"{triangles:,} triangles became {quads:,} quads and {triangles - 2 * quads:,} single triangles: {share:.1%} "
        f"lie in quads, whose corners are {deviation_deg:.1f} degrees from a right angle on average."
    )
    if share >= FEW:
        return Notice(code="quadrangulated", message=message, severity=Severity.INFO)
    remedy = "Raise quadrangulate.max_bend_deg or max_corner_deviation_deg, or decimate.triangle_count."
    return Notice(code="few_quads", message=message, remedy=remedy)
