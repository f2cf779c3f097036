"""Import into the content browser, on all three versions, by the commandlet script and from the console."""

import json
import shutil
import stat

import pytest

from tests.simulated_editor.process import ROOT, EditorProcess, run_commandlet

SCRIPT = ROOT / "unreal_scripts" / "run_import.py"
SELF_TEST = ROOT / "unreal_scripts" / "selftest.py"
MESH, MATERIAL = "/Game/Props/SM_GoldenCrate", "/Game/Props/MI_GoldenCrate"
ASSETS = "unreal.get_editor_subsystem(unreal.EditorAssetSubsystem)"
IMPORT = """
import sys
sys.path.insert(0, {root!r})
from unreal_scripts.asset_import import import_asset
import_asset({package!r}, {destination!r}).to_json()
"""


def imported(editor, package, destination="/Game/Props"):
    """Import from the editor's Python console."""
    return editor.ask("python", code=IMPORT.format(root=str(ROOT), package=str(package), destination=destination))


@pytest.fixture
def editor(version, tmp_path):
    with EditorProcess(version, tmp_path / "My Project") as running:
        yield running


def manifest_of(package):
    return json.loads((package / "asset_manifest.json").read_text(encoding="utf-8"))


def check_asset(state, manifest, folder="/Game/Props"):
    """Everything that the manifest promises, read from the editor's own state."""
    assets = state["assets"]
    mesh = assets[f"{folder}/{manifest['asset']['mesh_name']}"]
    levels = mesh["data"]["lods"]
    assert [level["triangles"] for level in levels] == [entry["triangles"] for entry in manifest["lods"]]
    assert mesh["data"]["screen_sizes"] == pytest.approx([entry["screen_size"] for entry in manifest["lods"]])
    shapes = [piece["shape"] for piece in manifest["collision"]["pieces"]]
    assert mesh["data"]["convex"] == shapes.count("convex")
    assert mesh["data"]["simple"] == len(shapes) - shapes.count("convex")
    assert all(level["own_normals"] and level["own_tangents"] and level["uvs"] for level in levels)
    low, high = levels[0]["low"], levels[0]["high"]
    assert high[2] - low[2] == pytest.approx(manifest["placement"]["height_cm"], abs=0.1)
    assert low[2] == pytest.approx(0.0, abs=0.1)
    assert (low[0] + high[0]) / 2 == pytest.approx(0.0, abs=0.1)
    assert mesh["data"]["nanite"] is manifest["nanite"]
    assert mesh["data"]["materials"] == [f"{folder}/{manifest['material']['name']}"]
    instance = assets[f"{folder}/{manifest['material']['name']}"]["data"]
    assert instance["parent"] == "/Game/Open3DForge/M_Open3DForge"
    assert instance["textures"] == {key: f"{folder}/{name}" for key, name in manifest["material"]["textures"].items()}
    for entry in manifest["textures"]:
        if entry["role"] == "normal_opengl":
            assert f"{folder}/{entry['name']}" not in assets
            continue
        properties = assets[f"{folder}/{entry['name']}"]["properties"]
        assert properties["srgb"] is (entry["color_space"] == "sRGB")
        assert properties["compression_settings"]["name"] == entry["compression"]
        assert properties["lod_group"]["name"] == entry["lod_group"]
        assert properties["flip_green_channel"] is False
    assert all(asset["saved"] for asset in assets.values()), "something was left unsaved"
    assert state["dialogs"] == []
    assert [line for line in state["log"] if line[0] == "Error"] == []


def test_commandlet_imports_what_the_manifest_says(version, golden_package, tmp_path):
    result = tmp_path / "result.json"
    run = run_commandlet(version, tmp_path / "P", f'"{SCRIPT}" "{golden_package}" /Game/Props "{result}"')
    assert run.returncode == 0, run.stderr
    answer = json.loads(result.read_text(encoding="utf-8"))
    assert answer["ok"]
    assert answer["value"]["findings"] == []
    with EditorProcess(version, tmp_path / "P") as editor:
        check_asset(editor.state(), manifest_of(golden_package))


