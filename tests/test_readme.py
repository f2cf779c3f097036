"""The README's links lead somewhere, its commands exist, and following it makes a package."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge_server.cli.main import COMMANDS, GROUPS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.S)
LINES = [line for block in BLOCKS for line in block.splitlines() if line]


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)", README)
    assert targets
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert not missing


def test_every_command_exists() -> None:
    names = set(re.findall(r"\./forge (\w+)", README))
    assert {"demo", "test", "serve", "submit", "doctor"} <= names
    assert names <= {*COMMANDS, *GROUPS}


def test_presets_of_the_examples_are_shipped() -> None:
    for preset in re.findall(r"--preset (\w+)", README):
        assert (ROOT / "configs" / "presets" / f"{preset}.json").is_file()


def start(line: str, folder: Path, home: Path, **options: object) -> subprocess.Popen[str]:
    """The command of a line as the bootstrap would run it."""
    words = shlex.split(line)
    assert words[0] == "./forge"
    command = [sys.executable, "-P", "-m", "bridge_server.cli.main", *words[1:]]
    environment = {**os.environ, "OPEN3DFORGE_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **options)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with this machine's weights in it, and nothing else."""
    from bridge_server.backends import weights

    folder = tmp_path_factory.mktemp("home")
    if weights.state_of("u2netp") is not weights.WeightsState.PRESENT:
        pytest.skip("the default matting weights are not here: ./forge models pull u2netp")
    (folder / "models").mkdir()
    (folder / "models" / "u2netp.onnx").symlink_to(weights.locate("u2netp"))
    return folder


@pytest.mark.slow
def test_the_first_command_makes_a_package(tmp_path: Path, home: Path) -> None:
    line = next(line for line in LINES if line.startswith("./forge demo"))
    process = start(line, tmp_path, home, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=280)
    assert process.returncode in {0, 7}, err
    report = re.search(r"Open the report: (.+)", out)
    assert report, out
    assert Path(report[1]).is_file()
    assert Path(report[1]).is_relative_to(tmp_path / "out")
    checked = start(f"./forge check {Path(report[1]).parent}", tmp_path, home)
    assert checked.wait(timeout=60) == 0


@pytest.mark.slow
def test_the_commands_of_the_second_block_work_one_after_the_other(tmp_path: Path, home: Path) -> None:
    (tmp_path / "cup.png").write_bytes((ROOT / "examples" / "coffee" / "coffee.png").read_bytes())
    mesh = next((ROOT / "examples").rglob("*.glb"), None)
    block = next(block for block in BLOCKS if "./forge submit" in block).splitlines()
    server = start("./forge serve --port 0", tmp_path, home, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert "listening" in server.stdout.readline()
        for line in block:
            if "chair.glb" in line:
                if mesh is None:
                    continue
                (tmp_path / "chair.glb").write_bytes(mesh.read_bytes())
            process = start(line, tmp_path, home, stderr=subprocess.PIPE)
            _, err = process.communicate(timeout=280)
            assert process.returncode in {0, 7}, f"{line}: {err}"
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0
    assert (tmp_path / "packages" / "export_Cup_UE5" / "asset_manifest.json").is_file()
