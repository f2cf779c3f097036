"""Which mesh files each export target gets, and how their nodes are called."""

import enum
from collections.abc import Iterator
from dataclasses import replace

from bridge_server.stages.export_model import MaterialFiles, Model, RenderMesh
from bridge_server.stages.fbx_writer import write_fbx
from bridge_server.stages.glb_writer import write_glb
from bridge_server.stages.obj_writer import write_mtl, write_obj
from bridge_server.values.collision import Collision
from bridge_server.values.package import FileRole, PackageFile


class ExportTarget(enum.StrEnum):
    """Where the files are meant for."""

    UE5 = "ue5"
    UNITY_HDRP = "unity_hdrp"
    GODOT = "godot"
    BLENDER = "blender"
    WEB = "web"


def level_name(mesh_name: str, level: int) -> str:
    """Level 0 is called as the mesh, the others have their number behind it."""
    return mesh_name if level == 0 else f"{mesh_name}_LOD{level}"


def collision_names(target: ExportTarget, mesh_name: str, collision: Collision) -> tuple[str, ...]:
    """Node names by which the target takes a mesh for collision; empty where it takes none."""
    if target is ExportTarget.WEB:
        return ()
    if target is ExportTarget.GODOT:
        return tuple(f"{mesh_name}_{number:02d}-convcolonly" for number in range(len(collision.pieces)))
    return tuple(f"{piece.shape.prefix}_{mesh_name}_{number:02d}" for number, piece in enumerate(collision.pieces))


def mesh_files(target: ExportTarget, base: Model, levels: tuple[RenderMesh, ...]) -> Iterator[PackageFile]:
    """All mesh files: ``base`` holds level 0, collision and material, ``levels`` all levels."""
    name = levels[0].name
    yield PackageFile(path=f"{name}.glb", role=FileRole.MESH, data=write_glb(base))
    if target in (ExportTarget.UE5, ExportTarget.GODOT):
        yield from _further_levels(levels, base.material.name)
    if target is ExportTarget.UE5:
        # Unreal turns a GLB's normal map over by itself, but not an FBX's, which therefore names the DirectX one.
        directx = replace(base.material, normal_path=base.material.normal_path.replace("_N_GL.", "_N."))
        yield PackageFile(path=f"{name}.fbx", role=FileRole.MESH_FBX, data=write_fbx(replace(base, material=directx)))
    if target is ExportTarget.BLENDER:
        yield PackageFile(path=f"{name}.fbx", role=FileRole.MESH_FBX, data=write_fbx(base))
    if target is ExportTarget.UNITY_HDRP:
        yield from _unity_files(base, levels)
    if target is ExportTarget.BLENDER:
        yield PackageFile(path=f"{name}.obj", role=FileRole.MESH_OBJ, data=write_obj(base, f"{name}.mtl"))
        yield PackageFile(path=f"{name}.mtl", role=FileRole.MATERIAL_LIBRARY, data=write_mtl(base.material))


def _further_levels(levels: tuple[RenderMesh, ...], material_name: str) -> Iterator[PackageFile]:
    """A GLB each, without images: the levels share those of level 0."""
    for level, mesh in enumerate(levels[1:], 1):
        model = Model(meshes=(mesh,), hulls=(), material=MaterialFiles(name=material_name))
        yield PackageFile(path=f"{mesh.name}.glb", role=FileRole.MESH_LOD, data=write_glb(model), lod=level)


def _unity_files(base: Model, levels: tuple[RenderMesh, ...]) -> Iterator[PackageFile]:
    """Unity makes a LOD group of nodes called ``_LOD0``, ``_LOD1``; collision would be drawn, so it lies apart."""
    name = levels[0].name
    named = tuple(replace(mesh, name=f"{name}_LOD{level}") for level, mesh in enumerate(levels))
    group = Model(meshes=named, hulls=(), material=base.material)
    yield PackageFile(path=f"{name}.fbx", role=FileRole.MESH_FBX, data=write_fbx(group))
    shell = Model(meshes=(), hulls=base.hulls, material=base.material)
    yield PackageFile(path=f"{name}_Collision.fbx", role=FileRole.COLLISION, data=write_fbx(shell))
