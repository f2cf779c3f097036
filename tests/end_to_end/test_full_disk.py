"""Nowhere to write: the output folder, the store, the package. A clear error, nothing half-written, and it goes on."""

import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from open3dforge.v1 import jobs_pb2

from bridge_server.cli import transfers
from bridge_server.cli.client import ForgeClient
from bridge_server.cli.endpoint import Endpoint
from bridge_server.cli.exit_codes import ExitCode
from bridge_server.cli.main import run
from bridge_server.errors import DiskFull, InputError
from bridge_server.package.check import check_package
from bridge_server.values.checklist import Verdict
from tests.end_to_end import input_files
from tests.end_to_end.conftest import Package
from tests.end_to_end.workplace import TINY, Workplace, bare, opened

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("place", ["a file", "below a file"])
def test_an_output_folder_that_cannot_be_written_is_told(
    workplace: Workplace, package: Package, tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    (tmp_path / "taken").write_text("mine")
    out = tmp_path / "taken" if place == "a file" else tmp_path / "taken" / "below"
    job = package("stl").job
    with pytest.raises(InputError) as caught:
        transfers.download_job(workplace.client, job.name, out, lambda *_: None)
    assert caught.value.subject == str(out)
    assert "cannot be written" in caught.value.message
    assert "--out" in caught.value.remedy
    server = ["--server", workplace.client.endpoint.address]
    assert run(["download", bare(job), "--out", str(out), *server]) == ExitCode.USAGE
    assert f"{out}: cannot be written" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert (tmp_path / "taken").read_text() == "mine"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions hold back")
def test_a_read_only_output_folder_is_told(workplace: Workplace, package: Package, tmp_path: Path) -> None:
    out = tmp_path / "locked"
    out.mkdir(mode=0o500)
    with pytest.raises(InputError) as caught:
        transfers.download_job(workplace.client, package("stl").job.name, out, lambda *_: None)
    assert "cannot be written" in caught.value.message
    assert list(out.iterdir()) == []


def test_a_package_that_does_not_fit_is_refused_before_anything_is_made(
    workplace: Workplace, package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, out = package("stl").job, tmp_path / "new" / "out"
    monkeypatch.setattr(transfers.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(DiskFull, match="0 MB are free") as caught:
        transfers.download_job(workplace.client, job.name, out, lambda *_: None)
    assert caught.value.subject == str(out)
    assert list(tmp_path.iterdir()) == []


def test_what_lies_there_of_an_earlier_download_needs_no_room_again(
    workplace: Workplace, package: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = package("stl").job

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(transfers, "_put_in_place", stop)
        with pytest.raises(KeyboardInterrupt):
            transfers.download_job(workplace.client, job.name, tmp_path, lambda *_: None)
    monkeypatch.setattr(transfers.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    placed = transfers.download_job(workplace.client, job.name, tmp_path, lambda *_: None)
    assert sorted(tmp_path.iterdir()) == sorted(placed)


@pytest.fixture(scope="module")
def inline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """A server whose stages run in this process, where a disk can be made to look full."""
    folders = tmp_path_factory.mktemp("inline"), tmp_path_factory.mktemp("inline-packages")
    with opened(*folders, executor="inline") as place:
        yield place


def full(name: str, when: Callable[[str], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a way to write fail with "no space left" for paths that ``when`` picks."""
    owner, attribute = {"open": (Path, "open"), "write_bytes": (Path, "write_bytes")}[name]
    original = getattr(owner, attribute)

    def write(self: Path, *arguments: object, **options: object) -> object:
        if when(str(self)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return original(self, *arguments, **options)

    monkeypatch.setattr(owner, attribute, write)


@pytest.mark.parametrize("place", ["store", "scratch", "package"])
def test_a_full_disk_fails_the_job_which_can_be_retried(
    inline: Workplace, inputs: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    settings = {**TINY, "decimate.triangle_count": {"store": 300, "scratch": 310, "package": 320}[place]}
    if place == "scratch":
        settings["backends.unwrapper"] = "xatlas"  # works in a child process, which is handed its mesh in a file
    with monkeypatch.context() as patch:
        if place == "store":
            full("open", lambda path: "/values/" in Path(path).as_posix() and path.endswith(".partial"), patch)
        else:
            name = {"scratch": "request", "package": "report.html"}[place]
            full("write_bytes", lambda path: Path(path).name == name, patch)
        job = inline.ended(inline.submit(input_files.binary_stl(inputs), settings=settings))
    assert job.state == jobs_pb2.JOB_STATE_FAILED
    assert job.error.code == "DISK_FULL"
    assert "no space" in job.error.message
    assert job.error.subject.startswith(tempfile.gettempdir() if place == "scratch" else str(inline.data))
    assert job.error.remedy
    assert inline.leftovers() == []
    retried = inline.ended(inline.client.retry_job(job.name))
    assert retried.state == jobs_pb2.JOB_STATE_SUCCEEDED, retried.error
    assert check_package(next((inline.data / "jobs" / bare(job) / "package").glob("*.zip"))).verdict is Verdict.PASS


@contextmanager
def server_process(data: Path, out: Path) -> Iterator[tuple[Workplace, int]]:
    """The product's server as a process of its own, and its process id."""
    command = [sys.executable, "-m", "bridge_server", "--port", "0", "--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            with ForgeClient(Endpoint(address=address)) as client:
                client.connect()
                yield Workplace(client=client, data=data, out=out), server.pid
        finally:
            server.terminate()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits of a running process can be set on Linux alone")
def test_files_that_may_not_grow_fail_the_job_and_not_the_server(tmp_path: Path, inputs: Path) -> None:
    """The operating system itself refuses to write, first in the middle of a stage's value."""
    import resource

    def limit(pid: int, size_bytes: int) -> None:
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size_bytes, resource.RLIM_INFINITY))

    mesh = input_files.binary_stl(inputs)
    with server_process(tmp_path / "data", tmp_path / "out") as (place, pid):
        limit(pid, 1_000_000)
        error = place.fail(mesh, settings={**TINY, "trace.resolution_px": 512})
        assert error.code == "DISK_FULL"
        assert error.stage
        assert error.subject.startswith(str(tmp_path / "data"))
        assert "File too large" in error.message
        assert error.remedy
        assert place.leftovers() == []
        limit(pid, resource.RLIM_INFINITY)
        forged = place.forge(mesh, settings={**TINY, "trace.resolution_px": 512})
        assert check_package(forged.zip).verdict is Verdict.PASS
        assert any(stage.cached for stage in forged.job.stages), "what was finished before is not done again"
