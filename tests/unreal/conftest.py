"""A golden package, simulated editors of every version, the plugin as its zip, and a server for it."""

import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge_server.cli import plugin_archive
from bridge_server.cli.plugin import THIS_SYSTEM
from bridge_server.errors import StageFailed
from bridge_server.package.assemble import write_package
from tests.package.forged import forged_asset, forged_record
from tests.unreal.workplace import CrateServer, PluginEditor

VERSIONS = ("5.4", "5.5", "5.6")
BETWEEN = "5.5"
"""What it has and lacks, the oldest or the newest has or lacks too; so it is asked when all tests run."""
UNREACHABLE = ("No matching distribution", "Could not find a version", "Could not install", "No module named pip")


@pytest.fixture(scope="session")
def golden_package(tmp_path_factory) -> Path:
    """A finished package in a folder with a space and an umlaut."""
    return write_package(forged_asset(), forged_record(), tmp_path_factory.mktemp("package") / "my props ü").folder


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.slow if name == BETWEEN else ()) for name in VERSIONS])
def version(request) -> str:
    """An engine version."""
    return str(request.param)


@pytest.fixture(scope="session")
def plugin(tmp_path_factory) -> Path:
    """The drop-in zip for this system with its wheels, unpacked into an empty folder."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the plugin's wheels are for the editor's Python 3.11, which the tests do not run on")
    try:
        archive = plugin_archive.build(THIS_SYSTEM, tmp_path_factory.mktemp("zip")).path
    except StageFailed as error:
        if any(words in str(error) for words in UNREACHABLE):
            pytest.skip(f"pip cannot reach a package index for the plugin's wheels: {error}")
        raise
    return unpacked(archive, tmp_path_factory.mktemp("My Plugins"))


@pytest.fixture(scope="session")
def plugin_without_wheels(tmp_path_factory) -> Path:
    """The zip that leaves the wheels to the editor, unpacked."""
    archive = plugin_archive.build(THIS_SYSTEM, tmp_path_factory.mktemp("zip"), wheels=False).path
    return unpacked(archive, tmp_path_factory.mktemp("Plugins"))


def unpacked(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as content:
        content.extractall(folder)
    return folder / "Open3DForge"


@pytest.fixture
def server(tmp_path) -> Iterator[CrateServer]:
    """A server that delivers the golden package."""
    running = CrateServer(tmp_path / "server data")
    yield running
    running.kill()


@pytest.fixture
def open_editor(plugin, tmp_path) -> Iterator[Callable[..., PluginEditor]]:
    """Open editors with the plugin from its zip; all are closed at the end."""
    opened: list[PluginEditor] = []

    def start(version: str = "5.6", **settings: object) -> PluginEditor:
        opened.append(PluginEditor(version, tmp_path / "My Project", plugin, **settings))
        return opened[-1]

    yield start
    for editor in opened:
        editor.close()
