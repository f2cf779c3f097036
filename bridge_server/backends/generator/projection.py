"""Colours from pictures: where each picture shows each vertex, how much it counts, and what the unseen sides get."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from PIL import Image
from scipy import ndimage, sparse

from bridge_server.backends.generator.outline import ACROSS, TOWARDS, Outline
from bridge_server.backends.generator.surface_nets import neighbour_mean
from bridge_server.values.image import View
from bridge_server.values.mesh import Mesh
from bridge_server.values.pixels import continue_colors, resize
from bridge_server.values.surface_projected import ProjectedField
from bridge_server.values.surface_texture import SRGB_TO_LINEAR, TextureImage, Wrap, bilinear

WORKING_PX = 512
FOLD_FROM = np.deg2rad(70.0)
"""Where the surface turns further from the eye than this, the photo is folded back inwards instead of stretched."""
BACK_BAND = 0.22
"""Share of the outline's depth over which the back lets go of the mirrored photo."""
BACK_BLUR = 0.03
SPILL_CELLS = 8
"""How far beyond its outline something near still hides what lies far behind it."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One picture's part in the field."""

    picture: UInt8[np.ndarray, "height width 3"]
    uvs: Float32[np.ndarray, "vertices 2"]
    weights: Float64[np.ndarray, "vertices"]


def look(
    outline: Outline, positions_m: Float64[np.ndarray, "vertices 3"], shift_m: Float64[np.ndarray, "vertices 2"] | None
) -> Float32[np.ndarray, "vertices 2"]:
    """Texture coordinates of each vertex in the outline's picture, moved by ``shift_m`` across and up."""
    axis, _ = ACROSS[outline.view]
    across, up = positions_m[:, axis], positions_m[:, 1]
    if shift_m is not None:
        across, up = across + shift_m[:, 0], up + shift_m[:, 1]
    columns, rows = outline.places_px(across, up)
    height, width = outline.pixels.shape[:2]
    return np.stack([columns / width, rows / height], axis=1).astype(np.float32)


def fold(
    normals: Float64[np.ndarray, "vertices 3"], radius_m: Float64[np.ndarray, "vertices"]
) -> Float64[np.ndarray, "vertices 2"]:
    """How far inwards each vertex takes its colour from, in metres along X and Y, for eyes on the Z axis.

    On a ball of the local radius the photo is mirrored about the circle where the surface is ``FOLD_FROM`` away from
    the eye, so that the steep rim shows the photo at its own scale instead of its last pixels drawn out.
    """
    angle = np.arccos(np.clip(np.abs(normals[:, 2]), 0.0, 1.0))
    inwards = np.where(angle > FOLD_FROM, np.sin(angle) - np.sin(2.0 * FOLD_FROM - angle), 0.0)
    flat = normals[:, :2]
    length = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)
    return -flat / length * (inwards * radius_m)[:, None]


def opposite_picture(outline: Outline) -> UInt8[np.ndarray, "height width 3"]:
    """What the far side may look like: the mirrored photo near the rim, which inwards gives way to its rim colours.

    So hair goes round the head and a shirt round the body, and neither a face nor a logo appears twice.
    """
    height, width = outline.pixels.shape[:2]
    scale = min(1.0, WORKING_PX / max(height, width))
    h, w = max(2, round(height * scale)), max(2, round(width * scale))
    small = resize(outline.pixels.astype(np.float32), h, w)
    depth = ndimage.distance_transform_edt(small[..., 3] > 127.0)
    near = np.exp(-((depth / (BACK_BAND * depth.max())) ** 2))
    rim = (small[..., 3] > 250.0) & (near > 0.5)
    filled = continue_colors(small[..., :3], rim.astype(np.float32))
    smooth = np.stack([ndimage.gaussian_filter(filled[..., c], BACK_BLUR * max(h, w)) for c in range(3)], axis=-1)
    share = resize(near[..., None].astype(np.float32), height, width)
    rounded = Image.fromarray(np.clip(np.round(smooth), 0, 255).astype(np.uint8))
    carried = np.asarray(rounded.resize((width, height), Image.Resampling.BILINEAR))
    return np.round(outline.pixels[..., :3] * share + carried * (1.0 - share)).astype(np.uint8)


