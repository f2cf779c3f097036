"""The commands about jobs, against a real server on loopback."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from bridge_server.service.server import RunningServer, start_server
from bridge_server.settings import Settings
from tests.cli.small_workshop import STAGES, SmallWorkshop

TOKEN = "a-token-for-the-tests"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    data = tmp_path_factory.mktemp("data")
    running = start_server(Settings(port=0, token=TOKEN, data=data), workshop=SmallWorkshop())
    yield running
    running.stop(2.0)


@pytest.fixture
def forge(server: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPEN3DFORGE_SERVER", server.address)
    monkeypatch.setenv("OPEN3DFORGE_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cup.png").write_bytes(b"the front")
    (tmp_path / "back.png").write_bytes(b"the back")


Output = pytest.CaptureFixture[str]


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def submitted(capsys: Output, *arguments: str) -> str:
    """Submit without waiting; the job's bare name."""
    assert run(["submit", "cup.png", "--json", *arguments]) == ExitCode.OK
    return json.loads(capsys.readouterr().out)["job"]["name"].removeprefix("jobs/")


def wait_for(capsys: Output, job: str, state: str) -> None:
    for _ in range(200):
        run(["jobs", job, "--json"])
        if json.loads(capsys.readouterr().out)["job"]["state"] == state:
            return
        time.sleep(0.02)
    pytest.fail(f"job {job} never became {state}")


@pytest.mark.usefixtures("forge")
def test_submit_waits_and_downloads_the_package(capsys: Output, tmp_path: Path) -> None:
    code = run(["submit", "cup.png", "--view", "back=back.png", "--name", "Mug", "--out", "packages"])
    seen = capsys.readouterr()
    assert code == ExitCode.OK, seen.err
    report = tmp_path / "packages" / "export_Mug_UE5" / "report.html"
    assert report.read_text() == b"the front".hex() + b"the back".hex()
    assert (tmp_path / "packages" / "export_Mug_UE5.zip").is_file()
    assert "Triangles" in seen.out
    assert seen.err.count("The back is a guess.") == 1
    assert "matte done, 0.2 s" in seen.err.replace("0.25", "0.2"), "plain lines where there is no terminal"


@pytest.mark.usefixtures("forge")
def test_json_output_is_lines_of_documents_and_ends_with_the_job(capsys: Output, tmp_path: Path) -> None:
    assert run(["submit", "cup.png", "--out", "packages", "--json"]) == ExitCode.OK
    queued, *events, last = json_lines(capsys.readouterr().out)
    assert queued["job"]["state"] in {"queued", "running"}
    assert [event["event"]["sequence"] for event in events] == list(range(1, len(events) + 1))
    finished = [event["event"]["stage_finished"]["stage"] for event in events if "stage_finished" in event["event"]]
    assert finished == list(STAGES)
    assert last["job"]["state"] == "succeeded"
    assert last["job"]["checklist"]["items"][0]["verdict"] == "pass"
    assert last["files"] == [str(tmp_path / "packages" / name) for name in ("export_Cup_UE5", "export_Cup_UE5.zip")]


@pytest.mark.usefixtures("forge")
def test_a_failed_job_says_what_which_and_how(capsys: Output) -> None:
    assert run(["submit", "cup.png", "--set", "small.fail=yes", "--wait"]) == ExitCode.FAILED
    seen = capsys.readouterr().err
    assert "cup.png: matte: found no subject." in seen
    assert "Use a plainer background." in seen
    assert "Traceback" not in seen


@pytest.mark.usefixtures("forge")
def test_a_failed_job_is_retried_from_the_store(capsys: Output) -> None:
    job = submitted(capsys, "--set", "small.fail=yes")
    wait_for(capsys, job, "failed")
    assert run(["retry", job, "--wait"]) == ExitCode.FAILED, "it fails again, for its settings say so"
    run(["jobs", job, "--json"])
    seen = json.loads(capsys.readouterr().out.splitlines()[-1])["job"]
    assert seen["attempt"] == 2
    assert seen["error"]["code"] == "STAGE_FAILED"


