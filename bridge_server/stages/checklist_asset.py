"""Rules about the asset as a whole: where it stands, how tall it is, what it is called, what it lacks."""

import numpy as np

from bridge_server.errors import InputError
from bridge_server.stages.checklist_verdicts import judged, passed, skipped
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.naming import check_asset_name
from bridge_server.values.placement import Pivot, Placement
from bridge_server.values.space import CENTIMETRES_PER_METRE


def pivot(unwrapped: UnwrappedMesh, placement: Placement | None) -> Check:
    """The origin lies where the preset wants it, so that the asset stands on the ground where it is dropped."""
    rule, title = "pivot", "Pivot"
    if placement is None:
        return skipped(rule, title, "not placed")
    placed = placement.apply(unwrapped.positions_m).astype(np.float64)
    low, high = placed.min(axis=0), placed.max(axis=0)
    center = (low + high) / 2.0
    if placement.pivot is Pivot.CUSTOM:
        return passed(rule, title, "where you set it")
    wanted = low[1] if placement.pivot is Pivot.BOTTOM_CENTER else center[1]
    off_cm = float(np.abs([center[0], wanted, center[2]]).max()) * CENTIMETRES_PER_METRE
    tolerance_cm = max(0.01, 0.001 * placement.height_cm)
    where = "the feet" if placement.pivot is Pivot.BOTTOM_CENTER else "the centre"
    return judged(
        rule,
        title,
        ok=off_cm <= tolerance_cm,
        figure=f"{off_cm:.2f} cm from {where}",
        limit=f"at most {tolerance_cm:.2f} cm",
        remedy="Set place.pivot to bottom_center.",
        otherwise=Verdict.WARN,
    )


def height(unwrapped: UnwrappedMesh, placement: Placement | None, wanted_cm: float) -> Check:
    """The placed asset is exactly as tall as asked."""
    rule, title = "height", "Height"
    if placement is None:
        return skipped(rule, title, "not placed")
    measured_cm = float(np.ptp(placement.apply(unwrapped.positions_m)[:, 1])) * CENTIMETRES_PER_METRE
    asked_cm = wanted_cm or placement.height_cm
    return judged(
        rule,
        title,
        ok=abs(measured_cm - asked_cm) <= max(0.01, 0.002 * asked_cm),
        figure=f"{measured_cm:.4g} cm",
        limit=f"{asked_cm:.4g} cm",
        remedy=f"Set place.height_cm to {asked_cm:g}.",
    )


def naming(asset_name: str) -> Check:
    """The name works in Unreal paths and as a file on every system."""
    rule, title = "naming", "Asset name"
    try:
        check_asset_name(asset_name)
    except InputError as error:
        return judged(rule, title, ok=False, figure=ascii(asset_name), limit="letters, digits and _", remedy=str(error))
    return passed(rule, title, f"SM_{asset_name}", "letters, digits and _")


def material_count() -> Check:
    """All charts share one atlas, so there is one material slot and one draw call."""
    return passed("material_count", "Materials", "1 material", "at most 1")


def rig(rig_wanted: str) -> Check:
    """A preset may want a skeleton that this version does not make."""
    rule, title = "rig", "Rig"
    if not rig_wanted:
        return skipped(rule, title, "not asked for")
    return judged(
        rule,
        title,
        ok=False,
        figure="forged without a rig: the rig stage is not part of this version",
        limit=rig_wanted,
        remedy="Import it as a static mesh, or rig it in the editor.",
        otherwise=Verdict.WARN,
    )
