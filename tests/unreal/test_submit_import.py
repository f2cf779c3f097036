"""From a file to an asset in the content browser by one command, with the real pipeline."""

import json

import pytest

from bridge_server.cli.main import run
from bridge_server.service.server import start_server
from bridge_server.settings import load_settings
from tests.simulated_editor.process import ROOT, EditorProcess
from tests.unreal.conftest import VERSIONS
from tests.unreal.test_import import check_asset
from tests.unreal.test_remote_execution import free_udp_port

SMALL = ["trace.resolution_px=256", "bake_ao.samples=8", "lods.count=3"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = start_server(load_settings(environment={}, data=tmp_path_factory.mktemp("data"), port=0))
    yield running
    running.stop()


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_submit_and_import_in_one_command(version, server, tmp_path, capsys, monkeypatch):
    port = free_udp_port()
    monkeypatch.setenv("OPEN3DFORGE_EDITOR_GROUP", f"239.0.0.1:{port}")
    monkeypatch.setenv("OPEN3DFORGE_EDITOR_INTERFACES", "127.0.0.1")
    out = tmp_path / "my packages ü"
    settings = [word for setting in SMALL for word in ("--set", setting)]
    with EditorProcess(version, tmp_path / "My Project", name="PropShop", remote_port=port) as editor:
        words = ["submit", str(ROOT / "examples" / "fox" / "fox.glb"), "--name", "Fox", *settings, "--out", str(out)]
        words += ["--import", "/Game/Animals", "--editor", "PropShop", "--server", server.address, "--json"]
        assert run(words) == 0
        answer = json.loads(capsys.readouterr().out.splitlines()[-1])["import"]
        assert answer["findings"] == []
        assert answer["lod_count"] == 3
        state = editor.state()
    manifest = json.loads((out / "export_Fox_UE5" / "asset_manifest.json").read_text(encoding="utf-8"))
    check_asset(state, manifest, "/Game/Animals")
    assert state["violations"] == []
