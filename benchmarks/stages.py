"""What does each stage of geometry make of each mesh of the set? A table per stage, before and after.

``./forge bench stages [name ...]`` takes each mesh through ``repair``, ``clean``, ``decimate`` (5,000 triangles),
``unwrap`` (1024 px), ``lods`` (4 levels), ``collision`` (16 pieces) and the rules of ``check``, all with their other
defaults, and writes ``benchmarks/results/stages.json`` and the tables of ``stages.md``. With names those rows alone are
made anew. ``a > b`` is before and after the stage; lengths are shares of the diagonal.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks import _machine
from benchmarks._decimation_measures import Judge
from benchmarks.meshes import MESHES, BenchMesh, mesh_named
from benchmarks.repair import Measured, measure
from benchmarks.unwrapping import Layout, judged
from bridge_server.backends.decomposer.base import DECOMPOSERS
from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.backends.unwrapper.base import UNWRAPPERS
from bridge_server.package.check_mesh import check_mesh
from bridge_server.run import SilentRun
from bridge_server.stages.checklist import MakeChecklist
from bridge_server.stages.clean import Clean
from bridge_server.stages.collision import MakeCollision
from bridge_server.stages.collision_fit import excess_volume
from bridge_server.stages.collision_shapes import fit_convex
from bridge_server.stages.decimate import Decimate
from bridge_server.stages.lods import Lods
from bridge_server.stages.repair import Repair
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.collision import Collision
from bridge_server.values.convex import convex_hull
from bridge_server.values.hollow import filled
from bridge_server.values.lod import LodChain
from bridge_server.values.mesh import HighPoly, LowPoly, Mesh, UnwrappedMesh, area_m2
from bridge_server.values.mesh_slivers import heights
from bridge_server.values.mesh_topology import edge_table, face_components, tidied
from bridge_server.values.solid import bounded_solid, wrapped
from bridge_server.values.surface_texture import TextureField

TRIANGLES, RESOLUTION_PX, LEVELS, PIECES = 5_000, 1_024, 4, 16
LONGEST_S = 600.0
"""Time limit of the decomposition: a busy machine shall change no figure."""
SLIVER = 1e-5
"""A triangle lower than this share of the diagonal is counted as one."""
TABLES = _machine.RESULTS / "stages.md"
Row = dict[str, object]


def passage(bench: BenchMesh) -> dict[str, Row]:
    """The rows of one mesh, by stage."""
    run, raycaster = SilentRun(), RAYCASTERS.load(RAYCASTERS.choose("auto"))
    mesh_filter = MESH_FILTERS.load(MESH_FILTERS.choose("auto"))
    raw = bench.load()
    repaired = Repair()(run, raycaster, high_poly=raw)
    high = Clean()(run, mesh_filter, high_poly=repaired)
    low = Decimate(triangle_count=TRIANGLES)(run, mesh_filter, raycaster, high_poly=high)
    unwrapper = UNWRAPPERS.load(UNWRAPPERS.choose("auto"))
    unwrapped = Unwrap(resolution_px=RESOLUTION_PX)(run, unwrapper, low_poly=low, high_poly=high)
    lods = Lods(count=LEVELS)(run, mesh_filter, raycaster, unwrapped=unwrapped)
    decomposer = DECOMPOSERS.load(DECOMPOSERS.choose("auto"))
    collision = MakeCollision(max_pieces=PIECES, time_limit_s=LONGEST_S)(run, decomposer, low_poly=low)
    limits = MakeChecklist(triangle_budget=TRIANGLES)
    before = check_mesh(bench.source(), limits, raycaster, run).checks
    after = limits(
        run, raycaster, unwrapped=unwrapped, high_poly=high, low_poly=low, lods=lods, collision=collision
    ).checks
    return {
        "repair": repair_row(measure(tidied(raw.mesh)), measure(repaired.mesh)),
        "clean": clean_row(repaired.mesh, high.mesh),
        "decimate": decimate_row(high.mesh, low),
        "unwrap": unwrap_row(raw, unwrapped),
        "lods": lods_row(lods),
        "collision": collision_row(low.mesh, collision),
        "check": check_row(before, after),
    }


def repair_row(before: Measured, after: Measured) -> Row:
    """What can be seen of defects."""
    one, two = asdict(before), asdict(after)
    keys = ("faces", "pieces", "border_edges", "crowded_edges", "flipped_share", "hidden_share", "volume_l")
    return {key: [one[key], two[key]] for key in keys}


def clean_row(before: Mesh, after: Mesh) -> Row:
    """What went, and that nothing else did."""
    return {
        "faces": [len(before.faces), len(after.faces)],
        "pieces": [_pieces(before), _pieces(after)],
        "slivers": [_slivers(before), _slivers(after)],
        "area_m2": [round(area_m2(before), 5), round(area_m2(after), 5)],
    }


def decimate_row(high: Mesh, low: LowPoly) -> Row:
    """How light, and how near."""
    near = Judge(high).judge(low.mesh)
    return {
        "faces": [len(high.faces), len(low.mesh.faces)],
        "border_edges": [_borders(high), _borders(low.mesh)],
        "farthest": near.hausdorff,
        "mean": near.mean,
        "normal_deg": round(near.normal_deg, 2),
        "silhouette_missed": 1.0 - near.silhouette_iou,
        "method": low.method,
    }


def unwrap_row(raw: HighPoly, unwrapped: UnwrappedMesh) -> Row:
    """The file's own layout, where it has one, and the new one."""
    mine = Layout(unwrapped.positions_m[unwrapped.faces], unwrapped.uvs[unwrapped.faces], 0.0)
    after, own = asdict(judged(mine)), own_layout(raw)
    before = asdict(judged(own)) if own is not None else {}
    keys = ("charts", "efficiency", "stretch", "overlap_texels", "bleeding_texels")
    return {key: [before.get(key), after[key]] for key in keys} | {"method": unwrapped.method}


