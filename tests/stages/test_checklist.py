"""Each rule is shown an asset that keeps it and one that breaks it."""

import ast
import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from bridge_server.backends.decomposer.base import DECOMPOSERS
from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.pipeline.registry import REGISTRY
from bridge_server.run import SilentRun
from bridge_server.stages import checklist_uv
from bridge_server.stages.checklist import MakeChecklist
from bridge_server.stages.checklist_uv import rasterized
from bridge_server.stages.collision import MakeCollision
from bridge_server.stages.export_model import MaterialFiles, Model, render_mesh
from bridge_server.stages.glb_writer import write_glb
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.collision import Collision, CollisionPiece, CollisionShape
from bridge_server.values.mesh import HighPoly, LowPoly, Mesh, UnwrappedMesh, face_cross_products, volume_m3
from bridge_server.values.placement import Pivot, Placement
from bridge_server.values.surface import SurfaceField
from bridge_server.values.surface_folded import FoldedField
from bridge_server.values.surface_texture import MaterialTextures, TextureField, TextureImage
from bridge_server.values.texture import NormalMap, PackedMap, Packing, TexelHits
from tests import shapes
from tests.unwrapped_shapes import albedo_map, lod_chain, normal_map, unwrapped_ball, unwrapped_box

BALL = dataclasses.replace(unwrapped_ball(cells=24), padding_px=8, atlas_px=1024)
RAYCASTER = RAYCASTERS.load("embree")
PASS, WARN, FAIL, SKIPPED = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.SKIPPED


@pytest.fixture(autouse=True, scope="module")
def one_atlas_for_each_layout():
    """The slowest step of the checklist is done once for each layout that the tests here share."""
    known = {}

    def remembered(mesh: UnwrappedMesh):
        if id(mesh.uvs) not in known:
            known[id(mesh.uvs)] = (mesh, rasterized(mesh))
        return known[id(mesh.uvs)][1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checklist_uv, "rasterized", remembered)
        yield


def hulls(*meshes: Mesh, containment: float = 0.99) -> Collision:
    pieces = tuple(CollisionPiece(shape=CollisionShape.CONVEX, mesh=mesh) for mesh in meshes)
    return Collision(pieces=pieces, containment=containment, excess_volume=0.1, method="test")


def simple(shape: CollisionShape, mesh: Mesh) -> Collision:
    return dataclasses.replace(hulls(), pieces=(CollisionPiece(shape=shape, mesh=mesh),))


def placed(mesh: UnwrappedMesh, height_cm: float = 50.0) -> Placement:
    low, high = mesh.positions_m.min(axis=0), mesh.positions_m.max(axis=0)
    scale = height_cm / 100.0 / float(high[1] - low[1])
    center = (low + high) / 2.0 * scale
    return Placement(
        scale=scale,
        translation_m=(-float(center[0]), -float(low[1]) * scale, -float(center[2])),
        pivot=Pivot.BOTTOM_CENTER,
        height_cm=height_cm,
    )


def low_of(mesh: UnwrappedMesh, target: int | None = None, hausdorff_m: float = 0.002) -> LowPoly:
    return LowPoly(
        mesh=mesh.welded_mesh(),
        target_triangle_count=target or len(mesh.faces),
        hausdorff_m=hausdorff_m,
        mean_distance_m=hausdorff_m / 5,
        method="test",
    )


def orm(occlusion=220, roughness=128, metallic=0, size=64) -> PackedMap:
    return PackedMap(packing=Packing.ORM, pixels=np.tile(np.uint8([occlusion, roughness, metallic]), (size, size, 1)))


def traced(by_ray: float = 1.0, size: int = 64) -> TexelHits:
    count = 1000
    hit = np.arange(count) < by_ray * count
    zeros, pairs = np.zeros(count, np.int32), np.zeros((count, 2), np.float32)
    return TexelHits(
        resolution_px=size,
        supersample=1,
        index=np.arange(count, dtype=np.int32),
        low_face=zeros,
        low_weights=pairs,
        high_face=zeros,
        high_weights=pairs,
        by_ray=hit,
        coverage=np.ones((size, size), np.bool_),
    )


