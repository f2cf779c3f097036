"""What goes wrong between editor and server, on all versions: each with a message that says what to do."""

import json
import shutil
import stat
import subprocess
import time

import pytest
from open3dforge.v1 import jobs_pb2

from bridge_server.service.server import start_server
from bridge_server.settings import load_settings
from tests.unreal.crate_server import GOLDEN, CrateWorkshop
from tests.unreal.test_import import check_asset, manifest_of
from tests.unreal.test_plugin import PHOTO, check_quiet
from tests.unreal.workplace import MESH, TOOLS, CrateServer, free_port

pytestmark = pytest.mark.slow
TOKEN = "the-right-token-of-tests"
STEPS_TO = """
from open3dforge_editor import startup
forge = startup.RUNNING[0].forge
job = startup.RUNNING[0].actions.jobs.jobs[0]
forge.import_package(job)
running = forge._importing[1]
while not job.stage.startswith({stage!r}):
    running._tick(0.0)
for _ in range({more}):
    running._tick(0.0)
job.stage
"""


def nothing_imported(state):
    """Only what was there before: the picture, and the tab's own widget."""
    ours = [
        path
        for path in state["assets"]
        if path not in ("/Game/Photos/T_Cup", "/Game/Open3DForge/Editor/EUW_Open3DForge")
    ]
    assert ours == []
    assert state["violations"] == []
    assert state["dialogs"] == []


def test_server_away(version, open_editor, server):
    address = server.address
    server.kill()
    editor = open_editor(version, server=address)
    assert "Start one with `./forge serve`" in editor.status("No Open3DForge server answers at " + address)
    editor.forge(editor.import_texture(PHOTO))
    failed = editor.wait_for_job("failed")
    assert f"No Open3DForge server answers at {address}. Start one with `./forge serve`" in failed["message"]
    nothing_imported(editor.state())
    server.start()
    editor.press("Retry")
    editor.wait_for_job("done")
    check_quiet(editor.state())


def test_server_killed_in_the_middle_and_started_again(version, open_editor, server):
    editor = open_editor(version, server=server.address)
    editor.forge(editor.import_texture(PHOTO), overrides="export.seconds=1")
    editor.wait_for_job("running", until=lambda line: "generate" in line)
    server.kill()
    editor.wait_for_job("running", until=lambda line: "Connection lost, trying again in" in line)
    server.start()
    done = editor.wait_for_job("done", seconds=40)
    assert "lost" not in done["line"]
    assert len(server.jobs()) == 1
    state = editor.state()
    check_asset(state, manifest_of(GOLDEN))
    check_quiet(state)


def test_server_killed_for_good(open_editor, server):
    editor = open_editor(server=server.address)
    editor.forge(editor.import_texture(PHOTO), overrides="export.seconds=1")
    editor.wait_for_job("running")
    server.kill()
    failed = editor.wait_for_job("failed", seconds=40)
    assert "Start one with `./forge serve`" in failed["message"]
    assert "Retry goes on with it" in failed["message"]
    nothing_imported(editor.state())
    server.start()
    editor.press("Retry")
    editor.wait_for_job("done", seconds=40)
    assert [job.state for job in server.jobs()] == [jobs_pb2.JOB_STATE_SUCCEEDED]
    check_quiet(editor.state())


def test_editor_closed_while_the_server_works(version, open_editor, server, tmp_path):
    editor = open_editor(version, server=server.address)
    editor.forge(editor.import_texture(PHOTO), overrides="export.seconds=0.7")
    name = editor.wait_for_job("running")["server_name"]
    editor.close()
    assert editor.exit_status == 0  # one that hangs is killed
    again = open_editor(version, server=server.address)  # follows what the closed one sent off
    assert again.wait_for_job("ready to import")["server_name"] == name
    nothing_imported(again.state())
    again.press("Import")
    again.wait_for_job("done")
    check_asset(again.state(), manifest_of(GOLDEN))
    check_quiet(again.state())


