"""``forge check`` on a package, second half: do the meshes still keep the rules that they kept when they were forged?

Digests do not tell, because whoever changes a file can write its new digest into the manifest. So the rules that a
mesh alone can answer are applied to the files as they are, with the limits of the package's own preset, and held
against what the manifest tells of the forging. Worse now than then means that the files were changed in between.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.errors import InputError
from bridge_server.package.check_levels import Level, level_of, levels_alike
from bridge_server.package.contents import PackageContents
from bridge_server.package.mesh_file import measured_collision
from bridge_server.run import PartialRun, Run
from bridge_server.stages.checklist import MakeChecklist
from bridge_server.stages.checklist_file import material_slots
from bridge_server.stages.checklist_verdicts import counted
from bridge_server.stages.export_files import ExportTarget
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.collision import Collision
from bridge_server.values.manifest import CheckEntry, Manifest
from bridge_server.values.placement import Pivot, Placement

AGAIN = "The files are not as they were forged: forge or download the package again."
OF_THE_MESH = (
    *("triangle_budget", "watertight", "winding", "degenerate_faces", "non_manifold_edges"),
    *("sliver_share", "inner_hulls", "back_faces_seen"),
    *("uv_overlap", "uv_in_unit_square", "uv_padding", "texel_density_spread", "uv_stretch"),
    *("light_map_in_unit_square", "light_map_overlap", "light_map_gap"),
    *("pivot", "height", "naming"),
)
OF_COLLISION = (
    *("collision_present", "collision_closed", "collision_convex", "collision_vertices"),
    *("collision_containment", "collision_excess", "collision_triangle_share"),
)
COUNTS = ("triangle_budget", "lod_count", "collision_present", "collision_triangle_share")
"""Rules whose figure begins with a count that is the same in every copy of the asset."""
RANK = {Verdict.PASS: 0, Verdict.SKIPPED: 0, Verdict.WARN: 1, Verdict.FAIL: 2}
NUMBER = re.compile(r"\d[\d,]*\.?\d*")
ROUNDING = 0.1
"""Shares closer than this, in per cent, are the same figure, measured with other rays and samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the package's own preset asked for."""

    limits: MakeChecklist
    target: ExportTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedRule:
    """One rule, as the files keep it and as the forging told."""

    check: Check
    """The outcome: FAIL where the files contradict the forging, the forging's word where files do not tell."""
    forged: Check | None
    """None where the manifest does not know the rule."""
    from_files: bool
    """Whether the files were asked."""


def check_shipped(
    contents: PackageContents, manifest: Manifest, asked: Asked, raycaster: Raycaster, run: Run
) -> tuple[ShippedRule, ...]:
    """Every rule that the meshes answer or the manifest tells of."""
    forged = {entry.rule: _told(entry) for entry in manifest.checklist}
    try:
        levels = [level_of(contents, manifest, entry, PartialRun(run, 0.0, 0.4)) for entry in manifest.lods]
    except InputError as error:
        levels, now = [], {"mesh": _fault("mesh", "Meshes can be judged", str(error))}
    else:
        checks = _judged(levels, manifest, asked, raycaster, PartialRun(run, 0.4, 1.0))
        now = {check.rule: check for check in checks}
        if asked.target in (ExportTarget.UE5, ExportTarget.GODOT) and "lod_count" in forged:
            now["lod_count"] = _level_count(len(levels), forged["lod_count"])
    return tuple(_compared(now.get(rule), forged.get(rule)) for rule in dict.fromkeys((*now, *forged)))


def _fault(rule: str, title: str, figure: str) -> Check:
    return Check(rule=rule, title=title, verdict=Verdict.FAIL, figure=figure, remedy=AGAIN)


def _told(entry: CheckEntry) -> Check:
    try:
        verdict = Verdict(entry.verdict)
    except ValueError:
        return _fault(entry.rule, entry.title, f"the manifest tells of {entry.verdict!r}, which is no verdict")
    return Check(
        rule=entry.rule,
        title=entry.title,
        verdict=verdict,
        figure=entry.figure,
        limit=entry.limit,
        remedy=entry.remedy,
    )


def _judged(levels: list[Level], manifest: Manifest, asked: Asked, raycaster: Raycaster, run: Run) -> Iterator[Check]:
    """The stage's own rules on what was read, so that they are the same as when it was forged."""
    if not levels:
        yield _fault("mesh", "Meshes can be judged", "the manifest lists no level")
        return
    base = levels[0]
    yield levels_alike(levels, manifest)
    yield material_slots(base.file.material_count)
    if base.layout is None:
        yield _fault("uv_overlap", "UVs", "the file has no UVs")
        return
    stage = replace(asked.limits, asset_name=manifest.asset.name)
    collides = asked.target is not ExportTarget.WEB
    checklist = stage(
        run,
        raycaster,
        unwrapped=base.layout.unwrapped,
        collision=_collision(base) if collides else None,
        placement=_placement(manifest),
    )
    rules = (*OF_THE_MESH, *OF_COLLISION) if collides else OF_THE_MESH
    yield from (check for check in checklist.checks if check.rule in rules)


def _collision(base: Level) -> Collision:
    if not base.file.pieces:
        return Collision(pieces=(), containment=0.0, excess_volume=float("nan"), method="file")
    return measured_collision(replace(base.file, mesh=base.mesh))


def _placement(manifest: Manifest) -> Placement | None:
    """Files are placed already, so nothing is left to move; pivot and height are as listed."""
    if manifest.placement.pivot not in {pivot.value for pivot in Pivot}:
        return None
    return Placement(
        scale=1.0,
        translation_m=(0.0, 0.0, 0.0),
        pivot=Pivot(manifest.placement.pivot),
        height_cm=manifest.placement.height_cm,
    )


def _level_count(count: int, forged: Check) -> Check:
    """The forging's verdict stands where the files have as many levels as it counted."""
    told = _number(forged.figure)
    if told is None or count == told:
        return forged
    return replace(forged, verdict=Verdict.FAIL, figure=counted(count, "level"), limit=forged.figure, remedy=AGAIN)


def _compared(now: Check | None, forged: Check | None) -> ShippedRule:
    if now is None:
        assert forged is not None
        return ShippedRule(check=forged, forged=forged, from_files=False)
    if forged is None:
        return ShippedRule(check=now, forged=None, from_files=True)
    if _contradicts(now, forged):
        told = replace(
            now,
            verdict=Verdict.FAIL,
            limit=now.limit or forged.limit,
            remedy=f"{AGAIN} {now.remedy}".removesuffix(f" {AGAIN}").strip(),
        )
        return ShippedRule(check=told, forged=forged, from_files=True)
    if now.verdict is Verdict.SKIPPED:
        return ShippedRule(check=forged, forged=forged, from_files=False)
    return ShippedRule(check=now, forged=forged, from_files=True)


def _contradicts(now: Check, forged: Check) -> bool:
    """Whether the files are worse than they were, or other ones."""
    before, after = _number(forged.figure), _number(now.figure)
    if now.rule in COUNTS and before is not None and before != after:
        return True
    if forged.verdict is Verdict.SKIPPED:
        return False
    if now.verdict is Verdict.SKIPPED:
        return now.rule != "triangle_budget"  # without a budget the stage holds it against what decimation was asked
    close = "%" in forged.figure and before is not None and after is not None and abs(before - after) <= ROUNDING
    return RANK[now.verdict] > RANK[forged.verdict] and not close


def _number(figure: str) -> float | None:
    """The first number of a figure."""
    found = NUMBER.search(figure)
    return float(found.group().replace(",", "").rstrip(".")) if found else None