def own_layout(raw: HighPoly) -> Layout | None:
    """The coordinates that the file brought, if they lie in the unit square."""
    field = raw.field
    if not isinstance(field, TextureField) or field.corner_uvs is None:
        return None
    uvs = np.asarray(field.corner_uvs, np.float32)
    if np.ptp(uvs) == 0.0 or uvs.min() < -1e-4 or uvs.max() > 1.0 + 1e-4:
        return None
    return Layout(field.positions_m[field.faces], np.clip(uvs, 0.0, 1.0), 0.0)


def lods_row(chain: LodChain) -> Row:
    """Level 0 and the levels after it."""
    size = chain.lods[0].mesh.welded_mesh().diagonal_m
    return {
        "faces": [len(lod.mesh.faces) for lod in chain.lods],
        "error": [lod.error_m / size for lod in chain.lods],
        "screen_size": [round(lod.screen_size, 4) for lod in chain.lods],
        "seam_gap": max(lod.seam_gap_m for lod in chain.lods) / size,
    }


def collision_row(low: Mesh, collision: Collision) -> Row:
    """One hull around all, which engines make by default, and the pieces."""
    solid = filled(low) or (low if bounded_solid(low) is not None else wrapped(low))
    hull = fit_convex(convex_hull(low.positions_m))
    return {
        "excess": [round(excess_volume([hull], solid), 4), round(collision.excess_volume, 4)],
        "pieces": [1, len(collision.pieces)],
        "triangles": [len(hull.mesh.faces), sum(len(piece.mesh.faces) for piece in collision.pieces)],
        "held": round(collision.containment, 5),
    }


def check_row(before: Iterable[Check], after: Iterable[Check]) -> Row:
    """Rules that the file breaks as it came, and those that the asset breaks."""
    return {
        verdict.value: [[check.rule for check in checks if check.verdict is verdict] for checks in (before, after)]
        for verdict in (Verdict.FAIL, Verdict.WARN)
    }


def _pieces(mesh: Mesh) -> int:
    return int(face_components(mesh.faces).max()) + 1


def _borders(mesh: Mesh) -> int:
    return int((edge_table(mesh.faces).counts == 1).sum())


