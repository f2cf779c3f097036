"""``forge check`` on mesh files: what is wrong with each is named, and what is right passes."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from bridge_server.backends.raycaster.base import RAYCASTERS
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from bridge_server.errors import InputError
from bridge_server.package.check_mesh import check_mesh
from bridge_server.run import SilentRun
from bridge_server.stages.checklist import MakeChecklist
from bridge_server.stages.export_model import HullMesh, MaterialFiles, Model, render_mesh
from bridge_server.stages.fbx_writer import write_fbx
from bridge_server.stages.glb_writer import write_glb
from bridge_server.stages.obj_writer import write_obj
from bridge_server.values.checklist import Check, Verdict
from bridge_server.values.mesh import Mesh, UnwrappedMesh
from bridge_server.values.placement import Pivot, Placement
from bridge_server.values.source import MeshSource
from tests import shapes, unwrapped_shapes

WRITERS = {"glb": write_glb, "fbx": write_fbx, "obj": lambda model: write_obj(model, "none.mtl")}
AS_IT_IS = Placement(scale=1.0, translation_m=(0.0, 0.0, 0.0), pivot=Pivot.CENTER, height_cm=100.0)
BALL = unwrapped_shapes.unwrapped_ball(cells=12)
PASS, WARN, FAIL, SKIPPED = Verdict.PASS, Verdict.WARN, Verdict.FAIL, Verdict.SKIPPED


def model(mesh: UnwrappedMesh = BALL, *hulls: Mesh) -> Model:
    named = [
        HullMesh(name=f"UCX_SM_Ball_{number:02d}", positions_m=hull.positions_m, faces=hull.faces)
        for number, hull in enumerate(hulls)
    ]
    return Model(
        meshes=(render_mesh("SM_Ball", mesh, AS_IT_IS),), hulls=tuple(named), material=MaterialFiles(name="MI_Ball")
    )


def checked(data: bytes, name: str = "SM_Ball.glb", limits: MakeChecklist | None = None) -> dict[str, Check]:
    source = MeshSource(name=name, data=data, companions=())
    checklist = check_mesh(source, limits or MakeChecklist(), RAYCASTERS.load("embree"), SilentRun())
    assert len({check.rule for check in checklist.checks}) == len(checklist.checks)
    for check in checklist.checks:
        assert check.title
        assert check.figure
        assert bool(check.remedy) == (check.verdict in (WARN, FAIL)), check
    return {check.rule: check for check in checklist.checks}


def obj(mesh: Mesh) -> bytes:
    lines = [f"v {x} {y} {z}" for x, y, z in mesh.positions_m.tolist()]
    return "\n".join([*lines, *(f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces.tolist())]).encode()


@pytest.mark.parametrize("kind", WRITERS)
def test_a_good_file_passes_every_rule_that_applies(kind):
    found = checked(WRITERS[kind](model()), f"SM_Ball.{kind}")
    off = {rule: check.verdict for rule, check in found.items() if check.verdict is not PASS}
    missing = {"reading": WARN} if kind == "obj" else {}
    assert off == {"collision_present": SKIPPED, "texture_resolution": SKIPPED} | missing
    assert "1,728" in found["triangle_budget"].figure
    assert found["chart_count"].figure == "6 charts"
    assert found["extent"].figure == "100 x 100 x 100 cm"


@pytest.mark.parametrize("kind", WRITERS)
def test_pieces_named_as_collision_are_judged_as_such(kind):
    good = checked(WRITERS[kind](model(BALL, shapes.sphere(0.52, 1))), f"a.{kind}")
    assert good["triangle_budget"].figure == "1,728 triangles"
    judged = {rule: check.verdict for rule, check in good.items() if rule.startswith("collision")}
    assert len(judged) == 7
    assert {rule for rule, verdict in judged.items() if verdict is not PASS} == {"collision_triangle_share"}
    far = checked(WRITERS[kind](model(BALL, shapes.box(center=(5.0, 0.0, 0.0)))), f"a.{kind}")
    assert far["collision_containment"].verdict is FAIL
    assert far["collision_excess"].verdict is WARN
    ring = checked(WRITERS[kind](model(BALL, shapes.torus(rows=12, columns=8))), f"a.{kind}")
    assert ring["collision_convex"].verdict is FAIL


def with_a_tiled_layout() -> UnwrappedMesh:
    return dataclasses.replace(BALL, uvs=BALL.uvs * np.float32(3.0))


@pytest.mark.parametrize(
    ("rule", "verdict", "data"),
    [
        ("watertight", WARN, obj(Mesh(positions_m=shapes.sphere().positions_m, faces=shapes.sphere().faces[9:]))),
        ("winding", FAIL, obj(shapes.flipped(shapes.sphere()))),
        ("back_faces_seen", FAIL, obj(shapes.flipped(shapes.sphere()))),
        ("inner_hulls", WARN, obj(shapes.merged(shapes.box(), shapes.sphere(0.2)))),
        ("extent", WARN, obj(shapes.box((100.0, 180.0, 50.0)))),
        ("pivot", WARN, obj(shapes.box(center=(9.0, 0.0, 0.0)))),
        ("uv_overlap", SKIPPED, obj(shapes.box())),
    ],
)
def test_what_is_wrong_is_named(rule, verdict, data):
    check = checked(data, "thing.obj")[rule]
    assert check.verdict is verdict, check


def test_figures_are_those_of_the_file_and_not_of_what_reading_made_of_it():
    ball = shapes.sphere()
    flat = np.concatenate([ball.faces, [[0, 0, 1], [2, 3, 2]]]).astype(np.int32)
    found = checked(obj(Mesh(positions_m=ball.positions_m, faces=flat)), "thing.obj")
    assert found["triangle_budget"].figure == f"{len(flat):,} triangles"
    assert found["degenerate_faces"].figure == "2 faces"
    assert found["degenerate_faces"].verdict is WARN


def test_a_mesh_far_away_is_judged_where_it_lies_with_its_collision():
    far = Placement(scale=1.0, translation_m=(0.0, 0.0, 8192.0), pivot=Pivot.CENTER, height_cm=100.0)
    hull = shapes.box((1.02, 1.02, 1.02), center=(0.0, 0.0, 8192.0))
    whole = Model(
        meshes=(render_mesh("SM_Ball", BALL, far),),
        hulls=(HullMesh(name="UCX_SM_Ball_00", positions_m=hull.positions_m, faces=hull.faces),),
        material=MaterialFiles(name="MI_Ball"),
    )
    found = checked(write_glb(whole))
    assert found["pivot"].verdict is WARN
    assert found["pivot"].figure.startswith("8.192e+05 cm")
    assert found["collision_containment"].verdict is PASS


@pytest.mark.parametrize("size_m", [1e-12, 1e30])
def test_sizes_that_no_ray_could_measure_are_refused(size_m):
    with pytest.raises(InputError, match="m large") as caught:
        checked(obj(shapes.box((size_m, size_m, size_m))), "a.obj")
    assert caught.value.reason == "MESH_SIZE"


def test_tiled_uvs_warn_and_do_not_fail():
    found = checked(write_glb(model(with_a_tiled_layout())))
    assert found["uv_in_unit_square"].verdict is WARN


def test_the_limits_are_those_handed_in():
    data = write_glb(model())
    assert checked(data, limits=MakeChecklist(triangle_budget=1500))["triangle_budget"].verdict is FAIL
    assert checked(data, limits=MakeChecklist(triangle_budget=1800))["triangle_budget"].verdict is PASS


def test_names_that_unreal_would_change_get_another():
    check = checked(write_glb(model()), "tasse à café (2).glb")["naming"]
    assert check.verdict is WARN
    assert "TasseACafe2" in check.remedy


def test_nothing_but_collision_is_refused():
    with pytest.raises(InputError, match="nothing else"):
        checked(write_fbx(dataclasses.replace(model(BALL, shapes.box()), meshes=())), "a.fbx")


def test_the_command_tells_rules_and_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    good, bad = tmp_path / "SM_Ball.fbx", tmp_path / "SM_Ball.obj"
    good.write_bytes(write_fbx(model(BALL, shapes.box((1.02, 1.02, 1.02)))))
    bad.write_bytes(obj(shapes.flipped(shapes.sphere())))
    assert run(["check", str(good), "--json"]) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == str(good)
    assert {"rule", "title", "verdict", "figure", "limit", "remedy"} == set(document["checklist"][0])
    assert run(["check", str(good), "--preset", "prop_UE5_standard"]) == ExitCode.OK
    assert "SM_Ball.fbx: " in capsys.readouterr().out
    assert run(["check", str(bad)]) == ExitCode.CHECKLIST_FAILED
    assert run(["check", str(tmp_path / "none.glb")]) == ExitCode.USAGE
    assert run(["check", str(tmp_path), "--preset", "prop_UE5_standard"]) == ExitCode.USAGE
    bad.write_bytes(b"v 0 0\nf 1 2 3")
    assert run(["check", str(bad)]) == ExitCode.USAGE
    (tmp_path / "text.fbx").write_bytes(b"; FBX 7.5.0 project file")
    assert run(["check", str(tmp_path / "text.fbx")]) == ExitCode.USAGE
    assert "binary FBX" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["photo.png", "mesh.3ds", "noextension", "gone.max"])
def test_what_is_neither_package_nor_mesh_is_refused_with_what_is(
    name, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    if not name.startswith("gone"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n")
    assert run(["check", str(tmp_path / name)]) == ExitCode.USAGE
    told = capsys.readouterr().err
    assert "zip)" not in told
    assert "FBX, GLB, GLTF, OBJ, PLY, STL" in told
