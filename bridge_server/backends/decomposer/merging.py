"""Convex pieces joined again two by two, and the number of them that is worth its price.

The search that V-HACD and CoACD end with: the pair whose joint hull adds least volume becomes one (Mamou, "Volumetric
hierarchical approximate convex decomposition", 2016).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from manifold3d import Manifold


def merged(hulls: list["Manifold"], most: int, piece_m3: float) -> list["Manifold"]:
    """Of all numbers up to ``most``, the pieces whose volume and price for each piece are least together."""
    return min(
        (step for step in merge_steps(hulls) if len(step) <= most),
        key=lambda step: sum(hull.volume() + piece_m3 for hull in step),
    )


def merge_steps(hulls: list["Manifold"]) -> list[list["Manifold"]]:
    """The hulls as they are, then each time with the cheapest two joined, down to one."""
    from manifold3d import Manifold

    current = dict(enumerate(hulls))
    joint: dict[tuple[int, int], tuple[float, Manifold]] = {}

    def price(first: int, second: int) -> None:
        both = Manifold.batch_hull([current[first], current[second]])
        joint[first, second] = (both.volume() - current[first].volume() - current[second].volume(), both)

    for first in current:
        for second in range(first + 1, len(hulls)):
            price(first, second)
    steps = [list(hulls)]
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
