"""Budgets of a decimation other than a count: a file size, by a model of the file, and an error, by trying."""

from collections.abc import Callable

from bridge_server.run import PartialRun, Run
from bridge_server.values.base import Notice
from bridge_server.values.mesh import LowPoly

VERTEX_BYTES = 48
"""Position, normal, tangent and texture coordinates in single precision (see ``glb_writer``)."""
SEAM_FACTOR = 1.9
"""Vertices in the file for each point of the surface: seams between charts and mirrored tangents double some. Unwrapped
meshes of 6,000 triangles had 1.22 to 1.29, one rough scan of 493 charts 1.86; a budget has to hold for that one too."""
LIGHT_TRIANGLES = 64.0
"""A mesh of so many triangles has twice as many seams and hard edges for its points: a mug of 366 had 2.21 vertices a
point."""
MOST_PER_POINT = 6.0
"""Three corners a triangle, each with a vertex of its own."""
POINTS_PER_TRIANGLE = 0.5
SHORT_CORNERS = 65_535
"""Up to so many vertices a corner takes two bytes, beyond it four."""
FRAME_BYTES = 2_000
"""Header, document and padding."""
TRIES = 6
CLOSE_ENOUGH = 0.9
"""A result whose error is at least this share of the bound is good: a search for fewer triangles ends."""
MARGIN = 0.95

Attempt = Callable[[int, Run], tuple[LowPoly, list[Notice]]]


def geometry_bytes(triangles: int) -> float:
    """Bytes that a mesh of so many triangles takes in a GLB, with as many seams as a rough scan has."""
    per_point = min(SEAM_FACTOR * (1.0 + LIGHT_TRIANGLES / max(triangles, 1)), MOST_PER_POINT)
    vertices = triangles * POINTS_PER_TRIANGLE * per_point
    return FRAME_BYTES + vertices * VERTEX_BYTES + triangles * 3 * (2 if vertices <= SHORT_CORNERS else 4)


def triangles_within(budget_bytes: float) -> int:
    """Most triangles whose geometry fits, at least 12."""
    low, high = 12, 4_000_000
    while low < high:
        middle = (low + high + 1) // 2
        if geometry_bytes(middle) <= budget_bytes:
            low = middle
        else:
            high = middle - 1
    return low


def least_within(attempt: Attempt, most: int, bound_m: float, run: Run) -> tuple[LowPoly, list[Notice]]:
    """As few triangles as stay within an error, and no more than ``most``; a notice where even those do not.

    The error of a smooth surface falls with one over the count, so a try says where the next one should be.
    """
    low, high = 12, most
    best: tuple[LowPoly, list[Notice]] | None = None
    nearest: tuple[LowPoly, list[Notice]] | None = None
    count = max(12, min(most, 10_000))
    for turn in range(TRIES):
        low_poly, notices = attempt(count, PartialRun(run, turn / TRIES, (turn + 1) / TRIES))
        error_m = low_poly.hausdorff_m
        if error_m <= bound_m:
            best, high = (low_poly, notices), count
            if error_m >= CLOSE_ENOUGH * bound_m:
                break
        else:
            low = count
            if nearest is None or error_m < nearest[0].hausdorff_m:
                nearest = low_poly, notices
            if count == most:
                break
        guess = round(count * max(error_m, 1e-12) / (MARGIN * bound_m))
        room = max((high - low) // 8, 1)
        count = min(max(guess, low + room), high - room if best is not None else most)
        if count >= high and best is not None:
            break
    if best is not None:
        return best
    if nearest is None:
        raise AssertionError("at least one count is tried")
    low_poly, notices = nearest
    message = (
        f"{len(low_poly.mesh.faces):,} triangles come within {low_poly.hausdorff_m:.3g} m, not within the wanted "
        f"{bound_m:.3g} m. Raise decimate.triangle_count or decimate.max_error_share."
    )
    return low_poly, [*notices, Notice(code="decimate_error_missed", message=message)]
