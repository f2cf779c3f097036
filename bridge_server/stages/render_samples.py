"""Which rays a picture needs: one through every pixel, and more where an outline or a crease crosses one."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Bool, Float32, Int64

from bridge_server.stages.camera import Camera
from bridge_server.stages.render_places import Places, dot, taken
from bridge_server.stages.render_subject import Subject

CREASE_COSINE = 0.9
STEP_PX = 6.0
"""A change of depth from one pixel to the next that makes an outline: a slope of 80 degrees does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelGrid:
    """A rectangle of a picture's pixels, numbered row by row."""

    size_px: int
    """Edge of the whole picture."""
    rows: range
    columns: range

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.rows), len(self.columns)

    def centers(self) -> tuple[Float32[np.ndarray, "pixels"], Float32[np.ndarray, "pixels"]]:
        """Picture coordinates of the pixels' centres."""
        down = np.arange(self.rows.start, self.rows.stop, dtype=np.float32) + np.float32(0.5)
        along = np.arange(self.columns.start, self.columns.stop, dtype=np.float32) + np.float32(0.5)
        return self._picture(np.repeat(down, len(along)), np.tile(along, len(down)))

    def finer(
        self, pixels: Int64[np.ndarray, "pixels"], fine: int
    ) -> tuple[Float32[np.ndarray, "rays"], Float32[np.ndarray, "rays"]]:
        """Picture coordinates of ``fine`` squared places in each of some pixels: all first ones, then all second ones.

        They form a grid that is turned a little, which smooths nearly level edges better than a straight one.
        """
        row = (self.rows.start + pixels // len(self.columns)).astype(np.float32)
        column = (self.columns.start + pixels % len(self.columns)).astype(np.float32)
        down, along = [], []
        for number in range(fine * fine):
            right, below = (number % fine + 0.5) / fine, (number // fine + 0.5) / fine
            down.append(row + np.float32(below - (right - 0.5) / fine))
            along.append(column + np.float32(right + (below - 0.5) / fine))
        return self._picture(np.concatenate(down), np.concatenate(along))

    def _picture(
        self, down: Float32[np.ndarray, "places"], along: Float32[np.ndarray, "places"]
    ) -> tuple[Float32[np.ndarray, "places"], Float32[np.ndarray, "places"]]:
        step = np.float32(2.0 / self.size_px)
        return along * step - np.float32(1.0), np.float32(1.0) - down * step


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Rays that met the subject, each with the pixel it belongs to."""

    pixels: Int64[np.ndarray, "samples"]
    """Place in the grid that was asked for, row by row."""
    to_viewer: Float32[np.ndarray, "samples 3"]
    distances_m: Float32[np.ndarray, "samples"]
    places: Places

    def chosen(self, index: Int64[np.ndarray, "chosen"]) -> Self:
        """Some of the samples."""
        return type(self)(
            pixels=self.pixels.take(index),
            to_viewer=taken(self.to_viewer, index),
            distances_m=self.distances_m.take(index),
            places=self.places.chosen(index),
        )


def center_samples(subject: Subject, camera: Camera, grid: PixelGrid) -> Samples:
    """A ray through the centre of each pixel."""
    return _cast(subject, camera, grid.centers(), np.arange(grid.shape[0] * grid.shape[1]))


def finer_samples(
    subject: Subject, camera: Camera, grid: PixelGrid, pixels: Int64[np.ndarray, "pixels"], fine: int
) -> Samples:
    """``fine`` squared rays through each of some pixels."""
    return _cast(subject, camera, grid.finer(pixels, fine), np.tile(pixels, fine * fine))


def _cast(
    subject: Subject,
    camera: Camera,
    picture: tuple[Float32[np.ndarray, "rays"], Float32[np.ndarray, "rays"]],
    pixels: Int64[np.ndarray, "rays"],
) -> Samples:
    directions = camera.directions(*picture)
    origins = np.broadcast_to(camera.eye_m.astype(np.float32), directions.shape)
    hits = subject.scene.first_hits(np.ascontiguousarray(origins), np.ascontiguousarray(directions))
    met = np.flatnonzero(hits.faces >= 0)
    to_viewer = -taken(directions, met)
    weights = taken(hits.barycentrics, met)
    return Samples(
        pixels=pixels[met],
        to_viewer=to_viewer,
        distances_m=hits.distances_m[met],
        places=subject.places(hits.faces[met].astype(np.int64), weights, to_viewer),
    )


def is_broken(samples: Samples, grid: PixelGrid, pixel_m: float) -> Bool[np.ndarray, "rows columns"]:
    """Pixels between whose centre and that of any of its eight neighbours the surface ends, jumps or turns sharply."""
    rows, columns = grid.shape
    known = np.zeros((4, rows * columns), np.float32)
    for number in range(3):
        known[number, samples.pixels] = samples.places.facing[:, number]
    known[3] = -1e30  # nothing there: a jump from everything that is
    known[3, samples.pixels] = samples.distances_m
    vectors, depth = known[:3].T, known[3]

    def breaks(step: int) -> Bool[np.ndarray, "rows columns"]:
        found = np.zeros(rows * columns, bool)
        found[:-step] = (dot(vectors[step:], vectors[:-step]) < CREASE_COSINE) & (depth[step:] > 0.0)
        found[:-step] |= np.abs(depth[step:] - depth[:-step]) > np.float32(STEP_PX * pixel_m)
        return found.reshape(rows, columns)

    along, down = breaks(1), breaks(columns)
    along[:, -1] = False  # the next pixel in memory lies in the next row
    blocks = np.zeros((rows + 1, columns + 1), bool)  # of 2 x 2 pixels, from one row and column outside
    blocks[1:, 1:] = along | down
    blocks[:-1, 1:] |= along
    blocks[1:, :-1] |= down
    return blocks[1:, 1:] | blocks[:-1, 1:] | blocks[1:, :-1] | blocks[:-1, :-1]
