"""The product's own server, as a process, with real stages: killed in the middle, started again, package checked."""

import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from open3dforge.v1 import jobs_pb2, transfers_pb2

from bridge_server.package.check import check_package
from bridge_server.values.checklist import Verdict
from tests.service.calls import Calls
from tests.service.test_server import ROOT, killing
from tests.shapes import sphere

LIMIT_S = 240.0
SMALL = {
    "decimate.triangle_count": "800",
    "trace.resolution_px": "128",
    "bake_ao.samples": "8",
}


@contextmanager
def product(data: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "bridge_server", "--port", "0", "--data", str(data)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("open3dforge listening on"), server.communicate()[1]
        yield server, line.split()[-1]
    finally:
        if server.poll() is None:
            server.terminate()
        server.communicate(timeout=30)


def obj_of_a_sphere() -> bytes:
    mesh = sphere()
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.positions_m]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces]
    return ("\n".join(lines) + "\n").encode()


@pytest.mark.slow
def test_a_mesh_is_forged_across_a_kill(tmp_path: Path, connect: Callable[..., Calls]) -> None:
    data = tmp_path / "data"
    events: list[jobs_pb2.JobEvent] = []
    with product(data) as (server, address):
        calls = connect(address)
        upload = calls.upload(obj_of_a_sphere(), file_name="ball.obj", chunk_bytes=100_000)
        spec = jobs_pb2.JobSpec(
            mesh={"upload": upload},
            preset="prop_UE5_standard",
            overrides=[{"setting": setting, "value": value} for setting, value in SMALL.items()],
        )
        name = calls.jobs.CreateJob(jobs_pb2.CreateJobRequest(spec=spec), timeout=60).job.name
        with pytest.raises(grpc.RpcError):
            events.extend(killing(server, "render", watch(calls, name)))
    with product(data) as (_, address):
        calls = connect(address)
        events += watch(calls, name, events[-1].sequence)
        job = calls.get(name)
        assert job.state == jobs_pb2.JOB_STATE_SUCCEEDED, job.error
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        cached = {stage.stage for stage in job.stages if stage.cached}
        assert {"load_mesh", "repair", "decimate", "unwrap", "trace", "bake_ao"} <= cached
        assert job.thumbnail_available
        request = transfers_pb2.DownloadArtifactRequest(name=f"{name}/artifacts/export_Ball_UE5.zip")
        first, *chunks = calls.transfers.DownloadArtifact(request, timeout=60)
        packed = b"".join(message.chunk for message in chunks)
        assert hashlib.sha256(packed).hexdigest() == first.artifact.sha256
        archive = tmp_path / "export_Ball_UE5.zip"
        archive.write_bytes(packed)
        assert "SM_Ball.glb" in " ".join(zipfile.ZipFile(io.BytesIO(packed)).namelist())
        assert check_package(archive).verdict is not Verdict.FAIL


def watch(calls: Calls, name: str, after: int = 0) -> Iterator[jobs_pb2.JobEvent]:
    request = jobs_pb2.WatchJobRequest(name=name, after_sequence=after)
    for answer in calls.jobs.WatchJob(request, timeout=LIMIT_S):
        yield answer.event
