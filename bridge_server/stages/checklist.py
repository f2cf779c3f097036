"""Checklist: is the asset ready for a game? Every rule with its figure, its limit, and what to do about it."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.run import Run
from bridge_server.stages import checklist_asset as asset_rules
from bridge_server.stages import checklist_collision as collision_rules
from bridge_server.stages import checklist_light_map as light_map_rules
from bridge_server.stages import checklist_maps as map_rules
from bridge_server.stages import checklist_mesh as mesh_rules
from bridge_server.stages import checklist_surface as surface_rules
from bridge_server.stages import checklist_turned as turned_rules
from bridge_server.stages import checklist_uv as uv_rules
from bridge_server.stages.checklist_given import given_by
from bridge_server.stages.stage import Range, Stage
from bridge_server.values.checklist import Check, Checklist
from bridge_server.values.collision import Collision
from bridge_server.values.lod import LodChain
from bridge_server.values.mesh import HighPoly, LowPoly, Mesh, UnwrappedMesh
from bridge_server.values.placement import Placement
from bridge_server.values.texture import AlbedoMap, NormalMap, PackedMap, TexelHits

Share = Annotated[float, Range(0.0, 1.0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeChecklist(Stage):
    """Judge the asset by every rule; the fields are the limits. See ``checklist_verdicts`` for what a verdict means."""

    name: ClassVar[str] = "checklist"
    writes: ClassVar[str] = "checklist"
    version: ClassVar[int] = 5

    asset_name: str = "Asset"
    """Name of the asset, without prefix."""
    triangle_budget: Annotated[int, Range(0, 10_000_000)] = 0
    """Most triangles of LOD0; 0 leaves it to the target of decimation."""
    file_budget_kb: Annotated[float, Range(0.0, 1_000_000.0)] = 0.0
    """Most kilobytes of LOD0's geometry in the GLB; 0 leaves the rule out."""
    lod_count: Annotated[int, Range(0, 8)] = 0
    """Levels of detail asked for; 0 takes what there is."""
    resolution_px: Annotated[int, Range(0, 16_384)] = 0
    """Edge length of the textures asked for; 0 takes what there is."""
    height_cm: Annotated[float, Range(0.0, 100_000.0)] = 0.0
    """Height asked for; 0 takes that of the placement."""
    uv_overlap_limit: Share = 0.001
    """Share of texels that two faces may share."""
    texel_density_spread_limit: Annotated[float, Range(0.0, 10.0)] = 0.25
    """Standard deviation of the charts' texel densities over their mean."""
    uv_stretch_limit: Annotated[float, Range(1.0, 100.0)] = 1.5
    """Largest L2 stretch of the layout; 1 is none."""
    sliver_limit: Share = 0.05
    """Share of faces that may be needles."""
    lod_error_limit_px: Annotated[float, Range(0.0, 1080.0)] = 6.0
    """Pixels of a picture 1080 high by which a level may be off where it comes in."""
    hausdorff_limit: Share = 0.03
    """Largest distance to the high poly as a share of the diagonal."""
    lod_turned_limit: Share = 0.01
    """Share of a level's area that may lie inside out."""
    seam_gap_limit: Share = 0.0005
    """Widest crack along a UV seam as a share of the diagonal."""
    bake_ray_share_limit: Share = 0.9
    """Share of bake samples that a ray must find."""
    base_color_limit: Share = 0.05
    """Share of texels that may be darker than coal or brighter than snow."""
    metallic_between_limit: Share = 0.1
    """Share of texels that may be neither metal nor not."""
    collision_vertex_limit: Annotated[int, Range(4, 255)] = 64
    """Most corners of a collision piece."""
    containment_limit: Share = 0.98
    """Share of the surface that collision must hold."""
    collision_excess_limit: Annotated[float, Range(0.0, 100.0)] = 0.5
    """Volume that collision may enclose in vain, over that of the asset."""
    collision_triangle_share: Share = 0.01
    """Triangles of all collision pieces over those of LOD0."""
    rig_wanted: str = ""
    """Kind of rig that the preset would have; empty for none."""

    def __call__(
        self,
        run: Run,
        raycaster: Raycaster,
        *,
        unwrapped: UnwrappedMesh,
        high_poly: HighPoly | None = None,
        low_poly: LowPoly | None = None,
        texel_hits: TexelHits | None = None,
        normal: NormalMap | None = None,
        albedo: AlbedoMap | None = None,
        packed: PackedMap | None = None,
        lods: LodChain | None = None,
        collision: Collision | None = None,
        placement: Placement | None = None,
    ) -> Checklist:
        """Apply all rules; one whose slot is missing is skipped."""
        run.checkpoint(0.0, "triangles")
        mesh = (*self._mesh(unwrapped, high_poly, low_poly, lods), *self._surface(raycaster, unwrapped.welded_mesh()))
        run.checkpoint(0.2, "UVs")
        uvs = self._uvs(unwrapped, placement)
        run.checkpoint(0.55, "light map")
        uvs = (*uvs, *light_map_rules.light_map(unwrapped))
        run.checkpoint(0.6, "textures")
        given = given_by(high_poly)
        maps = (
            map_rules.texture_resolution(normal, albedo, packed, self.resolution_px),
            map_rules.normal_map(normal, texel_hits),
            map_rules.base_color_range(albedo, packed, texel_hits, self.base_color_limit, given),
            map_rules.metallic_binary(packed, texel_hits, self.metallic_between_limit, given),
            map_rules.ambient_occlusion(packed, texel_hits),
            map_rules.bake_ray_share(texel_hits, self.bake_ray_share_limit),
        )
        run.checkpoint(0.9, "collision")
        whole = (
            asset_rules.pivot(unwrapped, placement),
            asset_rules.height(unwrapped, placement, self.height_cm),
            asset_rules.naming(self.asset_name),
            asset_rules.material_count(),
            asset_rules.rig(self.rig_wanted),
        )
        return Checklist(checks=(*mesh, *uvs, *maps, *self._collision(collision, len(unwrapped.faces)), *whole))

    def _mesh(
        self, unwrapped: UnwrappedMesh, high_poly: HighPoly | None, low_poly: LowPoly | None, lods: LodChain | None
    ) -> tuple[Check, ...]:
        welded = unwrapped.welded_mesh()
        return (
            mesh_rules.triangle_budget(unwrapped, low_poly, high_poly, self.triangle_budget),
            *mesh_rules.file_budget(unwrapped, self.file_budget_kb),
            mesh_rules.watertight(welded),
            mesh_rules.winding(welded),
            mesh_rules.degenerate_faces(welded),
            mesh_rules.non_manifold_edges(welded),
            mesh_rules.likeness(low_poly, self.hausdorff_limit),
            mesh_rules.lod_count(lods, self.lod_count),
            mesh_rules.lod_order(lods),
            mesh_rules.lod_error(lods, self.lod_error_limit_px),
            turned_rules.lod_turned(lods, self.lod_turned_limit),
            mesh_rules.seam_gap(lods, self.seam_gap_limit),
        )

    def _surface(self, raycaster: Raycaster, welded: Mesh) -> tuple[Check, ...]:
        return (
            surface_rules.sliver_share(welded, self.sliver_limit),
            surface_rules.inner_hulls(welded),
            surface_rules.back_faces_seen(raycaster, welded),
        )

    def _uvs(self, unwrapped: UnwrappedMesh, placement: Placement | None) -> tuple[Check, ...]:
        atlas = uv_rules.rasterized(unwrapped)
        scale = placement.scale if placement is not None else 1.0
        return (
            uv_rules.uv_overlap(atlas, self.uv_overlap_limit),
            uv_rules.uv_in_unit_square(unwrapped),
            uv_rules.uv_padding(unwrapped, atlas),
            uv_rules.texel_density_spread(unwrapped, self.texel_density_spread_limit, scale),
            uv_rules.uv_stretch(unwrapped, self.uv_stretch_limit),
        )

    def _collision(self, collision: Collision | None, lod0_triangles: int) -> tuple[Check, ...]:
        return (
            collision_rules.collision_present(collision),
            collision_rules.collision_closed(collision),
            collision_rules.collision_convex(collision),
            collision_rules.collision_vertices(collision, self.collision_vertex_limit),
            collision_rules.collision_containment(collision, self.containment_limit),
            collision_rules.collision_excess(collision, self.collision_excess_limit),
            collision_rules.collision_triangle_share(collision, lod0_triangles, self.collision_triangle_share),
        )
