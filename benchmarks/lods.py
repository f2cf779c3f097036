"""How unlike level 0 does each level of detail look at the size at which it is shown?

``./forge bench lods`` takes five meshes down the road to levels of detail, renders each level and level 0 with the
same maps from two sides at the screen size at which the level takes over (1080 lines), and writes the peak
signal-to-noise ratio inside the box of the subject, the largest error and the widest gap at a seam to
``benchmarks/results/lods.json``. The row ``hull`` is a hull that comes right after level 0. ``--only NAME,NAME`` takes
some meshes.
"""

import argparse
from dataclasses import replace

import numpy as np

from benchmarks import _machine
from benchmarks.meshes import BenchMesh, mesh_named
from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.rasterizer.base import RASTERIZERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.backends.unwrapper.base import UNWRAPPERS
from bridge_server.run import SilentRun
from bridge_server.stages.bake_albedo import BakeAlbedo
from bridge_server.stages.bake_ao import BakeAo
from bridge_server.stages.bake_metallic_roughness import BakeMetallicRoughness
from bridge_server.stages.bake_normal import BakeNormal
from bridge_server.stages.clean import Clean
from bridge_server.stages.decimate import Decimate
from bridge_server.stages.lods import Lods
from bridge_server.stages.pack import Pack
from bridge_server.stages.render_subject import Subject, mapped_subject
from bridge_server.stages.render_view import prepare_view, render_view
from bridge_server.stages.repair import Repair
from bridge_server.stages.trace import Trace
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.placement import Pivot, Placement

NAMES = ("spot", "koala", "boot", "knight", "stairs")
TRIANGLES, RESOLUTION_PX, LEVELS = 6_000, 512, 4
SCREEN_LINES = 1080
SIDES_DEG = (35.0, 215.0)
PLACEMENT = Placement(scale=1.0, translation_m=(0.0, 0.0, 0.0), pivot=Pivot.CENTER, height_cm=100.0)


def measured(mesh: BenchMesh) -> list[dict[str, object]]:
    """All levels of one mesh."""
    run, raycaster = SilentRun(), RAYCASTERS.load(RAYCASTERS.choose("auto"))
    mesh_filter = MESH_FILTERS.load(MESH_FILTERS.choose("auto"))
    high = Clean()(run, mesh_filter, high_poly=Repair()(run, raycaster, high_poly=mesh.load()))
    low = Decimate(triangle_count=TRIANGLES)(run, mesh_filter, raycaster, high_poly=high)
    unwrapper = UNWRAPPERS.load(UNWRAPPERS.choose("auto"))
    unwrapped = Unwrap(resolution_px=RESOLUTION_PX)(run, unwrapper, low_poly=low)
    hits = Trace(resolution_px=RESOLUTION_PX)(
        run, raycaster, RASTERIZERS.load("texels"), high_poly=high, unwrapped=unwrapped
    )
    read = {"high_poly": high, "unwrapped": unwrapped, "texel_hits": hits}
    normal = BakeNormal()(run, **read)
    albedo = BakeAlbedo()(run, raycaster, **read)
    finish = BakeMetallicRoughness()(run, raycaster, **read)
    packed = Pack()(run, ao=BakeAo(samples=16)(run, raycaster, **read), metallic_roughness=finish)
    chain = Lods(count=LEVELS)(run, mesh_filter, raycaster, unwrapped=unwrapped)
    hulled = Lods(count=2, last_level_hull=True)(run, mesh_filter, raycaster, unwrapped=unwrapped)

    def subject(level: UnwrappedMesh) -> Subject:
        return mapped_subject(raycaster, level, PLACEMENT, normal=normal, albedo=albedo, packed=packed)

    first, rows = subject(unwrapped), []
    levels = [*((str(level), lod) for level, lod in enumerate(chain.lods) if level), ("hull", hulled.lods[-1])]
    for level, lod in levels:
        size_px = max(round(lod.screen_size * SCREEN_LINES), 16)
        row = {"mesh": mesh.name, "level": level, "triangles": len(lod.mesh.faces), "size_px": size_px}
        row["psnr_db"] = round(psnr_db(first, subject(lod.mesh), size_px), 2)
        row["error_share"] = lod.error_m / low.mesh.diagonal_m
        row["seam_gap_share"] = lod.seam_gap_m / low.mesh.diagonal_m
        rows.append(row)
        print(row, flush=True)
    return rows


def psnr_db(one: Subject, other: Subject, size_px: int) -> float:
    """Inside the box that the subject may touch, from both sides together."""
    squares = []
    for azimuth_deg in SIDES_DEG:
        look = {"azimuth_deg": azimuth_deg, "elevation_deg": 15.0, "size_px": size_px, "frame_m": one.positions_m}
        here = prepare_view(one, **look)
        there = prepare_view(other, **look)
        there = replace(there, floor=here.floor)
        a, b = (render_view(SilentRun(), view).astype(np.float64) for view in (here, there))
        rows, columns = here.box
        inside = np.s_[rows.start : rows.stop, columns.start : columns.stop]
        squares.append(((a[inside] - b[inside]) ** 2).reshape(-1))
    mean = float(np.concatenate(squares).mean())
    return 99.0 if mean == 0.0 else float(10.0 * np.log10(255.0**2 / mean))


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(NAMES))
    names = parser.parse_args().only.split(",")
    rows = [row for name in names for row in measured(mesh_named(name))]
    if tuple(names) == NAMES:
        print(_machine.write("lods", {"rows": rows}))


if __name__ == "__main__":
    main()
