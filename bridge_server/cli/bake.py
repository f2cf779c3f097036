"""``forge bake``: maps for a low poly from a high poly, on this machine without a server, or by a server."""

import enum
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge_server.cli import options, output
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.stages.bake_choices import DEFAULT_MAPS, Bits, Green, RayDirection

if TYPE_CHECKING:
    from bridge_server.cli.bake_files import BakeOrder
    from bridge_server.package.map_set import MapSet
    from bridge_server.run import Run
    from bridge_server.stages.bake_set import Means, Steps
    from bridge_server.values.source import MeshSource

UPDATE_S = 0.1


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
    rays: Annotated[
        RayDirection, typer.Option(help="smooth: along averaged normals; skew_free: straight over flat faces.")
    ] = RayDirection.SMOOTH,
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
    raycaster: Annotated[str, typer.Option(help="What casts the rays: embree or warp.")] = "auto",
    rasterizer: Annotated[
        str, typer.Option(help="What covers the charts: texels, numpy, or nvdiffrast (CUDA; no commercial use).")
    ] = "auto",
    server: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Bake there; default: on this machine, without a server.")
    ] = "",
    token: options.Token = "",
    authority: options.Authority = None,
    as_json: options.AsJson = False,
) -> None:
    """Bake maps for a low poly from a high poly. Both lie in the same place; their numbers are metres."""
    from bridge_server.cli.bake_files import BakeOrder
    from bridge_server.stages.bake_maps import BakeMaps, parse_maps
    from bridge_server.stages.map_part_id import PartKind
    from bridge_server.values.naming import check_asset_name, suggest_asset_name

    parse_maps(maps, "--maps")
    wish = BakeMaps(
        maps=maps,
        resolution_px=size,
        supersample=supersample,
        cage_offset_m=cage,
        ray_direction=rays,
        samples=samples,
        bits=bits,
        green=green,
        dither=dither,
        parts=PartKind(parts.value),
        curvature_range_per_m=curvature_range,
    )
    asset = check_asset_name(name) if name else suggest_asset_name(low.name)
    choices = {"raycaster": raycaster, "rasterizer": rasterizer}
    asked = BakeOrder(high=high, low=low, asset=asset, wish=wish, unwrap=unwrap, backends=choices)
    if server:
        from bridge_server.cli.bake_remote import bake_there

        document = bake_there(asked, out, server, token, authority, as_json=as_json)
    else:
        document = _bake_here(asked, out)
    if as_json:
        output.emit({**document, "out": str(out.resolve())})
    else:
        _show(document, out)


def _bake_here(asked: "BakeOrder", out: Path) -> Mapping[str, Any]:
    """Bake on this machine; returns what ``bake.json`` holds."""
    from bridge_server.cli import bake_files
    from bridge_server.cli.signals import termination_raises
    from bridge_server.package.map_set import contents, document

    means = _means(asked.backends)
    sources = bake_files.mesh_source(asked.high), bake_files.mesh_source(asked.low)
    bake_files.refuse_unwritable(out)
    try:
        with termination_raises(), _steps() as steps:
            maps = _baked(asked, sources, means, steps)
            bake_files.write_files(contents(maps), out)
    except KeyboardInterrupt:
        output.remark("forge: interrupted; nothing was written.")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    return document(maps)


def _means(wishes: Mapping[str, str]) -> "Means":
    """Raises ``BackendUnavailable`` with cause and remedy, before any file is read."""
    from bridge_server.backends.rasterizer.base import RASTERIZERS
    from bridge_server.backends.raycaster.base import RAYCASTERS
    from bridge_server.stages.bake_set import Means

    raycaster = RAYCASTERS.load(RAYCASTERS.choose(wishes["raycaster"]))
    return Means(raycaster, RASTERIZERS.load(RASTERIZERS.choose(wishes["rasterizer"])))


def _show(document: Mapping[str, Any], out: Path) -> None:
    rows = [
        [entry["map"], entry["path"], str(entry["bits"]), f"{entry['seconds']:.1f} s" if "seconds" in entry else ""]
        for entry in document["maps"]
    ]
    output.table(["map", "file", "bits", "time"], rows)
    output.say(
        f"{document['seconds']:.1f} s; cage {document['cage_m'] * 1000:.3g} mm; "
        f"{document['share_by_ray']:.1%} of the places found by ray"
    )
    output.say(f"Written to {out.resolve()}")


def _baked(asked: "BakeOrder", sources: "tuple[MeshSource, MeshSource]", means: "Means", steps: "Steps") -> "MapSet":
    from bridge_server.backends.unwrapper.base import UNWRAPPERS
    from bridge_server.cli.progress import notice_text
    from bridge_server.package.map_set import MapSet
    from bridge_server.stages.bake_maps import as_files
    from bridge_server.stages.bake_set import bake_set
    from bridge_server.stages.load_low import LoadLow, refuse_moved
    from bridge_server.stages.load_mesh import LoadMesh

    begun = time.monotonic()
    high, low = sources
    wish = asked.wish
    load_low = LoadLow(unwrap=asked.unwrap, resolution_px=wish.resolution_px)
    unwrapped = load_low(steps("low poly"), UNWRAPPERS.load(UNWRAPPERS.choose("auto")), low_source=low)
    high_poly = LoadMesh()(steps("high poly"), mesh_source=high)
    refuse_moved(high.name, high_poly.notices)
    baked = bake_set(wish.wish, high_poly, unwrapped, means, steps)
    for notice in baked.notices:
        output.remark(notice_text(notice.severity.value, notice.message, notice.remedy))
    return MapSet(
        asset=asked.asset,
        high=high.name,
        low=low.name,
        unwrapped=unwrapped,
        baked=as_files(wish.wish, baked, high_poly, means.raycaster),
        notices=baked.notices,
        seconds=time.monotonic() - begun,
        seconds_by_step={"trace": baked.trace_seconds, **{entry.name.value: entry.seconds for entry in baked.maps}},
    )


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
