"""Uploads, watches and downloads across broken connections: everything arrives once, whole, and where it belongs."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_server.cli import client as client_module
from bridge_server.cli import submission, transfers
from bridge_server.cli.client import ForgeClient
from bridge_server.cli.endpoint import Endpoint
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from bridge_server.errors import ConnectionFailed, InputError, NotFound, StoreError
from tests.cli.broken_server import EVENTS, PACKAGE, BrokenServer, serve


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "FIRST_PAUSE_S", 0.01)


@pytest.fixture
def servicer() -> BrokenServer:
    return BrokenServer(breaks=2)


@pytest.fixture
def client(servicer: BrokenServer) -> Iterator[ForgeClient]:
    with serve(servicer) as address, ForgeClient(Endpoint(address=address)) as connected:
        yield connected


def silent(_name: str, _done: int, _size: int) -> None:
    pass


def test_a_watch_sees_every_event_once_across_reconnections(client: ForgeClient, servicer: BrokenServer) -> None:
    assert [event.sequence for event in client.watch("1")] == list(range(1, EVENTS + 1))
    assert servicer.watched_after == [0, 3, 6]


def test_a_watch_can_begin_in_the_middle(client: ForgeClient, servicer: BrokenServer) -> None:
    servicer.breaks["watch"] = 0
    assert [event.sequence for event in client.watch("1", after=10)] == [11, 12]


def test_a_watch_gives_up_when_the_server_stays_away(servicer: BrokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PATIENCE_S", 0.5)
    with serve(servicer) as address:
        client = ForgeClient(Endpoint(address=address))
        events = client.watch("1")
        assert next(events).sequence == 1
    with client, pytest.raises(ConnectionFailed, match="connection to the server broke"):
        list(events)


def test_an_upload_goes_on_where_it_broke(client: ForgeClient, servicer: BrokenServer, tmp_path: Path) -> None:
    content = os.urandom(3 * transfers.CHUNK_BYTES + 17)
    (tmp_path / "cup.png").write_bytes(content)
    name = transfers.upload_file(client, tmp_path / "cup.png", silent)
    assert bytes(servicer.received[name.removeprefix("uploads/")]) == content
    assert servicer.upload_offsets == [0, transfers.CHUNK_BYTES, 2 * transfers.CHUNK_BYTES]


def test_a_job_is_created_with_one_request_id_however_often_it_is_asked(
    client: ForgeClient, servicer: BrokenServer, tmp_path: Path
) -> None:
    (tmp_path / "cup.png").write_bytes(b"x")
    inputs = submission.parse_inputs(tmp_path / "cup.png", [])
    job = submission.submit(client, inputs, submission.Wish(name="Cup"), silent)
    assert job.name == "jobs/1"
    assert len(servicer.created) == 3
    assert len(set(servicer.created)) == 1


def test_a_package_is_downloaded_whole_across_reconnections(
    client: ForgeClient, servicer: BrokenServer, tmp_path: Path
) -> None:
    placed = transfers.download_job(client, "1", tmp_path / "out", silent)
    assert [path.name for path in placed] == ["export_Cup_UE5", "export_Cup_UE5.zip"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["export_Cup_UE5", "export_Cup_UE5.zip"]
    for path, data in PACKAGE.items():
        if path.startswith("export_"):
            assert (tmp_path / "out" / path).read_bytes() == data
    assert servicer.download_offsets[:3] == [0, 100_000, 200_000]


def test_an_interrupted_download_goes_on_in_the_next_run(
    client: ForgeClient, servicer: BrokenServer, tmp_path: Path
) -> None:
    servicer.breaks["download"] = 0
    half = tmp_path / "out" / ".download-1" / "export_Cup_UE5.zip"
    half.parent.mkdir(parents=True)
    half.write_bytes(PACKAGE["export_Cup_UE5.zip"][:700_000])
    transfers.download_job(client, "1", tmp_path / "out", silent)
    assert (tmp_path / "out" / "export_Cup_UE5.zip").read_bytes() == PACKAGE["export_Cup_UE5.zip"]
    assert 700_000 in servicer.download_offsets


def test_a_file_with_a_wrong_digest_is_fetched_anew(
    client: ForgeClient, servicer: BrokenServer, tmp_path: Path
) -> None:
    servicer.rotten = "export_Cup_UE5.zip"
    transfers.download_job(client, "1", tmp_path, silent)
    digest = hashlib.sha256((tmp_path / "export_Cup_UE5.zip").read_bytes()).hexdigest()
    assert digest == hashlib.sha256(PACKAGE["export_Cup_UE5.zip"]).hexdigest()


def test_a_second_download_replaces_the_first_as_a_whole(
    client: ForgeClient, servicer: BrokenServer, tmp_path: Path
) -> None:
    (tmp_path / "export_Cup_UE5").mkdir()
    (tmp_path / "export_Cup_UE5" / "SM_Cup_LOD7.glb").write_bytes(b"of an older package")
    transfers.download_job(client, "1", tmp_path, silent)
    assert sorted(path.name for path in (tmp_path / "export_Cup_UE5").iterdir()) == ["empty.txt", "report.html"]


@pytest.mark.parametrize("path", ["export_x/../../evil", "export_x/..\\evil", "export_C:/evil"])
def test_a_server_cannot_write_outside_the_folder(
    client: ForgeClient, servicer: BrokenServer, tmp_path: Path, path: str
) -> None:
    servicer.package = {path: b"evil"}
    with pytest.raises(StoreError, match="outside the package"):
        transfers.download_job(client, "1", tmp_path / "out", silent)
    assert [item for item in tmp_path.rglob("*") if item.is_file()] == []


def test_a_job_without_a_package_is_told(client: ForgeClient, servicer: BrokenServer, tmp_path: Path) -> None:
    servicer.package = {"thumbnail.png": b"png"}
    with pytest.raises(NotFound, match="no package"):
        transfers.download_job(client, "1", tmp_path, silent)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_told(client: ForgeClient, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        transfers.download_job(client, "1", tmp_path / "out", silent)


def test_an_output_folder_that_is_a_file_is_told(client: ForgeClient, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="--out"):
        transfers.download_job(client, "1", tmp_path / "out", silent)


def test_a_server_that_never_answers_is_exit_code_3(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "CONNECT_LIMIT_S", 0.5)
    assert run(["jobs", "--server", "127.0.0.1:9"]) == ExitCode.UNREACHABLE
    assert "127.0.0.1:9" in capsys.readouterr().err


def test_another_service_behind_the_address_is_told(servicer: BrokenServer, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(servicer) as address:
        assert run(["jobs", "--server", address]) == ExitCode.UNREACHABLE
    assert "no Open3DForge server of this version" in capsys.readouterr().err


def test_reading_a_folder_as_a_file_is_told(client: ForgeClient, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        transfers.upload_file(client, tmp_path, silent)


def test_an_empty_file_is_sent_for_the_server_to_judge(
    client: ForgeClient, servicer: BrokenServer, tmp_path: Path
) -> None:
    (tmp_path / "empty.png").touch()
    transfers.upload_file(client, tmp_path / "empty.png", silent)
    assert [bytes(data) for data in servicer.received.values()] == [b""]
