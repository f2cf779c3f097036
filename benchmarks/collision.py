"""How well do collision pieces hold an asset, how much do they enclose in vain, and what do they cost?

``./forge bench collision [--meshes a,b] [--methods ours,coacd,vhacd]`` makes low polys of the mesh set (cleaned,
repaired, 5 000 triangles) and collision of 16 pieces at most: by the stage with its defaults, by CoACD as it comes
and by V-HACD 4 as it comes (``pip install vhacdx``), one after the other for each mesh. Results join those of earlier
calls in ``benchmarks/results/collision.json``; ``--resume`` leaves out what stands there, unless it was ended by a
shorter limit. ``collision.png`` shows mesh and pieces side by side. ``others`` is the share of all cores that was busy
with something else: where it is not near 0, only ``cpu_seconds`` count.

Containment is the share of surface samples in a piece or at most 1 % of the diagonal outside (``strict``: 0.1 %);
excess is the volume in the pieces and not in the mesh, over that of the mesh, as ``values/collision.py`` says;
``excess_material`` the same where an inside behind narrow openings is not taken for solid.
"""

import argparse
import json
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import _machine
from benchmarks._collision_clock import clocked
from benchmarks._rivals_collision import PIECES, TIME_LIMIT_S, clouds_by
from benchmarks.mesh_set import AS_IT_IS
from benchmarks.meshes import MESHES, BenchMesh, mesh_named
from bridge_server.backends.decomposer.base import DECOMPOSERS
from bridge_server.backends.mesh_filter.base import MESH_FILTERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.errors import ForgeError
from bridge_server.run import SilentRun
from bridge_server.stages.clean import Clean
from bridge_server.stages.collision import MakeCollision
from bridge_server.stages.collision_fit import containment, excess_volume, surface_samples
from bridge_server.stages.collision_shapes import FittedShape, fit_capsule, fit_convex, fit_sphere
from bridge_server.stages.decimate import Decimate, Quality
from bridge_server.stages.render_subject import field_subject
from bridge_server.stages.render_view import prepare_view, render_view
from bridge_server.stages.repair import Repair
from bridge_server.values.collision import Collision, CollisionShape
from bridge_server.values.convex import convex_hull
from bridge_server.values.hollow import filled
from bridge_server.values.mesh import HighPoly, LowPoly, Mesh
from bridge_server.values.solid import bounded_solid, wrapped
from bridge_server.values.surface import VertexField

METHODS = ("ours", "coacd", "vhacd")
TRIANGLES = 5000
LONGEST_S = 600.0
"""Our own limit: a busy machine shall change no figure but the seconds."""
CELL_PX, COLUMNS = 150, 8
RESULTS = _machine.RESULTS / "collision.json"
SHEETS = Path(tempfile.gettempdir()) / "forge-collision-cells"
"""One picture a mesh, so that a sheet can be put together from several calls."""
COLORS = np.random.default_rng(5).uniform(0.08, 0.9, (64, 3)).astype(np.float32)


@dataclass(frozen=True)
class Figures:
    """One mesh by one method."""

    mesh: str
    method: str
    seconds: float
    cpu_seconds: float
    others: float
    limit_s: float
    pieces: int = 0
    simple: int = 0
    triangles: int = 0
    most_vertices: int = 0
    containment: float = 0.0
    strict: float = 0.0
    excess: float = float("nan")
    excess_material: float = float("nan")
    open: bool = False
    lod0_triangles: int = 0
    error: str = ""


def low_poly(mesh: BenchMesh) -> LowPoly:
    """As the main job would have it, by the quick decimation."""
    run, mesh_filter = SilentRun(), MESH_FILTERS.load(MESH_FILTERS.choose("auto"))
    raycaster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    high = Clean()(run, mesh_filter, high_poly=Repair()(run, raycaster, high_poly=mesh.load()))
    return Decimate(triangle_count=TRIANGLES, quality=Quality.PREVIEW)(run, mesh_filter, raycaster, high_poly=high)


