"""A cutout placed in the asset's space: which pixel shows which place, seen orthographically from one side.

Every view is scaled so that its subject is 1 m high, stands on y = 0 and is centred. Grid maps are indexed
``[across, up]``; for front and back across is X, for left and right it is Z.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from scipy import ndimage

from bridge_server.values.image import Cutout, View
from bridge_server.values.pixels import resize

HEIGHT_M = 1.0
SUBJECT = 127
"""Opacity above which a pixel belongs to the subject."""

TOWARDS = {
    View.FRONT: (0.0, 0.0, 1.0),
    View.BACK: (0.0, 0.0, -1.0),
    View.LEFT: (1.0, 0.0, 0.0),
    View.RIGHT: (-1.0, 0.0, 0.0),
}
"""Direction from the asset to the eye."""
ACROSS = {View.FRONT: (0, 1.0), View.BACK: (0, -1.0), View.LEFT: (2, -1.0), View.RIGHT: (2, 1.0)}
"""Axis of space that runs across the picture, and its sign towards the picture's right."""
OPPOSITE = {View.FRONT: View.BACK, View.BACK: View.FRONT, View.LEFT: View.RIGHT, View.RIGHT: View.LEFT}


@dataclass(frozen=True, slots=True)
class Outline:
    """A cropped cutout and its orthographic frame."""

    view: View
    name: str
    pixels: UInt8[np.ndarray, "height width 4"]
    center_px: float
    """Column of the subject's centre."""
    ground_px: float
    """Row where y = 0 lies."""
    px_per_m: float
    width_m: float

    @property
    def colors(self) -> UInt8[np.ndarray, "height width 3"]:
        """The picture without its opacity; colours go on under the edge."""
        return np.ascontiguousarray(self.pixels[..., :3])

    def places_px(
        self, across_m: Float64[np.ndarray, "..."], up_m: Float64[np.ndarray, "..."]
    ) -> tuple[Float64[np.ndarray, "..."], Float64[np.ndarray, "..."]]:
        """Column and row (pixel corners at whole numbers) that show a place, given along the view's axis of space."""
        return self.center_px + ACROSS[self.view][1] * across_m * self.px_per_m, self.ground_px - up_m * self.px_per_m

    def sample(
        self,
        channels: Float32[np.ndarray, "height width channels"],
        across_m: Float64[np.ndarray, "across"],
        up_m: Float64[np.ndarray, "up"],
    ) -> Float64[np.ndarray, "across up channels"]:
        """Means of per-pixel channels over the cells of a grid; outside the picture its border is repeated."""
        height, width = self.pixels.shape[:2]
        cell_px = float(across_m[1] - across_m[0]) * self.px_per_m
        scale = min(1.0, 2.0 / cell_px)
        h, w = max(2, round(height * scale)), max(2, round(width * scale))
        small = resize(channels, h, w) if scale < 1.0 else channels
        columns, rows = self.places_px(across_m[:, None], up_m[None, :])
        places = [np.broadcast_to(rows * h / height - 0.5, (len(across_m), len(up_m)))]
        places.append(np.broadcast_to(columns * w / width - 0.5, places[0].shape))
        blur = 1.1 * cell_px * w / width
        planes = [ndimage.gaussian_filter(small[..., c].astype(np.float64), blur) for c in range(small.shape[2])]
        return np.stack([ndimage.map_coordinates(plane, places, order=1, mode="nearest") for plane in planes], -1)

    def level(
        self, across_m: Float64[np.ndarray, "across"], up_m: Float64[np.ndarray, "up"]
    ) -> Float64[np.ndarray, "across up"]:
        """Opacity less a threshold on a grid: positive inside the silhouette.

        The threshold is one half, or lower where thin parts would fall through the grid: then it is the one that
        keeps the silhouette's area.
        """
        opacity = self.sample(self.pixels[..., 3:].astype(np.float32) / 255.0, across_m, up_m)[..., 0]
        cell_px = float(across_m[1] - across_m[0]) * self.px_per_m
        cells = int(np.count_nonzero(self.pixels[..., 3] > SUBJECT) / cell_px**2)
        ranked = np.sort(opacity, axis=None)[::-1]
        keeping = float(ranked[min(max(cells, 1), ranked.size - 1)])
        return opacity - min(0.5, max(keeping, 0.05))


def outline_of(cutout: Cutout) -> Outline:
    """Crop a cutout to its subject, with a transparent margin all round, and place it in space."""
    inside = cutout.pixels[..., 3] > SUBJECT
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    margin = max(4, round(0.05 * max(bottom - top, right - left)))
    padded = np.pad(cutout.pixels, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    frame = np.ones(padded.shape[:2], bool)
    frame[margin:-margin, margin:-margin] = False
    padded[frame, 3] = 0
    cropped = padded[top : bottom + 2 * margin, left : right + 2 * margin]
    px_per_m = (bottom - top) / HEIGHT_M
    return Outline(
        view=cutout.view,
        name=cutout.name,
        pixels=cropped,
        center_px=margin + (right - left) / 2.0,
        ground_px=margin + float(bottom - top),
        px_per_m=px_per_m,
        width_m=(right - left) / px_per_m,
    )
