"""A real server with the product's own stages, and the command line's own way to it: submit, watch, download."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from open3dforge.v1 import jobs_pb2

from bridge_server.backends import weights
from bridge_server.cli import submission, transfers
from bridge_server.cli.client import ForgeClient, job_name
from bridge_server.cli.endpoint import Endpoint
from bridge_server.service.server import start_server
from bridge_server.settings import load_settings
from bridge_server.values.manifest import MANIFEST_NAME, Manifest

LIMIT_S = 240.0
SMALL: Mapping[str, object] = {
    "generate.resolution": 512,
    "decimate.triangle_count": 800,
    "trace.resolution_px": 256,
    "bake_ao.samples": 8,
    "collision.max_pieces": 2,
    "render.preview_px": 256,
    "render.turntable_frames": 4,
    "render.turntable_px": 96,
}
"""Every stage does its real work, on little."""
TINY: Mapping[str, object] = {
    **SMALL,
    "generate.resolution": 256,
    "decimate.triangle_count": 300,
    "trace.resolution_px": 128,
    "bake_ao.samples": 2,
    "collision.shape": "box",
    "render.preview_px": 64,
    "render.turntable_frames": 1,
    "render.turntable_px": 32,
    "render.comparison": "false",
}
"""For tests of the way rather than of the result."""


def need_weights() -> None:
    """Skip where a photo without an alpha channel could not lose its background."""
    if weights.state_of("u2netp") is not weights.WeightsState.PRESENT:
        pytest.skip("the weights u2netp are not installed, and the photo has no alpha channel")


@dataclass(frozen=True)
class Forged:
    """A job that ended, and its package as the client downloaded it."""

    job: jobs_pb2.Job
    folder: Path
    zip: Path

    @property
    def manifest(self) -> Manifest:
        return Manifest.from_json((self.folder / MANIFEST_NAME).read_bytes())

    @property
    def fresh(self) -> set[str]:
        """Stages that really ran."""
        return {stage.stage for stage in self.job.stages if not stage.cached}


@dataclass(frozen=True)
class Workplace:
    """A running server, its data folder, and a client of it."""

    client: ForgeClient
    data: Path
    out: Path

    def submit(
        self,
        *files: Path,
        views: Mapping[str, Path] | None = None,
        preset: str = "prop_UE5_standard",
        name: str = "",
        settings: Mapping[str, object] = SMALL,
        generator: str = "",
    ) -> jobs_pb2.Job:
        """Queue a job the way ``forge submit`` does."""
        file = files[0] if files else None
        inputs = submission.parse_inputs(file, [f"{side}={path}" for side, path in (views or {}).items()])
        overrides = submission.parse_overrides([f"{setting}={value}" for setting, value in settings.items()])
        wish = submission.Wish(preset=preset, name=name, overrides=overrides, generator=generator)
        return submission.submit(self.client, inputs, wish, lambda *_: None)

    def ended(self, job: jobs_pb2.Job) -> jobs_pb2.Job:
        """Follow a job to its end."""
        for _ in self.client.watch(job.name):
            continue
        return self.client.get_job(job.name)

    def forge(self, *files: Path, **wish: object) -> Forged:
        """Submit, wait, download; the job has to succeed."""
        job = self.ended(self.submit(*files, **wish))
        assert job.state == jobs_pb2.JOB_STATE_SUCCEEDED, job.error
        folder, archive = sorted(transfers.download_job(self.client, job.name, self.out / bare(job), lambda *_: None))
        return Forged(job=job, folder=folder, zip=archive)

    def fail(self, *files: Path, **wish: object) -> jobs_pb2.JobError:
        """Submit and wait; the job has to fail."""
        job = self.ended(self.submit(*files, **wish))
        assert job.state == jobs_pb2.JOB_STATE_FAILED, [(stage.stage, stage.state) for stage in job.stages]
        return job.error

    def job_folders(self) -> set[str]:
        """Folders of jobs in the server's data."""
        return {path.name for path in (self.data / "jobs").iterdir()}

    def leftovers(self) -> list[Path]:
        """What no finished job, upload or stage can account for: half-written files and folders."""
        known = {bare(job) for job in self.client.list_jobs([], 10_000)}
        done = {bare(job) for job in self.client.list_jobs(["JOB_STATE_SUCCEEDED"], 10_000)}
        partial = [path for path in self.data.rglob("*") if "partial" in path.name]
        strange = [path for path in (self.data / "jobs").iterdir() if path.name not in known]
        packages = [path for path in (self.data / "jobs").glob("*/package") if path.parent.name not in done]
        return [*partial, *strange, *packages]


def bare(job: jobs_pb2.Job) -> str:
    return job_name(job.name).removeprefix("jobs/")


@contextlib.contextmanager
def opened(data: Path, out: Path, **settings: object) -> Iterator[Workplace]:
    """Start a server, and stop it with everything that it started."""
    running = start_server(load_settings(environment={}, data=data, port=0, **settings))
    try:
        with ForgeClient(Endpoint(address=running.address)) as client:
            client.connect()
            yield Workplace(client=client, data=data, out=out)
    finally:
        running.stop()


def until(condition: Callable[[], bool], limit_s: float) -> float:
    """Seconds until something came true; fails after ``limit_s``."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < limit_s, "it never came true"
        time.sleep(0.02)
    return time.monotonic() - started


def child_processes() -> dict[int, str]:
    """Everything that this process started and that still runs, by process id."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = " ".join(process.cmdline())
    return found
