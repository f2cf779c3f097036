"""Files in and out: resumed at any byte, believed only with the right digest, never outside their folder."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from open3dforge.v1 import jobs_pb2, transfers_pb2

from bridge_server.jobs import uploads as uploads_module
from tests.service.calls import TIMEOUT_S, Calls, told, upload_messages
from tests.service.conftest import Serve

DATA = bytes(range(251)) * 40


def header(**changes: object) -> transfers_pb2.UploadHeader:
    fields = {
        "upload_id": "upload-1",
        "file_name": "cup.png",
        "size_bytes": len(DATA),
        "sha256": hashlib.sha256(DATA).hexdigest(),
    }
    return transfers_pb2.UploadHeader(**{**fields, **changes})


def get(calls: Calls, name: str = "uploads/upload-1") -> transfers_pb2.Upload:
    return calls.transfers.GetUpload(transfers_pb2.GetUploadRequest(name=name), timeout=TIMEOUT_S).upload


def send(calls: Calls, messages: Iterator[transfers_pb2.UploadFileRequest]) -> transfers_pb2.Upload:
    return calls.transfers.UploadFile(messages, timeout=TIMEOUT_S).upload


def kept(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "data" / "uploads").iterdir())


def test_a_file_arrives_whole(calls: Calls, tmp_path: Path) -> None:
    upload = send(calls, upload_messages(header(), DATA))
    assert (upload.complete, upload.received_bytes, upload.file_name) == (True, len(DATA), "cup.png")
    assert [path.read_bytes() for path in kept(tmp_path)] == [DATA]
    again = send(calls, upload_messages(header(), DATA))
    assert again.complete, "sending a finished upload again is harmless"


def test_an_empty_file_arrives_and_no_job_takes_it(calls: Calls) -> None:
    name = calls.upload(b"", upload_id="empty-file")
    with pytest.raises(grpc.RpcError) as refused:
        calls.create(upload=name)
    assert told(refused.value)[1] == "BAD_INPUT"


def test_a_broken_upload_is_resumed_where_it_broke(calls: Calls) -> None:
    with pytest.raises(grpc.RpcError) as incomplete:
        send(calls, upload_messages(header(), DATA[:3333]))
    assert told(incomplete.value)[1] == "UPLOAD_INCOMPLETE"
    assert (get(calls).received_bytes, get(calls).complete) == (3333, False)
    with pytest.raises(grpc.RpcError) as early:
        calls.create(upload="uploads/upload-1")
    assert told(early.value)[1] == "UPLOAD_INCOMPLETE"
    with pytest.raises(grpc.RpcError) as wrong:
        send(calls, upload_messages(header(offset_bytes=100), DATA[100:]))
    assert told(wrong.value)[1] == "WRONG_OFFSET"
    assert "3333" in told(wrong.value)[2]["remedy"]
    upload = send(calls, upload_messages(header(offset_bytes=3333), DATA[3333:]))
    assert upload.complete


def test_an_upload_survives_the_server(serve: Serve, connect: Callable[..., Calls]) -> None:
    first = serve()
    with pytest.raises(grpc.RpcError):
        send(connect(first.address), upload_messages(header(), DATA[:4000]))
    first.stop()
    calls = connect(serve().address)
    assert get(calls).received_bytes == 4000
    assert send(calls, upload_messages(header(offset_bytes=4000), DATA[4000:])).complete


def test_a_wrong_digest_is_refused_and_the_file_removed(calls: Calls, tmp_path: Path) -> None:
    flipped = bytes([DATA[0] ^ 1]) + DATA[1:]
    with pytest.raises(grpc.RpcError) as refused:
        send(calls, upload_messages(header(), flipped))
    assert told(refused.value)[:2] == (grpc.StatusCode.INVALID_ARGUMENT, "WRONG_DIGEST")
    assert kept(tmp_path) == []
    with pytest.raises(grpc.RpcError) as gone:
        get(calls)
    assert told(gone.value)[1] == "NOT_FOUND"


@pytest.mark.parametrize(
    "changes",
    [
        {"upload_id": "../../evil"},
        {"upload_id": ""},
        {"upload_id": "a" * 65},
        {"file_name": "../evil.png"},
        {"file_name": "a/b.png"},
        {"file_name": "C:\\evil.png"},
        {"file_name": "evil\0.png"},
        {"file_name": ".."},
        {"file_name": ""},
        {"file_name": "x" * 256},
        {"sha256": "abc"},
        {"size_bytes": -1},
        {"size_bytes": 2 << 20},
    ],
)
def test_bad_announcements_are_refused(shared: tuple[Calls, Path], changes: dict[str, object]) -> None:
    calls, data = shared
    before = list((data / "uploads").iterdir())
    with pytest.raises(grpc.RpcError) as refused:
        send(calls, upload_messages(header(**changes), DATA))
    assert told(refused.value)[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert list((data / "uploads").iterdir()) == before


def test_more_than_announced_is_refused(calls: Calls) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        send(calls, upload_messages(header(size_bytes=100), DATA))
    assert told(refused.value)[1] == "TOO_LARGE"
    assert get(calls).received_bytes <= 100


def test_another_file_under_the_same_id_is_a_conflict(calls: Calls) -> None:
    send(calls, upload_messages(header(), DATA))
    with pytest.raises(grpc.RpcError) as refused:
        send(calls, upload_messages(header(size_bytes=5), DATA[:5]))
    assert told(refused.value)[1] == "CONFLICT"


def test_all_uploads_of_a_user_together_are_limited(serve: Serve, connect: Callable[..., Calls]) -> None:
    calls = connect(serve(upload_mib=1, upload_total_mib=1).address)
    calls.upload(b"x" * 600_000, chunk_bytes=100_000)
    with pytest.raises(grpc.RpcError) as refused:
        calls.upload(b"y" * 600_000, chunk_bytes=100_000)
    assert told(refused.value)[1] == "TOO_LARGE"


def test_messages_without_a_header_are_refused(calls: Calls) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        send(calls, iter([transfers_pb2.UploadFileRequest(chunk=b"x")]))
    assert told(refused.value)[0] == grpc.StatusCode.INVALID_ARGUMENT
    with pytest.raises(grpc.RpcError) as silent:
        send(calls, iter([]))
    assert told(silent.value)[0] == grpc.StatusCode.INVALID_ARGUMENT


def test_a_full_disk_keeps_what_arrived(calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(grpc.RpcError):
        send(calls, upload_messages(header(), b""))
    (path,) = kept(tmp_path)
    path.unlink()
    path.symlink_to(full)
    with pytest.raises(grpc.RpcError) as refused:
        send(calls, upload_messages(header(), DATA))
    assert told(refused.value)[:2] == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL")
    path.unlink()
    assert send(calls, upload_messages(header(), DATA)).complete
    monkeypatch.setattr(uploads_module, "RESERVE_BYTES", 1 << 62)
    with pytest.raises(grpc.RpcError) as early:
        calls.upload(b"more")
    assert told(early.value)[1] == "DISK_FULL"


def test_artifacts_are_listed_and_downloaded_from_any_offset(calls: Calls) -> None:
    job = calls.finish(calls.create().name)
    listed, token = [], ""
    while True:
        request = transfers_pb2.ListArtifactsRequest(parent=job.name, page_size=2, page_token=token)
        page = calls.transfers.ListArtifacts(request)
        listed += page.artifacts
        token = page.next_page_token
        if not token:
            break
    paths = [artifact.path for artifact in listed]
    assert paths == ["export_Cup_UE5/big.bin", "export_Cup_UE5/report.html", "thumbnail.png"]
    assert listed[2].media_type == "image/png"
    whole = bytes(range(256)) * 4000
    for offset in (0, 1, 300_000, len(whole)):
        request = transfers_pb2.DownloadArtifactRequest(name=listed[0].name, offset_bytes=offset)
        first, *rest = calls.transfers.DownloadArtifact(request, timeout=TIMEOUT_S)
        assert first.artifact.size_bytes == len(whole)
        assert first.artifact.sha256 == hashlib.sha256(whole).hexdigest()
        assert b"".join(message.chunk for message in rest) == whole[offset:]
    with pytest.raises(grpc.RpcError) as refused:
        list(
            calls.transfers.DownloadArtifact(
                transfers_pb2.DownloadArtifactRequest(name=listed[0].name, offset_bytes=len(whole) + 1)
            )
        )
    assert told(refused.value)[1] == "OUT_OF_RANGE"


@pytest.mark.parametrize(
    "path", ["../inputs/0", "../../../jobs.sqlite3", "/etc/passwd", "inputs/0", "export_Cup_UE5", "", "%2e%2e/x"]
)
def test_nothing_but_artifacts_can_be_downloaded(shared: tuple[Calls, Path], path: str) -> None:
    calls, _ = shared
    job = calls.finish(calls.create(request_id="shared", upload=calls.upload(b"a photo", upload_id="shared")).name)
    request = transfers_pb2.DownloadArtifactRequest(name=f"{job.name}/artifacts/{path}")
    with pytest.raises(grpc.RpcError) as refused:
        list(calls.transfers.DownloadArtifact(request, timeout=TIMEOUT_S))
    assert told(refused.value)[0] in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)


def test_a_failed_job_leaves_no_artifacts_and_nothing_half_written(calls: Calls, tmp_path: Path) -> None:
    job = calls.finish(calls.create("disk_full=1").name)
    assert job.state == jobs_pb2.JOB_STATE_FAILED
    assert not calls.transfers.ListArtifacts(transfers_pb2.ListArtifactsRequest(parent=job.name)).artifacts
    assert not (tmp_path / "data" / "jobs" / job.name.removeprefix("jobs/") / "package").exists()