def good_asset() -> dict:
    ball = BALL
    return {
        "unwrapped": ball,
        "low_poly": low_of(ball),
        "texel_hits": traced(),
        "normal": normal_map(),
        "albedo": dataclasses.replace(albedo_map(), pixels=np.full((64, 64, 3), 140, np.uint8)),
        "packed": orm(),
        "lods": lod_chain(ball, unwrapped_ball(cells=12), unwrapped_ball(cells=6)),
        "collision": hulls(shapes.sphere(0.55, 0)),
        "placement": placed(ball),
    }


def verdicts(stage: MakeChecklist | None = None, **changes) -> dict[str, Check]:
    slots = good_asset() | changes
    checklist = (stage or MakeChecklist())(
        SilentRun(), RAYCASTER, **{key: value for key, value in slots.items() if value is not None}
    )
    assert len({check.rule for check in checklist.checks}) == len(checklist.checks)
    return {check.rule: check for check in checklist.checks}


def test_a_good_asset_passes_every_rule():
    stage = MakeChecklist(
        asset_name="Ball", triangle_budget=7000, lod_count=3, resolution_px=64, height_cm=50.0, rig_wanted=""
    )
    found = verdicts(stage, unwrapped=lit(BALL.uvs))
    assert {rule: check for rule, check in found.items() if check.verdict is not PASS}.keys() == {"rig"}
    assert len(found) >= 34
    for check in found.values():
        assert check.title
        assert check.figure
        assert not check.remedy


def test_what_is_not_there_is_skipped():
    slots = dict.fromkeys(good_asset().keys() - {"unwrapped"})
    found = verdicts(**slots)
    skipped = {rule for rule, check in found.items() if check.verdict is SKIPPED}
    assert {"lod_count", "normal_map", "base_color_range", "collision_present", "pivot", "hausdorff"} <= skipped
    assert not any(check.verdict is FAIL for check in found.values())


def broken(mesh: UnwrappedMesh, **changes) -> UnwrappedMesh:
    return dataclasses.replace(mesh, **changes)


def with_hole() -> UnwrappedMesh:
    return broken(BALL, faces=BALL.faces[5:], charts=BALL.charts[5:])


def with_a_window() -> UnwrappedMesh:
    """A side is missing, so one looks at the back of the other."""
    kept = BALL.charts != 2
    return broken(BALL, faces=BALL.faces[kept], charts=BALL.charts[kept])


def with_a_ball_inside() -> UnwrappedMesh:
    return broken(
        BALL,
        positions_m=np.concatenate([BALL.positions_m, BALL.positions_m * np.float32(0.5)]),
        faces=np.concatenate([BALL.faces, BALL.faces + np.int32(len(BALL.positions_m))]),
        charts=np.concatenate([BALL.charts, BALL.charts]),
        uvs=np.concatenate([BALL.uvs, BALL.uvs]),
        normals=np.concatenate([BALL.normals, BALL.normals]),
        tangents=np.concatenate([BALL.tangents, BALL.tangents]),
        welded=np.concatenate([BALL.welded, BALL.welded + np.int32(BALL.welded.max() + 1)]),
    )


def inside_out() -> UnwrappedMesh:
    return broken(BALL, faces=BALL.faces[:, ::-1])


