"""``forge check`` on a mesh file: what an engine would stumble over, judged by the rules of the checklist.

Pieces whose names mark them as collision (``UCX_``, ``UBX_``, ``USP_``, ``UCP_``, ``-convcolonly``) are judged as such
and left out of the rest. A file from elsewhere may tile and mirror its UVs on purpose, so what would fail a baked
asset only warns here.
"""

from dataclasses import replace

from bridge_server.backends.raycaster.base import Raycaster
from bridge_server.package.check_layout import UvLayout, uv_layout
from bridge_server.package.mesh_file import MeshFile, measured_collision, read_mesh_file
from bridge_server.run import PartialRun, Run
from bridge_server.stages import checklist_collision as collision_rules
from bridge_server.stages import checklist_file as file_rules
from bridge_server.stages import checklist_mesh as mesh_rules
from bridge_server.stages import checklist_surface as surface_rules
from bridge_server.stages import checklist_uv as uv_rules
from bridge_server.stages.checklist import MakeChecklist
from bridge_server.stages.checklist_verdicts import skipped
from bridge_server.values.checklist import Check, Checklist, Verdict
from bridge_server.values.source import MeshSource


def check_mesh(source: MeshSource, limits: MakeChecklist, raycaster: Raycaster, run: Run) -> Checklist:
    """Each rule with its outcome. Raises ``InputError`` where the file cannot be read at all."""
    found = read_mesh_file(source, PartialRun(run, 0.0, 0.4))
    run.checkpoint(0.4, "triangles")
    mesh = found.mesh
    surface = (
        file_rules.reading(found.notices),
        file_rules.triangles(found.triangle_count, limits.triangle_budget),
        mesh_rules.watertight(mesh),
        mesh_rules.winding(mesh),
        surface_rules.back_faces_seen(raycaster, mesh),
        surface_rules.inner_hulls(mesh),
        mesh_rules.degenerate_faces(mesh, found.triangle_count - len(mesh.faces)),
        mesh_rules.non_manifold_edges(mesh),
        surface_rules.sliver_share(mesh, limits.sliver_limit),
    )
    run.checkpoint(0.6, "UVs")
    layout = uv_layout(found.raw, mesh, found.rows)
    run.checkpoint(0.8, "collision")
    whole = (
        *file_rules.textures(found.raw.materials),
        file_rules.material_slots(found.material_count),
        file_rules.extent(found.low_m, found.high_m),
        file_rules.origin(found.low_m, found.high_m),
        file_rules.file_name(source.name),
        file_rules.file_size(len(source.data) + sum(len(data) for _, data in source.companions)),
    )
    return Checklist(checks=(*surface, *_uvs(layout, limits), *_collision(found, limits), *whole))


def _uvs(layout: UvLayout | None, limits: MakeChecklist) -> tuple[Check, ...]:
    if layout is None:
        return (skipped("uv_overlap", "UVs", "the file has none; ./forge submit makes them"),)
    atlas = uv_rules.rasterized(layout.unwrapped)
    checks = (
        file_rules.charts(layout.chart_count, len(layout.unwrapped.faces)),
        uv_rules.uv_overlap(atlas, limits.uv_overlap_limit),
        uv_rules.uv_in_unit_square(layout.unwrapped),
        uv_rules.uv_padding(layout.unwrapped, atlas),
        uv_rules.texel_density_spread(layout.unwrapped, limits.texel_density_spread_limit, 1.0),
        uv_rules.uv_stretch(layout.unwrapped, limits.uv_stretch_limit),
    )
    return tuple(replace(check, verdict=Verdict.WARN) if check.verdict is Verdict.FAIL else check for check in checks)


def _collision(found: MeshFile, limits: MakeChecklist) -> tuple[Check, ...]:
    if not found.pieces:
        why = "the file has none; ./forge submit makes it"
        return (skipped("collision_present", "Collision", why),)
    collision = measured_collision(found)
    return (
        collision_rules.collision_present(collision),
        collision_rules.collision_closed(collision),
        collision_rules.collision_convex(collision),
        collision_rules.collision_vertices(collision, limits.collision_vertex_limit),
        collision_rules.collision_containment(collision, limits.containment_limit),
        collision_rules.collision_excess(collision, limits.collision_excess_limit),
        collision_rules.collision_triangle_share(collision, len(found.mesh.faces), limits.collision_triangle_share),
    )
