"""How good are the atlases, beside xatlas as it comes and Blender's Smart UV Project?

``./forge bench unwrapping --blender-python PATH`` takes an interpreter that can import ``bpy`` 4.5; without one that
column stays empty. Every mesh of the set is decimated to 10,000 triangles and unwrapped for a map of 1024 px with 8
texels between charts by each. Writes ``benchmarks/results/unwrapping.json`` and a contact sheet of all atlases.

Efficiency is the share of the square that charts cover; of xatlas, which makes the atlas as large as it likes, the
share of the smallest square round it, at the same gap. Stretch is the L2 norm of Sander et al. (2001) over the whole
atlas, 1 is none; area and angle distortion are means over the surface of the greater of a ratio and its inverse.
Time is that of the processor over all threads, which other work on the machine hardly changes.
Bleeding is the number of texels of the 128 px mip that two charts touch.
"""

import argparse
import json
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks import _machine
from benchmarks.meshes import MESHES
from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.backends.unwrapper.base import UNWRAPPERS, UnwrapSettings
from bridge_server.errors import ForgeError
from bridge_server.run import SilentRun
from bridge_server.stages.clean import Clean
from bridge_server.stages.decimate import Decimate
from bridge_server.stages.repair import Repair
from bridge_server.stages.unwrap_measures import atlas_figures
from bridge_server.values.mesh import Mesh
from bridge_server.values.mesh_topology import face_components
from bridge_server.values.texel_grid import cover_centers, gathered, overlap_count, touched_texels

TRIANGLES, SIZE_PX, GAP_PX, MIP_PX = 10_000, 1024, 8, 128
SHOWN_PX = 192
WAYS = ("ours", "xatlas", "blender")


@dataclass(frozen=True)
class Layout:
    """What all three are reduced to: the same triangles with coordinates, in a square."""

    corners_m: np.ndarray
    uvs: np.ndarray
    cpu_s: float
    pages: int = 1


@dataclass(frozen=True)
class Figures:
    """What is measured of an atlas."""

    charts: int
    efficiency: float
    stretch: float
    area_distortion: float
    angle_distortion: float
    seam_m: float
    overlap_texels: int
    bleeding_texels: int
    density_spread: float
    cpu_s: float


class Blender:
    """The other process."""

    def __init__(self, python: str, folder: Path) -> None:
        command = [python, str(Path(__file__).with_name("_blender_unwrap.py"))]
        self.folder = folder
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.version: str = self._answer()["version"]

    def unwrap(self, mesh: Mesh) -> Layout:
        """Seconds of the operator alone."""
        path, out = self.folder / "mesh.npz", self.folder / "uvs.npy"
        np.savez(path, positions=mesh.positions_m, faces=mesh.faces)
        assert self.process.stdin is not None
        order = {"mesh": str(path), "margin": GAP_PX / SIZE_PX, "out": str(out)}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        seconds = float(self._answer()["seconds"])
        return Layout(mesh.positions_m[mesh.faces], np.load(out) * np.float32([1, -1]) + np.float32([0, 1]), seconds)

    def close(self) -> None:
        """End it."""
        self.process.communicate(timeout=60)

    def _answer(self) -> dict:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("Blender ended without an answer; run _blender_unwrap.py by hand to see why")
        return json.loads(line)


def ours(mesh: Mesh) -> Layout:
    settings = UnwrapSettings(resolution_px=SIZE_PX, padding_px=GAP_PX, texels_per_m=0.0, time_limit_s=180.0)
    start = time.process_time()
    atlas = UNWRAPPERS.load("isometric").unwrap(mesh, settings, SilentRun())
    return Layout(mesh.positions_m[mesh.faces], atlas.uvs[atlas.faces], time.process_time() - start)


def as_it_comes(mesh: Mesh) -> Layout:
    """The package xatlas with its own options, told the size and the gap."""
    import xatlas

    start = time.process_time()
    atlas = xatlas.Atlas()
    atlas.add_mesh(mesh.positions_m, mesh.faces.astype(np.uint32))
    packing = xatlas.PackOptions()
    packing.resolution, packing.padding = SIZE_PX, GAP_PX // 2  # it keeps the padding on either side
    atlas.generate(xatlas.ChartOptions(), packing)
    seconds = time.process_time() - start
    vertices, faces, uvs = atlas.get_mesh(0)
    faces = faces.reshape(-1, 3)
    charted = atlas.get_mesh_vertex_assignment(0)[1][faces[:, 0]] != np.iinfo(np.uint32).max
    square = max(atlas.width, atlas.height)
    placed = uvs * np.float32([atlas.width / square, atlas.height / square])
    return Layout(mesh.positions_m[vertices[faces[charted]]], placed[faces[charted]], seconds, atlas.atlas_count)


