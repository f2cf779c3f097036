"""The levels of detail of a package as its files hold them, and whether they are whole and of one shape."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bridge_server.errors import InputError
from bridge_server.package.check_layout import UvLayout, uv_layout
from bridge_server.package.contents import PackageContents
from bridge_server.package.mesh_file import MeshFile, read_mesh_file
from bridge_server.run import Run
from bridge_server.stages import checklist_mesh as mesh_rules
from bridge_server.stages.checklist_uv import uv_in_unit_square
from bridge_server.stages.checklist_verdicts import counted, judged, skipped
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.manifest import LodEntry, Manifest
from bridge_server.values.mesh import Mesh, edge_face_counts
from bridge_server.values.mesh_split import split_non_manifold
from bridge_server.values.source import MeshSource

BOUNDS_SHARE = 0.1
"""A level may reach as far less or more than level 0, as a share of the diagonal."""
TITLE = "Further levels are as whole as level 0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level, read from its file."""

    file: MeshFile
    mesh: Mesh
    """Welded by place, and parted again where solids only touch, as the repair does before the forging's checklist.

    Faces may have been cut for that.
    """
    layout: UvLayout | None


def level_of(contents: PackageContents, manifest: Manifest, entry: LodEntry, run: Run) -> Level:
    """Raises ``InputError`` where the file is not there or cannot be read."""
    data = contents.files.get(entry.path)
    if data is None:
        raise InputError("is missing.", subject=entry.path)
    beside = tuple((name, other) for name, other in contents.files.items() if name != entry.path)
    file = read_mesh_file(MeshSource(name=entry.path, data=data, companions=beside), run)
    parted = split_non_manifold(file.mesh)
    uncut = parted if len(parted.faces) == len(file.mesh.faces) else file.mesh  # cut faces have no row in the file
    light_map_px = manifest.light_map.resolution_px if manifest.light_map is not None else 0
    return Level(file=file, mesh=parted, layout=uv_layout(file.raw, uncut, file.rows, light_map_px))


def levels_alike(levels: list[Level], manifest: Manifest) -> Check:
    """No level has cracks, turned faces or another shape where level 0 has none."""
    if len(levels) < 2:
        return skipped("levels", TITLE, "one level only")
    flaws = [
        f"LOD{entry.index} {flaw}"
        for level, entry in zip(levels[1:], manifest.lods[1:], strict=True)
        for flaw in _flaws(level, levels[0])
    ]
    return judged(
        "levels",
        TITLE,
        ok=not flaws,
        figure="; ".join(flaws[:3]) if flaws else f"{counted(len(levels) - 1, 'level')} as whole",
        limit="no crack, turned face, lost coordinates or other shape",
        remedy="The levels do not belong together: forge or download the package again.",
    )


def _flaws(level: Level, base: Level) -> Iterator[str]:
    cracks, holes = (int((edge_face_counts(each.mesh.faces) == 1).sum()) for each in (level, base))
    if cracks and not holes:
        yield f"has {counted(cracks, 'open edge')}"
    winding = mesh_rules.winding(level.mesh)
    if winding.verdict is Verdict.FAIL and mesh_rules.winding(base.mesh).verdict is not Verdict.FAIL:
        yield f"is turned: {winding.figure}"
    flat = mesh_rules.degenerate_faces(level.mesh)
    if flat.verdict is Verdict.FAIL:
        yield f"has {flat.figure} without area"
    off = max(np.abs(a - b).max() for a, b in zip(level.mesh.bounds_m, base.mesh.bounds_m, strict=True))
    if off > BOUNDS_SHARE * base.mesh.diagonal_m:
        yield f"reaches {off / base.mesh.diagonal_m:.0%} of the size too far or not far enough"
    if base.layout is None:
        return
    if level.layout is None:
        yield "has no UVs"
        return
    if base.layout.unwrapped.lightmap_px and not level.layout.unwrapped.lightmap_px:
        yield "has no UVs for a light map"
    outside = uv_in_unit_square(level.layout.unwrapped)
    if outside.verdict is Verdict.FAIL:
        yield f"has {outside.figure} of the texture"