def _slivers(mesh: Mesh) -> int:
    return int((heights(mesh.positions_m, mesh.faces) < SLIVER * mesh.diagonal_m).sum())


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its title, the key in the row, and how a figure is written."""

    title: str
    key: str
    shown: Callable[[object], str]


def _figure(form: str) -> Callable[[object], str]:
    def shown(value: object) -> str:
        if isinstance(value, list):
            return " > ".join(shown(each) for each in value)
        return "none" if value is None else format(value, form)

    return shown


def _named(value: object) -> str:
    assert isinstance(value, list)
    return " > ".join(f"{len(names)}" for names in value)


def _left(value: object) -> str:
    assert isinstance(value, list)
    return ", ".join(f"`{name}`" for name in value[1])


COUNT, SHARE, SMALL, PLAIN = _figure(",d"), _figure(".1%"), _figure(".1e"), _figure("")
COLUMNS: Mapping[str, tuple[Column, ...]] = {
    "repair": (
        Column("triangles", "faces", COUNT),
        Column("pieces", "pieces", COUNT),
        Column("border edges", "border_edges", COUNT),
        Column("crowded edges", "crowded_edges", COUNT),
        Column("wound inward", "flipped_share", SHARE),
        Column("hidden", "hidden_share", SHARE),
        Column("litres", "volume_l", _figure(",.1f")),
    ),
    "clean": (
        Column("triangles", "faces", COUNT),
        Column("pieces", "pieces", COUNT),
        Column("slivers", "slivers", COUNT),
        Column("m²", "area_m2", _figure(".4f")),
    ),
    "decimate": (
        Column("triangles", "faces", COUNT),
        Column("border edges", "border_edges", COUNT),
        Column("farthest", "farthest", SMALL),
        Column("mean", "mean", SMALL),
        Column("normals, degrees", "normal_deg", _figure(".1f")),
        Column("silhouette missed", "silhouette_missed", SMALL),
        Column("by", "method", PLAIN),
    ),
    "unwrap": (
        Column("charts", "charts", COUNT),
        Column("packed", "efficiency", SHARE),
        Column("stretch", "stretch", _figure(".4g")),
        Column("texels twice", "overlap_texels", COUNT),
        Column("bleeding at 128 px", "bleeding_texels", COUNT),
        Column("by", "method", PLAIN),
    ),
    "lods": (
        Column("triangles", "faces", COUNT),
        Column("farthest", "error", SMALL),
        Column("screen size", "screen_size", _figure(".2f")),
        Column("widest crack", "seam_gap", SMALL),
    ),
    "collision": (
        Column("excess", "excess", SHARE),
        Column("pieces", "pieces", COUNT),
        Column("triangles", "triangles", COUNT),
        Column("held", "held", _figure(".2%")),
    ),
    "check": (
        Column("failed", "fail", _named),
        Column("warned", "warn", _named),
        Column("left to fail", "fail", _left),
        Column("left to warn", "warn", _left),
    ),
}
LEGENDS = {
    "repair": "Wound inward and hidden are shares of the area.",
    "clean": f"Slivers are triangles lower than {SLIVER:g} of the diagonal.",
    "decimate": f"To {TRIANGLES:,} triangles. Distances both ways, to the mesh before.",
    "unwrap": f"{RESOLUTION_PX} px. Before: the file's own coordinates, where it brings some in the unit square.",
    "lods": f"{LEVELS} levels where the mesh allows them; distances to level 0.",
    "collision": f"Before: one convex hull. After: at most {PIECES} pieces.",
    "check": "Rules that the file fails as it came, and that the asset fails (no maps are baked here).",
}


def markdown(meshes: Mapping[str, Mapping[str, Row]]) -> str:
    """All tables."""
    parts = ["# Every stage, before and after\n", "Written by `./forge bench stages`; `a > b` is before and after.\n"]
    for stage, columns in COLUMNS.items():
        parts += [f"## {stage}\n", f"{LEGENDS[stage]}\n"]
        lines = [["mesh", *(column.title for column in columns)], ["---"] * (len(columns) + 1)]
        lines += [
            [name, *(column.shown(rows[stage][column.key]) for column in columns)] for name, rows in meshes.items()
        ]
        parts += [*("| " + " | ".join(line) + " |" for line in lines), ""]
    return "\n".join(parts)


def main() -> None:
    """Measure mesh by mesh, write after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="meshes of the set; all of them without any")
    names = parser.parse_args().names or [mesh.name for mesh in MESHES]
    path = _machine.RESULTS / "stages.json"
    known = json.loads(path.read_text(encoding="utf-8"))["meshes"] if path.is_file() else {}
    for bench in map(mesh_named, names):
        begun = time.perf_counter()
        known[bench.name] = passage(bench)
        ordered = {mesh.name: known[mesh.name] for mesh in MESHES if mesh.name in known}
        _machine.write("stages", {"triangles": TRIANGLES, "left": left(ordered), "meshes": ordered})
        ordered = json.loads(path.read_text(encoding="utf-8"))["meshes"]
        TABLES.write_text(markdown(ordered), encoding="utf-8")
        print(f"{bench.name:20s} {time.perf_counter() - begun:6.1f} s", flush=True)
    print(TABLES.read_text(encoding="utf-8"))


def left(meshes: Mapping[str, Mapping[str, Row]]) -> dict[str, int]:
    """How many assets fail each rule at the end."""
    failing = Counter[str]()
    for rows in meshes.values():
        named = rows["check"][Verdict.FAIL.value]
        assert isinstance(named, list)
        failing.update(named[1])
    return dict(failing.most_common())


if __name__ == "__main__":
    main()