def test_commandlet_says_no_with_an_exit_status(version, tmp_path):
    run = run_commandlet(version, tmp_path / "P", f'"{SCRIPT}" "{tmp_path}" /Game/Props')
    assert run.returncode == 1
    assert "asset_manifest.json" in run.stderr
    assert run_commandlet(version, tmp_path / "P", f'"{SCRIPT}"').returncode == 2


def test_import_twice_updates_in_place_and_keeps_references(editor, golden_package):
    first = imported(editor, golden_package)
    before = editor.state()
    editor.ask("python", code=f"level_reference = {ASSETS}.load_asset({MESH!r})")
    second = imported(editor, golden_package)
    after = editor.state()
    assert not first["updated"]
    assert second["updated"]
    assert second["findings"] == []
    assert sorted(before["assets"]) == sorted(after["assets"])
    check_asset(after, manifest_of(golden_package))
    assert editor.ask("python", code=f"level_reference is {ASSETS}.load_asset({MESH!r})")
    assert after["assets"]["/Game/Open3DForge/M_Open3DForge"]["data"]["compiled"] == 1, "the master was built twice"


def test_provenance_is_readable_from_the_asset(editor, golden_package):
    imported(editor, golden_package)
    tags = editor.state()["assets"][MESH]["tags"]
    manifest = manifest_of(golden_package)
    assert tags["Open3DForge.Preset"] == manifest["provenance"]["preset"]
    assert tags["Open3DForge.JobId"] == manifest["provenance"]["job_id"]
    assert tags["Open3DForge.Package"] == str(golden_package)


@pytest.mark.parametrize("broken", ["SM_GoldenCrate.glb", "T_GoldenCrate_ORM.png"])
def test_import_that_fails_in_the_middle_leaves_nothing(editor, golden_package, broken):
    editor.ask("fail_next", name=broken)
    with pytest.raises(AssertionError, match="ImportRefused.*" + broken):
        imported(editor, golden_package)
    state = editor.state()
    assert state["assets"] == {}
    assert not editor.ask(
        "python", code="unreal.get_editor_subsystem(unreal.EditorAssetSubsystem).does_directory_exist('/Game/Props')"
    )


def test_update_that_fails_in_the_middle_takes_the_old_asset_back(editor, golden_package):
    imported(editor, golden_package)
    before = editor.state()["assets"]
    editor.ask("fail_next", name="SM_GoldenCrate.glb")
    with pytest.raises(AssertionError, match="ImportRefused"):
        imported(editor, golden_package)
    assert editor.state()["assets"] == before


def test_level_that_unreal_cannot_read_is_named_and_the_rest_goes_on(editor, golden_package):
    editor.ask("fail_next", name="SM_GoldenCrate_LOD2.glb")
    result = imported(editor, golden_package)
    assert result["lod_count"] == 2
    assert {finding["code"] for finding in result["findings"]} == {"lod_missing", "lod_count"}


def test_name_held_by_another_class_is_refused_with_the_remedy(editor, golden_package):
    tools = "unreal.AssetToolsHelpers.get_asset_tools()"
    where = "'SM_GoldenCrate', '/Game/Props', unreal.Material, unreal.MaterialFactoryNew()"
    editor.ask("python", code=f"{tools}.create_asset({where})")
    with pytest.raises(AssertionError, match=r"SM_GoldenCrate: is a Material.*Rename or move"):
        imported(editor, golden_package)
    assert list(editor.state()["assets"]) == [MESH]


def test_read_only_package_is_refused_before_anything_is_made(editor, golden_package, tmp_path):
    imported(editor, golden_package)
    file = tmp_path / "My Project" / "Content" / "Props" / "SM_GoldenCrate.uasset"
    before = editor.state()["assets"]
    file.chmod(stat.S_IRUSR)
    with pytest.raises(AssertionError, match="is read-only"):
        imported(editor, golden_package)
    assert editor.state()["assets"] == before


def test_checkout_that_source_control_refuses_stops_the_import(version, golden_package, tmp_path):
    with EditorProcess(version, tmp_path / "P") as editor:
        imported(editor, golden_package)
    refusal = pytest.raises(AssertionError, match=r"refuses the checkout \(checked out by somebody else\)")
    with EditorProcess(version, tmp_path / "P", environment={"O3F_SOURCE_CONTROL": "locked"}) as editor, refusal:
        imported(editor, golden_package)
    with EditorProcess(version, tmp_path / "P", environment={"O3F_SOURCE_CONTROL": "open"}) as editor:
        assert imported(editor, golden_package)["updated"]