def half_inside_out() -> UnwrappedMesh:
    faces = BALL.faces.copy()
    faces[: len(faces) // 2] = faces[: len(faces) // 2, ::-1]
    return broken(BALL, faces=faces)


def with_slivers(count: int) -> UnwrappedMesh:
    faces = BALL.faces.copy()
    faces[:count, 2] = faces[:count, 1]
    return broken(BALL, faces=faces)


def with_a_fin() -> UnwrappedMesh:
    faces = np.concatenate([BALL.faces, BALL.faces[:1, [0, 1, 2]] + np.int32([0, 0, 7])])
    return broken(BALL, faces=faces, charts=np.append(BALL.charts, np.int32(0)))


def overlapping(share: float) -> UnwrappedMesh:
    """Some of the second chart laid over the first."""
    uvs = BALL.uvs.copy()
    second = np.unique(BALL.faces[BALL.charts == 1])
    uvs[second[: int(len(second) * share)], 0] -= np.float32(1 / 3)
    return broken(BALL, uvs=uvs)


def crowded() -> UnwrappedMesh:
    """Charts that touch each other."""
    uvs = BALL.uvs.copy()
    for chart in range(6):
        mine = np.unique(BALL.faces[BALL.charts == chart])
        corner = np.float32([chart % 3 / 3, chart // 3 / 2])
        local = uvs[mine] - corner
        local = (local - local.min(axis=0)) / np.ptp(local, axis=0)
        uvs[mine] = corner + local * np.float32([1 / 3, 1 / 2])
    return broken(BALL, uvs=uvs)


def outside() -> UnwrappedMesh:
    return broken(BALL, uvs=BALL.uvs + np.float32([0.2, 0.0]))


@pytest.mark.parametrize(
    ("rule", "verdict", "mesh"),
    [
        ("watertight", WARN, with_hole()),
        ("winding", FAIL, inside_out()),
        ("winding", WARN, half_inside_out()),
        ("back_faces_seen", FAIL, inside_out()),
        ("back_faces_seen", WARN, with_a_window()),
        ("inner_hulls", WARN, with_a_ball_inside()),
        ("sliver_share", WARN, with_slivers(600)),
        ("uv_stretch", WARN, broken(BALL, stretch=2.0)),
        ("degenerate_faces", WARN, with_slivers(3)),
        ("degenerate_faces", FAIL, with_slivers(300)),
        ("non_manifold_edges", WARN, with_a_fin()),
        ("uv_overlap", FAIL, overlapping(1.0)),
        ("uv_overlap", FAIL, overlapping(0.1)),
        ("uv_in_unit_square", FAIL, outside()),
        ("uv_in_unit_square", FAIL, broken(BALL, uvs=np.full_like(BALL.uvs, np.nan))),
        ("uv_padding", WARN, crowded()),
        ("texel_density_spread", WARN, broken(BALL, texel_density_spread=0.5)),
        ("texel_density_spread", FAIL, broken(BALL, texel_density_spread=3.0)),
    ],
)
def test_broken_meshes_and_layouts(rule, verdict, mesh):
    check = verdicts(unwrapped=mesh)[rule]
    assert check.verdict is verdict, check
    assert check.remedy
    assert check.limit


@pytest.mark.parametrize(
    ("target", "budget", "verdict"),
    [
        (6912, 0, PASS),
        (6850, 0, PASS),
        (6000, 0, WARN),
        (8000, 0, WARN),
        (6912, 7000, PASS),
        (6912, 6000, FAIL),
        (None, 6000, FAIL),
        (None, 7000, PASS),
    ],
)
def test_triangle_budget(target, budget, verdict):
    low_poly = None if target is None else low_of(BALL, target)
    check = verdicts(MakeChecklist(triangle_budget=budget), low_poly=low_poly)["triangle_budget"]
    assert check.verdict is verdict, check
    assert "6,912" in check.figure


def test_a_file_budget_is_held_against_the_arrays_that_the_glb_has():
    glb = write_glb(
        Model(meshes=(render_mesh("SM_Ball", BALL, placed(BALL)),), hulls=(), material=MaterialFiles(name="MI_Ball"))
    )
    document = json.loads(glb[20 : 20 + int.from_bytes(glb[12:16], "little")])
    stored = sum(view["byteLength"] for view in document["bufferViews"])
    for budget_kb, verdict in ((stored / 1000 + 0.01, PASS), (stored / 1000 - 0.01, WARN)):
        check = verdicts(MakeChecklist(file_budget_kb=budget_kb))["file_budget"]
        assert check.verdict is verdict, check
    assert "file_budget" not in verdicts()


def test_a_source_below_the_target_is_no_fault():
    box = unwrapped_box()
    check = verdicts(unwrapped=box, low_poly=low_of(box, 10_000), high_poly=shapes.painted(shapes.box()))[
        "triangle_budget"
    ]
    assert check.verdict is PASS


def test_likeness():
    diagonal = BALL.welded_mesh().diagonal_m
    assert verdicts(low_poly=low_of(BALL, hausdorff_m=0.02 * diagonal))["hausdorff"].verdict is PASS
    assert verdicts(low_poly=low_of(BALL, hausdorff_m=0.05 * diagonal))["hausdorff"].verdict is WARN


def test_lods():
    chain = lod_chain(BALL, unwrapped_ball(cells=12))
    assert verdicts(MakeChecklist(lod_count=3), lods=chain)["lod_count"].verdict is WARN
    assert verdicts(MakeChecklist(lod_count=2), lods=chain)["lod_count"].verdict is PASS
    assert verdicts(lods=lod_chain(BALL, BALL))["lod_order"].verdict is FAIL
    sudden = dataclasses.replace(chain, lods=(chain.lods[0], dataclasses.replace(chain.lods[1], error_m=0.2)))
    assert verdicts(lods=sudden)["lod_error"].verdict is WARN
    for gap, verdict in ((0.0, PASS), (0.002, WARN), (0.05, FAIL)):
        lods = dataclasses.replace(chain, lods=(chain.lods[0], dataclasses.replace(chain.lods[1], seam_gap_m=gap)))
        assert verdicts(lods=lods)["seam_gap"].verdict is verdict


def with_a_thin_tile(mesh, side: float, thickness: float):
    """The mesh and a closed tile beside it; of negative thickness its upper side lies under the lower one."""
    tile = unwrapped_box((side, side, 1.0))
    corners = tile.positions_m + np.float32([2.0, 0.0, 0.0])
    corners[:, 2] = tile.positions_m[:, 2] * np.float32(thickness)
    joined = {
        name: np.concatenate([getattr(mesh, name), getattr(tile, name)]) for name in ("normals", "tangents", "uvs")
    }
    return dataclasses.replace(
        mesh,
        **joined,
        positions_m=np.concatenate([mesh.positions_m, corners]),
        faces=np.concatenate([mesh.faces, tile.faces + np.int32(len(mesh.positions_m))]),
        charts=np.concatenate([mesh.charts, tile.charts + np.int32(6)]),
        welded=np.concatenate([mesh.welded, tile.welded + mesh.welded.max() + np.int32(1)]),
    )


@pytest.mark.parametrize(
    ("side", "thickness", "verdict"), [(2.0, 0.02, PASS), (0.1, -0.02, PASS), (0.2, -0.02, WARN), (2.0, -0.02, FAIL)]
)
def test_a_piece_of_a_level_that_turned_inside_out_is_told(side, thickness, verdict):
    """By volume the tile is known to be inside out just where its thickness is negative."""
    level = with_a_thin_tile(unwrapped_ball(cells=12), side, thickness)
    tile = (level.charts >= 6).nonzero()[0]
    volume = volume_m3(Mesh(positions_m=level.positions_m, faces=level.faces[tile]))
    assert (volume < 0.0) == (thickness < 0.0)
    check = verdicts(lods=lod_chain(with_a_thin_tile(BALL, side, 0.02), level))["lod_turned"]
    assert check.verdict is verdict
    areas = np.linalg.norm(face_cross_products(Mesh(positions_m=level.positions_m, faces=level.faces)), axis=1)
    wanted = areas[tile].sum() / areas.sum() * 100 if thickness < 0.0 else 0.0
    assert float(check.figure.split(" %")[0]) == pytest.approx(wanted, rel=0.01)


def test_normal_maps():
    def judged(vector) -> Verdict:
        pixels = np.tile(np.rint((np.array(vector) + 1) / 2 * 65535).astype(np.uint16), (64, 64, 1))
        return verdicts(normal=NormalMap(pixels=pixels))["normal_map"].verdict

    assert judged((0.0, 0.0, 1.0)) is PASS
    assert judged((0.6, 0.0, 0.8)) is PASS
    assert judged((0.0, 0.0, 0.97)) is WARN
    assert judged((0.0, 0.0, -1.0)) is FAIL
    assert judged((0.0, 0.0, 0.0)) is FAIL
    assert judged((1.0, 0.0, 0.0)) is FAIL


def test_only_covered_texels_count():
    """Black outside the charts is nobody's colour."""
    coverage = np.zeros((64, 64), np.bool_)
    coverage[:32] = True
    hits = dataclasses.replace(traced(), coverage=coverage)
    pixels = np.full((64, 64, 3), 140, np.uint8)
    pixels[32:] = 0
    albedo = dataclasses.replace(albedo_map(), pixels=pixels)
    assert verdicts(texel_hits=hits, albedo=albedo)["base_color_range"].verdict is PASS
    assert verdicts(texel_hits=None, albedo=albedo)["base_color_range"].verdict is WARN


def test_colours_of_metals_are_not_held_to_the_rule_of_the_others():
    black = dataclasses.replace(albedo_map(), pixels=np.full((64, 64, 3), 5, np.uint8))
    assert verdicts(albedo=black)["base_color_range"].verdict is WARN
    assert verdicts(albedo=black, packed=orm(metallic=255))["base_color_range"].verdict is PASS
    white = dataclasses.replace(albedo_map(), pixels=np.full((64, 64, 3), 255, np.uint8))
    assert verdicts(albedo=white)["base_color_range"].verdict is WARN


def lit(uvs: np.ndarray, size_px: int = 150) -> UnwrappedMesh:
    return broken(BALL, lightmap_uvs=uvs.astype(np.float32), lightmap_px=size_px)


@pytest.mark.parametrize(
    ("mesh", "wanted"),
    [
        (BALL, (SKIPPED, SKIPPED, SKIPPED)),
        # Six charts in cells of a third by a half, a fiftieth of a cell away from its edges. At 150 px that is one
        # texel across, so charts are two apart; at 100 px one whole texel is left between them; at 75 px none.
        (lit(BALL.uvs), (PASS, PASS, PASS)),
        (lit(BALL.uvs, 100), (PASS, PASS, WARN)),
        (lit(BALL.uvs, 75), (PASS, PASS, FAIL)),
        (lit(overlapping(1.0).uvs), (PASS, FAIL, FAIL)),
        (lit(np.full_like(BALL.uvs, 0.5)), (PASS, FAIL, PASS)),
        (lit(BALL.uvs + np.float32([0.2, 0.0])), (FAIL, SKIPPED, SKIPPED)),
        (lit(np.full_like(BALL.uvs, np.nan)), (FAIL, SKIPPED, SKIPPED)),
    ],
)
def test_light_map_coordinates(mesh, wanted):
    found = verdicts(unwrapped=mesh)
    checks = [found[f"light_map_{name}"] for name in ("in_unit_square", "overlap", "gap")]
    assert tuple(check.verdict for check in checks) == wanted
    assert all(bool(check.remedy) == (check.verdict in (WARN, FAIL)) for check in checks)
    if mesh.lightmap_px and wanted[0] is PASS:
        assert str(mesh.lightmap_px) in checks[1].figure


def brought(source: str, *, folded: bool = False, colors: bool = False, **material) -> HighPoly:
    """A triangle as a mesh file, or as a generator's, with one material that is used and a red one that is not."""
    mesh = Mesh(positions_m=np.eye(3, dtype=np.float32), faces=np.int32([[0, 1, 2]]))
    field: SurfaceField = TextureField(
        positions_m=mesh.positions_m,
        faces=mesh.faces,
        corner_uvs=np.zeros((1, 3, 2), np.float32),
        face_materials=np.int32([0]),
        materials=(MaterialTextures(**material), MaterialTextures(base_color_factor=(1.0, 0.0, 0.0, 1.0))),
        corner_colors=np.ones((1, 3, 4), np.float32) if colors else None,
    )
    if folded:
        place, right, ahead = (0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
        field = FoldedField(inner=field, center_m=place, right=right, ahead=ahead, sectors=2)
    return HighPoly(mesh=mesh, field=field, source=source)


IMAGE = TextureImage(pixels=np.full((2, 2, 3), 255, np.uint8))


@pytest.mark.parametrize(
    ("high_poly", "color", "metal"),
    [
        (None, "what it was baked from", "of the source"),
        (brought("embedded"), "photo", "packed map"),
        (brought("mesh"), "give it vertex colours, a texture or a coloured material", "materials"),
        (brought("mesh", folded=True), "give it vertex colours", "materials"),
        (brought("mesh", colors=True), "grade its textures", "their textures"),
        (brought("mesh", base_color_image=IMAGE), "grade its textures", "their textures"),
        (brought("mesh", base_color_factor=(0.9, 0.9, 1.0, 1.0)), "grade its textures", "their textures"),
    ],
)
def test_remedies_speak_of_what_was_given(high_poly, color, metal):
    white = dataclasses.replace(albedo_map(), pixels=np.full((64, 64, 3), 255, np.uint8))
    found = verdicts(albedo=white, packed=orm(metallic=120), high_poly=high_poly)
    for rule, words in (("base_color_range", color), ("metallic_binary", metal)):
        assert found[rule].verdict is WARN
        assert words in found[rule].remedy
        if high_poly is not None and high_poly.source == "mesh":
            assert "photo" not in found[rule].remedy.lower()


def test_metallic_and_occlusion_in_every_packing():
    mask = PackedMap(packing=Packing.MASK_MAP, pixels=np.tile(np.uint8([255, 220, 0, 120]), (64, 64, 1)))
    for packed, metallic, occlusion in (
        (orm(metallic=0), PASS, PASS),
        (orm(metallic=255), PASS, PASS),
        (orm(metallic=120), WARN, PASS),
        (orm(occlusion=40), PASS, WARN),
        (mask, PASS, PASS),
    ):
        found = verdicts(packed=packed)
        assert (found["metallic_binary"].verdict, found["ambient_occlusion"].verdict) == (metallic, occlusion)


@pytest.mark.parametrize(
    ("size", "wanted", "verdict"), [(64, 64, PASS), (64, 0, PASS), (64, 128, WARN), (96, 96, FAIL), (128, 128, WARN)]
)
def test_texture_sizes(size, wanted, verdict):
    maps = {"normal": normal_map(size), "albedo": albedo_map(size), "packed": orm(size=64 if size == 128 else size)}
    check = verdicts(MakeChecklist(resolution_px=wanted), **maps, texel_hits=traced(size=size))["texture_resolution"]
    assert check.verdict is verdict, check


def test_bake_rays():
    assert verdicts(texel_hits=traced(0.95))["bake_ray_share"].verdict is PASS
    assert verdicts(texel_hits=traced(0.5))["bake_ray_share"].verdict is WARN


def dented() -> Mesh:
    """A closed ball with one vertex pushed in."""
    ball = shapes.sphere(0.5, 1)
    positions = ball.positions_m.copy()
    positions[0] *= 0.5
    return Mesh(positions_m=positions, faces=ball.faces)


@pytest.mark.parametrize(
    ("rule", "verdict", "collision"),
    [
        ("collision_present", FAIL, hulls()),
        ("collision_closed", FAIL, hulls(Mesh(positions_m=shapes.box().positions_m, faces=shapes.box().faces[:-1]))),
        ("collision_closed", FAIL, hulls(shapes.flipped(shapes.box()))),
        ("collision_convex", FAIL, hulls(dented())),
        ("collision_convex", FAIL, hulls(shapes.torus(rows=12, columns=8))),
        ("collision_convex", PASS, hulls(shapes.box(), shapes.sphere(0.3, 2))),
        ("collision_vertices", WARN, hulls(shapes.sphere(0.5, 2))),
        ("collision_vertices", FAIL, hulls(shapes.sphere(0.5, 3))),
        ("collision_containment", WARN, hulls(shapes.box(), containment=0.9)),
        ("collision_excess", WARN, dataclasses.replace(hulls(shapes.box()), excess_volume=2.0)),
        ("collision_excess", SKIPPED, dataclasses.replace(hulls(shapes.box()), excess_volume=float("nan"))),
        ("collision_containment", FAIL, hulls(shapes.box(), containment=0.5)),
        ("collision_triangle_share", WARN, hulls(shapes.sphere(0.5, 2))),
        ("collision_triangle_share", PASS, simple(CollisionShape.SPHERE, shapes.sphere(0.5, 2))),
        ("collision_triangle_share", PASS, hulls(*[shapes.box() for _ in range(8)])),
    ],
)
def test_collision(rule, verdict, collision):
    check = verdicts(collision=collision)[rule]
    assert check.verdict is verdict, check


def test_a_single_shape_that_was_asked_for_is_the_thing_to_change():
    far = dataclasses.replace(hulls(shapes.box()), excess_volume=2.0)
    assert "collision.max_pieces" in verdicts(collision=far)["collision_excess"].remedy
    ball = MakeCollision(shape=CollisionShape.SPHERE)(
        SilentRun(), DECOMPOSERS.load("planes"), low_poly=low_of(unwrapped_box())
    )
    told = verdicts(collision=ball)["collision_excess"]
    assert told.verdict is WARN
    assert told.remedy == "Set collision.shape to convex: a single sphere was asked for."


def test_pivot_and_height():
    off = dataclasses.replace(placed(BALL), translation_m=(0.0, 0.1, 0.0))
    assert verdicts(placement=off)["pivot"].verdict is WARN
    assert verdicts(placement=dataclasses.replace(off, pivot=Pivot.CUSTOM))["pivot"].verdict is PASS
    centred = dataclasses.replace(placed(BALL), translation_m=(0.0, 0.0, 0.0), pivot=Pivot.CENTER)
    assert verdicts(placement=centred)["pivot"].verdict is PASS
    assert verdicts(MakeChecklist(height_cm=180.0))["height"].verdict is FAIL
    assert verdicts(MakeChecklist(height_cm=50.0))["height"].verdict is PASS
    wrong = dataclasses.replace(placed(BALL), scale=2.0)
    assert verdicts(placement=wrong)["height"].verdict is FAIL


@pytest.mark.parametrize("name", ["", "../x", "CON", "Tasse à café", "a" * 200])
def test_names_that_unreal_would_refuse(name):
    check = verdicts(MakeChecklist(asset_name=name))["naming"]
    assert check.verdict is FAIL
    assert check.remedy


def test_a_rig_that_was_wanted_is_told_about():
    check = verdicts(MakeChecklist(rig_wanted="biped"))["rig"]
    assert check.verdict is WARN
    assert check.figure == "forged without a rig: the rig stage is not part of this version"


def test_the_worst_rule_decides():
    slots = good_asset()
    assert MakeChecklist()(SilentRun(), RAYCASTER, **slots).verdict is PASS
    assert MakeChecklist(rig_wanted="biped")(SilentRun(), RAYCASTER, **slots).verdict is WARN
    assert MakeChecklist(rig_wanted="biped", triangle_budget=10)(SilentRun(), RAYCASTER, **slots).verdict is FAIL


def test_layers_count_how_often_a_texel_is_used():
    """Two charts of the box laid upon each other: the area of one is counted twice."""
    box = unwrapped_box()
    uvs = box.uvs.copy()
    uvs[np.unique(box.faces[box.charts == 1]), 0] -= np.float32(1 / 3)
    atlas = rasterized(dataclasses.replace(box, uvs=uvs), 240)
    chart = round((1 - 2 * 0.02) ** 2 * 80 * 120)
    assert (atlas.layers == 2).sum() == pytest.approx(chart, abs=400)
    assert (atlas.layers == 1).sum() == pytest.approx(4 * chart, abs=1600)
    assert atlas.layers.max() == 2
    assert set(np.unique(atlas.charts)) >= {-1, 2, 3, 4, 5}
    assert (atlas.charts[:120, 160:] == np.where(atlas.layers[:120, 160:] > 0, 2, -1)).all()


def test_a_full_atlas_of_many_triangles_has_no_texel_twice():
    mesh = unwrapped_ball(cells=60)
    layers = rasterized(mesh).layers
    assert layers.max() == 1
    expected = (1 - 2 * 0.02) ** 2
    assert (layers > 0).mean() == pytest.approx(expected, abs=0.03)


def test_remedies_name_fields_that_exist():
    trees = [ast.parse(path.read_text()) for path in Path(checklist_uv.__file__).parent.glob("checklist_*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    words = "".join(ast.unparse(node) for node in nodes if isinstance(node, ast.keyword) and node.arg == "remedy")
    stages = "|".join(REGISTRY.stages)
    named = set(re.findall(rf"\b({stages})\.([a-z]\w+)\b", words))
    assert len(named) > 10
    for stage, field in named:
        known = {known.name for known in dataclasses.fields(REGISTRY.stage_class(stage))}
        assert field in known, f"{stage}.{field} is named in a remedy, but the stage has {sorted(known)}"
