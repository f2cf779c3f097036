"""Right-click actions: views by name, Forge into here, Re-forge, Forge again, Show report, on all versions."""

import shutil

import pytest

from tests.unreal.crate_server import GOLDEN
from tests.unreal.test_plugin import PHOTO, check_quiet
from tests.unreal.workplace import FOLDERS, FORGE, MESH, MESHES, TEXTURES, PluginEditor

AGAIN, REPORT, REFORGE = "Forge again with other settings", "Show report", "Re-forge"
IMPORT = "from unreal_scripts.asset_import import import_asset; import_asset({!r}, '/Game/Props') and None"
FORM = """
from open3dforge_editor import dialogs
import unreal
shown = []
original = unreal.EditorDialog.show_object_details_view
def look(title, form, options=None):
    read = form.get_editor_property
    shown.append([title, read("asset_name"), read("preset"), read("destination").get_editor_property("path"),
        [bool(read(view).get_editor_property("file_path")) for view in dialogs.VIEWS],
        read("mesh").get_editor_property("file_path")])
    return original(title, form)
unreal.EditorDialog.show_object_details_view = look
"""


@pytest.fixture
def bare(version, plugin_without_wheels, tmp_path):
    """An editor whose plugin reaches no server: enough for menus and forms."""
    with PluginEditor(version, tmp_path / "P", plugin_without_wheels) as editor:
        editor.ask("python", code=FORM)
        yield editor


def shown_form(editor, menu, label, **where):
    """What the details dialog shows on a click; it is cancelled."""
    editor.ask("answer", answer=None)
    editor.ask("click", menu=menu, label=label, **where)
    return editor.ask("python", code="shown.pop()")


def labels(editor, menu, path):
    """What is visible on an asset's context menu, without anything being done."""
    try:
        editor.ask("click", menu=menu, label="?", assets=[path])
    except AssertionError as error:
        return str(error)
    raise AssertionError("there is such an entry")


@pytest.mark.parametrize(
    ("names", "views"),
    [
        (["T_Cup_front", "T_Cup_back"], [True, True, False, False]),
        (["T_Cup_right", "T_Cup_left", "T_Cup_front", "T_Cup_back"], [True, True, True, True]),
        (["T_Cup", "T_Cup_Left"], [True, False, True, False]),
        (["T_Cup_D"], [True, False, False, False]),
        (["T_Cup_back"], [True, False, False, False]),
    ],
)
def test_names_of_textures_say_which_side_they_show(bare, names, views):
    paths = [bare.import_texture(PHOTO, name) for name in names]
    form = shown_form(bare, TEXTURES, FORGE, assets=paths)
    assert form == ["Forge 3D asset", "Cup", "prop_UE5_standard", "/Game/Photos", views, ""]
    assert bare.jobs() == []


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["A_front", "B_front"], "show the same side: A_front, B_front"),
        (["A", "B", "C", "D", "E"], "at most four views"),
    ],
)
def test_textures_that_cannot_be_views_are_refused_in_words(bare, names, message):
    bare.ask("click", menu=TEXTURES, label=FORGE, assets=[bare.import_texture(PHOTO, name) for name in names])
    assert message in bare.state()["messages"][-1]
    assert bare.jobs() == []


def test_forge_into_here_asks_for_that_folder(bare):
    form = shown_form(bare, FOLDERS, "Forge into here", folder="/Game/Möbel/Stühle")
    assert form[3:] == ["/Game/Möbel/Stühle", [False] * 4, ""]
    bare.ask("answer", answer={})
    bare.ask("click", menu=FOLDERS, label="Forge into here", folder="/Game/Props")
    assert "Choose at least one picture, or a mesh file." in bare.state()["messages"][-1]


def test_reforge_without_the_exporter_says_what_to_switch_on(bare):
    bare.ask("python", code=IMPORT.format(str(GOLDEN)))
    bare.ask("click", menu=MESHES, label=REFORGE, assets=[MESH])
    assert "Edit > Plugins > glTF Exporter" in bare.state()["messages"][-1]


def test_entries_of_forged_assets_show_on_those_only(bare):
    bare.ask(
        "python",
        code=f"from unreal_scripts.asset_import import import_asset; import_asset({str(GOLDEN)!r}, '/Game/Props')\n"
        "mesh = unreal.StaticMesh(); from tests.simulated_editor.content import content\n"
        "content().add('/Game/Other/SM_Rock', mesh) and None",
    )
    assert f"shows ['{REFORGE}', '{AGAIN}', '{REPORT}']" in labels(bare, MESHES, MESH)
    assert f"shows ['{REFORGE}']" in labels(bare, MESHES, "/Game/Other/SM_Rock")
    # From an earlier session, or another machine: the request is rebuilt from the asset's tags.
    form = shown_form(bare, MESHES, AGAIN, assets=[MESH])
    assert form == ["Forge 3D asset", "GoldenCrate", "prop_UE5_standard", "/Game/Props", [False] * 4, ""]


def test_show_report_opens_the_page_of_the_package_or_says_that_it_is_gone(bare, tmp_path):
    package = tmp_path / "my package"
    shutil.copytree(GOLDEN, package)
    bare.ask("python", code=IMPORT.format(str(package)))
    bare.ask("python", code="import webbrowser; opened = []; webbrowser.open = opened.append")
    bare.ask("click", menu=MESHES, label=REPORT, assets=[MESH])
    assert bare.ask("python", code="opened") == [(package / "report.html").as_uri()]
    shutil.rmtree(package)
    bare.ask("click", menu=MESHES, label=REPORT, assets=[MESH])
    assert "report.html is not there any more. Forge the asset again" in bare.state()["messages"][-1]


@pytest.mark.slow
def test_reforge_and_forge_again_update_the_mesh_in_place(version, open_editor, server, tmp_path):
    shutil.copy(GOLDEN / "SM_GoldenCrate.glb", tmp_path / "exported.glb")
    editor = open_editor(version, server=server.address)
    editor.forge(*(editor.import_texture(PHOTO, name) for name in ("T_Cup_back", "T_Cup_front")))
    first = editor.wait_for_job("done")
    assert server.views_of(first["server_name"]) == "back,front"
    before = editor.state()["assets"]
    editor.ask("answer", answer={})
    editor.ask("click", menu=MESHES, label=REFORGE, assets=[MESH])
    again = editor.wait_for_job("done", until=lambda line: line.startswith("GoldenCrate") and "Updated" in line)
    assert server.views_of(again["server_name"]) == "mesh SM_GoldenCrate.glb"
    assert sorted(editor.state()["assets"]) == sorted(before)
    # Forge again: this session still has the request, the mesh file included.
    editor.ask("answer", answer={"overrides": "export.seconds=0.05"})
    editor.ask("click", menu=MESHES, label=AGAIN, assets=[MESH])
    last = editor.wait_for_job("done", until=lambda line: len(editor.jobs()) == 3)
    assert last["server_name"] != again["server_name"]
    check_quiet(editor.state())
