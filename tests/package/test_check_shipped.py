"""A package whose files were changed after the forging is caught by its rules, even where digests and counts fit."""

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from bridge_server.package.assemble import write_package
from bridge_server.package.check import check_package
from bridge_server.package.check_shipped import AGAIN, Asked, ShippedRule, check_shipped
from bridge_server.package.contents import read_package
from bridge_server.pipeline.preset_library import default_library
from bridge_server.run import SilentRun
from bridge_server.stages.checklist import MakeChecklist
from bridge_server.stages.export import Export
from bridge_server.stages.export_files import ExportTarget
from bridge_server.values.asset import Asset
from bridge_server.values.checklist import Verdict
from bridge_server.values.collision import CollisionPiece
from bridge_server.values.lod import LodChain
from bridge_server.values.manifest import MANIFEST_NAME, Manifest
from bridge_server.values.mesh import Mesh, UnwrappedMesh
from tests import shapes, unwrapped_shapes
from tests.package.forged import forged_asset, forged_record

RAYCASTER = RAYCASTERS.load("embree")
LIMITS = MakeChecklist(asset_name="GoldenCrate")
PASS, WARN, FAIL, SKIPPED = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.SKIPPED


def judged(asset: Asset) -> Asset:
    """With the checklist that the stage makes of it."""
    chain = asset.lods
    assert chain is not None
    checklist = LIMITS(
        SilentRun(),
        RAYCASTER,
        unwrapped=chain.lods[0].mesh,
        lods=chain,
        collision=asset.collision,
        placement=asset.placement,
        normal=asset.normal,
        albedo=asset.albedo,
        packed=asset.packed,
    )
    return dataclasses.replace(asset, checklist=checklist)


def crate(**changes) -> Asset:
    return judged(forged_asset(**changes))


def with_levels(asset: Asset, *levels: UnwrappedMesh, target: ExportTarget = ExportTarget.UE5) -> Asset:
    """The same asset with other meshes in its files, and the checklist of before."""
    chain = unwrapped_shapes.lod_chain(*levels)
    return exported(dataclasses.replace(asset, lods=chain), target)


def exported(asset: Asset, target: ExportTarget = ExportTarget.UE5) -> Asset:
    slots = ("lods", "collision", "placement", "normal", "albedo", "packed")
    given = {slot: getattr(asset, slot) for slot in slots}
    return dataclasses.replace(asset, files=Export(asset_name="GoldenCrate", target=target)(SilentRun(), **given))


def with_pieces(asset: Asset, *meshes: Mesh) -> Asset:
    """The same asset with other collision in its file; what the manifest tells of it stays."""
    assert asset.collision is not None
    pieces = tuple(
        CollisionPiece(shape=piece.shape, mesh=mesh)
        for piece, mesh in zip(asset.collision.pieces, meshes, strict=False)
    )
    return exported(dataclasses.replace(asset, collision=dataclasses.replace(asset.collision, pieces=pieces)))


def shipped(folder: Path, asked: Asked | None = None) -> dict[str, ShippedRule]:
    contents = read_package(folder)
    manifest = Manifest.from_json(contents.files[MANIFEST_NAME])
    asked = asked or Asked(limits=LIMITS, target=ExportTarget.UE5)
    rules = check_shipped(contents, manifest, asked, RAYCASTER, SilentRun())
    assert len({rule.check.rule for rule in rules}) == len(rules)
    for rule in rules:
        assert bool(rule.check.remedy) == (rule.check.verdict in (WARN, FAIL)), rule
    return {rule.check.rule: rule for rule in rules}


def failed(asset: Asset, tmp_path: Path) -> dict[str, ShippedRule]:
    """What fails of a package whose manifest fits its files, and tells of an unharmed forging."""
    folder = write_package(asset, forged_record(), tmp_path).folder
    assert check_package(folder).verdict is PASS, "the damage is one that the comparison of files does not see"
    return {rule: each for rule, each in shipped(folder).items() if each.check.verdict is FAIL}


