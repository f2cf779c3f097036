"""A second set of coordinates for baked light goes from the package into Unreal's settings, on all three versions."""

import json

import pytest

from bridge_server.package.assemble import write_package
from bridge_server.values.manifest import MANIFEST_NAME
from tests.package.forged import forged_asset, forged_record
from tests.simulated_editor.files import read_glb
from tests.simulated_editor.process import EditorProcess
from tests.unreal.test_import import ASSETS, MESH, imported

SETTINGS = "[{mesh}.get_editor_property(name) for name in ('light_map_coordinate_index', 'light_map_resolution')]"


def settings(editor: EditorProcess) -> list[int]:
    return editor.ask("python", code=SETTINGS.format(mesh=f"{ASSETS}.load_asset({MESH!r})"))


@pytest.fixture
def editor(version, tmp_path):
    with EditorProcess(version, tmp_path / "Project") as running:
        yield running


def test_the_second_set_is_written_and_baked_light_is_pointed_at_it(editor, tmp_path):
    package = write_package(forged_asset(lightmap_px=128), forged_record(lightmap_px=128), tmp_path).folder
    for name in ("SM_GoldenCrate.glb", "SM_GoldenCrate_LOD1.glb", "SM_GoldenCrate_LOD2.glb"):
        assert read_glb(package / name).parts[0].uv_channels == 2
    result = imported(editor, package)
    assert settings(editor) == [1, 128]
    assert "light_map" not in {finding["code"] for finding in result["findings"]}


def test_a_package_without_one_leaves_unreal_alone_or_says_what_is_missing(editor, tmp_path, golden_package):
    imported(editor, golden_package)
    before = settings(editor)
    bare = write_package(forged_asset(), forged_record(lightmap_px=128), tmp_path).folder
    result = imported(editor, bare)
    assert settings(editor) == before
    assert "light_map" in {finding["code"] for finding in result["findings"]}


def test_an_older_package_is_asked_what_its_preset_wanted(editor, tmp_path):
    package = write_package(forged_asset(lightmap_px=128), forged_record(lightmap_px=128), tmp_path).folder
    path = package / MANIFEST_NAME
    document = json.loads(path.read_text())
    assert document.pop("light_map") == {"channel": 1, "resolution_px": 128}
    path.write_text(json.dumps(document))
    imported(editor, package)
    assert settings(editor) == [1, 128]


def test_the_entry_of_the_manifest_counts_before_the_preset(editor, tmp_path):
    package = write_package(forged_asset(lightmap_px=64), forged_record(lightmap_px=128), tmp_path).folder
    imported(editor, package)
    assert settings(editor) == [1, 64]


def test_an_fbx_has_both_layers(tmp_path):
    package = write_package(forged_asset(lightmap_px=128), forged_record(lightmap_px=128), tmp_path).folder
    content = (package / "SM_GoldenCrate.fbx").read_bytes()
    assert content.count(b"LayerElementUV") == 4  # two layers, and two entries that list them
    assert b"LightMapUV" in content
