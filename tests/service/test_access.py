"""Who may call: tokens, users, TLS; and what a server refuses to start with."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from open3dforge.v1 import jobs_pb2, server_pb2, transfers_pb2

from bridge_server.__main__ import main
from bridge_server.errors import Conflict
from tests.service.calls import TIMEOUT_S, Calls, told
from tests.service.conftest import Serve

ROOT = Path(__file__).resolve().parents[2]

ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdefgh"


@pytest.fixture
def address(serve: Serve, tmp_path: Path) -> str:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'alice = "{ALICE}"\nbob = "{BOB}"\n')
    return serve(tokens_file=tokens).address


@pytest.mark.parametrize("token", ["", "wrong-0123456789abcdef", ALICE[:-1], ALICE + "x", ALICE.upper()])
def test_a_call_without_the_right_token_is_refused(address: str, connect: Callable[..., Calls], token: str) -> None:
    calls = connect(address, token)
    attempts: list[Callable[[], object]] = [
        lambda: calls.create(upload="uploads/none"),
        lambda: list(calls.watch("jobs/000000000000")),
        lambda: calls.upload(b"x"),
        lambda: calls.server.GetServerInfo(server_pb2.GetServerInfoRequest(), metadata=calls.metadata),
    ]
    for attempt in attempts:
        with pytest.raises(grpc.RpcError) as refused:
            attempt()
        code, reason, metadata = told(refused.value)
        assert (code, reason) == (grpc.StatusCode.UNAUTHENTICATED, "ACCESS_DENIED")
        assert "OPEN3DFORGE_TOKEN" in metadata["remedy"]


def test_a_token_that_is_no_bearer_token_is_refused(address: str, connect: Callable[..., Calls]) -> None:
    calls = Calls(connect(address).channel, (("authorization", f"Basic {ALICE}"),))
    with pytest.raises(grpc.RpcError) as refused:
        calls.server.GetServerInfo(server_pb2.GetServerInfoRequest(), metadata=calls.metadata)
    assert told(refused.value)[0] == grpc.StatusCode.UNAUTHENTICATED


def test_health_answers_without_a_token(address: str, connect: Callable[..., Calls]) -> None:
    stub = health_pb2_grpc.HealthStub(connect(address).channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service="open3dforge.v1.JobService"), timeout=TIMEOUT_S)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_users_do_not_see_each_other(address: str, connect: Callable[..., Calls]) -> None:
    alice, bob = connect(address, ALICE), connect(address, BOB)
    upload = alice.upload(b"mine", upload_id="mine-1")
    request = jobs_pb2.CreateJobRequest(
        request_id="r", spec=jobs_pb2.JobSpec(preset="toy", photos=[{"upload": upload}])
    )
    job = alice.jobs.CreateJob(request, metadata=alice.metadata).job
    assert job.user == "alice"
    for attempt in (
        lambda: bob.jobs.GetJob(jobs_pb2.GetJobRequest(name=job.name), metadata=bob.metadata),
        lambda: bob.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=job.name), metadata=bob.metadata),
        lambda: bob.jobs.DeleteJob(jobs_pb2.DeleteJobRequest(name=job.name), metadata=bob.metadata),
        lambda: bob.jobs.RetryJob(jobs_pb2.RetryJobRequest(name=job.name), metadata=bob.metadata),
        lambda: list(bob.jobs.WatchJob(jobs_pb2.WatchJobRequest(name=job.name), metadata=bob.metadata)),
        lambda: bob.transfers.GetUpload(transfers_pb2.GetUploadRequest(name=upload), metadata=bob.metadata),
        lambda: bob.jobs.CreateJob(request, metadata=bob.metadata),
        lambda: bob.transfers.ListArtifacts(transfers_pb2.ListArtifactsRequest(parent=job.name), metadata=bob.metadata),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            attempt()
        assert told(refused.value)[1] == "NOT_FOUND"
    assert not bob.jobs.ListJobs(jobs_pb2.ListJobsRequest(), metadata=bob.metadata).jobs


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_tls_with_a_token(serve: Serve, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", key, "-out", certificate, "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    address = serve(tls_certificate=certificate, tls_key=key, token=ALICE).address
    request = server_pb2.GetServerInfoRequest()
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(certificate.read_bytes())) as channel:
        calls = Calls(channel, (("authorization", f"Bearer {ALICE}"),))
        info = calls.server.GetServerInfo(request, metadata=calls.metadata, timeout=TIMEOUT_S)
        assert info.quota.user == "owner"
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError):
        Calls(channel).server.GetServerInfo(request, timeout=TIMEOUT_S)


def test_a_port_in_use_is_told(serve: Serve, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(Conflict) as refused:
            serve(port=taken.getsockname()[1])
        assert refused.value.reason == "ADDRESS_IN_USE"
    serve()  # the data folder is free again


def test_a_second_server_on_the_same_data_is_refused(serve: Serve, tmp_path: Path) -> None:
    serve()
    command = [sys.executable, "-m", "tests.service.toy", str(tmp_path / "data"), "0"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, cwd=ROOT)
    assert second.returncode != 0
    assert "another server uses this data folder" in second.stderr


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--host", "0.0.0.0"], "there is no TLS"),
        (["--port", "99999"], "must be 0 to 65535"),
        (["--config", "/nowhere/server.toml"], "/nowhere/server.toml"),
    ],
)
def test_the_command_refuses_unsafe_and_wrong_settings(
    arguments: list[str], part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(tmp_path / "data"), *arguments]) == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