def test_jobs_of_earlier_sessions_are_remembered(open_editor, server, tmp_path):
    editor = open_editor(server=server.address)
    texture = editor.import_texture(PHOTO)
    editor.forge(texture)
    editor.wait_for_job("done")
    editor.forge(texture, asset_name="Second", overrides="export.fail=1")
    editor.wait_for_job("failed")
    before = editor.jobs()
    editor.close()
    server.kill()
    again = open_editor(server=server.address)
    assert again.jobs() == before
    server.start()
    again.press("Retry")
    again.wait_for_job("done")
    again.close()
    (history,) = tmp_path.glob("**/Saved/Open3DForge/jobs.json")
    history.write_text("{ broken", encoding="utf-8")
    assert open_editor(server=server.address).jobs() == []


def test_editor_closed_before_the_server_had_taken_the_job(open_editor, server, tmp_path):
    editor = open_editor(server=server.address)
    editor.forge(editor.import_texture(PHOTO), import_when_done=False)
    editor.wait_for_job("ready to import")
    editor.close()
    (history,) = tmp_path.glob("**/Saved/Open3DForge/jobs.json")
    remembered = json.loads(history.read_text(encoding="utf-8"))
    remembered["jobs"][0] |= {"phase": "sending", "server_name": "", "package": ""}
    history.write_text(json.dumps(remembered), encoding="utf-8")
    again = open_editor(server=server.address)
    failed = again.wait_for_job("failed")
    assert failed["message"] == "The editor was closed before the server had taken the job: press Retry."
    again.press("Retry")
    again.wait_for_job("ready to import")


@pytest.mark.parametrize(("stage", "more"), [("LOD1", 0), ("Saving", 2)])
def test_editor_closed_in_the_middle_of_the_import(version, open_editor, server, stage, more):
    editor = open_editor(version, server=server.address)
    editor.forge(editor.import_texture(PHOTO), import_when_done=False)
    editor.wait_for_job("ready to import")
    assert editor.ask("python", code=STEPS_TO.format(stage=stage, more=more)).startswith(stage)
    editor.close()
    assert editor.exit_status == 0
    nothing_imported(open_editor(version).state())


def test_shutdown_leaves_no_threads_hanging(open_editor, server):
    editor = open_editor(server=server.address)
    texture = editor.import_texture(PHOTO)
    for _ in range(3):
        editor.forge(texture, overrides="export.seconds=3000")
    editor.wait_for_phases("queued", "running", "running")
    editor.close()
    assert editor.exit_status == 0  # one that hangs is killed


@pytest.mark.parametrize("token", ["", "the-wrong-token-of-tests"])
def test_token_wrong(version, open_editor, tmp_path, token):
    server = CrateServer(tmp_path / "data", token=TOKEN)
    try:
        editor = open_editor(version, server=server.address, token=token)
        assert "set it in the settings" in editor.status("does not accept the token")
        editor.forge(editor.import_texture(PHOTO))
        failed = editor.wait_for_job("failed")
        assert f"{server.address} does not accept the token. Ask whoever runs the server" in failed["message"]
        editor.ask("answer", answer={"token": TOKEN})
        editor.ask("click", menu=TOOLS, label="Open3DForge settings")
        editor.status("Connected")
        assert stat.S_IMODE(editor.settings_file.stat().st_mode) == 0o600
        editor.press("Retry")
        editor.wait_for_job("done")
        check_quiet(editor.state())
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"preset": "prop_UE5_standart"}, ["prop_UE5_standart", "prop_UE5_standard"]),
        ({"asset_name": "7 cups!"}, ["asset name '7 cups!'", "letters, digits and _ are taken", "Use "]),
        ({"destination": "/Game/Bad Folder"}, ["/Game/Bad Folder", "Unreal allows no space"]),
    ],
)
def test_request_that_cannot_be_met(version, open_editor, server, answer, words):
    editor = open_editor(version, server=server.address)
    editor.forge(editor.import_texture(PHOTO), **answer)
    failed = editor.wait_for_job("failed")
    assert all(word in failed["message"] for word in words), failed
    nothing_imported(editor.state())


def test_job_that_fails_at_the_server_is_retried(version, open_editor, server):
    editor = open_editor(version, server=server.address)
    editor.forge(editor.import_texture(PHOTO), overrides="export.fail=1")
    failed = editor.wait_for_job("failed")
    assert failed["message"] == "export: the crate broke. Glue it and retry."
    nothing_imported(editor.state())
    editor.press("Retry")
    editor.wait_for_job("done")
    assert len(server.jobs()) == 1
    check_asset(editor.state(), manifest_of(GOLDEN))
    check_quiet(editor.state())


