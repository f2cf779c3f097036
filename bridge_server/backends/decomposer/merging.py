"""Convex pieces joined again two by two, and the number of them that is worth its price.

The search that V-HACD and CoACD end with: the pair whose joint hull adds least volume becomes one (Mamou, "Volumetric
hierarchical approximate convex decomposition", 2016).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manifold3d import Manifold


@dataclass(frozen=True, slots=True)
class Piece:
    """A hull, and the places in the caller's list of what it was joined from."""

    hull: "Manifold"
    members: tuple[int, ...]

    @property
    def volume_m3(self) -> float:
        """Of the hull."""
        return float(self.hull.volume())


def merged(hulls: Sequence["Manifold"], most: int, piece_m3: float) -> list[Piece]:
    """Of all numbers up to ``most``, the pieces whose volume and price for each piece are least together."""
    return min((step for step in merge_steps(hulls) if len(step) <= most), key=lambda step: cost_m3(step, piece_m3))


def cost_m3(pieces: Sequence[Piece], piece_m3: float) -> float:
    """Volume of the pieces, and the price of each."""
    return sum(piece.volume_m3 + piece_m3 for piece in pieces)


def merge_steps(hulls: Sequence["Manifold"]) -> list[list[Piece]]:
    """The hulls as they are, then each time with the cheapest two joined, down to one."""
    from manifold3d import Manifold

    current = {number: Piece(hull, (number,)) for number, hull in enumerate(hulls)}
    joint: dict[tuple[int, int], tuple[float, Piece]] = {}

    def price(first: int, second: int) -> None:
        one, two = current[first], current[second]
        both = Piece(Manifold.batch_hull([one.hull, two.hull]), (*one.members, *two.members))
        joint[first, second] = (both.volume_m3 - one.volume_m3 - two.volume_m3, both)

    for first in current:
        for second in range(first + 1, len(hulls)):
            price(first, second)
    steps = [list(current.values())]
    for number in range(len(hulls), 2 * len(hulls) - 1):
        pair = min(joint, key=lambda both: (joint[both][0], both))
        made = joint[pair][1]
        joint = {key: value for key, value in joint.items() if not set(key) & set(pair)}
        for gone in pair:
            del current[gone]
        others = list(current)
        current[number] = made
        for other in others:
            price(other, number)
        steps.append(list(current.values()))
    return steps
