"""Export: the finished asset as mesh and image files, named and oriented for the engine that takes them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from bridge_server.run import PartialRun, Run
from bridge_server.stages.export_files import ExportTarget, collision_names, level_name, mesh_files
from bridge_server.stages.export_images import (
    ImagePlan,
    encode_all,
    orm_pixels,
    plan_base_color,
    plan_invented,
    plan_jpeg,
    plan_mask_map,
    plan_normal,
    plan_orm,
)
from bridge_server.stages.export_model import MaterialFiles, Model, hull_meshes, render_mesh
from bridge_server.stages.stage import Stage
from bridge_server.values.base import Notice
from bridge_server.values.collision import Collision
from bridge_server.values.lod import LodChain
from bridge_server.values.package import ExportedFiles, FileRole, PackageFile
from bridge_server.values.placement import Placement
from bridge_server.values.quads import QuadLayout
from bridge_server.values.texture import AlbedoMap, NormalMap, PackedMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Export(Stage):
    """Write LODs, collision and maps as files.

    ========== ================================== =========================== ================================
    target     meshes                             images                      collision
    ========== ================================== =========================== ================================
    ue5        a GLB a level, FBX                 BC, N (DirectX), N_GL, ORM  UCX_, UBX_, USP_, UCP_ nodes
    unity_hdrp GLB, FBX of all levels             BC, N_GL, MASK              nodes in the GLB, FBX of its own
    godot      a GLB a level                      BC, N_GL, ORM               nodes called -convcolonly
    blender    GLB, FBX, OBJ                      BC, N_GL, ORM               UCX_, UBX_, USP_, UCP_ nodes
    web        GLB with JPEG colours              inside the GLB              none
    ========== ================================== =========================== ================================
    """

    name: ClassVar[str] = "export"
    writes: ClassVar[str] = "files"
    version: ClassVar[int] = 2

    asset_name: str = "Asset"
    """Name of the asset, without prefix; files are called after it."""
    target: ExportTarget = ExportTarget.UE5
    """Engine or tool that the files are meant for."""
    sixteen_bit_normals: bool = False
    """Write loose normal maps with 16 bits a channel: larger files, no banding on large smooth surfaces."""

    def __call__(
        self,
        run: Run,
        *,
        lods: LodChain,
        collision: Collision,
        placement: Placement,
        normal: NormalMap,
        albedo: AlbedoMap,
        packed: PackedMap,
        quads: QuadLayout | None = None,
    ) -> ExportedFiles:
        """All mesh and image files of the package, in memory."""
        plans = tuple(self._image_plans(normal, albedo, packed))
        images = encode_all(plans, f"T_{self.asset_name}", PartialRun(run, 0.0, 0.8))
        mesh_name = f"SM_{self.asset_name}"
        names = collision_names(self.target, mesh_name, collision)
        levels = []
        for level, lod in enumerate(lods.lods):
            run.checkpoint(0.8 + 0.1 * level / len(lods.lods), "meshes")
            kept = quads if level == 0 and self.target is ExportTarget.BLENDER else None
            levels.append(render_mesh(level_name(mesh_name, level), lod.mesh, placement, kept))
        base = Model(
            meshes=tuple(levels[:1]),
            hulls=hull_meshes(collision, names, placement) if names else (),
            material=self._material(plans, images),
        )
        files = []
        for file in mesh_files(self.target, base, tuple(levels)):
            run.checkpoint(0.9, file.path)
            files.append(file)
        files += [image for plan, image in zip(plans, images, strict=True) if plan.kept]
        return ExportedFiles(
            asset_name=self.asset_name,
            target=self.target.value,
            collision_names=names,
            files=tuple(files),
            notices=self._notices(quads),
        )

    def _notices(self, quads: QuadLayout | None) -> tuple[Notice, ...]:
        """A warning where quads were made for a target whose files hold triangles only."""
        if quads is None or not len(quads.faces) or self.target is ExportTarget.BLENDER:
            return ()
        message = f"The quads are in no file: the meshes for {self.target.value} hold triangles."
        remedy = "Use export.target=blender for an OBJ and FBX with quads, or quadrangulate.mode=off."
        return (Notice(code="quads_not_exported", message=message, remedy=remedy),)

    def _image_plans(self, normal: NormalMap, albedo: AlbedoMap, packed: PackedMap) -> Iterator[ImagePlan]:
        color, orm = plan_base_color(albedo), plan_orm(packed)
        gl = plan_normal(normal, directx=False, sixteen_bit=False)
        if self.target is ExportTarget.WEB:
            for plan in (plan_jpeg(albedo.pixels, color), plan_jpeg(orm_pixels(packed), orm), gl):
                yield replace(plan, embedded=True, kept=False)
            return
        yield replace(color, embedded=True)
        yield replace(gl, embedded=True, kept=not self.sixteen_bit_normals)
        yield replace(orm, embedded=True, kept=self.target is not ExportTarget.UNITY_HDRP)
        if self.sixteen_bit_normals:
            yield plan_normal(normal, directx=False, sixteen_bit=True)
        if self.target is ExportTarget.UE5:
            yield plan_normal(normal, directx=True, sixteen_bit=self.sixteen_bit_normals)
        if self.target is ExportTarget.UNITY_HDRP:
            yield plan_mask_map(packed)
        if albedo.invented is not None:
            yield plan_invented(albedo.invented)

    def _material(self, plans: tuple[ImagePlan, ...], images: tuple[PackageFile, ...]) -> MaterialFiles:
        embedded = {image.role: image for plan, image in zip(plans, images, strict=True) if plan.embedded}
        color, normal, orm = (
            embedded[role] for role in (FileRole.BASE_COLOR, FileRole.NORMAL_OPENGL, FileRole.ORM)
        )  # fmt: skip
        return MaterialFiles(
            name=f"MI_{self.asset_name}",
            base_color=color.data,
            normal=normal.data,
            orm=orm.data,
            base_color_path=color.path,
            normal_path=normal.path,
            orm_path=orm.path,
        )