def pieces_by(method: str, low: LowPoly, limit_s: float) -> list[FittedShape]:
    """By our stage, or by a rival; raises ``ForgeError`` where that fails."""
    if method != "ours":
        return [fit_convex(convex_hull(cloud)) for cloud in clouds_by(method, low.mesh, limit_s)]
    decomposer = DECOMPOSERS.load(DECOMPOSERS.choose("auto"))
    made: Collision = MakeCollision(max_pieces=PIECES, time_limit_s=LONGEST_S)(SilentRun(), decomposer, low_poly=low)
    fits = {CollisionShape.SPHERE: fit_sphere, CollisionShape.CAPSULE: fit_capsule}
    return [
        fits[piece.shape](piece.mesh.positions_m.astype(np.float64))
        if piece.shape in fits
        else replace(fit_convex(piece.mesh), shape=piece.shape)
        for piece in made.pieces
    ]


def measured(mesh: BenchMesh, low: LowPoly, method: str, limit_s: float) -> tuple[Figures, list[FittedShape]]:
    """Time of the whole call, figures of what came out."""
    pieces, failed = list[FittedShape](), ""
    with clocked() as cost:
        try:
            pieces = pieces_by(method, low, limit_s)
        except ForgeError as error:
            failed = error.message
    figures = Figures(mesh=mesh.name, method=method, limit_s=limit_s, error=failed, **asdict(cost))
    if failed:
        return figures, []
    whole = bounded_solid(low.mesh)
    solid = low.mesh if whole is not None else wrapped(low.mesh)
    samples = surface_samples(low.mesh, 7, 20_000)
    size = low.mesh.diagonal_m
    figures = replace(
        figures,
        pieces=len(pieces),
        simple=sum(piece.shape is not CollisionShape.CONVEX for piece in pieces),
        triangles=sum(len(piece.mesh.faces) for piece in pieces),
        most_vertices=max(len(piece.mesh.positions_m) for piece in pieces),
        containment=round(containment(pieces, samples, 0.01 * size), 5),
        strict=round(containment(pieces, samples, 0.001 * size), 5),
        excess=round(excess_volume(pieces, filled(low.mesh) or solid), 4),
        excess_material=round(excess_volume(pieces, solid), 4),
        open=whole is None,
        lod0_triangles=len(low.mesh.faces),
    )
    return figures, pieces


def picture(mesh: Mesh, colors: np.ndarray) -> np.ndarray:
    """In the colours of its vertices."""
    grey = np.full(len(mesh.positions_m), 0.7, np.float32)
    field = VertexField(
        positions_m=mesh.positions_m, faces=mesh.faces, base_color=colors, metallic=0.0 * grey, roughness=grey
    )
    raycaster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    subject = field_subject(raycaster, HighPoly(mesh=mesh, field=field, source="bench"), AS_IT_IS)
    view = prepare_view(subject, azimuth_deg=35.0, elevation_deg=18.0, size_px=CELL_PX)
    return render_view(SilentRun(), view)


def cells(low: LowPoly, pieces: list[FittedShape]) -> np.ndarray:
    """The low poly beside its pieces, each of them in a colour of its own."""
    starts = np.cumsum([0, *(len(piece.mesh.positions_m) for piece in pieces)])
    joined = Mesh(
        positions_m=np.concatenate([piece.mesh.positions_m for piece in pieces]),
        faces=np.concatenate([piece.mesh.faces + start for piece, start in zip(pieces, starts, strict=False)]).astype(
            np.int32
        ),
    )
    colors = np.concatenate([np.tile(COLORS[n], (len(piece.mesh.positions_m), 1)) for n, piece in enumerate(pieces)])
    plain = np.full((len(low.mesh.positions_m), 3), 0.5, np.float32)
    return np.concatenate([picture(low.mesh, plain), picture(joined, colors)], axis=1)


