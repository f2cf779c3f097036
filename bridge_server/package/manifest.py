"""The manifest of a finished asset, gathered from its slots and from the record of its run."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC

from bridge_server.errors import PlanError
from bridge_server.package.record import PackageRecord
from bridge_server.stages.png_writer import png_size
from bridge_server.values.asset import Asset
from bridge_server.values.collision import Collision
from bridge_server.values.manifest import (
    AssetEntry,
    BoundsEntry,
    CheckEntry,
    CollisionEntry,
    FileEntry,
    LightMapEntry,
    LodEntry,
    Manifest,
    MaterialEntry,
    PieceEntry,
    PlacementEntry,
    Provenance,
    TextureEntry,
)
from bridge_server.values.mesh import UnwrappedMesh
from bridge_server.values.package import ExportedFiles, FileRole, PackageFile
from bridge_server.values.placement import Placement
from bridge_server.values.space import to_unreal_cm
from bridge_server.values.typed_json import JsonText

PARENT_MATERIAL = "M_Open3DForge"
LOD_GROUPS = {
    FileRole.NORMAL_DIRECTX: "TEXTUREGROUP_WORLD_NORMAL_MAP",
    FileRole.NORMAL_OPENGL: "TEXTUREGROUP_WORLD_NORMAL_MAP",
    FileRole.ORM: "TEXTUREGROUP_WORLD_SPECULAR",
    FileRole.MASK_MAP: "TEXTUREGROUP_WORLD_SPECULAR",
}
MATERIAL_PARAMETERS = {
    "BaseColor": (FileRole.BASE_COLOR,),
    "Normal": (FileRole.NORMAL_DIRECTX, FileRole.NORMAL_OPENGL),
    "ORM": (FileRole.ORM,),
    "MaskMap": (FileRole.MASK_MAP,),
}
"""Parameter name -> roles of the texture it takes, the preferred one first."""
BOUNDS_DIGITS = 4
LIGHT_MAP_CHANNEL = 1
"""The writers put the coordinates for baked light behind those of the maps."""


def build_manifest(asset: Asset, record: PackageRecord, files: Iterable[PackageFile]) -> Manifest:
    """The manifest that lists ``files``. Raises ``PlanError`` where the asset lacks a slot it needs."""
    listed = tuple(files)
    if asset.files is None or asset.lods is None or asset.placement is None or asset.collision is None:
        raise PlanError("the package needs LODs, collision, placement and exported files.", subject="package")
    name = asset.files.asset_name
    textures = tuple(_textures(listed))
    checks = asset.checklist.checks if asset.checklist is not None else ()
    return Manifest(
        asset=AssetEntry(name=name, type="static_mesh", mesh_name=f"SM_{name}", material_name=f"MI_{name}"),
        created=record.created.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        files=tuple(file_entry(file) for file in listed),
        placement=_placement(asset.placement, asset.lods.lods[0].mesh),
        lods=tuple(_lods(asset, listed)),
        collision=_collision(asset.collision, asset.files),
        textures=textures,
        material=_material(f"MI_{name}", textures),
        nanite=record.nanite,
        checklist=tuple(
            CheckEntry(
                rule=check.rule,
                title=check.title,
                verdict=check.verdict.value,
                figure=check.figure,
                limit=check.limit,
                remedy=check.remedy,
            )
            for check in checks
        ),
        provenance=_provenance(record),
        light_map=_light_map(asset.lods.lods[0].mesh),
    )


def file_entry(file: PackageFile) -> FileEntry:
    """Path, role, digest and size."""
    digest = hashlib.sha256(file.data).hexdigest()
    return FileEntry(path=file.path, role=file.role.value, sha256=digest, size_bytes=len(file.data))


def _placement(placement: Placement, mesh: UnwrappedMesh) -> PlacementEntry:
    points = to_unreal_cm(placement.apply(mesh.positions_m))
    low, high = (
        tuple(round(value, BOUNDS_DIGITS) + 0.0 for value in corner.tolist())
        for corner in (points.min(axis=0), points.max(axis=0))
    )
    return PlacementEntry(
        pivot=placement.pivot.value,
        scale=float(placement.scale),
        translation_m=placement.translation_m,
        height_cm=round(float(placement.height_cm), BOUNDS_DIGITS),
        bounds_cm=BoundsEntry(min=(low[0], low[1], low[2]), max=(high[0], high[1], high[2])),
    )


def _lods(asset: Asset, files: tuple[PackageFile, ...]) -> Iterator[LodEntry]:
    """Each level with the file that holds it; a level that the target has no file for is left out."""
    by_level = {file.lod: file.path for file in files if file.role in (FileRole.MESH, FileRole.MESH_LOD)}
    for index, lod in enumerate(asset.lods.lods if asset.lods is not None else ()):
        if index in by_level:
            yield LodEntry(
                index=index,
                path=by_level[index],
                triangles=len(lod.mesh.faces),
                vertices=len(lod.mesh.positions_m),
                screen_size=round(float(lod.screen_size), 6),
            )


def _light_map(mesh: UnwrappedMesh) -> LightMapEntry | None:
    if mesh.lightmap_uvs is None:
        return None
    return LightMapEntry(channel=LIGHT_MAP_CHANNEL, resolution_px=mesh.lightmap_px)


def _collision(collision: Collision, files: ExportedFiles) -> CollisionEntry:
    return CollisionEntry(
        method=collision.method,
        containment=round(float(collision.containment), 6),
        excess_volume=None if math.isnan(collision.excess_volume) else round(float(collision.excess_volume), 6),
        pieces=tuple(
            PieceEntry(
                name=name,
                shape=piece.shape.value,
                vertices=len(piece.mesh.positions_m),
                triangles=len(piece.mesh.faces),
            )
            for name, piece in zip(files.collision_names, collision.pieces, strict=False)
        ),
    )


def _textures(files: tuple[PackageFile, ...]) -> Iterator[TextureEntry]:
    for file in files:
        if file.color_space is not None:
            width, _, depth, _ = png_size(file.data)
            yield TextureEntry(
                name=file.path.rpartition(".")[0],
                path=file.path,
                role=file.role.value,
                color_space=file.color_space.value,
                compression=file.compression,
                lod_group=LOD_GROUPS.get(file.role, "TEXTUREGROUP_WORLD"),
                size_px=width,
                bit_depth=depth,
                flip_green=False,
            )


def _material(name: str, textures: tuple[TextureEntry, ...]) -> MaterialEntry:
    by_role = {texture.role: texture.name for texture in textures}
    chosen = {
        parameter: next((by_role[role.value] for role in roles if role.value in by_role), "")
        for parameter, roles in MATERIAL_PARAMETERS.items()
    }
    return MaterialEntry(
        name=name,
        parent=PARENT_MATERIAL,
        textures={parameter: texture for parameter, texture in chosen.items() if texture},
        scalars={},
        vectors={},
    )


def _provenance(record: PackageRecord) -> Provenance:
    return Provenance(
        inputs=record.inputs,
        preset=record.preset,
        preset_document=JsonText(json.dumps(json.loads(record.preset_document), ensure_ascii=False, sort_keys=True)),
        generator=record.generator,
        backends=dict(record.backends),
        fallbacks=record.fallbacks,
        versions=dict(record.versions),
        stages=record.stages,
        job_id=record.job_id,
    )
