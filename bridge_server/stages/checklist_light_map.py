"""Rules about the second set of coordinates, on which engines bake light."""

import numpy as np

from bridge_server.stages.checklist_uv import in_unit_square
from bridge_server.stages.checklist_verdicts import counted, graded, judged, share, skipped
from bridge_server.stages.unwrap_measures import least_gap_px
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.mesh_topology import face_areas
from bridge_server.values.texel_grid import overlap_count

LEAST_GAP_PX = 2
"""Empty texels between two charts: one for the filter of each, so that light does not leak from one to the other."""
FLAT_SHARE = 0.01
"""Faces that may have no area in the map, though they have some on the surface: they are lit by one texel."""
RULES = (
    ("light_map_in_unit_square", "Light map UVs lie inside the map"),
    ("light_map_overlap", "Light map UVs do not overlap"),
    ("light_map_gap", "Light map charts keep apart"),
)


def light_map(unwrapped: UnwrappedMesh) -> tuple[Check, ...]:
    """Every rule, judged at the size that the light map was packed for."""
    uvs, size_px = unwrapped.lightmap_uvs, unwrapped.lightmap_px
    if uvs is None or not size_px:
        return tuple(skipped(rule, title, "no coordinates for a light map were made") for rule, title in RULES)
    square, overlap, gap = RULES
    inside = in_unit_square(
        *square, uvs, "Unwrap it anew with unwrap.lightmap_px; baked light would repeat on these faces."
    )
    if inside.verdict is not Verdict.PASS:
        return (inside, *(skipped(rule, title, "coordinates lie outside the map") for rule, title in (overlap, gap)))
    twice, lost = overlap_count(uvs, unwrapped.faces, size_px), _without_place(unwrapped)
    away = least_gap_px(uvs, unwrapped.faces, unwrapped.charts, size_px)
    return (
        inside,
        judged(
            *overlap,
            ok=twice == 0 and lost <= FLAT_SHARE,
            figure=f"{counted(twice, 'texel')} of {size_px} px used twice"
            + (f", {share(lost)} of the faces without area" if lost > FLAT_SHARE else ""),
            limit="none",
            remedy="Raise unwrap.lightmap_px; where faces share texels, they share each other's light and shadow.",
        ),
        graded(
            *gap,
            good=away >= LEAST_GAP_PX,
            bearable=away >= 1,
            figure="one chart" if away >= size_px else f"{counted(away, 'texel')} apart at {size_px} px",
            limit=f"at least {LEAST_GAP_PX} texels",
            remedy="Raise unwrap.lightmap_px; now light leaks from one chart to the next.",
        ),
    )


def _without_place(unwrapped: UnwrappedMesh) -> float:
    """Share of the faces with area on the surface that have none in the map."""
    assert unwrapped.lightmap_uvs is not None
    corners = unwrapped.lightmap_uvs.astype(np.float64)[unwrapped.faces]
    along, other = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    flat = np.abs(along[:, 0] * other[:, 1] - along[:, 1] * other[:, 0]) <= 1e-12
    surface = unwrapped.welded_mesh()
    real = face_areas(surface) > 1e-10 * surface.diagonal_m**2
    return float((flat & real).sum()) / max(int(real.sum()), 1)
