"""Simple collision: closed convex pieces that Unreal reads by name."""

import enum
import re
from dataclasses import dataclass

from bridge_server.values.base import Value
from bridge_server.values.mesh import Mesh

MARKED_AS_COLLISION = re.compile(r"^(UCX|UBX|USP|UCP)_|-(?:conv)?col(?:only)?$", re.IGNORECASE)
"""Names by which Unreal and Godot take a mesh for collision."""


class CollisionShape(enum.StrEnum):
    """Kind of primitive; decides the prefix of its node name."""

    CONVEX = "convex"
    BOX = "box"
    SPHERE = "sphere"
    CAPSULE = "capsule"

    @property
    def prefix(self) -> str:
        """Unreal's name prefix: UCX, UBX, USP or UCP."""
        return {"convex": "UCX", "box": "UBX", "sphere": "USP", "capsule": "UCP"}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class CollisionPiece(Value):
    """One closed convex mesh."""

    shape: CollisionShape
    mesh: Mesh


@dataclass(frozen=True, slots=True, kw_only=True)
class Collision(Value):
    """All pieces of an asset, and how well they hold it."""

    pieces: tuple[CollisionPiece, ...]
    containment: float
    """Share of surface samples of the low poly that lie inside a piece (tolerance: 1 % of the diagonal)."""
    excess_volume: float
    """Volume that the pieces together enclose outside of the low poly, over that of the low poly.

    An inside that only narrow openings lead to counts as solid, where the stage fills it; see ``values.hollow``.
    An open surface counts as the shell of 1/48 of its longest side around it, with what that encloses; see
    ``values.solid.wrapped``. NaN where even that has no volume, or in files written before that was so.
    """
    method: str
