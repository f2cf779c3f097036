"""Rules about the UV layout, judged on a rasterised atlas."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32, Int64

from bridge_server.stages.checklist_verdicts import graded, judged, share
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.mesh import UnwrappedMesh

ATLAS_PX = 1024
SMALLEST_MIP_PX = 128
CANDIDATES_AT_ONCE = 1 << 22
EDGE_TOLERANCE_PX = 0.02
"""A texel whose centre is nearer than this to an edge counts as outside, so that neighbours never share one."""


@dataclass(frozen=True, slots=True)
class Atlas:
    """Charts as texels of a square of ``ATLAS_PX``."""

    layers: Int32[np.ndarray, "size size"]
    """How many faces cover the centre of each texel."""
    charts: Int32[np.ndarray, "size size"]
    """The chart of one of them; -1 where there is none."""


def rasterized(unwrapped: UnwrappedMesh, size_px: int = ATLAS_PX) -> Atlas:
    """Cover texel centres with UV triangles."""
    corners = np.nan_to_num(unwrapped.uvs.astype(np.float64))[unwrapped.faces] * size_px - 0.5
    low = np.clip(np.ceil(corners.min(axis=1)), 0, size_px).astype(np.int64)
    high = np.clip(np.floor(corners.max(axis=1)) + 1, 0, size_px).astype(np.int64)
    extent = np.maximum(high - low, 0)
    layers = np.zeros(size_px * size_px, np.int32)
    charts = np.full(size_px * size_px, -1, np.int32)
    faces = np.flatnonzero((extent > 0).all(axis=1))
    box = 1 << np.ceil(np.log2(extent[faces])).astype(np.int64)  # boxes of a power of two, so that few shapes occur
    for width, height in np.unique(box, axis=0):
        alike = faces[(box == (width, height)).all(axis=1)]
        step = max(1, CANDIDATES_AT_ONCE // int(width * height))
        for start in range(0, len(alike), step):
            some = alike[start : start + step]
            texel, face = _covered(corners[some], low[some], high[some], (int(width), int(height)), size_px)
            layers += np.bincount(texel, minlength=len(layers)).astype(np.int32)
            charts[texel] = unwrapped.charts[some[face]]
    return Atlas(layers=layers.reshape(size_px, size_px), charts=charts.reshape(size_px, size_px))


def _covered(
    corners: Float64[np.ndarray, "faces 3 2"],
    low: Int64[np.ndarray, "faces 2"],
    high: Int64[np.ndarray, "faces 2"],
    box: tuple[int, int],
    size_px: int,
) -> tuple[Int64[np.ndarray, "covered"], Int64[np.ndarray, "covered"]]:
    """Flat index of each covered texel, and which face covers it."""
    x = low[:, 0, None, None] + np.arange(box[0])[None, None, :]
    y = low[:, 1, None, None] + np.arange(box[1])[None, :, None]
    inside = (x < high[:, 0, None, None]) & (y < high[:, 1, None, None])
    first, second, third = corners[:, 0], corners[:, 1], corners[:, 2]
    ahead, behind = second - first, third - first
    sign = np.where(ahead[:, 0] * behind[:, 1] - ahead[:, 1] * behind[:, 0] < 0.0, -1.0, 1.0)[:, None, None]
    for start, end in ((first, second), (second, third), (third, first)):
        along = end - start
        length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-12)[:, None, None]
        across = along[:, 0, None, None] * (y - start[:, 1, None, None])
        across = across - along[:, 1, None, None] * (x - start[:, 0, None, None])
        inside &= across * sign > EDGE_TOLERANCE_PX * length
    face, row, column = np.nonzero(inside)
    return (low[face, 1] + row) * size_px + low[face, 0] + column, face


def uv_overlap(atlas: Atlas, limit: float) -> Check:
    """No texel belongs to two places of the surface."""
    covered = max(int((atlas.layers > 0).sum()), 1)
    twice = int((atlas.layers > 1).sum()) / covered
    return judged(
        "uv_overlap",
        "UVs do not overlap",
        ok=twice <= limit,
        figure=f"{share(twice)} of the texels used twice",
        limit=f"at most {share(limit)}",
        remedy="Unwrap again with another unwrapper or less unwrap.chart_stretch; overlapping parts share baked light.",
    )


def uv_in_unit_square(unwrapped: UnwrappedMesh) -> Check:
    """All of the layout lies in the texture."""
    outside = float(((unwrapped.uvs < -1e-6) | (unwrapped.uvs > 1.0 + 1e-6)).any(axis=1).mean())
    finite = bool(np.isfinite(unwrapped.uvs).all())
    return judged(
        "uv_in_unit_square",
        "UVs lie inside the texture",
        ok=outside <= 0.0 and finite,
        figure=f"{share(outside)} of the vertices outside" if finite else "UVs that are no numbers",
        limit="all inside",
        remedy="Unwrap again; baked maps would repeat on these faces.",
    )


def uv_padding(unwrapped: UnwrappedMesh, atlas: Atlas) -> Check:
    """Charts stay apart when the texture is shown at 128 px, so that colours do not bleed in the distance."""
    block = atlas.charts.shape[0] // SMALLEST_MIP_PX
    tiles = atlas.charts.reshape(SMALLEST_MIP_PX, block, SMALLEST_MIP_PX, block)
    highest = tiles.max(axis=(1, 3))
    lowest = np.where(tiles < 0, np.iinfo(np.int32).max, tiles).min(axis=(1, 3))
    used = highest >= 0
    mixed = float((used & (lowest != highest)).sum()) / max(int(used.sum()), 1)
    gap = unwrapped.padding_px * SMALLEST_MIP_PX / max(unwrapped.atlas_px, 1)
    return judged(
        "uv_padding",
        "Charts keep apart in the distance",
        ok=mixed <= 0.001,
        figure=f"{share(mixed)} of the texels mix charts at 128 px, gap {gap:.2g} texel",
        limit="none mixed at 128 px",
        remedy=f"Raise unwrap.padding_px to {max(1, round(unwrapped.atlas_px / SMALLEST_MIP_PX))}.",
        otherwise=Verdict.WARN,
    )


def texel_density_spread(unwrapped: UnwrappedMesh, limit: float, scale: float) -> Check:
    """Every part of the surface gets about as many texels for its size."""
    spread = unwrapped.texel_density_spread
    density = unwrapped.texel_density_px_per_m / max(scale, 1e-12) / 100.0
    return graded(
        "texel_density_spread",
        "Even texel density",
        good=spread <= limit,
        bearable=spread <= 4.0 * limit,
        figure=f"{density:.3g} texels/cm, spread {share(spread)}",
        limit=f"spread at most {share(limit)}",
        remedy="Unwrap again by texel density; otherwise some parts look sharp and others blurred.",
    )
