"""Remote execution: our client and two independent ones against the editor's endpoint, on this machine alone."""

import json
import socket
import subprocess
import sys
import threading

import pytest

from tests.referees import node
from tests.simulated_editor.process import ROOT, EditorProcess
from unreal_scripts.remote_execution import (
    EditorNotFound,
    EditorSilent,
    Endpoint,
    ExecMode,
    RemoteCommandFailed,
    client,
    connect,
    find_editors,
)
from unreal_scripts.remote_execution.discovery import bind_address
from unreal_scripts.remote_execution.messages import Message, decode
from unreal_scripts.send_to_editor import ImportFailed, send_package
from unreal_scripts.send_to_editor import main as send_main

EVALUATE = ExecMode.EVALUATE_STATEMENT


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_endpoint() -> Endpoint:
    return Endpoint(port=free_udp_port(), interfaces=("127.0.0.1",))


@pytest.fixture
def endpoint() -> Endpoint:
    return free_endpoint()


@pytest.fixture
def alone(monkeypatch):
    """No other editor is there to wait for once one has answered."""
    monkeypatch.setattr(client, "SETTLE_S", 0.2)


@pytest.fixture
def editor(version, tmp_path, endpoint, alone):
    with EditorProcess(version, tmp_path / "P", name="Alpha", remote_port=endpoint.port) as running:
        yield running


@pytest.fixture
def editor_56(tmp_path, endpoint, alone):
    with EditorProcess("5.6", tmp_path / "P", name="Alpha", remote_port=endpoint.port) as running:
        yield running


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """One session for all tests that only run code: finding an editor takes a second, because others may answer."""
    endpoint, project = free_endpoint(), tmp_path_factory.mktemp("project") / "P"
    with EditorProcess("5.6", project, name="Alpha", remote_port=endpoint.port), connect("Alpha", endpoint) as opened:
        yield opened


def test_finds_the_editor_and_says_who_it_is(editor, endpoint, version):
    (found,) = find_editors(endpoint, 1.0)
    assert found.project_name == "Alpha"
    assert found.engine_version.startswith(version)


@pytest.mark.parametrize("size", [100, 7_000, 9_000, 100_000, 1_500_000, 5_000_000])
def test_results_of_every_size_arrive_whole(session, size):
    assert len(session.run(f"'x' * {size}", EVALUATE).result) == size + 2


def test_result_of_unicode_and_prints_arrive(session):
    answer = session.run("print('Grüße 世界')")
    assert answer.success
    assert [line.text for line in answer.output] == ["Grüße 世界"]


def test_failing_command_brings_its_traceback(session):
    answer = session.run("1 / 0")
    assert not answer.success
    assert "ZeroDivisionError" in answer.result
    assert session.run("1 + 1", EVALUATE).result == "2", "the session goes on after an error"


def test_code_that_mentions_a_file_is_not_taken_for_one(session):
    code = "x = 5 # see foo.py and bar"
    assert "Could not load Python file" in session.run(code, ExecMode.EXECUTE_FILE).result
    assert session.run(code).success


def test_several_editors_are_told_apart(tmp_path, endpoint):
    with (
        EditorProcess("5.4", tmp_path / "a", name="PropShop", remote_port=endpoint.port),
        EditorProcess("5.6", tmp_path / "b", name="Racer", remote_port=endpoint.port),
    ):
        assert [found.project_name for found in find_editors(endpoint, 1.0)] == ["PropShop", "Racer"]
        with connect("rac", endpoint) as session:
            assert "5.6" in session.run("unreal.SystemLibrary.get_engine_version()", EVALUATE).result
        with pytest.raises(EditorNotFound, match=r"2 running editors match.*PropShop.*Racer"):
            connect("", endpoint)
        with pytest.raises(EditorNotFound, match=r"No running editor is called 'Shooter'. Running: PropShop"):
            connect("Shooter", endpoint)


def test_nobody_there_names_the_settings_to_look_at(endpoint):
    with pytest.raises(EditorNotFound) as caught:
        connect("", endpoint, find_s=0.5)
    for word in ("Enable Remote Execution", "Python Editor Script Plugin", str(endpoint.port), "Multicast"):
        assert word in str(caught.value)


def test_silence_is_a_failure_and_the_session_recovers(editor_56, endpoint):
    with connect("", endpoint) as session:
        with pytest.raises(EditorSilent, match=r"gave no answer within 0.5 s"):
            session.run("import time; time.sleep(1.5)", deadline_s=0.5)
        assert session.run("40 + 2", EVALUATE).result == "42"


def test_editor_that_is_closed_during_a_command_is_noticed(editor_56, endpoint):
    with connect("", endpoint) as session:
        threading.Timer(0.5, editor_56.kill).start()
        with pytest.raises(EditorSilent, match="Was the editor closed"):
            session.run("import time; time.sleep(3000)", deadline_s=2500.0)