@pytest.mark.parametrize("destination", ["/Game/Bad Folder", "/Game/a.b", "/Engine/Props", "/"])
def test_destination_that_unreal_cannot_have_is_refused(editor, golden_package, destination):
    with pytest.raises(AssertionError, match="ImportRefused: Destination"):
        imported(editor, golden_package, destination)


def test_unicode_content_folder_is_fine(editor, golden_package):
    assert imported(editor, golden_package, "/Game/Möbel")["mesh_path"] == "/Game/Möbel/SM_GoldenCrate"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema="open3dforge.asset_manifest.v9"), "schema is 'open3dforge.asset_manifest.v9'"),
        (lambda d: d.pop("lods"), "KeyError at 'lods'"),
        (lambda d: d["files"][0].update(path="../../secret"), "leaves the package"),
        (lambda d: d["files"][0].update(sha256="0" * 64), "differs from what the manifest says"),
        (lambda d: d["asset"].update(type="landscape"), "asset.type 'landscape'"),
    ],
)
def test_manifest_that_is_wrong_is_refused_by_name(golden_package, tmp_path, change, message):
    package = tmp_path / "package"
    shutil.copytree(golden_package, package)
    document = manifest_of(package)
    change(document)
    (package / "asset_manifest.json").write_text(json.dumps(document), encoding="utf-8")
    with EditorProcess("5.6", tmp_path / "P") as editor, pytest.raises(AssertionError, match=message):
        imported(editor, package)


def test_cancel_in_the_progress_dialog_rolls_back(editor, golden_package):
    code = "from tests.simulated_editor.interface import SCREEN; SCREEN.cancel_slow_task = True"
    editor.ask("python", code=code)
    with pytest.raises(AssertionError, match="ImportCancelled"):
        imported(editor, golden_package)
    assert editor.state()["assets"] == {}


def test_self_test_passes_cleans_up_and_writes_both_reports(version, golden_package, tmp_path):
    report = tmp_path / "report"
    run = run_commandlet(version, tmp_path / "P", f'"{SELF_TEST}" "{golden_package}" "{report}"')
    assert run.returncode == 0, run.stderr
    document = json.loads((report / "selftest.json").read_text(encoding="utf-8"))
    assert document["passed"]
    assert [trial["name"] for trial in document["trials"]] == [
        "import",
        "nothing differs from the manifest",
        "textures",
        "material instance",
        "import again",
        "bad destination is refused",
        "clean up",
    ]
    assert "PASSED" in (report / "selftest.txt").read_text(encoding="utf-8")
    with EditorProcess(version, tmp_path / "P") as editor:
        assert not [path for path in editor.state()["assets"] if "SelfTest" in path]


def test_capture_takes_four_views_and_removes_its_camera(editor, tmp_path):
    code = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.simulated_editor import capturing
actor = unreal.Actor()
actor._center, actor._half = (100.0, 0.0, 50.0), (10.0, 20.0, 50.0)
capturing.SELECTED.append(actor)
from unreal_scripts.capture import capture_selected
views = [(v.view, str(v.path)) for v in capture_selected(Path({str(tmp_path / "shots")!r}), 64)]
[views, capturing.SHOTS, len(capturing.ALIVE)]
"""
    views, shots, alive = editor.ask("python", code=code)
    assert [view for view, _ in views] == ["front", "back", "left", "right"]
    assert sorted(path.name for path in (tmp_path / "shots").iterdir()) == sorted(f"{view}.png" for view, _ in views)
    assert alive == 0
    front, back, left, right = shots
    assert front["location"]["x"] > 110
    assert abs(front["yaw"]) == 180
    assert back["location"]["x"] < 90
    assert back["yaw"] == 0
    assert left["location"]["y"] < -20
    assert right["location"]["y"] > 20
    assert all(shot["width"] >= 100 for shot in shots)
    editor.ask("python", code="capturing.SELECTED.clear()")
    with pytest.raises(AssertionError, match="Nothing is selected"):
        editor.ask("python", code="capture_selected(Path('x'))")
