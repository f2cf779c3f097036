"""Files of ``forge bake``: meshes in, maps and ``bake.json`` out."""

import contextlib
import errno
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bridge_server.cli.companion_files import find_companions
from bridge_server.errors import DiskFull, InputError
from bridge_server.stages.bake_images import SUFFIXES
from bridge_server.stages.bake_set import BakedMap, BakedSet, BakeWish
from bridge_server.stages.export_model import MaterialFiles, Model, RenderMesh
from bridge_server.stages.glb_writer import write_glb
from bridge_server.stages.load_mesh_formats import read_mesh_source
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.source import MeshSource

SCHEMA = "open3dforge.bake.v1"
REPORT_NAME = "bake.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class BakeReport:
    """A finished bake, and what it was made from."""

    asset: str
    high: str
    low: str
    wish: BakeWish
    high_triangles: int
    unwrapped: UnwrappedMesh
    baked: BakedSet
    raycaster: str
    seconds: float


def mesh_source(path: Path) -> MeshSource:
    """A mesh file with what it refers to. Raises ``InputError`` where it cannot be read or is no mesh."""
    if not path.is_file():
        raise InputError("there is no such file.", subject=str(path), remedy="Check the path.")
    try:
        companions = {name: file.read_bytes() for name, file in find_companions(path).items()}
        return read_mesh_source(path.name, path.read_bytes(), tuple(companions.items()))
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror}).", subject=str(path), remedy="Check its rights."
        ) from error


def refuse_unwritable(folder: Path) -> None:
    """Make the folder, so that a wrong path is told before the work."""
    with _translated(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def write_set(report: BakeReport, folder: Path) -> list[Path]:
    """Write all files beside their place, then move them there, ``bake.json`` last. The maps' paths, in order."""
    contents = {map_path(report.asset, entry): entry.png for entry in report.baked.maps}
    if report.unwrapped.method != "own":
        contents[f"SM_{report.asset}.glb"] = _low_glb(report)
    contents[REPORT_NAME] = (json.dumps(document(report), indent=2) + "\n").encode()
    with _translated(folder):
        partial = Path(tempfile.mkdtemp(prefix=".bake.", dir=folder))
        try:
            for name, data in contents.items():
                (partial / name).write_bytes(data)
            for name in contents:
                (partial / name).replace(folder / name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return [folder / map_path(report.asset, entry) for entry in report.baked.maps]


def map_path(asset: str, entry: BakedMap) -> str:
    """``T_Cup_N.png``."""
    return f"T_{asset}_{SUFFIXES[entry.name]}.png"


def document(report: BakeReport) -> dict[str, object]:
    """What ``bake.json`` holds."""
    wish, baked, low = report.wish, report.baked, report.unwrapped
    return {
        "schema": SCHEMA,
        "name": report.asset,
        "high": {"file": report.high, "triangles": report.high_triangles},
        "low": {
            "file": report.low,
            "triangles": len(low.faces),
            "uvs": low.method,
            "charts": int(low.charts.max()) + 1,
            "padding_px": low.padding_px,
        },
        "size_px": wish.resolution_px,
        "supersample": wish.supersample,
        "samples": wish.settings.samples,
        "cage_m": baked.cage_m,
        "cage_measured": wish.cage_m == 0.0,
        "share_by_ray": baked.share_by_ray,
        "coverage": baked.coverage,
        "raycaster": report.raycaster,
        "seconds": round(report.seconds, 3),
        "trace_seconds": round(baked.trace_seconds, 3),
        "maps": [
            {
                "map": entry.name.value,
                "path": map_path(report.asset, entry),
                "bits": entry.bits,
                "channels": entry.channels,
                "color_space": "sRGB" if entry.srgb else "linear",
                "seconds": round(entry.seconds, 3),
                **entry.figures,
            }
            for entry in baked.maps
        ],
        "notices": [
            {
                "code": notice.code,
                "severity": notice.severity.value,
                "message": notice.message,
                "remedy": notice.remedy,
            }
            for notice in baked.notices
        ],
    }


def _low_glb(report: BakeReport) -> bytes:
    low = report.unwrapped
    mesh = RenderMesh(
        name=f"SM_{report.asset}",
        positions_m=low.positions_m,
        normals=low.normals,
        tangents=low.tangents,
        uvs=low.uvs,
        faces=low.faces,
        welded=low.welded,
    )
    return write_glb(Model(meshes=(mesh,), hulls=(), material=MaterialFiles(name=f"MI_{report.asset}")))


@contextlib.contextmanager
def _translated(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise DiskFull("no space is left.", subject=str(folder), remedy="Make room and run it again.") from error
        raise InputError(
            f"cannot be written to ({error.strerror}).", subject=str(folder), remedy="Choose another folder with --out."
        ) from error
