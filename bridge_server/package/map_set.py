"""A set of baked maps as files: the maps, ``bake.json``, and the low poly where it was unwrapped anew."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from bridge_server.stages.export_model import MaterialFiles, Model, RenderMesh
from bridge_server.stages.glb_writer import write_glb
from bridge_server.values.baked_maps import BakedMaps, MapFile
from bridge_server.values.base import Notice
from bridge_server.values.mesh import UnwrappedMesh

SCHEMA = "open3dforge.bake.v1"
REPORT_NAME = "bake.json"
OWN_UVS = "own"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSet:
    """A finished bake, and what it was made from."""

    asset: str
    high: str
    """File name."""
    low: str
    """File name."""
    unwrapped: UnwrappedMesh
    baked: BakedMaps
    notices: tuple[Notice, ...]
    """Of every step."""
    seconds: float
    seconds_by_step: Mapping[str, float] = field(default_factory=dict)
    """``trace``, and each map by its name; what is not known is left out."""

    @property
    def folder_name(self) -> str:
        """Name of the folder and, with ``.zip``, of the archive that a server makes."""
        return f"export_{self.asset}_Maps"


def contents(maps: MapSet) -> list[tuple[str, bytes]]:
    """Every file with its name, ``bake.json`` last."""
    files = [(map_path(maps.asset, entry), entry.png) for entry in maps.baked.maps]
    if maps.unwrapped.method != OWN_UVS:
        files.append((f"SM_{maps.asset}.glb", _low_glb(maps.asset, maps.unwrapped)))
    return [*files, (REPORT_NAME, (json.dumps(document(maps), indent=2) + "\n").encode())]


def map_path(asset: str, entry: MapFile) -> str:
    """``T_Cup_N.png``."""
    return f"T_{asset}_{entry.suffix}.png"


def document(maps: MapSet) -> dict[str, object]:
    """What ``bake.json`` holds."""
    baked, low = maps.baked, maps.unwrapped
    return {
        "schema": SCHEMA,
        "name": maps.asset,
        "high": {"file": maps.high, "triangles": baked.high_triangles},
        "low": {
            "file": maps.low,
            "triangles": len(low.faces),
            "uvs": low.method,
            "charts": int(low.charts.max()) + 1,
            "padding_px": low.padding_px,
        },
        "size_px": baked.size_px,
        "supersample": baked.supersample,
        "samples": baked.samples,
        "ray_direction": baked.ray_direction,
        "cage_m": baked.cage_m,
        "cage_measured": baked.cage_measured,
        "share_by_ray": baked.share_by_ray,
        "coverage": baked.coverage,
        "raycaster": baked.raycaster,
        "seconds": round(maps.seconds, 3),
        **_seconds(maps, "trace", "trace_seconds"),
        "maps": [_map_entry(maps, entry) for entry in baked.maps],
        "notices": [
            {
                "code": notice.code,
                "severity": notice.severity.value,
                "message": notice.message,
                "remedy": notice.remedy,
            }
            for notice in maps.notices
        ],
    }


def _map_entry(maps: MapSet, entry: MapFile) -> dict[str, object]:
    return {
        "map": entry.name,
        "path": map_path(maps.asset, entry),
        "bits": entry.bits,
        "channels": entry.channels,
        "color_space": entry.color_space.value,
        **_seconds(maps, entry.name, "seconds"),
        **json.loads(entry.figures_json),
    }


def _seconds(maps: MapSet, step: str, key: str) -> dict[str, object]:
    return {key: round(maps.seconds_by_step[step], 3)} if step in maps.seconds_by_step else {}


def _low_glb(asset: str, low: UnwrappedMesh) -> bytes:
    mesh = RenderMesh(
        name=f"SM_{asset}",
        positions_m=low.positions_m,
        normals=low.normals,
        tangents=low.tangents,
        uvs=low.uvs,
        faces=low.faces,
        welded=low.welded,
    )
    return write_glb(Model(meshes=(mesh,), hulls=(), material=MaterialFiles(name=f"MI_{asset}")))