def test_cancel_while_the_server_works(version, open_editor, server):
    editor = open_editor(version, server=server.address)
    editor.forge(editor.import_texture(PHOTO), overrides="export.seconds=20")
    editor.wait_for_job("running")
    editor.press("Cancel")
    editor.wait_for_job("cancelled")
    assert [job.state for job in server.jobs()] == [jobs_pb2.JOB_STATE_CANCELLED]
    nothing_imported(editor.state())
    check_quiet(editor.state())


def test_cancel_before_the_server_has_answered(open_editor, server):
    editor = open_editor(server=server.address)
    texture = editor.import_texture(PHOTO)
    editor.open_tab()
    editor.forge(texture, overrides="export.seconds=20")
    editor.ask("press", button="CancelButton")
    editor.wait_for_job("cancelled")
    running = (jobs_pb2.JOB_STATE_QUEUED, jobs_pb2.JOB_STATE_RUNNING)
    end = time.monotonic() + 5
    while any(job.state in running for job in server.jobs()):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_cancel_in_the_middle_of_the_import(version, open_editor, server):
    editor = open_editor(version, server=server.address)
    editor.forge(editor.import_texture(PHOTO), import_when_done=False)
    editor.wait_for_job("ready to import")
    editor.ask("python", code=STEPS_TO.format(stage="LOD2", more=0) + "\nstartup.RUNNING[0].actions.cancel_latest()")
    assert "nothing of it is left" in editor.wait_for_job("cancelled")["message"]
    nothing_imported(editor.state())
    editor.press("Retry")
    editor.wait_for_job("done")
    check_asset(editor.state(), manifest_of(GOLDEN))


def test_import_that_fails_says_why_and_is_retried(version, open_editor, server):
    editor = open_editor(version, server=server.address)
    texture = editor.import_texture(PHOTO)
    editor.ask("fail_next", name="SM_GoldenCrate.glb")
    editor.forge(texture)
    failed = editor.wait_for_job("failed")
    assert "Unreal made no static mesh called SM_GoldenCrate" in failed["message"]
    assert "the plugins Interchange" in failed["message"]
    nothing_imported(editor.state())
    editor.press("Retry")
    editor.wait_for_job("done")
    assert MESH in editor.state()["assets"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_tls_server_is_reached_with_its_authority_and_not_without(open_editor, tmp_path):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    settings = load_settings(
        environment={}, data=tmp_path / "d", port=0, token=TOKEN, tls_certificate=certificate, tls_key=key
    )
    running = start_server(settings, CrateWorkshop())
    try:
        editor = open_editor(server=running.address, token=TOKEN)
        editor.status("No Open3DForge server answers")
        editor.ask("answer", answer={"certificate": str(certificate)})
        editor.ask("click", menu=TOOLS, label="Open3DForge settings")
        editor.status("Connected")
        editor.forge(editor.import_texture(PHOTO))
        editor.wait_for_job("done")
        # The wrong authority.
        other = certificate.with_name("other.pem")
        command[-1], command[-3] = str(other), str(tmp_path / "other_key.pem")
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        editor.ask("answer", answer={"certificate": str(other)})
        editor.ask("click", menu=TOOLS, label="Open3DForge settings")
        assert "Set 'Certificate authority' to the PEM file" in editor.status("the secure connection failed")
    finally:
        running.stop(1.0)


def test_address_of_another_machine_is_never_spoken_to_unencrypted(open_editor):
    editor = open_editor(server="127.0.0.1:1")
    editor.status("No Open3DForge server answers")
    code = "from open3dforge_editor.contract import is_loopback; [is_loopback({!r}) for _ in '1'][0]"
    for address, wanted in (
        ("127.0.0.1:50551", True),
        ("localhost:50551", True),
        ("[::1]:50551", True),
        ("192.168.1.5:50551", False),
        ("forge.example:50551", False),
        ("127.0.0.1.example:50551", False),
    ):
        assert editor.ask("python", code=code.format(address)) is wanted, address


def test_certificate_that_is_not_there(open_editor, server):
    editor = open_editor(server=f"127.0.0.1:{free_port()}", certificate="/nowhere/ca.pem")
    assert "Set the right certificate file" in editor.status("/nowhere/ca.pem")