def pieces(layout: Layout) -> np.ndarray:
    """Chart of each face: what hangs together in place and in the map."""
    keys = np.concatenate([layout.corners_m.reshape(-1, 3), layout.uvs.reshape(-1, 2)], axis=1).astype(np.float32)
    corners = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1, 3)
    return np.unique(face_components(corners.astype(np.int32)), return_inverse=True)[1].reshape(-1).astype(np.int32)


def judged(layout: Layout) -> Figures:
    charts = pieces(layout)
    corners = np.arange(len(charts) * 3, dtype=np.int32).reshape(-1, 3)
    flat = np.ascontiguousarray(layout.uvs.reshape(-1, 2))
    figures = atlas_figures(layout.corners_m, layout.uvs, charts, SIZE_PX)
    area, angle = distortions(layout)
    touched = gathered(touched_texels(flat, corners, MIP_PX))
    pairs = np.unique(np.stack([touched.index.astype(np.int64), charts[touched.faces]], axis=1), axis=0)
    return Figures(
        charts=int(charts.max()) + 1,
        efficiency=round(figures.packing_efficiency / layout.pages, 4),
        stretch=round(figures.stretch, 4),
        area_distortion=round(area, 4),
        angle_distortion=round(angle, 4),
        seam_m=round(seam_m(layout), 3),
        overlap_texels=overlap_count(flat, corners, SIZE_PX),
        bleeding_texels=int((np.unique(pairs[:, 0], return_counts=True)[1] > 1).sum()),
        density_spread=round(figures.texel_density_spread, 4),
        cpu_s=round(layout.cpu_s, 2),
    )


def distortions(layout: Layout) -> tuple[float, float]:
    """Means over the surface: density against the mean density, and the ratio of the singular values."""
    places = layout.corners_m.astype(np.float64)
    along, other = places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]
    length = np.maximum(np.linalg.norm(along, axis=1), 1e-30)
    across = np.einsum("fi,fi->f", along, other) / length
    height = np.linalg.norm(np.cross(along, other), axis=1) / length
    area = length * height / 2.0
    edges = layout.uvs.astype(np.float64)
    p, q = edges[:, 1] - edges[:, 0], edges[:, 2] - edges[:, 0]
    by_x = p / length[:, None]
    by_y = (q - by_x * across[:, None]) / np.maximum(height, 1e-30)[:, None]
    sums = (by_x**2).sum(1) + (by_y**2).sum(1)
    determinant = np.abs(by_x[:, 0] * by_y[:, 1] - by_x[:, 1] * by_y[:, 0])
    root = np.sqrt(np.maximum(sums**2 / 4.0 - determinant**2, 0.0))
    large, small = np.sqrt(sums / 2.0 + root), np.sqrt(np.maximum(sums / 2.0 - root, 0.0))
    mean = (determinant * area).sum() / area.sum()
    sound = (area > 1e-9 * area.sum() / len(area)) & (small > 0.0)
    ratio = determinant[sound] / mean
    weight = area[sound] / area[sound].sum()
    return float((np.maximum(ratio, 1.0 / ratio) * weight).sum()), float((large[sound] / small[sound] * weight).sum())


