"""Rules about the UV layout, judged on a rasterised atlas."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int32

from bridge_server.stages.checklist_verdicts import graded, judged, share
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.texel_grid import cover_centers

ATLAS_PX = 1024
SMALLEST_MIP_PX = 128
FARTHEST_UV = np.float32(64.0)
"""A layout that leaves the texture by more than this many repeats is judged as if it ended there."""


@dataclass(frozen=True, slots=True)
class Atlas:
    """Charts as texels of a square of ``ATLAS_PX``."""

    layers: Int32[np.ndarray, "size size"]
    """How many faces cover the centre of each texel."""
    charts: Int32[np.ndarray, "size size"]
    """The chart of one of them; -1 where there is none."""


def rasterized(unwrapped: UnwrappedMesh, size_px: int = ATLAS_PX) -> Atlas:
    """Cover texel centres with UV triangles; what lies outside of the square is left out."""
    uvs = np.clip(np.nan_to_num(unwrapped.uvs), -FARTHEST_UV, FARTHEST_UV)
    layers = np.zeros(size_px * size_px, np.int32)
    charts = np.full(size_px * size_px, -1, np.int32)
    for cells in cover_centers(uvs, unwrapped.faces, size_px):
        layers += np.bincount(cells.index, minlength=len(layers)).astype(np.int32)
        charts[cells.index] = unwrapped.charts[cells.faces]
    return Atlas(layers=layers.reshape(size_px, size_px), charts=charts.reshape(size_px, size_px))


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
        remedy="Change decimate.triangle_count a little, so that charts fall differently; what overlaps shares light.",
    )


def uv_in_unit_square(unwrapped: UnwrappedMesh) -> Check:
    """All of the layout lies in the texture."""
    remedy = "Set unwrap.texels_per_m to 0, so that the layout is scaled to fit; maps would repeat on these faces."
    return in_unit_square("uv_in_unit_square", "UVs lie inside the texture", unwrapped.uvs, remedy)


def in_unit_square(rule: str, title: str, uvs: Float32[np.ndarray, "vertices 2"], remedy: str) -> Check:
    """All coordinates are numbers from 0 to 1."""
    outside = float(((uvs < -1e-6) | (uvs > 1.0 + 1e-6)).any(axis=1).mean())
    finite = bool(np.isfinite(uvs).all())
    return judged(
        rule,
        title,
        ok=outside <= 0.0 and finite,
        figure=f"{share(outside)} of the vertices outside" if finite else "UVs that are no numbers",
        limit="all inside",
        remedy=remedy,
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
    known = f", gap {gap:.3g} texels" if unwrapped.padding_px else ""
    return judged(
        "uv_padding",
        "Charts keep apart in the distance",
        ok=mixed <= 0.001,
        figure=f"{share(mixed)} of the texels mix charts at 128 px{known}",
        limit="none mixed at 128 px",
        remedy=f"Raise unwrap.padding_px to {max(1, round(unwrapped.atlas_px / SMALLEST_MIP_PX))}.",
        otherwise=Verdict.WARN,
    )


def uv_stretch(unwrapped: UnwrappedMesh, limit: float) -> Check:
    """Squares of the texture stay about square on the surface."""
    return judged(
        "uv_stretch",
        "Little stretch",
        ok=unwrapped.stretch <= limit,
        figure=f"{unwrapped.stretch:.3g}, where 1 is none",
        limit=f"at most {limit:.2f}",
        remedy="Raise decimate.triangle_count, so that charts lie flatter; now the texture looks drawn out in places.",
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
        remedy="Raise decimate.triangle_count, so that charts lie flatter; now some parts look sharper than others.",
    )
