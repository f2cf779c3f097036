"""Quadric error of position and texture coordinates together (Garland and Heckbert 1998, "Simplifying surfaces with
color and texture using quadric error metrics").

A quadric (A, b, c) gives the weighted squared distance of a place x to the planes and lines that were added to it:
x.A.x + 2 b.x + c. Coordinates have 3 numbers (position) or 5 (position and texture coordinates).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

FEATURE_WEIGHT = 1.0
"""How heavy a border or seam edge weighs, over the square of its length."""


@dataclass(frozen=True, slots=True)
class Quadrics:
    """One quadric for each wedge; changed in place while edges collapse."""

    a: Float64[np.ndarray, "wedges d d"]
    b: Float64[np.ndarray, "wedges d"]
    c: Float64[np.ndarray, "wedges"]

    def add(self, wedges: Int64[np.ndarray, "n"], base: np.ndarray, directions: np.ndarray, weight: np.ndarray) -> None:
        """Add the squared distance to the affine space through ``base`` (n d) along ``directions`` (n k d, unit)."""
        width = base.shape[1]
        a = np.eye(width) - np.einsum("nki,nkj->nij", directions, directions)
        along = np.einsum("nki,ni->nk", directions, base)
        b = np.einsum("nk,nki->ni", along, directions) - base
        c = np.einsum("ni,ni->n", base, base) - np.einsum("nk,nk->n", along, along)
        size = len(self.c)
        for i in range(width):
            self.b[:, i] += np.bincount(wedges, b[:, i] * weight, size)
            for j in range(width):
                self.a[:, i, j] += np.bincount(wedges, a[:, i, j] * weight, size)
        self.c[:] += np.bincount(wedges, c * weight, size)

    def cost(
        self,
        source: Int64[np.ndarray, "n"],
        target: Int64[np.ndarray, "n"],
        coordinates: Float64[np.ndarray, "wedges d"],
    ) -> Float64[np.ndarray, "n"]:
        """Error of both quadrics at the place of the target."""
        x = coordinates[target]
        a = self.a[source] + self.a[target]
        b = self.b[source] + self.b[target]
        value = np.einsum("ni,nij,nj->n", x, a, x) + 2.0 * np.einsum("ni,ni->n", b, x)
        return np.maximum(value + self.c[source] + self.c[target], 0.0)

    def merge(self, source: Int64[np.ndarray, "n"], target: Int64[np.ndarray, "n"]) -> None:
        """Give what the sources hold to their targets; no target may occur twice."""
        self.a[target] += self.a[source]
        self.b[target] += self.b[source]
        self.c[target] += self.c[source]


def face_quadrics(coordinates: Float64[np.ndarray, "wedges d"], faces: Int64[np.ndarray, "faces 3"]) -> Quadrics:
    """Planes of all faces, weighted by a third of their area in space, at each of their corners."""
    count, width = coordinates.shape
    quadrics = Quadrics(np.zeros((count, width, width)), np.zeros((count, width)), np.zeros(count))
    corners = coordinates[faces]
    first, length = _unit(corners[:, 1] - corners[:, 0])
    side = corners[:, 2] - corners[:, 0]
    second, height = _unit(side - np.einsum("fi,fi->f", side, first)[:, None] * first)
    flat = corners[:, :, :3]
    area = np.linalg.norm(np.cross(flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]), axis=1) / 2.0
    weight = np.where((length > 0.0) & (height > 0.0), area / 3.0, 0.0)
    directions = np.stack([first, second], axis=1)
    for corner in range(3):
        quadrics.add(faces[:, corner], corners[:, 0], directions, weight)
    return quadrics


def add_feature_edges(
    quadrics: Quadrics,
    coordinates: Float64[np.ndarray, "wedges d"],
    start: Int64[np.ndarray, "edges"],
    end: Int64[np.ndarray, "edges"],
) -> None:
    """Hold borders and seams to their lines, in space and in the texture."""
    direction, length = _unit(coordinates[end] - coordinates[start])
    for wedges in (start, end):
        quadrics.add(wedges, coordinates[start], direction[:, None], FEATURE_WEIGHT * length**2)


def _unit(vectors: Float64[np.ndarray, "n d"]) -> tuple[Float64[np.ndarray, "n d"], Float64[np.ndarray, "n"]]:
    length = np.linalg.norm(vectors, axis=1)
    return vectors / np.where(length > 0.0, length, 1.0)[:, None], length