def seam_m(layout: Layout) -> float:
    """Length of the outlines of all charts, half of it: a seam has two sides."""
    keys = np.concatenate([layout.corners_m.reshape(-1, 3), layout.uvs.reshape(-1, 2)], axis=1).astype(np.float32)
    corners = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1, 3)
    ends = np.sort(corners[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    _, first, count = np.unique(ends, axis=0, return_index=True, return_counts=True)
    edge = layout.corners_m[:, [1, 2, 0]] - layout.corners_m
    return float(np.linalg.norm(edge, axis=2).reshape(-1)[first[count == 1]].sum()) / 2.0


def picture(layout: Layout) -> Image.Image:
    charts = pieces(layout)
    colors = (np.random.default_rng(1).random((charts.max() + 1, 3)) * 190 + 60).astype(np.uint8)
    pixels = np.full((SIZE_PX**2, 3), 24, np.uint8)
    corners = np.arange(len(charts) * 3, dtype=np.int32).reshape(-1, 3)
    for cells in cover_centers(np.ascontiguousarray(layout.uvs.reshape(-1, 2)), corners, SIZE_PX):
        pixels[cells.index] = colors[charts[cells.faces]]
    return Image.fromarray(pixels.reshape(SIZE_PX, SIZE_PX, 3)).resize((SHOWN_PX, SHOWN_PX), Image.Resampling.BOX)


def sheet(rows: list[tuple[str, list[Image.Image | None]]], path: Path) -> None:
    """Ours, xatlas, Blender, for each mesh; two meshes beside each other."""
    wide, high = (3 * SHOWN_PX + 24), SHOWN_PX + 18
    page = Image.new("RGB", (wide * 2, high * -(-len(rows) // 2)), (60, 60, 60))
    draw = ImageDraw.Draw(page)
    for number, (name, tiles) in enumerate(rows):
        left, top = number % 2 * wide, number // 2 * high
        draw.text((left + 4, top + 3), f"{name}: ours, xatlas as it comes, Smart UV Project", fill=(255, 255, 255))
        for column, tile in enumerate(tiles):
            if tile is not None:
                page.paste(tile, (left + column * (SHOWN_PX + 4), top + 16))
    page.quantize(128).save(path, optimize=True)


def low_polys(names: list[str], cache: Path) -> list[tuple[str, Mesh]]:
    """Each mesh of the set, repaired, cleaned and decimated; kept in the folder, so that a second run starts there."""
    caster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    reducer = MESH_FILTERS.load(MESH_FILTERS.choose("auto"))
    found = []
    for entry in MESHES:
        if names and entry.name not in names:
            continue
        path = cache / f"{entry.name}.npz"
        if not path.exists():
            try:
                high = Repair()(SilentRun(), caster, high_poly=entry.load())
                high = Clean()(SilentRun(), reducer, high_poly=high)
                low = Decimate(triangle_count=TRIANGLES)(SilentRun(), reducer, caster, high_poly=high)
            except ForgeError as error:
                print(f"{entry.name}: left out, {error.message}", flush=True)
                continue
            np.savez(path, positions=low.mesh.positions_m, faces=low.mesh.faces)
        with np.load(path) as data:
            found.append((entry.name, Mesh(positions_m=data["positions"], faces=data["faces"])))
    return found


def measure(names: list[str], python: str | None, folder: Path, cache: Path) -> dict[str, object]:
    blender = Blender(python, folder) if python else None
    ours(low_polys([MESHES[0].name], cache)[0][1])  # compiles and loads
    meshes: dict[str, dict[str, object]] = {}
    refused: dict[str, str] = {}
    rows: list[tuple[str, list[Image.Image | None]]] = []
    for name, mesh in low_polys(names, cache):
        try:
            mine = ours(mesh)
        except ForgeError as error:
            refused[name] = error.message
            print(f"{name:22s} {len(mesh.faces):6d}  refused: {error.message}", flush=True)
            continue
        layouts = [mine, as_it_comes(mesh), blender.unwrap(mesh) if blender else None]
        found = {way: asdict(judged(one)) for way, one in zip(WAYS, layouts, strict=True) if one}
        meshes[name] = {"triangles": len(mesh.faces), **found}
        rows.append((name, [picture(one) if one else None for one in layouts]))
        line = "  ".join(
            f"{way} {one['charts']:4d} {one['efficiency']:.3f} {one['stretch']:.4f} {one['cpu_s']:5.2f}s"
            for way, one in found.items()
        )
        print(f"{name:22s} {len(mesh.faces):6d}  {line}", flush=True)
    if blender:
        blender.close()
    sheet(rows, _machine.RESULTS / "unwrapping.png")
    ways = [way for way in WAYS if way in next(iter(meshes.values()))]
    means = {
        way: {
            key: round(float(np.mean([one[way][key] for one in meshes.values()])), 4) for key in Figures.__annotations__
        }
        for way in ways
    }
    medians = {
        way: {
            key: round(float(np.median([one[way][key] for one in meshes.values()])), 4)
            for key in Figures.__annotations__
        }
        for way in ways
    }
    return {
        "blender": blender.version if blender else None,
        "device": "cpu, all",
        "size_px": SIZE_PX,
        "gap_px": GAP_PX,
        "means": means,
        "medians": medians,
        "refused": refused,
        "meshes": meshes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blender-python", help="interpreter that can import bpy 4.5")
    parser.add_argument("--cache", type=Path, help="folder that keeps the decimated meshes")
    parser.add_argument("names", nargs="*", help="meshes of the set; all where none is named")
    options = parser.parse_args()
    python = options.blender_python
    if python and subprocess.run([python, "-c", "import bpy"], capture_output=True, check=False).returncode:
        raise SystemExit(f"{python} cannot import bpy")
    with tempfile.TemporaryDirectory(prefix="forge-unwrap-") as folder:
        cache = options.cache or Path(folder)
        cache.mkdir(parents=True, exist_ok=True)
        result = measure(options.names, python, Path(folder), cache)
    print(json.dumps({"means": result["means"], "medians": result["medians"]}, indent=2))
    if options.names:
        print("not written: only some of the meshes")
    else:
        print(f"written to {_machine.write('unwrapping', result)}")


if __name__ == "__main__":
    main()
