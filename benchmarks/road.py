"""Does every mesh of the set go through every preset: no crash, no hang, nothing lost without a word?

``./forge bench road [--meshes a,b] [--presets a,b] [--map-px 256] [--full]`` sends each mesh through each preset, in
worker processes as a server does, and judges what comes out: closed where it should be, wound outward, inner hulls
gone, hollows kept. Maps and pictures are small unless ``--full`` is given: geometry is what this is about. Results of
a stage that several presets share are computed once. Writes ``benchmarks/results/road.json`` mesh by mesh.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks import _machine
from benchmarks.meshes import MESHES, BenchMesh, mesh_named
from bridge_server.errors import ForgeError
from bridge_server.executors.processes import ProcessExecutor
from bridge_server.pipeline.plan import make_plan
from bridge_server.pipeline.preset_library import PresetLibrary, default_library
from bridge_server.pipeline.recipe import Recipe
from bridge_server.pipeline.runner import Runner, asset_from
from bridge_server.pipeline.store import Store
from bridge_server.values.asset import Asset
from bridge_server.values.checklist import Verdict
from bridge_server.values.mesh import Mesh, is_watertight, volume_m3

PICTURES = ["render.preview_px=128", "render.turntable_px=64", "render.turntable_frames=4"]
TIME_LIMIT_S = 600.0
OUTWARD_SHARE = 0.99


@dataclass(frozen=True)
class Passage:
    """One mesh through one preset."""

    mesh: str
    preset: str
    seconds: float
    error: str = ""
    triangles_in: int = 0
    triangles_out: int = 0
    closed: bool = False
    outward_share: float = 0.0
    """Of the low poly's area, by what a ray from outside meets."""
    volume_m3: float = 0.0
    charts: int = 0
    hulls: int = 0
    failed_checks: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    stages: tuple[tuple[str, float], ...] = ()
    """Name and seconds of what ran; what came from the store is left out."""
    objections: tuple[str, ...] = ()
    """What was expected of the mesh and does not hold."""


def outward_share(mesh: Mesh, count: int = 4000) -> float:
    """Share of first hits from outside that meet a front face; rays aim at random places of the surface."""
    from bridge_server.backends.raycaster.base import RAYCASTERS

    generator = np.random.default_rng(1)
    scene = RAYCASTERS.load(RAYCASTERS.choose("auto")).scene(mesh.positions_m, mesh.faces)
    corners = mesh.positions_m[mesh.faces].astype(np.float64)
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(cross, axis=1)
    chosen = generator.choice(len(area), count, p=area / area.sum())
    aims = np.einsum("ij,ijk->ik", generator.dirichlet((1.0, 1.0, 1.0), count), corners[chosen])
    away = generator.normal(size=(count, 3))
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    reach = 2.0 * mesh.diagonal_m
    hits = scene.first_hits((aims + reach * away).astype(np.float32), (-away).astype(np.float32))
    met = hits.faces >= 0
    facing = np.einsum("ij,ij->i", cross[hits.faces[met]], away[met]) > 0.0
    return float(facing.mean()) if met.any() else 0.0


def objections_to(mesh: BenchMesh, asset: Asset) -> Iterator[str]:
    """What was expected and does not hold."""
    assert asset.high_poly is not None
    assert asset.low_poly is not None
    wanted, high, low = mesh.expectations, asset.high_poly.mesh, asset.low_poly.mesh
    if wanted.closed and not is_watertight(high):
        yield "not closed after repair"
    if wanted.closed and is_watertight(high) and not is_watertight(low):
        yield "opened by decimation"
    if wanted.volume_m3 is not None:
        least, most = wanted.volume_m3
        if not least <= volume_m3(high) <= most:
            yield f"volume {volume_m3(high):.4f} outside {least} to {most}"
    if wanted.closed and outward_share(low) < OUTWARD_SHARE:
        yield f"only {outward_share(low):.1%} of what is seen faces outward"


def passage(mesh: BenchMesh, preset: str, overrides: list[str], library: PresetLibrary, runner: Runner) -> Passage:
    """Run one."""
    begun = time.perf_counter()
    try:
        chosen = library.load(preset).with_overrides(["generator=mesh", *overrides], registry=library.registry)
        recipe = Recipe(preset=chosen, quality=library.quality(chosen.quality), asset_name=mesh.name.title())
        plan = make_plan(recipe, inputs={"mesh_source"}, registry=library.registry)
        record = runner.run(plan, {"mesh_source": mesh.source()})
    except ForgeError as error:
        return Passage(mesh.name, preset, time.perf_counter() - begun, error=str(error), objections=("failed",))
    seconds = time.perf_counter() - begun
    asset = asset_from(record, runner.store)
    assert asset.high_poly is not None
    assert asset.low_poly is not None
    assert asset.unwrapped is not None
    return Passage(
        mesh.name,
        preset,
        seconds,
        triangles_in=len(asset.high_poly.mesh.faces),
        triangles_out=len(asset.low_poly.mesh.faces),
        closed=is_watertight(asset.low_poly.mesh),
        outward_share=outward_share(asset.low_poly.mesh),
        volume_m3=volume_m3(asset.high_poly.mesh),
        charts=int(asset.unwrapped.charts.max()) + 1,
        hulls=len(asset.collision.pieces) if asset.collision is not None else 0,
        failed_checks=tuple(
            check.rule for check in (asset.checklist.checks if asset.checklist else ()) if check.verdict is Verdict.FAIL
        ),
        notices=tuple(f"{told.stage}: {told.notice.code}" for told in record.notices),
        stages=tuple((stage.stage, stage.seconds) for stage in record.stages if not stage.cached),
        objections=tuple(objections_to(mesh, asset)),
    )


def main(arguments: list[str]) -> int:
    """Run all that is asked for; 1 where anything that was expected does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--meshes", default=",".join(mesh.name for mesh in MESHES))
    parser.add_argument("--presets", default="")
    parser.add_argument("--map-px", type=int, default=256)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--result", default="road", help="name of the file in benchmarks/results")
    chosen = parser.parse_args(arguments)
    library = default_library()
    presets = chosen.presets.split(",") if chosen.presets else [name for name in library.names()
                                                                if library.is_shipped(name)]  # fmt: skip
    overrides = [] if chosen.full else [f"trace.resolution_px={chosen.map_px}", *PICTURES]
    rows: list[Passage] = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        with ProcessExecutor(store, workers=1, time_limit_s=TIME_LIMIT_S) as executor:
            runner = Runner(store, executor)
            for mesh in map(mesh_named, chosen.meshes.split(",")):
                for preset in presets:
                    row = passage(mesh, preset, overrides, library, runner)
                    rows.append(row)
                    print(
                        f"{row.mesh:20s} {row.preset:28s} {row.seconds:6.1f} s {row.triangles_in:9,} ->"
                        f" {row.triangles_out:7,} charts {row.charts:4d} hulls {row.hulls:3d}"
                        f" {'closed' if row.closed else 'open  '} out {row.outward_share:6.1%}"
                        f" {row.error or ', '.join((*row.objections, *row.failed_checks))}",
                        flush=True,
                    )
                store.prune(0, recent_s=0.0)
                _machine.write(chosen.result, {"overrides": overrides, "rows": [asdict(row) for row in rows]})
    good = sum(not row.objections for row in rows)
    print(f"{good} of {len(rows)} as expected")
    return 0 if good == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
