"""A workshop whose stages sleep: everything of the server is real but the forging.

``python -m tests.service.toy DATA`` serves it as a process that tests may kill. Overrides steer a job:
``toy.seconds=2`` a stage, ``toy.fail=REASON``, ``toy.disk_full=1``, ``toy.gpu=1``, ``toy.deaf=SECONDS``.
"""

import errno
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bridge_server.errors import Cancelled, InputError, StageFailed
from bridge_server.jobs.desk import Admission
from bridge_server.jobs.events import Happening, NoticeRaised, StageFinished, StageProgressed, StageStarted
from bridge_server.jobs.job import InputFile, JobSpec, Outcome
from bridge_server.jobs.scheduler import Assignment
from bridge_server.service.server import serve_forever
from bridge_server.settings import load_settings
from bridge_server.values.base import Notice
from bridge_server.values.checklist import Check, Checklist, Verdict
from bridge_server.values.naming import check_asset_name, suggest_asset_name

STAGES = ("matte", "generate", "export")


@dataclass(frozen=True)
class Toy:
    """Stages leave a mark in the job's folder when they finish, as the content store does for real ones."""

    def admit(self, spec: JobSpec, inputs: tuple[InputFile, ...], folder: Path) -> Admission:
        if not (folder / inputs[0].path).read_bytes():
            raise InputError("the file is empty.", subject=inputs[0].file_name)
        name = check_asset_name(spec.asset_name) if spec.asset_name else suggest_asset_name(inputs[0].file_name)
        wishes = wishes_of(spec)
        return Admission(
            asset_name=name, asset_type="static_mesh", preset=spec.preset, stages=STAGES, uses_gpu="gpu" in wishes
        )

    def work(self, assignment: Assignment, on_event: Callable[[Happening], None], cancel: threading.Event) -> Outcome:
        job, folder = assignment.job, assignment.folder
        wishes = wishes_of(job.spec)
        for index, stage in enumerate(STAGES):
            mark = folder / f"finished-{stage}"
            if mark.exists():
                on_event(StageFinished(stage=stage, seconds=0.0, cached=True))
                continue
            with (folder / "runs.txt").open("a") as runs:
                runs.write(f"{stage}\n")
            on_event(StageStarted(stage=stage, index=index, count=len(STAGES)))
            started = time.monotonic()
            sleep(float(wishes.get("seconds", "0")), stage, on_event, cancel)
            if stage == "generate":
                misbehave(wishes, folder)
            mark.touch()
            seconds = time.monotonic() - started
            on_event(StageFinished(stage=stage, seconds=seconds, gpu_seconds=10.0 if "gpu" in wishes else 0.0))
        on_event(NoticeRaised(stage="export", notice=Notice(code="toy", message="It is a toy.")))
        package = folder / "package" / f"export_{job.asset_name}_UE5"
        package.mkdir(parents=True)
        (package / "report.html").write_text("<p>toy</p>")
        (package / "big.bin").write_bytes(bytes(range(256)) * 4000)
        (folder / "thumbnail.png").write_bytes(b"\x89PNG toy")
        check = Check(rule="toy", title="Is a toy", verdict=Verdict.WARN, figure="1")
        return Outcome(checklist=Checklist(checks=(check,)), thumbnail=True)

    def close(self) -> None:
        pass


def wishes_of(spec: JobSpec) -> dict[str, str]:
    return {name.removeprefix("toy."): value for name, _, value in (text.partition("=") for text in spec.overrides)}


def sleep(seconds: float, stage: str, on_event: Callable[[Happening], None], cancel: threading.Event) -> None:
    started = time.monotonic()
    while (gone := time.monotonic() - started) < seconds:
        if cancel.wait(0.02):
            raise Cancelled
        on_event(StageProgressed(stage=stage, fraction=gone / seconds))


def misbehave(wishes: dict[str, str], folder: Path) -> None:
    if "deaf" in wishes:
        time.sleep(float(wishes["deaf"]))
    if "disk_full" in wishes:
        (folder / "package").mkdir()
        (folder / "package" / "half").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "fail" in wishes:
        raise StageFailed("the toy broke.", subject="toy", remedy="Glue it.", reason=wishes["fail"])
    if "bug" in wishes:
        raise ZeroDivisionError("a bug")


if __name__ == "__main__":
    serve_forever(load_settings(environment={}, data=Path(sys.argv[1]), port=int(sys.argv[2])), Toy())
