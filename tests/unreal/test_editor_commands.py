"""``forge editors``, ``import``, ``exec`` and ``submit --import`` against a running editor."""

import json
import shutil

import pytest

from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from tests.simulated_editor.process import EditorProcess
from tests.unreal.test_remote_execution import free_udp_port


@pytest.fixture
def port(monkeypatch) -> int:
    port = free_udp_port()
    monkeypatch.setenv("OPEN3DFORGE_EDITOR_GROUP", f"239.0.0.1:{port}")
    monkeypatch.setenv("OPEN3DFORGE_EDITOR_INTERFACES", "127.0.0.1")
    return port


@pytest.fixture
def editor(port, tmp_path):
    with EditorProcess("5.5", tmp_path / "P", name="PropShop", remote_port=port) as running:
        yield running


def printed(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_editors_lists_what_runs(editor, capsys):
    assert run(["editors", "--seconds", "0.8", "--json"]) == ExitCode.OK
    (found,) = printed(capsys)[0]["editors"]
    assert found["project"] == "PropShop"
    assert found["engine"].startswith("5.5")


def test_editors_without_one_gives_the_diagnosis_and_an_exit_code(port, capsys):
    assert run(["editors", "--seconds", "0.3"]) == ExitCode.UNREACHABLE
    assert "Enable Remote Execution" in capsys.readouterr().err


def test_import_of_a_folder_and_of_its_zip(editor, golden_package, tmp_path, capsys):
    archive = tmp_path / "export_GoldenCrate_UE5.zip"
    shutil.copy(golden_package.with_name(golden_package.name + ".zip"), archive)
    for number, package in enumerate((golden_package, archive)):
        assert run(["import", str(package), "--destination", "/Game/Props", "--json"]) == ExitCode.OK
        value = printed(capsys)[-1]["import"]
        assert value["mesh_path"] == "/Game/Props/SM_GoldenCrate"
        assert value["updated"] is bool(number)
        assert value["findings"] == []


def test_import_says_for_people_what_unreal_took(editor, golden_package, capsys):
    assert run(["import", str(golden_package)]) == ExitCode.OK
    shown = capsys.readouterr()
    assert "Imported /Game/Forged/SM_GoldenCrate" in shown.out
    assert "LODs 3" in shown.out
    assert "% " in shown.err, "no progress was told"


def test_import_of_a_damaged_package_never_reaches_the_editor(editor, golden_package, tmp_path, capsys):
    package = tmp_path / golden_package.name
    shutil.copytree(golden_package, package)
    (package / "SM_GoldenCrate.glb").write_bytes(b"short")
    assert run(["import", str(package)]) == ExitCode.USAGE
    assert "is not whole" in capsys.readouterr().err
    assert editor.state()["assets"] == {}


def test_import_that_the_editor_refuses_ends_with_its_reason(editor, golden_package, capsys):
    assert run(["import", str(golden_package), "--destination", "/Game/Bad Folder"]) == ExitCode.FAILED
    assert "Unreal allows no space" in capsys.readouterr().err


def test_import_of_something_else_is_bad_input(port, tmp_path, capsys):
    (tmp_path / "x.zip").write_text("no zip")
    assert run(["import", str(tmp_path / "x.zip")]) == ExitCode.USAGE
    assert "neither a package folder nor its zip" in capsys.readouterr().err


def test_group_that_is_no_endpoint_is_bad_input(capsys):
    assert run(["editors", "--group", "nonsense"]) == ExitCode.USAGE
    assert "ADDRESS:PORT" in capsys.readouterr().err


def test_exec_prints_output_and_value_of_any_size(editor, tmp_path, capsys):
    assert run(["exec", "print('hello'); 'x' * 3_000_000", "--json"]) == ExitCode.OK
    answer = printed(capsys)[-1]
    assert answer["output"] == "hello\n"
    assert len(answer["result"]) == 3_000_002
    script = tmp_path / "my script.py"
    script.write_text("import unreal\nunreal.SystemLibrary.get_engine_version()\n", encoding="utf-8")
    assert run(["exec", "--file", str(script)]) == ExitCode.OK
    assert "5.5" in capsys.readouterr().out


def test_exec_of_code_that_raises_shows_the_traceback(editor, capsys):
    assert run(["exec", "1 / 0"]) == ExitCode.FAILED
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert run(["exec", "--file", "missing.py"]) == ExitCode.USAGE
