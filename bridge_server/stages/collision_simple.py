"""Boxes, balls and capsules in the place of convex pieces, where they serve as well: physics is fastest with them."""

from collections.abc import Iterator

import numpy as np

from bridge_server.stages.collision_shapes import FittedShape, box_frame, fit_box, fit_capsule, fit_sphere
from bridge_server.values.mesh import Mesh


def simple_instead(hull: Mesh, most_m3: float, least_m: float) -> FittedShape | None:
    """The smallest box, ball or capsule around the hull that has no more than that volume; None where none has."""
    points = hull.positions_m.astype(np.float64)
    fits = [fit for fit in _fits(points, most_m3, least_m) if fit.volume_m3 <= most_m3]
    return min(fits, key=lambda fit: fit.volume_m3, default=None)


def _fits(points: np.ndarray, most_m3: float, least_m: float) -> Iterator[FittedShape]:
    """Those whose least possible volume allows it: a ball is at least as wide as the box is long."""
    box = fit_box(points, least_m)
    yield box
    middle, long = np.sort(np.ptp(points @ box_frame(points).T, axis=0))[1:]
    if np.pi / 6.0 * long**3 <= most_m3:
        yield fit_sphere(points)
    if np.pi / 4.0 * middle**2 * (long - middle) + np.pi / 6.0 * middle**3 <= most_m3:
        yield fit_capsule(points)