WHOLE = crate()
LEVELS = tuple(lod.mesh for lod in WHOLE.lods.lods)


def changed(level: int, **changes) -> Asset:
    meshes = list(LEVELS)
    meshes[level] = dataclasses.replace(meshes[level], **changes)
    return with_levels(WHOLE, *meshes)


def without_faces(level: int, count: int) -> Asset:
    mesh = LEVELS[level]
    return changed(level, faces=mesh.faces[count:], charts=mesh.charts[count:])


def turned(level: int, count: int) -> Asset:
    faces = LEVELS[level].faces.copy()
    faces[:count] = faces[:count, ::-1]
    return changed(level, faces=faces)


def overlapping() -> Asset:
    mesh = LEVELS[0]
    uvs = mesh.uvs.copy()
    uvs[np.unique(mesh.faces[mesh.charts == 1]), 0] -= np.float32(1 / 3)
    return changed(0, uvs=uvs)


def with_a_box_inside() -> Asset:
    mesh = LEVELS[0]
    inside = dataclasses.replace(mesh, positions_m=mesh.positions_m * np.float32(0.5))
    return changed(
        0,
        **{
            name: np.concatenate([getattr(mesh, name), getattr(inside, name)])
            for name in ("positions_m", "normals", "tangents", "uvs", "charts")
        },
        faces=np.concatenate([mesh.faces, mesh.faces + np.int32(len(mesh.positions_m))]),
        welded=np.concatenate([mesh.welded, mesh.welded + np.int32(mesh.welded.max() + 1)]),
    )


def lifted(mesh: Mesh, by_m: float) -> Mesh:
    return dataclasses.replace(mesh, positions_m=mesh.positions_m + np.float32([0.0, by_m, 0.0]))


def pieces() -> tuple[Mesh, Mesh]:
    first, second = (piece.mesh for piece in WHOLE.collision.pieces)
    return first, second


def opened(mesh: Mesh) -> Mesh:
    return dataclasses.replace(mesh, faces=mesh.faces[1:])


@pytest.mark.parametrize("target", list(ExportTarget))
def test_an_unharmed_package_says_now_what_it_said_when_it_was_forged(target, tmp_path):
    asset = crate(target=target, lightmap_px=256)
    folder = write_package(asset, forged_record(), tmp_path).folder
    found = shipped(folder, Asked(limits=LIMITS, target=target))
    assert len(found) == len(asset.checklist.checks) + 1, "every rule of the forging, and one about the levels"
    told = {check.rule: check for check in asset.checklist.checks}
    for rule, each in found.items():
        if rule in told:
            assert each.check.verdict is told[rule].verdict, each
            assert each.forged == told[rule]
    from_files = {rule for rule, each in found.items() if each.from_files}
    assert {"watertight", "winding", "uv_overlap", "light_map_gap", "pivot", "height"} <= from_files
    assert ("collision_convex" in from_files) == (target is not ExportTarget.WEB)
    assert not from_files & {"hausdorff", "normal_map", "bake_ray_share"}
    assert found["levels"].check.verdict is (PASS if target in (ExportTarget.UE5, ExportTarget.GODOT) else SKIPPED)


