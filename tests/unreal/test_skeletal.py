"""Skeletal meshes: mesh, skeleton, physics asset, slots, levels, reuse, renaming, the FBX road, and roll-back."""

import hashlib
import json
import shutil
import stat
import struct
from pathlib import Path

import pytest

from tests.simulated_editor.process import ROOT, EditorProcess
from tests.unreal.crate_server import GOLDEN

NAME = "SK_Golem"
FOLDER = "/Game/Props"
PATH = f"{FOLDER}/{NAME}"
HEIGHT_CM = 180.0
OURS = {PATH, f"{PATH}_Skeleton", f"{PATH}_PhysicsAsset"}
IMPORT = """
import sys
sys.path.insert(0, {root!r})
from unreal_scripts.asset_import import ImportOptions, import_asset
import_asset({package!r}, {folder!r}, ImportOptions(skeleton_path={skeleton!r})).to_json()
"""
CREATE = """
tools = unreal.AssetToolsHelpers.get_asset_tools()
from tests.simulated_editor.content import content
content().add({path!r}, getattr(unreal, {kind!r})())
content().save({path!r})
"""


def skinned_glb(levels: int = 1) -> bytes:
    """A box of 40 x 40 x 180 cm, its upper half bound to a second joint. ``levels`` doubles the triangle list."""
    corners = [(x, y, z) for y in (0.0, HEIGHT_CM / 100) for x in (-0.2, 0.2) for z in (-0.2, 0.2)]
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [f for a, b, c, d in quads for f in ((a, b, c), (a, c, d))] * levels
    identity = [1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0]
    lowered = [*identity[:13], -HEIGHT_CM / 200, *identity[14:]]
    blocks = [
        (struct.pack("<24f", *[v for corner in corners for v in corner]), 5126, "VEC3", 8),
        (struct.pack("<32B", *[v for corner in corners for v in (int(corner[1] > 0), 0, 0, 0)]), 5121, "VEC4", 8),
        (struct.pack("<32f", *[v for _ in corners for v in (1.0, 0.0, 0.0, 0.0)]), 5126, "VEC4", 8),
        (struct.pack(f"<{3 * len(faces)}H", *[v for face in faces for v in face]), 5123, "SCALAR", 3 * len(faces)),
        (struct.pack("<32f", *identity, *lowered), 5126, "MAT4", 2),
    ]
    binary, views, accessors = b"", [], []
    for data, component, kind, count in blocks:
        binary += b"\0" * (-len(binary) % 4)
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": len(data)})
        accessors.append({"bufferView": len(views) - 1, "componentType": component, "type": kind, "count": count})
        binary += data
    accessors[0] |= {"min": [-0.2, 0.0, -0.2], "max": [0.2, HEIGHT_CM / 100, 0.2]}
    binary += b"\0" * (-len(binary) % 4)
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0, 1]}],
        "nodes": [
            {"name": NAME, "mesh": 0, "skin": 0},
            {"name": "root", "children": [2]},
            {"name": "spine_01", "translation": [0.0, HEIGHT_CM / 200, 0.0]},
        ],
        "skins": [{"joints": [1, 2], "inverseBindMatrices": 4}],
        "meshes": [
            {
                "name": NAME,
                "primitives": [{"attributes": {"POSITION": 0, "JOINTS_0": 1, "WEIGHTS_0": 2}, "indices": 3}],
            }
        ],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(binary)}],
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(binary)
    head = struct.pack("<4sII", b"glTF", 2, length)
    return head + struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary


