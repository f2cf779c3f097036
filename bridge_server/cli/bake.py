"""``forge bake``: maps for a low poly from a high poly, on this machine, without a server."""

import enum
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge_server.cli import options, output
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.errors import InputError

if TYPE_CHECKING:
    from bridge_server.cli.bake_files import BakeReport
    from bridge_server.run import Run
    from bridge_server.stages.bake_images import MapName
    from bridge_server.stages.bake_set import BakeWish, Steps
    from bridge_server.values.mesh import UnwrappedMesh
    from bridge_server.values.source import MeshSource

UPDATE_S = 0.1
DEFAULT_MAPS = "normal,base_color,orm"


class Bits(enum.StrEnum):
    """Depth of normal maps."""

    EIGHT = "8"
    SIXTEEN = "16"


class Green(enum.StrEnum):
    """Where green points in tangent-space maps."""

    GL = "gl"
    DX = "dx"


class Parts(enum.StrEnum):
    """What the part id map tells apart."""

    COMPONENT = "component"
    MATERIAL = "material"


def bake(
    high: Annotated[Path, typer.Argument(help="Mesh file to take detail from: GLB, glTF, FBX, OBJ, PLY or STL.")],
    low: Annotated[Path, typer.Argument(help="Mesh file to bake for; its texture coordinates are kept.")],
    *,
    maps: Annotated[str, typer.Option(help="Names of maps with commas between, or all.")] = DEFAULT_MAPS,
    size: Annotated[int, typer.Option(min=64, max=8192, help="Edge length of the maps in pixels.")] = 2048,
    out: Annotated[Path, typer.Option(help="Folder that receives the maps and bake.json.")] = Path("out"),
    name: Annotated[str, typer.Option(help="Name in T_NAME_N.png.", show_default="that of the low poly")] = "",
    cage: Annotated[float, typer.Option(min=0.0, help="How far rays look, in metres; 0 measures it.")] = 0.0,
    supersample: Annotated[int, typer.Option(min=1, max=4, help="Rays along each edge of a texel.")] = 2,
    samples: Annotated[int, typer.Option(min=1, max=4096, help="Rays a texel of AO, thickness, bent normal.")] = 64,
    bits: Annotated[Bits, typer.Option(help="Depth of the normal maps.")] = Bits.EIGHT,
    green: Annotated[Green, typer.Option(help="dx: green points down (Unreal); gl: up (glTF, Blender).")] = Green.DX,
    dither: Annotated[bool, typer.Option("--dither", help="Dither normal maps of 8 bits.")] = False,
    unwrap: Annotated[bool, typer.Option("--unwrap", help="Unwrap the low poly anew; the result is written.")] = False,
    parts: Annotated[Parts, typer.Option(help="What the part id map tells apart.")] = Parts.COMPONENT,
    curvature_range: Annotated[
        float, typer.Option(min=0.0, help="Curvature stored as white, in 1/m; 0 measures it.")
    ] = 0.0,
    as_json: options.AsJson = False,
) -> None:
    """Bake maps for a low poly from a high poly. Both lie in the same place; their numbers are metres."""
    from bridge_server.cli import bake_files
    from bridge_server.cli.signals import termination_raises
    from bridge_server.stages.bake_images import MapSettings
    from bridge_server.stages.bake_set import BakeWish
    from bridge_server.stages.map_part_id import PartKind
    from bridge_server.values.naming import check_asset_name, suggest_asset_name

    wish = BakeWish(
        maps=parse_maps(maps),
        resolution_px=size,
        supersample=supersample,
        cage_m=cage,
        settings=MapSettings(
            samples=samples,
            bits=int(bits.value),
            directx=green is Green.DX,
            dither=dither,
            parts=PartKind(parts.value),
            curvature_range_per_m=curvature_range,
        ),
    )
    asset = check_asset_name(name) if name else suggest_asset_name(low.name)
    sources = bake_files.mesh_source(high), bake_files.mesh_source(low)
    bake_files.refuse_unwritable(out)
    try:
        with termination_raises(), _steps() as steps:
            report = _baked(sources, wish, asset, unwrap, steps)
            placed = bake_files.write_set(report, out)
    except KeyboardInterrupt:
        output.remark("forge: interrupted; nothing was written.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    document = bake_files.document(report)
    if as_json:
        output.emit({**document, "out": str(out.resolve())})
        return
    rows = [
        [entry.name.value, path.name, f"{entry.bits}", f"{entry.seconds:.1f} s"]
        for entry, path in zip(report.baked.maps, placed, strict=False)
    ]
    output.table(["map", "file", "bits", "time"], rows)
    output.say(
        f"{report.seconds:.1f} s; cage {report.baked.cage_m * 1000:.3g} mm; "
        f"{report.baked.share_by_ray:.1%} of the places found by ray"
    )
    output.say(f"Written to {out.resolve()}")


def parse_maps(text: str) -> "tuple[MapName, ...]":
    """Names with commas between, each once, in the order given. Raises ``InputError`` naming what is unknown."""
    from bridge_server.stages.bake_images import MapName

    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    known = [name.value for name in MapName]
    remedy = f"Known: {', '.join(known)}, all."
    if not words:
        raise InputError("names no map.", subject="--maps", remedy=remedy)
    for word in words:
        if word not in (*known, "all"):
            raise InputError("there is no such map.", subject=f"--maps {word}", remedy=remedy)
    if "all" in words:
        return tuple(MapName)
    return tuple(dict.fromkeys(MapName(word) for word in words))


def _baked(
    sources: "tuple[MeshSource, MeshSource]", wish: "BakeWish", asset: str, unwrap: bool, steps: "Steps"
) -> "BakeReport":
    from bridge_server.backends.raycaster.base import RAYCASTERS
    from bridge_server.cli.bake_files import BakeReport
    from bridge_server.cli.progress import notice_text
    from bridge_server.stages.bake_set import bake_set
    from bridge_server.stages.load_mesh import LoadMesh
    from bridge_server.stages.own_uvs import mesh_with_own_uvs

    begun = time.monotonic()
    high, low = sources
    read = steps("low poly")
    unwrapped = (
        _unwrapped(low, wish.resolution_px, read) if unwrap else mesh_with_own_uvs(low, wish.resolution_px, read)
    )
    high_poly = LoadMesh()(steps("high poly"), mesh_source=high)
    raycaster = RAYCASTERS.load(RAYCASTERS.choose("auto"))
    baked = bake_set(wish, high_poly, unwrapped, raycaster, steps)
    for notice in baked.notices:
        output.remark(notice_text(notice.severity.value, notice.message, notice.remedy))
    return BakeReport(
        asset=asset,
        high=high.name,
        low=low.name,
        wish=wish,
        high_triangles=len(high_poly.mesh.faces),
        unwrapped=unwrapped,
        baked=baked,
        raycaster=raycaster.identity,
        seconds=time.monotonic() - begun,
    )


def _unwrapped(low: "MeshSource", size_px: int, run: "Run") -> "UnwrappedMesh":
    from bridge_server.backends.unwrapper.base import UNWRAPPERS
    from bridge_server.run import PartialRun
    from bridge_server.stages.load_mesh import LoadMesh
    from bridge_server.stages.unwrap import Unwrap
    from bridge_server.values.mesh import LowPoly

    mesh = LoadMesh()(PartialRun(run, 0.0, 0.2), mesh_source=low).mesh
    low_poly = LowPoly(
        mesh=mesh, target_triangle_count=len(mesh.faces), hausdorff_m=0.0, mean_distance_m=0.0, method="given"
    )
    unwrapper = UNWRAPPERS.load(UNWRAPPERS.choose("auto"))
    return Unwrap(resolution_px=size_px)(PartialRun(run, 0.2, 1.0), unwrapper, low_poly=low_poly)


@contextmanager
def _steps() -> "Iterator[Steps]":
    """Bars, or lines in a log, on standard error; a step ends where the next begins."""
    from open3dforge.v1 import jobs_pb2

    from bridge_server.cli import progress
    from bridge_server.run import CallbackRun

    current: list[tuple[str, float]] = []
    with progress.open_view(as_json=False) as view:

        def finish() -> None:
            if current:
                name, begun = current.pop()
                done = jobs_pb2.StageFinished(stage=name, seconds=time.monotonic() - begun)
                view.event(jobs_pb2.JobEvent(stage_finished=done))

        def begin(name: str) -> "Run":
            finish()
            current.append((name, time.monotonic()))
            view.event(jobs_pb2.JobEvent(stage_started=jobs_pb2.StageStarted(stage=name)))
            shown = [0.0]

            def tell(fraction: float, note: str) -> None:
                now = time.monotonic()
                if now - shown[0] >= UPDATE_S:
                    shown[0] = now
                    told = jobs_pb2.StageProgressed(stage=name, fraction=fraction, note=note)
                    view.event(jobs_pb2.JobEvent(stage_progressed=told))

            return CallbackRun(tell)

        yield begin
        finish()