def test_command_with_a_missing_field_is_lost_as_in_the_engine(editor_56, endpoint):
    """The endpoint is as unforgiving as the real one, so that our client cannot pass by its kindness."""
    with connect("", endpoint) as session:
        raw = session._connected()
        raw.sendall(Message("command", session._discovery.node_id, session.node.node_id, {"command": "1"}).encode())
        raw.settimeout(0.5)
        with pytest.raises(TimeoutError):
            raw.recv(100)
    assert "a command without" in editor_56.state()["lost_commands"][0]


def test_script_gets_arguments_and_returns_any_size_through_a_file(session, tmp_path):
    folder = tmp_path / "my.py scripts ü"
    folder.mkdir()
    script = folder / "double.py"
    script.write_text(
        "import json\na = json.load(open(ARGUMENTS_PATH, encoding='utf-8'))\n"
        "json.dump({'ok': a['n'] > 0, 'value': a['word'] * a['n'], 'error': 'n is not positive'},"
        " open(a['result_path'], 'w', encoding='utf-8'))\n",
        encoding="utf-8",
    )
    assert session.run_script(script, {"n": 1_000_000, "word": "größe"}) == "größe" * 1_000_000
    with pytest.raises(RemoteCommandFailed, match="n is not positive"):
        session.run_script(script, {"n": 0, "word": ""})


def test_package_is_imported_by_remote_execution(editor, endpoint, golden_package):
    told = []
    value = send_package(
        golden_package, "/Game/Props", "Alpha", endpoint=endpoint, on_progress=lambda f, t: told.append((f, t))
    )
    assert value["findings"] == []
    assert value["mesh_path"] == "/Game/Props/SM_GoldenCrate"
    assert [fraction for fraction, _ in told] == sorted(fraction for fraction, _ in told)
    state = editor.state()
    assert all(asset["saved"] for asset in state["assets"].values())
    assert state["dialogs"] == []
    assert state["tick_callbacks"] == 0, "the import left its tick callback behind"


def test_import_that_is_refused_says_why(editor_56, endpoint, golden_package):
    with pytest.raises(ImportFailed, match="Unreal allows no space in content paths"):
        send_package(golden_package, "/Game/Bad Folder", endpoint=endpoint)
    assert editor_56.state()["assets"] == {}


@pytest.mark.slow
def test_editor_closed_in_the_middle_of_an_import_is_noticed_and_nothing_is_saved(endpoint, golden_package, tmp_path):
    with EditorProcess("5.6", tmp_path / "P", remote_port=endpoint.port) as editor:

        def told(fraction, _title):
            if fraction > 0.3:
                editor.kill()

        with pytest.raises(EditorSilent):
            send_package(golden_package, "/Game/Props", endpoint=endpoint, on_progress=told)
    assert not list((tmp_path / "P").rglob("*.uasset"))
    with EditorProcess("5.6", tmp_path / "P", remote_port=endpoint.port):
        assert send_package(golden_package, "/Game/Props", endpoint=endpoint)["lod_count"] == 3


def test_script_without_arguments_explains_itself(capsys):
    assert send_main([]) == 2
    assert "send_to_editor.py PACKAGE /Game/Props" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("platform", "interfaces", "expected"),
    [
        ("win32", ("127.0.0.1",), "127.0.0.1"),
        ("win32", ("127.0.0.1", "0.0.0.0"), ""),
        ("linux", ("127.0.0.1",), ""),
        ("darwin", ("127.0.0.1",), ""),
    ],
)
def test_bind_address_by_platform(platform, interfaces, expected):
    """Bound to 127.0.0.1, a socket hears the group on Windows and nothing on Linux and macOS."""
    assert bind_address(Endpoint(interfaces=interfaces), platform) == expected


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"version": 1, "magic": "other", "type": "ping", "source": "a"}',
        b'{"version": 2}',
    ],
)
def test_noise_on_the_port_is_not_a_message(raw):
    assert decode(raw) is None


@pytest.mark.parametrize("size", [9_000, 5_000_000])
def test_independent_npm_client_drives_the_endpoint(editor_56, endpoint, size):
    answer = node.remote_execution(endpoint.port, "Alpha", f"'x' * {size}")
    assert answer["success"]
    assert len(answer["result"]) == size + 2


@pytest.mark.parametrize("size", [9_000, 1_000_000])
def test_independent_python_client_drives_the_endpoint(editor_56, endpoint, size):
    pytest.importorskip("upyrc", reason="the independent client upyrc is not installed")
    script = ROOT / "tests" / "referees" / "upyrc_client.py"
    command = [sys.executable, str(script), str(endpoint.port), "Alpha", f"'x' * {size}"]
    for _ in range(3):  # it asks for the connection before it listens for it, and asks once only
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if run.returncode == 0:
            break
    assert run.returncode == 0, run.stderr
    answer = json.loads(run.stdout.splitlines()[-1])
    assert answer["success"]
    assert answer["length"] == size + 2