@pytest.mark.parametrize(
    ("rule", "damaged"),
    [
        ("watertight", without_faces(0, 3)),
        ("triangle_budget", without_faces(0, 3)),
        ("winding", turned(0, 40)),
        ("winding", turned(0, len(LEVELS[0].faces))),
        ("uv_overlap", overlapping()),
        ("uv_overlap", changed(0, uvs=np.zeros_like(LEVELS[0].uvs))),
        ("uv_in_unit_square", changed(0, uvs=LEVELS[0].uvs + np.float32([0.2, 0.0]))),
        ("inner_hulls", with_a_box_inside()),
        ("lod_count", with_levels(WHOLE, *LEVELS[:2])),
        ("levels", without_faces(1, 1)),
        ("levels", turned(1, len(LEVELS[1].faces))),
        ("levels", changed(2, positions_m=LEVELS[2].positions_m * np.float32(1.5))),
        ("levels", changed(2, uvs=LEVELS[2].uvs * np.float32(2.0))),
        ("levels", changed(1, uvs=np.zeros_like(LEVELS[1].uvs))),
        ("collision_present", with_pieces(WHOLE, pieces()[0])),
        ("collision_containment", with_pieces(WHOLE, pieces()[0], lifted(pieces()[1], 0.4))),
        ("collision_closed", with_pieces(WHOLE, pieces()[0], opened(pieces()[1]))),
        ("collision_convex", with_pieces(WHOLE, pieces()[0], shapes.torus(rows=12, columns=8))),
    ],
)
def test_damage_that_fits_its_manifest_is_caught_by_its_rule(rule, damaged, tmp_path):
    found = failed(damaged, tmp_path)
    assert rule in found, found.keys()
    check = found[rule].check
    assert check.remedy.startswith(AGAIN) or rule == "levels"
    assert check.figure
    if rule != "levels":
        assert found[rule].forged.verdict in (PASS, SKIPPED)


def test_lost_or_spoilt_light_map_coordinates_are_caught(tmp_path):
    lit = crate(lightmap_px=256)
    levels = [lod.mesh for lod in lit.lods.lods]
    bare = [dataclasses.replace(level, lightmap_uvs=None, lightmap_px=0) for level in levels]
    assert {"light_map_gap", "light_map_overlap"} <= failed(with_levels(lit, *bare), tmp_path / "a").keys()
    one = dataclasses.replace(levels[0], lightmap_uvs=np.full_like(levels[0].uvs, 0.5))
    assert "light_map_overlap" in failed(with_levels(lit, one, *levels[1:]), tmp_path / "b")
    assert "levels" in failed(with_levels(lit, levels[0], bare[1], levels[2]), tmp_path / "c")


def test_a_file_that_is_no_mesh_is_caught_though_its_digest_fits(tmp_path):
    folder = write_package(WHOLE, forged_record(), tmp_path).folder
    path = folder / "SM_GoldenCrate_LOD1.glb"
    path.write_bytes(path.read_bytes()[:200])
    with_new_digests(folder)
    found = shipped(folder)
    assert found["mesh"].check.verdict is FAIL
    assert path.name in found["mesh"].check.figure
    assert found["watertight"].check.verdict is PASS
    assert not found["watertight"].from_files


