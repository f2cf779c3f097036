"""The plugin's drop-in zip and its place in a project."""

import json
import os
import re
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from bridge_server.cli import plugin_archive
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from bridge_server.cli.plugin import THIS_SYSTEM
from bridge_server.cli.plugin_archive import PACKAGES, PIP_PLATFORMS, ROOT, SOURCE
from bridge_server.errors import StageFailed
from tests.unreal.conftest import UNREACHABLE

PLATFORMS = list(PIP_PLATFORMS)
NATIVE = {"Win64": "cygrpc.cp311-win_amd64.pyd", "Linux": "x86_64-linux-gnu.so", "Mac": "cygrpc.cpython-311-darwin.so"}
PYTHON = "Open3DForge/Content/Python/"


@pytest.fixture(scope="module", params=PLATFORMS)
def archive(request, tmp_path_factory) -> tuple[str, zipfile.ZipFile]:
    """The zip of a platform with its wheels, and the platform."""
    try:
        built = plugin_archive.build(request.param, tmp_path_factory.mktemp("zip"))
    except StageFailed as error:
        if any(words in str(error) for words in UNREACHABLE):
            pytest.skip(f"pip cannot reach a package index for the plugin's wheels: {error}")
        raise
    with zipfile.ZipFile(built.path) as content:
        yield request.param, content


def uplugin_of(content: zipfile.ZipFile) -> dict[str, object]:
    return json.loads(content.read("Open3DForge/Open3DForge.uplugin"))


def without_wheels(folder: Path) -> Path:
    return plugin_archive.build(THIS_SYSTEM, folder, wheels=False).path


@pytest.mark.slow
def test_each_platform_gets_its_own_wheels_and_all_of_the_scripts(archive):
    platform, content = archive
    names = content.namelist()
    assert content.testzip() is None
    assert all(name.startswith("Open3DForge/") and ".." not in name for name in names)
    libraries = f"{PYTHON}Lib/{platform}/site-packages/"
    native = [name for name in names if name.startswith(libraries + "grpc/_cython/cygrpc")]
    assert [name for name in native if name.endswith(NATIVE[platform])], native
    assert not [name for other in PLATFORMS if other != platform for name in names if f"/Lib/{other}/" in name]
    for part in ("google/protobuf/__init__.py", "google/rpc/error_details_pb2.py", "typing_extensions.py"):
        assert libraries + part in names
    for part in (
        "init_unreal.py",
        "open3dforge_editor/startup.py",
        "unreal_scripts/asset_import/importer.py",
        "unreal_scripts/capture/four_views.py",
        "unreal_scripts/selftest.py",
        "unreal_scripts/golden_package/asset_manifest.json",
        "Lib/site-packages/open3dforge/v1/jobs_pb2_grpc.py",
    ):
        assert PYTHON + part in names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert "PythonRequirements" not in uplugin_of(content), "the editor would install what is already here"


@pytest.mark.slow
def test_a_wheel_that_is_not_the_pinned_one_is_refused(monkeypatch, tmp_path):
    wrong = tmp_path / "Open3DForge"
    shutil.copytree(SOURCE, wrong)
    file = wrong / "Open3DForge.uplugin"
    text, count = re.subn(r"(typing_extensions==[^ ]+ --hash=sha256:)\w{64}", r"\g<1>" + "0" * 64, file.read_text())
    assert count == len(PLATFORMS)
    file.write_text(text)
    monkeypatch.setattr(plugin_archive, "SOURCE", wrong)
    with pytest.raises(StageFailed) as refused:
        plugin_archive.build(THIS_SYSTEM, tmp_path / "out")
    if any(words in str(refused.value) for words in UNREACHABLE):
        pytest.skip(f"pip cannot reach a package index: {refused.value}")
    assert "DO NOT MATCH THE HASHES" in str(refused.value)
    assert not list((tmp_path / "out").iterdir())


def test_every_package_is_pinned_by_digest_for_every_platform():
    description = json.loads((SOURCE / "Open3DForge.uplugin").read_text(encoding="utf-8"))
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert [entry["Platform"] for entry in description["PythonRequirements"]] == PLATFORMS
    for platform in PLATFORMS:
        pins = plugin_archive.pinned(description, platform)
        assert [pin.partition("==")[0] for pin in pins] == list(PACKAGES)
        for pin in pins:
            version, _, digest = pin.partition(" --hash=sha256:")
            assert re.fullmatch(r"[0-9a-f]{64}", digest), pin
            assert re.search(rf"^{re.escape(version)}$", constraints, re.M), (
                f"{version} is not what constraints.txt has; run python ue_plugin/pin_requirements.py"
            )


