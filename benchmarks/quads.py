"""How much of a low poly can be joined to quads, how square are they, and how near does it stay to the high poly?

Every mesh of the set is repaired, cleaned, brought to 5,000 triangles by the filters ``quadric`` and ``quad_field``,
unwrapped, then paired by `quadrangulate` with its usual limits. Writes ``benchmarks/results/quads.json`` and
``quads.png``: ``quadric`` above, ``quad_field`` below, single triangles orange. Lengths are shares of the diagonal, and
times those of the processor.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks import _machine
from benchmarks.meshes import MESHES, BenchMesh
from bridge_server.backends.compiled import compile_all, small_sheet
from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.backends.unwrapper.base import UNWRAPPERS
from bridge_server.errors import ForgeError
from bridge_server.run import SilentRun
from bridge_server.stages.clean import Clean
from bridge_server.stages.decimate import Decimate, fold_count
from bridge_server.stages.quadrangulate import QuadMode, Quadrangulate
from bridge_server.stages.repair import Repair
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.mesh import HighPoly, Mesh, UnwrappedMesh, is_watertight
from bridge_server.values.quads import QuadLayout

TRIANGLES, SHOWN_PX, FINE = 5_000, 640, 2
LARGE = ("two_million",)
"""Left out: it takes minutes in which nothing new is learned."""
SHOWN = ("spot", "demosthenes", "wingnut", "knight")


FILTERS = ("quadric", "quad_field")


def sound(high_poly: HighPoly) -> HighPoly:
    """Repaired and cleaned, as on the road."""
    run = SilentRun()
    mesh_filter, raycaster = (kind.load(kind.choose("auto")) for kind in (MESH_FILTERS, RAYCASTERS))
    return Clean()(run, mesh_filter, high_poly=Repair()(run, raycaster, high_poly=high_poly))


def measured(high_poly: HighPoly, name: str) -> tuple[dict[str, object], UnwrappedMesh, QuadLayout]:
    """One filter on one mesh."""
    run, raycaster = SilentRun(), RAYCASTERS.load(RAYCASTERS.choose("auto"))
    start = time.process_time()
    low = Decimate(triangle_count=TRIANGLES)(run, MESH_FILTERS.load(name), raycaster, high_poly=high_poly)
    decimated = time.process_time()
    mesh = Unwrap()(run, UNWRAPPERS.load(UNWRAPPERS.choose("auto")), low_poly=low)
    unwrapped = time.process_time()
    layout = Quadrangulate(mode=QuadMode.PAIRS)(run, unwrapped=mesh)
    diagonal_m = high_poly.mesh.diagonal_m
    row: dict[str, object] = {
        "method": low.method,
        "triangles": len(mesh.faces),
        "quads": len(layout.faces),
        "share": round(layout.triangle_share, 4),
        "deviation_deg": round(layout.angle_deviation_deg, 2),
        "regular": round(regular_share(low.mesh, mesh, layout), 4),
        "closed": is_watertight(low.mesh),
        "folds": fold_count(low.mesh),
        "mean": float(f"{low.mean_distance_m / diagonal_m:.3g}"),
        "hausdorff": float(f"{low.hausdorff_m / diagonal_m:.3g}"),
        "decimate_cpu_s": round(decimated - start, 2),
        "pairing_cpu_s": round(time.process_time() - unwrapped, 3),
        "notices": [notice.code for notice in low.notices],
    }
    return row, mesh, layout


def regular_share(low: Mesh, mesh: UnwrappedMesh, layout: QuadLayout) -> float:
    """Of the vertices off borders, how many have four edges, the diagonals of quads not counted."""
    faces = mesh.welded[mesh.faces].astype(np.int64)
    single = np.setdiff1d(np.arange(len(faces)), layout.faces)
    around = [np.stack([faces[single], np.roll(faces[single], -1, axis=1)], axis=-1).reshape(-1, 2)]
    corners = mesh.welded[layout.corners].astype(np.int64)
    around.append(np.stack([corners, np.roll(corners, -1, axis=1)], axis=-1).reshape(-1, 2))
    edges, uses = np.unique(np.sort(np.concatenate(around), axis=1), axis=0, return_counts=True)
    valence = np.bincount(edges.reshape(-1), minlength=len(low.positions_m))
    valence[np.unique(edges[uses == 1])] = 0
    return float((valence == 4).sum() / max((valence > 0).sum(), 1))


def wireframe(mesh: UnwrappedMesh, layout: QuadLayout) -> Image.Image:
    """Seen from the front, a little from above and the side, without perspective; far faces are drawn first."""
    turn, lift = np.radians(30.0), np.radians(15.0)
    around = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    over = np.array([[1, 0, 0], [0, np.cos(lift), -np.sin(lift)], [0, np.sin(lift), np.cos(lift)]])
    places = mesh.positions_m.astype(np.float64) @ around @ over.T
    places -= (places.min(axis=0) + places.max(axis=0)) / 2.0
    size = SHOWN_PX * FINE
    shown = (places[:, :2] * [1.0, -1.0]) * (0.46 * size / np.abs(places[:, :2]).max()) + size / 2.0
    single = np.setdiff1d(np.arange(len(mesh.faces)), layout.faces)
    polygons = [*layout.corners.tolist(), *mesh.faces[single].tolist()]
    image = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(image)
    for polygon in sorted(polygons, key=lambda polygon: float(places[polygon, 2].mean())):
        a, b, c = places[polygon[:3]]
        normal = np.cross(b - a, c - a)
        if normal[2] > 0.0:
            light = round(150 + 90 * normal[2] / np.linalg.norm(normal))
            fill = (light, light, light) if len(polygon) == 4 else (light, light * 2 // 3, light // 3)
            outline = [tuple(point) for point in shown[[*polygon, polygon[0]]].tolist()]
            draw.polygon(outline, fill=fill)
            draw.line(outline, fill=(30, 40, 70), width=FINE)
    return image.resize((SHOWN_PX, SHOWN_PX), Image.Resampling.LANCZOS)


def compared(entry: BenchMesh, sheet: Image.Image) -> dict[str, object]:
    """Both filters on one mesh; shown ones are drawn."""
    row: dict[str, object] = {}
    high_poly = sound(entry.load())
    row["input"] = {"triangles": len(high_poly.mesh.faces), "closed": is_watertight(high_poly.mesh)}
    for line, name in enumerate(FILTERS):
        try:
            row[name], mesh, layout = measured(high_poly, name)
        except ForgeError as error:
            row[name] = {"failed": error.message}
            continue
        print(f"{entry.name:20s} {name:12s} {row[name]}", flush=True)
        if entry.name in SHOWN:
            sheet.paste(wireframe(mesh, layout), (SHOWN_PX * SHOWN.index(entry.name), SHOWN_PX * line))
    return row


def means_of(rows: dict[str, dict[str, object]], name: str) -> dict[str, object]:
    """Over the meshes that had more triangles than wanted, which alone are remeshed; distances geometric."""
    cut = [row for row in rows.values() if row["input"]["triangles"] > TRIANGLES]
    done = [row[name] for row in cut if "share" in row[name]]
    means: dict[str, object] = {"meshes": len(done)}
    for key in ("share", "deviation_deg", "regular"):
        means[key] = round(float(np.mean([row[key] for row in done])), 4)
    for key in ("mean", "hausdorff"):
        means[key] = float(f"{np.exp(np.mean(np.log([max(row[key], 1e-9) for row in done]))):.3g}")
    means["closed"] = sum(row[name]["closed"] for row in cut if row["input"]["closed"])
    means["closed_before"] = sum(row["input"]["closed"] for row in cut)
    means["served_by_another"] = sum("decimate_fallback" in row["notices"] for row in done)
    return means


def compile_loops() -> None:
    """Those of both filters. On a flat sheet a whole row of quads goes, on a steep one none may."""
    compile_all()
    MESH_FILTERS.load("quad_field").decimate(small_sheet(0.05), 60, SilentRun())


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="names with commas between")
    parser.add_argument("--resume", type=Path, help="file of finished rows; meshes in it are not run again")
    options = parser.parse_args()
    compile_loops()  # before anything is timed
    rows: dict[str, dict[str, object]] = {}
    if options.resume and options.resume.exists():
        rows = json.loads(options.resume.read_text(encoding="utf-8"))
    drawn = options.resume.with_suffix(".png") if options.resume else None
    sheet = Image.new("RGB", (SHOWN_PX * len(SHOWN), SHOWN_PX * len(FILTERS)), "white")
    if drawn and drawn.exists():
        sheet = Image.open(drawn).convert("RGB")
    for entry in MESHES:
        if entry.name in LARGE or entry.name in rows or (options.only and entry.name not in options.only.split(",")):
            continue
        rows[entry.name] = compared(entry, sheet)
        if options.resume and drawn:
            options.resume.write_text(json.dumps(rows), encoding="utf-8")
            sheet.save(drawn)
    means = {name: means_of(rows, name) for name in FILTERS}
    print(json.dumps(means, indent=2))
    if not options.only:
        _machine.write("quads", {"triangles_wanted": TRIANGLES, "means": means, "meshes": rows})
        sheet.quantize(32).save(_machine.RESULTS / "quads.png", optimize=True)


if __name__ == "__main__":
    main()