def with_new_digests(folder: Path) -> None:
    document = json.loads((folder / MANIFEST_NAME).read_text())
    for entry in document["files"]:
        data = (folder / entry["path"]).read_bytes()
        entry.update(size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    (folder / MANIFEST_NAME).write_text(json.dumps(document))


def test_what_was_wrong_from_the_start_is_told_and_is_no_contradiction(tmp_path):
    faces, charts = LEVELS[0].faces[2:], LEVELS[0].charts[2:]
    opened_levels = (dataclasses.replace(LEVELS[0], faces=faces, charts=charts), *LEVELS[1:])
    asset = judged(with_levels(forged_asset(), *opened_levels))
    rule = shipped(write_package(asset, forged_record(), tmp_path).folder)["watertight"]
    assert rule.check.verdict is WARN
    assert rule.forged.verdict is WARN
    assert AGAIN not in rule.check.remedy


def test_solids_that_only_touch_are_no_crowded_edge(tmp_path):
    """Two crates along one edge: by place alone four faces meet there, as no manifold would have them."""
    one = unwrapped_shapes.unwrapped_box(cells=2)
    other = unwrapped_shapes.unwrapped_box(center=(1.0, 1.0, 0.0), cells=2)
    both = dataclasses.replace(
        one,
        **{
            name: np.concatenate([getattr(one, name), getattr(other, name)])
            for name in ("positions_m", "normals", "tangents")
        },
        uvs=np.concatenate([one.uvs, other.uvs]) * np.float32([0.5, 1.0])
        + np.repeat(np.float32([[0.0, 0.0], [0.5, 0.0]]), len(one.uvs), axis=0),
        faces=np.concatenate([one.faces, other.faces + np.int32(len(one.positions_m))]),
        charts=np.concatenate([one.charts, other.charts + np.int32(6)]),
        welded=np.concatenate([one.welded, other.welded + np.int32(one.welded.max() + 1)]),
    )
    asset = judged(with_levels(forged_asset(), both))
    found = shipped(write_package(asset, forged_record(), tmp_path).folder)
    for rule in ("non_manifold_edges", "winding", "watertight"):
        assert found[rule].check.verdict is PASS
        assert found[rule].from_files


def test_a_manifest_without_rules_is_judged_all_the_same(tmp_path):
    harmed = dataclasses.replace(without_faces(0, 3), checklist=None)
    found = shipped(write_package(harmed, forged_record(), tmp_path).folder)
    assert found["watertight"].check.verdict is WARN
    assert found["watertight"].forged is None


def test_verdicts_that_nobody_gives_are_told(tmp_path):
    folder = write_package(WHOLE, forged_record(), tmp_path).folder
    document = json.loads((folder / MANIFEST_NAME).read_text())
    rules = [entry["rule"] for entry in document["checklist"]]
    document["checklist"][rules.index("normal_map")]["verdict"] = "splendid"
    (folder / MANIFEST_NAME).write_text(json.dumps(document))
    check = shipped(folder)["normal_map"].check
    assert check.verdict is FAIL
    assert "splendid" in check.figure


def test_the_command_takes_limits_and_target_from_the_package(tmp_path, capsys):
    preset = default_library().load("prop_UE5_standard").with_overrides(["export.target=web"])
    web = dataclasses.replace(forged_record(), preset_document=preset.to_json())
    folder = write_package(crate(target=ExportTarget.WEB), web, tmp_path).folder
    assert run(["check", str(folder), "--json"]) == ExitCode.OK
    rules = {rule["rule"]: rule for rule in json.loads(capsys.readouterr().out)["checklist"]}
    assert rules["collision_present"]["from_files"] is False
    assert rules["watertight"]["forged"] == {"verdict": "pass", "figure": "closed"}
    assert rules["digests"]["forged"] is None
    assert "preset" not in rules

    strict = preset.with_overrides(["export.target=ue5", "checklist.triangle_budget=100"])
    record = dataclasses.replace(forged_record(), preset_document=strict.to_json())
    folder = write_package(WHOLE, record, tmp_path).folder
    assert run(["check", str(folder)]) == ExitCode.CHECKLIST_FAILED
    assert "at most 100" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_broken_manifest_is_named_by_its_place_with_what_to_do(text, tmp_path, capsys):
    (tmp_path / MANIFEST_NAME).write_text(text)
    assert run(["check", str(tmp_path)]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert str(tmp_path / MANIFEST_NAME) in told.replace("\n", "")
    assert "again" in told


def test_a_preset_of_another_version_is_told_and_the_rest_judged(tmp_path, capsys):
    folder = write_package(without_faces(0, 3), forged_record(), tmp_path).folder
    assert run(["check", str(folder), "--json"]) == ExitCode.CHECKLIST_FAILED
    rules = {rule["rule"]: rule for rule in json.loads(capsys.readouterr().out)["checklist"]}
    assert rules["preset"]["verdict"] == "warn"
    assert rules["watertight"]["verdict"] == "fail"
    assert rules["watertight"]["forged"]["verdict"] == "pass"


def test_one_level_alone_has_nothing_to_be_held_against(tmp_path):
    assert isinstance(WHOLE.lods, LodChain)
    asset = judged(with_levels(forged_asset(), LEVELS[0]))
    assert shipped(write_package(asset, forged_record(), tmp_path).folder)["levels"].check.verdict is SKIPPED
