"""How unlike level 0 does each level of detail look at the size at which it is shown?

``./forge bench lods`` takes ten meshes down the road to levels of detail, renders each level and level 0 with the
same maps from two sides at the screen size at which the level takes over (1080 lines), and writes the peak
signal-to-noise ratio inside the box of the subject, the largest and mean distance to level 0 both ways, how far the
texture slides (the distance between where a texture coordinate is shown and where level 0 shows it, on the average)
and the widest gap at a seam to ``benchmarks/results/lods.json``. The row ``hull`` is a hull that comes right after
level 0. Each level stands beside one of as many triangles by half-edge collapses (``edge_collapse``, which serves where
Numba is not installed) and, with ``--meshoptimizer PATH``, the folder of that npm package (1.3.0), beside one by its
``simplifyWithAttributes``, all seen at the size of ours. ``--only NAME,NAME`` takes some meshes. With the knight
among them its levels are drawn beside level 0 into ``benchmarks/results/lods.png``.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

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
from bridge_server.stages.lod_half_edges import DISTANCE_SAMPLES, with_faces
from bridge_server.stages.lod_texture import TexturePlaces
from bridge_server.stages.lods import Lods, seam_gap_m
from bridge_server.stages.mesh_distance import surface_distance
from bridge_server.stages.pack import Pack
from bridge_server.stages.render_subject import Subject, mapped_subject
from bridge_server.stages.render_view import prepare_view, render_view
from bridge_server.stages.repair import Repair
from bridge_server.stages.trace import Trace
from bridge_server.stages.unwrap import Unwrap
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.placement import Pivot, Placement

NAMES = ("spot", "koala", "boot", "knight", "stairs", "human", "nefertiti", "sword", "couch", "vase")
TRIANGLES, RESOLUTION_PX, LEVELS = 6_000, 512, 4
SCREEN_LINES = 1080
SIDES_DEG = (35.0, 215.0)
DRAWN, DRAWN_PX, CAPTION_PX, DRAWN_DEG = "knight", 320, 22, 35.0
PLACEMENT = Placement(scale=1.0, translation_m=(0.0, 0.0, 0.0), pivot=Pivot.CENTER, height_cm=100.0)


def measured(mesh: BenchMesh, peer: "Peer | None") -> list[dict[str, object]]:
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
    by_half_edges = Lods(count=LEVELS)(run, MESH_FILTERS.load("simplification"), raycaster, unwrapped=unwrapped)
    hulled = Lods(count=2, last_level_hull=True)(run, mesh_filter, raycaster, unwrapped=unwrapped)

    def subject(level: UnwrappedMesh) -> Subject:
        return mapped_subject(raycaster, level, PLACEMENT, normal=normal, albedo=albedo, packed=packed)

    first, rows = subject(unwrapped), []
    if mesh.name == DRAWN:
        drawn([(len(lod.mesh.faces), subject(lod.mesh)) for lod in chain.lods], _machine.RESULTS / "lods.png")
    judge = LevelJudge(unwrapped)
    levels = [*((str(level), lod) for level, lod in enumerate(chain.lods) if level), ("hull", hulled.lods[-1])]
    for level, lod in levels:
        size_px = max(round(lod.screen_size * SCREEN_LINES), 16)
        methods = {"ours": lod.mesh}
        if level != "hull":
            if int(level) < len(by_half_edges.lods):
                methods["half edges"] = by_half_edges.lods[int(level)].mesh
            if peer is not None:
                methods["meshoptimizer"] = peer(unwrapped, len(lod.mesh.faces))
        for method, found in methods.items():
            row = {"mesh": mesh.name, "level": level, "method": method, "triangles": len(found.faces)}
            row |= {"size_px": size_px, "psnr_db": round(psnr_db(first, subject(found), size_px), 2)}
            row |= judge.figures(found, level == "hull") | {"seam_gap_share": seam_gap_m(found) / low.mesh.diagonal_m}
            rows.append(row)
            print(row, flush=True)
    return rows


class LevelJudge:
    """Distances to one level 0."""

    def __init__(self, unwrapped: UnwrappedMesh) -> None:
        self.unwrapped, self.base = unwrapped, unwrapped.welded_mesh()
        self.raycaster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
        self.texture = TexturePlaces.of(self.raycaster, unwrapped)

    def figures(self, level: UnwrappedMesh, is_hull: bool) -> dict[str, float]:
        """Shares of the diagonal; a hull shows texture where it can, so nothing is said of its sliding."""
        found = surface_distance(self.raycaster, self.base, level.welded_mesh(), DISTANCE_SAMPLES, SilentRun())
        size = self.base.diagonal_m
        told = {"error_share": found.largest_m / size, "mean_share": found.mean_m / size}
        return told if is_hull else told | {"slide_share": self.slide_m(level) / size}

    def slide_m(self, level: UnwrappedMesh) -> float:
        """Mean over the area of a level."""
        weights = np.random.default_rng(0).dirichlet((1.0, 1.0, 1.0), 6)
        corners = level.positions_m.astype(np.float64)[level.faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        shown = np.einsum("kc,fcd->fkd", weights, corners).reshape(-1, 3)
        uvs = np.einsum("kc,fcd->fkd", weights, level.uvs.astype(np.float64)[level.faces]).reshape(-1, 2)
        charts = np.repeat(level.charts, len(weights))
        found = self.texture.nearest(uvs, charts)
        there = self.unwrapped.positions_m.astype(np.float64)[self.unwrapped.faces[found.faces]]
        meant = np.einsum("nk,nkd->nd", found.barycentrics.astype(np.float64), there)
        return float(np.average(np.linalg.norm(shown - meant, axis=1), weights=np.repeat(area, len(weights))))


Peer = Callable[[UnwrappedMesh, int], UnwrappedMesh]


def by_meshoptimizer(package: Path) -> Peer:
    """Places and texture coordinates in unit size, which count alike; seams it sees by equal places."""
    script = Path(__file__).with_name("_meshoptimizer.mjs")

    def run(mesh: UnwrappedMesh, target: int) -> UnwrappedMesh:
        low, high = mesh.positions_m.min(axis=0), mesh.positions_m.max(axis=0)
        places = ((mesh.positions_m - low) / np.linalg.norm(high - low)).astype(np.float32)
        with tempfile.TemporaryDirectory() as folder:
            given, made = Path(folder, "in.bin"), Path(folder, "out.bin")
            counts = np.array([len(places), len(mesh.faces)], np.uint32)
            arrays = (counts, places, mesh.faces.astype(np.uint32), mesh.uvs.astype(np.float32))
            given.write_bytes(b"".join(array.tobytes() for array in arrays))
            module = str(package / "meshopt_simplifier.js")
            command = ["node", str(script), module, str(given), str(made), str(target), "1.0"]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
            faces = np.frombuffer(made.read_bytes(), np.uint32).reshape(-1, 3).astype(np.int64)
        return with_faces(mesh, faces)

    return run


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


def drawn(levels: list[tuple[int, Subject]], path: Path) -> None:
    """All levels at one size, side by side, with their triangles."""
    page = Image.new("RGB", (DRAWN_PX * len(levels), DRAWN_PX + CAPTION_PX), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for column, (triangles, subject) in enumerate(levels):
        frame_m = levels[0][1].positions_m
        view = prepare_view(subject, azimuth_deg=DRAWN_DEG, elevation_deg=15.0, size_px=DRAWN_PX, frame_m=frame_m)
        page.paste(Image.fromarray(render_view(SilentRun(), view)), (column * DRAWN_PX, 0))
        draw.text((column * DRAWN_PX + 8, DRAWN_PX + 3), f"LOD{column}: {triangles:,} triangles", "black", font)
    page.quantize(256).save(path, optimize=True)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(NAMES))
    parser.add_argument("--meshoptimizer", type=Path)
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    peer = by_meshoptimizer(arguments.meshoptimizer) if arguments.meshoptimizer else None
    rows = [row for name in names for row in measured(mesh_named(name), peer)]
    if tuple(names) == NAMES:
        print(_machine.write("lods", {"rows": rows}))


if __name__ == "__main__":
    main()
