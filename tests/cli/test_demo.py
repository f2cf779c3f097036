"""``forge demo`` with a real private server and small work: its output, and that nothing stays behind."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.cli import client as client_module
from bridge_server.cli import demo as demo_module
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from bridge_server.jobs.job import JobState
from bridge_server.service import server as server_module
from tests.cli.small_workshop import STAGES, SmallWorkshop

Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("OPEN3DFORGE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(server_module, "_forge", lambda *_: SmallWorkshop())
    monkeypatch.setattr(demo_module, "_bring_default_weights", lambda: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def states(data: Path) -> list[str]:
    """States of all jobs, read from the queue's own file."""
    with sqlite3.connect(data / "jobs.sqlite3") as rows:
        return [state for (state,) in rows.execute("SELECT state FROM jobs ORDER BY number")]


def test_the_demo_makes_a_package_and_stops_its_server(capsys: Output, home: Path, tmp_path: Path) -> None:
    assert run(["demo"]) == ExitCode.OK
    out = capsys.readouterr().out
    report = tmp_path / "out" / "export_Coffee_UE5" / "report.html"
    assert f"Open the report: {report}" in out
    assert report.is_file()
    assert "Triangles" in out
    assert not (home / "server.json").exists(), "the server said good-bye"


def test_the_last_json_line_is_the_summary(capsys: Output, tmp_path: Path) -> None:
    assert run(["demo", "--json", "--out", "there", "--set", "small.verdict=warn"]) == ExitCode.OK
    *events, last = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert set(last) == {"seconds", "package", "stages", "checklist"}
    assert last["package"] == str(tmp_path / "there" / "export_Coffee_UE5")
    assert last["stages"] == [{"name": name, "seconds": 0.25, "cached": False} for name in STAGES]
    assert [item["verdict"] for item in last["checklist"]] == ["pass", "warn"]
    assert 0 < last["seconds"] < 30
    assert all("event" in event for event in events)


def test_a_failing_job_is_told_and_the_server_stopped(capsys: Output, home: Path) -> None:
    assert run(["demo", "--json", "--set", "small.fail=yes"]) == ExitCode.FAILED
    seen = capsys.readouterr()
    assert json.loads(seen.out.splitlines()[-1])["error"]["message"] == "matte: found no subject."
    assert "Use a plainer background." in seen.err
    assert not (home / "server.json").exists()


def test_a_wrong_image_is_told_before_a_server_starts(capsys: Output, home: Path) -> None:
    assert run(["demo", "--image", "nowhere.png"]) == ExitCode.USAGE
    assert "nowhere.png" in capsys.readouterr().err
    assert not home.exists()


def test_ctrl_c_cancels_the_job_and_stops_the_server(
    capsys: Output, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = client_module.ForgeClient.watch

    def interrupted(client: client_module.ForgeClient, name: str) -> Iterator[object]:
        yield next(watch(client, name))
        raise KeyboardInterrupt

    monkeypatch.setattr(client_module.ForgeClient, "watch", interrupted)
    assert run(["demo", "--set", "small.linger=60"]) == ExitCode.INTERRUPTED
    assert "the job was cancelled and the server stopped" in capsys.readouterr().err
    assert not (home / "server.json").exists()
    assert states(home) == [JobState.CANCELLED]


SERVE = """
import sys
from pathlib import Path
from bridge_server.service.server import serve_forever
from bridge_server.settings import Settings
from tests.cli.small_workshop import SmallWorkshop
serve_forever(Settings(port=0, data=Path(sys.argv[1])), workshop=SmallWorkshop())
"""


def test_beside_a_running_server_the_demo_takes_a_folder_of_its_own(capsys: Output, home: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", SERVE, str(home)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert "listening" in running.stdout.readline()
        try:
            assert run(["demo"]) == ExitCode.OK
            assert run(["jobs", "--json"]) == ExitCode.OK
            seen = json.loads(capsys.readouterr().out.splitlines()[-1])
            assert seen == {"jobs": []}, "the other server saw nothing of it"
            assert states(home / "private") == [JobState.SUCCEEDED]
        finally:
            running.terminate()