@pytest.mark.usefixtures("forge")
def test_a_broken_rule_of_the_checklist_has_an_exit_code_of_its_own(capsys: Output) -> None:
    assert run(["submit", "cup.png", "--set", "small.verdict=fail", "--wait"]) == ExitCode.CHECKLIST_FAILED


@pytest.mark.usefixtures("forge")
def test_cancel_stops_a_running_job(capsys: Output) -> None:
    job = submitted(capsys, "--set", "small.linger=60")
    wait_for(capsys, job, "running")
    assert run(["cancel", job]) == ExitCode.OK
    assert "stops at its next checkpoint" in capsys.readouterr().out
    assert run(["watch", job, "--json"]) == ExitCode.CANCELLED
    assert json_lines(capsys.readouterr().out)[-1]["job"]["state"] == "cancelled"


@pytest.mark.usefixtures("forge")
def test_ctrl_c_stops_the_watch_and_not_the_job(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    from bridge_server.cli import client as client_module

    job = submitted(capsys, "--set", "small.linger=1")

    def interrupted(*_: object) -> Iterator[object]:
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patched:
        patched.setattr(client_module.ForgeClient, "watch", interrupted)
        assert run(["watch", job]) == ExitCode.INTERRUPTED
    assert f"./forge cancel {job}" in capsys.readouterr().err
    wait_for(capsys, job, "succeeded")


@pytest.mark.usefixtures("forge")
def test_a_finished_job_is_watched_and_downloaded_later(capsys: Output, tmp_path: Path) -> None:
    job = submitted(capsys, "--name", "Later")
    assert run(["watch", job]) == ExitCode.OK
    assert f"./forge download {job}" in capsys.readouterr().out
    assert run(["download", job, "--out", "there", "--json"]) == ExitCode.OK
    files = json.loads(capsys.readouterr().out)["files"]
    assert files == [str(tmp_path / "there" / name) for name in ("export_Later_UE5", "export_Later_UE5.zip")]


@pytest.mark.usefixtures("forge")
def test_jobs_are_listed_the_newest_first_and_narrowed_by_state(capsys: Output) -> None:
    first, second = submitted(capsys), submitted(capsys)
    wait_for(capsys, second, "succeeded")
    run(["jobs", "--json", "--limit", "2"])
    names = [job["name"] for job in json.loads(capsys.readouterr().out)["jobs"]]
    assert names == [f"jobs/{second}", f"jobs/{first}"]
    run(["jobs", "--json", "--state", "running"])
    assert json.loads(capsys.readouterr().out)["jobs"] == []
    run(["jobs"])
    table = capsys.readouterr().out
    assert second in table
    assert "succeeded" in table
    run(["jobs", second])
    assert "half way" not in capsys.readouterr().out


@pytest.mark.usefixtures("forge")
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["submit", "nowhere.png"], ExitCode.USAGE, "nowhere.png: there is no such file."),
        (["submit", "."], ExitCode.USAGE, "is a folder"),
        (["submit"], ExitCode.USAGE, "no file is given"),
        (["submit", "cup.png", "--view", "front=back.png"], ExitCode.USAGE, "the front is given twice"),
        (["submit", "cup.png", "--view", "top=back.png"], ExitCode.USAGE, "front, back, left, right"),
        (["submit", "cup.png", "--set", "decimate.triangle_count"], ExitCode.USAGE, "--set decimate.triangle_count"),
        (["submit", "cup.png", "--set", ".triangle_count=5"], ExitCode.USAGE, "--set .triangle_count=5"),
        (["submit", "cup.png", "--priority", "101"], ExitCode.USAGE, "priority"),
        (["submit", "empty.png"], ExitCode.USAGE, "empty.png: the file is empty."),
        (["watch", "no-such-job"], ExitCode.USAGE, "no-such-job"),
        (["cancel", "../evil"], ExitCode.USAGE, "evil"),
        (["download", "no-such-job"], ExitCode.USAGE, "no-such-job"),
        (["jobs", "--token", "a-wrong-token-indeed"], ExitCode.REFUSED, "token"),
        (["jobs", "--server", "nonsense"], ExitCode.USAGE, "host:port"),
        (["jobs", "--server", "grpc://192.0.2.1:50551"], ExitCode.USAGE, "unencrypted"),
        (["jobs", "--ca", "missing.pem"], ExitCode.USAGE, "missing.pem"),
        (["check", "cup.png"], ExitCode.USAGE, "cup.png"),
        (["unknown-command"], ExitCode.USAGE, "unknown-command"),
    ],
)
def test_what_is_wrong_is_named_without_a_traceback(
    capsys: Output, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    (tmp_path / "empty.png").touch()
    assert run(arguments) == code
    seen = capsys.readouterr()
    assert words in seen.err
    assert "Traceback" not in seen.err
    assert run([*arguments, "--json"]) == code
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["reason"].isupper()
    assert words in f"{error['subject']}: {error['message']} {error['remedy']}"


@pytest.mark.usefixtures("forge")
def test_a_mesh_is_sent_with_the_files_it_refers_to(capsys: Output, tmp_path: Path) -> None:
    (tmp_path / "chair.obj").write_text("mtllib chair.mtl\nv 0 0 0\n")
    (tmp_path / "chair.mtl").write_text("newmtl wood\nmap_Kd -bm 0.5 wood.png\n")
    (tmp_path / "wood.png").write_bytes(b"wood")
    assert run(["submit", "chair.obj", "--json"]) == ExitCode.OK
    mesh = json.loads(capsys.readouterr().out)["job"]["spec"]["mesh"]
    assert [companion["path"] for companion in mesh["companions"]] == ["chair.mtl", "wood.png"]


@pytest.mark.usefixtures("forge")
def test_presets_travel_there_and_back(capsys: Output, tmp_path: Path) -> None:
    assert run(["presets", "list", "--json"]) == ExitCode.OK
    presets = json.loads(capsys.readouterr().out)["presets"]
    if not presets:
        pytest.skip("no presets are shipped")
    shipped = presets[0]["name"]
    assert run(["presets", "show", shipped]) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    (tmp_path / "mine.json").write_text(json.dumps({**document, "name": "mine_of_the_tests"}))
    assert run(["presets", "save", "mine.json"]) == ExitCode.OK
    assert run(["presets", "delete", "mine_of_the_tests"]) == ExitCode.OK
    assert run(["presets", "delete", shipped]) == ExitCode.REFUSED
    assert run(["presets", "show", "mine_of_the_tests"]) == ExitCode.USAGE
    (tmp_path / "wrong.json").write_text(json.dumps({**document, "name": "x", "stagez": []}))
    capsys.readouterr()
    assert run(["presets", "save", "wrong.json"]) == ExitCode.USAGE
    assert "stagez" in capsys.readouterr().err


def test_without_a_server_the_remedy_is_told(capsys: Output, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPEN3DFORGE_HOME", str(tmp_path))
    assert run(["jobs"]) == ExitCode.UNREACHABLE
    assert "./forge serve" in capsys.readouterr().err


def test_the_server_of_this_machine_is_found_by_its_announcement(
    capsys: Output, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPEN3DFORGE_HOME", str(tmp_path))
    running = start_server(Settings(port=0, data=tmp_path), workshop=SmallWorkshop())
    try:
        assert run(["jobs"]) == ExitCode.OK
        assert "No jobs." in capsys.readouterr().out
        assert run(["doctor", "--json"]) in {ExitCode.OK, ExitCode.FAILED}
        findings = json.loads(capsys.readouterr().out)["findings"]
        assert running.address in next(item["detail"] for item in findings if item["subject"] == "server")
    finally:
        running.stop(1.0)
    assert threading.active_count() < 60
