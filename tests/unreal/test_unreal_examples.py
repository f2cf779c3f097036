"""The examples and the page about the Unreal Editor hold."""

import re
import shutil
import subprocess
import sys

import pytest

from bridge_server.cli.main import COMMANDS, GROUPS
from tests.simulated_editor.process import ROOT, EditorProcess
from tests.unreal.crate_server import GOLDEN
from tests.unreal.test_api_surface import OPTIONAL_PROPERTIES

PAGE = (ROOT / "docs" / "unreal.md").read_text(encoding="utf-8")
EXAMPLES = ROOT / "examples" / "unreal_scripts"


def test_a_selection_is_captured_and_the_command_is_told(tmp_path):
    code = f"""
import runpy, sys
sys.path.insert(0, {str(ROOT)!r})
from tests.simulated_editor import capturing
actor = unreal.Actor()
actor._center, actor._half = (0.0, 0.0, 50.0), (10.0, 20.0, 50.0)
capturing.SELECTED.append(actor)
runpy.run_path({str(EXAMPLES / "capture_selection.py")!r}) and None
"""
    with EditorProcess("5.6", tmp_path / "P") as editor:
        editor.ask("python", code=code)
        ((severity, line),) = editor.state()["log"]
    assert severity == "Info"
    assert re.fullmatch(
        r'\./forge submit ".*front\.png" --view back=".*" --view left=".*" --view right=".*"( .*)?', line
    )
    assert len(list((tmp_path / "P" / "Saved" / "Open3DForge" / "captures").glob("*.png"))) == 4


def test_a_folder_without_an_editor_says_what_to_switch_on(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "export_GoldenCrate_UE5")
    command = [sys.executable, str(EXAMPLES / "import_folder.py"), str(tmp_path), "/Game/Props", "no such project"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    assert "export_GoldenCrate_UE5: " in done.stdout


def test_the_page_names_commands_and_files_that_are_there():
    for command in re.findall(r"\./forge (\w+)", PAGE):
        assert command in {*COMMANDS, *GROUPS}, command
    for target in re.findall(r"\]\((?!#)([^)]+)\)", PAGE):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.parametrize("name", sorted(OPTIONAL_PROPERTIES))
def test_the_page_lists_every_version_guard(name):
    assert f"`{name}`" in PAGE
