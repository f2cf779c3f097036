"""A finished asset built by hand, with everything that a package needs, and the record of an imagined run."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from PIL import Image

from bridge_server.package.record import PackageRecord
from bridge_server.run import SilentRun
from bridge_server.stages.export import Export
from bridge_server.stages.export_files import ExportTarget
from bridge_server.values.asset import Asset
from bridge_server.values.checklist import Check, Checklist, Verdict
from bridge_server.values.collision import Collision, CollisionPiece, CollisionShape
from bridge_server.values.manifest import FallbackEntry, InputEntry, StageEntry
from bridge_server.values.package import Pictures
from bridge_server.values.placement import Pivot, Placement
from tests import shapes, unwrapped_shapes


def forged_asset(
    target: ExportTarget = ExportTarget.UE5,
    *,
    map_size: int = 16,
    sixteen_bit_normals: bool = False,
    lightmap_px: int = 0,
) -> Asset:
    """A crate of 100 x 50 x 80 cm, three levels, two hulls."""
    levels = [unwrapped_shapes.unwrapped_box((2.0, 1.0, 1.6), cells=c) for c in (4, 2, 1)]
    if lightmap_px:
        levels = [replace(level, lightmap_uvs=level.uvs[:, ::-1], lightmap_px=lightmap_px) for level in levels]
    lods = unwrapped_shapes.lod_chain(*levels)
    placement = Placement(scale=0.5, translation_m=(0.0, 0.25, 0.0), pivot=Pivot.BOTTOM_CENTER, height_cm=50.0)
    collision = Collision(
        pieces=tuple(
            CollisionPiece(shape=shape, mesh=shapes.box((1.0, 1.0, 1.6), center=(x, 0.0, 0.0)))
            for x, shape in ((-0.5, CollisionShape.CONVEX), (0.5, CollisionShape.BOX))
        ),
        containment=1.0,
        excess_volume=0.0,
        method="coacd",
    )
    maps = {
        "normal": unwrapped_shapes.normal_map(map_size),
        "albedo": unwrapped_shapes.albedo_map(map_size),
        "packed": unwrapped_shapes.packed_map(map_size),
    }
    export = Export(asset_name="GoldenCrate", target=target, sixteen_bit_normals=sixteen_bit_normals)
    files = export(SilentRun(), lods=lods, collision=collision, placement=placement, **maps)
    checks = (
        Check(rule="triangle_budget", title="Triangles", verdict=Verdict.PASS, figure="192", limit="10000"),
        Check(
            rule="collision_triangles",
            title="Collision",
            verdict=Verdict.WARN,
            figure="24 triangles, 12.5 % of LOD0",
            limit="1 %",
            remedy="Lower collision.max_pieces.",
        ),
    )
    return Asset(
        lods=lods,
        collision=collision,
        placement=placement,
        files=files,
        pictures=_pictures(),
        checklist=Checklist(checks=checks),
        **maps,
    )


def forged_record(lightmap_px: int = 0) -> PackageRecord:
    """A run with one input, one fallback, two stages."""
    stages: list[dict[str, object]] = [{"stage": "decimate"}]
    if lightmap_px:
        stages.append({"stage": "unwrap", "lightmap_px": lightmap_px})
    preset = {"schema": "open3dforge.preset.v1", "name": "prop_UE5_standard", "stages": stages}
    return PackageRecord(
        created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        job_id="job-0001",
        inputs=(InputEntry(name="crate.png", sha256="0123456789abcdef" * 4, view="front"),),
        preset="prop_UE5_standard",
        preset_document=json.dumps(preset),
        nanite=True,
        generator="embedded",
        backends={"raycaster": "embree 4.4", "decomposer": "coacd 1.0.14"},
        fallbacks=(FallbackEntry(stage="collision", code="collision_fallback", message="One hull was used."),),
        versions={"open3dforge": "0.1.0"},
        stages=(
            StageEntry(name="decimate", seconds=1.25, cached=False),
            StageEntry(name="export", seconds=0.5, cached=True),
        ),
    )


def _pictures() -> Pictures:
    ramp = np.linspace(0, 255, 32).astype(np.uint8)
    image = Image.fromarray(np.stack([*np.meshgrid(ramp, ramp), np.full((32, 32), 90, np.uint8)], -1))
    png, webp = io.BytesIO(), io.BytesIO()
    image.save(png, "PNG")
    image.save(webp, "WEBP", save_all=True, append_images=[image.rotate(90)], duration=80)
    return Pictures(preview_png=png.getvalue(), turntable_webp=webp.getvalue(), thumbnail_png=png.getvalue())
