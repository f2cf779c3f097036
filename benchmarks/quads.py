"""How much of a low poly can be joined to quads, and how square are they?

Every mesh of the set is repaired, cleaned, decimated to 5,000 triangles and unwrapped, then paired by `quadrangulate`
with its usual limits. Writes ``benchmarks/results/quads.json`` and ``quads.png``, where single triangles are orange.
Time is that of the processor, of the pairing alone.
"""

import argparse
import time

import numpy as np
from PIL import Image, ImageDraw

from benchmarks import _machine
from benchmarks.meshes import MESHES
from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.backends.unwrapper.base import UNWRAPPERS
from bridge_server.errors import ForgeError
from bridge_server.run import SilentRun
from bridge_server.stages.clean import Clean
from bridge_server.stages.decimate import Decimate
from bridge_server.stages.quadrangulate import QuadMode, Quadrangulate
from bridge_server.stages.repair import Repair
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.mesh import HighPoly, UnwrappedMesh
from bridge_server.values.quads import QuadLayout

TRIANGLES, LARGEST, SHOWN_PX, FINE = 5_000, 250_000, 640, 2
SHOWN = ("knight", "demosthenes", "vase", "couch")


def low_poly(high_poly: HighPoly) -> UnwrappedMesh:
    """As the road makes it."""
    run = SilentRun()
    mesh_filter, raycaster, unwrapper = (
        kind.load(kind.choose("auto")) for kind in (MESH_FILTERS, RAYCASTERS, UNWRAPPERS)
    )
    sound = Clean()(run, mesh_filter, high_poly=Repair()(run, raycaster, high_poly=high_poly))
    low = Decimate(triangle_count=TRIANGLES)(run, mesh_filter, raycaster, high_poly=sound)
    return Unwrap()(run, unwrapper, low_poly=low)


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


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="names with commas between")
    only = parser.parse_args().only
    rows: dict[str, dict[str, object]] = {}
    sheet = Image.new("RGB", (SHOWN_PX * len(SHOWN), SHOWN_PX), "white")
    for entry in MESHES:
        name = entry.name
        if only and name not in only.split(","):
            continue
        try:
            high_poly = entry.load()
            if len(high_poly.mesh.faces) > LARGEST:
                continue
            mesh = low_poly(high_poly)
        except ForgeError as error:
            rows[name] = {"failed": error.message}
            continue
        start = time.process_time()
        layout = Quadrangulate(mode=QuadMode.PAIRS)(SilentRun(), unwrapped=mesh)
        rows[name] = {
            "triangles": len(mesh.faces),
            "quads": len(layout.faces),
            "share": round(layout.triangle_share, 4),
            "deviation_deg": round(layout.angle_deviation_deg, 2),
            "cpu_s": round(time.process_time() - start, 3),
        }
        print(name, rows[name], flush=True)
        if name in SHOWN:
            sheet.paste(wireframe(mesh, layout), (SHOWN_PX * SHOWN.index(name), 0))
    done = [row for row in rows.values() if "share" in row]
    means = {key: round(float(np.mean([row[key] for row in done])), 4) for key in ("share", "deviation_deg")}
    print(means)
    if not only:
        _machine.write("quads", {"triangles_wanted": TRIANGLES, "means": means, "meshes": rows})
        sheet.quantize(32).save(_machine.RESULTS / "quads.png", optimize=True)


if __name__ == "__main__":
    main()
