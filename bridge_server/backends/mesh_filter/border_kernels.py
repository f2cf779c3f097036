# mypy: ignore-errors
# ruff: noqa: PLR0917 - compiled loops take no keywords
"""Compiled loops that find the nearest place on border edges, by Numba (see ``borders``)."""

from numba import njit


@njit(cache=True, nogil=True)
def nearest_edges(points, starts, ends, rows, shares, begin, end):
    """For the points of a range the nearest edge, and how far along it the nearest place lies, from 0 to 1."""
    for i in range(begin, end):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        least, row, share = 1e300, 0, 0.0
        for edge in range(len(starts)):
            px, py, pz = x - starts[edge, 0], y - starts[edge, 1], z - starts[edge, 2]
            ex, ey, ez = (
                ends[edge, 0] - starts[edge, 0],
                ends[edge, 1] - starts[edge, 1],
                ends[edge, 2] - starts[edge, 2],
            )
            square = ex * ex + ey * ey + ez * ez
            t = (px * ex + py * ey + pz * ez) / square if square > 0.0 else 0.0
            t = min(max(t, 0.0), 1.0)
            px, py, pz = px - t * ex, py - t * ey, pz - t * ez
            d = px * px + py * py + pz * pz
            if d < least:
                least, row, share = d, edge, t
        rows[i] = row
        shares[i] = share