@pytest.fixture
def package(tmp_path) -> Path:
    """The golden package with a skinned mesh of two levels in place of the crate."""
    folder = tmp_path / "export_Golem_UE5"
    shutil.copytree(GOLDEN, folder)
    document = json.loads((folder / "asset_manifest.json").read_text(encoding="utf-8"))
    document["asset"].update(name="Golem", type="skeletal_mesh", mesh_name=NAME)
    (folder / f"{NAME}.glb").write_bytes(skinned_glb(2))
    (folder / f"{NAME}_LOD1.glb").write_bytes(skinned_glb(1))
    (folder / "SM_GoldenCrate.fbx").rename(folder / f"{NAME}.fbx")
    for old in folder.glob("SM_*"):
        old.unlink()
    kept = [e for e in document["files"] if not e["path"].startswith("SM_")]
    roles = {f"{NAME}.glb": "mesh", f"{NAME}_LOD1.glb": "mesh_lod", f"{NAME}.fbx": "mesh_fbx"}
    document["files"] = [*kept, *(entry(folder / name, role) for name, role in roles.items())]
    document["lods"] = [
        {"index": 0, "path": f"{NAME}.glb", "triangles": 24, "vertices": 8, "screen_size": 1.0},
        {"index": 1, "path": f"{NAME}_LOD1.glb", "triangles": 12, "vertices": 8, "screen_size": 0.5},
    ]
    document["collision"]["pieces"] = []
    document["placement"]["bounds_cm"] = {"min": [-20, -20, 0], "max": [20, 20, HEIGHT_CM]}
    (folder / "asset_manifest.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def entry(file: Path, role: str) -> dict[str, object]:
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return {"path": file.name, "role": role, "sha256": digest, "size_bytes": len(data)}


@pytest.fixture
def editor(version, tmp_path):
    with EditorProcess(version, tmp_path / "P") as running:
        yield running


def imported(editor, package, skeleton=""):
    code = IMPORT.format(root=str(ROOT), package=str(package), folder=FOLDER, skeleton=skeleton)
    return editor.ask("python", code=code)


def create(editor, path, kind):
    editor.ask("python", code=CREATE.format(path=path, kind=kind))


def in_folder(state):
    return {path for path in state["assets"] if path.startswith(FOLDER + "/SK_")}


def check_clean(state):
    assert state["dialogs"] == []
    assert state["violations"] == []
    assert all(asset["saved"] for asset in state["assets"].values())


def test_mesh_skeleton_physics_slots_and_levels(editor, package):
    result = imported(editor, package)
    state = editor.state()
    assert in_folder(state) == OURS
    assert (result["mesh_path"], result["skeleton_path"]) == (PATH, f"{PATH}_Skeleton")
    assert result["physics_asset_path"] == f"{PATH}_PhysicsAsset"
    assert result["height_cm"] == pytest.approx(HEIGHT_CM, abs=0.1)
    assert result["lod_count"] == 2
    assert [finding["code"] for finding in result["findings"]] == ["lod_fallback"]
    mesh = state["assets"][PATH]
    assert mesh["data"]["joints"] == ["root", "spine_01"]
    assert mesh["data"]["materials"] == [f"{FOLDER}/MI_GoldenCrate"]
    assert mesh["properties"]["skeleton"] == {"$asset": f"{PATH}_Skeleton"}
    assert mesh["properties"]["physics_asset"] == {"$asset": f"{PATH}_PhysicsAsset"}
    assert all(state["assets"][path]["tags"]["Open3DForge.Asset"] == "Golem" for path in OURS)
    assert f"Import {NAME}" in state["transactions"]
    check_clean(state)


def test_second_import_keeps_mesh_and_skeleton(editor, package):
    imported(editor, package)
    before = editor.state()
    code = "held = unreal.get_editor_subsystem(unreal.EditorAssetSubsystem).load_asset({!r})"
    editor.ask("python", code=code.format(PATH))
    second = imported(editor, package)
    after = editor.state()
    assert second["updated"]
    assert sorted(after["assets"]) == sorted(before["assets"])
    assert second["skeleton_path"] == f"{PATH}_Skeleton"
    assert editor.ask("python", code=f"held is {code.partition(' = ')[2].format(PATH)}")
    check_clean(after)


def test_skeleton_that_is_named_is_taken_and_stays_what_it_is(editor, package):
    create(editor, "/Game/Characters/Biped", "Skeleton")
    result = imported(editor, package, "/Game/Characters/Biped")
    state = editor.state()
    assert result["skeleton_path"] == "/Game/Characters/Biped"
    assert in_folder(state) == OURS - {f"{PATH}_Skeleton"}
    assert state["assets"]["/Game/Characters/Biped"]["tags"] == {}
    check_clean(state)


@pytest.mark.parametrize(("path", "kind"), [("/Game/Nothing", ""), ("/Game/Rock", "StaticMesh")])
def test_skeleton_that_is_none_is_refused_and_nothing_is_left(editor, package, path, kind):
    if kind:
        create(editor, path, kind)
    with pytest.raises(AssertionError, match=f"ImportRefused: {path}: is no skeleton. Choose a Skeleton asset"):
        imported(editor, package, path)
    assert set(editor.state()["assets"]) == ({path} if kind else set())


def test_skeleton_that_is_read_only_is_refused_before_anything_is_made(editor, package, tmp_path):
    create(editor, "/Game/Characters/Biped", "Skeleton")
    (tmp_path / "P" / "Content" / "Characters" / "Biped.uasset").chmod(stat.S_IRUSR)
    with pytest.raises(AssertionError, match=r"Biped\.uasset is read-only"):
        imported(editor, package, "/Game/Characters/Biped")
    assert list(editor.state()["assets"]) == ["/Game/Characters/Biped"]


@pytest.mark.parametrize("suffix", ["", "_Skeleton", "_PhysicsAsset"])
def test_name_held_by_another_class_is_refused(editor, package, suffix):
    create(editor, PATH + suffix, "StaticMesh")
    with pytest.raises(AssertionError, match=rf"{PATH + suffix}: is a StaticMesh.*Rename or move"):
        imported(editor, package)
    state = editor.state()
    assert list(state["assets"]) == [PATH + suffix]
    assert state["dialogs"] == []


def test_mesh_that_interchange_names_after_its_joint_gets_its_own_name(editor, package):
    editor.ask("name_by_joint", on=True)
    first = imported(editor, package)
    assert first["mesh_path"] == PATH
    state = editor.state()
    assert PATH in state["assets"]
    assert f"{PATH}_root" not in state["assets"]
    second = imported(editor, package)
    assert (second["updated"], second["mesh_path"]) == (True, PATH)
    after = editor.state()
    assert f"{PATH}_root" not in after["assets"]
    assert sorted(after["assets"]) == sorted(state["assets"])
    check_clean(after)


def test_fbx_takes_over_where_the_glb_gives_no_skeletal_mesh(editor, package):
    editor.ask("fail_next", name=f"{NAME}.glb")
    result = imported(editor, package)
    assert {"skeletal_fbx", "lod_fallback"} <= {finding["code"] for finding in result["findings"]}
    assert result["physics_asset_path"] == f"{PATH}_PhysicsAsset"
    state = editor.state()
    assert in_folder(state) == OURS
    check_clean(state)
    switch = "from tests.simulated_editor.interface import SCREEN; SCREEN.console"
    assert editor.ask("python", code=switch) == {"Interchange.FeatureFlags.Import.FBX": "True"}, "left switched off"
    assert not [line for line in state["log"] if "FbxImportUI is ignored" in line[1]]


@pytest.mark.parametrize("failing", [[f"{NAME}.glb", f"{NAME}.fbx"], [f"{NAME}.glb"]])
def test_without_any_readable_mesh_nothing_is_left(editor, package, failing):
    if len(failing) == 1:
        document = json.loads((package / "asset_manifest.json").read_text(encoding="utf-8"))
        document["files"] = [e for e in document["files"] if e["role"] != "mesh_fbx"]
        (package / "asset_manifest.json").write_text(json.dumps(document), encoding="utf-8")
    for name in failing:
        editor.ask("fail_next", name=name)
    with pytest.raises(AssertionError, match=r"ImportRefused.*(no FBX to fall back on|of the FBX either)"):
        imported(editor, package)
    assert editor.state()["assets"] == {}
    switch = "from tests.simulated_editor.interface import SCREEN; SCREEN.console"
    assert editor.ask("python", code=switch).get("Interchange.FeatureFlags.Import.FBX", "True") == "True"


@pytest.mark.parametrize("by_joint", [False, True])
@pytest.mark.parametrize("fbx", [False, True])
def test_failure_at_the_end_takes_back_skeleton_and_physics_asset_too(editor, package, by_joint, fbx):
    editor.ask("name_by_joint", on=by_joint)
    if fbx:
        editor.ask("fail_next", name=f"{NAME}.glb")
    code = """
from tests.simulated_editor import content as files
original = files.Content.save
files.Content.save = lambda self, path: False if path.endswith("SK_Golem") else original(self, path)
"""
    editor.ask("python", code=code)
    with pytest.raises(AssertionError, match="Unreal could not save it"):
        imported(editor, package)
    state = editor.state()
    assert state["assets"] == {}
    assert state["dialogs"] == []


def test_update_that_fails_takes_the_old_assets_back(editor, package):
    imported(editor, package)
    before = editor.state()["assets"]
    for name in (f"{NAME}.glb", f"{NAME}.fbx"):
        editor.ask("fail_next", name=name)
    with pytest.raises(AssertionError, match="ImportRefused"):
        imported(editor, package)
    assert editor.state()["assets"] == before