def test_without_wheels_the_editor_installs_them_from_the_pins(tmp_path):
    with zipfile.ZipFile(without_wheels(tmp_path)) as content:
        assert len(uplugin_of(content)["PythonRequirements"]) == len(PLATFORMS)
        assert not [name for name in content.namelist() if "/Lib/" in name and "/open3dforge/" not in name]


def test_the_zip_is_the_same_each_time(tmp_path):
    first = without_wheels(tmp_path / "a").read_bytes()
    assert without_wheels(tmp_path / "b").read_bytes() == first
    assert not list(tmp_path.rglob("*.partial"))


def test_build_says_where_the_zip_lies(tmp_path, capsys):
    assert run(["plugin", "build", "--no-wheels", "--out", str(tmp_path), "--json"]) == ExitCode.OK
    answer = json.loads(capsys.readouterr().out)
    assert Path(answer["path"]).is_file()
    assert answer["platform"] == THIS_SYSTEM


def test_unknown_platform_is_refused(tmp_path, capsys):
    assert run(["plugin", "build", "--platform", "PS5", "--out", str(tmp_path)]) == ExitCode.USAGE
    assert "Win64, Linux, Mac" in capsys.readouterr().err


@pytest.fixture
def few_wheels(monkeypatch):
    """Installing is about folders; the wheels are tested above."""
    monkeypatch.setattr(plugin_archive, "_unpack", lambda _pins, _platform, target: target.mkdir(parents=True))


def test_install_replaces_an_older_plugin_as_a_whole(few_wheels, tmp_path, capsys):
    project = tmp_path / "My Game ü" / "Game.uproject"
    project.parent.mkdir()
    project.write_text("{}")
    other = project.parent / "Plugins" / "Other" / "Other.uplugin"
    older = project.parent / "Plugins" / "Open3DForge" / "Content" / "Python" / "of_an_older_version.py"
    for file in (other, older):
        file.parent.mkdir(parents=True)
        file.write_text("{}")
    assert run(["plugin", "install", "--project", str(project), "--json"]) == ExitCode.OK
    target = project.parent / "Plugins" / "Open3DForge"
    assert json.loads(capsys.readouterr().out)["path"] == str(target)
    assert (target / "Content" / "Python" / "init_unreal.py").is_file()
    assert not older.exists()
    assert sorted(path.name for path in (project.parent / "Plugins").iterdir()) == ["Open3DForge", "Other"]


@pytest.mark.parametrize("name", ["Game.txt", "Missing.uproject"])
def test_install_refuses_what_is_no_project(few_wheels, tmp_path, capsys, name):
    (tmp_path / "Game.txt").write_text("{}")
    assert run(["plugin", "install", "--project", str(tmp_path / name)]) == ExitCode.USAGE
    assert "Name the .uproject file" in capsys.readouterr().err
    assert not (tmp_path / "Plugins").exists()


def test_install_that_fails_keeps_the_older_plugin(monkeypatch, tmp_path):
    def broken(*_arguments):
        raise StageFailed("pip could not fetch the wheels (no network).", subject="plugin", remedy="Connect.")

    monkeypatch.setattr(plugin_archive, "_unpack", broken)
    project = tmp_path / "Game.uproject"
    project.write_text("{}")
    older = tmp_path / "Plugins" / "Open3DForge" / "old.txt"
    older.parent.mkdir(parents=True)
    older.write_text("old")
    assert run(["plugin", "install", "--project", str(project)]) == ExitCode.FAILED
    assert older.read_text() == "old"
    assert [path.name for path in (tmp_path / "Plugins").iterdir()] == ["Open3DForge"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user for whom folders can be read-only")
def test_install_into_a_folder_that_cannot_be_written_says_so(few_wheels, tmp_path, capsys):
    project = tmp_path / "Game.uproject"
    project.write_text("{}")
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert run(["plugin", "install", "--project", str(project)]) != ExitCode.OK
        assert "may write there" in capsys.readouterr().err
    finally:
        tmp_path.chmod(stat.S_IRWXU)
