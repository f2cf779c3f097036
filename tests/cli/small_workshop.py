"""Work small enough for tests of the command line: a real server and queue, and two stages that only pretend."""

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bridge_server.errors import Cancelled, InputError, StageFailed
from bridge_server.jobs.desk import Admission
from bridge_server.jobs.events import Happening, NoticeRaised, StageFinished, StageProgressed, StageStarted
from bridge_server.jobs.job import InputFile, JobSpec, Outcome
from bridge_server.jobs.scheduler import Assignment
from bridge_server.values.base import Notice, Severity
from bridge_server.values.checklist import Check, Checklist, Verdict

STAGES = ("matte", "export")
TRIANGLES = Check(rule="triangle_budget", title="Triangles", verdict=Verdict.PASS, figure="10,000", limit="10,000")


class SmallWorkshop:
    """What a job does is told by its ``--set small.KEY=VALUE``: fail, linger, verdict."""

    def admit(self, spec: JobSpec, inputs: tuple[InputFile, ...], folder: Path) -> Admission:
        if any((folder / item.path).stat().st_size == 0 for item in inputs):
            raise InputError("the file is empty.", subject=inputs[0].file_name, remedy="Choose another photo.")
        name = spec.asset_name or Path(inputs[0].file_name).stem.title()
        return Admission(asset_name=name, asset_type="static_mesh", preset=spec.preset, stages=STAGES)

    def work(self, assignment: Assignment, on_event: Callable[[Happening], None], cancel: threading.Event) -> Outcome:
        job = assignment.job
        wishes = dict(text.removeprefix("small.").split("=", 1) for text in job.spec.overrides)
        for index, stage in enumerate(STAGES):
            on_event(StageStarted(stage=stage, index=index, count=len(STAGES)))
            on_event(StageProgressed(stage=stage, fraction=0.5, note="half way"))
            if stage == "matte" and wishes.get("fail"):
                raise StageFailed("found no subject.", subject="cup.png", remedy="Use a plainer background.")
            deadline = time.monotonic() + float(wishes.get("linger", 0))
            while time.monotonic() < deadline:
                if cancel.wait(0.02):
                    raise Cancelled
            on_event(StageFinished(stage=stage, seconds=0.25, cached=job.attempt > 1))
        notice = Notice(code="back_invented", message="The back is a guess.", severity=Severity.WARNING)
        on_event(NoticeRaised(stage="matte", notice=notice))
        package = assignment.folder / "package" / f"export_{job.asset_name}_UE5"
        package.mkdir(parents=True)
        content = "".join((assignment.folder / item.path).read_bytes().hex() for item in job.inputs)
        (package / "report.html").write_text(content)
        (package.parent / f"{package.name}.zip").write_bytes(hashlib.sha256(content.encode()).digest())
        (assignment.folder / "thumbnail.png").write_bytes(b"png")
        verdict = Verdict(wishes.get("verdict", "pass"))
        collision = Check(rule="collision", title="Collision", verdict=verdict, figure="3 hulls")
        return Outcome(checklist=Checklist(checks=(TRIANGLES, collision)), thumbnail=True)

    def close(self) -> None:
        pass