def facing_weights(
    view: View, normals: Float64[np.ndarray, "vertices 3"], sharpness: float
) -> Float64[np.ndarray, "vertices"]:
    """How squarely the surface faces a view, 0 to 1."""
    return np.maximum(normals @ np.array(TOWARDS[view]), 0.0) ** sharpness


def visible(
    view: View, volume: Float32[np.ndarray, "x y z"], nodes: Float64[np.ndarray, "vertices 3"]
) -> Float64[np.ndarray, "vertices"]:
    """1 where nothing of the solid lies between a vertex and the eye, fading to 0 within three cells behind.

    What stands clearly before a place hides it even a little beyond its own outline, because the photo may show it
    larger than the solid has it.
    """
    axis = int(np.flatnonzero(TOWARDS[view])[0])
    forward = TOWARDS[view][axis] > 0.0
    solid = np.moveaxis(volume > 0.0, axis, 2)
    count = solid.shape[2]
    from_eye = solid[..., ::-1] if forward else solid
    first = np.where(solid.any(axis=2), from_eye.argmax(axis=2), count).astype(np.float64)
    here = ndimage.maximum_filter(np.where(first < count, first, -1.0), 3)
    around = ndimage.minimum_filter(first, 2 * SPILL_CELLS + 1)
    others = [k for k in range(3) if k != axis]
    across, up = np.round(nodes[:, others]).astype(np.int64).T
    depth = (count - 1 - nodes[:, axis]) if forward else nodes[:, axis]
    open_here = np.clip((4.0 - (depth - here[across, up])) / 3.0, 0.0, 1.0)
    open_around = np.clip((2.5 * SPILL_CELLS - (depth - around[across, up])) / SPILL_CELLS, 0.0, 1.0)
    return open_here * open_around


def projected_field(mesh: Mesh, parts: Sequence[Seen]) -> ProjectedField:
    """Put the pictures together; vertices that none of them shows take colours from around."""
    mean = neighbour_mean(mesh.faces, len(mesh.positions_m))
    weights = np.stack([part.weights for part in parts]).astype(np.float64)
    total = weights.sum(axis=0)
    weights /= np.maximum(total, 0.05)
    for _ in range(6):
        weights = (mean @ weights.T).T
    pictures = tuple(TextureImage(pixels=part.picture, wrap_u=Wrap.CLAMP, wrap_v=Wrap.CLAMP) for part in parts)
    color = np.zeros((len(mesh.positions_m), 3))
    for picture, part, weight in zip(pictures, parts, weights, strict=True):
        color += weight[:, None] * bilinear(picture, part.uvs.astype(np.float64), SRGB_TO_LINEAR)
    return ProjectedField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        pictures=pictures,
        uvs=np.stack([part.uvs for part in parts]),
        weights=weights.astype(np.float32),
        fill_color=_spread(mesh.positions_m, color, weights.sum(axis=0), mean).astype(np.float32),
    )


def _spread(
    positions_m: Float32[np.ndarray, "vertices 3"],
    color: Float64[np.ndarray, "vertices 3"],
    seen: Float64[np.ndarray, "vertices"],
    mean: sparse.csr_array,
) -> Float64[np.ndarray, "vertices 3"]:
    """Colours of seen vertices carried to the others: the nearest one's, then evened out over the surface."""
    known = seen > 0.5
    if known.all() or not known.any():
        return color / np.maximum(seen, 1e-3)[:, None]
    from scipy.spatial import cKDTree

    _, nearest = cKDTree(positions_m[known]).query(positions_m[~known])
    result = color / np.maximum(seen, 1e-3)[:, None]
    result[~known] = result[known][nearest]
    for _ in range(40):
        result[~known] = (mean @ result)[~known]
    return result