def averages(rows: list[dict[str, object]]) -> dict[str, dict[str, float]]:
    """Over the meshes for which every method has an answer, and how many those are.

    Rows from before processor seconds were counted have none, and their method then has no mean of them.
    """
    answered = {m: {row["mesh"] for row in rows if row["method"] == m and not row["error"]} for m in METHODS}
    shared = set.intersection(*(found for found in answered.values() if found)) if any(answered.values()) else set()
    result = {}
    for method in (m for m in METHODS if answered[m]):
        mine = [row for row in rows if row["method"] == method and row["mesh"] in shared]
        keys = ("excess", "containment", "strict", "pieces", "triangles", "seconds", "cpu_seconds")
        result[method] = {
            key: round(float(np.mean([float(str(row[key])) for row in mine])), 4)
            for key in keys
            if all(key in row for row in mine)
        }
        result[method] |= {"meshes": len(mine), "failed": sum(bool(r["error"]) for r in rows if r["method"] == method)}
    return result


def main() -> None:
    """Measure, print, join with earlier results, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--meshes", default=",".join(mesh.name for mesh in MESHES))
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--limit", type=float, default=TIME_LIMIT_S, help="seconds that a rival may take")
    parser.add_argument("--resume", action="store_true", help="leave out what is known")
    arguments = parser.parse_args()
    order = joined([])
    for name in arguments.meshes.split(","):
        mesh, found = mesh_named(name), []
        done = {row["method"] for row in order if row["mesh"] == name and _final(row, arguments.limit)}
        methods = [m for m in arguments.methods.split(",") if not (arguments.resume and m in done)]
        if not methods:
            continue
        low = low_poly(mesh)
        for method in methods:
            figures, pieces = measured(mesh, low, method, LONGEST_S if method == "ours" else arguments.limit)
            found.append(figures)
            print(line(figures), flush=True)
            if method == "ours":
                SHEETS.mkdir(exist_ok=True)
                Image.fromarray(cells(low, pieces)).save(SHEETS / f"{name}.png")
            order = joined(found)
            _machine.write("collision", {"pieces": PIECES, "averages": averages(order), "meshes": order})
    print(json.dumps(averages(order), indent=2))
    sheet()


def _final(row: dict[str, object], limit_s: float) -> bool:
    """Whether the row would come out again: answered, or ended by no shorter limit."""
    return not row["error"] or float(str(row.get("limit_s", 0.0))) >= limit_s


def joined(found: list[Figures]) -> list[dict[str, object]]:
    """All rows known by now, the new ones in place of older ones, in the order of the set."""
    known = json.loads(RESULTS.read_text(encoding="utf-8"))["meshes"] if RESULTS.exists() else []
    rows = {(row["mesh"], row["method"]): row for row in (*known, *map(asdict, found))}
    return [row for mesh in MESHES for m in METHODS if (row := rows.get((mesh.name, m))) is not None]


def line(found: Figures) -> str:
    """A row of the table."""
    start = f"{found.mesh:20s} {found.method:6s} {found.seconds:6.1f} s {found.cpu_seconds:6.1f} cpu"
    if found.error:
        return f"{start}  failed: {found.error[:80]}"
    return (
        f"{start} {found.pieces:3d} pieces ({found.simple} simple) {found.triangles:5d} triangles, "
        f"holds {found.containment:7.2%} ({found.strict:7.2%} strictly), "
        f"excess {found.excess:7.1%}{' open' if found.open else ''}"
    )


def sheet() -> None:
    """All cells drawn so far on one picture, in the order of the set."""
    drawn = [np.asarray(Image.open(path)) for mesh in MESHES if (path := SHEETS / f"{mesh.name}.png").exists()]
    if not drawn:
        return
    drawn += [np.full_like(drawn[0], 255)] * (-len(drawn) % (COLUMNS // 2))
    rows = [np.concatenate(drawn[at : at + COLUMNS // 2], axis=1) for at in range(0, len(drawn), COLUMNS // 2)]
    Image.fromarray(np.concatenate(rows)).save(_machine.RESULTS / "collision.png", optimize=True)


if __name__ == "__main__":
    main()
