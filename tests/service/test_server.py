"""The server about itself, and its start, stop and death."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from open3dforge.v1 import catalogue_pb2, jobs_pb2, server_pb2

from bridge_server import errors
from bridge_server.service.discovery import discover
from bridge_server.service.status import STATUS_CODES, status_of
from tests.service.calls import TIMEOUT_S, Calls, told
from tests.service.conftest import Serve

ROOT = Path(__file__).resolve().parents[2]
QUEUED, RUNNING, SUCCEEDED, FAILED = (
    jobs_pb2.JOB_STATE_QUEUED,
    jobs_pb2.JOB_STATE_RUNNING,
    jobs_pb2.JOB_STATE_SUCCEEDED,
    jobs_pb2.JOB_STATE_FAILED,
)


@contextmanager
def process(data: Path, port: int = 0) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A toy server as a process of its own, and its address."""
    command = [sys.executable, "-m", "tests.service.toy", str(data), str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("open3dforge listening on 127.0.0.1:"), line
        yield server, line.split()[-1]
    finally:
        if server.poll() is None:
            server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def wait_for_stage(calls: Calls, name: str, stage: str) -> None:
    for event in calls.watch(name):
        if event.stage_progressed.stage == stage:
            return
    pytest.fail("the stage never ran")


def killing(
    server: subprocess.Popen[str], stage: str, events: Iterator[jobs_pb2.JobEvent]
) -> Iterator[jobs_pb2.JobEvent]:
    """Pass events on and kill the server once the stage has begun."""
    for event in events:
        yield event
        if event.stage_started.stage == stage:
            server.send_signal(signal.SIGKILL)


def runs(data: Path, name: str) -> list[str]:
    return (data / "jobs" / name.removeprefix("jobs/") / "runs.txt").read_text().split()


def test_a_server_killed_in_the_middle_of_a_stage_finishes_the_job(
    tmp_path: Path, connect: Callable[..., Calls]
) -> None:
    """The issue's own words: the watcher that reconnects sees every event once."""
    data = tmp_path / "data"
    events: list[jobs_pb2.JobEvent] = []
    with process(data) as (server, address):
        calls = connect(address)
        name = calls.create("seconds=0.4").name
        with pytest.raises(grpc.RpcError):
            events.extend(killing(server, "generate", calls.watch(name)))
    seen_before = len(events)
    with process(data, int(address.rpartition(":")[2])) as (_, address):
        calls = connect(address)
        events += calls.watch(name, after=events[-1].sequence)
        job = calls.get(name)
        assert list(calls.watch(name)) == events
    assert job.state == SUCCEEDED
    assert job.attempt == 2
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert any(event.HasField("job_resumed") for event in events[seen_before:])
    assert runs(data, name) == ["matte", "generate", "generate", "export"], "finished stages do not run again"
    assert job.stages[0].cached


@pytest.mark.slow
def test_a_job_that_kills_the_server_three_times_fails(tmp_path: Path, connect: Callable[..., Calls]) -> None:
    data = tmp_path / "data"
    name = ""
    for _ in range(3):
        with process(data) as (server, address):
            calls = connect(address)
            name = name or calls.create("seconds=30").name
            wait_for_state(calls, name, RUNNING)
            server.send_signal(signal.SIGKILL)
            server.wait()
    with process(data) as (_, address):
        calls = connect(address)
        job = calls.get(name)
        assert (job.state, job.error.code) == (FAILED, "SERVER_CRASHED")
        assert "3 times" in job.error.message
        calls.jobs.RetryJob(jobs_pb2.RetryJobRequest(name=name))
        wait_for_state(calls, name, RUNNING)
        calls.jobs.CancelJob(jobs_pb2.CancelJobRequest(name=name))


def wait_for_state(calls: Calls, name: str, state: int) -> None:
    deadline = time.monotonic() + 5
    while calls.get(name).state != state:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a process can answer")
def test_a_server_told_to_stop_puts_its_job_back(tmp_path: Path, connect: Callable[..., Calls]) -> None:
    data = tmp_path / "data"
    with process(data) as (server, address):
        assert discover(data) is not None
        assert json.loads((data / "server.json").read_text())["address"] == address
        calls = connect(address)
        name = calls.create("seconds=0.4").name
        wait_for_stage(calls, name, "matte")
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
    assert not (data / "server.json").exists()
    with process(data) as (_, address):
        calls = connect(address)
        resumed = [event.job_resumed for event in calls.watch(name) if event.HasField("job_resumed")]
        assert [each.crashes for each in resumed] == [0]
        assert calls.get(name).state == SUCCEEDED


def test_a_watcher_is_told_when_the_server_stops(serve: Serve, connect: Callable[..., Calls]) -> None:
    running = serve()
    calls = connect(running.address)
    name = calls.create("seconds=3000").name
    seen: list[jobs_pb2.JobEvent] = []
    ended: list[grpc.RpcError] = []

    def follow() -> None:
        try:
            seen.extend(calls.watch(name))
        except grpc.RpcError as error:
            ended.append(error)

    watcher = threading.Thread(target=follow)
    watcher.start()
    wait_for_state(calls, name, RUNNING)
    running.stop(grace_s=5.0)
    watcher.join(20)
    assert told(ended[0])[:2] == (grpc.StatusCode.UNAVAILABLE, "CONNECTION_FAILED")
    assert seen[-2].HasField("job_resumed")
    assert seen[-1].state_changed.state == QUEUED


def test_reflection_describes_the_contract(calls: Calls) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(calls.channel)
    ask = reflection_pb2.ServerReflectionRequest
    (listed,) = stub.ServerReflectionInfo(iter([ask(list_services="")]), timeout=TIMEOUT_S)
    names = {service.name for service in listed.list_services_response.service}
    wanted = {f"open3dforge.v1.{name}Service" for name in ("Job", "Transfer", "Catalogue", "Server")}
    assert wanted | {"grpc.health.v1.Health"} <= names
    (described,) = stub.ServerReflectionInfo(
        iter([ask(file_containing_symbol="open3dforge.v1.JobService")]), timeout=TIMEOUT_S
    )
    file = FileDescriptorProto.FromString(described.file_descriptor_response.file_descriptor_proto[0])
    assert file.service[0].name == "JobService"


def test_server_info_metrics_and_diagnostics(serve: Serve, connect: Callable[..., Calls], tmp_path: Path) -> None:
    calls = connect(serve(gpu_seconds_a_day=60.0, upload_mib=7).address)
    calls.finish(calls.create("gpu=1").name)
    info = calls.server.GetServerInfo(server_pb2.GetServerInfoRequest(), timeout=TIMEOUT_S)
    assert info.version
    assert info.devices[0].device == "cpu"
    assert info.devices[0].cores >= 1
    assert info.devices[0].memory_bytes > 1 << 28
    assert info.limits.upload_bytes == 7 << 20
    assert (info.quota.limited, info.quota.limit_gpu_seconds, info.quota.used_gpu_seconds) == (True, 60.0, 30.0)
    assert info.quota.user == "local"
    assert info.quota.reset_time.ToDatetime().hour == 0
    metrics = calls.server.GetMetrics(server_pb2.GetMetricsRequest(), timeout=TIMEOUT_S).text
    assert 'open3dforge_jobs{state="succeeded"} 1' in metrics.splitlines()
    found = calls.server.GetDiagnostics(server_pb2.GetDiagnosticsRequest(), timeout=TIMEOUT_S).diagnostics
    subjects = {finding.subject for finding in found}
    assert {"data folder", "disk space", "raycaster embree", "weights u2netp"} <= subjects
    not_ok = [finding for finding in found if finding.status != server_pb2.DIAGNOSTIC_STATUS_OK]
    assert all(finding.detail for finding in not_ok)


def test_the_catalogue_lists_what_is_there(calls: Calls) -> None:
    backends = calls.catalogue.ListBackends(catalogue_pb2.ListBackendsRequest(kind="raycaster")).backends
    assert {backend.kind for backend in backends} == {"raycaster"}
    assert sum(backend.chosen for backend in backends) <= 1
    assert all(backend.detail or backend.remedy for backend in backends if not backend.available)
    generators = calls.catalogue.ListGenerators(catalogue_pb2.ListGeneratorsRequest()).generators
    assert [each.available for each in generators if each.backend == "mesh"] == [True]
    with pytest.raises(grpc.RpcError) as refused:
        calls.catalogue.ListBackends(catalogue_pb2.ListBackendsRequest(kind="nonsense"))
    assert told(refused.value)[1] == "NOT_FOUND"
    with pytest.raises(grpc.RpcError) as missing:
        calls.catalogue.GetPreset(catalogue_pb2.GetPresetRequest(name="presets/none"))
    assert told(missing.value)[1] == "NOT_FOUND"
    with pytest.raises(grpc.RpcError) as wrong:
        calls.catalogue.SavePreset(catalogue_pb2.SavePresetRequest(document="{not json"))
    assert told(wrong.value)[1] == "BAD_PRESET"


def every_error() -> Iterator[type[errors.ForgeError]]:
    pending = [errors.ForgeError]
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if kind.__module__ == errors.__name__:
            yield kind


@pytest.mark.parametrize("kind", list(every_error()), ids=lambda kind: kind.__name__)
def test_every_error_has_a_line_in_the_table(kind: type[errors.ForgeError]) -> None:
    error = kind("m" * 5000, subject="s" * 2000, remedy="r" * 2000)
    status = status_of(error)
    assert status.code == STATUS_CODES[kind].value[0]
    assert status.ByteSize() < 4000, "trailers are limited to 8 KiB, and the message stands in them twice"


def test_the_process_leaves_no_threads_behind(serve: Serve, connect: Callable[..., Calls]) -> None:
    before = set(threading.enumerate())  # other tests' servers may be running in this process
    running = serve()
    calls = connect(running.address)
    calls.finish(calls.create().name)
    running.stop()
    time.sleep(0.05)
    left = [thread.name for thread in threading.enumerate() if thread not in before]
    assert [name for name in left if name.startswith(("job-worker", "housekeeping"))] == []
